"""SectionRegistration: a section's way to the patient, what it is worth, and how sure it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.io.output import write_json
from comould.register.quality import RegistrationQuality
from comould.space import FloatArray, Transform

FORMAT = "comould.registration"
VERSION = 1
_MAIN, _SAMPLE, _FACTS = "patient_from_section_px.h5", "sample_{:02d}.h5", "registration.json"


@dataclass(frozen=True)
class Uncertainty:
    """The parts of a position's standard deviation that the ensemble cannot show.

    Parameters
    ----------
    in_plane_mm
        Along u and along v: half a working pixel of slide and plane, and the accuracy of the method itself where
        nothing perturbed it (see :data:`comould.register.ensemble.METHOD_FLOOR_MM`).
    normal_mm
        Along the normal: the knife's play in the kerf and the thickness of the imaging slice.
    normal
        The plane's unit normal, patient LPS.
    """

    in_plane_mm: float
    normal_mm: float
    normal: tuple[float, float, float]

    def variance(self) -> FloatArray:
        """Variance ``(3,)`` along patient x, y, z."""
        across = np.array(self.normal) ** 2
        return self.in_plane_mm**2 * (1.0 - across) + self.normal_mm**2 * across


@dataclass(frozen=True, eq=False)
class SectionRegistration:
    """One section, brought to the patient.

    Parameters
    ----------
    section_id, plane_id
        Which section, to which cutting plane.
    patient_from_section_px
        Full-resolution pixels to patient mm.
    samples
        Other plausible transforms of the same frames: what the data allow.
    quality
        What it achieved, with its verdict.
    uncertainty
        The floor under the ensemble's spread.
    seed
        The seed it was made with.
    """

    section_id: str
    plane_id: str
    patient_from_section_px: Transform
    samples: tuple[Transform, ...]
    quality: RegistrationQuality
    uncertainty: Uncertainty
    seed: int = 0

    def map_points(self, points_px: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Map full-resolution pixels to the patient.

        Parameters
        ----------
        points_px
            ``(n, 2)`` x, y.

        Returns
        -------
        ndarray, ndarray
            Positions ``(n, 3)`` and standard deviations ``(n, 3)``, patient LPS mm.

        Notes
        -----
        The standard deviation joins the ensemble's deviation from the transform that is used (root mean square, so a
        bias between the two counts) with the floor. It covers what chance in the registration, the sampling of the
        pictures and the knife's play do. It does not cover a wrong face or turn (see ``quality.ambiguous``), tissue
        torn or lost, or a kerf that was not kept; calibration against landmarks is a separate matter.
        """
        points = np.asarray(points_px, dtype=np.float64)
        position = self.patient_from_section_px.apply(points)
        variance = np.broadcast_to(self.uncertainty.variance(), position.shape).copy()
        if self.samples:
            others = np.stack([sample.apply(points) for sample in self.samples])
            variance += np.mean((others - position) ** 2, axis=0)
        return position, np.sqrt(variance)

    def summary(self) -> dict[str, Any]:
        """Give the facts that travel with mapped spots; plain JSON data without ``None``."""
        q = self.quality
        return {
            "plane_id": self.plane_id,
            "verdict": q.verdict,
            "reasons": "; ".join(q.reasons),
            "dice": q.dice,
            "hd95_mm": q.hd95_mm,
            "information_nats": q.information,
            "stage": q.stage,
            "flipped": q.flipped,
            "angle_deg": q.angle_deg,
            "scale": q.scale,
            "margin": q.margin,
            "folding_fraction": q.folding_fraction,
            "n_samples": len(self.samples),
            "floor_in_plane_mm": self.uncertainty.in_plane_mm,
            "floor_normal_mm": self.uncertainty.normal_mm,
            "seed": self.seed,
        }

    def save(self, folder: str | Path) -> Path:
        """Write transforms (``.h5`` with frame sidecars) and facts (``registration.json``) to a folder; returns it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.patient_from_section_px.save(folder / _MAIN)
        for number, sample in enumerate(self.samples):
            sample.save(folder / _SAMPLE.format(number))
        facts = {
            "format": FORMAT,
            "version": VERSION,
            "section_id": self.section_id,
            "plane_id": self.plane_id,
            "n_samples": len(self.samples),
            "seed": self.seed,
            "uncertainty": {
                "in_plane_mm": self.uncertainty.in_plane_mm,
                "normal_mm": self.uncertainty.normal_mm,
                "normal": self.uncertainty.normal,
            },
            "quality": self.quality.to_dict(),
        }
        write_json(folder / _FACTS, facts)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            If the folder is not a saved registration.
        """
        folder = Path(folder)
        try:
            facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            if facts["format"] != FORMAT:
                _not_ours(folder, f"format {facts['format']!r}")
            floor = facts["uncertainty"]
            normal = tuple(floor["normal"])
            samples = tuple(Transform.load(folder / _SAMPLE.format(n)) for n in range(int(facts["n_samples"])))
            return cls(
                facts["section_id"],
                facts["plane_id"],
                Transform.load(folder / _MAIN),
                samples,
                RegistrationQuality.from_dict(facts["quality"]),
                Uncertainty(floor["in_plane_mm"], floor["normal_mm"], normal),
                int(facts["seed"]),
            )
        except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
            _not_ours(folder, f"{type(error).__name__} at {error}", error)


def _not_ours(folder: Path, found: str, cause: Exception | None = None) -> NoReturn:
    raise InputError(
        subject=f"registration folder {folder.name}", expected="what SectionRegistration.save wrote", found=found
    ) from cause
