"""DICOM series: position alone orders and spaces the slices; every irregularity is an error that names the slices."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from comould.errors import GeometryError, InputError
from comould.io import read_image
from comould.space import Grid


@pytest.fixture
def grid(make):
    return make.oblique()


@pytest.fixture
def array(grid, make):
    return make.chiral(grid)


def refusal(make, path, kind=InputError, **options):
    """The one-line message, which must not hold patient data."""
    with pytest.raises(kind) as caught:
        read_image(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert "SECRET" not in message
    assert make.secret not in message
    return message


@given(
    seed=st.integers(0, 10_000),
    spacing=st.tuples(st.floats(0.2, 3.0), st.floats(0.2, 3.0), st.floats(0.5, 9.0)),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
)
def test_any_oblique_series_is_placed_by_position(tmp_path_factory, make, seed, spacing, origin):
    grid = Grid((5, 4, 3), spacing, origin, make.rotation(seed))
    array = make.chiral(grid)
    folder = tmp_path_factory.mktemp("series")
    make.series(folder, grid, array, shuffle=True)
    found = read_image(folder)
    assert not grid.difference(Grid.from_image(found), 1e-4)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found), array)
    assert not found.GetMetaDataKeys()


def test_series_as_itk_reads_it(tmp_path, make, grid, array):
    make.series(tmp_path, grid, array, shuffle=True)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    itk = sitk.ReadImage(names)
    assert not Grid.from_image(itk).difference(Grid.from_image(read_image(tmp_path)), 1e-4)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(itk), sitk.GetArrayFromImage(read_image(tmp_path)))


def test_one_slice_stands_for_its_series_and_other_files_do_not_matter(tmp_path, make, grid, array):
    make.series(tmp_path, grid, array)
    (tmp_path / "notes.txt").write_text("not DICOM")
    (tmp_path / ".hidden").write_bytes(b"x" * 200)
    assert read_image(tmp_path / "f001").GetSize() == grid.size
    assert read_image(tmp_path).GetSize() == grid.size


def test_rescaling_is_done_slice_by_slice(tmp_path, make, grid, array):
    def edit(dataset, k):
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5 + k, -10.0

    make.series(tmp_path / "pet", grid, array, edit=edit)
    expected = array * (0.5 + np.arange(grid.size[2]))[:, None, None] - 10.0
    found = read_image(tmp_path / "pet")
    assert found.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_allclose(sitk.GetArrayFromImage(found), expected, rtol=1e-6)
    make.series(tmp_path / "ct", grid, array, rescale=(1, -1024))
    found = read_image(tmp_path / "ct")
    assert found.GetPixelID() == sitk.sitkInt16
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found), array - 1024)


def test_duplicates_gaps_and_lone_slices_are_listed(tmp_path, make, grid, array):
    def twin(dataset, k):
        if k == 3:
            dataset.ImagePositionPatient = [f"{x:.9g}" for x in grid.patient_from_index([[0, 0, 2]])[0]]

    make.series(tmp_path / "twin", grid, array, edit=twin)
    message = refusal(make, tmp_path / "twin", GeometryError)
    assert "instance 3 and instance 4" in message
    assert "Split the series by time point, echo or b-value" in message
    make.series(tmp_path / "gap", grid, array, skip=(2,))
    message = refusal(make, tmp_path / "gap", GeometryError)
    assert "6.00 mm between instance 2 and instance 4" in message
    assert "expected slices 3.00 mm apart" in message
    make.series(tmp_path / "one", grid, array, skip=(1, 2, 3, 4))
    assert "found one" in refusal(make, tmp_path / "one", GeometryError)


def test_slices_that_do_not_make_one_block(tmp_path, make, grid, array):
    def tilted(dataset, k):
        dataset.ImagePositionPatient = list(grid.patient_from_index([[0.5 * k, 0, k]])[0].round(6))

    def turned(dataset, k):
        if k == 4:
            dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]

    def finer(dataset, k):
        if k == 0:
            dataset.PixelSpacing = [0.3, 0.3]

    def smaller(dataset, k):
        if k == 0:
            dataset.Rows, dataset.PixelData = 3, dataset.PixelData[: 3 * 7 * 2]

    def bare(dataset, k):
        if k == 1:
            del dataset.ImagePositionPatient, dataset.PixelSpacing

    def zero(dataset, _):
        dataset.PixelSpacing = [0, 0.5]

    def bent(dataset, _):
        dataset.ImageOrientationPatient = [1, 0, 0, 1, 0, 0]

    def colour(dataset, _):
        dataset.SamplesPerPixel = 3

    def worded(dataset, k):
        if k == 2:
            dataset["RescaleSlope"]._value = "SECRETIVE"

    for edit, expected in [
        (tilted, "a sideways drift of 1.60 mm (tilted gantry"),
        (turned, "1 that differ from instance 1: instance 5"),
        (finer, "4 that differ from instance 1"),
        (smaller, "slices of one size, found 3 × 7, 6 × 7"),
        (bare, "instance 2: no usable ImagePositionPatient and no PixelSpacing"),
        (zero, "PixelSpacing 0 × 0.5 mm"),
        (bent, "not two unit vectors at a right angle"),
        (colour, "instance 1: colour pixels"),
        (worded, "instance 3: an unreadable RescaleSlope"),
    ]:
        folder = tmp_path / edit.__name__
        make.series(folder, grid, array, edit=edit)
        assert expected in refusal(make, folder, GeometryError)


def test_several_series_are_listed_without_free_text_and_one_can_be_chosen(tmp_path, make, grid, array):
    first = make.series(tmp_path / "a", grid, array, number=3)
    second = make.series(tmp_path / "b", grid, array + 1, number=4)
    message = refusal(make, tmp_path)
    assert f"number 3, CT, 5 images, UID {first}; number 4, CT, 5 images, UID {second}" in message
    assert "series_uid=" in message
    assert "free text" not in message
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(tmp_path, series_uid=second)), array + 1)
    assert "expected series 1.2.3" in refusal(make, tmp_path, series_uid="1.2.3")


def test_files_that_are_no_image(tmp_path, make, grid, array):
    struct = make.rtstruct(tmp_path / "rs.dcm", [("GTV", [[[0, 0, 0], [1, 0, 0], [0, 1, 0]]])])
    assert "modality RTSTRUCT. Segmentations are read with read_segmentation" in refusal(make, struct)
    assert "1 DICOM files without an image" in refusal(make, tmp_path)
    broken = tmp_path / "broken"
    make.series(broken, grid, array, skip=(0, 1, 2))
    for file in broken.iterdir():
        file.write_bytes(file.read_bytes()[:-40])
    assert "could not be decoded" in refusal(make, broken)
    (tmp_path / "junk.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 64)
    assert "names neither its class nor its modality" in refusal(make, tmp_path / "junk.dcm")

    def empty(dataset, _):
        del dataset.PixelData

    make.series(tmp_path / "empty", grid, array, edit=empty)
    assert "expected DICOM pixel data, found none" in refusal(make, tmp_path / "empty")


@pytest.mark.parametrize(
    ("codec", "syntax"),
    [
        ("jpeg2k_encode", "1.2.840.10008.1.2.4.90"),
        ("ljpeg_encode", "1.2.840.10008.1.2.4.70"),
        ("jpegls_encode", "1.2.840.10008.1.2.4.80"),
        ("rle", "rle"),
    ],
)
def test_compressed_pixels_come_out_as_they_went_in(tmp_path, make, grid, array, codec, syntax):
    import imagecodecs
    from pydicom.encaps import encapsulate
    from pydicom.uid import RLELossless

    def squeeze(dataset, k):
        if codec == "rle":
            dataset.compress(RLELossless, generate_instance_uid=False)
            return
        options = {"reversible": True, "level": 0, "codecformat": "j2k"} if codec == "jpeg2k_encode" else {}
        stored = (array[k] - 500).astype(np.int16).view(np.uint16)
        dataset.PixelData = encapsulate([getattr(imagecodecs, codec)(stored, **options)])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = syntax

    make.series(tmp_path, grid, array - 500, edit=squeeze)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(tmp_path)), array - 500)


@pytest.mark.parametrize("decimals", [2, 3])
def test_rounded_positions_are_still_one_even_stack(tmp_path, make, grid, array, decimals):
    def rounded(dataset, _):
        dataset.ImagePositionPatient = [round(float(x), decimals) for x in dataset.ImagePositionPatient]

    make.series(tmp_path, grid, array, edit=rounded)
    assert not grid.difference(Grid.from_image(read_image(tmp_path)), 3 * 10.0**-decimals)


def test_slices_of_a_microscope_are_not_duplicates(tmp_path, make):
    grid = make.oblique(spacing=(0.004, 0.004, 0.006))
    array = make.chiral(grid)
    make.series(tmp_path / "fine", grid, array)
    assert read_image(tmp_path / "fine").GetSpacing()[2] == pytest.approx(0.006, rel=1e-3)
    make.series(tmp_path / "gap", grid, array, skip=(2,))
    assert "0.01 mm between instance 2 and instance 4" in refusal(make, tmp_path / "gap", GeometryError)


def test_subfolders_are_searched_and_directories_of_files_are_not_images(tmp_path, make, grid, array):
    make.series(tmp_path / "deep" / "er", grid, array)
    (tmp_path / "DICOMDIR").write_bytes((tmp_path / "deep" / "er" / "f000").read_bytes())
    assert read_image(tmp_path).GetSize() == grid.size


def test_whole_numbers_beyond_16_bits_are_kept(tmp_path, make, grid, array):
    make.series(tmp_path, grid, array, rescale=(1, 40_000))
    found = read_image(tmp_path)
    assert found.GetPixelID() == sitk.sitkInt32
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found), array.astype(np.int32) + 40_000)


def test_nothing_personal_is_even_read(tmp_path, make, grid, array):
    from comould.io.dicom import scan
    from comould.io.frames import PIXEL_TAGS, read_tags

    make.series(tmp_path, grid, array, skip=(2, 3, 4))
    for header in scan(tmp_path):
        assert "SECRET" not in str(header.dataset)
        assert "PatientName" not in header.dataset
        assert "PatientName" not in read_tags(header.path, PIXEL_TAGS, pixels=True)


def test_a_compression_without_decoder_says_what_to_do(tmp_path, make, grid, array):
    from pydicom.encaps import encapsulate

    def video(dataset, _):
        dataset.PixelData = encapsulate([b"\0" * 64])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"

    make.series(tmp_path, grid, array, edit=video)
    message = refusal(make, tmp_path)
    assert "MPEG-4" in message
    assert "gdcmconv --raw" in message


def test_enhanced_multiframe_is_one_file(tmp_path, make, grid, array):
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    def item(**tags):
        inner = Dataset()
        for name, found in tags.items():
            setattr(inner, name, found)
        return Sequence([inner])

    make.series(tmp_path / "classic", grid, array, skip=range(1, 5))
    dataset = pydicom.dcmread(tmp_path / "classic" / "f000")
    shared = Dataset()
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=dataset.ImageOrientationPatient)
    shared.PixelMeasuresSequence = item(PixelSpacing=dataset.PixelSpacing, SliceThickness=99, SpacingBetweenSlices=77)
    shared.PixelValueTransformationSequence = item(RescaleSlope=2, RescaleIntercept=-5)
    frames = []
    order = [3, 0, 4, 1, 2]
    for k in order:
        frame = Dataset()
        position = [f"{x:.9g}" for x in grid.patient_from_index([[0, 0, k]])[0]]
        frame.PlanePositionSequence = item(ImagePositionPatient=position)
        frames.append(frame)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        del dataset[name]
    dataset.NumberOfFrames = 5
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], frames
    dataset.PixelData = array[order].astype("<i2").tobytes()
    path = tmp_path / "enhanced.dcm"
    dataset.save_as(path)
    found = read_image(path)
    assert not grid.difference(Grid.from_image(found), 1e-4)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found), array * 2.0 - 5.0)
    dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence = frames[0].PlanePositionSequence
    dataset.save_as(path)
    assert "frame 1 and frame 2" in refusal(make, path, GeometryError)


@pytest.mark.parametrize(
    "folder", ["prostatex0000/t2", "prostatex0000/adc", "ibsi_sts/dicom/STS_003/MR_T1/image", "dcmqi_seg/ct-3slice"]
)
def test_real_series_lie_where_itk_puts_them(test_data, folder):
    ours = read_image(test_data / folder)
    itk = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(test_data / folder)))
    assert not Grid.from_image(ours).difference(Grid.from_image(itk), 1e-6)
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(ours), sitk.GetArrayViewFromImage(itk))


@pytest.mark.parametrize("modality", ["CT", "MR_T1"])
def test_real_dicom_and_nifti_of_one_scan_agree(test_data, modality):
    dicom = read_image(test_data / "ibsi_sts/dicom/STS_003" / modality / "image")
    nifti = read_image(test_data / "ibsi_sts/nifti/STS_003" / f"{modality}_image.nii.gz")
    assert not Grid.from_image(dicom).difference(Grid.from_image(nifti), 1e-4)
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(dicom), sitk.GetArrayViewFromImage(nifti))


@pytest.mark.parametrize("case", ["23x38x3", "24x38x3"])
def test_real_multiframe_is_its_series(test_data, case):
    folder = test_data / "dcmqi_seg" / case
    series, multi = read_image(folder / "image"), read_image(folder / "multiframe" / "mf.dcm")
    assert Grid.from_image(series) == Grid.from_image(multi)
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(series), sitk.GetArrayViewFromImage(multi))
