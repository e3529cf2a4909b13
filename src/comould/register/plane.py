"""The imaging volume cut along a plane, as a picture in the plane's own millimetres."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from comould.errors import GeometryError, InputError, RegistrationError
from comould.register.raster import Raster
from comould.register.volume import signed_distance
from comould.space import CutPlane, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

    Images: TypeAlias = sitk.Image | Mapping[str, sitk.Image]

LONGEST_SIDE = 240
"""Pixels along the longer side of the specimen's bounding box in a plane, at most."""


LEAST_COVERED = 0.95
"""Share of the specimen in a plane that a volume must cover."""


def plane_raster(
    plane: CutPlane, images: Images, mask: sitk.Image, *, offset_mm: float = 0.0, margin_mm: float = 4.0
) -> Raster:
    """Resample volume and mask onto a cutting plane.

    Parameters
    ----------
    plane
        Where to cut.
    images
        One volume, or several by name (T2, ADC, …); each may have a grid of its own.
    mask
        Label image of the specimen; everything above 0 counts.
    offset_mm
        Distance of the cut from the plane along its normal.
    margin_mm
        Room around the specimen.

    Returns
    -------
    Raster
        Frame ``plane`` (u, v); one channel per volume, of zero mean and unit variance inside the mask.

    Raises
    ------
    RegistrationError
        If the plane misses the specimen.
    InputError
        If a volume is constant or not finite there.
    """
    import SimpleITK as sitk

    volumes = named_volumes(images)
    distance, low, high = _distance_near(plane, mask, offset_mm)
    spacing = _in_plane_spacing(plane, list(volumes.values()), high - low)
    origin = low - margin_mm
    size = [int(n) for n in np.ceil((high - low + 2 * margin_mm) / spacing).astype(int) + 1]

    def cut(image: sitk.Image, default: float) -> np.ndarray:
        """Resample one volume."""
        filter_ = sitk.ResampleImageFilter()
        filter_.SetSize([*size, 1])
        filter_.SetOutputSpacing([spacing, spacing, 1.0])
        filter_.SetOutputDirection(plane.rotation.ravel().tolist())
        filter_.SetOutputOrigin(plane.patient_from_plane.apply([[*origin, offset_mm]])[0].tolist())
        filter_.SetInterpolator(sitk.sitkLinear)
        filter_.SetDefaultPixelValue(default)
        filter_.SetOutputPixelType(sitk.sitkFloat32)
        return sitk.GetArrayFromImage(filter_.Execute(image))[0]

    inside = cut(distance, -1e3) > 0
    if inside.sum() < 16:
        raise _missed(plane, offset_mm)
    _check_covered(plane, volumes, (origin[0], origin[1], offset_mm), inside, spacing)
    channels = [_standard(cut(image, 0.0), inside, f"volume {name!r} at {plane.id}") for name, image in volumes.items()]
    return Raster(np.array(channels, dtype=np.float32), inside, spacing, (float(origin[0]), float(origin[1])))


def named_volumes(images: Images) -> dict[str, Any]:
    """Give one volume, or several, by name.

    Raises
    ------
    InputError
        If there is none.
    """
    volumes: dict[str, Any] = dict(images) if isinstance(images, Mapping) else {"image": images}
    if not volumes:
        raise InputError(subject="images", expected="at least one volume", found="none")
    return volumes


def _distance_near(plane: CutPlane, mask: sitk.Image, offset_mm: float) -> tuple[sitk.Image, np.ndarray, np.ndarray]:
    """Signed distance (inside positive) of the mask near the plane, and the specimen's bounds in u, v there.

    Distances, not labels, are interpolated: between two thick slices the outline then moves smoothly.
    """
    import SimpleITK as sitk

    grid = Grid.from_image(mask)
    binary = sitk.GetArrayViewFromImage(mask) > 0
    index = np.argwhere(binary)[:, ::-1]
    if not len(index):
        raise InputError(subject="mask", expected="a specimen", found="no voxel above 0")
    uvn = plane.plane_from_patient.apply(grid.patient_from_index(index))
    reach = 0.51 * float(np.abs(np.array(plane.normal) @ (grid.axes * np.array(grid.spacing_mm))).sum())
    near = np.abs(uvn[:, 2] - offset_mm) <= 2 * reach
    touching = np.abs(uvn[:, 2] - offset_mm) <= reach
    if not touching.any():
        raise _missed(plane, offset_mm)
    corner = np.maximum(index[near].min(axis=0) - 3, 0)
    extent = np.minimum(index[near].max(axis=0) + 4, grid.size) - corner
    low, high = corner.tolist(), (corner + extent).tolist()
    part = np.pad(binary[low[2] : high[2], low[1] : high[1], low[0] : high[0]], 1)
    distance = sitk.GetImageFromArray(signed_distance(part, grid.spacing_mm))
    distance.SetSpacing(grid.spacing_mm)
    distance.SetDirection(grid.axes.ravel().tolist())
    distance.SetOrigin(grid.patient_from_index([corner - 1])[0].tolist())
    bounds = uvn[near, :2]
    pad = 0.5 * max(grid.spacing_mm)
    return distance, bounds.min(axis=0) - pad, bounds.max(axis=0) + pad


def _missed(plane: CutPlane, offset_mm: float) -> RegistrationError:
    where = f" at offset {offset_mm:g} mm" if offset_mm else ""
    return RegistrationError(
        subject=f"cut plane {plane.id!r}{where}",
        expected="a plane through the specimen",
        found="no voxel of the mask on it",
        remedy="Check that plan, image and mask are of the same patient space, and the section's offset_mm",
    )


def _in_plane_spacing(plane: CutPlane, images: list[sitk.Image], extent_mm: np.ndarray) -> float:
    """Two thirds of the finest in-plane voxel, but no more pixels than the longest side allows."""
    finest = np.inf
    for image in images:
        grid = Grid.from_image(image)
        along = np.abs(np.array([plane.u, plane.v]) @ grid.axes)
        finest = min(finest, float(np.min([grid.spacing_mm[int(np.argmax(row))] for row in along])))
    return max(finest / 1.5, float(extent_mm.max()) / LONGEST_SIDE)


def _check_covered(
    plane: CutPlane, volumes: Mapping[str, sitk.Image], corner: tuple[float, ...], inside: np.ndarray, spacing: float
) -> None:
    rows, columns = np.nonzero(inside)
    points = np.column_stack([columns * spacing, rows * spacing, np.zeros(len(rows))]) + np.array(corner)
    patient = plane.patient_from_plane.apply(points)
    for name, image in volumes.items():
        covered = float(Grid.from_image(image).contains(patient).mean())
        if covered < LEAST_COVERED:
            raise InputError(
                subject=f"volume {name!r}",
                expected=f"to cover the specimen at plane {plane.id}",
                found=f"{covered:.0%} of it covered",
                remedy="Are image, mask and plan of the same patient space?",
            )


def _standard(values: np.ndarray, inside: np.ndarray, subject: str) -> np.ndarray:
    tissue = values[inside].astype(np.float64)
    if not np.isfinite(values).all():
        raise GeometryError(subject=subject, expected="finite voxels", found="NaN or infinite ones")
    low, high = np.quantile(tissue, [0.005, 0.995])
    if not high > low:
        raise InputError(subject=subject, expected="a picture", found="one constant value")
    clipped = np.clip(tissue, low, high)
    return np.asarray(np.where(inside, (np.clip(values, low, high) - clipped.mean()) / clipped.std(), 0.0))
