"""What must come out null: the wrong plane, the mirrored map, another patient's map, genes that differ nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from comould.associate.claims.blocks import unit
from comould.associate.claims.products import Design, Prepared, against_features
from comould.associate.nulls import make_null
from comould.associate.scrutiny.claimed import Claimed, HabitatMap
from comould.associate.sets.gene_sets import genesets as built_in
from comould.associate.sets.gene_sets import resolve
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

LEVEL = 0.05
"""p-value at which a claim counts as found on a wrong map."""
_TOO_MANY = 0.01
_LEAST_SHARE = 0.25
_LEAST_CLAIMS = 1
_TOP = 20

COLUMNS = (
    "control",
    "what",
    "n_tested",
    "n_found",
    "n_right_map",
    "likeness",
    "share",
    "p_too_many",
    "verdict",
    "note",
)


def controls(
    adata: AnnData,
    habitats: Any,
    table: pd.DataFrame,
    *,
    others: Mapping[str, Any] | None = None,
    n_surrogates: int = 199,
    seed: int = 0,
    **options: Any,
) -> pd.DataFrame:
    """Hold the strongest claims against maps that cannot be right, and genes against the right map that cannot matter.

    Parameters
    ----------
    adata
        Spots as they were tested.
    habitats
        The map they were sampled from: a result of :func:`comould.habitats.fit` or a label image.
    table
        Of :func:`comould.associate.test`.
    others
        Other patients' habitat maps by name (never by identity): laid over this one, centre on centre and size on size.
    n_surrogates, seed
        Of the wrong maps.
    **options
        As for :func:`~comould.associate.shift_curve`; ``top`` is 20 here.

    Returns
    -------
    DataFrame
        One row a control: ``control`` (``wrong plane``, ``mirrored map``, ``another patient``, ``housekeeping genes``),
        ``what`` exactly, ``n_tested`` claims, ``n_found`` on the wrong map at p ≤ 0.05 *given the right map* (its part
        is taken off first: a wrong map that resembles the right one would else inherit its evidence),
        ``n_right_map`` found on the right map given the wrong one, ``likeness`` (mean correlation of wrong and right
        map), ``share`` of the spots that still lie in the specimen, ``p_too_many`` (binomial), ``verdict`` (``null``,
        ``not null``, ``not run``) and a ``note``.

    Notes
    -----
    A control that is not null says that something else than the match of place and place makes the claims (a trend,
    depth, the edge, a batch): they are then no evidence for this map. Controls that are null prove nothing alone.
    """
    claimed = Claimed.pick(adata, table, **{"top": _TOP, **options})
    map_ = HabitatMap.of(habitats)
    seeds = iter(np.random.SeedSequence(seed).spawn(3 + 2 * len(others or {})))
    judge = _Judge(claimed, map_, n_surrogates)
    rows = [
        judge.wrong_map("wrong plane", *_wrong_plane(claimed), seed=next(seeds)),
        judge.wrong_map("mirrored map", *_mirrored(claimed, map_), seed=next(seeds)),
    ]
    for name, other in (others or {}).items():
        theirs = HabitatMap.of(other)
        rows.append(judge.another_patient(name, theirs, next(seeds)))
    if not others:
        rows.append(_not_run("another patient", "no other patient's map was given"))
    rows.append(_housekeeping(table, claimed.fdr))
    return pd.DataFrame(rows, columns=list(COLUMNS))


class _Judge:
    """Holds claims against one wrong map after the other."""

    def __init__(self, claimed: Claimed, map_: HabitatMap, n_surrogates: int) -> None:
        self.claimed, self.map, self.n = claimed, map_, n_surrogates
        self.home = map_.at(claimed.spots.positions)

    def wrong_map(self, control: str, what: str, points: FloatArray, *, seed: np.random.SeedSequence) -> dict[str, Any]:
        """Judge the right map read at the wrong places."""
        return self._judged(control, what, self.map.at(points), seed, same_labels=True)

    def another_patient(self, name: str, theirs: HabitatMap, seed: np.random.SeedSequence) -> dict[str, Any]:
        """Judge another patient's map laid over this one."""
        points = _laid_over(self.claimed.spots.positions, self.map, theirs)
        return self._judged("another patient", f"habitats of {name}", theirs.at(points), seed, same_labels=False)

    def _judged(
        self, control: str, what: str, codes: npt.NDArray[np.int64], seed: np.random.SeedSequence, *, same_labels: bool
    ) -> dict[str, Any]:
        share = float((codes > 0).mean())
        if share < _LEAST_SHARE:
            return _not_run(control, f"{what}: only {share:.0%} of the spots still lie in the specimen")
        pairs = [(label, label) for label in np.unique(self.claimed.labels)]
        if not same_labels:
            pairs = [
                (label, theirs) for label in np.unique(self.claimed.labels) for theirs in np.unique(codes[codes > 0])
            ]
        p_wrong, p_right, like = [], [], []
        for (right, wrong), child in zip(pairs, seed.spawn(len(pairs)), strict=True):
            found = self._pair(codes, int(right), int(wrong), child)
            if found is not None:
                p_wrong.append(found[0])
                p_right.append(found[1])
                like.append(found[2])
        if not p_wrong:
            return _not_run(control, f"{what}: too few spots in or outside the habitats there")
        return _row(control, what, np.concatenate(p_wrong), np.concatenate(p_right), float(np.mean(like)), share)

    def _pair(
        self, codes: npt.NDArray[np.int64], right: int, wrong: int, seed: np.random.SeedSequence
    ) -> tuple[FloatArray, FloatArray, float] | None:
        """p-values of the claims on the wrong map given the right one, and the other way about, and their likeness."""
        inside = (codes > 0) & (self.home > 0)
        rows = self.claimed.labels == right
        maps = np.column_stack([codes[inside] == wrong, self.home[inside] == right]).astype(np.float64)
        least = self.claimed.options.min_spots
        if min(maps.sum(axis=0).min(), (len(maps) - maps.sum(axis=0)).min()) < least:
            return None
        alone = unit(maps, self.claimed.blocks(inside))
        features = self.claimed.features[np.ix_(inside, rows)]
        one, other = seed.spawn(2)
        return (
            self._p(maps[:, 0], maps[:, 1], features, inside, one),
            self._p(maps[:, 1], maps[:, 0], features, inside, other),
            float(alone[:, 0] @ alone[:, 1]),
        )

    def _p(
        self,
        map_: FloatArray,
        given: FloatArray,
        features: FloatArray,
        inside: npt.NDArray[np.bool_],
        seed: np.random.SeedSequence,
    ) -> FloatArray:
        blocks = self.claimed.blocks(inside, given)
        values = map_ - blocks.explained(map_)
        design = Design.make(values[:, None], blocks)
        if not design.maps.any():
            return np.ones(features.shape[1])
        made = make_null(
            values, self.claimed.spots.positions[inside], self.claimed.spots.sections[inside], n=self.n, seed=seed
        )
        found, _ = against_features(features, design, 0, Prepared.of(made, design, 0, in_place=True))
        return np.nan_to_num(found.p_spatial, nan=1.0)


