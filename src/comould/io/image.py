"""Volumes in and out: DICOM, NIfTI, NRRD, MetaImage → a right-handed scalar image in patient LPS mm."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from comould.errors import GeometryError, InputError
from comould.io.itkfile import matrix_of, read_metaimage, read_nrrd
from comould.io.nifti import read_nifti
from comould.io.volume import Array, Handed, Volume, flipped_rows, kind_of, oriented, suffix_of
from comould.space import Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

WRITABLE = (".nii.gz", ".nii", ".nrrd", ".mha")


def read_image(
    path: str | Path,
    *,
    series_uid: str | None = None,
    allow_nan: bool = False,
    left_handed: Handed | None = None,
) -> sitk.Image:
    """Read one scalar 3-D volume with its true place in the patient.

    Nothing about geometry is guessed: a missing spacing or orientation is an error, and DICOM slices are placed by
    ImagePositionPatient alone (SliceThickness and SpacingBetweenSlices are never looked at).

    Parameters
    ----------
    path
        DICOM folder (searched with its subfolders), a DICOM file (enhanced multi-frame, or one slice that names its
        series), ``.nii``, ``.nii.gz``, ``.nrrd``, ``.nhdr``, ``.mha``, ``.mhd``.
    series_uid
        SeriesInstanceUID to read when a DICOM folder holds several series.
    allow_nan
        Let NaN and infinite voxels pass.
    left_handed
        What to do with left-handed storage. ``reorder``: turn the rows round together with their direction, which
        moves no voxel in the patient. ``refuse``: an error. ``None``: reorder NIfTI, whose header states its
        handedness and whose tools write it left-handed daily; refuse NRRD and MetaImage, where it is most often an
        axis-order slip of a script. DICOM is right-handed by construction.

    Returns
    -------
    SimpleITK.Image
        Scalar, 3-D, right-handed, patient LPS mm; no metadata, so no patient data. Rescaled values (Hounsfield units)
        where the file states a rescaling.

    Raises
    ------
    InputError
        If the path is missing, empty, no image, colour, has NaN voxels, or several DICOM series and none was chosen.
    GeometryError
        If spacing or orientation is missing, contradictory, sheared, left-handed (where refused), not 3-D, or DICOM
        slices are duplicated or unevenly spaced.

    Examples
    --------
    >>> import SimpleITK as sitk, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "ct.nii.gz"
    >>> _ = write_image(sitk.Image(4, 5, 6, sitk.sitkInt16), path)
    >>> read_image(path).GetSize()
    (4, 5, 6)
    """
    path = Path(path)
    volume = load(path, series_uid=series_uid)
    if volume.array.ndim != 3 or volume.array.dtype.kind not in "iufb":
        raise InputError(
            subject=str(path),
            expected="one number a voxel",
            found=f"{volume.array.shape[-1]} a voxel (colour, vector or layers)"
            if volume.array.ndim == 4
            else f"{volume.array.dtype} voxels",
            remedy="Give a scalar volume",
        )
    grid, array = oriented(volume, subject=str(path), left_handed=left_handed)
    if not allow_nan:
        check_finite(array, str(path))
    return grid.to_image(array)


def load(path: Path, *, series_uid: str | None = None) -> Volume:
    """Read a volume as it is stored, without judging handedness or values."""
    kind = kind_of(path)
    if kind in {"folder", "dicom"}:
        from comould.io.dicom import read_series

        return read_series(path, series_uid=series_uid)
    if series_uid is not None:
        raise InputError(
            subject=str(path),
            expected="a DICOM folder when a series is named",
            found=f"a {kind} file",
            remedy="Leave series_uid out",
        )
    return {"nifti": read_nifti, "nrrd": read_nrrd, "metaimage": read_metaimage}[kind](path)


def check_finite(array: Array, subject: str) -> None:
    """Refuse NaN and infinite voxels, with their count."""
    if array.dtype.kind != "f":
        return
    bad = int(array.size - np.count_nonzero(np.isfinite(array)))
    if bad:
        raise InputError(
            subject=subject,
            expected="finite voxels",
            found=f"{bad} NaN or infinite of {array.size}",
            remedy="Mask or fill them, or read with allow_nan=True",
        )


def right_handed(image: sitk.Image) -> sitk.Image:
    """Reorder a left-handed image so that its direction matrix is a rotation and no voxel moves in the patient.

    The rows (j axis) are turned round together with their direction and the origin. Use it only when left and right in
    the file are known to be right: it keeps what the header says, and cannot repair a header that is wrong.

    Parameters
    ----------
    image
        3-D, scalar or vector.

    Returns
    -------
    SimpleITK.Image
        The image itself when it is right-handed already.

    Raises
    ------
    GeometryError
        If the image is not 3-D.
    """
    import SimpleITK as sitk

    if image.GetDimension() != 3:
        raise GeometryError(subject="image", expected="3 dimensions", found=f"{image.GetDimension()}")
    matrix = matrix_of(image)
    if np.linalg.det(matrix[:3, :3]) > 0:
        return image
    turned, array = flipped_rows(matrix, sitk.GetArrayFromImage(image))
    result = sitk.GetImageFromArray(np.ascontiguousarray(array), isVector=array.ndim == 4)
    result.SetSpacing(image.GetSpacing())
    result.SetOrigin(turned[:3, 3].tolist())
    result.SetDirection((turned[:3, :3] / np.array(image.GetSpacing())).ravel().tolist())
    return result


def write_image(image: sitk.Image, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a volume, all or nothing: to a temporary file beside it, then moved into place.

    Parameters
    ----------
    image
        3-D, right-handed; scalar or vector. Its metadata are not written: they may hold patient data.
    path
        ``.nii``, ``.nii.gz``, ``.nrrd`` or ``.mha``; missing parent folders are made.
    overwrite
        Replace an existing file.

    Returns
    -------
    pathlib.Path
        Where it was written.

    Raises
    ------
    InputError
        If the suffix is another, or the file exists and may not be replaced.
    GeometryError
        If the image has no valid right-handed 3-D grid.
    """
    import SimpleITK as sitk

    path = Path(path)
    suffix = suffix_of(path)
    if suffix not in WRITABLE:
        raise InputError(
            subject=f"image file {path.name}", expected=f"suffix {', '.join(WRITABLE)}", found=suffix or "none"
        )
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(
            subject=f"image file {path}",
            expected="a new file",
            found="a folder" if path.is_dir() else "an existing one",
            remedy="Choose another name or give overwrite=True",
        )
    Grid.from_image(image)
    plain = sitk.Image(image)
    for key in plain.GetMetaDataKeys():
        plain.EraseMetaData(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing.", dir=path.parent) as folder:
        temporary = Path(folder) / f"image{suffix}"
        sitk.WriteImage(plain, str(temporary), useCompression=suffix != ".nii")
        temporary.replace(path)
    return path
