"""The same tumour as it might have been measured another time: noise, another grid, another contour, other bins.

References
----------
Zwanenburg et al., Sci Rep 2019, doi 10.1038/s41598-018-36938-4 (robustness by image perturbation). Noise by the median
of the diagonal Haar coefficients: Donoho & Johnstone, Biometrika 1994, doi 10.1093/biomet/81.3.425.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from comould.errors import ComouldWarning, InputError
from comould.habitats.inputs import mask_indices
from comould.habitats.rim import edge_distance
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

Kind = Literal["noise", "rotation", "translation", "contour", "bins"]
UNITS: dict[str, str] = {
    "noise": "times the image's noise",
    "rotation": "° in the image plane",
    "translation": "of a voxel along each axis",
    "contour": "mm outward",
    "bins": "bins",
}


@dataclass(frozen=True)
class Perturbation:
    """One way to measure again.

    Parameters
    ----------
    kind
        ``"noise"``: Gaussian noise is added, ``amount`` times what each image holds already. ``"rotation"``: the grid
        is turned by ``amount`` degrees about the slice normal through the mask's centre. ``"translation"``: the grid is
        moved by ``amount`` of a voxel along each axis. ``"contour"``: the mask grows (or shrinks, below 0) by
        ``amount`` mm. ``"bins"``: textures use ``amount`` grey levels.
    amount
        How much; see ``kind``.

    Raises
    ------
    InputError
        If the kind is none or the amount out of range.
    """

    kind: Kind
    amount: float

    def __post_init__(self) -> None:
        limits = {
            "noise": (0, 20),
            "rotation": (-45, 45),
            "translation": (-1, 1),
            "contour": (-50, 50),
            "bins": (2, 1024),
        }
        if self.kind not in limits:
            raise InputError(
                subject=f"perturbation {self.kind!r}", expected=f"one of {', '.join(limits)}", found="none"
            )
        low, high = limits[self.kind]
        if not low <= self.amount <= high or self.amount == 0:
            raise InputError(
                subject=f"perturbation {self.kind}",
                expected=f"an amount from {low} to {high} {UNITS[self.kind]}, not 0",
                found=f"{self.amount:g}",
            )

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.amount:+g}" if self.kind in {"rotation", "contour"} else f"{self.kind} {self.amount:g}"
        )


DEFAULT: tuple[Perturbation, ...] = (
    Perturbation("noise", 1.0),
    Perturbation("noise", 1.0),
    Perturbation("rotation", -5.0),
    Perturbation("rotation", 5.0),
    Perturbation("translation", 0.25),
    Perturbation("translation", 0.5),
    Perturbation("contour", -1.0),
    Perturbation("contour", 1.0),
)
"""Eight measurements; bins are added where textures are measured."""
BINS: tuple[Perturbation, ...] = (Perturbation("bins", 16), Perturbation("bins", 64))


def perturbed(
    images: Mapping[str, sitk.Image],
    mask: sitk.Image,
    how: Perturbation,
    *,
    seed: int = 0,
    depth: sitk.Image | None = None,
) -> tuple[dict[str, sitk.Image], sitk.Image]:
    """Measure images and mask another time.

    Parameters
    ----------
    images
        By name.
    mask
        One label.
    how
        The perturbation; ``bins`` changes neither image nor mask.
    seed
        Of the noise.
    depth
        From :func:`depth_of`, where it is known already.

    Returns
    -------
    images : dict
        As given, or with noise. After a rotation or translation they are to be resampled to the mask's grid, as
        :func:`comould.habitats.feature_maps` does.
    mask : SimpleITK.Image
        Perhaps of another grid or shape.

    Raises
    ------
    InputError
        If a contour shrinks to nothing.
    """
    if how.kind == "noise":
        return {
            name: _noisy(image, mask, how.amount, np.random.SeedSequence([seed, 8, n]))
            for n, (name, image) in enumerate(images.items())
        }, mask
    if how.kind == "contour":
        return dict(images), moved_contour(mask, how.amount, depth=depth)
    if how.kind in {"rotation", "translation"}:
        return dict(images), _regridded(mask, how, depth or depth_of(mask, ()))
    return dict(images), mask


def noise_sd(image: sitk.Image, mask: sitk.Image) -> float:
    """Estimate the standard deviation of an image's noise in the box of the mask, in the image's unit.

    Notes
    -----
    Half the difference of the diagonals of 2 × 2 pixels of a plane is noise where the image is smooth; 1.4826 times its
    median magnitude is robust to edges. Noise that neighbours share (interpolated images) is missed.
    """
    import SimpleITK as sitk

    grid = Grid.from_image(image)
    index = grid.index_from_patient(Grid.from_image(mask).patient_from_index(mask_indices(mask)[:, ::-1]))
    low = np.clip(np.floor(index.min(axis=0)), 0, np.asarray(grid.size) - 1).astype(int)
    high = np.clip(np.ceil(index.max(axis=0)) + 2, low + 1, grid.size).astype(int)
    box = sitk.GetArrayViewFromImage(image)[low[2] : high[2], low[1] : high[1], low[0] : high[0]].astype(np.float64)
    diagonal = 0.5 * (box[:, :-1, :-1] - box[:, :-1, 1:] - box[:, 1:, :-1] + box[:, 1:, 1:])
    found = np.abs(diagonal[np.isfinite(diagonal)])
    return float(1.4826 * np.median(found)) if found.size else 0.0


def depth_of(mask: sitk.Image, ways: Sequence[Perturbation]) -> sitk.Image:
    """Measure the depth below a mask's edge, mm, as far outside as the perturbations need it."""
    grown = [how.amount for how in ways if how.kind == "contour"]
    return edge_distance(cropped(mask, max([0.0, *grown]))[0])


