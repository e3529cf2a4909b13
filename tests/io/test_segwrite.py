"""DICOM SEG as comould writes it, read back by highdicom, pydicom and comould."""

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.io import SegmentTerms, list_rois, read_image, read_segmentation, write_seg
from comould.space import Grid


@pytest.fixture
def grid(make):
    return make.oblique(size=(8, 6, 7))


@pytest.fixture
def series(tmp_path, make, grid):
    make.series(tmp_path / "ct", grid, make.chiral(grid), shuffle=True)
    return tmp_path / "ct"


@pytest.fixture
def labels(grid):
    array = np.zeros(grid.shape, np.uint8)
    array[1:5, 1:4, 2:6] = 1
    array[2, 2:6, 0:4] = 3
    array[4, 0, 7] = 3
    return array


def test_labels_come_back_voxel_for_voxel(tmp_path, series, grid, labels):
    path = write_seg(grid.to_image(labels), tmp_path / "seg.dcm", source=series)
    image = read_image(series)
    assert [(roi.number, roi.name) for roi in list_rois(path)] == [(1, "H1"), (2, "H3")]
    for name, label in (("H1", 1), ("H3", 3)):
        mask = read_segmentation(path, image=image, roi=name)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(mask) > 0, labels == label)
        assert not Grid.from_image(mask).difference(grid)


