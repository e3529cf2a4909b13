"""What a registration achieved, in numbers, and whether it may be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from comould.errors import InputError

Verdict = Literal["accept", "review", "reject"]


@dataclass(frozen=True)
class Thresholds:
    """When a registration is rejected, and when somebody should look at it.

    Parameters
    ----------
    reject_dice, review_dice
        Overlap of tissue and specimen below which it is so.
    review_hd95_mm
        Distance between the outlines above which it is looked at, and at least ``review_hd95_fraction`` of the
        specimen's radius in the plane.
    review_margin
        Smallest relative lead of the best answer over another face or turn.
    review_information
        Mutual information (nats) below which inside and outside of the tissue say nothing of each other.
    reject_area_ratio
        Tissue area over specimen area (shrinkage taken at its bounds) below which most of the section is missing.
    review_spread_mm
        Median spread of the ensemble above which it is looked at.
    """

    reject_dice: float = 0.70
    review_dice: float = 0.88
    review_hd95_mm: float = 2.0
    review_hd95_fraction: float = 0.12
    review_margin: float = 0.05
    review_information: float = 0.03
    reject_area_ratio: float = 0.35
    review_spread_mm: float = 1.5


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
class RegistrationQuality:
    """What a section's registration achieved.

    Whole-outline overlap does not show accuracy inside (Rohlfing 2012); only landmarks do. These numbers find failures.

    Parameters
    ----------
    verdict, reasons
        ``accept``, ``review`` (usable, look at it) or ``reject`` (must not be used), and every reason for it.
    dice, hd95_mm
        Overlap, and 95th percentile of the distance between the outlines, in plane mm.
    information
        Mutual information (nats) of tissue classes and imaging classes.
    flipped, angle_deg, scale
        The placement found: mirrored x, turn after the mirroring, patient mm per slide mm.
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
            values = {**data, "reasons": tuple(data["reasons"]), "jacobian_range": tuple(data["jacobian_range"])}
            values["stages"] = tuple(_stage(stage) for stage in data["stages"])
            values["spread_mm"] = float("nan") if data["spread_mm"] is None else data["spread_mm"]
            return cls(**values)
        except (KeyError, TypeError) as error:
            names = ", ".join(field.name for field in fields(cls))
            raise InputError(
                subject="registration quality", expected=f"the keys {names}", found=f"trouble at {error}"
            ) from error


def _stage(data: Mapping[str, Any]) -> StageQuality:
    ranges = {key: tuple(data[key]) for key in ("jacobian_range", "stretch_range")}
    return StageQuality(**{**data, **ranges})


def verdict(
    thresholds: Thresholds,
    *,
    dice: float,
    hd95_mm: float,
    radius_mm: float,
    information: float,
    margin: float,
    area_ratio: float,
    spread_mm: float,
) -> tuple[Verdict, tuple[str, ...]]:
    """Judge the numbers; every reason is named, the gravest decides."""
    t = thresholds
    hd95_limit = max(t.review_hd95_mm, t.review_hd95_fraction * radius_mm)
    grave = [
        (dice < t.reject_dice, f"overlap (Dice) {dice:.2f} is below {t.reject_dice:.2f}"),
        (area_ratio < t.reject_area_ratio, f"the tissue covers {area_ratio:.0%} of the specimen's area in the plane"),
    ]
    light = [
        (t.reject_dice <= dice < t.review_dice, f"overlap (Dice) {dice:.2f} is below {t.review_dice:.2f}"),
        (hd95_mm > hd95_limit, f"the outlines lie {hd95_mm:.1f} mm apart (HD95)"),
        (margin < t.review_margin, f"another face or turn fits nearly as well (lead {margin:.1%})"),
        (information < t.review_information, f"stain and imaging share {information:.3f} nats only"),
        (spread_mm > t.review_spread_mm, f"repeated registrations spread by {spread_mm:.1f} mm"),
    ]
    reasons = tuple(_said(grave)) + tuple(_said(light))
    if any(broken for broken, _ in grave):
        return "reject", reasons
    return ("review" if reasons else "accept"), reasons


def _said(rules: Sequence[tuple[bool, str]]) -> list[str]:
    return [text for broken, text in rules if broken]
