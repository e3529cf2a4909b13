"""From a voxel mask to a smooth solid: signed distance without staircase, clearance, cavity.

A mask on 0.6 × 0.6 × 5 mm voxels says where the outline is within a slice, and little about what lies between two.
Per slice the distance to the outline is therefore measured in two dimensions; between slices these distances are
interpolated (shape-based interpolation), and beyond the last slice a dome continues the trend of the areas. The field
is lightly smoothed, shifted so that the volume is that of the mask, and divided by its gradient, so that a level of
0.4 mm near the surface lies 0.4 mm away from it.

References
----------
Raya SP, Udupa JK. Shape-based interpolation of multidimensional objects. IEEE Trans Med Imaging 1990;9:32-42.
doi:10.1109/42.52980
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from comould.mould.lesion import BoolArray, Lesion
from comould.space import FloatArray

Field = npt.NDArray[np.float32]

MAX_VOXELS = 12_000_000
"""Bound of the isotropic field: about 50 MB an array in float32."""

SMOOTH_VOXELS = 0.8
"""Standard deviation of the smoothing within a slice, in its pixels: rounds pixel corners, keeps outlines."""

_FIRST_ORDER_STEPS = 1.5
"""As far as this from the surface, in grid steps, its first-order distance leads back to it."""


@dataclass(frozen=True, eq=False)
class DistanceField:
    """Signed distance (mm, negative inside) on an isotropic grid along the mould axes.

    Parameters
    ----------
    values
        ``(z, y, x)`` float32; a true distance near the surface, a bound of it farther away.
    origin_mm
        Position of voxel (0, 0, 0) in the rotated frame (mould axes, patient origin).
    step_mm
        Grid spacing.
    """

    values: Field
    origin_mm: FloatArray
    step_mm: float

    def mesh(self, level_mm: float = 0.0) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Extract the surface at a distance as vertices ``(n, 3)`` x, y, z and outward faces ``(m, 3)``."""
        from skimage.measure import marching_cubes

        # Close the solid at the grid's border; keep the level off exact grid values, which give zero-area faces.
        padded = np.pad(self.values, 1, constant_values=np.float32(abs(level_mm) + self.step_mm))
        near = np.abs(padded - np.float32(level_mm)) < 1e-4 * self.step_mm
        padded[near] = np.float32(level_mm + 1e-4 * self.step_mm)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # scikit-image's own, with NumPy 2.5
            vertices, faces, _, _ = marching_cubes(
                padded, level_mm, allow_degenerate=False, mask=_crossed(padded, level_mm)
            )
        points = (vertices[:, ::-1].astype(np.float64) - 1.0) * self.step_mm + self.origin_mm
        faces = faces.astype(np.int64)
        if enclosed_mm3(points - self.origin_mm, faces) < 0:
            faces = faces[:, ::-1]
        return points, np.ascontiguousarray(faces)

    def swept_up(self) -> DistanceField:
        """Open every point towards +z: the running minimum from below."""
        return DistanceField(np.minimum.accumulate(self.values, axis=0), self.origin_mm, self.step_mm)

    def exact_near(self, level_mm: float, surface: tuple[FloatArray, npt.NDArray[np.int64]]) -> DistanceField:
        """Measure the distance to the zero ``surface`` anew where a surface at ``level_mm`` will be drawn.

        Elsewhere the first-order values stay: they only have to lie on the right side of the level.
        """
        if level_mm <= _FIRST_ORDER_STEPS * self.step_mm:
            return self._projected(level_mm)
        # To first order is not near enough any more: count voxels outwards.
        away = ndi.distance_transform_edt(self.values > 0, sampling=self.step_mm).astype(np.float32)
        counted = np.maximum(away - np.float32(0.5 * self.step_mm), np.float32(1e-3))
        coarse = np.where(self.values > 0, counted, self.values)
        return self._to_vertices(coarse, level_mm, surface)

    def _projected(self, level_mm: float) -> DistanceField:
        """Walk from each voxel down the gradient to where the surface should be, and add what is still missing there.

        The field is a distance to first order, so two such steps leave thousandths of a voxel.
        """
        drawn = np.abs(self.values - np.float32(level_mm)) < 2.0 * self.step_mm
        for axis in range(3):
            np.moveaxis(drawn, axis, 0)[[0, -1]] = False
        at = np.flatnonzero(drawn)
        flat = self.values.ravel()
        strides = (self.values.shape[1] * self.values.shape[2], self.values.shape[2], 1)
        slope = np.stack([flat[at + stride] - flat[at - stride] for stride in strides])
        slope /= np.maximum(np.sqrt((slope * slope).sum(axis=0)), 1e-6)
        here = np.stack(np.unravel_index(at, self.values.shape)).astype(np.float32)
        distance = flat[at]
        for _ in range(2):
            foot = here - slope * (distance / np.float32(self.step_mm))
            distance = distance + ndi.map_coordinates(self.values, foot, output=np.float32, order=1, mode="nearest")
        values = self.values.copy()
        values.ravel()[at] = distance
        return DistanceField(values, self.origin_mm, self.step_mm)

    def _to_vertices(
        self, coarse: Field, level_mm: float, surface: tuple[FloatArray, npt.NDArray[np.int64]]
    ) -> DistanceField:
        from scipy.spatial import cKDTree

        vertices, faces = surface
        normals = _vertex_normals(vertices, faces)
        z, y, x = np.nonzero(np.abs(coarse - np.float32(level_mm)) < 2.0 * self.step_mm)
        points = np.column_stack([x, y, z]) * self.step_mm + self.origin_mm
        distance, nearest = cKDTree(vertices, balanced_tree=False).query(points, workers=-1)
        # The nearest vertex is not the nearest point of the surface: take off the sideways part within one facet.
        along = np.einsum("ij,ij->i", points - vertices[nearest], normals[nearest])
        sideways = np.minimum(distance**2 - along**2, (0.4 * self.step_mm) ** 2)
        values = coarse.copy()
        values[z, y, x] = np.copysign(np.sqrt(np.maximum(distance**2 - sideways, 0.0)), values[z, y, x])
        return DistanceField(values, self.origin_mm, self.step_mm)

    def volume_ml(self, level_mm: float = 0.0, below_z: float = np.inf) -> float:
        """Volume inside a level with partial voxels, up to a height along the mould's z."""
        share = np.clip(0.5 + (level_mm - self.values) / self.step_mm, 0.0, 1.0)
        layers = share.sum(axis=(1, 2), dtype=np.float64)
        if np.isfinite(below_z):
            at = self.origin_mm[2] + self.step_mm * np.arange(len(layers))
            layers = layers * np.clip((below_z - at) / self.step_mm + 0.5, 0.0, 1.0)
        return float(layers.sum()) * self.step_mm**3 / 1000.0


