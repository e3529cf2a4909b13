"""From a photograph of a marker plate, at any angle, to a picture whose pixels are true millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from comould.errors import InputError, RegistrationError
from comould.register.photo import camera as cam
from comould.register.photo.camera import Fit, PlaneCamera
from comould.register.photo.plate import DOT, MarkerPlate
from comould.register.photo.scale import PhotoScale
from comould.register.photo.targets import Seen, find_targets, grey_of
from comould.space import FloatArray

Region = Literal["free", "sheet"]

LARGEST_RESIDUAL_MM = 0.5
"""A plate whose targets lie farther off than this (root mean square) is bent, cut, or another plate."""

STEEPEST_DEG = 55.0
USUAL_FOCAL = 26.0
"""Focal length, as for 35 mm film, of a telephone's main camera: taken when neither picture nor file tells it."""
USUAL_FOCAL_SD = 0.25
STATED_FOCAL_SD = 0.04
PRINT_SD = 0.002
"""Relative error of lengths that a printer and the paper's humidity leave, also in a sheet measured with a ruler."""

_LARGEST_SIDE_PX = 8000
_FILM_DIAGONAL_MM = 43.27


@dataclass(frozen=True, eq=False)
class RectifiedPhoto:
    """A metric picture of the plate's free area (or whole sheet) as if seen from straight above.

    Parameters
    ----------
    image
        ``(h, w, 3)`` uint8.
    pixel_mm
        Side of its square pixels.
    origin_mm
        Plate mm (x right, y down, from the sheet's upper left corner) of the centre of pixel (0, 0).
    scale
        How it was found, and how well.
    camera
        Plate mm, at the slab's face, to pixels of the photograph.
    """

    image: npt.NDArray[np.uint8]
    pixel_mm: float
    origin_mm: tuple[float, float]
    scale: PhotoScale
    camera: PlaneCamera

    def mm_from_photo(self, points_px: FloatArray) -> FloatArray:
        """Plate mm ``(n, 2)`` of points ``(n, 2)`` of the photograph, by Newton steps from the homography."""
        points = np.asarray(points_px, dtype=np.float64)
        back: FloatArray = np.asarray(np.linalg.inv(self.camera.px_from_mm), dtype=np.float64)
        mm = cam.apply(back, points)
        for _ in range(8):
            # What is missing on the picture, taken back through the homography: the distortion is slight.
            mm = cam.apply(back, cam.apply(self.camera.px_from_mm, mm) + points - self.camera.project(mm))
        return mm


