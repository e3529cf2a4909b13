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
from comould.mould.design.layout import Layout
from comould.mould.lesion import BoolArray, Lesion
from comould.mould.parameters import Parameters
from comould.mould.surface import whole_ratio
from comould.space import FloatArray, SlicePlan

FIT = "free space matches segmentation + clearance"
MIN_DICE = 0.97
MIN_MASK_FREE = 0.99
SLOT_TOLERANCE_MM = 0.02
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


def slot_checks(
    triangles: FloatArray, layout: Layout, size: Parameters, taken: FloatArray | None = None
) -> list[Check]:
    """Measure every slot on the mesh ``(m, 3, 3)``: width, centre, floor, and that it is open from above.

    Where a window was ``taken`` out beside a slot, ``(k, 3, 3)``, there is nothing to measure; every slot must have a
    place where there is.
    """
    widths, off, tops, plates = [], [], [], []
    rays, gone = _cast.Rays(triangles), _cast.Rays(np.zeros((0, 3, 3)) if taken is None else taken)
    half = 0.5 * size.slot_mm + 0.05
    for slot in layout.slots:
        inset = min(0.25 * size.slot_overhang_mm, 1.0)
        measured = 0
        for y in (slot.y[0] + inset, slot.y[1] - inset):
            for share in (0.15, 0.9):
                at = np.array([0.0, y, slot.floor_z + share * (slot.top_z - slot.floor_z)])
                out = gone.along(at, 0)
                if any((out < slot.x + side).sum() % 2 for side in (-half, half)):
                    continue
                measured += 1
                crossed = rays.along(at, 0)
                left, right = crossed[crossed < slot.x], crossed[crossed > slot.x]
                width = right.min() - left.max() if left.size and right.size else np.inf
                widths.append(float(abs(width - size.slot_mm)))
                off.append(float(abs(0.5 * (right.min() + left.max()) - slot.x)) if np.isfinite(width) else np.inf)
            at = np.array([slot.x, y, 0.0])
            if not (gone.along(at, 2) < slot.floor_z - 0.05).sum() % 2:
                crossed = rays.along(at, 2)
                tops.append(float(abs(crossed.max() - slot.floor_z)) if crossed.size else np.inf)
                plates.append(_solid_below(crossed))
        widths.append(0.0 if measured else np.inf)
    tops, plates = tops or [np.inf], plates or [0.0]
    worst, floor = max(widths), max(tops)
    below = min(slot.tissue_z - slot.floor_z for slot in layout.slots)
    return [
        Check("slot width", worst <= SLOT_TOLERANCE_MM, worst, f"within {SLOT_TOLERANCE_MM} mm of {size.slot_mm:g} mm"),
        Check(
            "slot centre on its plane",
            max(off, default=np.inf) <= SLOT_TOLERANCE_MM,
            max(off, default=np.inf),
            f"within {SLOT_TOLERANCE_MM} mm",
        ),
        Check("slots open from above", floor <= SLOT_TOLERANCE_MM, floor, "nothing above the slot floor"),
        Check(
            "plate below the slots",
            min(plates) >= size.base_mm - SLOT_TOLERANCE_MM,
            min(plates),
            f"at least {size.base_mm:g} mm thick",
        ),
        Check("slot depth below the specimen", below >= 0.5 - 1e-3, below, "at least 0.5 mm"),
    ]


