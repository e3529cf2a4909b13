"""What the figures need of the other rooms' results: shapes, not classes, so that any look-alike can be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from comould.pl.render import MeshLike
from comould.space import FloatArray, SlicePlan, Transform

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk


class MouldLike(Protocol):
    """A mould: bodies and specimen in the mould frame, with its plan."""

    @property
    def bodies(self) -> Mapping[str, MeshLike]:
        """Printed bodies by name."""
        ...

    @property
    def specimen(self) -> MeshLike:
        """The specimen's surface."""
        ...

    @property
    def plan(self) -> SlicePlan:
        """The cutting planes, patient mm."""
        ...

    @property
    def mould_from_patient(self) -> Transform:
        """Rigid transform."""
        ...


class RegistrationLike(Protocol):
    """A registered section."""

    @property
    def section_id(self) -> str:
        """The section's name."""
        ...

    @property
    def plane_id(self) -> str:
        """The plane it was taken at."""
        ...

    @property
    def patient_from_section_px(self) -> Transform:
        """Full-resolution pixels to patient mm."""
        ...

    @property
    def quality(self) -> Any:
        """Has ``verdict`` and ``reasons``."""
        ...


class PoseLike(Protocol):
    """A cut relative to its planned plane, with the likelihood of each offset."""

    @property
    def offset_mm(self) -> float:
        """Distance from the planned plane along its normal."""
        ...

    @property
    def offset_sd_mm(self) -> float:
        """Its standard deviation."""
        ...

    @property
    def offsets_mm(self) -> Sequence[float]:
        """Offsets tried."""
        ...

    @property
    def log_likelihood(self) -> Sequence[float]:
        """Of each, relative to the best; nats."""
        ...

    @property
    def applied(self) -> bool:
        """Whether positions follow it."""
        ...


class PairsLike(Protocol):
    """The same places on a section and in the patient."""

    @property
    def names(self) -> Sequence[str]:
        """One each."""
        ...

    @property
    def section_px(self) -> FloatArray:
        """``(n, 2)`` full-resolution px."""
        ...

    @property
    def target(self) -> FloatArray:
        """``(n, 3)`` patient mm."""
        ...


class LandmarksLike(Protocol):
    """Landmarks of one section: those the registration was fitted to, and those it never saw."""

    @property
    def landmarks(self) -> PairsLike | None:
        """Fitted."""
        ...

    @property
    def held_out(self) -> PairsLike | None:
        """Held out."""
        ...


class StackLike(Protocol):
    """A specimen's sections registered together."""

    @property
    def shrinkage(self) -> float:
        """Common ratio of slide size to patient size; NaN when unknown."""
        ...

    @property
    def table(self) -> pd.DataFrame:
        """One row a section: plane, verdict, scale, expected_scale, offset_mm, offset_sd_mm, tilt_deg, best_plane."""
        ...


class HabitatsLike(Protocol):
    """Habitats: a label map (0 outside, 1 … k) and what was found about them."""

    @property
    def labels(self) -> sitk.Image:
        """Label map."""
        ...

    @property
    def table(self) -> pd.DataFrame:
        """One row per habitat."""
        ...

    @property
    def selection(self) -> Any:
        """Score per number of habitats."""
        ...
