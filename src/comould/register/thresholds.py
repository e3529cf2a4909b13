"""Thresholds and verdict: whether a registration may be used, with every reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from comould.errors import InputError
from comould.register.quality import RegistrationQuality, Verdict

OWN_FILE = Path(__file__).with_name("thresholds.yaml")


@dataclass(frozen=True)
class Thresholds:
    """When a registration is rejected, and when somebody should look at it.

    Values and their sources stand in ``thresholds.yaml`` beside this module; :meth:`load` reads it or another file.
    """

    reject_tre_mean_mm: float
    review_tre_mean_mm: float
    review_tre_max_mm: float
    review_round_trip_mm: float
    reject_round_trip_mm: float
    reject_folding: float
    reject_dice: float
    review_dice: float
    review_hd95_mm: float
    review_hd95_fraction: float
    review_sector_gap_mm: float
    review_sector_gap_fraction: float
    review_margin: float
    review_information: float
    reject_area_ratio: float
    review_area_ratio: float
    reject_large_ratio: float
    review_spread_mm: float
    review_offset_mm: float
    review_tilt_deg: float
    review_plane_margin: float
    review_piece_ratio: float
    review_face_lead: float
    reject_face_lead: float

    @classmethod
    def load(cls, path: str | Path | None = None) -> Self:
        """Read thresholds; the file that comes with the package if no other is given.

        Raises
        ------
        InputError
            If the file is not such a list, naming every key that is unknown, missing or no number.
        """
        data = _own() if path is None else _read(Path(path))
        names = [field.name for field in fields(cls)]
        problems = [f"{key} is no threshold" for key in data if key not in names]
        problems += [f"{name} is missing" for name in names if name not in data]
        problems += [
            f"{name} is {data[name]!r}, not a number"
            for name in names
            if name in data and (isinstance(data[name], bool) or not isinstance(data[name], int | float))
        ]
        if problems:
            raise InputError.collect(subject=f"thresholds file {(path or OWN_FILE)!s}", problems=problems)
        return cls(**{name: float(data[name]) for name in names})


@lru_cache(maxsize=1)
def _own() -> dict[str, Any]:
    return _read(OWN_FILE)


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(subject=f"thresholds file {path}", expected="readable YAML", found=reason) from error
    if not isinstance(data, dict):
        raise InputError(
            subject=f"thresholds file {path}", expected="a list of name: number", found=type(data).__name__
        )
    return {str(key): value for key, value in data.items()}


def judged(quality: RegistrationQuality, thresholds: Thresholds) -> RegistrationQuality:
    """Give a quality its verdict and reasons; every reason is named, the gravest decides."""
    grave = _said(_grave(quality, thresholds))
    rules = _light(quality, thresholds) + _about_landmarks(quality, thresholds) + _about_pose(quality, thresholds)
    light = [*_said(rules), *quality.findings]
    verdict: Verdict = "reject" if grave else "review" if light else "accept"
    return replace(quality, verdict=verdict, reasons=(*grave, *light, *_face_note(quality, thresholds), *quality.notes))


def with_planes(
    quality: RegistrationQuality, thresholds: Thresholds, scores: Mapping[str, float], plane_id: str
) -> RegistrationQuality:
    """Add what planes of the plan score; a better one than the section's own becomes a reason to review."""
    quality = replace(quality, plane_scores=dict(scores))
    if plane_id not in scores:
        return quality
    best = max(scores, key=lambda name: scores[name])
    lead = scores[best] / max(scores[plane_id], 1e-9) - 1.0
    if best == plane_id or lead <= thresholds.review_plane_margin:
        return quality
    said = f"plane {best} fits better ({scores[best]:.2f} against {scores[plane_id]:.2f}); nothing was moved"
    verdict: Verdict = "reject" if quality.verdict == "reject" else "review"
    return replace(quality, verdict=verdict, reasons=(*quality.reasons, said))


_Rules = list[tuple[bool, str]]


def _grave(q: RegistrationQuality, t: Thresholds) -> _Rules:
    held = q.held_out
    lead = q.face_lead or 0.0
    return [
        (q.dice < t.reject_dice, f"overlap (Dice) {q.dice:.2f} is below {t.reject_dice:.2f}"),
        (
            q.area_ratio < t.reject_area_ratio,
            f"the tissue covers {q.area_ratio:.2g} of the specimen's area in the plane{_pixels(q.area_ratio)}",
        ),
        (
            q.area_ratio > t.reject_large_ratio,
            f"the tissue is {q.area_ratio:.2g} times as large as the specimen there{_pixels(q.area_ratio)}",
        ),
        (q.folding_fraction > t.reject_folding, f"the map folds {q.folding_fraction:.2%} of the tissue"),
        (q.round_trip_mm > t.reject_round_trip_mm, f"there and back ends {q.round_trip_mm:.1f} mm away"),
        (lead > t.reject_face_lead, _other_face(lead)),
        (
            held is not None and held.mean_mm > t.reject_tre_mean_mm,
            "" if held is None else f"held-out landmarks are {held.mean_mm:.1f} mm off on average",
        ),
    ]


