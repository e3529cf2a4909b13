"""DICOM SEG, written by highdicom or found in the wild."""

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.sr.codedict import codes

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.io import Roi, list_rois, read_image, read_segmentation
from comould.space import Grid


@pytest.fixture
def grid(make):
    return make.oblique(size=(8, 6, 7))


@pytest.fixture
def masks(grid):
    """Two overlapping segments ``(z, y, x, 2)``, the second on two slices only."""
    array = np.zeros((*grid.shape, 2), np.uint8)
    array[1:5, 1:4, 2:6, 0] = 1
    array[2, 2:6, 0:4, 1] = 1
    array[5, 1, 7, 1] = 1
    return array


@pytest.fixture
def series(tmp_path, make, grid):
    make.series(tmp_path / "ct", grid, make.chiral(grid))
    return tmp_path / "ct"


def describe(number, name):
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )


def write_seg(path, series, array, kind="BINARY", *, names=("Tumour", "Margin"), omit=True, slices=None):
    """Write a SEG of a series' slices through highdicom; ``slices`` picks some of them."""
    sources = sorted((pydicom.dcmread(file) for file in series.iterdir()), key=lambda d: d.InstanceNumber)
    if slices is not None:
        sources, array = [sources[k] for k in slices], array[list(slices)]
    options = {"max_fractional_value": 200} if kind == "FRACTIONAL" else {}
    seg = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=array,
        segmentation_type=kind,
        segment_descriptions=[describe(n, name) for n, name in enumerate(names, start=1)],
        series_instance_uid=hd.UID(),
        series_number=9,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="comould",
        manufacturer_model_name="test",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=omit,
        **options,
    )
    seg.save_as(path)
    return path


def as_array(image):
    return sitk.GetArrayFromImage(image).astype(bool)


@pytest.mark.parametrize("omit", [True, False])
def test_overlapping_segments_on_the_image(tmp_path, series, grid, masks, omit):
    path = write_seg(tmp_path / "seg.dcm", series, masks, omit=omit)
    image = read_image(series)
    assert list_rois(path) == [Roi(1, "Tumour"), Roi(2, "Margin")]
    for number, name in ((1, "tumour"), (2, "Margin")):
        for roi in (number, name):
            found = read_segmentation(path, image=image, roi=roi)
            np.testing.assert_array_equal(as_array(found), masks[..., number - 1])
            assert not grid.difference(Grid.from_image(found), 1e-4)
    with pytest.raises(InputError, match="found 1 'Tumour', 2 'Margin'"):
        read_segmentation(path, image=image)


def test_without_image_the_frames_make_the_grid(tmp_path, make, grid, masks):
    def honest(dataset, _):
        # highdicom believes this tag and copies it into the SEG.
        dataset.SpacingBetweenSlices = 3.0

    make.series(tmp_path / "ct", grid, make.chiral(grid), edit=honest)
    path = write_seg(tmp_path / "seg.dcm", tmp_path / "ct", masks)
    found = read_segmentation(path, roi=2)
    own = Grid.from_image(found)
    # Frames exist for slices 1 to 5.
    assert own.size == (8, 6, 5)
    np.testing.assert_allclose(own.origin_mm, grid.patient_from_index([[0, 0, 1]])[0], atol=1e-4)
    np.testing.assert_array_equal(as_array(found), masks[1:6, ..., 1])
    volume = hd.seg.segread(path).get_volume(segment_numbers=[2], combine_segments=True)
    index = np.argwhere(volume.array > 0)
    theirs = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    ours = own.patient_from_index(np.argwhere(as_array(found))[:, ::-1])
    np.testing.assert_allclose(ours[np.lexsort(ours.round(3).T)], theirs[np.lexsort(theirs.round(3).T)], atol=1e-3)


def test_a_wrong_slice_distance_in_the_file_is_not_believed(tmp_path, series, masks):
    path = write_seg(tmp_path / "seg.dcm", series, masks)
    measures = pydicom.dcmread(path).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.SpacingBetweenSlices == 77
    assert read_segmentation(path, roi=1).GetSpacing()[2] == pytest.approx(3.0, abs=1e-3)


@pytest.mark.parametrize("omit", [True, False])
def test_label_map_segments(tmp_path, series, masks, omit):
    labels = np.where(masks[..., 0] > 0, 1, np.where(masks[..., 1] > 0, 2, 0)).astype(np.uint8)
    path = write_seg(tmp_path / "seg.dcm", series, labels, "LABELMAP", omit=omit)
    assert list_rois(path) == [Roi(1, "Tumour"), Roi(2, "Margin")]
    image = read_image(series)
    for number in (1, 2):
        found = read_segmentation(path, image=image, roi=number)
        np.testing.assert_array_equal(as_array(found), labels == number)


def test_fractions_are_cut_at_one_half_and_it_is_said(tmp_path, series, masks):
    fraction = masks[..., 0] * np.linspace(0, 1, 8)
    path = write_seg(tmp_path / "seg.dcm", series, fraction.astype(np.float32), "FRACTIONAL", names=("Tumour",))
    with pytest.warns(ComouldWarning, match="fractional segment 1 was cut at one half"):
        found = read_segmentation(path, image=read_image(series))
    np.testing.assert_array_equal(as_array(found), fraction >= 0.5)


