"""Does the finished mould fit: measured on its triangles, in the patient's own voxels.

Nothing here uses the distance field the mould was made from: the final mesh is brought back to the patient, rays
through the image's voxel columns say what is solid, and the segmentation's voxels say what should be free.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from scipy.special import ndtri

from comould.mould import _cast
from comould.mould.body import Layout
from comould.mould.lesion import BoolArray, Lesion
from comould.mould.parameters import Parameters
from comould.mould.surface import bounds, whole_ratio
from comould.space import FloatArray, SlicePlan

FIT = "free space matches segmentation + clearance"
MIN_DICE = 0.97
MIN_MASK_FREE = 0.995
SLOT_TOLERANCE_MM = 0.02
LIFT_TOLERANCE_MM = 0.05
MIRROR_TOLERANCE = 0.01

_BLUR_VOXELS = 0.7


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
    rays = _cast.Rays(triangles)
    for y in ends:
        for z in heights:
            crossed = rays.along(np.array([0.0, y, z]), 0)
            for x in layout.slots_x:
                left, right = crossed[crossed < x], crossed[crossed > x]
                width = right.min() - left.max() if left.size and right.size else np.inf
                widths.append(float(width))
                off.append(float(abs(0.5 * (right.min() + left.max()) - x)) if np.isfinite(width) else np.inf)
        for x in layout.slots_x:
            crossed = rays.along(np.array([x, y, 0.0]), 2)
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
    low, high = bounds(specimen.reshape(-1, 3))
    shape = tuple(int(n) for n in np.ceil((high - low)[:2] / pitch_mm) + 1)
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
    triangles: FloatArray,
    lesion: Lesion,
    mould_from_patient: FloatArray,
    layout: Layout,
    plan: SlicePlan,
    size: Parameters,
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
    free = free * compared
    dice = _dice(free, wanted & compared)
    tissue = compared & voxels.mask
    mask_free = float((free * tissue).sum(dtype=np.float64) / max(tissue.sum(), 1))
    per_area = float(np.prod(voxels.spacing)) / max(_area(wanted, compared, voxels.spacing), 1e-9)
    gap = float(np.abs(free - (wanted & compared)).sum(dtype=np.float64)) * per_area
    mirrored = max(_dice(free, voxels.mirrored(wanted, axis) & compared) for axis in (0, 1))
    return [
        Check(FIT, dice >= MIN_DICE, dice, f"Dice at least {MIN_DICE}; the surfaces lie {gap:.2f} mm apart on average"),
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
        """Take in the mask, and the way up from any of its voxels to the mould's top."""
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
        thick = int(np.argmax(self.spacing))
        fill = whole_ratio(float(self.spacing[thick] / self.spacing.min()))
        per = np.ones(3, dtype=int)
        per[thick] = fill
        spacing = self.spacing / per
        reach = np.ceil(clearance_mm / self.spacing[::-1]).astype(int) + 4
        box = tuple(
            slice(max(part.start - int(n), 0), part.stop + int(n))
            for part, n in zip(ndi.find_objects(self.mask.astype(np.uint8))[0], reach, strict=True)
        )
        layers = _filled(np.moveaxis(self.mask[box], 2 - thick, 0), np.delete(spacing, thick)[::-1], fill)
        solid = np.moveaxis(layers, 0, 2 - thick)
        near = np.zeros((np.array(self.mask.shape) - 1) * per[::-1] + 1, dtype=bool)
        inner = tuple(
            slice(part.start * n, part.start * n + size)
            for part, n, size in zip(box, per[::-1], solid.shape, strict=True)
        )
        near[inner] = solid | _within(solid, spacing, clearance_mm) if clearance_mm > 0 else solid
        return self._swept(near, per)

    def _swept(self, near: BoolArray, per: npt.NDArray[np.intp]) -> BoolArray:
        """Tell which voxels lie above a marked one, by looking straight down in steps of half a voxel.

        ``near`` has ``per`` layers for each voxel along i, j, k: the view goes through those, or thick slices would
        cast steps of shadow.
        """
        spacing = self.spacing / per
        step = 0.5 * float(np.min(spacing / np.maximum(np.abs(self.up), 1e-9)))
        reach = float(np.ptp(self.position[2]))
        down = np.rint(-np.outer(np.arange(0.0, reach + step, step), self.up / spacing)).astype(int)
        total = np.zeros(self.mask.shape, dtype=bool)
        for shift in np.unique(down, axis=0)[:, ::-1]:
            source, target = [], []
            for offset, n, many in zip(shift, near.shape, per[::-1], strict=True):
                first, last = -(min(offset, 0) // many), min(n - 1 - offset, n - 1) // many
                source.append(slice(first * many + offset, last * many + offset + 1, many))
                target.append(slice(first, last + 1))
                if last < first:
                    break
            else:
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
        """Reflect the wanted space in the mould's x or y about its own middle, looked up in the same voxels."""
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


def _within(solid: BoolArray, spacing: FloatArray, distance_mm: float) -> BoolArray:
    """Tell which voxel centres lie within a distance of a solid, to a fraction of a voxel.

    Counting whole voxels cannot tell 0.4 mm on a 1 mm grid. Blurring the solid gives, beside a flat boundary, the
    Gaussian integral of the distance to it; inverted, that is the distance.
    """
    share = ndi.gaussian_filter(solid.astype(np.float32), _BLUR_VOXELS)
    slope = np.stack([part / h for part, h in zip(np.gradient(share), spacing[::-1], strict=True)])
    steepness = np.linalg.norm(slope, axis=0) + 1e-12
    width = _BLUR_VOXELS * np.linalg.norm(slope / steepness * spacing[::-1].reshape(3, 1, 1, 1), axis=0)
    away = width * ndtri(1.0 - np.clip(share, 0.01, 0.99))
    near = (share > 0.01) & (away <= distance_mm)
    if distance_mm > float(spacing.min()):
        # Beyond the blur's reach: to the nearest voxel inside, less what that one lies below the surface.
        distance, nearest = ndi.distance_transform_edt(share < 0.5, sampling=spacing[::-1], return_indices=True)
        near |= distance + away[tuple(nearest)] <= distance_mm
    return np.asarray(near)


def _filled(mask: BoolArray, pixel: FloatArray, fill: int) -> BoolArray:
    """Add ``fill - 1`` layers between slices (first axis) whose outline moves evenly from one to the next."""
    if fill == 1:
        return mask
    layers = []
    for lower, upper in pairwise(mask):
        shares = np.arange(fill) / fill
        if lower.any() and upper.any():
            depths = [
                ndi.distance_transform_edt(m, pixel) - ndi.distance_transform_edt(~m, pixel) for m in (lower, upper)
            ]
            layers += [(1 - t) * depths[0] + t * depths[1] > 0 for t in shares]
        else:
            layers += [lower if t < 0.5 else upper for t in shares]
    return np.stack([*layers, mask[-1]])


def _free_space(
    triangles: FloatArray, voxels: _Voxels, mould_from_patient: FloatArray, plan: SlicePlan, slot_mm: float
) -> tuple[npt.NDArray[np.float32], BoolArray]:
    """How free each voxel is (0 or 1; ½ when its two sides differ), and where that could be measured.

    Voxel centres on a cutting plane lie in its slot, which is free everywhere: those are measured just beside it, on
    both sides.
    """
    index_from_mould = np.linalg.inv(mould_from_patient @ voxels.patient_from_index)
    # Rays run along the image axis nearest the cutting planes: most of the mesh, the slots' walls, is then edge-on.
    axis = int(np.argmin(np.abs(index_from_mould[:3, 0]) * voxels.spacing))
    order = [(axis + 1) % 3, (axis + 2) % 3, axis]
    shape = tuple(voxels.mask.shape[2 - a] for a in order)

    def free_at(shift_mm: float) -> BoolArray:
        """Tell what is not solid at the voxel centres moved along the normal."""
        # Moving the mould back is moving the points on.
        index = (triangles - np.array([shift_mm, 0.0, 0.0])) @ index_from_mould[:3, :3].T + index_from_mould[:3, 3]
        solid = _cast.inside(index[:, :, order], (shape[0], shape[1], shape[2]))
        # ``solid`` has the axes reversed(order); bring them back to k, j, i.
        return ~np.transpose(solid, [order[::-1].index(a) for a in (2, 1, 0)])

    beside = 0.5 * slot_mm + 0.1
    first = plan.planes[0].position_mm
    along = voxels.position[0] - np.float32(mould_from_patient[0] @ np.append(plan.normal * first, 1.0))
    at = np.array([plane.position_mm - first for plane in plan], dtype=np.float32)

    def off(along_mm: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        right = np.clip(np.searchsorted(at, along_mm), 1, len(at) - 1) if len(at) > 1 else np.zeros(1, dtype=int)
        return np.minimum(np.abs(along_mm - at[right]), np.abs(along_mm - at[right - 1]))

    in_slot = off(along) < beside
    free = free_at(0.0).astype(np.float32)
    if in_slot.any():
        # On a sloping wall one side is wider by as much as the other is narrower.
        sides = 0.5 * (free_at(beside).astype(np.float32) + free_at(-beside).astype(np.float32))
        free = np.where(in_slot, sides, free)
    clear = np.minimum(off(along + np.float32(beside)), off(along - np.float32(beside))) >= 0.5 * slot_mm + 1e-3
    return free, ~in_slot | clear


def _area(solid: BoolArray, where: BoolArray, spacing: FloatArray) -> float:
    """Area (mm²) of a solid's boundary within a region: the integral of its blurred edge's slope, true at any angle."""
    soft = ndi.gaussian_filter(solid.astype(np.float32), _BLUR_VOXELS)
    steepness = np.zeros(solid.shape, dtype=np.float32)
    for part, h in zip(np.gradient(soft), spacing[::-1], strict=True):
        steepness += (part / np.float32(h)) ** 2
    return float(np.sqrt(steepness)[where].sum(dtype=np.float64) * np.prod(spacing))


def _dice(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    total = float(one.sum(dtype=np.float64) + other.sum(dtype=np.float64))
    return 2.0 * float((one * other).sum(dtype=np.float64)) / total if total else 0.0
