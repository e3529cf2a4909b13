"""Read a photograph of a slab into a Section whose pixels are true millimetres on the slab's face."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.io.section import Section
from comould.register.photo.plate import MarkerPlate
from comould.register.photo.rectify import rectify_photo
from comould.register.photo.ruler import RulerPoints, RulerTicks
from comould.register.photo.scale import PhotoScale
from comould.space.planes import Face

_ORIENTATION, _EXIF_BLOCK, _FOCAL_35MM = 0x0112, 0x8769, 0xA405


@dataclass(frozen=True, eq=False)
class SlabPhoto:
    """A slab's photograph, ready to be registered, and how its scale was found.

    Parameters
    ----------
    section
        The picture with its pixel size, plane and face.
    scale
        Method, residual, uncertainty.
    """

    section: Section
    scale: PhotoScale


def read_photo(
    path: str | Path,
    *,
    id: str,
    plate: MarkerPlate | None = None,
    ruler: RulerPoints | RulerTicks | None = None,
    pixel_size_um: float | None = None,
    slab_height_mm: float = 0.0,
    plane_id: str | None = None,
    face: Face | None = None,
) -> SlabPhoto:
    """Read a photograph of a slab's cut face.

    Parameters
    ----------
    path
        JPEG, PNG or TIFF. A stored EXIF orientation is applied: pixels are those of the picture shown upright.
    id
        Name of the section, unique in its case; no patient data.
    plate
        The marker plate beneath the slab: perspective and scale are corrected.
    ruler
        Points on a ruler or a line along its ticks, in pixels of the picture shown upright: scale only.
    pixel_size_um
        Side of a pixel on the slab's face, when it is known.
    slab_height_mm
        Height of the slab's face above the plate; with a ruler or a pixel size it must lie in the plane of the face.
    plane_id, face
        Where it was taken: see :class:`~comould.io.Section`.

    Returns
    -------
    SlabPhoto
        Section (with a plate: its free area, seen from straight above) and scale.

    Raises
    ------
    InputError
        If not exactly one of plate, ruler and pixel size is given, or the file cannot be read.
    RegistrationError
        If the plate is not found, is mirrored or does not fit: see :func:`rectify_photo`.

    Notes
    -----
    The only thing read from the file besides its pixels and orientation is the focal length as for 35 mm film; time,
    place and device stay where they are. Scale is that of the slab as it lay there: shrinkage is not in it.
    """
    given = [plate is not None, ruler is not None, pixel_size_um is not None]
    subject = f"photograph {id!r}"
    if sum(given) != 1:
        raise InputError(
            subject=subject,
            expected="one of plate, ruler and pixel_size_um",
            found=f"{sum(given)} of them",
            remedy="Photograph the slab on a marker plate, or beside a ruler",
        )
    if plate is None and slab_height_mm != 0.0:
        raise InputError(
            subject=f"slab_height_mm of {subject}",
            expected="a marker plate to correct it with",
            found=f"{slab_height_mm:g} mm without one",
            remedy="Lay the ruler at the height of the slab's face and leave slab_height_mm out",
        )
    picture, focal_35mm = _open(Path(path))
    if plate is not None:
        flat = rectify_photo(
            picture, plate=plate, slab_height_mm=slab_height_mm, focal_35mm=focal_35mm, subject=subject
        )
        return SlabPhoto(Section(id, flat.image, flat.pixel_mm * 1000.0, plane_id=plane_id, face=face), flat.scale)
    if isinstance(ruler, RulerTicks):
        mm_per_px, scale = ruler.measure(picture)
    elif ruler is not None:
        mm_per_px, scale = ruler.measure()
    else:
        mm_per_px, scale = float(pixel_size_um or 0.0) / 1000.0, PhotoScale("stated", 0.0, notes=("scale as stated",))
    return SlabPhoto(Section(id, picture, mm_per_px * 1000.0, plane_id=plane_id, face=face), scale)


def _open(path: Path) -> tuple[npt.NDArray[np.uint8], float | None]:
    """Pixels shown upright ``(h, w, 3)``, and the focal length as for 35 mm film when the file has it."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not path.is_file():
        found = "a folder" if path.is_dir() else "no file"
        raise InputError(subject=str(path), expected="a photograph (JPEG, PNG, TIFF)", found=found)
    try:
        with Image.open(path) as image:
            block = image.getexif().get_ifd(_EXIF_BLOCK)
            focal = block.get(_FOCAL_35MM)
            upright = ImageOps.exif_transpose(image).convert("RGB")
            picture = np.asarray(upright)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(
            subject=str(path), expected="a photograph (JPEG, PNG, TIFF)", found=f"{type(error).__name__} on reading"
        ) from error
    return picture, float(focal) if focal and 8 <= float(focal) <= 400 else None
