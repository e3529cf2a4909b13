"""Segmentations in: label maps, DICOM SEG, RTSTRUCT → one binary mask in patient LPS mm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from comould.errors import InputError
from comould.io.image import right_handed
from comould.io.roi import Roi
from comould.io.volume import Handed, kind_of
from comould.space import Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = ["Roi", "list_rois", "read_segmentation"]


def read_segmentation(
    path: str | Path,
    *,
    image: sitk.Image | None = None,
    roi: int | str | None = None,
    left_handed: Handed | None = None,
) -> sitk.Image:
    """Read one region as a binary mask with its true place in the patient.

    Parameters
    ----------
    path
        Label map (``.nii``, ``.nii.gz``, ``.nrrd``, ``.nhdr``, ``.mha``, ``.mhd``; 3D Slicer's named and overlapping
        segments too), DICOM SEG, RTSTRUCT, or a folder that holds one of the latter two.
    image
        The image it was drawn on; the mask comes out on its grid (of a left-handed image in memory: on the grid of
        :func:`~comould.io.right_handed`, whose voxels lie where the image's do). A label map may have its axes in
        another order, as long as its voxel centres are the image's (within a fifth of a voxel). Without it a label map
        and a SEG keep their own grid, and an RTSTRUCT gets one made from its contours (with a warning).
    roi
        Label value, segment number or ROI number; or a name, regardless of case. Needed when there are several.
    left_handed
        As in :func:`read_image`; label maps only.

    Returns
    -------
    SimpleITK.Image
        uint8, 1 inside and 0 outside; right-handed, patient LPS mm.

    Raises
    ------
    InputError
        If there is no such file or region, several and none was chosen (all are listed), or nothing in it.
    GeometryError
        If it has no valid geometry, or does not lie on the image's grid.

    Warns
    -----
    ComouldWarning
        When something was decided: a grid made from contours, a fractional segment cut at one half, contours between
        slices, empty slices between drawn ones.
    """
    path = Path(path)
    image = None if image is None else right_handed(image)
    grid = None if image is None else Grid.from_image(image)
    kind, file = _resolve(path)
    if kind == "labelmap":
        from comould.io.labelmap import read_labelmap

        found, mask = read_labelmap(file, grid=grid, roi=roi, left_handed=left_handed)
    elif kind == "SEG":
        from comould.io.dicomseg import read_seg

        found, mask = read_seg(file, grid=grid, roi=roi)
    else:
        from comould.io.rtstruct import read_rtstruct

        found, mask = read_rtstruct(file, grid=grid, roi=roi)
    result = found.to_image(mask.astype(np.uint8))
    if image is not None:
        result.CopyInformation(image)
    return result


def list_rois(path: str | Path) -> list[Roi]:
    """List the regions of a segmentation file.

    Parameters
    ----------
    path
        As in :func:`read_segmentation`.

    Returns
    -------
    list of Roi
        By number; label maps without names give ``label 1``, ``label 2`` …

    Raises
    ------
    InputError
        If it is no segmentation.
    """
    kind, file = _resolve(Path(path))
    if kind == "labelmap":
        from comould.io.labelmap import labelmap_rois

        return labelmap_rois(file)
    if kind == "SEG":
        from comould.io.dicomseg import seg_rois

        return seg_rois(file)
    from comould.io.rtstruct import rtstruct_rois

    return rtstruct_rois(file)


def _resolve(path: Path) -> tuple[str, Path]:
    """Kind (``labelmap``, ``SEG``, ``RTSTRUCT``) and the file itself."""
    kind = kind_of(path)
    if kind not in {"folder", "dicom"}:
        return "labelmap", path
    from comould.io.dicom import SEGMENTATION_MODALITIES, read_header, scan

    headers = scan(path) if kind == "folder" else [read_header(path)]
    found = [header for header in headers if header.modality in SEGMENTATION_MODALITIES]
    if len(found) == 1:
        return found[0].modality, found[0].path
    if found:
        counts = ", ".join(
            f"{sum(h.modality == name for h in found)} {name}" for name in sorted({h.modality for h in found})
        )
        raise InputError(
            subject=f"folder {path}", expected="one segmentation", found=counts, remedy="Give the file itself"
        )
    modalities = ", ".join(sorted({header.modality for header in headers})) or "no DICOM file"
    raise InputError(
        subject=str(path),
        expected="a label map, DICOM SEG or RTSTRUCT",
        found=f"{modalities}" + (" images" if headers else ""),
        remedy="Give the segmentation, and the image with image= (--image)",
    )
