"""DICOM SEG out: label maps and probabilities as segments of the series they were found in, through highdicom."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould._version import __version__
from comould.errors import ComouldWarning, GeometryError, InputError
from comould.io.dicom import read_series
from comould.io.frames import read_tags
from comould.io.volume import oriented
from comould.space import Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

Code = tuple[str, str, str]
"""Value, scheme designator, meaning; such as ``("108369006", "SCT", "Neoplasm")``."""

CATEGORY: Code = ("49755003", "SCT", "Morphologically Abnormal Structure")
NEOPLASM: Code = ("108369006", "SCT", "Neoplasm")
CLUSTER_ANALYSIS: Code = ("123107", "DCM", "Cluster Analysis")
HISTOGRAM_ANALYSIS: Code = ("123105", "DCM", "Histogram Analysis")

_NEEDED = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "NumberOfFrames",
    "InstanceNumber", "SeriesNumber", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "DimensionOrganizationSequence", "DimensionIndexSequence", "SamplesPerPixel", "PixelRepresentation",
]  # fmt: skip
_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip


@dataclass(frozen=True)
class SegmentTerms:
    """What every segment of a file is, in coded terms.

    Parameters
    ----------
    names
        Label to segment name; ``H<label>`` where there is none.
    type
        Property type of all segments.
    category
        Property category of all segments.
    family
        Kind of algorithm (DICOM context group 7162).
    algorithm
        Its name.
    parameters
        Its settings, short: all of them together fit 1,024 letters.
    colours
        Label to ``"#rrggbb"`` for viewers.
    """

    names: Mapping[int, str] = field(default_factory=dict)
    type: Code = NEOPLASM
    category: Code = CATEGORY
    family: Code = CLUSTER_ANALYSIS
    algorithm: str = "comould habitats"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    colours: Mapping[int, str] = field(default_factory=dict)

    def name(self, label: int) -> str:
        """Name of a segment."""
        return self.names.get(label, f"H{label}")


def write_seg(
    image: sitk.Image,
    path: str | Path,
    *,
    source: str | Path,
    series_uid: str | None = None,
    terms: SegmentTerms | None = None,
    overwrite: bool = False,
) -> Path:
    """Write labels or probabilities as a DICOM segmentation of an image series.

    Parameters
    ----------
    image
        Integer labels (0 outside; each other number becomes a segment, numbered 1, 2 … in order), or a vector image of
        probabilities 0 to 1, one component a segment, written as fractions of 255.
    path
        The ``.dcm`` file.
    source
        Folder of the DICOM series that the labels belong to: study, frame of reference and the images that frames
        derive from.
    series_uid
        Which series, when the folder holds several.
    terms
        Names, codes and colours.
    overwrite
        Replace an existing file.

    Returns
    -------
    pathlib.Path
        Where it was written.

    Raises
    ------
    InputError
        If nothing is labelled, values are none of the two kinds, the file exists, or the source is no single series.
    GeometryError
        If the labels lie outside the series' volume, or the series has no frame of reference.

    Warns
    -----
    ComouldWarning
        When the labels have another grid than the series: they are written on their own, which some viewers do not
        show.

    Notes
    -----
    Name, identifier, sex and birth date of the patient, dates, accession number and physician are left empty and the
    file says that identity was removed; UIDs of study, frame of reference and source images stay, so that it finds its
    series. Empty frames are left out. UIDs follow from the content: the same labels make the same UIDs.

    References
    ----------
    DICOM PS3.3 A.51 (Segmentation IOD); PS3.16 CID 7162 (algorithm families).
    """
    path = Path(path)
    if path.suffix.lower() != ".dcm":
        raise InputError(subject=f"segmentation {path.name}", expected="suffix .dcm", found=path.suffix or "none")
    if path.exists() and not overwrite:
        raise InputError(
            subject=f"segmentation {path}",
            expected="a new file",
            found="an existing one",
            remedy="Choose another name or give overwrite=True",
        )
    terms = terms or SegmentTerms()
    array, labels = _segments(image)
    volume = read_series(Path(source), series_uid=series_uid)
    series = oriented(volume, subject=str(source))[0]
    grid = _placed(Grid.from_image(image), series, array)
    headers = _headers(Path(source), series_uid, series.spacing_mm[2])
    made = _segmentation(array, labels, grid, headers, terms)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing.", dir=path.parent) as folder:
        made.save_as(Path(folder) / "seg.dcm")
        (Path(folder) / "seg.dcm").replace(path)
    return path


def _segments(image: sitk.Image) -> tuple[npt.NDArray, list[int]]:
    """Array (z, y, x, segment), unsigned for labels and float for probabilities, and the labels."""
    import SimpleITK as sitk

    array = sitk.GetArrayFromImage(image)
    if array.ndim == 4 and array.dtype.kind == "f":
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1 + 1e-5:
            raise InputError(
                subject="probabilities", expected="values from 0 to 1", found=f"{array.min():g} to {array.max():g}"
            )
        if not array.any():
            raise InputError(subject="probabilities", expected="values above 0", found="none")
        return np.minimum(array, 1.0).astype(np.float32), list(range(1, array.shape[3] + 1))
    if array.ndim != 3 or array.dtype.kind not in "iu":
        raise InputError(
            subject="labels",
            expected="an integer label image, or a vector image of probabilities",
            found=image.GetPixelIDTypeAsString(),
        )
    labels = np.unique(array[array > 0]).tolist()
    if not labels:
        raise InputError(subject="labels", expected="labels above 0", found="none")
    return np.stack([array == label for label in labels], axis=3).astype(np.uint8), labels


def _placed(own: Grid, series: Grid, array: npt.NDArray) -> Grid:
    """Choose the grid that is written: the series' where both agree, so that frames fall on its slices."""
    if not own.difference(series):
        return series
    inside = np.argwhere(array.any(axis=3))[:, ::-1]
    covered = series.contains(own.patient_from_index(inside)).mean()
    if covered < 0.5:
        raise GeometryError(
            subject="labels",
            expected="them within the volume of the DICOM series",
            found=f"{covered:.0%} of the labelled voxels",
            remedy="Give the series they were found in",
        )
    warnings.warn(
        f"the labels have another grid than the DICOM series ({series.difference(own)}): the segmentation keeps theirs",
        ComouldWarning,
        stacklevel=3,
    )
    return own


