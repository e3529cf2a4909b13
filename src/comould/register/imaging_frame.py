"""The pictures elastix compares: both volumes on cubic voxels along the fixed one's axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from comould.errors import GeometryError, InputError
from comould.space import FloatArray, Frame, Grid, Transform

if TYPE_CHECKING:
    import SimpleITK as sitk

LEAST_MM, MOST_MM = 1.5, 3.0
_LEAST_MASK = 200
"""Fewer voxels at the working size carry no mutual information."""


@dataclass(frozen=True, eq=False)
class Working:
    """A volume at the size it is compared at.

    Parameters
    ----------
    image
        The original, float32.
    mask
        Where it is looked at, on the same grid; everywhere if None.
    voxels
        ``(z, y, x)`` float32 on cubic voxels.
    looked_at
        ``(z, y, x)``: in the image, and in the mask.
    grid
        Where the cubic voxels lie.
    """

    image: sitk.Image
    mask: sitk.Image | None
    voxels: npt.NDArray[np.float32]
    looked_at: npt.NDArray[np.bool_]
    grid: Grid

    @property
    def voxel_mm(self) -> float:
        """Side of the cubic voxels."""
        return self.grid.spacing_mm[0]

    @classmethod
    def on(cls, image: sitk.Image, mask: sitk.Image | None, grid: Grid, transform: Transform | None = None) -> Self:
        """Bring an image and its mask to cubic voxels; ``transform``: image's patient points from the grid's."""
        import SimpleITK as sitk

        smooth = image
        sigma = [0.5 * max(0.0, grid.spacing_mm[0] - s) for s in image.GetSpacing()]
        if max(sigma) > 0:
            smooth = sitk.SmoothingRecursiveGaussian(image, [max(s, 1e-3) for s in sigma])
        move = transform.itk if transform is not None else sitk.Transform(3, sitk.sitkIdentity)
        like = grid.to_image()
        voxels = sitk.GetArrayFromImage(sitk.Resample(smooth, like, move, sitk.sitkLinear, 0.0, sitk.sitkFloat32))
        own = mask if mask is not None else Grid.from_image(image).to_image(np.ones(image.GetSize()[::-1], np.uint8))
        label = sitk.Resample(own, like, move, sitk.sitkNearestNeighbor, 0.0, sitk.sitkUInt8)
        return cls(image, mask, voxels, sitk.GetArrayFromImage(label) > 0, grid)

    def laid_on(self, fixed: Working, moving_from_fixed: Transform) -> Working:
        """Resample on the fixed volume's cubic voxels where a transform puts them."""
        return Working.on(self.image, self.mask, fixed.grid, moving_from_fixed)

    def points_mm(self, most: int = 20_000) -> FloatArray:
        """Patient points ``(n, 3)`` that are looked at, evenly thinned."""
        idx = np.argwhere(self.looked_at)
        return self.grid.patient_from_index(idx[:: max(1, len(idx) // most), ::-1])

    def patient_transform(self, stage: Stage) -> Transform:
        """Turn what elastix found in mm along the cubic voxels' axes into patient to patient."""
        local = np.eye(4)
        local[:3, :3], local[:3, 3] = self.grid.axes, self.grid.origin_mm
        patient_from_local = Transform.from_matrix(Frame.PATIENT, Frame.PATIENT, local)
        found = Transform(Frame.PATIENT, Frame.PATIENT, stage.itk)
        return patient_from_local @ (found @ patient_from_local.inverse())


@dataclass(frozen=True)
class Stage:
    """What elastix found, as a SimpleITK transform in its own mm."""

    itk: sitk.Transform

    @classmethod
    def read(cls, found: dict[str, list[str]]) -> Self:
        """Read elastix' parameter map of a three-dimensional rigid or B-spline transform."""
        import SimpleITK as sitk

        values = np.array(found["TransformParameters"], dtype=np.float64)
        if found["Transform"][0] == "EulerTransform":
            euler = sitk.Euler3DTransform()
            euler.SetComputeZYX(found.get("ComputeZYX", ["false"])[0] == "true")
            euler.SetCenter([float(c) for c in found["CenterOfRotationPoint"]])
            euler.SetRotation(*values[:3].tolist())
            euler.SetTranslation(values[3:].tolist())
            return cls(euler)
        size = [int(n) for n in found["GridSize"]]
        parts = []
        for component in values.reshape(3, *size[::-1]):
            image = sitk.GetImageFromArray(np.ascontiguousarray(component))
            image.SetSpacing([float(s) for s in found["GridSpacing"]])
            image.SetOrigin([float(o) for o in found["GridOrigin"]])
            parts.append(image)
        return cls(sitk.BSplineTransform(parts, 3))


def working_pair(
    fixed: sitk.Image, moving: sitk.Image, masks: tuple[sitk.Image | None, sitk.Image | None], voxel_mm: float
) -> tuple[Working, Working]:
    """Check both volumes and bring each to cubic voxels along its own axes.

    Raises
    ------
    InputError
        As :func:`comould.register.imaging.register_volumes`.
    """
    import SimpleITK as sitk

    both = (("fixed volume", fixed, masks[0]), ("moving volume", moving, masks[1]))
    grids = [_checked(*one) for one in both]
    largest = max(max(grid.spacing_mm) for grid in grids)
    side = voxel_mm or float(np.clip(largest, LEAST_MM, MOST_MM))
    made = []
    for (subject, image, mask), grid in zip(both, grids, strict=True):
        size = np.maximum(1, np.round(np.array(grid.size) * grid.spacing_mm / side).astype(int))
        first = (np.array(grid.size) - 1) / 2 - (size - 1) / 2 * side / np.array(grid.spacing_mm)
        origin = grid.patient_from_index(first)[0]
        cubic = Grid(tuple(size.tolist()), (side,) * 3, tuple(origin.tolist()), grid.axes)
        one = Working.on(sitk.Cast(image, sitk.sitkFloat32), mask, cubic)
        if one.looked_at.sum() < _LEAST_MASK:
            raise InputError(
                subject=subject,
                expected=f"at least {_LEAST_MASK} voxels of {side:g} mm to look at",
                found=f"{int(one.looked_at.sum())}",
                remedy="Give a larger mask or image",
            )
        made.append(one)
    return made[0], made[1]


def best_start(pair: tuple[Working, Working]) -> Transform:
    """Choose the shift that mutual information likes best: none, middle on middle, or gravity on gravity."""
    fixed, moving = pair
    shifts = [np.zeros(3), _middle(moving) - _middle(fixed), _gravity(moving) - _gravity(fixed)]
    starts = []
    for shift in shifts:
        matrix = np.eye(4)
        matrix[:3, 3] = shift
        starts.append(Transform.from_matrix(Frame.PATIENT, Frame.PATIENT, matrix))
    scores = []
    for start in starts:
        laid = moving.laid_on(fixed, start)
        common = fixed.looked_at & laid.looked_at
        enough = common.sum() >= 0.2 * min(fixed.looked_at.sum(), moving.looked_at.sum())
        scores.append(mutual_information(fixed.voxels[common], laid.voxels[common]) if enough else -1.0)
    return starts[int(np.argmax(scores))]


def mutual_information(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], bins: int = 32) -> float:
    """Mutual information over the mean entropy, 0 to 1, of bins of equal counts."""
    if len(a) < _LEAST_MASK:
        return 0.0
    levels = [np.searchsorted(np.unique(np.quantile(x, np.linspace(0, 1, bins + 1)[1:-1])), x) for x in (a, b)]
    joint = np.zeros((bins, bins))
    np.add.at(joint, (levels[0], levels[1]), 1.0)
    joint /= joint.sum()

    def entropy(p: FloatArray) -> float:
        return float(-(p[p > 0] * np.log(p[p > 0])).sum())

    one, two = entropy(joint.sum(axis=1)), entropy(joint.sum(axis=0))
    return 2.0 * (one + two - entropy(joint.ravel())) / (one + two) if one + two > 0 else 0.0


def _middle(one: Working) -> FloatArray:
    idx = np.argwhere(one.looked_at)
    return one.grid.patient_from_index((idx.min(axis=0) + idx.max(axis=0))[::-1] / 2.0)[0]


def _gravity(one: Working) -> FloatArray:
    idx = np.argwhere(one.looked_at)
    value = one.voxels[one.looked_at].astype(np.float64)
    weight = value - value.min()
    return one.grid.patient_from_index((idx * weight[:, None]).sum(axis=0)[::-1] / weight.sum())[0]


def _checked(subject: str, image: sitk.Image, mask: sitk.Image | None) -> Grid:
    import SimpleITK as sitk

    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            subject=subject, expected="one number per voxel", found=f"{image.GetNumberOfComponentsPerPixel()}"
        )
    try:
        grid = Grid.from_image(image)
    except GeometryError as error:
        raise GeometryError(
            subject=f"{subject} ({error.subject})", expected=error.expected, found=error.found, remedy=error.remedy
        ) from error
    values = sitk.GetArrayViewFromImage(image)
    if not np.isfinite(values).all() or values.min() == values.max():
        found = "one intensity everywhere" if np.isfinite(values).all() else "NaN or infinite voxels"
        raise InputError(subject=subject, expected="finite intensities that vary", found=found)
    if mask is not None:
        difference = grid.difference(Grid.from_image(mask))
        if difference:
            raise InputError(subject=f"mask of the {subject}", expected="the grid of its image", found=difference)
    return grid
