"""What the sheet says in words and numbers: depths, slabs, directions, sizes of the mould."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from comould.pl.kinds import MouldLike
from comould.pl.view import letters
from comould.report.sheet.inks import NAMES
from comould.report.sheet.scene import slab_at
from comould.space import CutPlane, FloatArray


@dataclass(frozen=True)
class Slab:
    """A slab: between which planes, and where its tissue begins and ends, mm from the specimen's first end."""

    id: str
    between: str
    start_mm: float
    stop_mm: float
    photographed_at: str

    @property
    def thickness_mm(self) -> float:
        """Tissue along the normal."""
        return max(self.stop_mm - self.start_mm, 0.0)


@dataclass(frozen=True)
class PlaneFacts:
    """One plane in words.

    Parameters
    ----------
    number, of
        Counting from 1.
    before, after
        Slab ids on the side the normal comes from, and beyond.
    photographed, opposite
        Ids of the slab whose face at this plane is photographed, and of the other one.
    depth_mm
        From the specimen's first end along the normal.
    wall_mm
        From the outer face of the mould's first end wall.
    image_index
        ``"14"``, or empty.
    slot_mm
        Length of the slot, when the mould's report has it.
    """

    number: int
    of: int
    before: str
    after: str
    photographed: str
    opposite: str
    depth_mm: float
    wall_mm: float
    image_index: str
    slot_mm: float | None


class Facts:
    """Everything said about one mould.

    Parameters
    ----------
    mould
        As :class:`comould.mould.Mould`; report and template are used where they have something.
    specimen_mm
        ``(n, 3)`` patient positions of the specimen's surface.
    """

    def __init__(self, mould: MouldLike, specimen_mm: FloatArray) -> None:
        self.mould = mould
        self.report: Mapping[str, Any] = getattr(mould, "report", None) or {}
        self.parameters: Any = getattr(getattr(mould, "template", None), "parameters", None)
        self.rotation = mould.mould_from_patient.matrix[:3, :3]
        along = specimen_mm @ mould.plan.normal
        self.first_mm, self.last_mm = float(along.min()), float(along.max())
        self.planes = {plane.id: self._plane(n, plane) for n, plane in enumerate(mould.plan)}
        self.slabs = self._slabs()

    @property
    def mould_id(self) -> str:
        """Engraved name, or empty."""
        made_up = self.report.get("mould_id") or getattr(self.parameters, "mould_id", "")
        return str(made_up or "")

    @property
    def first_end(self) -> str:
        """Letters of the end the first plane is near."""
        return self.end(-1.0)

    def end(self, sign: float) -> str:
        """Letters of the end along the normal (+1) or against it, as engraved on the wall that lies there."""
        along = sign * (self.rotation @ self.mould.plan.normal)
        axis = int(np.argmax(np.abs(along)))
        return (
            self.wall(axis, float(along[axis])) if abs(along[axis]) > 0.99 else letters(sign * self.mould.plan.normal)
        )

    def wall(self, axis: int, sign: float) -> str:
        """Letters of the patient direction a side of the mould faces (axis 0 x, 1 y, 2 z of the mould)."""
        engraved = self.report.get("letters", {}).get(f"{'+' if sign > 0 else '-'}{'xyz'[axis]}")
        return str(engraved or letters(sign * self.rotation[axis]))

    def setting(self, name: str) -> Any:
        """Look up a setting of the template; ``None`` when there is none."""
        return getattr(self.parameters, name, None)

    @property
    def spacing(self) -> str:
        """Distances between planes, in words."""
        apart = self.mould.plan.spacings_mm
        if not len(apart):
            return "one cut only"
        low, high = float(apart.min()), float(apart.max())
        return f"{low:.2f} mm" if high - low < 0.01 else f"{low:.2f} to {high:.2f} mm"

    @property
    def blade_mm(self) -> float | None:
        """Length of the shortest slot: a blade for all of them is shorter."""
        lengths = [plane.slot_mm for plane in self.planes.values() if plane.slot_mm is not None]
        return min(lengths, default=None)

    def _slot_mm(self, index: int) -> float | None:
        slots = self.report.get("slots", {})
        each = slots.get("each", ())
        if index < len(each):
            low, high = each[index]["y_mm"]
            return float(high - low)
        return float(slots["length_mm"]) if "length_mm" in slots else None

    @property
    def faces(self) -> set[str]:
        """Faces photographed, over all planes."""
        return {plane.face for plane in self.mould.plan}

    def _plane(self, index: int, plane: CutPlane) -> PlaneFacts:
        other = "+" if plane.face == "-" else "-"
        return PlaneFacts(
            number=index + 1,
            of=len(self.mould.plan),
            before=slab_at(index, "+"),
            after=slab_at(index, "-"),
            photographed=slab_at(index, plane.face),
            opposite=slab_at(index, other),
            depth_mm=plane.position_mm - self.first_mm,
            wall_mm=self._from_wall(plane),
            image_index="" if plane.image_index is None else f"{plane.image_index:.2f}".rstrip("0").rstrip("."),
            slot_mm=self._slot_mm(index),
        )

    def _from_wall(self, plane: CutPlane) -> float:
        """Measure on the bodies: from the outermost material beside the specimen, on the first plane's side."""
        normal = self.rotation @ self.mould.plan.normal
        middle = float(np.asarray(self.mould.specimen.vertices)[:, 2].mean())
        reach = []
        for mesh in self.mould.bodies.values():
            triangles = np.asarray(mesh.vertices)[np.asarray(mesh.faces)]
            # Triangles at the height of the specimen's middle: the foot plate below does not count.
            beside = (triangles[..., 2].min(axis=1) <= middle) & (triangles[..., 2].max(axis=1) >= middle)
            if beside.any():
                reach.append(float((triangles[beside] @ normal).min()))
        at = float(self.mould.mould_from_patient.apply([plane.origin_mm])[0] @ normal)
        return at - min(reach) if reach else float("nan")

    def _slabs(self) -> list[Slab]:
        planes = list(self.mould.plan)
        made = []
        for n in range(len(planes) + 1):
            near = planes[n - 1] if n else None
            far = planes[n] if n < len(planes) else None
            start = near.position_mm + 0.5 * near.kerf_mm if near else self.first_mm
            stop = far.position_mm - 0.5 * far.kerf_mm if far else self.last_mm
            at = [p.id for p, face in ((near, "-"), (far, "+")) if p is not None and p.face == face]
            between = f"{near.id if near else 'end ' + self.first_end} to {far.id if far else 'other end'}"
            made.append(
                Slab(f"S{n + 1:02d}", between, start - self.first_mm, stop - self.first_mm, " and ".join(at) or "none")
            )
        return made


def spoken(named: str) -> str:
    """Directions in words: ``"LA"`` is left-anterior."""
    return "-".join(NAMES[letter] for letter in named)