def rectify_photo(
    photo: npt.NDArray[np.uint8],
    *,
    plate: MarkerPlate,
    slab_height_mm: float = 0.0,
    focal_35mm: float | None = None,
    pixel_mm: float | None = None,
    region: Region = "free",
    subject: str = "photograph",
) -> RectifiedPhoto:
    """Find the plate's targets and lay the picture straight.

    Parameters
    ----------
    photo
        ``(h, w, 3)`` uint8, not mirrored; turned and tilted as it may be.
    plate
        What lies beneath the slab. Its print scale counts.
    slab_height_mm
        Height of the slab's face above the plate: the face is nearer to the camera and looks larger.
    focal_35mm
        Focal length as for 35 mm film, from the file's EXIF; ``None`` when unknown.
    pixel_mm
        Side of a pixel of the result; by default that of the photograph at the middle of the plate.
    region
        ``"free"``: what lies within the targets; ``"sheet"``: everything.
    subject
        What to call the photograph in an error.

    Returns
    -------
    RectifiedPhoto
        Picture, pixel size and :class:`PhotoScale`.

    Raises
    ------
    RegistrationError
        With fewer than four targets or targets on one line, a mirrored picture, residuals above 0.5 mm, or a line of
        sight more than 55° from straight above.
    InputError
        For a picture, height, focal length or pixel size that cannot be.

    Notes
    -----
    Homography by the normalised direct linear transform, refined with a soft loss, targets beyond five times the
    median residual left out; one radial term for the lens with eight targets or more, where it explains significantly
    more. The camera's height, needed for the slab's own height, comes from EXIF, else from the perspective when
    the tilt shows it, else a telephone's usual 26 mm is taken and its uncertainty (25 %) goes into ``scale_sd``.
    A paper that is not flat is only noticed as far as its targets' residuals show it.
    """
    _check(photo, slab_height_mm, focal_35mm, pixel_mm, region, subject)
    fit, numbers = _fitted(find_targets(grey_of(photo)), plate, photo.shape[:2], subject)
    middle = 0.5 * (np.array(plate.sheet_mm[:2]) + plate.sheet_mm[2:])
    focal_px, focal_sd, origin = _focal(fit, plate.centres_mm[numbers[fit.used]], focal_35mm, photo.shape[:2])
    tilt, height = cam.tilt_and_height(fit.camera, focal_px, middle)
    residual = float(np.sqrt((fit.residual_mm[fit.used] ** 2).sum(axis=1).mean()))
    if tilt > STEEPEST_DEG:
        raise RegistrationError(
            subject=subject,
            expected=f"a photograph from above (within {STEEPEST_DEG:.0f}°)",
            found=f"one from {tilt:.0f}° aside",
            remedy="Hold the camera above the slab",
        )
    if slab_height_mm >= 0.5 * height:
        raise InputError(
            subject=f"slab_height_mm {slab_height_mm:g}",
            expected="a face well below the camera",
            found=f"{height:.0f} mm",
        )
    camera = fit.camera.raised(slab_height_mm, focal_px)
    points = plate.centres_mm[numbers[fit.used]]
    spread = float(np.sqrt(((points - points.mean(axis=0)) ** 2).sum()))
    freedom = max(1, 2 * int(fit.used.sum()) - 8)
    noise = float(np.sqrt((fit.residual_mm[fit.used] ** 2).sum() / freedom))
    parallax = slab_height_mm / height * focal_sd
    scale = PhotoScale(
        "plate",
        float(np.sqrt((noise / spread) ** 2 + parallax**2 + PRINT_SD**2)),
        residual,
        tilt,
        int(fit.used.sum()),
        fit.camera.k1,
        height,
        slab_height_mm,
        _notes(parallax, origin, fit, slab_height_mm),
    )
    image, size, first = _resample(photo, camera, plate.free_mm if region == "free" else plate.sheet_mm, pixel_mm)
    return RectifiedPhoto(image, size, first, scale, camera)


def _check(
    photo: npt.NDArray[np.uint8],
    slab_height_mm: float,
    focal_35mm: float | None,
    pixel_mm: float | None,
    region: str,
    subject: str,
) -> None:
    problems = []
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or min(photo.shape[:2], default=0) < 50:
        problems.append(f"picture is {photo.shape} {photo.dtype}, not (h, w, 3) uint8 of at least 50 × 50 pixels")
    if not np.isfinite(slab_height_mm) or not 0 <= slab_height_mm <= 200:
        problems.append(f"slab_height_mm {slab_height_mm} is not between 0 and 200")
    for name, value in (("focal_35mm", focal_35mm), ("pixel_mm", pixel_mm)):
        if value is not None and not (np.isfinite(value) and value > 0):
            problems.append(f"{name} {value} is not a positive number")
    if region not in {"free", "sheet"}:
        problems.append(f"region {region!r} is not free or sheet")
    if problems:
        raise InputError.collect(subject=subject, problems=problems)