def moved_contour(mask: sitk.Image, outward_mm: float, *, depth: sitk.Image | None = None) -> sitk.Image:
    """Grow (or shrink, below 0) a mask by a distance in mm, the same in all directions whatever the voxels' shape.

    Raises
    ------
    InputError
        If nothing is left.
    """
    import SimpleITK as sitk

    if depth is None:
        depth = edge_distance(cropped(mask, max(outward_mm, 0.0))[0])
    inside = sitk.GetArrayViewFromImage(depth) > -outward_mm
    if not inside.any():
        raise InputError(
            subject=f"mask shrunk by {-outward_mm:g} mm",
            expected="voxels inside",
            found="none",
            remedy="Shrink it less",
        )
    grid = Grid.from_image(mask)
    whole = np.zeros(grid.shape, dtype=np.uint8)
    i, j, k = np.rint(grid.index_from_patient(depth.GetOrigin())[0]).astype(int).tolist()
    whole[k : k + inside.shape[0], j : j + inside.shape[1], i : i + inside.shape[2]] = inside
    return grid.to_image(whole)


def cropped(mask: sitk.Image, margin_mm: float = 0.0) -> tuple[sitk.Image, tuple[int, int, int]]:
    """Cut a mask to its box, a margin and three voxels; returns it and its first voxel (i, j, k)."""
    import SimpleITK as sitk

    inside = mask_indices(mask)[:, ::-1]
    size = np.asarray(mask.GetSize())
    margin = np.ceil(margin_mm / np.asarray(mask.GetSpacing())).astype(int) + 3
    low = np.maximum(inside.min(axis=0) - margin, 0)
    high = np.minimum(inside.max(axis=0) + margin + 1, size)
    part = sitk.RegionOfInterest(mask, (high - low).tolist(), low.tolist())
    return part, (int(low[0]), int(low[1]), int(low[2]))


def sampled(values: FloatArray, grid: Grid, mask_idx: np.ndarray, points_mm: FloatArray) -> FloatArray:
    """Read ``(n, d)`` values at a mask's voxels between them, linearly.

    Returns
    -------
    ndarray
        ``(m, d)`` at ``points_mm`` ``(m, 3)``; NaN where no voxel with a value is next to a point.
    """
    from scipy.ndimage import map_coordinates

    low = mask_idx.min(axis=0) - 1
    shape = mask_idx.max(axis=0) - low + 2
    where = (grid.index_from_patient(points_mm)[:, ::-1] - low).T
    place = tuple((mask_idx - low).T)
    out = np.empty((len(points_mm), values.shape[1]))
    box = np.zeros(shape)
    for column in range(values.shape[1]):
        finite = np.isfinite(values[:, column])
        box[place] = finite
        weight = map_coordinates(box, where, order=1)
        box[place] = np.where(finite, values[:, column], 0.0)
        sums = map_coordinates(box, where, order=1)
        out[:, column] = np.divide(sums, weight, out=np.full(len(sums), np.nan), where=weight > 1e-6)
    return out


@contextmanager
def quiet() -> Iterator[None]:
    """Say nothing of what was said of the unperturbed images already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        yield


def _noisy(image: sitk.Image, mask: sitk.Image, amount: float, seed: np.random.SeedSequence) -> sitk.Image:
    import SimpleITK as sitk

    array = sitk.GetArrayFromImage(image).astype(np.float64)
    noise = np.random.default_rng(seed).normal(0.0, amount * noise_sd(image, mask), array.shape)
    return Grid.from_image(image).to_image(array + noise)


def _regridded(mask: sitk.Image, how: Perturbation, depth: sitk.Image) -> sitk.Image:
    """Resample the mask to a grid that is turned or moved, and large enough for it."""
    import SimpleITK as sitk

    grid = Grid.from_image(mask)
    inside = mask_indices(mask)[:, ::-1]
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    low, high = inside.min(axis=0) - 1, inside.max(axis=0) + 1
    points = grid.patient_from_index(low + corners * (high - low))
    angle = np.deg2rad(how.amount) if how.kind == "rotation" else 0.0
    turn = np.array([[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 0.0, 1.0]])
    axes, spacing = grid.axes @ turn, np.asarray(grid.spacing_mm)
    centre = grid.patient_from_index(inside.mean(axis=0))[0]
    shift = how.amount if how.kind == "translation" else 0.0
    # The unperturbed grid's own phase, so that only what is asked for changes.
    phase = grid.index_from_patient(centre)[0] % 1.0
    index = (points - centre) @ axes / spacing + phase - shift
    first = np.floor(index.min(axis=0)).astype(int)
    size = np.ceil(index.max(axis=0)).astype(int) - first + 1
    origin = centre + axes @ ((first - phase + shift) * spacing)
    box = Grid(tuple(size.tolist()), grid.spacing_mm, tuple(origin.tolist()), axes)
    # The distance, not the mask: between voxels half-inside is no tie, and the volume stays.
    moved = sitk.Resample(depth, box.to_image(), sitk.Transform(), sitk.sitkLinear, -1.0, sitk.sitkFloat32)
    return sitk.Cast(moved > 0, sitk.sitkUInt8)