def _row(
    control: str, what: str, p_wrong: FloatArray, p_right: FloatArray, likeness: float, share: float
) -> dict[str, Any]:
    n_found = int((p_wrong <= LEVEL).sum())
    too_many = _p_too_many(p_wrong, n_found)
    bad = too_many <= _TOO_MANY and n_found > _LEAST_CLAIMS
    return {
        "control": control,
        "what": what,
        "n_tested": len(p_wrong),
        "n_found": n_found,
        "n_right_map": int((p_right <= LEVEL).sum()),
        "likeness": likeness,
        "share": share,
        "p_too_many": too_many,
        "verdict": "not null" if bad else "null",
        "note": "the claims are found on a map that cannot be right: a shortcut is likelier than a match"
        if bad
        else "",
    }


def _p_too_many(p: FloatArray, n_found: int) -> float:
    """Chance of so many p-values at or below the level; genes that move together count as one in three."""
    independent = max(len(p) / 3, 1.0)
    scaled = round(n_found / len(p) * independent)
    return float(stats.binom.sf(scaled - 1, round(independent), LEVEL)) if scaled > 0 else 1.0


def _not_run(control: str, note: str) -> dict[str, Any]:
    return {
        "control": control,
        "what": "",
        "n_tested": 0,
        "n_found": 0,
        "n_right_map": 0,
        "likeness": np.nan,
        "share": np.nan,
        "p_too_many": np.nan,
        "verdict": "not run",
        "note": note,
    }


