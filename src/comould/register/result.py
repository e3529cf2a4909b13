"""SectionRegistration: a section's way to the patient, what it is worth, and how sure it is."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np
import numpy.typing as npt

from comould.errors import ComouldWarning, InputError, RegistrationError
from comould.io.output import write_json
from comould.register.points import Extent, pixel_positions
from comould.register.quality import RegistrationQuality
from comould.space import FloatArray, Transform

if TYPE_CHECKING:
    from comould.register.hops import Hop

FORMAT = "comould.registration"
VERSION = 1
_MAIN, _SAMPLE, _FACTS = "patient_from_section_px.h5", "sample_{:02d}.h5", "registration.json"
_HOP = "hop_{:02d}"


@dataclass(frozen=True)
class Uncertainty:
    """The parts of a position's standard deviation that the ensemble cannot show.

    Parameters
    ----------
    in_plane_mm
        Along u and along v: half a working pixel of slide and plane, and what the method misses of the tissue's
        bending (see :data:`comould.register.ensemble.BENT_IN_PLANE`).
    normal_mm
        Along the normal: what the method misses where the cut's pose was fitted; else the knife's play in the kerf and
        the thickness of the imaging slice.
    normal
        The plane's unit normal, patient LPS.
    """

    in_plane_mm: float
    normal_mm: float
    normal: tuple[float, float, float]

    def variance(self) -> FloatArray:
        """Variance ``(3,)`` along patient x, y, z."""
        return np.diag(self.covariance()).copy()

    def covariance(self) -> FloatArray:
        """Covariance ``(3, 3)`` in patient x, y, z."""
        across = np.outer(self.normal, self.normal)
        return np.asarray(self.in_plane_mm**2 * (np.eye(3) - across) + self.normal_mm**2 * across)

    def draw(self, rng: np.random.Generator, k: int) -> FloatArray:
        """Draw ``k`` shifts ``(k, 3)``, patient mm: one for all points of a plausible position."""
        return rng.multivariate_normal(np.zeros(3), self.covariance(), size=k, method="eigh")


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
    extent_px
        Width and height of the section's picture in full-resolution px, where known: positions outside it are told.
    hops
        The pictures on the way, each with its own quality; empty when the section was laid on the plane directly.
    """

    section_id: str
    plane_id: str
    patient_from_section_px: Transform
    samples: tuple[Transform, ...]
    quality: RegistrationQuality
    uncertainty: Uncertainty
    seed: int = 0
    extent_px: Extent | None = None
    hops: tuple[Hop, ...] = ()

    def map_points(self, points_px: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Map full-resolution pixels to the patient.

        Parameters
        ----------
        points_px
            ``(n, 2)`` x, y; any kind of numbers, any number of points: memory goes with the answer, not with the
            ensemble.

        Returns
        -------
        ndarray, ndarray
            Positions ``(n, 3)`` and standard deviations ``(n, 3)``, patient LPS mm.

        Raises
        ------
        InputError
            If positions have another shape or are not finite.

        Notes
        -----
        The standard deviation joins the ensemble's deviation from the transform that is used (root mean square, so a
        bias between the two counts) with the floor. It covers what chance in the registration, the sampling of the
        pictures and the knife's play do. It does not cover a wrong face or turn (see ``quality.ambiguous``), tissue
        torn or lost, or a kerf that was not kept; calibration against landmarks is a separate matter.
        """
        points = pixel_positions(points_px, f"points of {self.section_id}")
        position, variance = self.patient_from_section_px.apply_with_spread(points, self.samples)
        variance += self.uncertainty.variance()
        return position, np.sqrt(variance, out=variance)

    def plausible_points(self, points_px: npt.ArrayLike, k: int | None = None) -> FloatArray:
        """Map full-resolution pixels to where else in the patient they may lie.

        Parameters
        ----------
        points_px
            ``(n, 2)`` x, y.
        k
            How many positions each; all members of the ensemble if None.

        Returns
        -------
        ndarray
            ``(k, n, 3)`` patient LPS mm. Points of one layer belong together: they come from one plausible transform.

        Raises
        ------
        InputError
            If the ensemble has fewer members, or positions have another shape or are not finite.

        Notes
        -----
        They differ by what the ensemble varies and, for each as a whole, by a shift drawn from the floor of
        :class:`Uncertainty`: the method's own error is smooth over a section. The same seed gives the same shifts.
        """
        points = pixel_positions(points_px, f"points of {self.section_id}")
        k = len(self.samples) if k is None else k
        if not 0 < k <= len(self.samples):
            raise InputError(
                subject=f"plausible positions of {self.section_id}",
                expected=f"1 to {len(self.samples)}" if self.samples else "an ensemble",
                found=f"{k} asked for" if self.samples else "none",
                remedy="Register with n_samples of at least as many",
            )
        found = np.empty((k, len(points), 3))
        shifts = self.uncertainty.draw(np.random.default_rng([self.seed, len(self.samples)]), len(self.samples))
        for layer, sample, shift in zip(found, self.samples, shifts, strict=False):
            np.add(sample.apply(points), shift, out=layer)
        return found

    def covariance(self, points_px: npt.ArrayLike) -> FloatArray:
        """Covariance of every position: the ellipsoid of its uncertainty.

        Parameters
        ----------
        points_px
            ``(n, 2)`` x, y.

        Returns
        -------
        ndarray
            ``(n, 3, 3)`` mm², patient LPS; its diagonal is the square of :meth:`map_points`' standard deviation.

        Raises
        ------
        InputError
            If positions have another shape or are not finite.
        """
        points = pixel_positions(points_px, f"points of {self.section_id}")
        position = self.patient_from_section_px.apply(points)
        total = np.zeros((len(points), 3, 3))
        for sample in self.samples:
            apart = sample.apply(points) - position
            total += apart[:, :, None] * apart[:, None, :]
        return total / max(len(self.samples), 1) + self.uncertainty.covariance()

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
        """Write transforms (``.h5`` with frame sidecars) and facts (``registration.json``) to a folder; returns it.

        Hops lie in folders of their own, ``hop_00`` …
        """
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
            "extent_px": self.extent_px,
            "uncertainty": {
                "in_plane_mm": self.uncertainty.in_plane_mm,
                "normal_mm": self.uncertainty.normal_mm,
                "normal": self.uncertainty.normal,
            },
            "quality": self.quality.to_dict(),
            "hops": [hop.save(folder / _HOP.format(number)) for number, hop in enumerate(self.hops)],
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
        from comould.register.hops import Hop

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
                tuple(extent) if (extent := facts.get("extent_px")) else None,
                tuple(Hop.load(folder / _HOP.format(n), hop) for n, hop in enumerate(facts.get("hops", ()))),
            )
        except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
            _not_ours(folder, f"{type(error).__name__} at {error}", error)


def refuse_rejected(used: list[SectionRegistration], *, force: bool) -> None:
    """Refuse rejected registrations, or warn of them if forced.

    Raises
    ------
    RegistrationError
        If one was rejected, unless forced.
    """
    rejected = [one for one in used if one.quality.verdict == "reject"]
    if not rejected:
        return
    said = "; ".join(f"{one.section_id}: {', '.join(one.quality.reasons)}" for one in rejected)
    if not force:
        raise RegistrationError(
            subject="registration",
            expected="a verdict of accept or review",
            found=f"rejected: {said}",
            remedy="Look at the section; force=True uses it all the same",
        )
    warnings.warn(f"rejected registrations are used because force was given: {said}", ComouldWarning, stacklevel=3)


def _not_ours(folder: Path, found: str, cause: Exception | None = None) -> NoReturn:
    raise InputError(
        subject=f"registration folder {folder.name}", expected="what SectionRegistration.save wrote", found=found
    ) from cause
