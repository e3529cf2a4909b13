"""DICOM planes: where each slice or frame lies, read without ever loading a patient's name.

pydicom is asked for a short list of tags only, so names, identifiers and free text never enter the process; its
warnings, which quote tag values, are kept quiet.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from comould.errors import InputError
from comould.space import FloatArray

HEADER_TAGS = [
    "SOPClassUID", "Modality", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber", "Rows", "Columns",
    "SamplesPerPixel", "NumberOfFrames", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient",
    "RescaleSlope", "RescaleIntercept", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
PIXEL_TAGS = [
    "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PhotometricInterpretation", "PlanarConfiguration", "PixelData", "FloatPixelData",
    "DoubleFloatPixelData",
]  # fmt: skip


@dataclass(frozen=True)
class Plane:
    """One slice or frame: patient LPS mm.

    Parameters
    ----------
    position
        ``(3,)`` centre of the first pixel.
    along_i, along_j
        Unit vectors of growing column and growing row.
    spacing
        mm between columns (along i), between rows (along j).
    """

    position: FloatArray
    along_i: FloatArray
    along_j: FloatArray
    spacing: tuple[float, float]

    @property
    def normal(self) -> FloatArray:
        """Right-handed: along_i × along_j."""
        return np.cross(self.along_i, self.along_j)

    def matrix(self, slice_mm: float) -> FloatArray:
        """``(4, 4)`` patient_from_index of the plane as a slab of one slice."""
        matrix = np.eye(4)
        matrix[:3, 0], matrix[:3, 1] = self.along_i * self.spacing[0], self.along_j * self.spacing[1]
        matrix[:3, 2], matrix[:3, 3] = self.normal * slice_mm, self.position
        return matrix


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back pydicom's warnings and log: they quote values, and values may name a patient."""
    log = logging.getLogger("pydicom")
    was = log.disabled
    log.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = was


def read_tags(path: Path, tags: Sequence[str], *, pixels: bool = False) -> Any:
    """Read the named tags of a DICOM file, nothing else.

    Raises
    ------
    InputError
        If it is not DICOM, or damaged.
    """
    import pydicom

    try:
        with quiet():
            return pydicom.dcmread(path, specific_tags=list(tags), stop_before_pixels=not pixels)
    except Exception as error:  # damaged files raise whatever pydicom stumbles over, quoting what it read
        raise InputError(
            subject=str(path),
            expected="a DICOM file",
            found=f"one that cannot be parsed ({type(error).__name__})",
            remedy="It may be cut off: export or copy it again",
        ) from None


def value(dataset: Any, keyword: str, default: Any = None) -> Any:
    """Give one tag's value; the default when it is absent, empty or malformed."""
    with quiet():
        try:
            found = dataset.get(keyword, default)
        except (ValueError, TypeError, NotImplementedError):
            return default
    return default if found is None or (isinstance(found, str) and not found) else found


def numbers(dataset: Any, keyword: str, count: int) -> FloatArray | None:
    """Read a tag of ``count`` finite numbers; ``None`` when it is absent or anything else."""
    found = value(dataset, keyword)
    try:
        array = np.array(found, dtype=np.float64).ravel()
    except (ValueError, TypeError):
        return None
    return array if array.size == count and np.isfinite(array).all() else None


def plane_of(position_in: Any, orientation_in: Any, measures_in: Any) -> Plane | str:
    """Build a plane from the datasets that hold its three facts; or say in words what is wrong.

    Parameters
    ----------
    position_in, orientation_in, measures_in
        Datasets with ImagePositionPatient, ImageOrientationPatient and PixelSpacing (one and the same for a classic
        slice, functional groups for a frame); ``None`` where there is none.
    """
    position = numbers(position_in, "ImagePositionPatient", 3) if position_in is not None else None
    orientation = numbers(orientation_in, "ImageOrientationPatient", 6) if orientation_in is not None else None
    spacing = numbers(measures_in, "PixelSpacing", 2) if measures_in is not None else None
    missing = [
        name
        for name, found in (
            ("ImagePositionPatient", position),
            ("ImageOrientationPatient", orientation),
            ("PixelSpacing", spacing),
        )
        if found is None
    ]
    if position is None or orientation is None or spacing is None:
        return "no usable " + " and no ".join(missing)
    if spacing.min() <= 0:
        return f"PixelSpacing {spacing[0]:g} × {spacing[1]:g} mm"
    axes = orientation.reshape(2, 3)
    if np.abs(axes @ axes.T - np.eye(2)).max() > 1e-3:
        return "ImageOrientationPatient that is not two unit vectors at a right angle"
    left, _, right = np.linalg.svd(axes, full_matrices=False)
    along_i, along_j = left @ right
    # PixelSpacing gives the distance between rows (along j) first.
    return Plane(position, along_i, along_j, (float(spacing[1]), float(spacing[0])))


def functional_group(dataset: Any, frame: int, name: str) -> Any:
    """Find the item of a functional group for one frame: its own, else the shared one, else ``None``."""
    with quiet():
        per_frame = value(dataset, "PerFrameFunctionalGroupsSequence", [])
        shared = value(dataset, "SharedFunctionalGroupsSequence", [])
        for source in ([per_frame[frame]] if frame < len(per_frame) else []) + list(shared[:1]):
            sequence = value(source, name, [])
            if len(sequence):
                return sequence[0]
    return None


def frame_plane(dataset: Any, frame: int) -> Plane | str:
    """Give the plane of one frame of a multi-frame object; or what is wrong, in words."""
    return plane_of(
        functional_group(dataset, frame, "PlanePositionSequence"),
        functional_group(dataset, frame, "PlaneOrientationSequence"),
        functional_group(dataset, frame, "PixelMeasuresSequence"),
    )
