"""How much memory a case will need: a rough figure from the sizes of its files, made before anything is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from comould.study.case_file import Case

MIB = 1 << 20
LIBRARIES = 600 * MIB
"""What a worker holds when all libraries are loaded."""

ELASTIX = 1000 * MIB
"""One elastix process."""

_BYTES_PER_VOXEL = 2


def case_needs(case: Case) -> int:
    """Estimate the most that a case holds at once.

    Parameters
    ----------
    case
        The case.

    Returns
    -------
    int
        Bytes: libraries, and the largest of its steps.

    Notes
    -----
    Imaging: every image and mask as float64 three times over (image, features, work), for habitats once more for each
    feature. Sections: every picture as stored, and elastix. Tests: counts six times over. A folder of DICOM or a
    compressed file is taken to hold two bytes a voxel; the figure is for scheduling, not a promise.
    """
    voxels = sum(voxels_of(path) for path in (*case.images.values(), case.mask))
    imaging = 24 * voxels
    if case.habitats is not None and case.habitats.labels is None:
        imaging += 8 * voxels * len(case.habitats.features)
    pictures = sum(_pixel_bytes(entry.picture.picture) for entry in case.entries)
    tissue = ELASTIX + 12 * voxels + pictures if case.sections else 0
    spots = [row.spots for row in case.sections if row.spots is not None]
    spots += [case.registered] if case.registered is not None else []
    return LIBRARIES + max(imaging, tissue, 6 * _size(spots))


def population_needs(cases: Sequence[Case], n_features: int) -> int:
    """Estimate the most that the fit of one habitat model holds at once.

    Parameters
    ----------
    cases
        Those it is fitted on.
    n_features
        Feature maps of each image.

    Returns
    -------
    int
        Bytes: libraries, the images of the largest case, and the features of every case's voxels.

    Notes
    -----
    A mask is taken to fill an eighth of its grid. Each of its voxels is held with its place, and with every feature
    five times over: values, scaled, smoothed, pooled, in the making.
    """
    each = [sum(voxels_of(path) for path in (*case.images.values(), case.mask)) for case in cases]
    masks = [voxels_of(case.mask) // 8 for case in cases]
    held = sum(count * (64 + 40 * n_features * len(case.images)) for count, case in zip(masks, cases, strict=True))
    return LIBRARIES + 24 * max(each, default=0) + held


def voxels_of(path: Path) -> int:
    """Count the voxels of a volume from its header; a file that has none there by its size."""
    import SimpleITK as sitk

    if path.is_dir():
        return _size([path]) // _BYTES_PER_VOXEL
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return _size([path]) // _BYTES_PER_VOXEL
    count = 1
    for size in reader.GetSize():
        count *= int(size)
    return count


def _pixel_bytes(path: Path) -> int:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            width, height = picture.size
    except (OSError, ValueError, Image.DecompressionBombError):
        # A slide: it is read at working resolution, of which its compressed size is a fair picture.
        return min(_size([path]), 512 * MIB)
    return min(width * height * 3, 512 * MIB)


def _size(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        files = path.rglob("*") if path.is_dir() else [path]
        total += sum(one.stat().st_size for one in files if one.is_file())
    return total
