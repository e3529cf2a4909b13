"""Maps from landmarks alone: a similarity, an affine, a thin B-spline, as many points as there are allow."""

from __future__ import annotations

import numpy as np

from comould.errors import InputError, RegistrationError
from comould.register.dense.linear import Kind, Votes, fit_linear
from comould.register.dense.splines import fit_spline
from comould.register.maps import PlanarMap, Spline
from comould.register.raster import Raster
from comould.space import FloatArray

LEAST_TO_TELL_FACES = 3
LEAST_FOR_AFFINE = 6
LEAST_FOR_SPLINE = 10
CELLS = 12
BENDING = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Weights of the bending energy tried; the one that predicts points left out best is taken."""

FOLDS = 5
SPREAD_LEAST = 1e-3
"""Landmarks on a line (smaller over larger spread below this) fix no affine map, and no face."""


def fit_landmarks(
    section_mm: FloatArray,
    plane_mm: FloatArray,
    shrinkage: tuple[float, float],
    *,
    flipped: bool | None = None,
    linear: bool = False,
) -> PlanarMap:
    """Fit a map to landmarks: 2 to 5 a similarity, 6 to 9 an affine, 10 or more a B-spline that bends little.

    Parameters
    ----------
    section_mm, plane_mm
        ``(n, 2)``: the same places on the slide and in the plane, mm.
    shrinkage
        Bounds of slide size over patient size.
    flipped
        Whether the slide shows the mirror image; ``None`` finds out, which takes three points or more.
    linear
        Fit no B-spline.

    Returns
    -------
    PlanarMap
        Slide mm to plane mm.

    Raises
    ------
    InputError
        If shapes differ, numbers are not finite, there are fewer than two points, or two or points on a line are to
        tell faces apart.
    RegistrationError
        If the scale they ask for is beyond the bounds: pixel size, order or pairing is wrong.

    Notes
    -----
    The B-spline's weight of bending is chosen by five-fold cross-validation over the points.
    """
    source, target = (np.asarray(points, dtype=np.float64) for points in (section_mm, plane_mm))
    _check(source, target, flipped)
    faces = (False, True) if flipped is None else (flipped,)
    fits = []
    for face in faces:
        matrix = _linear(source, target, "similarity", face)
        residual = _mapped(matrix, source) - target
        fits.append((float(np.mean(residual**2)), matrix))
    # A tie goes to the face that was named first: the unturned one.
    _, matrix = min(fits, key=lambda fit: fit[0])
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if not 1.0 / shrinkage[1] <= scale * (1 + 1e-9) or not scale <= (1 + 1e-9) / shrinkage[0]:
        raise RegistrationError(
            subject="landmarks",
            expected=f"a scale of {1 / shrinkage[1]:.2f} to {1 / shrinkage[0]:.2f} (plane over slide)",
            found=f"{scale:.3f}",
            remedy="Check the pixel size, and that landmarks of the same name are the same place",
        )
    if len(source) >= LEAST_FOR_AFFINE and not _on_a_line(source):
        affine = _linear(source, target, "affine", face=False)
        if np.linalg.det(affine[:2, :2]) * np.linalg.det(matrix[:2, :2]) > 0:
            matrix = affine
    if linear or len(source) < LEAST_FOR_SPLINE:
        return PlanarMap(matrix)
    return _bent(matrix, source, target)


def residual_spline(source: FloatArray, target: FloatArray, plane: Raster) -> Spline:
    """Displacements that bring laid landmarks home and bend little, over the whole plane: a first guess."""
    middle, reach = plane.centroid_mm, 1.5 * plane.radius_mm
    low, high = np.minimum(source.min(axis=0), middle - reach), np.maximum(source.max(axis=0), middle + reach)
    weight = np.ones(len(source))
    return fit_spline(
        source,
        target - source,
        weight,
        bounds_mm=(low, high),
        grid_mm=2.0 * reach / CELLS,
        bending=1e-2,
    )


def _check(source: FloatArray, target: FloatArray, flipped: bool | None) -> None:
    if source.shape != target.shape or source.ndim != 2 or source.shape[1:] != (2,):
        raise InputError(subject="landmarks", expected="(n, 2) twice", found=f"{source.shape} and {target.shape}")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise InputError(subject="landmarks", expected="finite coordinates", found="NaN or infinite ones")
    least = 2 if flipped is not None else LEAST_TO_TELL_FACES
    if len(source) < least:
        raise InputError(
            subject="landmarks",
            expected=f"{least} or more" + ("" if flipped is not None else " to tell the faces apart"),
            found=f"{len(source)}",
            remedy="" if flipped is not None else "Name the section's face, or add points",
        )
    if not np.ptp(source, axis=0).any():
        raise InputError(subject="landmarks", expected="different places", found="one place")
    if flipped is None and _on_a_line(source):
        raise InputError(
            subject="landmarks",
            expected="points that are not on one line, to tell the faces apart",
            found=f"{len(source)} on a line",
            remedy="Name the section's face, or add points",
        )


def _on_a_line(points: FloatArray) -> bool:
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(spread[-1] < SPREAD_LEAST * spread[0])


def _linear(source: FloatArray, target: FloatArray, kind: Kind, face: bool) -> FloatArray:
    mirror = np.diag([-1.0 if face else 1.0, 1.0, 1.0])
    votes = Votes(source @ mirror[:2, :2], target, np.ones(len(source)))
    return fit_linear(votes, kind, rounds=1) @ mirror


def _mapped(matrix: FloatArray, points: FloatArray) -> FloatArray:
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def _bent(matrix: FloatArray, source: FloatArray, target: FloatArray) -> PlanarMap:
    """Add the B-spline whose bending predicts left-out points best, or none if none predicts better."""
    laid = _mapped(matrix, source)
    moved = target - laid
    low, high = laid.min(axis=0), laid.max(axis=0)
    reach = 0.5 * float((high - low).max())
    bounds = (low - reach, high + reach)
    grid_mm = float((bounds[1] - bounds[0]).max()) / CELLS
    fold = np.arange(len(source)) % FOLDS

    def spline(rows: np.ndarray, bending: float) -> Spline:
        """Fit to some of the points."""
        weight = np.ones(int(rows.sum()))
        return fit_spline(laid[rows], moved[rows], weight, bounds_mm=bounds, grid_mm=grid_mm, bending=bending)

    errors = [float(np.mean(moved**2))]
    for bending in BENDING:
        apart = [spline(fold != k, bending).displacement(laid[fold == k]) - moved[fold == k] for k in range(FOLDS)]
        errors.append(float(np.mean(np.vstack(apart) ** 2)))
    best = int(np.argmin(errors))
    return PlanarMap(matrix, None if best == 0 else spline(np.ones(len(source), dtype=bool), BENDING[best - 1]))
