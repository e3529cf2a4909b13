"""The tumour's outline: a lobulated, chiral, star-shaped body given by an analytic radius."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from comould.space import FloatArray

_SPHERE_POINTS = 6000


@dataclass(frozen=True, eq=False)
class Body:
    """An ellipsoid whose radius is raised or lowered by smooth lobes.

    Parameters
    ----------
    centre_mm
        Patient position the radius is measured from.
    axes
        ``(3, 3)``; columns are the patient directions of the ellipsoid's axes.
    semi_axes_mm
        Half diameters along them.
    lobe_directions
        ``(m, 3)`` unit vectors, patient.
    lobe_heights
        ``(m,)`` relative rise (or fall, when negative) of the radius at the lobe's middle.
    lobe_sharpness
        ``(m,)`` concentration κ of ``exp(κ (cos θ - 1))``.
    """

    centre_mm: FloatArray
    axes: FloatArray
    semi_axes_mm: FloatArray
    lobe_directions: FloatArray
    lobe_heights: FloatArray
    lobe_sharpness: FloatArray

    @classmethod
    def draw(cls, rng: np.random.Generator, volume_ml: float, ratio: FloatArray, centre_mm: FloatArray) -> Body:
        """Draw a body of the given volume: four lobes and two dents of unequal size, at least 50° apart."""
        directions = _apart(rng, 6, 50.0)
        heights = np.array([0.60, 0.42, 0.30, 0.22, -0.30, -0.22]) * rng.uniform(0.85, 1.15, 6)
        sharpness = rng.uniform(4.5, 8.5, 6)
        axes = rotation(rng.uniform(-20.0, 20.0, 3))
        raw = cls(centre_mm, axes, ratio / 2.0, directions, heights, sharpness)
        scale = np.cbrt(volume_ml / raw.volume_ml)
        return replace(raw, semi_axes_mm=raw.semi_axes_mm * scale)

    def radius_mm(self, directions: FloatArray) -> FloatArray:
        """Distance ``(n,)`` from the centre to the surface along unit directions ``(n, 3)``."""
        ellipsoid = 1.0 / lengths((directions @ self.axes) / self.semi_axes_mm)
        rise = np.ones(len(directions))
        for direction, height, kappa in zip(self.lobe_directions, self.lobe_heights, self.lobe_sharpness, strict=True):
            rise += height * np.exp(kappa * (directions @ direction - 1.0))
        return ellipsoid * rise

    def level_mm(self, points_mm: FloatArray) -> FloatArray:
        """Signed radial distance ``(n,)`` to the surface: negative inside, and zero exactly on it.

        It is measured along the ray from the centre, so its size is at least the shortest distance.
        """
        offset = points_mm - self.centre_mm
        distance = lengths(offset)
        # The centre itself has no direction: any will do.
        offset[distance < 1e-9] = (0.0, 0.0, 1.0)
        return distance - self.radius_mm(offset / np.where(distance < 1e-9, 1.0, distance)[:, None])

    def surface_mm(self, n: int = _SPHERE_POINTS) -> FloatArray:
        """``(n, 3)`` patient points spread over the surface."""
        directions = sphere(n)
        return self.centre_mm + directions * self.radius_mm(directions)[:, None]

    @property
    def volume_ml(self) -> float:
        """Volume, by quadrature of the radius cubed over the sphere."""
        return float(4.0 * np.pi / 3.0 * np.mean(self.radius_mm(sphere(_SPHERE_POINTS)) ** 3) / 1000.0)

    def interior(self, rng: np.random.Generator, n: int, depth_mm: float = 0.0) -> FloatArray:
        """Draw ``n`` patient points evenly from the inside, at least ``depth_mm`` (radially) below the surface."""
        surface = self.surface_mm(1500)
        low, high = surface.min(axis=0), surface.max(axis=0)
        found = np.empty((0, 3))
        while len(found) < n:
            trial = rng.uniform(low, high, (2 * n + 64, 3))
            found = np.vstack([found, trial[self.level_mm(trial) < -depth_mm]])
        return found[:n]


def lengths(vectors: FloatArray) -> FloatArray:
    """Euclidean lengths ``(n,)`` of rows; several times quicker than ``norm(axis=1)`` for three columns."""
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors))


def sphere(n: int) -> FloatArray:
    """Spread ``n`` unit vectors evenly over the sphere (Fibonacci lattice)."""
    z = 1.0 - (2.0 * np.arange(n) + 1.0) / n
    angle = np.pi * (3.0 - np.sqrt(5.0)) * np.arange(n)
    ring = np.sqrt(1.0 - z**2)
    return np.column_stack([ring * np.cos(angle), ring * np.sin(angle), z])


def rotation(angles_deg: FloatArray) -> FloatArray:
    """Rotation matrix about x, then y, then z."""
    a, b, c = np.deg2rad(angles_deg)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def unit_vectors(rng: np.random.Generator, n: int) -> FloatArray:
    """Draw ``n`` directions evenly from the sphere."""
    vectors = rng.standard_normal((n, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _apart(rng: np.random.Generator, n: int, degrees: float) -> FloatArray:
    """Draw directions one by one, each away from those before it."""
    limit = np.cos(np.deg2rad(degrees))
    chosen = unit_vectors(rng, 1)
    while len(chosen) < n:
        trial = unit_vectors(rng, 1)
        if (chosen @ trial[0]).max() < limit:
            chosen = np.vstack([chosen, trial])
    return chosen
