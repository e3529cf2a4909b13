"""One test under way: every map that can be tested is held against its surrogates, one map's in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from comould.associate.claims.members import Members
from comould.associate.claims.options import ClaimOptions
from comould.associate.claims.products import (
    Chance,
    Design,
    Prepared,
    Seen,
    against_features,
    against_genes,
    feature_statistics,
)
from comould.associate.claims.spots import Spots
from comould.associate.claims.statistics import welch
from comould.associate.claims.table import Found
from comould.associate.nulls import Kind, NullFit, Surrogates, make_null, pairs_of
from comould.errors import InputError
from comould.space import FloatArray


class Source:
    """Surrogates of one map after the other: given, or made when asked for and then forgotten."""

    def __init__(self, run: Run, null: Kind | Mapping[str, Surrogates], n: int, seed: int) -> None:
        self.run, self.n = run, n
        self.given = None if isinstance(null, str) else _checked(null, run)
        if self.given is not None:
            return
        self.kind = null
        support, *self.seeds = np.random.SeedSequence(seed).spawn(len(run.spots.names) + 1)
        self.pairs = pairs_of(run.spots.positions, run.spots.sections, seed=support)

    def make(self, number: int) -> Surrogates:
        """Surrogates of one map; of what its covariates leave, where there are some."""
        spots = self.run.spots
        if self.given is not None:
            return self.given[spots.names[number]]
        return make_null(
            self.run.null_values[:, number],
            spots.positions,
            spots.sections,
            kind=self.kind,  # type: ignore[arg-type]
            n=self.n,
            seed=self.seeds[number],
            pairs=self.pairs,
        )


class Run:
    """One test under way: what it is made of, what it has found of every map."""

    def __init__(self, spots: Spots, settings: ClaimOptions, members: Members) -> None:
        self.spots, self.settings, self.members = spots, settings, members
        self.problems = [spots.problem(number, settings) for number in range(len(spots.names))]
        correlation, blocks = spots.correlation(settings), spots.blocks(settings)
        values = np.column_stack([correlation.map_values(column) for column in spots.maps.T])
        self.null_values = values - np.column_stack([blocks.explained(column) for column in values.T])
        self.design = Design.make(values, blocks, spots.inside, correlation)
        self.chances: list[tuple[Chance, Chance, Chance] | None] = [None] * len(spots.names)
        self.maxima: list[FloatArray] = []
        self.set_maxima: list[FloatArray] = []

    def hold_against(self, seen: Seen, source: Source, tell: Callable[[float], None]) -> dict[str, NullFit]:
        """Hold every map that can be tested against its surrogates, one map's in memory at a time."""
        fits = {}
        for number, name in enumerate(self.spots.names):
            if self.problems[number]:
                continue
            made = source.make(number)
            fits[name] = made.fit
            if made.fit.refusal:
                self.problems[number] = made.fit.refusal
                continue
            rows = Prepared.of(made, self.design, number, in_place=source.given is None)
            del made
            genes, maxima = against_genes(
                self.spots.expression,
                self.design,
                seen,
                number,
                rows,
                chunk=self.settings.chunk,
                counted=lambda here, effective: (
                    (seen.detected[here] >= self.settings.min_detected) & (effective >= self.settings.min_effective)
                ),
                progress=lambda share, number=number: tell((number + share) / len(self.spots.names)),  # type: ignore[misc]
            )
            sets, set_maxima = against_features(seen.scores, self.design, number, rows, self._counts_set)
            contrasts, _ = against_features(seen.contrasts, self.design, number, rows)
            self.chances[number] = genes, sets, contrasts
            self.maxima.append(maxima)
            self.set_maxima.append(set_maxima)
        return fits

    def _counts_set(self, here: slice, effective: FloatArray) -> npt.NDArray[np.bool_]:
        fit = np.array([not reason for reason in self.members.reasons[here]], dtype=bool)
        return fit & (effective >= self.settings.min_effective)

    def found(self, seen: Seen) -> list[Found]:
        """Put together what was found, genes first."""
        genes = [_gene_problem(int(count), self.settings) for count in seen.detected]
        found = [self._found("gene", list(map(str, self.spots.genes)), genes, seen, seen.statistic, 0)]
        if self.members.names:
            statistic = feature_statistics(seen.scores, self.design)
            found.append(self._found("geneset", self.members.names, self.members.reasons, seen, statistic, 1))
        return found

    def _found(
        self, kind: str, names: Sequence[str], reasons: Sequence[str], seen: Seen, statistic: FloatArray, which: int
    ) -> Found:
        chances = [None if each is None else each[which] for each in self.chances]
        empty = np.full(statistic.shape[1], np.nan)
        p, effective, spread = (
            np.array([empty if each is None else getattr(each, name) for each in chances])
            for name in ("p_spatial", "n_effective", "spread")
        )
        sets = kind == "geneset"
        inside = self.members.inside / np.maximum(self.members.inside.sum(axis=0), 1)
        maxima = self.set_maxima if sets else self.maxima
        return Found(
            kind=kind,
            features=names,
            reasons=reasons,
            log2_fold_change=seen.log2_fold_change @ inside if sets else seen.log2_fold_change,
            statistic=statistic,
            n_effective=effective,
            p_naive=welch(seen.scores, self.spots.inside) if sets else seen.p_naive,
            p_spatial=p,
            standing=np.abs(statistic) / np.where(spread > 0, spread, np.nan),
            p_competitive=np.array([empty if each is None else each[2].p_spatial for each in self.chances])
            if sets
            else np.full(statistic.shape, np.nan),
            maxima=np.max(maxima, axis=0) if maxima and len({len(each) for each in maxima}) == 1 else np.zeros(0),
        )


def _checked(nulls: Mapping[str, Surrogates], run: Run) -> Mapping[str, Surrogates]:
    names, count = run.spots.names, len(run.spots.maps)
    needed = [name for name, problem in zip(names, run.problems, strict=True) if not problem]
    wrong = [
        f"{name} has surrogates of {nulls[name].maps.shape[1]} spots, not {count}"
        if name in nulls
        else f"{name} has none"
        for name in needed
        if name not in nulls or nulls[name].maps.shape[1:] != (count,)
    ]
    if wrong:
        raise InputError.collect(
            subject="surrogates given", problems=wrong, remedy="Make them with make_nulls and the same options"
        )
    return nulls


def _gene_problem(detected: int, options: ClaimOptions) -> str:
    if not detected:
        return "no counts"
    return f"detected in {detected} spots, {options.min_detected} needed" if detected < options.min_detected else ""
