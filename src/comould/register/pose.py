"""Where the knife really went: offset and tilt of a section's cut around its planned plane, with a likelihood curve."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import ndimage, optimize

from comould.register.maps import PlanarMap
from comould.register.raster import Raster, smooth_inside
from comould.register.volume import Volume
from comould.space import CutPlane, FloatArray

if TYPE_CHECKING:
    from collections.abc import Sequence

DEPTH_MM = 0.7
"""Tissue nearer to the specimen's surface is not compared: its voxels hold the surroundings too."""

OUTSIDE = 4.0
"""What the share of tissue outside the specimen counts beside the logarithm of the variance left."""

_FEWEST = 60

PIECES = 2.0
"""Independent pieces of tissue for each that the residual's autocorrelation counts. It counts too few where residuals
are smooth because the in-plane map is off; on simulated cuts of 0.2 mm and 0.5° twice as many give errors of the size
that is stated (ratio 1.1)."""

WIDEST = (1.0, 4.0, 4.0)
"""Largest standard deviation of offset (mm) and tilts (deg) that is stated."""


@dataclass(frozen=True)
class PoseSettings:
    """How the plane of a section is searched.

    Parameters
    ----------
    reach_mm
        Offsets searched to either side of the planned plane.
    step_mm
        Step of the likelihood curve.
    offset_mm, tilt_deg
        Standard deviations of a cut that went well, as half of all are believed to.
    far_offset_mm, far_tilt_deg
        The same of one that went badly, as the other half are believed to.
    sample_mm
        Distance of the tissue points compared.
    smooth_mm
        The stain is smoothed by this much first.
    """

    reach_mm: float = 4.0
    step_mm: float = 0.5
    offset_mm: float = 0.25
    tilt_deg: float = 0.8
    far_offset_mm: float = 1.0
    far_tilt_deg: float = 3.5
    sample_mm: float = 0.6
    smooth_mm: float = 0.8