def _wrong_plane(claimed: Claimed) -> tuple[str, FloatArray]:
    """Read each section in the plane of another, as far away as the stack allows for all alike."""
    normal = np.cross(*claimed.directions())
    sections, positions = claimed.spots.sections, claimed.spots.positions
    codes = np.unique(sections)
    heights = np.array([(positions[sections == code] @ normal).mean() for code in codes])
    order = np.argsort(heights)
    if len(codes) == 1:
        width = float(np.ptp(positions @ claimed.directions()[0]))
        return f"displaced {width / 4:.1f} mm along the normal", positions + normal * width / 4
    turned = np.empty(len(codes), dtype=np.intp)
    turned[order] = order[(np.arange(len(codes)) + len(codes) // 2) % len(codes)]
    move = dict(zip(codes, heights[turned] - heights, strict=True))
    apart = np.abs(heights[turned] - heights).mean()
    shift = np.array([move[code] for code in sections])
    return f"sections read in one another's planes, {apart:.1f} mm apart on average", positions + shift[
        :, None
    ] * normal


def _mirrored(claimed: Claimed, map_: HabitatMap) -> tuple[str, FloatArray]:
    """Mirror the map in the sections' plane, about each section's middle, along the axis that changes it most."""
    home = map_.at(claimed.spots.positions)
    found: tuple[float, FloatArray] = (np.inf, claimed.spots.positions)
    for axis in claimed.directions():
        points = claimed.spots.positions.copy()
        for code in np.unique(claimed.spots.sections):
            mine = claimed.spots.sections == code
            along = points[mine] @ axis
            points[mine] -= 2 * (along - along.mean())[:, None] * axis
        same = float((map_.at(points) == home).mean())
        if same < found[0]:
            found = (same, points)
    return "each section's map mirrored about its middle", found[1]


def _laid_over(points: FloatArray, mine: HabitatMap, theirs: HabitatMap) -> FloatArray:
    """Places in another patient's specimen: box on box."""
    boxes = []
    for map_ in (mine, theirs):
        index = np.argwhere(map_.labels > 0)[:, ::-1].astype(np.float64)
        boxes.append(np.stack([index.min(axis=0), index.max(axis=0)]))
    index = mine.grid.index_from_patient(points)
    share = (index - boxes[0][0]) / np.maximum(np.ptp(boxes[0], axis=0), 1)
    return np.asarray(theirs.grid.patient_from_index(boxes[1][0] + share * np.ptp(boxes[1], axis=0)))


def _housekeeping(table: pd.DataFrame, fdr: float) -> dict[str, Any]:
    """Genes that differ nowhere, against the right map."""
    genes = table[(table["kind"] == "gene") & table["p_spatial"].notna()]
    (listed,) = built_in("housekeeping").values()
    names = resolve(listed, genes["feature"].unique()).found
    mine = genes[genes["feature"].isin(names)]
    if mine.empty:
        return _not_run("housekeeping genes", "none of the 11 genes was measured and could be tested")
    found = int((mine["q_spatial"] <= fdr).sum())
    row = _row("housekeeping genes", ", ".join(names), mine["p_spatial"].to_numpy(), np.ones(0), np.nan, 1.0)
    row["note"] = (
        row["note"] and "genes that should differ nowhere follow the map: depth or cellularity may make the claims"
    )
    return row | {"n_right_map": found}
