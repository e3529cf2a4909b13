"""A slab's photographed face against the outline planned for its plane."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.mould import outline
from comould.mould.fit import rigid
from comould.mould.fit.photo import SlabPhoto, read_slab
from comould.mould.fit.planned import Planned
from comould.mould.fit.tilt import Tilt, find_tilt
from comould.mould.fit.verdict import CLEARLY_MM, SCALES, TOLERANCE_MM, Supposition, clearly_better, judge
from comould.space import CutPlane, FloatArray
from comould.space.planes import Face

if TYPE_CHECKING:
    from comould.mould.result import Mould

Up = Literal["mould", "image"]

PLANNED, WRONG_FACE, TURNED, ROLLED, TILTED = "as planned", "wrong face", "turned 180°", "rolled", "tilted"
NO_MATCH = "no match"
_UPRIGHT = (PLANNED, ROLLED, TILTED, NO_MATCH)

NEAR_DEG = (-30.0, -15.0, 0.0, 15.0, 30.0)
"""Where the orientation is known, angles about it from which the fit starts."""

ROLLED_DEG = 10.0
"""A slab turned by more than this within its plane counts as rolled."""

SIZE_RANGE = (0.6, 1.5)
"""Sizes of a slab against its plan beyond which the pixel size, or the file, must be wrong."""


@dataclass(frozen=True, eq=False)
class SlabFit:
    """How one slab agrees with the plan.

    Parameters
    ----------
    plane_id, face
        What was photographed.
    verdict
        The best explanation: ``as planned``, ``wrong face``, ``turned 180°``, ``rolled``, ``tilted``, ``plane P05``
        or ``no match``.
    suppositions
        Every other explanation with its answer: yes, no, or cannot tell (the outline is too symmetric to say).
    dice, hd95_mm, mean_mm
        Agreement as planned, at true size, after the best shift and turn within the plane.
    shape_hd95_mm
        The same percentile when shrinkage is taken out.
    size_ratio
        Square root of the area over the planned one: below 1 the slab shrank.
    turned_deg
        How far the specimen lay turned within the plane, clockwise as seen along the normal; ``None`` when the
        photograph's orientation is not known, or another face or plane was found.
    tilt
        How it lay tilted, when that was looked for.
    plane_from_px
        ``(3, 3)``: pixels x, y of the mask to u, v of the plane in mm.
    planned, laid
        The outlines planned, and the slab's laid on them: u, v in mm.
    """

    plane_id: str
    face: Face
    verdict: str
    suppositions: tuple[Supposition, ...]
    dice: float
    hd95_mm: float
    mean_mm: float
    shape_hd95_mm: float
    size_ratio: float
    turned_deg: float | None
    tilt: Tilt | None
    plane_from_px: FloatArray
    planned: list[FloatArray]
    laid: list[FloatArray]

    @property
    def sat_well(self) -> bool:
        """Whether nothing speaks against its having lain as planned."""
        return self.verdict == PLANNED

    @property
    def undecided(self) -> tuple[str, ...]:
        """What the outline cannot exclude."""
        return tuple(one.name for one in self.suppositions if one.answer == "cannot tell")

    def sentence(self) -> str:
        """Say the verdict in words."""
        text = f"shows {self.verdict}" if self.verdict.startswith("plane ") else self.verdict
        if self.verdict == TILTED and self.tilt is not None:
            text = f"tilted by {self.tilt.degrees:.0f}°"
        if self.verdict == ROLLED and self.turned_deg is not None:
            text = f"rolled by {self.turned_deg:+.0f}°"
        if not self.undecided:
            return text
        listed = ", ".join(self.undecided)
        return f"{text}; cannot exclude: {listed}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "plane": self.plane_id,
            "face": self.face,
            "verdict": self.verdict,
            "sentence": self.sentence(),
            "sat_well": self.sat_well,
            "dice": self.dice,
            "hd95_mm": self.hd95_mm,
            "mean_mm": self.mean_mm,
            "shape_hd95_mm": self.shape_hd95_mm,
            "size_ratio": self.size_ratio,
            "shrinkage_percent": 100.0 * (1.0 - self.size_ratio),
            "turned_deg": self.turned_deg,
            "tilt": None if self.tilt is None else self.tilt.to_dict(),
            "suppositions": [vars(one) for one in self.suppositions],
            "plane_from_px": self.plane_from_px.tolist(),
        }


def fit_slab(
    mask: str | Path | npt.NDArray[Any],
    *,
    planned: Planned | Mould | str | Path,
    plane_id: str,
    pixel_size_um: float,
    face: Face | None = None,
    up: Up | None = None,
    tolerance_mm: float = TOLERANCE_MM,
) -> SlabFit:
    """Compare a slab's photographed face with the plan, and say how the specimen lay.

    Parameters
    ----------
    mask
        Mask of the tissue in the photograph: a picture file or an array, see
        :func:`~comould.mould.fit.photo.read_slab`.
    planned
        The mould, its folder, or what was planned.
    plane_id
        The plane the face was cut at.
    pixel_size_um
        Side of a pixel on the cut face.
    face
        Which face was photographed; the plan's when left out, see :class:`~comould.space.CutPlane`.
    up
        What is up in the photograph: ``"mould"`` (the mould's opening) or ``"image"`` (as the imaging shows the
        plane). ``None``: not known; every turn is then tried, and none is an error.
    tolerance_mm
        HD95 beyond which a slab does not match.

    Returns
    -------
    SlabFit
        Agreement, verdict and what cannot be told.

    Raises
    ------
    InputError
        If the mask cannot be used, the plane is not in the plan, or the slab's size cannot be right.

    Notes
    -----
    Other explanations are tried in turn: the other face, the specimen turned by 180° about the insertion axis, every
    other plane, a roll within the plane (when ``up`` is known) and a tilt up to 15°; all with a shrinkage up to 12 %.
    One is believed when it leaves less than 70 % of the distance the plan leaves, and 0.2 mm (or a pixel) less. A
    symmetric outline cannot tell some of them apart: they are then listed as not excluded.
    """
    plan = Planned.of(planned)
    plane = plan.plan[plane_id]
    _check_words(face, up)
    photo = read_slab(mask, pixel_size_um)
    seen: Face = plane.face if face is None else face
    lines = plan.cutter(plane).at(0.0)
    if not lines:
        raise InputError(subject=f"plane {plane_id}", expected="tissue on it", found="none in the planned specimen")
    work = _Work.start(plan, plane, photo, seen, up)
    target = rigid.Shape.of(lines)
    _check_size(photo, target, plane_id, pixel_size_um)
    return work.judged(target, tolerance_mm)


@dataclass(frozen=True, eq=False)
class _Work:
    """One photograph, ready to be laid on whatever is supposed."""

    plan: Planned
    plane: CutPlane
    photo: SlabPhoto
    face: Face
    shape: rigid.Shape
    mirrored: rigid.Shape
    up_deg: float | None

    @classmethod
    def start(cls, plan: Planned, plane: CutPlane, photo: SlabPhoto, face: Face, up: Up | None) -> _Work:
        """Turn the picture's face round when it was seen against the normal."""
        sides = rigid.Shape.of(photo.outlines), rigid.Shape.of(photo.mirrored())
        along, against = sides if face == "-" else sides[::-1]
        up_u, up_v = plan.up_uv(plane)
        angle = {"mould": float(np.degrees(np.arctan2(up_u, -up_v))), "image": 0.0}
        return cls(plan, plane, photo, face, along, against, None if up is None else angle[up])

    @property
    def starts(self) -> tuple[float, ...]:
        """Angles a fit starts from."""
        return rigid.ALL_ROUND if self.up_deg is None else tuple(self.up_deg + near for near in NEAR_DEG)

    def lay(self, target: rigid.Shape, *, mirrored: bool = False) -> rigid.Laid:
        """Lay the slab, shrunk or not, on a target."""
        source = self.mirrored if mirrored else self.shape
        return rigid.lay(source, target, starts_deg=self.starts, scales=SCALES)[0]

    def judged(self, target: rigid.Shape, tolerance_mm: float) -> SlabFit:
        """Try every explanation."""
        margin = max(CLEARLY_MM, self.photo.pixel_mm)
        fit, rolled = (self.lay(target), None) if self.up_deg is None else self._upright(target, self.up_deg)
        planned = _supposed(PLANNED, fit)
        others = self._others(target)
        if rolled is not None:
            others.append(_supposed(ROLLED, rolled))
        tilt = None
        plainer = [one for one in others if clearly_better(one, planned, margin)]
        if min(one.mean_mm for one in [planned, *plainer]) > margin:
            tilt = find_tilt(self.plan, self.plane, self.shape, fit.angle_deg, SCALES)
            tilted = _supposed(TILTED, self.lay(rigid.Shape.of(tilt.outlines)))
            # A tilt can imitate much: it is believed only where nothing plainer explains as much.
            if tilt.credible and all(clearly_better(tilted, one, margin) for one in plainer):
                others.append(tilted)
        best, answered = judge(planned, others, margin)
        if best.name == ROLLED and rolled is not None:
            fit = rolled
        verdict = NO_MATCH if best is planned and fit.hd95_mm > tolerance_mm else best.name
        return self._result(target, fit, verdict, answered, tilt)

    def _upright(self, target: rigid.Shape, up: float) -> tuple[rigid.Laid, rigid.Laid | None]:
        """Lay the slab as it should lie, give or take a small turn; and at the best other turn."""
        found = rigid.lay(self.shape, target, scales=SCALES)
        found += rigid.lay(self.shape, target, starts_deg=(up,), scales=SCALES)
        small = [one for one in found if abs(_turned(up, one.angle_deg)) <= ROLLED_DEG]
        other = [one for one in found if abs(_turned(up, one.angle_deg)) > ROLLED_DEG]
        held = rigid.held(self.shape, target, up, scales=SCALES)
        upright = min([*small, held], key=lambda one: one.mean_mm)
        return upright, min(other, key=lambda one: one.mean_mm, default=None)

    def _others(self, target: rigid.Shape) -> list[Supposition]:
        found = [_supposed(WRONG_FACE, self.lay(target, mirrored=True))]
        turned = self.plan.cutter(self.plane, self.plan.turned_about(2, 180.0)).at(0.0)
        if turned:
            found.append(_supposed(TURNED, self.lay(rigid.Shape.of(turned))))
        cutter = self.plan.cutter(self.plane)
        for other in self.plan.plan:
            away = other.position_mm - self.plane.position_mm
            if other.id != self.plane.id and (lines := cutter.at(away)):
                found.append(_supposed(f"plane {other.id}", self.lay(rigid.Shape.of(lines))))
        return found

    def _result(
        self,
        target: rigid.Shape,
        laid: rigid.Laid,
        verdict: str,
        answered: list[Supposition],
        tilt: Tilt | None,
    ) -> SlabFit:
        flip = np.diag([1.0 if self.face == "-" else -1.0, 1.0, 1.0])
        shape, laid = laid, rigid.lay(self.shape, target, starts_deg=(laid.angle_deg,))[0]
        angle = np.radians(laid.angle_deg)
        plane_from_photo = np.eye(3)
        plane_from_photo[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        plane_from_photo[:2, 2] = laid.shift_mm
        return SlabFit(
            self.plane.id,
            self.face,
            verdict,
            tuple(answered),
            laid.dice,
            laid.hd95_mm,
            laid.mean_mm,
            shape.hd95_mm,
            float(np.sqrt(self.photo.area_mm2 / target.area_mm2)),
            None if self.up_deg is None or verdict not in _UPRIGHT else _turned(self.up_deg, shape.angle_deg),
            tilt,
            plane_from_photo @ flip @ self.photo.photo_from_px,
            target.outlines,
            laid.apply(self.shape.outlines),
        )


def _supposed(name: str, laid: rigid.Laid) -> Supposition:
    return Supposition(name, laid.mean_mm, laid.hd95_mm, laid.scale)


def _turned(up_deg: float, angle_deg: float) -> float:
    """Turn of the specimen in the mould, from the turn that brings its picture back."""
    return float((up_deg - angle_deg + 180.0) % 360.0 - 180.0)


def _check_words(face: Face | None, up: Up | None) -> None:
    if face not in {None, "-", "+"}:
        raise InputError(subject=f"face {face!r}", expected="'-' or '+'", found="neither")
    if up not in {None, "mould", "image"}:
        raise InputError(subject=f"up {up!r}", expected="'mould' or 'image'", found="neither")


def _check_size(photo: SlabPhoto, target: rigid.Shape, plane_id: str, pixel_size_um: float) -> None:
    ratio = float(np.sqrt(photo.area_mm2 / outline.area_mm2(target.outlines)))
    if not SIZE_RANGE[0] <= ratio <= SIZE_RANGE[1]:
        raise InputError(
            subject=f"slab mask at plane {plane_id}",
            expected=f"about {np.sqrt(target.area_mm2):.0f} mm across",
            found=f"{np.sqrt(photo.area_mm2):.3g} mm at {pixel_size_um:g} µm per pixel",
            remedy="Check the pixel size (µm, not mm) and that the mask is of this slab",
        )