def test_highdicom_reads_the_same_geometry_and_sources(tmp_path, series, grid, labels):
    seg = hd.seg.segread(write_seg(grid.to_image(labels), tmp_path / "seg.dcm", source=series))
    sources = [pydicom.dcmread(file) for file in series.iterdir()]
    assert seg.FrameOfReferenceUID == sources[0].FrameOfReferenceUID
    assert seg.StudyInstanceUID == sources[0].StudyInstanceUID
    by_uid = {s.SOPInstanceUID: s for s in sources}
    assert {i.ReferencedSOPInstanceUID for i in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence} == set(
        by_uid
    )
    for frame in seg.PerFrameFunctionalGroupsSequence:
        position = frame.PlanePositionSequence[0].ImagePositionPatient
        source = by_uid[frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        np.testing.assert_allclose(position, source.ImagePositionPatient, atol=1e-6)
    # Slices 1 to 4 hold label 1, slices 2 and 4 label 3: no empty frames.
    assert seg.NumberOfFrames == 6
    volume = seg.get_volume(combine_segments=True)
    found = grid.index_from_patient(volume.map_indices_to_reference(np.array([[0, 0, 0]])))
    # highdicom stacks slices against the normal: it begins with the last that holds a label.
    np.testing.assert_allclose(found, [[0, 0, 4]], atol=1e-4)


def test_terms_say_what_the_segments_are_and_how_they_were_made(tmp_path, series, grid, labels):
    terms = SegmentTerms(names={1: "H1 dark"}, parameters={"method": "gmm", "seed": 0}, colours={1: "#E69F00"})
    seg = pydicom.dcmread(write_seg(grid.to_image(labels), tmp_path / "seg.dcm", source=series, terms=terms))
    first, second = seg.SegmentSequence
    assert (first.SegmentLabel, second.SegmentLabel) == ("H1 dark", "H3")
    for segment in (first, second):
        kind, category = segment.SegmentedPropertyTypeCodeSequence[0], segment.SegmentedPropertyCategoryCodeSequence[0]
        assert (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning) == ("108369006", "SCT", "Neoplasm")
        assert category.CodeValue == "49755003"
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        assert algorithm.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Cluster Analysis"
        assert algorithm.AlgorithmParameters == "method=gmm,seed=0"
    assert "RecommendedDisplayCIELabValue" in first
    assert first.TrackingUID != second.TrackingUID


def test_nothing_of_the_patient_is_in_the_file(tmp_path, series, grid, labels, make):
    path = write_seg(grid.to_image(labels), tmp_path / "seg.dcm", source=series)
    raw = path.read_bytes()
    for secret in (make.secret, "SECRET-ID", "19010203", "20200101", "free text"):
        assert secret.encode() not in raw
    seg = pydicom.dcmread(path)
    assert seg.PatientIdentityRemoved == "YES"
    assert str(seg.PatientName) == seg.PatientID == ""


def test_the_same_labels_make_the_same_identifiers(tmp_path, series, grid, labels):
    paths = [write_seg(grid.to_image(labels), tmp_path / f"{n}.dcm", source=series) for n in range(2)]
    first, second = (pydicom.dcmread(path) for path in paths)
    assert first.SOPInstanceUID == second.SOPInstanceUID
    labels[1, 1, 2] = 0
    third = pydicom.dcmread(write_seg(grid.to_image(labels), tmp_path / "2.dcm", source=series))
    assert third.SOPInstanceUID != first.SOPInstanceUID


def test_probabilities_are_fractions(tmp_path, series, grid):
    values = np.zeros((*grid.shape, 2), np.float32)
    values[2:4, 1:4, 1:4, 0] = np.linspace(0.1, 0.9, 18).reshape(2, 3, 3)
    values[2:4, 1:4, 1:4, 1] = 1.0 - values[2:4, 1:4, 1:4, 0]
    path = write_seg(grid.to_image(values), tmp_path / "p.dcm", source=series)
    seg = hd.seg.segread(path)
    assert seg.SegmentationType == "FRACTIONAL"
    assert seg.SegmentationFractionalType == "PROBABILITY"
    found = seg.get_volume(rescale_fractional=True).array
    np.testing.assert_allclose(np.asarray(found, float)[::-1], values[2:4], atol=0.51 / 255)


def test_another_grid_is_kept_and_told(tmp_path, series, grid):
    finer = Grid((16, 12, 7), (0.4, 0.3, 3.0), tuple(grid.patient_from_index([-0.25, -0.25, 0])[0]), grid.direction)
    array = np.zeros(finer.shape, np.uint8)
    array[2:4, 3:7, 5:9] = 1
    with pytest.warns(ComouldWarning, match="another grid than the DICOM series"):
        path = write_seg(finer.to_image(array), tmp_path / "seg.dcm", source=series)
    mask = read_segmentation(path)
    inside = np.argwhere(sitk.GetArrayFromImage(mask) > 0)[:, ::-1]
    expected = finer.patient_from_index(np.argwhere(array > 0)[:, ::-1])
    np.testing.assert_allclose(Grid.from_image(mask).patient_from_index(inside), expected, atol=1e-3)


# Bad input


def test_what_cannot_be_written_is_refused_and_nothing_is_left(tmp_path, series, grid, labels):
    out = tmp_path / "out"
    for image, message in (
        (grid.to_image(labels * 0), "labels above 0"),
        (grid.to_image(labels.astype(np.float64)), "an integer label image, or a vector image"),
        (grid.to_image(np.full((*grid.shape, 2), 1.5, np.float32)), "values from 0 to 1, found 1.5 to 1.5"),
        (grid.to_image(np.full((*grid.shape, 2), np.nan, np.float32)), "values from 0 to 1"),
    ):
        with pytest.raises(InputError, match=message):
            write_seg(image, out / "seg.dcm", source=series)
    with pytest.raises(InputError, match="suffix \\.dcm, found \\.nii"):
        write_seg(grid.to_image(labels), out / "seg.nii", source=series)
    with pytest.raises(InputError, match="a DICOM image series"):
        write_seg(grid.to_image(labels), out / "seg.dcm", source=out.parent / "nowhere")
    assert not out.exists()


def test_labels_of_somewhere_else_are_refused(tmp_path, series, grid, labels):
    far = Grid(grid.size, grid.spacing_mm, (900.0, 0.0, 0.0), grid.direction)
    with pytest.raises(GeometryError, match="within the volume of the DICOM series, found 0%"):
        write_seg(far.to_image(labels), tmp_path / "seg.dcm", source=series)


def test_an_existing_file_is_replaced_only_when_asked(tmp_path, series, grid, labels):
    path = write_seg(grid.to_image(labels), tmp_path / "seg.dcm", source=series)
    with pytest.raises(InputError, match="an existing one"):
        write_seg(grid.to_image(labels), path, source=series)
    write_seg(grid.to_image(labels), path, source=series, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ct", "seg.dcm"]


def test_long_parameters_are_refused(tmp_path, series, grid, labels):
    terms = SegmentTerms(parameters={"x": "y" * 2000})
    with pytest.raises(InputError, match="1,024 letters at most, found 2002"):
        write_seg(grid.to_image(labels), tmp_path / "seg.dcm", source=series, terms=terms)


def test_a_series_without_a_frame_of_reference_is_refused(tmp_path, make, grid, labels):
    def spoil(dataset, _):
        del dataset.FrameOfReferenceUID

    make.series(tmp_path / "ct", grid, make.chiral(grid), edit=spoil)
    with pytest.raises(GeometryError, match="a FrameOfReferenceUID, found none"):
        write_seg(grid.to_image(labels), tmp_path / "seg.dcm", source=tmp_path / "ct")


def test_real_prostate(tmp_path, test_data):
    """Oblique MR: the zones written, read back voxel for voxel."""
    folder = test_data / "prostatex0000"
    zones = sitk.ReadImage(str(folder / "masks" / "zones_HeviAI23.nii.gz"), sitk.sitkUInt8)
    path = write_seg(zones, tmp_path / "seg.dcm", source=folder / "t2")
    image = read_image(folder / "t2")
    array = sitk.GetArrayFromImage(zones)
    for label in np.unique(array[array > 0]).tolist():
        mask = read_segmentation(path, image=image, roi=f"H{label}")
        np.testing.assert_array_equal(sitk.GetArrayFromImage(mask) > 0, array == label)
