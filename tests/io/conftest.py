"""Synthetic DICOM: series, RTSTRUCT and SEG files on any grid, with a patient whose name must never be seen again."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from comould.space import Grid

SECRET = "SECRETIVE^PATIENT"


def rotation(seed):
    """A proper rotation at random angles."""
    from scipy.spatial.transform import Rotation

    return Rotation.random(random_state=np.random.default_rng(seed)).as_matrix()


def chiral(grid, dtype=np.int16):
    """Values that tell every voxel's patient position from its mirror image."""
    rng = np.random.default_rng(7)
    return rng.integers(0, 1000, grid.shape).astype(dtype)


def _identity(dataset):
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = SECRET, "SECRET-ID", "19010203"
    dataset.PatientSex, dataset.AccessionNumber, dataset.StudyID = "F", "", "1"
    dataset.StudyDate = dataset.SeriesDate = "20200101"
    dataset.StudyTime = dataset.SeriesTime = "120000"
    dataset.ReferringPhysicianName, dataset.SeriesDescription = SECRET, f"free text of {SECRET}"
    dataset.Manufacturer = "comould"


def _blank(path, sop_class, modality, series_uid, study_uid):
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    _identity(dataset)
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.SeriesInstanceUID, dataset.StudyInstanceUID = modality, series_uid, study_uid
    return dataset


def write_series(folder, grid, array, *, shuffle=False, skip=(), edit=None, number=1, rescale=(1.0, 0.0)):
    """Write a CT series, one file a slice, with misleading thickness tags; ``edit(dataset, k)`` may spoil it."""
    from pydicom.uid import CTImageStorage, generate_uid

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    series, study, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
    names = np.random.default_rng(3).permutation(grid.size[2]) if shuffle else np.arange(grid.size[2])
    for k in range(grid.size[2]):
        if k in skip:
            continue
        path = folder / f"f{names[k]:03d}"
        dataset = _blank(path, CTImageStorage, "CT", series, study)
        dataset.SeriesNumber, dataset.InstanceNumber, dataset.FrameOfReferenceUID = number, k + 1, frame_of_reference
        dataset.PositionReferenceIndicator = ""
        dataset.ImagePositionPatient = [f"{x:.9g}" for x in grid.patient_from_index([[0, 0, k]])[0]]
        dataset.ImageOrientationPatient = [f"{x:.9g}" for x in grid.axes[:, :2].T.ravel()]
        dataset.PixelSpacing = [f"{grid.spacing_mm[1]:.9g}", f"{grid.spacing_mm[0]:.9g}"]
        dataset.SliceThickness, dataset.SpacingBetweenSlices = 99, 77
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = grid.size[1], grid.size[0], 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 1
        dataset.RescaleSlope, dataset.RescaleIntercept = rescale
        dataset.PixelData = np.ascontiguousarray(array[k], dtype="<i2").tobytes()
        if edit is not None:
            edit(dataset, k)
        dataset.save_as(path, enforce_file_format=True)
    return series


def write_rtstruct(path, rois):
    """Write an RTSTRUCT: ``{name: [contours]}``, numbered from 1; a contour is ``(n, 3)`` or ``(type, points)``."""
    from pydicom.dataset import Dataset
    from pydicom.uid import RTStructureSetStorage, generate_uid

    dataset = _blank(path, RTStructureSetStorage, "RTSTRUCT", generate_uid(), generate_uid())
    dataset.StructureSetLabel, dataset.StructureSetDate, dataset.StructureSetTime = "RT", "20200101", "120000"
    names, drawn = [], []
    for number, (name, contours) in enumerate(rois, start=1):
        entry = Dataset()
        entry.ROINumber, entry.ROIName, entry.ROIGenerationAlgorithm = number, name, "MANUAL"
        names.append(entry)
        item = Dataset()
        item.ReferencedROINumber, item.ContourSequence = number, []
        for contour in contours:
            kind, points = contour if isinstance(contour, tuple) else ("CLOSED_PLANAR", contour)
            one = Dataset()
            one.ContourGeometricType, one.NumberOfContourPoints = kind, len(points)
            one.ContourData = [f"{x:.4f}" for x in np.asarray(points, float).ravel()]
            item.ContourSequence.append(one)
        drawn.append(item)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = names, drawn
    dataset.save_as(path, enforce_file_format=True)
    return Path(path)


@pytest.fixture(scope="session")
def make():
    """The builders of this folder."""
    return SimpleNamespace(
        series=write_series, rtstruct=write_rtstruct, rotation=rotation, chiral=chiral, secret=SECRET, oblique=oblique
    )


def oblique(size=(7, 6, 5), spacing=(0.8, 0.6, 3.0), origin=(-31.5, 12.25, 140.0), seed=1):
    """An oblique grid with pixels that are not square."""
    return Grid(size, spacing, origin, rotation(seed))