@dataclass(frozen=True)
class PlanePose:
    """A cut relative to its planned plane.

    Parameters
    ----------
    offset_mm
        Distance from the planned plane along its normal, at ``centre_mm``.
    tilt_deg
        Rotation about the plane's u and about its v.
    centre_mm
        u, v the tilt turns about.
    covariance
        ``(3, 3)`` of (offset mm, tilt about u deg, tilt about v deg), as far as the pictures tell.
    offsets_mm, log_likelihood
        The curve: what the pictures say of each offset (the tilt free), relative to the best; nats.
    effective_n
        How many independent pieces of tissue were compared.
    applied
        Whether positions follow this pose (else the planned plane).
    """

    offset_mm: float
    tilt_deg: tuple[float, float]
    centre_mm: tuple[float, float]
    covariance: tuple[tuple[float, float, float], ...]
    offsets_mm: tuple[float, ...]
    log_likelihood: tuple[float, ...]
    effective_n: float
    applied: bool = True

    @property
    def offset_sd_mm(self) -> float:
        """Standard deviation of the offset."""
        return float(np.sqrt(self.covariance[0][0]))

    @property
    def tilt_size_deg(self) -> float:
        """Angle between the two normals."""
        return float(np.hypot(*self.tilt_deg))

    def moves_mm(self, radius_mm: float) -> float:
        """How far the pose takes tissue from its planned plane at most, at a radius from the centre."""
        return abs(self.offset_mm) + radius_mm * float(np.sin(np.deg2rad(self.tilt_size_deg)))

    def draw(self, rng: np.random.Generator) -> Self:
        """Draw a pose that the pictures allow as well."""
        step = rng.multivariate_normal(np.zeros(3), np.array(self.covariance), method="eigh")
        tilt = (self.tilt_deg[0] + float(step[1]), self.tilt_deg[1] + float(step[2]))
        return replace(self, offset_mm=self.offset_mm + float(step[0]), tilt_deg=tilt)

    def plane(self, planned: CutPlane) -> CutPlane:
        """Give the plane of this pose; its u, v run on through ``centre_mm`` as those of the planned one."""
        turn = _rotation(*np.deg2rad(self.tilt_deg))
        axes = planned.rotation @ turn
        centre = planned.patient_from_plane.apply([[*self.centre_mm, self.offset_mm]])[0]
        origin = centre - axes[:, :2] @ np.array(self.centre_mm)
        return CutPlane(
            planned.id,
            _vector(origin),
            normal=_vector(axes[:, 2]),
            u=_vector(axes[:, 0]),
            v=_vector(axes[:, 1]),
            kerf_mm=planned.kerf_mm,
            face=planned.face,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read plain data."""
        lists = {key: tuple(data[key]) for key in ("tilt_deg", "centre_mm", "offsets_mm", "log_likelihood")}
        return cls(**{**data, **lists, "covariance": tuple(tuple(row) for row in data["covariance"])})


def _vector(array: FloatArray) -> tuple[float, float, float]:
    return float(array[0]), float(array[1]), float(array[2])


def _rotation(about_u: float, about_v: float) -> FloatArray:
    """Rotate by the vector (about_u, about_v, 0), radians."""
    angle = float(np.hypot(about_u, about_v))
    if angle < 1e-12:
        return np.eye(3)
    x, y = about_u / angle, about_v / angle
    cross = np.array([[0.0, 0.0, y], [0.0, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


def fit_pose(
    section: Raster,
    planar: PlanarMap,
    plane: CutPlane,
    volumes: Sequence[Volume],
    specimen: Volume,
    *,
    base_offset_mm: float = 0.0,
    settings: PoseSettings | None = None,
) -> PlanePose | None:
    """Find the offset and tilt at which imaging predicts the stain best, and how surely.

    Parameters
    ----------
    section
        The slide's picture, frame ``section_mm``.
    planar
        How it lies in the plane.
    plane
        The planned plane.
    volumes
        The imaging.
    specimen
        Signed distance to the specimen's surface, positive inside, mm.
    base_offset_mm
        Offset stated for the section; the search runs around it.
    settings
        See :class:`PoseSettings`.

    Returns
    -------
    PlanePose or None
        ``None`` when too little tissue overlaps to tell.

    Notes
    -----
    Model: the stain channels are a quadratic function of the imaging at the same place, plus noise; its residual
    covariance gives the likelihood of a pose, with the number of independent pieces of tissue taken from the
    residual's own autocorrelation. Prior and likelihood are joined; covariance by the curvature at the best (Laplace).
    The in-plane map is held: what it has wrongly bent to fit the planned plane pulls the pose towards the plan. The
    curve shows what these pictures tell; it does not prove a cut.
    """
    s = settings or PoseSettings()
    problem = _Problem.make(section, planar, plane, volumes, specimen, s)
    if problem is None:
        return None
    offsets = base_offset_mm + np.arange(-s.reach_mm, s.reach_mm + 1e-9, s.step_mm)
    flat = np.array([problem.log_likelihood(np.array([o, 0.0, 0.0])) for o in offsets])
    prior = np.array([_log_prior(np.array([o, 0.0, 0.0]), base_offset_mm, s) for o in offsets])
    best = problem.maximise(np.array([offsets[int(np.argmax(flat + prior))], 0.0, 0.0]), base_offset_mm)
    problem = problem.with_noise_of(best)
    best = problem.maximise(best, base_offset_mm)
    curve = np.array([problem.log_likelihood(np.array([o, best[1], best[2]])) for o in offsets])
    return PlanePose(
        offset_mm=float(best[0]),
        tilt_deg=(float(best[1]), float(best[2])),
        centre_mm=(float(problem.centre[0]), float(problem.centre[1])),
        covariance=tuple(tuple(row) for row in problem.covariance(best, base_offset_mm).tolist()),
        offsets_mm=tuple(offsets.tolist()),
        log_likelihood=tuple((curve - curve.max()).tolist()),
        effective_n=problem.effective_n,
    )


@dataclass(frozen=True, eq=False)
class _Problem:
    """Tissue points of a section, what they look like, and the imaging around."""

    uv: FloatArray
    where: tuple[Any, tuple[int, ...], float]
    stain: FloatArray
    centre: FloatArray
    plane: CutPlane
    volumes: tuple[Volume, ...]
    specimen: Volume
    settings: PoseSettings
    effective_n: float

    @classmethod
    def make(
        cls,
        section: Raster,
        planar: PlanarMap,
        plane: CutPlane,
        volumes: Sequence[Volume],
        specimen: Volume,
        settings: PoseSettings,
    ) -> _Problem | None:
        """Gather the deep tissue; ``None`` when there is too little."""
        coarse = section.coarser(settings.sample_mm)
        sigma = settings.smooth_mm / coarse.spacing_mm
        stain = np.stack([smooth_inside(c, coarse.mask, sigma)[coarse.mask] for c in coarse.channels], axis=-1)
        uv = planar.apply(coarse.points_mm(coarse.mask))
        deep = specimen.at(plane.patient_from_plane.apply(uv)) > DEPTH_MM
        if deep.sum() < _FEWEST:
            return None
        chosen = np.zeros(coarse.mask.shape, dtype=bool)
        chosen[coarse.mask] = deep
        where = (np.nonzero(chosen), chosen.shape, coarse.spacing_mm)
        found = cls(uv[deep], where, stain[deep], uv[deep].mean(axis=0), plane, tuple(volumes), specimen, settings, 1.0)
        return found.with_noise_of(np.zeros(3))

    def with_noise_of(self, pose: FloatArray) -> _Problem:
        """Count the independent pieces of tissue from the residuals of a pose."""
        residual = self._residual(pose)[0]
        rows, shape, _ = self.where
        count = 0.0
        for column in residual.T:
            field = np.zeros(shape)
            field[rows] = column / (column.std() + 1e-12)
            mask = np.zeros(shape)
            mask[rows] = 1.0
            count += _independent(field, mask)
        return replace(self, effective_n=float(np.clip(PIECES * count / residual.shape[1], 8.0, len(residual))))

    def log_likelihood(self, pose: FloatArray) -> float:
        """Nats, up to a constant; tissue that a pose puts outside the specimen speaks against it."""
        residual, total, outside_share = self._residual(pose)
        k = residual.shape[1]
        inside = np.linalg.slogdet(residual.T @ residual / len(residual) + 1e-6 * np.eye(k))[1]
        outside = np.linalg.slogdet(total + 1e-6 * np.eye(k))[1]
        return float(-0.5 * self.effective_n * (inside - outside + OUTSIDE * outside_share))

    def maximise(self, start: FloatArray, base_offset_mm: float) -> FloatArray:
        """Find the pose of greatest posterior near a start."""
        unit = np.array([0.5, 2.0, 2.0])

        def cost(step: FloatArray) -> float:
            return -self._posterior(start + step * unit, base_offset_mm)

        simplex = np.vstack([np.zeros(3), np.eye(3)])
        options = {"initial_simplex": simplex, "maxfev": 90, "xatol": 0.02, "fatol": 0.01}
        found = optimize.minimize(cost, np.zeros(3), method="Nelder-Mead", options=options)
        return np.asarray(start + found.x * unit)

    def covariance(self, best: FloatArray, base_offset_mm: float) -> FloatArray:
        """Inverse curvature of the posterior at its best, never wider than the prior."""
        step = np.array([0.4, 1.5, 1.5])
        # A far pose believed in all the same is no surer than this: a millimetre, four degrees.
        scale = 1.0 / np.array(WIDEST)
        hessian = np.zeros((3, 3))
        at = {}

        def value(i: int, a: int, j: int, b: int) -> float:
            """Posterior a step away along two axes."""
            shift = np.zeros(3)
            shift[i] += a
            shift[j] += b
            key = tuple(shift)
            if key not in at:
                at[key] = self._posterior(best + shift * step, base_offset_mm)
            return at[key]

        for i in range(3):
            hessian[i, i] = (value(i, 1, i, 0) + value(i, -1, i, 0) - 2.0 * value(0, 0, 0, 0)) / step[i] ** 2
            for j in range(i):
                cross = value(i, 1, j, 1) + value(i, -1, j, -1) - value(i, 1, j, -1) - value(i, -1, j, 1)
                hessian[i, j] = hessian[j, i] = cross / (4.0 * step[i] * step[j])
        values, axes = np.linalg.eigh(-hessian / np.outer(scale, scale))
        inverse = (axes / np.maximum(values, 1.0)) @ axes.T
        return np.asarray(inverse / np.outer(scale, scale))

    def _posterior(self, pose: FloatArray, base_offset_mm: float) -> float:
        return self.log_likelihood(pose) + _log_prior(pose, base_offset_mm, self.settings)

    def _residual(self, pose: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """Give what the imaging at a pose leaves unexplained of the stain ``(n, k)``, and the stain's covariance."""
        turn = _rotation(*np.deg2rad(pose[1:]))
        flat = np.column_stack([self.uv - self.centre, np.zeros(len(self.uv))]) @ turn.T
        flat += np.array([*self.centre, pose[0]])
        patient = self.plane.patient_from_plane.apply(flat)
        design = _design([volume.at(patient) for volume in self.volumes])
        depth = self.specimen.at(patient)
        weight = np.clip(depth / DEPTH_MM, 0.05, 1.0)[:, None]
        solution = np.linalg.lstsq(design * weight, self.stain * weight, rcond=None)[0]
        centred = (self.stain - np.average(self.stain, axis=0, weights=weight[:, 0])) * weight
        return (
            (self.stain - design @ solution) * weight,
            centred.T @ centred / len(centred),
            float(np.mean(depth < -0.5)),
        )


def _log_prior(pose: FloatArray, base_offset_mm: float, s: PoseSettings) -> float:
    """Mixture of cuts that went well and badly, nats up to a constant; steeply down beyond reach."""
    offset, tilt = float(pose[0]) - base_offset_mm, float(np.hypot(pose[1], pose[2]))

    def normal(offset_sd: float, tilt_sd: float) -> float:
        return float(-0.5 * ((offset / offset_sd) ** 2 + (tilt / tilt_sd) ** 2) - np.log(offset_sd * tilt_sd**2))

    near, far = normal(s.offset_mm, s.tilt_deg), normal(s.far_offset_mm, s.far_tilt_deg)
    return float(np.logaddexp(near, far)) - 100.0 * max(0.0, abs(offset) - s.reach_mm)


def _design(values: list[FloatArray]) -> FloatArray:
    """Constant, linear and quadratic terms of the imaging at the points."""
    base = [np.clip((v - v.mean()) / (v.std() + 1e-9), -3.0, 3.0) for v in values]
    squares = [base[i] * base[j] for i in range(len(base)) for j in range(i, len(base))]
    return np.column_stack([np.ones(len(values[0])), *base, *squares])


def _independent(field: FloatArray, mask: FloatArray) -> float:
    """Effective number of independent values of a field on an irregular mask, from its isotropic autocorrelation."""
    shape = [2 * n for n in field.shape]
    raw = np.fft.irfft2(np.abs(np.fft.rfft2(field, shape)) ** 2, shape)
    pairs = np.fft.irfft2(np.abs(np.fft.rfft2(mask, shape)) ** 2, shape)
    correlation = np.where(pairs > 0.05 * pairs[0, 0], raw / np.maximum(pairs, 1.0), 0.0)
    lag = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) * n for n in shape), indexing="ij"))
    ring = np.rint(lag).astype(np.intp).ravel()
    mean = ndimage.mean(correlation.ravel(), ring, np.arange(min(field.shape)))
    mean = np.asarray(mean) / max(float(mean[0]), 1e-12)
    below = np.flatnonzero(mean < 0.05)
    end = int(below[0]) if len(below) else len(mean)
    area = float(np.sum(mean[:end] * np.bincount(ring, minlength=end)[:end]))
    return float(mask.sum()) / max(area, 1.0)
