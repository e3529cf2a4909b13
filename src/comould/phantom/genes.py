"""The gene panel and its counts: some genes follow a habitat, most are only as smooth as one, some are flat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.phantom.fields import RandomFields
from comould.phantom.options import SpecimenOptions
from comould.space import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    from scipy import sparse

T_CELL_INFLAMED = (
    *("CCL5", "CD27", "CD274", "CD276", "CD8A", "CMKLR1", "CXCL9", "CXCR6", "HLA-DQA1"),
    *("HLA-DRB1", "HLA-E", "IDO1", "LAG3", "NKG7", "PDCD1LG2", "PSMB10", "STAT1", "TIGIT"),
)
"""The 18-gene T-cell-inflamed signature: Ayers et al., J Clin Invest 2017, doi:10.1172/JCI91190."""

CYTOLYTIC = ("GZMA", "PRF1")
"""Cytolytic activity: Rooney et al., Cell 2015, doi:10.1016/j.cell.2014.12.033."""

HYPOXIA = (
    *("CA9", "VEGFA", "SLC2A1", "LDHA", "NDRG1", "ADM", "PGK1"),
    *("ENO1", "ALDOA", "P4HA1", "TPI1", "PGAM1", "BNIP3", "EGLN3"),
)
"""Well-known hypoxia-induced genes; most are in Buffa et al., Br J Cancer 2010, doi:10.1038/sj.bjc.6605450."""

STROMA = (
    *("COL1A1", "COL1A2", "COL3A1", "COL5A1", "COL6A3", "FAP", "ACTA2"),
    *("POSTN", "DCN", "LUM", "FN1", "SPARC", "THBS2"),
)
"""Fibroblast and matrix genes in common use."""

PROLIFERATION = (
    *("MKI67", "TOP2A", "CCNB1", "CDK1", "BUB1", "AURKA", "AURKB"),
    *("PCNA", "MCM2", "MCM6", "TYMS", "RRM2", "BIRC5"),
)
"""Cell-cycle genes; see Whitfield et al., Nat Rev Cancer 2006, doi:10.1038/nrc1802."""

FOLLOWERS: dict[str, tuple[str, ...]] = {
    "immune-hot": (*T_CELL_INFLAMED, *CYTOLYTIC),
    "hypoxic": HYPOXIA,
    "stromal": STROMA,
    "proliferative": PROLIFERATION,
}
"""Which real symbols follow which simulated habitat. The names are real so that gene sets find them; the effects are
drawn by chance and say nothing about the genes."""

SMOOTH_SHARE = 0.8
SMOOTH_SD_LOG2 = 0.8
OWN_SD_LOG2 = 0.35
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class GeneModel:
    """Expected counts at any patient point, and the noise around them.

    Parameters
    ----------
    table
        Index gene; columns habitat, log2_fold_change, kind.
    effects
        ``(k + 1, g)`` log2 effect by label; row 0 (outside) is zero.
    log_mean
        ``(g,)`` natural log of a spot's expected count without any effect.
    dispersion
        ``(g,)`` φ of the negative binomial: variance ``μ + φ μ²``.
    fields
        One field for each of ``field_genes``, of the habitats' own covariance, and one last for library size.
    field_genes
        Columns that have a field of their own.
    field_sd
        Standard deviation, log2, of each.
    """

    table: pd.DataFrame
    effects: FloatArray
    log_mean: FloatArray
    dispersion: FloatArray
    fields: RandomFields
    field_genes: npt.NDArray[np.intp]
    field_sd: FloatArray

    @classmethod
    def draw(cls, seeds: np.random.SeedSequence, options: SpecimenOptions) -> GeneModel:
        """Draw a panel whose smooth genes have the habitat fields' covariance, from frequencies of their own.

        Shared frequencies would let "independent" fields correlate a little more than any map in tissue does.
        """
        rng, smooth = (np.random.default_rng(s) for s in seeds.spawn(2))
        table = _table(rng, options)
        kinds = table["kind"].to_numpy()
        effects = np.zeros((len(options.habitats) + 1, len(table)))
        for label, name in enumerate(options.habitats, start=1):
            mine = (table["habitat"] == name).to_numpy()
            effects[label, mine] = table["log2_fold_change"].to_numpy()[mine]
        field_genes = np.flatnonzero(kinds != "flat")
        return cls(
            table=table,
            effects=effects,
            log_mean=rng.normal(-0.4, 0.8, len(table)),
            dispersion=rng.uniform(0.08, 0.4, len(table)),
            fields=RandomFields.draw(smooth, len(field_genes) + 1, options.correlation_mm),
            field_genes=field_genes,
            field_sd=np.where(kinds[field_genes] == "smooth", SMOOTH_SD_LOG2, OWN_SD_LOG2),
        )

    def log2_relative(self, points_mm: FloatArray, labels: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Log2 of expression over its base level ``(n, g)``, and the smooth part of library size ``(n,)``."""
        values = self.fields.at(points_mm)
        relative = self.effects[labels]
        relative[:, self.field_genes] += values[:, :-1] * self.field_sd
        return relative, values[:, -1]

    def counts(
        self,
        rng: np.random.Generator,
        points_mm: FloatArray,
        labels: npt.NDArray[np.int64],
        viability: FloatArray,
    ) -> sparse.csr_matrix:
        """Draw negative-binomial counts ``(n, g)``, float32 holding whole numbers.

        Parameters
        ----------
        rng
            The section's own stream.
        points_mm
            ``(n, 3)`` patient positions.
        labels
            ``(n,)`` truth labels.
        viability
            ``(n,)`` share of RNA that is left (necrosis has little).
        """
        from scipy import sparse

        section_depth = rng.normal(0.0, 0.12)
        parts = [sparse.csr_matrix((0, len(self.table)), dtype=np.float32)]
        for start in range(0, len(points_mm), _CHUNK):
            rows = slice(start, start + _CHUNK)
            relative, smooth = self.log2_relative(points_mm[rows], labels[rows])
            depth = section_depth + 0.25 * smooth + 0.2 * rng.standard_normal(len(smooth))
            mean = np.exp(self.log_mean + np.log(2.0) * relative + depth[:, None]) * viability[rows, None]
            gamma = rng.gamma(1.0 / self.dispersion, self.dispersion, mean.shape)
            parts.append(sparse.csr_matrix(rng.poisson(mean * gamma).astype(np.float32)))
        return sparse.vstack(parts, format="csr", dtype=np.float32)


def _table(rng: np.random.Generator, options: SpecimenOptions) -> pd.DataFrame:
    import pandas as pd

    followers = [(gene, name) for name in options.habitats for gene in FOLLOWERS[name]]
    n_other = options.n_genes - len(followers)
    n_smooth = round(SMOOTH_SHARE * n_other)
    kinds = np.array(["smooth"] * n_smooth + ["flat"] * (n_other - n_smooth))
    rng.shuffle(kinds)
    return pd.DataFrame(
        {
            "habitat": [name for _, name in followers] + [""] * n_other,
            "log2_fold_change": np.concatenate([rng.uniform(0.5, 2.0, len(followers)), np.zeros(n_other)]),
            "kind": ["habitat"] * len(followers) + kinds.tolist(),
        },
        index=pd.Index([gene for gene, _ in followers] + [f"SIM{n:04d}" for n in range(1, n_other + 1)], name="gene"),
    )
