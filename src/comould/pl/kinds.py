"""What the figures need of the other rooms' results: shapes, not classes, so that any look-alike can be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from comould.pl.render import MeshLike
from comould.space import SlicePlan, Transform

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
