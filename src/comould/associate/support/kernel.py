"""What one spot sees of a volume: the disc it covers, the imaging's point spread, and where it may really be.

All three are averaged over at once, by one fixed set of points: every point is a place in the disc plus a step of a
Gaussian. The points come in pairs that are mirror images of each other, and have the moments of the kernel up to the
second, so that a map that is linear or quadratic about a spot is averaged exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

Footprint = float | Literal["stated"] | None
N_NODES = 512
FWHM_PER_SD = float(2 * np.sqrt(2 * np.log(2)))
_FLAT = 1e-6


@dataclass(frozen=True, eq=False)
class Kernel:
    """Weights about every spot, made of a disc and a Gaussian.

    Parameters
    ----------
    radius_mm
        Of the disc; 0 for none.
    planes
        ``(n_spots, 2, 3)`` two directions, patient, that span each spot's section; ``None`` without a disc.
    spread
        ``(n_spots, 3, 3)`` or, the same for all, ``(3, 3)``: root of the Gaussian's covariance, mm; ``None`` for none.
    """

    radius_mm: float
    planes: FloatArray | None
    spread: FloatArray | None

    @property
    def n_nodes(self) -> int:
        """Points a spot's average is taken over."""
        return 1 if self.planes is None and self.spread is None else N_NODES

    def taken(self, rows: npt.NDArray[np.bool_]) -> Kernel:
        """Keep the kernels of some spots."""
        planes = None if self.planes is None else self.planes[rows]
        spread = self.spread if self.spread is None or self.spread.ndim == 2 else self.spread[rows]
        return Kernel(self.radius_mm, planes, spread)

    def moved(self, points: FloatArray, node: int) -> FloatArray:
        """Move spots ``(n, 3)`` to one of their nodes."""
        disc, steps = nodes()
        moved = points
        if self.planes is not None:
            moved = moved + self.radius_mm * np.einsum("a,nak->nk", disc[node], self.planes)
        if self.spread is not None:
            moved = moved + self.spread @ steps[node]
        return moved


