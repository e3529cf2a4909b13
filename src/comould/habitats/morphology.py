"""Features of a region's shape, and of how its intensities lie in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comould.habitats import catalogue
from comould.habitats.boxes import inverse_distance_sums
from comould.habitats.enclosing import Points, ellipsoid_area, least_box, least_ellipsoid
from comould.habitats.processing import Region
from comould.space import FloatArray


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed triangle mesh and its convex hull.

    Parameters
    ----------
    points_mm
        ``(n, 3)`` vertices, in the region's own axes.
    volume_mm3, area_mm2
        Of the mesh.
    hull_points_mm
        ``(m, 3)`` vertices of the hull.
    hull_volume_mm3, hull_area_mm2
        Of the hull.
    """

    points_mm: Points
    volume_mm3: float
    area_mm2: float
    hull_points_mm: Points
    hull_volume_mm3: float
    hull_area_mm2: float

    @classmethod
    def of(cls, mask: npt.NDArray[np.bool_], spacing_mm: FloatArray) -> Surface:
        """Draw the surface half-way between voxels in and out (marching cubes, level 0.5) around ``(k, j, i)``."""
        from scipy.spatial import ConvexHull
        from skimage.measure import marching_cubes

        padded = np.pad(mask, 1).astype(np.float32)
        points, faces, _, _ = marching_cubes(padded, level=0.5, spacing=tuple(spacing_mm))
        points = np.asarray(points, dtype=np.float64)
        a, b, c = (points[faces[:, n]] for n in range(3))
        volume = abs(float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum())) / 6.0
        area = float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()) / 2.0
        hull = ConvexHull(points)
        return cls(points, volume, area, points[hull.vertices], float(hull.volume), float(hull.area))


def morphology(region: Region) -> FloatArray:
    """Work out the features of shape (order of ``catalogue.MORPHOLOGY``).

    Parameters
    ----------
    region
        Shape comes from its morphological mask; centre of mass shift, integrated intensity, Moran's I and Geary's C
        from its intensity mask.

    Notes
    -----
    The axis-aligned box lies along the image's axes. Features of an axis that the region does not have are NaN. The box
    of least volume is the best of those flush with a face of the convex hull. Neither of the two bodies of least volume
    has IBSI reference values.
    """
    mask = region.aligned.in_box(np.ones(len(region.aligned.mask_idx), dtype=bool))
    surface = Surface.of(mask, region.spacing_kji_mm)
    found = _size(region, surface) | _axes(region) | _intensities_in_space(region, surface)
    found |= _densities(surface, np.array([found[f"{name}_axis_length"] for name in ("major", "minor", "least")]) / 2.0)
    return np.array([found[name] for name in catalogue.MORPHOLOGY])


def _size(region: Region, surface: Surface) -> dict[str, float]:
    from scipy.spatial.distance import pdist

    volume, area = surface.volume_mm3, surface.area_mm2
    compactness = 36.0 * np.pi * volume**2 / area**3
    return {
        "volume_mesh": volume,
        "volume_voxel_counting": len(region.aligned.mask_idx) * float(np.prod(region.spacing_kji_mm)),
        "surface_area_mesh": area,
        "surface_to_volume_ratio": area / volume,
        "compactness_1": volume / (np.sqrt(np.pi) * area**1.5),
        "compactness_2": compactness,
        "spherical_disproportion": compactness ** (-1.0 / 3.0),
        "sphericity": compactness ** (1.0 / 3.0),
        "asphericity": compactness ** (-1.0 / 3.0) - 1.0,
        "maximum_3d_diameter": float(pdist(surface.hull_points_mm).max()),
    }


def _axes(region: Region) -> dict[str, float]:
    """Principal axes of the voxel centres."""
    points = region.aligned.mask_idx * region.spacing_kji_mm
    spread = np.cov(points.T)
    major, minor, least = np.sqrt(np.maximum(np.linalg.eigvalsh(spread)[::-1], 0.0))
    return {
        "major_axis_length": 4.0 * major,
        "minor_axis_length": 4.0 * minor,
        "least_axis_length": 4.0 * least,
        "elongation": minor / major if major else np.nan,
        "flatness": least / major if major else np.nan,
    }


def _densities(surface: Surface, semi_axes_mm: FloatArray) -> dict[str, float]:
    extent = np.ptp(surface.points_mm, axis=0)
    bodies = {
        "axis_aligned_bounding_box": _box(extent),
        "oriented_minimum_bounding_box": _box(least_box(surface.hull_points_mm)),
        "approximate_enclosing_ellipsoid": _ellipsoid(semi_axes_mm),
        "minimum_volume_enclosing_ellipsoid": _ellipsoid(least_ellipsoid(surface.hull_points_mm)),
        "convex_hull": (surface.hull_volume_mm3, surface.hull_area_mm2),
    }
    found = {}
    for name, (volume, area) in bodies.items():
        found[f"volume_density_{name}"] = surface.volume_mm3 / volume if volume > 0.0 else np.nan
        found[f"area_density_{name}"] = surface.area_mm2 / area if volume > 0.0 else np.nan
    return found


def _box(extent_mm: FloatArray) -> tuple[float, float]:
    x, y, z = extent_mm
    return float(x * y * z), float(2.0 * (x * y + y * z + z * x))


def _ellipsoid(semi_axes_mm: FloatArray) -> tuple[float, float]:
    if semi_axes_mm.min() <= 1e-9 * semi_axes_mm.max():
        return 0.0, 0.0
    return float(4.0 / 3.0 * np.pi * np.prod(semi_axes_mm)), ellipsoid_area(semi_axes_mm)


def _intensities_in_space(region: Region, surface: Surface) -> dict[str, float]:
    points, values = region.aligned.mask_idx * region.spacing_kji_mm, region.intensities
    total = values.sum()
    centre = (values[:, None] * points[region.kept]).sum(axis=0) / total if total else np.full(3, np.nan)
    moran, geary = autocorrelation(region)
    return {
        "centre_of_mass_shift": float(np.linalg.norm(points.mean(axis=0) - centre)),
        "integrated_intensity": surface.volume_mm3 * float(values.mean()),
        "moran_i_index": moran,
        "geary_c_measure": geary,
    }


def autocorrelation(region: Region) -> tuple[float, float]:
    """Work out Moran's I and Geary's C with the inverse distance between voxels as weight.

    Returns
    -------
    tuple of float
        NaN for a region of one voxel or one intensity.

    Notes
    -----
    All pairs of voxels count, none is sampled: a sum over pairs that depends only on their offset is a convolution.
    """
    values = region.intensities - region.intensities.mean()
    n, squares = len(values), float((values**2).sum())
    if n < 2 or not squares:
        return np.nan, np.nan
    fields = np.stack([np.ones(n), values])
    of_ones, of_values = inverse_distance_sums(region.aligned.mask_idx[region.kept], fields, region.spacing_kji_mm)
    weight = float(of_ones.sum())
    products = float((values * of_values).sum())
    moran = n / weight * products / squares
    geary = (n - 1) / (2.0 * weight) * (2.0 * float((values**2 * of_ones).sum()) - 2.0 * products) / squares
    return moran, geary