def _solid_below(crossed: FloatArray) -> float:
    """Thickness of the topmost solid along a ray; bodies that lie on each other count as one."""
    solids = crossed[: crossed.size // 2 * 2].reshape(-1, 2)
    thick = 0.0
    for n in range(len(solids) - 1, -1, -1):
        thick += float(solids[n, 1] - solids[n, 0])
        if n == 0 or solids[n, 0] - solids[n - 1, 1] > SLOT_TOLERANCE_MM:
            break
    return thick


@dataclass(frozen=True, eq=False)
class Meant:
    """What the mould was meant to be: all triangles ``(m, 3, 3)`` in the mould frame.

    Parameters
    ----------
    outer
        Before anything was taken out of it.
    taken
        What was taken out besides cavity and slots.
    parting_z
        Where two halves meet that both enclose the specimen, or ``None``.
    """

    outer: FloatArray
    taken: FloatArray
    parting_z: float | None


def fit_checks(
    triangles: FloatArray,
    lesion: Lesion,
    mould_from_patient: FloatArray,
    meant: Meant,
    layout: Layout,
    plan: SlicePlan,
    size: Parameters,
) -> list[Check]:
    """Compare the mould's free space with the segmentation, voxel by voxel of the patient's grid.

    Parameters
    ----------
    triangles
        ``(m, 3, 3)`` of the final meshes, mould frame.
    lesion
        The segmentation.
    mould_from_patient
        ``(4, 4)``.
    meant
        Where free space is cavity and nothing else.
    layout, plan, size
        The mould's dimensions, where its slots are, and its clearance.
    """
    voxels = _Voxels.around(lesion, mould_from_patient, layout)
    wanted = voxels.wanted(size.clearance_mm, meant.parting_z)
    index_from_mould: FloatArray = np.linalg.inv(mould_from_patient @ voxels.patient_from_index).astype(np.float64)
    free, compared = _free_space(triangles, voxels, index_from_mould, plan, size.slot_mm)
    compared &= ~_inside(meant.taken, index_from_mould, voxels)
    tissue = compared & voxels.mask
    compared &= _inside(meant.outer, index_from_mould, voxels)
    free = free * compared
    dice = _dice(free, wanted & compared)
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
        """Take in the mask, its clearance, and what lies above it up to the mould's top."""
        spacing = np.array(lesion.grid.spacing_mm)
        up = mould_from_patient[2, :3] @ lesion.grid.axes
        room = layout.high[2] - layout.tissue_high[2]
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

    def wanted(self, clearance_mm: float, parting_z: float | None = None) -> BoolArray:
        """Voxels that should be free: the mask, its clearance, and all between either and the opening.

        The opening is above; with two halves it is the plane where they part.
        """
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
        if parting_z is None:
            return self._swept(near, per)
        lower = self._heights(near.shape, per) < parting_z
        below = self._swept(near & lower, per) & (self.position[2] < parting_z)
        return below | (self._swept(near & ~lower, per, -1.0) & (self.position[2] >= parting_z))

    def _heights(self, shape: tuple[int, ...], per: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """Mould z of a lattice with ``per`` layers for each voxel along i, j, k."""
        total: npt.NDArray[np.float32] = self.position[2][:1, :1, :1]
        for axis, (n, many) in enumerate(zip(shape, per[::-1], strict=True)):
            slope = np.float32(self.up[2 - axis] * self.spacing[2 - axis] / many)
            total = total + (slope * np.arange(n, dtype=np.float32)).reshape([-1 if a == axis else 1 for a in range(3)])
        return total

    def _swept(self, near: BoolArray, per: npt.NDArray[np.intp], way: float = 1.0) -> BoolArray:
        """Tell which voxels lie above (or below) a marked one, by looking straight down in steps of half a voxel.

        ``near`` has ``per`` layers for each voxel along i, j, k: the view goes through those, or thick slices would
        cast steps of shadow.
        """
        spacing = self.spacing / per
        step = 0.5 * float(np.min(spacing / np.maximum(np.abs(self.up), 1e-9)))
        reach = float(np.ptp(self.position[2]))
        down = np.rint(-way * np.outer(np.arange(0.0, reach + step, step), self.up / spacing)).astype(int)
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
    reached = share > 0.01
    slope = [part[reached] / h for part, h in zip(np.gradient(share), spacing[::-1], strict=True)]
    steepness = np.sqrt(sum(part * part for part in slope)) + 1e-12
    width = np.sqrt(sum((part / steepness * h) ** 2 for part, h in zip(slope, spacing[::-1], strict=True)))
    away = np.full(share.shape, np.inf)
    away[reached] = _BLUR_VOXELS * width * ndtri(1.0 - np.minimum(share[reached], np.float32(0.99)))
    near = away <= distance_mm
    if distance_mm > float(spacing.min()):
        # Beyond the blur's reach: to the nearest voxel inside, less what that one lies below the surface.
        distance, nearest = ndi.distance_transform_edt(share < 0.5, sampling=spacing[::-1], return_indices=True)
        near |= distance + away[tuple(nearest)] <= distance_mm
    return np.asarray(near)


def _filled(mask: BoolArray, pixel: FloatArray, fill: int) -> BoolArray:
    """Add ``fill - 1`` layers between slices (first axis) whose outline moves evenly from one to the next."""
    if fill == 1:
        return mask
    shares = np.arange(fill) / fill
    depths = [
        ndi.distance_transform_edt(m, pixel) - ndi.distance_transform_edt(~m, pixel) if m.any() else None for m in mask
    ]
    layers = []
    for (lower, one), (upper, other) in pairwise(zip(mask, depths, strict=True)):
        if one is not None and other is not None:
            layers += [(1 - t) * one + t * other > 0 for t in shares]
        else:
            layers += [lower if t < 0.5 else upper for t in shares]
    return np.stack([*layers, mask[-1]])


def _inside(triangles: FloatArray, index_from_mould: FloatArray, voxels: _Voxels) -> BoolArray:
    """Tell which voxel centres lie inside closed surfaces of the mould frame."""
    if not len(triangles):
        return np.zeros(voxels.mask.shape, dtype=bool)
    index = triangles.reshape(-1, 3) @ index_from_mould[:3, :3].T + index_from_mould[:3, 3]
    k, j, i = voxels.mask.shape
    return _cast.inside(index.reshape(-1, 3, 3), (i, j, k))


def _free_space(
    triangles: FloatArray, voxels: _Voxels, index_from_mould: FloatArray, plan: SlicePlan, slot_mm: float
) -> tuple[npt.NDArray[np.float32], BoolArray]:
    """How free each voxel is (0 or 1; ½ when its two sides differ), and where that could be measured.

    Voxel centres on a cutting plane lie in its slot, which is free everywhere: those are measured just beside it, on
    both sides.
    """
    # Rays run along the image axis nearest the cutting planes: most of the mesh, the slots' walls, is then edge-on.
    axis = int(np.argmin(np.abs(index_from_mould[:3, 0]) * voxels.spacing))
    order = [(axis + 1) % 3, (axis + 2) % 3, axis]
    shape = tuple(voxels.mask.shape[2 - a] for a in order)

    index = (triangles.reshape(-1, 3) @ index_from_mould[:3, :3].T).reshape(-1, 3, 3)

    def free_at(shift_mm: float) -> BoolArray:
        """Tell what is not solid at the voxel centres moved along the normal."""
        # Moving the mould back is moving the points on.
        offset = index_from_mould[:3, 3] - shift_mm * index_from_mould[:3, 0]
        solid = _cast.inside(index[:, :, order] + offset[order], (shape[0], shape[1], shape[2]))
        # ``solid`` has the axes reversed(order); bring them back to k, j, i.
        return ~np.transpose(solid, [order[::-1].index(a) for a in (2, 1, 0)])

    beside = 0.5 * slot_mm + 0.1
    first = plan.planes[0].position_mm
    mould_from_patient = np.linalg.inv(voxels.patient_from_index @ index_from_mould)
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
    for axis, h in enumerate(spacing[::-1]):
        steepness += (np.gradient(soft, axis=axis) / np.float32(h)) ** 2
    return float(np.sqrt(steepness)[where].sum(dtype=np.float64) * np.prod(spacing))


def _dice(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    total = float(one.sum(dtype=np.float64) + other.sum(dtype=np.float64))
    return 2.0 * float((one * other).sum(dtype=np.float64)) / total if total else 0.0