@cache
def nodes() -> tuple[FloatArray, FloatArray]:
    """Make the points: ``(n, 2)`` in the unit disc and ``(n, 3)`` of a standard normal, jointly spread, in pairs."""
    from scipy.stats import norm, qmc

    unit = qmc.Sobol(5, seed=20).random(N_NODES // 2)
    angle = 2 * np.pi * unit[:, 1]
    disc = np.sqrt(unit[:, :1]) * np.column_stack([np.cos(angle), np.sin(angle)])
    steps = norm.ppf(np.clip(unit[:, 2:], 1e-9, 1 - 1e-9))
    both = np.column_stack([disc, steps])
    both = np.concatenate([both, -both])
    wanted = np.diag([0.25, 0.25, 1.0, 1.0, 1.0])
    own = np.linalg.cholesky(both.T @ both / len(both))
    both = both @ np.linalg.inv(own).T @ np.sqrt(wanted)
    return both[:, :2], both[:, 2:]


def kernel_of(
    adata: AnnData,
    points: FloatArray,
    axes: FloatArray,
    footprint: Footprint,
    psf_mm: npt.ArrayLike | None,
    sd_mm: FloatArray | None,
) -> Kernel:
    """Put together what is asked for.

    Parameters
    ----------
    adata
        For its sections and, where the footprint is ``"stated"``, ``uns["comould"]``.
    points
        ``(n, 3)`` patient mm; NaN without a position.
    axes
        ``(3, 3)`` directions of the image.
    footprint
        Diameter of a spot, µm; ``"stated"`` for what the data say; ``None`` for a point.
    psf_mm
        Full width at half maximum of the imaging's point spread, mm: one, or three along the image's i, j, k.
    sd_mm
        ``(n, 3)`` standard deviation of the positions along x, y, z.

    Raises
    ------
    InputError
        If a size is not positive, the footprint is not stated, or a section has no plane.
    """
    radius = diameter_um(adata, footprint) / 2000.0
    planes = section_planes(points, sections_of(adata)) if radius > 0 else None
    spread = None
    if psf_mm is not None:
        widths = np.broadcast_to(np.asarray(psf_mm, dtype=np.float64), 3) if np.size(psf_mm) in {1, 3} else np.array([])
        if not widths.size or not np.isfinite(widths).all() or (widths < 0).any():
            raise InputError(
                subject="point spread psf_mm", expected="a width in mm, or three along i, j, k", found=f"{psf_mm}"
            )
        spread = axes @ np.diag(widths / FWHM_PER_SD)
    if sd_mm is not None:
        own = sd_mm[:, :, None] * np.eye(3)
        spread = own if spread is None else _root(own**2 + spread @ spread.T)
    return Kernel(radius, planes, spread)


def diameter_um(adata: AnnData, footprint: Footprint) -> float:
    """Diameter of a spot in µm; 0 for none.

    ``"stated"`` takes ``uns["comould"]["spot_diameter_um"]``, or of square bins (``source`` ``"visium_hd"``) the disc
    of the same area; the pitch of round spots says nothing about their size.
    """
    if footprint is None:
        return 0.0
    if footprint != "stated":
        if not (np.isfinite(footprint) and footprint > 0):
            raise InputError(subject="footprint_um", expected="a diameter in µm, above 0", found=f"{footprint}")
        return float(footprint)
    known = adata.uns.get("comould", {})
    if (stated := known.get("spot_diameter_um")) is not None:
        return float(stated)
    if known.get("source") == "visium_hd" and known.get("pitch_um") is not None:
        return float(known["pitch_um"]) * 2 / float(np.sqrt(np.pi))
    raise InputError(
        subject="footprint of a spot",
        expected='uns["comould"]["spot_diameter_um"]',
        found="none",
        remedy="Give footprint_um= in µm (55 for Visium, 100 for ST arrays)",
    )


def sections_of(adata: AnnData, key: str = "section") -> npt.NDArray[np.intp]:
    """Codes ``(n_obs,)`` of the sections; one section where the column is missing.

    Raises
    ------
    InputError
        If spots have no section.
    """
    if key not in adata.obs:
        return np.zeros(adata.n_obs, dtype=np.intp)
    if adata.obs[key].isna().any():
        raise InputError(
            subject=f'sections obs["{key}"]',
            expected="a section for every spot",
            found=f"{int(adata.obs[key].isna().sum())} spots without",
        )
    return np.unique(adata.obs[key].astype(str), return_inverse=True)[1]


def section_planes(points: FloatArray, sections: npt.NDArray[np.intp]) -> FloatArray:
    """Fit each section's plane to its spots: two directions ``(n, 2, 3)`` that span it, at every spot.

    The first is the patient axis that lies nearest to the plane, laid into it; so equal sections have equal directions.

    Raises
    ------
    InputError
        If the spots of a section lie on one line, or there are fewer than three.
    """
    planes = np.zeros((len(points), 2, 3))
    known = np.isfinite(points).all(axis=1)
    for code in np.unique(sections[known]):
        here = known & (sections == code)
        centred = points[here] - points[here].mean(axis=0)
        values, directions = np.linalg.eigh(centred.T @ centred)
        if here.sum() < 3 or values[1] <= _FLAT * values[2]:
            raise InputError(
                subject="section's plane",
                expected="three spots or more, not on one line",
                found=f"{int(here.sum())} spots",
                remedy="Leave that section out, or do without its plane: no footprint, squares or hexagons",
            )
        normal = directions[:, 0]
        first = np.eye(3)[np.argmin(np.abs(normal))]
        first = first - normal * (first @ normal)
        first /= np.linalg.norm(first)
        second = np.cross(normal, first)
        planes[here] = first, second * np.sign(second[np.argmax(np.abs(second))])
    return planes


def _root(covariance: FloatArray) -> FloatArray:
    values, directions = np.linalg.eigh(covariance)
    return np.asarray(directions * np.sqrt(np.maximum(values, 0))[..., None, :])