def _pixels(ratio: float) -> str:
    """Ask after the pixel size where it must be off by a lot."""
    return "; is the pixel size right?" if not 0.05 < ratio < 8.0 else ""


def _other_face(lead: float) -> str:
    return f"the other face fits better than the one named (by {lead:.0%})"


def _rival(margin: float) -> str:
    if margin < 0:
        return "another face or turn fits better outside, worse inside"
    return f"another face or turn fits nearly as well (lead {margin:.1%})"


def _face_note(q: RegistrationQuality, t: Thresholds) -> list[str]:
    """Tell that only the name decided on the face: no reason to doubt the name."""
    if q.face_lead is None or abs(q.face_lead) > t.review_face_lead:
        return []
    return ["the pictures do not tell the face named from the other"]


def _light(q: RegistrationQuality, t: Thresholds) -> _Rules:
    hd95_limit = max(t.review_hd95_mm, t.review_hd95_fraction * q.radius_mm)
    gap_limit = max(t.review_sector_gap_mm, t.review_sector_gap_fraction * q.radius_mm)
    pieces, lead = q.pieces_mm2, q.face_lead or 0.0
    areas = " and ".join(f"{area:.0f} mm²" for area in pieces[:3])
    return [
        (t.reject_dice <= q.dice < t.review_dice, f"overlap (Dice) {q.dice:.2f} is below {t.review_dice:.2f}"),
        (q.hd95_mm > hd95_limit, f"the outlines lie {q.hd95_mm:.1f} mm apart (HD95)"),
        (q.sector_gap_mm > gap_limit, f"on one side the outlines lie {q.sector_gap_mm:.1f} mm apart"),
        (q.margin < t.review_margin, _rival(q.margin)),
        (q.information < t.review_information, f"stain and imaging share {q.information:.3f} nats only"),
        (q.spread_mm > t.review_spread_mm, f"repeated registrations spread by {q.spread_mm:.1f} mm"),
        (
            t.review_round_trip_mm < q.round_trip_mm <= t.reject_round_trip_mm,
            f"there and back ends {q.round_trip_mm:.1f} mm away",
        ),
        (
            t.review_area_ratio < q.area_ratio <= t.reject_large_ratio,
            f"the tissue is {q.area_ratio:.2g} times as large as the specimen there",
        ),
        (
            len(pieces) > 1 and pieces[1] >= t.review_piece_ratio * pieces[0],
            f"{len(pieces)} pieces of tissue: {areas}",
        ),
        (t.review_face_lead < lead <= t.reject_face_lead, _other_face(lead)),
    ]


def _about_landmarks(q: RegistrationQuality, t: Thresholds) -> _Rules:
    """Held-out landmarks prove or disprove; fitted ones prove nothing, but may contradict."""
    rules: _Rules = []
    if q.held_out is not None:
        mean, most, worst = q.held_out.mean_mm, q.held_out.max_mm, q.held_out.worst
        off = f"held-out landmarks are {mean:.1f} mm off on average"
        rules.append((t.review_tre_mean_mm < mean <= t.reject_tre_mean_mm, off))
        rules.append((most > t.review_tre_max_mm, f"held-out landmark {worst!r} is {most:.1f} mm off"))
    if q.fitted is not None:
        most, worst = q.fitted.max_mm, q.fitted.worst
        rules.append((most > t.review_tre_max_mm, f"landmark {worst!r} is {most:.1f} mm off though it was fitted"))
    return rules


def _about_pose(q: RegistrationQuality, t: Thresholds) -> _Rules:
    if q.pose is None:
        return []
    far, tilt = abs(q.pose.offset_mm), q.pose.tilt_size_deg
    return [
        (far > t.review_offset_mm, f"the cut seems to lie {q.pose.offset_mm:+.1f} mm from its plane"),
        (tilt > t.review_tilt_deg, f"the cut seems tilted by {tilt:.0f}°"),
    ]


def _said(rules: Sequence[tuple[bool, str]]) -> list[str]:
    return [text for broken, text in rules if broken]