def _headers(source: Path, series_uid: str | None, pitch_mm: float) -> list[Any]:
    """Read the source images without a word about the patient."""
    from comould.io.dicom import _choose_files

    chosen, _ = _choose_files(source, series_uid)
    headers = []
    for header in chosen:
        dataset = read_tags(header.path, _NEEDED)
        if "FrameOfReferenceUID" not in dataset:
            raise GeometryError(
                subject=f"DICOM series in {source}",
                expected="a FrameOfReferenceUID",
                found="none",
                remedy="A segmentation of it has no place; export the series again",
            )
        for name in _EMPTY:
            setattr(dataset, name, "")
        # highdicom asks for a thickness, and writes it; the distance of slices is the only one that is never wrong.
        dataset.SliceThickness = f"{pitch_mm:.6g}"
        headers.append(dataset)
    return headers


def _segmentation(
    array: npt.NDArray, labels: Sequence[int], grid: Grid, headers: list[Any], terms: SegmentTerms
) -> Any:
    import highdicom as hd

    uids = _Uids(array, headers, terms)
    affine = grid.matrix.copy()
    # Arrays are (z, y, x): the columns for k, j and i in that order.
    affine[:, :3] = affine[:, 2::-1]
    volume = hd.Volume(
        array,
        affine=affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=str(headers[0].FrameOfReferenceUID),
        channels={"SegmentNumber": list(range(1, len(labels) + 1))},
    )
    binary = array.dtype.kind == "u"
    with warnings.catch_warnings():
        # highdicom warns of what stands in the source's headers, quoting it.
        warnings.simplefilter("ignore")
        made = hd.seg.Segmentation(
            source_images=headers,
            pixel_array=volume,
            segmentation_type="BINARY" if binary else "FRACTIONAL",
            segment_descriptions=[_description(n, label, terms, uids) for n, label in enumerate(labels, start=1)],
            series_instance_uid=uids("series"),
            series_number=int(getattr(headers[0], "SeriesNumber", 0) or 0) * 100 + 1,
            sop_instance_uid=uids("instance"),
            instance_number=1,
            manufacturer="comould",
            manufacturer_model_name=terms.algorithm,
            software_versions=__version__,
            device_serial_number="0",
            series_description=f"{terms.algorithm}{'' if binary else ' probabilities'}"[:64],
            content_label="HABITATS",
        )
    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = "comould: name, ID, dates left empty"
    return made


def _description(number: int, label: int, terms: SegmentTerms, uids: _Uids) -> Any:
    import highdicom as hd

    said = ",".join(f"{key}={value}" for key, value in terms.parameters.items())
    if len(said) > 1024:
        raise InputError(subject="parameters of a segment", expected="1,024 letters at most", found=f"{len(said)}")
    colour = terms.colours.get(label)
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=terms.name(label)[:64],
        segmented_property_category=hd.sr.CodedConcept(*terms.category),
        segmented_property_type=hd.sr.CodedConcept(*terms.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=terms.algorithm,
            family=hd.sr.CodedConcept(*terms.family),
            version=__version__,
            source="comould",
            parameters={key: str(value) for key, value in terms.parameters.items()} or None,
        ),
        tracking_uid=uids(f"segment {label}"),
        tracking_id=f"{terms.algorithm} {terms.name(label)}"[:64],
        display_color=hd.color.CIELabColor.from_string(colour) if colour else None,
    )


class _Uids:
    """UIDs that follow from what is written."""

    def __init__(self, array: npt.NDArray, headers: list[Any], terms: SegmentTerms) -> None:
        import hashlib

        self.entropy = [
            hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest(),
            str(headers[0].SeriesInstanceUID),
            repr(terms),
            __version__,
        ]

    def __call__(self, what: str) -> str:
        from pydicom.uid import generate_uid

        return str(generate_uid(entropy_srcs=[what, *self.entropy]))