def test_sparse_frames_find_their_slices(tmp_path, series, masks):
    sparse = np.zeros_like(masks)
    sparse[[1, 4, 6]] = masks[[1, 2, 2]]
    sparse[6, 0, 0] = 1
    path = write_seg(tmp_path / "seg.dcm", series, sparse, slices=(1, 4, 6))
    found = read_segmentation(path, image=read_image(series), roi=1)
    np.testing.assert_array_equal(as_array(found), sparse[..., 0])


def test_a_seg_of_another_scan_or_with_nothing_in_it(tmp_path, make, series, grid, masks):
    path = write_seg(tmp_path / "seg.dcm", series, masks)
    shifted = Grid(grid.size, grid.spacing_mm, tuple(grid.patient_from_index([[0, 0.5, 0]])[0]), grid.axes)
    with pytest.raises(GeometryError, match="on the image's slices and pixels, found frames of another lattice"):
        read_segmentation(path, image=shifted.to_image(), roi=1)
    thick = Grid(grid.size, (0.8, 0.6, 4.0), grid.origin_mm, grid.axes)
    with pytest.raises(GeometryError, match="found frames between the slices"):
        read_segmentation(path, image=thick.to_image(), roi=1)
    short = Grid((8, 6, 3), grid.spacing_mm, grid.origin_mm, grid.axes)
    with pytest.raises(GeometryError, match="outside the image"):
        read_segmentation(path, image=short.to_image(), roi=1)
    turned = Grid(grid.size, grid.spacing_mm, grid.origin_mm)
    with pytest.raises(GeometryError, match="on the image's slices and pixels"):
        read_segmentation(path, image=turned.to_image(), roi=1)
    masks[..., 1] = 0
    hollow = write_seg(tmp_path / "hollow.dcm", series, masks, omit=False)
    with pytest.raises(InputError, match=r"segment 2 of .*at least one voxel, found none"):
        read_segmentation(hollow, roi=2)
    with pytest.raises(InputError, match=r"modality SEG\. Segmentations are read with read_segmentation"):
        read_image(path)


def test_frames_that_lost_their_place(tmp_path, series, masks):
    path = write_seg(tmp_path / "seg.dcm", series, masks)
    dataset = pydicom.dcmread(path)
    del dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence
    dataset.save_as(tmp_path / "lost.dcm")
    with pytest.raises(GeometryError, match="frame 2: no usable ImagePositionPatient"):
        read_segmentation(tmp_path / "lost.dcm", roi=1)
    dataset = pydicom.dcmread(path)
    dataset.TotalPixelMatrixRows = 6
    dataset.save_as(tmp_path / "tiled.dcm")
    with pytest.raises(InputError, match="one of a slide"):
        read_segmentation(tmp_path / "tiled.dcm", roi=1)


def test_one_frame_alone_needs_its_image(tmp_path, series, masks):
    path = write_seg(tmp_path / "seg.dcm", series, masks, slices=(2,))
    dataset = pydicom.dcmread(path)
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    if "SpacingBetweenSlices" in measures:
        del measures.SpacingBetweenSlices
    dataset.save_as(path)
    with pytest.raises(GeometryError, match=r"frames on several slices.*--image"):
        read_segmentation(path, roi=1)
    assert as_array(read_segmentation(path, image=read_image(series), roi=1))[2].any()


REAL = [
    ("liver.dcm", "ct-3slice", "liver", "liver_seg.nrrd", 1),
    ("23x38x3/seg/label.seg", "23x38x3/image", 1, "23x38x3/nrrd/label.nrrd", 1),
    ("24x38x3/seg/label.seg", "24x38x3/image", 1, "24x38x3/nrrd/label.nrrd", 1),
    ("sparse-labelmap-noppv.dcm", "24x38x3/image", 1, "sparse_labelmap_noppv_seg.nrrd", 1),
    ("sparse-labelmap-ppv5.dcm", "24x38x3/multiframe/mf.dcm", 1, "sparse_labelmap_ppv5_seg.nrrd", 1),
    ("partial_overlaps.dcm", "ct-3slice", "green", "partial_overlaps-1.nrrd", 1),
    ("partial_overlaps.dcm", "ct-3slice", "orange", "partial_overlaps-2.nrrd", 2),
    ("partial_overlaps.dcm", "ct-3slice", "purple", "partial_overlaps-3.nrrd", 3),
    ("partial_overlaps.dcm", "ct-3slice", "light_blue", "partial_overlaps-1.nrrd", 4),
    ("partial_overlaps.dcm", "ct-3slice", "dark_blue", "partial_overlaps-1.nrrd", 5),
]


@pytest.mark.parametrize(("seg", "scan", "roi", "nrrd", "label"), REAL)
def test_real_segments_equal_their_nrrd(test_data, seg, scan, roi, nrrd, label):
    folder = test_data / "dcmqi_seg"
    truth = sitk.ReadImage(str(folder / nrrd)) == label
    for image in (read_image(folder / scan), None):
        found = read_segmentation(folder / seg, image=image, roi=roi)
        assert not Grid.from_image(found).difference(Grid.from_image(truth), 1e-3)
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(found), sitk.GetArrayViewFromImage(truth))
