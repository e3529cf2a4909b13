"""How habitats of one tumour are made: every choice of ``comould habitats``, checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould.errors import InputError

if TYPE_CHECKING:
    from comould.habitats import HabitatModel
    from comould.habitats.request import Request

STEPS_OF_PREPARATION = ("hu", "adc", "zscore", "n4")


@dataclass(frozen=True)
class HabitatOptions:
    """How habitats are found and what is written.

    Parameters
    ----------
    n_habitats, max_habitats, method, rule, features, radius_mm, bins, supervoxel_mm, spatial_weight, seed
        As in :func:`comould.habitats.fit`.
    prepare
        Image name to what is done to it before: ``hu`` or ``hu:<window>`` (CT window), ``adc`` (to 10⁻⁶ mm²/s),
        ``zscore`` (in the mask), ``n4`` (shading), several joined by ``+``.
    stability
        Measure features and habitats again under perturbation, and leave unstable features out.
    least_icc
        What a stable feature reaches.
    model
        File of a model to apply in place of finding habitats.
    dicom_seg
        Folder of the DICOM series a SEG is written for; when None, that of the image on the mask's grid, if one is.

    Raises
    ------
    InputError
        If a choice is none; all of them are named.
    """

    n_habitats: int | None = None
    max_habitats: int = 6
    method: str = "gmm"
    rule: str = "excess"
    features: tuple[str, ...] = ("intensity.voxel",)
    radius_mm: float = 2.0
    bins: int = 32
    supervoxel_mm: float | None = None
    spatial_weight: float = 8.0
    seed: int = 0
    prepare: Mapping[str, str] = field(default_factory=dict)
    stability: bool = True
    least_icc: float = 0.75
    model: Path | None = None
    dicom_seg: Path | None = None

    def __post_init__(self) -> None:
        problems = []
        if not 0 < self.least_icc < 1:
            problems.append(f"least_icc {self.least_icc:g} is not between 0 and 1")
        if not 2 <= self.bins <= 1024:
            problems.append(f"bins {self.bins} is not between 2 and 1024")
        for image, steps in self.prepare.items():
            wrong = [step for step in steps.split("+") if step.partition(":")[0] not in STEPS_OF_PREPARATION]
            problems += [f"preparation {s!r} of {image} is none of {', '.join(STEPS_OF_PREPARATION)}" for s in wrong]
        if problems:
            raise InputError.collect(subject="habitat options", problems=problems)
        self.request()

    def request(self, without: tuple[str, ...] = ()) -> Request:
        """Make the clustering's own request."""
        from comould.habitats.request import Request

        return Request(
            self.n_habitats, self.method, self.radius_mm, self.seed, self.max_habitats, self.rule,  # type: ignore[arg-type]
            self.supervoxel_mm, self.spatial_weight, bins=self.bins, without=without,
        )  # fmt: skip

    def read_model(self) -> HabitatModel | None:
        """Read the model to apply, if one was given."""
        from comould.habitats import HabitatModel

        return None if self.model is None else HabitatModel.load(self.model)

    def said(self) -> dict[str, Any]:
        """Say the choices, for provenance: paths are left out."""
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        return told | {"model": self.model is not None, "dicom_seg": self.dicom_seg is not None}
