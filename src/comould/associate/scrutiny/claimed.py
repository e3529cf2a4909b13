"""Claims picked from a table, with what is needed to hold them against other maps and other places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.associate.claims.blocks import Blocks, unit
from comould.associate.claims.feature_values import feature_values
from comould.associate.claims.options import ClaimOptions
from comould.associate.claims.spots import Spots
from comould.associate.support.kernel import section_planes
from comould.associate.support.sample import label_volume
from comould.associate.support.sampling import nearest
from comould.errors import InputError
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    from anndata import AnnData

_NEEDED = ("feature", "kind", "habitat", "statistic", "n_effective", "p_spatial", "q_spatial")


@dataclass(frozen=True, eq=False)
class HabitatMap:
    """Habitat labels that can be asked for at any place.

    Parameters
    ----------
    labels
        ``(z, y, x)``, 0 outside and 1 to k.
    grid
        Theirs.
    """

    labels: npt.NDArray[np.integer]
    grid: Grid

    @classmethod
    def of(cls, habitats: Any) -> HabitatMap:
        """Take a result of :func:`comould.habitats.fit` or a label image."""
        if isinstance(habitats, HabitatMap):
            return habitats
        return cls(*label_volume(habitats))

    @property
    def n_habitats(self) -> int:
        """Highest label."""
        return int(self.labels.max())

    def at(self, points: FloatArray) -> npt.NDArray[np.int64]:
        """Labels ``(n,)`` of patient points ``(n, 3)``; 0 outside."""
        return nearest(self.labels, self.grid, points)


@dataclass(frozen=True, eq=False)
class Claimed:
    """Some rows of a table of claims, and their spots.

    Parameters
    ----------
    rows
        Of the table, in order of evidence; ``label`` is each habitat's number, ``claimed`` whether its q-value is small
        enough.
    features
        ``(n_spots, n_rows)`` log expression, or set score, of each row's feature.
    spots
        Those that were tested.
    options
        Of the test.
    planes
        ``(n_spots, 2, 3)`` directions that span each spot's section.
    fdr
        Largest q-value of a claim.
    """

    rows: pd.DataFrame
    features: FloatArray
    spots: Spots
    options: ClaimOptions
    planes: FloatArray
    fdr: float

    @classmethod
    def pick(
        cls,
        adata: AnnData,
        table: pd.DataFrame,
        *,
        genesets: Mapping[str, Iterable[str]] | None = None,
        key: str = "habitat",
        fdr: float = 0.1,
        top: int = 6,
        **options: Any,
    ) -> Claimed:
        """Pick the strongest claims of each kind; where nothing is claimed, the strongest rows, marked as unclaimed.

        Parameters
        ----------
        adata, key, options
            As the table was made from.
        table
            Of :func:`comould.associate.test`, habitats named ``H1`` … ``Hk``.
        genesets
            Those of the test, for rows of sets.
        fdr
            Largest q-value of a claim.
        top
            Most rows of each kind.

        Raises
        ------
        InputError
            If the table is none, no row could be tested, or a habitat is not named by its label.
        """
        if lacking := [name for name in _NEEDED if name not in table]:
            raise InputError(
                subject="association table",
                expected="the columns of comould.associate.test",
                found=f"no {', '.join(lacking)}",
            )
        settings = ClaimOptions.make(options)
        spots = Spots.of(adata, key, settings)
        rows = _chosen(table, set(genesets or {}), fdr, top)
        features = feature_values(zip(rows["kind"], rows["feature"], strict=True), spots, genesets or {})
        return cls(rows, features, spots, settings, section_planes(spots.positions, spots.sections), fdr)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Habitat label of each row."""
        return self.rows["label"].to_numpy(dtype=np.int64)

    @property
    def normals(self) -> FloatArray:
        """Unit normals ``(n_spots, 3)`` of the sections, all to one side."""
        normals = np.cross(self.planes[:, 0], self.planes[:, 1])
        return normals * np.where(normals @ normals[0] < 0, -1.0, 1.0)[:, None]

    def directions(self) -> FloatArray:
        """Two directions ``(2, 3)`` common to all sections that span their planes."""
        normal = self.normals.mean(axis=0)
        normal /= np.linalg.norm(normal)
        first = self.planes[0, 0] - normal * (normal @ self.planes[0, 0])
        first /= np.linalg.norm(first)
        return np.stack([first, np.cross(normal, first)])

    def effects(self, codes: npt.NDArray[np.int64], given: npt.NDArray[np.int64] | None = None) -> FloatArray:
        """Correlations ``(n_rows,)`` of the rows' features with the rows' habitats on other labels.

        Parameters
        ----------
        codes
            ``(n_spots,)``, 0 for a spot that is out.
        given
            Labels whose own part of the rows' habitats is taken off first, as a covariate is.

        Returns
        -------
        ndarray
            NaN where a habitat has fewer spots, in or outside, than a test needs.
        """
        inside = codes > 0
        found = np.full(len(self.rows), np.nan)
        for label in np.unique(self.labels):
            rows = self.labels == label
            member = (codes[inside] == label).astype(np.float64)
            if min(member.sum(), len(member) - member.sum()) < self.options.min_spots:
                continue
            blocks = self.blocks(inside, None if given is None else (given[inside] == label).astype(np.float64))
            map_ = unit(member[:, None], blocks)[:, 0]
            found[rows] = map_ @ unit(self.features[np.ix_(inside, rows)], blocks)
        return found

    def blocks(self, inside: npt.NDArray[np.bool_], more: FloatArray | None = None) -> Blocks:
        """Make what is no evidence among some of the spots: sections, covariates, and one map more."""
        groups = self.spots.sections if self.options.within_sections else np.zeros_like(self.spots.sections)
        covariates = self.spots.covariates[inside]
        return Blocks(groups[inside], covariates if more is None else np.column_stack([covariates, more]))


def _chosen(table: pd.DataFrame, sets: set[str], fdr: float, top: int) -> pd.DataFrame:
    tested = table[table["p_spatial"].notna() & ((table["kind"] == "gene") | table["feature"].isin(sets))]
    if tested.empty:
        raise InputError(subject="association table", expected="rows that could be tested", found="none")
    tested = tested.sort_values(["p_spatial", "p_naive"], kind="stable")
    tested = tested.assign(claimed=tested["q_spatial"] <= fdr)
    kinds = [rows for _, rows in tested.groupby("kind", sort=True)]
    picked = [rows[rows["claimed"]].head(top) if rows["claimed"].any() else rows.head(min(top, 3)) for rows in kinds]
    rows = pd.concat(picked, ignore_index=True)
    numbers = rows["habitat"].astype(str).str.extract(r"^H(\d+)$")[0]
    if numbers.isna().any():
        strange = rows.loc[numbers.isna(), "habitat"].iloc[0]
        raise InputError(
            subject=f"habitat {strange!r}",
            expected="H1, H2, … as comould.associate.sample names the labels of a map",
            found="another name",
            remedy="Only habitats of a map can be looked up at other places",
        )
    return rows.assign(label=numbers.astype(int))
