"""How the habitats of one case are tested: every choice of ``comould associate``, checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould.errors import InputError

if TYPE_CHECKING:
    from comould.associate import ClaimOptions, GeneSet

EDGE = "edge_mm"
"""The covariate that is made of the mask."""


@dataclass(frozen=True)
class AssociateOptions:
    """What is tested, against what, and what is looked at again.

    Parameters
    ----------
    habitats
        Label image, or a folder that ``comould habitats`` wrote; the case's own ``habitats`` folder when None.
    mask
        Segmentation of the specimen: every spot then gets its distance to the edge, ``edge_mm``.
    genesets
        Names of built-in collections, and GMT files (whatever ends in ``.gmt``).
    others
        Name to the habitats of another patient (label image or folder): a control.
    covariates, statistic, layer, null, n_surrogates, seed
        As in :func:`comould.associate.test`.
    fdr
        False-discovery rate at which a gene or set counts as claimed.
    calibrate
        Chance maps on which the test is judged; 0 for none.
    force
        Use the spots of rejected sections too.

    Raises
    ------
    InputError
        If a choice is none; all of them are named.
    """

    habitats: Path | None = None
    mask: Path | None = None
    genesets: tuple[str, ...] = ("immune",)
    others: Mapping[str, Path] = field(default_factory=dict)
    covariates: tuple[str, ...] = ()
    statistic: str = "pearson"
    layer: str = ""
    null: str = "variogram"
    n_surrogates: int = 999
    seed: int = 0
    fdr: float = 0.1
    calibrate: int = 0
    force: bool = False

    def __post_init__(self) -> None:
        from comould.associate.nulls import KINDS

        problems = [
            f"{name} {value} is below {least}"
            for name, value, least in (("n_surrogates", self.n_surrogates, 19), ("seed", self.seed, 0))
            if value < least
        ]
        if not 0 < self.fdr < 1:
            problems.append(f"fdr {self.fdr:g} is not between 0 and 1")
        if self.null not in KINDS:
            problems.append(f"null {self.null!r} is none of {', '.join(KINDS)}")
        if self.calibrate < 0 or self.calibrate == 1:
            problems.append(f"calibrate {self.calibrate} is neither 0 nor two maps or more")
        if twice := sorted({name for name in self.covariates if self.covariates.count(name) > 1}):
            problems.append(f"covariates name {', '.join(twice)} twice")
        try:
            self.claims()
        except InputError as error:
            problems.append(error.found or str(error))
        if problems:
            raise InputError.collect(subject="associate options", problems=problems)

    def claims(self) -> ClaimOptions:
        """Make the test's own options."""
        from comould.associate import ClaimOptions

        return ClaimOptions(**self.of_test())

    def of_test(self) -> dict[str, Any]:
        """Give the keywords that test, scrutiny and calibration share."""
        return {"statistic": self.statistic, "covariates": self.covariates, "layer": self.layer}

    def read_genesets(self) -> dict[str, GeneSet]:
        """Load the gene sets.

        Raises
        ------
        InputError
            If there is no such collection, a file is no GMT, or a set's name occurs twice.
        """
        from comould import associate

        found: dict[str, GeneSet] = {}
        for one in dict.fromkeys(self.genesets):
            sets = associate.read_gmt(one) if one.lower().endswith(".gmt") else associate.genesets(one)
            if twice := sorted(set(found) & set(sets)):
                raise InputError(
                    subject=f"gene sets {one}", expected="sets with names of their own",
                    found=f"{', '.join(twice)} a second time",
                )  # fmt: skip
            found |= sets
        return found

    @property
    def files(self) -> dict[str, Path]:
        """Mask and GMT files, by role, for provenance."""
        sets = [Path(one) for one in self.genesets if one.lower().endswith(".gmt")]
        return ({"mask": self.mask} if self.mask else {}) | {
            f"gene sets {n}": path for n, path in enumerate(sets, start=1)
        }

    def said(self) -> dict[str, Any]:
        """Say the choices, for provenance: no paths, and no names of other patients."""
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        sets = ["a GMT file" if one.lower().endswith(".gmt") else one for one in self.genesets]
        return told | {
            "habitats": "given" if self.habitats else "of the case",
            "mask": self.mask is not None,
            "others": len(self.others),
            "genesets": sets,
        }