def _fitted(
    seen: list[Seen], plate: MarkerPlate, shape: tuple[int, int], subject: str
) -> tuple[Fit, npt.NDArray[np.intp]]:
    centres = plate.centres_mm
    right = [one for one in seen if not one.mirrored and one.number < len(centres)]
    wrong = [one for one in seen if one.mirrored]
    if len(wrong) > len(right):
        raise RegistrationError(
            subject=subject,
            expected=f"the marker plate {plate.name!r} as printed",
            found=f"its mirror image ({len(wrong)} targets)",
            remedy="Give the photograph as taken: a selfie camera or a program has mirrored it",
        )
    numbers = np.array([one.number for one in right], dtype=np.intp)
    if len(right) < 4 or _flatness(centres[numbers]) < 0.05:
        found = f"{len(right)} targets" + (" on one line" if len(right) >= 4 else "")
        raise RegistrationError(
            subject=subject,
            expected=f"at least 4 of the {len(centres)} targets of plate {plate.name!r}, on two sides",
            found=found,
            remedy="Take the whole plate into the picture, in focus, nothing lying on its targets",
        )
    fit = cam.fit(
        centres[numbers], np.array([(one.x_px, one.y_px) for one in right]), shape, radius_mm=DOT * plate.radius_mm
    )
    residual = float(np.sqrt((fit.residual_mm[fit.used] ** 2).sum(axis=1).mean()))
    if residual > LARGEST_RESIDUAL_MM:
        raise RegistrationError(
            subject=subject,
            expected=f"targets within {LARGEST_RESIDUAL_MM} mm of plate {plate.name!r}",
            found=f"{residual:.2f} mm",
            remedy="Lay the plate flat, and name the plate that was printed",
        )
    return fit, numbers


def _flatness(points: FloatArray) -> float:
    """Second over first extent of a set of points."""
    if len(points) < 2:
        return 0.0
    sizes = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return float(sizes[1] / max(sizes[0], 1e-12))


def _focal(
    fit: Fit, points_mm: FloatArray, focal_35mm: float | None, shape: tuple[int, int]
) -> tuple[float, float, str]:
    """Focal length in pixels, its relative standard deviation, and where it comes from."""
    diagonal = float(np.hypot(*shape))
    if focal_35mm is not None:
        return focal_35mm / _FILM_DIAGONAL_MM * diagonal, STATED_FOCAL_SD, "file"
    usual = USUAL_FOCAL / _FILM_DIAGONAL_MM * diagonal
    seen = cam.focal_from(fit, points_mm, usual)
    if seen is not None and seen[1] < 0.5 * USUAL_FOCAL_SD and 0.3 * diagonal < seen[0] < 4 * diagonal:
        return seen[0], float(np.hypot(seen[1], STATED_FOCAL_SD)), "perspective"
    return usual, USUAL_FOCAL_SD, "assumed"


def _notes(parallax: float, origin: str, fit: Fit, height_mm: float) -> tuple[str, ...]:
    notes = []
    if origin == "assumed" and height_mm > 0:
        notes.append(
            f"the camera's focal length is unknown and taken as {USUAL_FOCAL:g} mm: the slab's height of "
            f"{height_mm:g} mm leaves an error of scale of about {parallax:.1%}"
        )
    if not fit.used.all():
        notes.append(f"{int((~fit.used).sum())} of {len(fit.used)} targets disagree with the rest and were left out")
    return tuple(notes)


def _resample(
    photo: npt.NDArray[np.uint8], camera: PlaneCamera, box: tuple[float, float, float, float], pixel_mm: float | None
) -> tuple[npt.NDArray[np.uint8], float, tuple[float, float]]:
    """Average the photograph onto a millimetre grid."""
    x0, y0, x1, y1 = box
    middle = np.array([[0.5 * (x0 + x1), 0.5 * (y0 + y1)]])
    native = float(camera.mm_per_px(middle)[0])
    size = max(pixel_mm if pixel_mm is not None else native, max(x1 - x0, y1 - y0) / _LARGEST_SIDE_PX)
    width, height = (max(1, round((b - a) / size)) for a, b in ((x0, x1), (y0, y1)))
    first = (x0 + 0.5 * size, y0 + 0.5 * size)
    blur = 0.4 * size / native
    source = ndimage.gaussian_filter(photo, (blur, blur, 0)) if blur > 0.7 else photo
    out = np.empty((height, width, 3), dtype=np.uint8)
    xs = first[0] + size * np.arange(width)
    for start in range(0, height, 256):
        ys = first[1] + size * np.arange(start, min(height, start + 256))
        grid = np.column_stack([np.tile(xs, len(ys)), np.repeat(ys, width)])
        x, y = camera.project(grid).T
        for c in range(3):
            values = ndimage.map_coordinates(source[..., c], [y, x], order=1, mode="nearest")
            out[start : start + len(ys), :, c] = values.reshape(len(ys), width)
    return out, size, first
