"""Does the finished mould fit: measured on its triangles, in the patient's own voxels.

Nothing here uses the distance field the mould was made from: the final mesh is brought back to the patient, rays through
the image's voxel columns say what is solid, and the segmentation's voxels say what should be free.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from comould.mould import _cast
from comould.mould.body import Layout
from comould.mould.lesion import BoolArray, Lesion
from comould.mould.template import Parameters
from comould.space import FloatArray, SlicePlan

FIT = "free space matches segmentation + clearance"
MIN_DICE = 0.97
MIN_MASK_FREE = 0.995
SLOT_TOLERANCE_MM = 0.02
LIFT_TOLERANCE_MM = 0.05
MIRROR_TOLERANCE = 0.01


@dataclass(frozen=True)
class Check:
    """One requirement and what was measured.

    Parameters
    ----------
    name
        What is required.
    passed
        Whether it holds.
    measured
        The number(s) behind it.
    required
        The limit, in words.
    """

    name: str
    passed: bool
    measured: Any
    required: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"name": self.name, "passed": self.passed, "measured": self.measured, "required": self.required}


def slot_checks(triangles: FloatArray, layout: Layout, size: Parameters) -> list[Check]:
    """Measure every slot on the mesh ``(m, 3, 3)``: width, centre, floor, and that it is open from above."""
    ends = [0.5 * (layout.slot_y[0] + layout.tissue_low[1]), 0.5 * (layout.slot_y[1] + layout.tissue_high[1])]
    heights = layout.floor_z + np.array([0.15, 0.9]) * (layout.high[2] - layout.floor_z)
    widths, off, floors, tops = [], [], [], []
    for y in ends:
        for z in heights:
            crossed = _cast.along(triangles, np.array([0.0, y, z]), 0)
            for x in layout.slots_x:
                left, right = crossed[crossed < x], crossed[crossed > x]
                width = right.min() - left.max() if left.size and right.size else np.inf
                widths.append(float(width))
                off.append(float(abs(0.5 * (right.min() + left.max()) - x)) if np.isfinite(width) else np.inf)
        for x in layout.slots_x:
            crossed = _cast.along(triangles, np.array([x, y, 0.0]), 2)
            tops.append(float(crossed.max()) if crossed.size else -np.inf)
            floors.append(float(crossed.min()) if crossed.size else np.inf)
    worst = max(abs(width - size.slot_mm) for width in widths)
    floor = max(abs(top - layout.floor_z) for top in tops)
    below = float(layout.tissue_low[2] - max(tops))
    return [
        Check("slot width", worst <= SLOT_TOLERANCE_MM, worst, f"within {SLOT_TOLERANCE_MM} mm of {size.slot_mm:g} mm"),
        Check("slot centre on its plane", max(off) <= SLOT_TOLERANCE_MM, max(off), f"within {SLOT_TOLERANCE_MM} mm"),
        Check("slots open from above", floor <= SLOT_TOLERANCE_MM, floor, "nothing above the slot floor"),
        Check("plate whole below the slots", max(floors) <= 1e-3, max(floors), "solid from the underside"),
        Check("slot depth below the specimen", below >= 0.5 - 1e-3, below, "at least 0.5 mm"),
    ]


def lift_check(mould: FloatArray, specimen: FloatArray, pitch_mm: float = 0.6) -> Check:
    """Look from above, column by column: no mould over any part of the specimen (both ``(m, 3, 3)``, mould frame)."""
    low = specimen.reshape(-1, 3).min(axis=0)
    shape = tuple(int(n) for n in np.ceil(np.ptp(specimen.reshape(-1, 3), axis=0)[:2] / pitch_mm) + 1)
    scale = np.array([1 / pitch_mm, 1 / pitch_mm, 1.0])
    highest = np.full(shape, -np.inf)
    lowest = np.full(shape, np.inf)
    x, y, z, _ = _cast.hits((mould - low) * scale, (shape[0], shape[1]))
    np.maximum.at(highest, (x, y), z)
    x, y, z, _ = _cast.hits((specimen - low) * scale, (shape[0], shape[1]))
    np.minimum.at(lowest, (x, y), z)
    under = np.isfinite(lowest) & np.isfinite(highest)
    gap = float((lowest - highest)[under].min()) if under.any() else np.inf
    return Check("specimen lifts straight out", gap >= -LIFT_TOLERANCE_MM, gap, "no mould above it in any column")


def fit_checks(
    triangles: FloatArray, lesion: Lesion, mould_from_patient: FloatArray, layout: Layout, plan: SlicePlan, size: Parameters
) -> list[Check]:
    """Compare the mould's free space with the segmentation, voxel by voxel of the patient's grid.

    Parameters
    ----------
    triangles
        ``(m, 3, 3)`` of the final mesh, mould frame.
    lesion
        The segmentation.
    mould_from_patient
        ``(4, 4)``.
    layout, plan, size
        Where the free space is compared: inside the frame, below its top, beside the slots.
    """
    voxels = _Voxels.around(lesion, mould_from_patient, layout)
    wanted = voxels.wanted(size.clearance_mm)
    free, compared = _free_space(triangles, voxels, mould_from_patient, plan, size.slot_mm)
    compared &= voxels.compared(layout, size)
    dice = _dice(free & compared, wanted & compared)
    mask_free = float((free & compared & voxels.mask).sum() / max((compared & voxels.mask).sum(), 1))
    mirrored = max(
        _dice(free & compared, voxels.mirrored(wanted, axis) & compared) for axis in (0, 1)
    )
    return [
        Check(FIT, dice >= MIN_DICE, dice, f"Dice at least {MIN_DICE}"),
        Check("segmentation lies in free space", mask_free >= MIN_MASK_FREE, mask_free, f"at least {MIN_MASK_FREE}"),
        Check(
            "not the mirror image",
            dice >= mirrored - MIRROR_TOLERANCE,
            mirrored,
            "the mirrored segmentation fits no better (Dice given)",
        ),
    ]


@dataclass(frozen=True, eq=False)
class _Voxels:
    """The image's own lattice, extended to cover the mould's opening."""

    mask: BoolArray
    patient_from_index: FloatArray
    spacing: FloatArray
    position: npt.NDArray[np.float32]
    up: FloatArray

    @classmethod
    def around(cls, lesion: Lesion, mould_from_patient: FloatArray, layout: Layout) -> _Voxels:
        spacing = np.array(lesion.grid.spacing_mm)
        up = mould_from_patient[2, :3] @ lesion.grid.axes
        room = layout.high[2] - layout.tissue_low[2]
        margin = np.ceil(3.0 / spacing + np.abs(up) * room / spacing).astype(int) + 1
        mask, matrix = lesion.crop((int(margin[0]), int(margin[1]), int(margin[2])))
        to_mould = mould_from_patient @ matrix
        k, j, i = (np.arange(n, dtype=np.float32) for n in mask.shape)
        parts = to_mould[:3, :3].astype(np.float32)
        position = np.stack(
            [
                parts[row, 0] * i[None, None, :]
                + parts[row, 1] * j[None, :, None]
                + parts[row, 2] * k[:, None, None]
                + np.float32(to_mould[row, 3])
                for row in range(3)
            ]
        )
        return cls(mask, matrix, spacing, position, up)

    def wanted(self, clearance_mm: float) -> BoolArray:
        """Voxels that should be free: the mask, its clearance, and all that lies above either."""
        near = self.mask
        if clearance_mm > 0:
            # Distance from a voxel's centre to the nearest mask voxel's box, not to its centre.
            nearest = ndi.distance_transform_edt(
                ~self.mask, sampling=self.spacing[::-1], return_distances=False, return_indices=True
            )
            here = np.indices(self.mask.shape, sparse=True)
            square = np.zeros(self.mask.shape)
            for axis in range(3):
                gap = np.abs(nearest[axis] - here[axis]) * self.spacing[2 - axis] - 0.5 * self.spacing[2 - axis]
                square += np.clip(gap, 0.0, None) ** 2
            near = square <= clearance_mm**2
        return self._swept(near)

    def _swept(self, near: BoolArray) -> BoolArray:
        """Everything above a marked voxel, by looking straight down in steps of half a voxel."""
        step = 0.5 * float(np.min(self.spacing / np.maximum(np.abs(self.up), 1e-9)))
        reach = float(np.ptp(self.position[2]))
        down = np.rint(-np.outer(np.arange(0.0, reach + step, step), self.up / self.spacing)).astype(int)
        total = near.copy()
        for shift in np.unique(down, axis=0)[:, ::-1]:
            source, target = [], []
            for offset, n in zip(shift, near.shape, strict=True):
                source.append(slice(max(offset, 0), min(n + offset, n)))
                target.append(slice(max(-offset, 0), min(n - offset, n)))
            if all(part.start < part.stop for part in source):
                total[tuple(target)] |= near[tuple(source)]
        return total

    def compared(self, layout: Layout, size: Parameters) -> BoolArray:
        """Voxels well inside the frame and below its engraved top: where free means cavity."""
        low = layout.tissue_low - size.clearance_mm - 1.0
        high = layout.tissue_high + size.clearance_mm + 1.0
        low[2] = max(low[2], size.base_mm)
        high[2] = layout.high[2] - size.engrave_mm - 0.1
        within = np.ones(self.mask.shape, dtype=bool)
        for axis in range(3):
            within &= (self.position[axis] > low[axis]) & (self.position[axis] < high[axis])
        return within

    def mirrored(self, wanted: BoolArray, axis: int) -> BoolArray:
        """The wanted space reflected in the mould's x or y about its own middle, looked up in the same voxels."""
        marked = self.position[axis][wanted]
        middle = 0.5 * (float(marked.min()) + float(marked.max()))
        # A shift by 2·(middle − position) along one mould axis, in index units.
        direction = self._axis_in_index(axis)
        shift = 2.0 * (middle - self.position[axis])
        here = np.indices(wanted.shape, sparse=True)
        index = [np.rint(here[a] + shift * direction[2 - a]).astype(np.intp) for a in range(3)]
        valid = np.ones(wanted.shape, dtype=bool)
        for a in range(3):
            valid &= (index[a] >= 0) & (index[a] < wanted.shape[a])
            np.clip(index[a], 0, wanted.shape[a] - 1, out=index[a])
        return wanted[index[0], index[1], index[2]] & valid

    def _axis_in_index(self, axis: int) -> FloatArray:
        """How many voxels along i, j, k one mm along a mould axis is."""
        slope = np.array(
            [
                self.position[axis][0, 0, -1] - self.position[axis][0, 0, 0],
                self.position[axis][0, -1, 0] - self.position[axis][0, 0, 0],
                self.position[axis][-1, 0, 0] - self.position[axis][0, 0, 0],
            ]
        ) / (np.array(self.mask.shape[::-1]) - 1)
        # Axes are orthonormal: the column per voxel, divided by the voxel twice, is the row per mm.
        return np.asarray(slope / self.spacing**2)


