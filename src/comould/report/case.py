"""CaseReport: what a report can show of one case; every part is optional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from comould.errors import InputError
from comould.io.section import Section
from comould.pl.kinds import HabitatsLike, LandmarksLike, MouldLike, RegistrationLike, StackLike
from comould.space import SlicePlan

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk
    from anndata import AnnData

    from comould.associate.scrutiny import ShiftCurve


@dataclass(frozen=True, eq=False)
class CaseReport:
    """The parts of a case's report; what is ``None`` or empty is left out.

    Parameters
    ----------
    title
        Heading; no patient data.
    simulated
        Whether the specimen is simulated; said plainly at the top and wherever truth is used.
    mould
        The mould; its plan is used when ``plan`` is not given.
    image, mask
        The volume shown beneath everything, and the specimen. Planes, sections and habitats need both; the specimen
        alone can be turned.
    plan
        The cutting planes.
    sections
        Slides, in any order.
    registrations
        Their registrations, paired by ``section_id``.
    stack
        What they say of one another: :class:`comould.register.Stack`.
    landmarks
        By section id: those fitted (``landmarks``) and held out (``held_out``), as :class:`comould.register.Clues` has
        them.
    spots
        One AnnData or several, with ``obs["section"]`` and ``obsm["spatial"]``; ``obs["habitat"]`` when sampled.
    errors
        Against known truth, one row a spot: ``section``, ``error_mm``, ``nothing_mm`` and perhaps ``sd_mm``.
    habitats
        Label map with table and selection curve.
    habitat_names
        Own names by number, e.g. ``{1: "rim"}``.
    results
        Table of :func:`comould.associate.test`.
    genes
        Truth of a simulated specimen: index gene, column ``habitat`` (empty when it follows none).
    shift, controls
        Of :func:`comould.associate.shift_curve` and :func:`comould.associate.controls`: what the claims were held
        against.
    provenance
        From :func:`comould.io.output.provenance`.
    seconds
        Step to seconds.
    fdr
        False-discovery rate at which a gene counts as claimed.

    Raises
    ------
    InputError
        If the image goes without its mask, section ids repeat, or a table lacks a column.
    """

    title: str = "Case report"
    simulated: bool = False
    mould: MouldLike | None = None
    image: sitk.Image | None = None
    mask: sitk.Image | None = None
    plan: SlicePlan | None = None
    sections: Sequence[Section] = ()
    registrations: Sequence[RegistrationLike] = ()
    stack: StackLike | None = None
    landmarks: Mapping[str, LandmarksLike] = field(default_factory=dict)
    spots: AnnData | Sequence[AnnData] | None = None
    errors: pd.DataFrame | None = None
    habitats: HabitatsLike | None = None
    habitat_names: Mapping[int, str] = field(default_factory=dict)
    results: pd.DataFrame | None = None
    genes: pd.DataFrame | None = None
    shift: ShiftCurve | None = None
    controls: pd.DataFrame | None = None
    calibration: pd.DataFrame | None = None
    provenance: Mapping[str, Any] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    fdr: float = 0.1

    def __post_init__(self) -> None:
        problems = []
        ids = [section.id for section in self.sections]
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            problems.append(f"section ids used twice: {', '.join(twice)}")
        if self.image is not None and self.mask is None:
            problems.append("image and mask go together, the mask is missing")
        wanted = {
            "errors": ("section", "error_mm", "nothing_mm"),
            "results": ("feature", "p_spatial", "q_spatial", "p_naive", "q_naive"),
            "genes": ("habitat",),
            "controls": ("control", "what", "n_tested", "n_found", "n_right_map", "verdict", "note"),
            "calibration": ("test", "habitat", "rate_05", "low", "high", "n_maps", "verdict"),
        }
        for name, columns in wanted.items():
            table = getattr(self, name)
            if table is not None and (lacking := [c for c in columns if c not in table]):
                problems.append(f"table {name} lacks {', '.join(lacking)}")
        if not 0 < self.fdr < 1:
            problems.append(f"fdr {self.fdr} is not between 0 and 1")
        if problems:
            raise InputError.collect(subject="case report", problems=problems)

    @classmethod
    def of(cls, parts: CaseReport | Mapping[str, Any]) -> Self | CaseReport:
        """Take a report's parts as they are, or from a mapping with the same names.

        Raises
        ------
        InputError
            If the mapping has a name that is no part.
        """
        if isinstance(parts, CaseReport):
            return parts
        known = [f.name for f in fields(cls)]
        if unknown := sorted(set(parts) - set(known)):
            raise InputError(subject="case report", expected=f"parts of {', '.join(known)}", found=", ".join(unknown))
        return cls(**parts)

    @property
    def cutting(self) -> SlicePlan | None:
        """The plan given, or the mould's."""
        return self.plan if self.plan is not None or self.mould is None else self.mould.plan

    @property
    def spot_sets(self) -> list[AnnData]:
        """The spots as a list."""
        if self.spots is None:
            return []
        return [self.spots] if hasattr(self.spots, "obsm") else list(self.spots)

    @property
    def paired(self) -> list[tuple[Section, RegistrationLike]]:
        """Sections with their registrations, by id, in the order of the plan's planes."""
        by_id = {registration.section_id: registration for registration in self.registrations}
        pairs = [(s, by_id[s.id]) for s in self.sections if s.id in by_id]
        order = [plane.id for plane in self.cutting] if self.cutting is not None else []
        return sorted(pairs, key=lambda p: order.index(p[1].plane_id) if p[1].plane_id in order else len(order))