def bounds(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the lower and upper bounds ``(3,)`` of points ``(n, 3)``; numpy reduces a short last axis far slower."""
    columns = [points[:, axis] for axis in range(points.shape[1])]
    return np.array([column.min() for column in columns]), np.array([column.max() for column in columns])


def _crossed(values: Field, level: float) -> BoolArray:
    """Mark both ends of each cell the level runs through: marching cubes then leaves out all others."""
    below = values < level
    some, every = below, below
    for axis in range(3):
        one, other = (slice(None),) * axis + (slice(1, None),), (slice(None),) * axis + (slice(-1),)
        some, every = some[one] | some[other], every[one] & every[other]
    cells = some & ~every
    crossed = np.zeros(values.shape, dtype=bool)
    crossed[1:, 1:, 1:] = cells
    crossed[:-1, :-1, :-1] |= cells
    return crossed


def enclosed_mm3(points: FloatArray, faces: npt.NDArray[np.int64]) -> float:
    """Volume a closed surface encloses, from its projection along x; negative when it is inside out."""
    corner_x, corner_y, corner_z = ([points[:, axis][faces[:, n]] for n in range(3)] for axis in range(3))
    y1, y2 = corner_y[1] - corner_y[0], corner_y[2] - corner_y[0]
    z1, z2 = corner_z[1] - corner_z[0], corner_z[2] - corner_z[0]
    return float(((corner_x[0] + corner_x[1] + corner_x[2]) * (y1 * z2 - z1 * y2)).sum()) / 6.0


def _vertex_normals(vertices: FloatArray, faces: npt.NDArray[np.int64]) -> FloatArray:
    corners = [[vertices[:, axis][faces[:, n]] for axis in range(3)] for n in range(3)]
    one, two = ([corners[n][axis] - corners[0][axis] for axis in range(3)] for n in (1, 2))
    sums = np.empty_like(vertices)
    for axis in range(3):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        normal = one[i] * two[j] - one[j] * two[i]
        sums[:, axis] = sum(np.bincount(faces[:, n], normal, minlength=len(vertices)) for n in range(3))
    length = np.sqrt(np.einsum("ij,ij->i", sums, sums))
    return sums / np.maximum(length, 1e-12)[:, None]


def grid_step(lesion: Lesion, extra_mm: float, max_step_mm: float = 0.5) -> float:
    """Choose the field's spacing: fine for small lesions, bounded in memory for large ones."""
    low, high = bounds(lesion.grid.patient_from_index(_row_ends(lesion.mask)))
    spans = high - low + 2 * extra_mm
    diagonal_free = float(np.prod(spans)) * 1.5
    fine = float(np.clip((lesion.volume_ml * 1000.0) ** (1 / 3) / 60.0, 0.15, max_step_mm))
    return max(fine, (diagonal_free / MAX_VOXELS) ** (1 / 3))


def _row_ends(mask: BoolArray) -> FloatArray:
    """List the first and last voxel ``(n, 3)`` i, j, k of each row: whatever is linear is extreme there."""
    k, j = np.nonzero(mask.any(axis=2))
    rows = mask[k, j]
    ends = (rows.argmax(axis=1), mask.shape[2] - 1 - rows[:, ::-1].argmax(axis=1))
    return np.concatenate([np.column_stack([i, j, k]) for i in ends]).astype(np.float64)


def distance_field(
    lesion: Lesion, rotation: FloatArray, *, step_mm: float, margin_mm: float, above_mm: float
) -> DistanceField:
    """Measure the signed distance to the lesion's surface on a grid along the mould axes.

    Parameters
    ----------
    lesion
        The mask.
    rotation
        ``(3, 3)`` ``mould_from_patient``.
    step_mm
        Spacing of the result.
    margin_mm
        Room to leave round the lesion.
    above_mm
        Room to leave above it.

    Returns
    -------
    DistanceField
        Its zero level encloses the mask's own voxel volume.
    """
    axis = _slice_axis(lesion, rotation)
    spacing = np.array(lesion.grid.spacing_mm)
    margin = np.ceil((margin_mm + 2.0) / spacing).astype(int) + 2
    mask, patient_from_index = lesion.crop((int(margin[0]), int(margin[1]), int(margin[2])))
    native, refine = _native_field(np.moveaxis(mask, 2 - axis, 0), np.delete(spacing[::-1], 2 - axis), spacing[axis])
    native = np.moveaxis(native, 0, 2 - axis)
    scale = np.eye(4)
    scale[axis, axis] = 1.0 / refine
    values, origin = _resample(
        native, patient_from_index @ scale, mask, rotation, (step_mm, margin_mm, above_mm, refine, axis)
    )
    field = DistanceField(_as_distance(values, step_mm), origin, step_mm)
    return _keep_volume(field, lesion.volume_ml)


def _slice_axis(lesion: Lesion, rotation: FloatArray) -> int:
    """Find the thickest image axis; among equals the one nearest the cut normal, so storage order does not matter."""
    spacing = np.array(lesion.grid.spacing_mm)
    thick = spacing >= 0.99 * spacing.max()
    return int(np.argmax(np.where(thick, np.abs(rotation[0] @ lesion.grid.axes).round(3), -1.0)))


def _native_field(mask: BoolArray, pixel: FloatArray, step: float) -> tuple[Field, int]:
    """Distance per slice, domes beyond the ends, then cubic interpolation to about cubic voxels."""
    slices = [_outline_distance(part, pixel) if part.any() else None for part in mask]
    areas = mask.sum(axis=(1, 2)).astype(np.float64)
    full = np.stack([part if part is not None else np.full(mask.shape[1:], np.inf) for part in slices])
    outlines = full.copy()
    for n in range(len(mask)):
        for k in (n - 1, n + 1):
            if 0 <= k < len(mask) and areas[k] > 0:
                height = _trend(areas, k, k - n) if areas[n] == 0 else 0.5
                full[n] = np.minimum(full[n], _dome(outlines[k], mask[k] & ~mask[n], height))
    known = np.array([n for n in range(len(areas)) if areas[max(n - 1, 0) : n + 2].any()])
    for n in np.setdiff1d(np.arange(len(areas)), known):
        nearest = known[np.argmin(np.abs(known - n))]
        full[n] = full[nearest] + abs(int(n) - nearest) * step
    refine = whole_ratio(step / float(pixel.min()))
    known_values = full.astype(np.float32)
    fine = _soften(_upsample(known_values, refine), refine)
    if refine > 1:
        # Softening rounds the ends off inside their last outlines: put back what it took at the slices themselves.
        fine += _soften(_upsample(known_values - fine[::refine], refine), refine)
    return fine, refine


def whole_ratio(ratio: float) -> int:
    """Round a ratio of spacings to a whole number from 1; halves go up, even if a float32 header falls just short."""
    return max(1, int(np.floor(ratio + 0.5 + 1e-3)))


def _soften(fine: Field, refine: int) -> Field:
    return ndi.gaussian_filter1d(fine, max(0.7, 0.25 * refine), axis=0, mode="nearest")


def _outline_distance(part: BoolArray, pixel: FloatArray) -> FloatArray:
    """Signed distance within a slice to the pixels' edges, smoothed just enough to lose their corners."""
    outside = ndi.distance_transform_edt(~part, sampling=pixel)
    inside = ndi.distance_transform_edt(part, sampling=pixel)
    half = 0.5 * float(pixel.mean())
    signed = np.where(part, half - inside, outside - half)
    return ndi.gaussian_filter(signed, SMOOTH_VOXELS, mode="nearest")


def _trend(areas: FloatArray, last: int, inwards: int) -> float:
    """How far beyond its last slice the lesion ends, in slices: where its shrinking area would reach zero."""
    previous = last + int(np.sign(inwards))
    before = areas[previous] if 0 <= previous < len(areas) else 0.0
    shrinks = before - areas[last]
    if before <= 0 or shrinks <= 0:
        return 0.5
    ends = areas[last] / shrinks
    # Had it reached the next slice, it would have been drawn there.
    return float(np.clip(ends, 0.15, 0.8)) if ends <= 1.0 else 0.5


def _dome(distance: FloatArray, ends: BoolArray, height: float) -> FloatArray:
    """Bound the next slice's values above parts of this one that end in between.

    Parameters
    ----------
    distance
        Signed distance within this slice.
    ends
        Pixels inside here and outside there. Where the outline only moves, its distances are below the bound; where a
        limb ends, the other slice's outline is far away and says nothing about how high the limb reaches.
    height
        How far the end reaches, in slices: the zero between both slices is a dome that high.
    """
    if not ends.any():
        return np.full(distance.shape, np.inf)
    depth = -distance
    label, count = ndi.label(ends, structure=np.ones((3, 3)))
    deepest = np.maximum(ndi.maximum(depth, label, np.arange(count + 1)), 1e-3)
    nearest = ndi.distance_transform_edt(~ends, return_distances=False, return_indices=True)
    half_width = deepest[label[tuple(nearest)]]
    depth = np.minimum(depth, half_width)
    return np.maximum(half_width**2 / (height * (2 * half_width - depth)) - depth, 1e-3)


def _upsample(values: Field, refine: int) -> Field:
    """Interpolate between slices (Catmull-Rom), ``refine`` values per slice."""
    if refine == 1:
        return values
    count = (len(values) - 1) * refine + 1
    at = np.arange(count) / refine
    base = np.minimum(at.astype(np.intp), len(values) - 2)
    t = (at - base)[:, None, None].astype(np.float32)
    rows = [values[np.clip(base + shift, 0, len(values) - 1)] for shift in (-1, 0, 1, 2)]
    weights = (
        0.5 * (-t + 2 * t**2 - t**3),
        0.5 * (2 - 5 * t**2 + 3 * t**3),
        0.5 * (t + 4 * t**2 - 3 * t**3),
        0.5 * (-(t**2) + t**3),
    )
    total = weights[0] * rows[0]
    for weight, row in zip(weights[1:], rows[1:], strict=True):
        total += weight * row
    return total


def _resample(
    native: Field,
    patient_from_native: FloatArray,
    mask: BoolArray,
    rotation: FloatArray,
    sizes: tuple[float, float, float, int, int],
) -> tuple[Field, FloatArray]:
    """Bring the native field onto the mould's axes; returns values ``(z, y, x)`` and their origin."""
    step, margin, above, refine, axis = sizes
    inside = _row_ends(mask)
    inside[:, axis] *= refine
    points = (inside @ patient_from_native[:3, :3].T + patient_from_native[:3, 3]) @ rotation.T
    half = 0.5 * np.abs(rotation @ patient_from_native[:3, :3] * np.eye(3)[axis] * refine).sum(axis=1)
    low, high = bounds(points)
    low, high = low - half - margin, high + half + margin
    high[2] += above
    shape = np.ceil((high - low) / step).astype(int) + 1
    index_from_patient = np.linalg.inv(patient_from_native)
    linear = index_from_patient[:3, :3] @ rotation.T
    offset = linear @ low + index_from_patient[:3, 3]
    return _interpolated(native, linear * step, offset, shape), low


def _interpolated(native: Field, native_from_new: FloatArray, offset: FloatArray, shape: npt.NDArray[np.intp]) -> Field:
    """Interpolate linearly on a new lattice of ``shape`` x, y, z; beyond the old one its outermost values go on."""
    import SimpleITK as sitk

    ends = np.array(np.meshgrid(*((0, n - 1) for n in shape))).reshape(3, -1)
    low, high = bounds((native_from_new @ ends).T + offset)
    before = np.maximum(np.ceil(-low), 0).astype(int)
    after = np.maximum(np.ceil(high) - np.array(native.shape[::-1]) + 1, 0).astype(int)
    widened = np.pad(native, [(int(a), int(b)) for a, b in zip(before[::-1], after[::-1], strict=True)], mode="edge")
    image = sitk.GetImageFromArray(widened)
    transform = sitk.AffineTransform(native_from_new.ravel().tolist(), (offset + before).tolist())
    reference = sitk.Image([1, 1, 1], sitk.sitkUInt8)
    turned = sitk.Resample(
        image,
        [int(n) for n in shape],
        transform,
        sitk.sitkLinear,
        reference.GetOrigin(),
        reference.GetSpacing(),
        reference.GetDirection(),
        0.0,
        sitk.sitkFloat32,
        True,
    )
    return np.asarray(sitk.GetArrayFromImage(turned))


def _as_distance(values: Field, step: float) -> Field:
    """Divide by the gradient near the zero level, where that makes the field a distance to first order."""
    near = np.abs(values) < 12.0 * step
    slope = np.zeros_like(values)
    for part in np.gradient(values, np.float32(step)):
        slope += part * part
    np.sqrt(slope, out=slope)
    np.clip(slope, 0.25, None, out=slope)
    return np.where(near, values / slope, values)


def _keep_volume(field: DistanceField, volume_ml: float) -> DistanceField:
    """Shift the zero level by the small constant that gives the solid the mask's volume."""
    step, values = field.step_mm, field.values
    # Three shifts of at most half a millimetre: only the voxels they may reach change their share.
    reach = np.float32(1.5 + step)
    near = values[np.abs(values) < reach]
    deep = int(np.count_nonzero(values <= -reach))
    total = np.float32(0.0)
    for _ in range(3):
        share = np.clip(0.5 - near / np.float32(step), 0.0, 1.0).sum(dtype=np.float64)
        now = (deep + float(share)) * step**3 / 1000.0
        area = 0.5 * float((np.abs(near) < step).sum()) * step**2
        if area == 0:
            break
        shift = np.float32(np.clip((now - volume_ml) * 1000.0 / area, -0.5, 0.5))
        near, total = near + shift, total + shift
    return DistanceField(values + total, field.origin_mm, step)