def _free_space(
    triangles: FloatArray, voxels: _Voxels, mould_from_patient: FloatArray, plan: SlicePlan, slot_mm: float
) -> tuple[BoolArray, BoolArray]:
    """What is not solid, and where that was measured.

    Voxel centres on a cutting plane lie in its slot, which is free everywhere: those are measured just beside it.
    """
    index_from_mould = np.linalg.inv(mould_from_patient @ voxels.patient_from_index)
    shape = voxels.mask.shape[::-1]
    beside = 0.5 * slot_mm + 0.1
    normal = np.asarray(plan.normal)
    matrix = voxels.patient_from_index
    along = sum(
        (matrix[:3, a] @ normal).astype(np.float32) * np.arange(shape[a], dtype=np.float32).reshape([-1 if 2 - a == b else 1 for b in range(3)])
        for a in range(3)
    ) + np.float32(matrix[:3, 3] @ normal)
    near = np.min([np.abs(along - plane.position_mm) for plane in plan], axis=0)
    in_slot = np.broadcast_to(near < beside, voxels.mask.shape)
    free = ~_cast.inside(triangles @ index_from_mould[:3, :3].T + index_from_mould[:3, 3], shape)
    if in_slot.any():
        # Moving the mould back is moving the points on.
        moved = triangles - np.array([beside, 0.0, 0.0])
        shifted = ~_cast.inside(moved @ index_from_mould[:3, :3].T + index_from_mould[:3, 3], shape)
        free = np.where(in_slot, shifted, free)
        after = np.min([np.abs(along + beside - plane.position_mm) for plane in plan], axis=0)
        return free, ~(in_slot & (after < 0.5 * slot_mm + 1e-3))
    return free, np.ones(voxels.mask.shape, dtype=bool)


def _dice(one: BoolArray, other: BoolArray) -> float:
    total = int(one.sum() + other.sum())
    return float(2 * (one & other).sum() / total) if total else 0.0
