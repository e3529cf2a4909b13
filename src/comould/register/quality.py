"""What a registration achieved, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

import numpy as np

from comould.errors import InputError
from comould.register.pose import PlanePose
from comould.space import FloatArray

Verdict = Literal["accept", "review", "reject"]


@dataclass(frozen=True)
class StageQuality:
    """One stage: what was measured after it, whether it was kept, and why not."""

    name: str
    kept: bool
    reason: str
    dice: float
    information: float
    score: float
    folding_fraction: float
    jacobian_range: tuple[float, float]
    stretch_range: tuple[float, float]


@dataclass(frozen=True)
class LandmarkErrors:
    """Distances left between landmark pairs.

    Parameters
    ----------
    names
        One each.
    residual_mm
        Distance of each mapped landmark from its target.
    held_out
        Whether the registration never saw them: then these are target registration errors (TRE).
    """

    names: tuple[str, ...]
    residual_mm: tuple[float, ...]
    held_out: bool

    @property
    def mean_mm(self) -> float:
        """Mean distance."""
        return float(np.mean(self.residual_mm))

    @property
    def median_mm(self) -> float:
        """Median distance."""
        return float(np.median(self.residual_mm))

    @property
    def max_mm(self) -> float:
        """Largest distance."""
        return float(np.max(self.residual_mm))

    @property
    def worst(self) -> str:
        """Name of the landmark with the largest distance."""
        return self.names[int(np.argmax(self.residual_mm))]

    @classmethod
    def of(cls, names: tuple[str, ...], found: FloatArray, wanted: FloatArray, *, held_out: bool) -> Self:
        """Measure ``(n, 2)`` or ``(n, 3)`` positions in mm against where they should be."""
        away = np.linalg.norm(found - wanted, axis=1)
        return cls(names, tuple(float(x) for x in away), held_out)


@dataclass(frozen=True)
class RegistrationQuality:
    """What a section's registration achieved.

    Whole-outline overlap does not show accuracy inside (Rohlfing 2012); only landmarks do. These numbers find failures.

    Parameters
    ----------
    verdict, reasons
        ``accept``, ``review`` (usable, look at it) or ``reject`` (must not be used), and every reason for it.
    dice, hd95_mm
        Overlap, and 95th percentile of the distance between the outlines, in target mm.
    area_ratio, radius_mm
        Tissue area on the slide over the target's, and the target's radius.
    sector_gap_mm
        Mean gap between the outlines in the worst of twelve sectors: overlap, localized.
    information
        Mutual information (nats) of tissue classes and imaging classes.
    flipped, angle_deg, scale
        The placement found: mirrored x, turn after the mirroring, target mm per slide mm (of the linear part, which is
        about 1 % low: see :class:`~comould.register.Stack`).
    margin, ambiguous
        Relative lead of the best placement over the second best (another face, or another turn), and whether it is
        too small to trust.
    second_best
        The second best placement (``flipped``, ``angle_deg``, ``score``), empty when there is none.
    stage, stages
        The last stage kept, and all of them.
    folding_fraction, jacobian_range
        Of the map that won, over the tissue: share with a determinant ≤ 0, and least and greatest area change.
    spread_mm
        Median over the tissue of the ensemble's standard deviation in the plane; NaN without an ensemble.
    round_trip_mm
        Median distance of tissue from itself after the way there and an independent way back, slide mm; NaN if the
        way back was not registered.
    held_out, fitted
        Errors at landmarks that were held out, and at those that were fitted.
    pose
        Offset and tilt of the cut around its plane, with the likelihood curve; ``None`` if not searched.
    plane_scores
        What this and neighbouring planes of the plan score, where they were compared.
    pieces_mm2
        Areas of the pieces of tissue found, largest first.
    face_lead
        Where the section's face was named: relative lead of the other face over it, below 0 as a rule; ``None`` where
        none was named, or turn and face came from landmarks.
    findings, notes
        What was seen on the picture or in the clues before anything was registered. A finding is a reason to review; a
        note is told with the reasons and changes no verdict.

    References
    ----------
    T. Rohlfing, IEEE Trans. Med. Imaging 31 (2012), doi:10.1109/TMI.2011.2163944.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    dice: float
    hd95_mm: float
    information: float
    flipped: bool
    angle_deg: float
    scale: float
    margin: float
    ambiguous: bool
    second_best: Mapping[str, Any]
    stage: str
    stages: tuple[StageQuality, ...]
    folding_fraction: float
    jacobian_range: tuple[float, float]
    spread_mm: float
    area_ratio: float = 1.0
    radius_mm: float = 0.0
    sector_gap_mm: float = 0.0
    round_trip_mm: float = float("nan")
    held_out: LandmarkErrors | None = None
    fitted: LandmarkErrors | None = None
    pose: PlanePose | None = None
    plane_scores: Mapping[str, float] | None = None
    pieces_mm2: tuple[float, ...] = ()
    face_lead: float | None = None
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data, JSON-able by :func:`comould.io.output.write_json`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read plain data.

        Raises
        ------
        InputError
            If a key is missing or unknown.
        """
        try:
            values = {**data, **{key: tuple(data[key]) for key in ("reasons", "jacobian_range", "pieces_mm2")}}
            # Registrations saved before these were measured are read as well.
            values |= {key: tuple(data.get(key, ())) for key in ("findings", "notes")}
            values["stages"] = tuple(_stage(stage) for stage in data["stages"])
            for key in ("spread_mm", "round_trip_mm"):
                values[key] = float("nan") if data[key] is None else data[key]
            for key in ("held_out", "fitted"):
                values[key] = None if data[key] is None else _errors(data[key])
            values["pose"] = None if data["pose"] is None else PlanePose.from_dict(data["pose"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            names = ", ".join(field.name for field in fields(cls))
            raise InputError(
                subject="registration quality", expected=f"the keys {names}", found=f"trouble at {error}"
            ) from error


def _stage(data: Mapping[str, Any]) -> StageQuality:
    ranges = {key: tuple(data[key]) for key in ("jacobian_range", "stretch_range")}
    return StageQuality(**{**data, **ranges})


def _errors(data: Mapping[str, Any]) -> LandmarkErrors:
    return LandmarkErrors(tuple(data["names"]), tuple(data["residual_mm"]), bool(data["held_out"]))
