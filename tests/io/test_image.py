"""Volumes from NIfTI, NRRD and MetaImage: every voxel where the header says, or an error."""

import gzip
from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.io import read_image, read_segmentation, right_handed, write_image
from comould.space import Grid

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def nifti_bytes(array, ras, *, form="sform", codes=None, order="<", version=1, units=2, slope=0.0, inter=0.0, dim=None):
    """A NIfTI file made by hand: ``array`` (z, y, x) and the affine that its header shall state."""
    size = 348 if version == 1 else 540
    head = bytearray(size)

    def put(offset, kind, *values):
        data = np.array(values, np.dtype(kind).newbyteorder(order)).tobytes()
        head[offset : offset + len(data)] = data

    spacing = np.linalg.norm(ras[:3, :3], axis=0)
    qfac = 1.0 if np.linalg.det(ras[:3, :3]) > 0 else -1.0
    dims = dim or (3, *array.shape[::-1], 1, 1, 1, 1)
    code = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64}[array.dtype.str[1:]]
    sform, qform = codes or ((1, 0) if form == "sform" else (0, 1))
    from scipy.spatial.transform import Rotation

    rotation = ras[:3, :3] / spacing * [1, 1, qfac]
    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    b, c, d = np.array([x, y, z]) * (1 if w >= 0 else -1)
    put(0, "i4", size)
    if version == 1:
        put(40, "i2", *dims), put(70, "i2", code), put(72, "i2", array.itemsize * 8)
        put(76, "f4", qfac, *spacing, 0, 0, 0, 0), put(108, "f4", size + 4), put(112, "f4", slope, inter)
        put(123, "u1", units), put(252, "i2", qform, sform), put(256, "f4", b, c, d, *ras[:3, 3])
        put(280, "f4", *ras[:3].ravel())
        head[344:348] = b"n+1\0"
    else:
        head[4:12] = b"n+2\0\r\n\x1a\n"
        put(12, "i2", code, array.itemsize * 8), put(16, "i8", *dims), put(104, "f8", qfac, *spacing, 0, 0, 0, 0)
        put(168, "i8", size + 4), put(176, "f8", slope, inter), put(344, "i4", qform, sform)
        put(352, "f8", b, c, d, *ras[:3, 3]), put(400, "f8", *ras[:3].ravel()), put(500, "i4", units)
    return bytes(head) + b"\0" * 4 + array.astype(array.dtype.newbyteorder(order)).tobytes()


def by_position(image):
    """``{rounded patient position: value}`` of every voxel: what must not depend on storage."""
    grid = Grid.from_image(image)
    index = np.array([(i, j, k) for k, j, i in np.ndindex(grid.shape)])
    points = grid.patient_from_index(index).round(2) + 0.0
    return dict(zip(map(tuple, points.tolist()), sitk.GetArrayFromImage(image).ravel().tolist(), strict=True))


@pytest.fixture
def grid(make):
    return make.oblique()


@pytest.fixture
def image(grid, make):
    return grid.to_image(make.chiral(grid))


@pytest.mark.parametrize("form", ["sform", "qform"])
def test_all_48_storage_orders_of_a_nifti_give_the_same_patient(tmp_path, image, grid, form):
    truth = by_position(image)
    array = sitk.GetArrayFromImage(image)
    matrix = LPS_FROM_RAS @ grid.matrix
    handed = set()
    for order, flips in product(permutations(range(3)), product((1, -1), repeat=3)):
        # Storage axis n is grid axis order[n], run backwards where the flip says so.
        stored = array.transpose([2 - order[2 - n] for n in range(3)])[tuple(slice(None, None, f) for f in flips[::-1])]
        ras = matrix.copy()
        for n, (axis, flip) in enumerate(zip(order, flips, strict=True)):
            ras[:3, n] = matrix[:3, axis] * flip
            if flip < 0:
                ras[:3, 3] += matrix[:3, axis] * (grid.size[axis] - 1)
        handed.add(np.sign(np.linalg.det(ras[:3, :3])))
        path = tmp_path / "stored.nii"
        path.write_bytes(nifti_bytes(np.ascontiguousarray(stored), ras, form=form))
        found = read_image(path)
        assert np.linalg.det(Grid.from_image(found).axes) == pytest.approx(1.0, abs=1e-9)
        assert by_position(found) == truth
    assert handed == {-1.0, 1.0}


@pytest.mark.parametrize(("order", "version"), list(product("<>", (1, 2))))
def test_nifti_versions_byte_orders_and_scaling(tmp_path, image, grid, order, version):
    array = sitk.GetArrayFromImage(image)
    path = tmp_path / "v.nii.gz"
    content = nifti_bytes(array, LPS_FROM_RAS @ grid.matrix, order=order, version=version, slope=0.5, inter=-3.0)
    path.write_bytes(gzip.compress(content))
    found = read_image(path)
    assert not grid.difference(Grid.from_image(found), 1e-4)
    assert found.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_allclose(sitk.GetArrayFromImage(found), array * 0.5 - 3.0)


@pytest.mark.parametrize(("units", "factor"), [(1, 1e-3), (3, 1e3)])
def test_nifti_units_other_than_mm_are_converted_and_said(tmp_path, image, grid, units, factor):
    ras = LPS_FROM_RAS @ grid.matrix
    ras[:3] *= factor
    path = tmp_path / "u.nii"
    path.write_bytes(nifti_bytes(sitk.GetArrayFromImage(image), ras, units=units))
    with pytest.warns(ComouldWarning, match="converted to mm"):
        assert not grid.difference(Grid.from_image(read_image(path)), 1e-3)


def test_nifti_headers_that_contradict_or_say_nothing(tmp_path, image, grid):
    array, ras = sitk.GetArrayFromImage(image), LPS_FROM_RAS @ grid.matrix

    def refused(kind, match, content):
        path = tmp_path / "bad.nii"
        path.write_bytes(content)
        with pytest.raises(kind, match=match):
            read_image(path)

    refused(GeometryError, "qform_code 0 and sform_code 0", nifti_bytes(array, ras, codes=(0, 0)))
    other = bytearray(nifti_bytes(array, ras, codes=(1, 1)))
    other[292:296] = np.float32(ras[0, 3] + 5).tobytes()
    refused(GeometryError, "sform and qform up to 5 mm apart", bytes(other))
    sheared = ras.copy()
    sheared[:3, 0] += 0.1 * ras[:3, 1]
    refused(GeometryError, "axes at right angles", nifti_bytes(array, sheared))
    flat = bytearray(nifti_bytes(array, ras, form="qform"))
    flat[88:92] = np.float32(0).tobytes()
    refused(GeometryError, "positive voxel spacing", bytes(flat))
    lost = ras.copy()
    lost[0, 3] = np.nan
    refused(GeometryError, "finite positions", nifti_bytes(array, lost))
    refused(GeometryError, "3 dimensions.*Split", nifti_bytes(array, ras, dim=(4, *array.shape[::-1], 2, 1, 1, 1)))
    refused(GeometryError, "unit code 7", nifti_bytes(array, ras, units=7))
    refused(InputError, "cut off", nifti_bytes(array, ras)[:-10])
    refused(InputError, "another kind of file", b"no header" * 100)
    colour = bytearray(nifti_bytes(array, ras))
    colour[70:72] = np.int16(128).tobytes()
    refused(InputError, "datatype 128", bytes(colour))
    wild = bytearray(nifti_bytes(array, ras, form="qform"))
    wild[256:260] = np.float32(3).tobytes()
    refused(GeometryError, "unit quaternion", bytes(wild))
    refused(InputError, "damaged or cut-off", gzip.compress(nifti_bytes(array, ras))[:-20])


@given(
    seed=st.integers(0, 10_000),
    spacing=st.tuples(*[st.floats(0.1, 8.0)] * 3),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
    suffix=st.sampled_from([".nii", ".nii.gz", ".nrrd", ".mha"]),
    array=arrays(np.int16, (3, 4, 5)),
)
def test_what_is_written_is_read_at_the_same_patient_positions(
    tmp_path_factory, make, seed, spacing, origin, suffix, array
):
    grid = Grid((5, 4, 3), spacing, origin, make.rotation(seed))
    path = write_image(grid.to_image(array), tmp_path_factory.mktemp("round") / f"v{suffix}")
    found = read_image(path)
    # NIfTI headers are float32.
    assert not grid.difference(Grid.from_image(found), 5e-4 if "nii" in suffix else 1e-6)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found), array)


def mirrored(image):
    """The same voxels stored left-handed: x run backwards, position kept."""
    grid = Grid.from_image(image)
    stored = sitk.GetImageFromArray(sitk.GetArrayFromImage(image)[:, :, ::-1].copy())
    stored.SetSpacing(image.GetSpacing())
    stored.SetOrigin(grid.patient_from_index([[grid.size[0] - 1, 0, 0]])[0].tolist())
    stored.SetDirection((grid.axes * [-1, 1, 1]).ravel().tolist())
    return stored


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_left_handed_nrrd_and_mha_are_refused_unless_asked(tmp_path, image, suffix):
    path = tmp_path / f"left{suffix}"
    sitk.WriteImage(mirrored(image), str(path))
    with pytest.raises(GeometryError, match=r"left-handed.*mirror image.*left_handed='reorder'"):
        read_image(path)
    assert by_position(read_image(path, left_handed="reorder")) == by_position(image)
    with pytest.raises(InputError, match="'refuse', 'reorder' or None"):
        read_image(path, left_handed="yes")


def test_left_handed_nifti_can_be_refused(tmp_path, image):
    path = tmp_path / "left.nii"
    sitk.WriteImage(mirrored(image), str(path))
    assert by_position(read_image(path)) == by_position(image)
    with pytest.raises(GeometryError, match="left-handed"):
        read_image(path, left_handed="refuse")


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_a_segmentation_meets_a_left_handed_image_in_memory(tmp_path, grid, suffix):
    mask = np.zeros(grid.shape, np.uint8)
    mask[1:4, 2:5, 1:3] = mask[2, 2, 3:6] = 1
    truth = grid.to_image(mask)
    path = write_image(truth, tmp_path / f"seg{suffix}")
    found = read_segmentation(path, image=mirrored(truth))
    assert Grid.from_image(found) == Grid.from_image(right_handed(mirrored(truth)))
    assert by_position(found) == by_position(truth)


def test_right_handed_moves_no_voxel(image):
    assert right_handed(image) is image
    turned = right_handed(mirrored(image))
    assert by_position(turned) == by_position(image)
    vector = sitk.Compose(mirrored(image), mirrored(image) + 1)
    both = right_handed(vector)
    assert both.GetNumberOfComponentsPerPixel() == 2
    assert by_position(sitk.VectorIndexSelectionCast(both, 1)) == by_position(image + 1)
    with pytest.raises(GeometryError, match="3 dimensions"):
        right_handed(sitk.Image(3, 3, sitk.sitkUInt8))


@pytest.mark.parametrize("space", ["right-anterior-superior", "RAS", "left-anterior-superior", "LPS"])
def test_nrrd_spaces_are_brought_to_lps(tmp_path, space):
    array = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
    path = tmp_path / "s.nrrd"
    path.write_bytes(
        f"NRRD0004\ntype: uint8\ndimension: 3\nspace: {space}\nsizes: 2 3 4\nencoding: raw\n"
        "space directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (10,20,30)\n\n".encode()
        + array.tobytes()
    )
    signs = {"r": (-1, -1), "l": (1, -1)}[space[0].lower()] if space != "LPS" else (1, 1)
    found = Grid.from_image(read_image(path, left_handed="reorder"))
    corner = np.array([10 * signs[0], 20 * signs[1], 30.0])
    assert found.contains(corner).all()
    assert np.abs(found.index_from_patient(corner) - found.index_from_patient(corner).round()).max() < 1e-9
    value = sitk.GetArrayFromImage(read_image(path, left_handed="reorder"))[
        tuple(found.index_from_patient(corner)[0].round().astype(int)[::-1])
    ]
    assert value == 0


def test_headers_that_do_not_say_where_are_refused(tmp_path):
    start = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 1 1 1\nencoding: raw\n"
    place = "space directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (1,2,3)\n"
    meta = "ObjectType = Image\nNDims = 3\nDimSize = 1 1 1\nElementType = MET_UCHAR\n"
    whole = "ElementSpacing = 1 1 1\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
    cases = [
        ("a.nrrd", start + "spacings: 1 2 3\n", "no space and no space directions and no space origin"),
        ("b.nrrd", start + "space: scanner-xyz\n" + place, "anatomical space .*scanner-xyz"),
        ("c.nrrd", start + 'space: LPS\nspace units: "um" "um" "um"\n' + place, "space units in mm, found um"),
        ("d.nrrd", "not at all", "an NRRD file"),
        ("e.mha", meta + whole.replace("ElementSpacing", "Other"), "no ElementSpacing"),
        ("f.mha", meta + whole.replace("TransformMatrix", "Other"), "no TransformMatrix"),
        ("g.mha", meta + whole.replace("1 1 1\nT", "1 0 1\nT"), "positive voxel spacing|reading error"),
        ("h.mha", "%% not at all", "a MetaImage file"),
    ]
    for name, header, match in cases:
        path = tmp_path / name
        tail = "\n\0" if name.endswith("nrrd") else "ElementDataFile = LOCAL\n\0"
        path.write_bytes((header + tail).encode())
        with pytest.raises(InputError, match=match):
            read_image(path)
    lost = tmp_path / "lost.mhd"
    lost.write_text(meta + whole + "ElementDataFile = nowhere.raw\n")
    with pytest.raises(InputError, match="reading error"):
        read_image(lost)


def test_values_that_are_no_image(tmp_path, grid):
    array = np.zeros(grid.shape, np.float32)
    array[0, 0, :2] = np.nan
    array[1, 1, 1] = np.inf
    path = write_image(grid.to_image(array), tmp_path / "nan.nii.gz")
    with pytest.raises(InputError, match="3 NaN or infinite of 210"):
        read_image(path)
    assert np.isnan(sitk.GetArrayFromImage(read_image(path, allow_nan=True))).sum() == 2
    vector = write_image(grid.to_image(np.zeros((*grid.shape, 3), np.float32)), tmp_path / "v.nrrd")
    with pytest.raises(InputError, match=r"one number a voxel.*3 a voxel"):
        read_image(vector)
    four = tmp_path / "four.mha"
    sitk.WriteImage(sitk.Image([2, 2, 2, 2], sitk.sitkUInt8), str(four))
    with pytest.raises(GeometryError, match=r"4 dimensions.*Split"):
        read_image(four)
    two = tmp_path / "two.mha"
    sitk.WriteImage(sitk.Image([2, 2], sitk.sitkUInt8), str(two))
    with pytest.raises(GeometryError, match="2 dimensions"):
        read_image(two)


def test_paths_that_are_no_image(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "nothing.nii").touch()
    (tmp_path / "notes.txt").write_text("hello")
    for name, match in [
        ("missing.nii", "no such file or folder"),
        ("empty", "no DICOM file"),
        ("nothing.nii", "an empty file"),
        ("notes.txt", "suffix .txt and no DICOM content"),
    ]:
        with pytest.raises(InputError, match=match) as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="Leave series_uid out"):
        read_image(write_image(sitk.Image(2, 2, 2, sitk.sitkUInt8), tmp_path / "v.nii"), series_uid="1.2")


def test_writing_is_all_or_nothing_and_takes_no_metadata_along(tmp_path, image):
    named = sitk.Image(image)
    named.SetMetaData("0010|0010", "SOMEBODY^KNOWN")
    path = write_image(named, tmp_path / "new" / "v.nrrd")
    assert b"SOMEBODY" not in path.read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["v.nrrd"]
    with pytest.raises(InputError, match=r"an existing one.*overwrite=True"):
        write_image(image, path)
    before = path.read_bytes()
    with pytest.raises(GeometryError, match="left-handed"):
        write_image(mirrored(image), path, overwrite=True)
    assert path.read_bytes() == before
    assert write_image(image + 1, path, overwrite=True).read_bytes() != before
    with pytest.raises(InputError, match=r"suffix .nii.gz, .nii, .nrrd, .mha, found .png"):
        write_image(image, tmp_path / "v.png")
    (tmp_path / "dir.nii").mkdir()
    with pytest.raises(InputError, match="a folder"):
        write_image(image, tmp_path / "dir.nii", overwrite=True)


def test_real_nifti_files_agree_with_itk(test_data):
    for name in ("CT_image", "CT_mask", "PET_image"):
        path = test_data / "ibsi_sts/nifti/STS_003" / f"{name}.nii.gz"
        ours, itk = read_image(path), sitk.ReadImage(str(path))
        assert Grid.from_image(ours) == Grid.from_image(itk)
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(ours), sitk.GetArrayViewFromImage(itk))


def test_header_and_data_in_two_files(tmp_path, image, grid):
    for suffix in (".mhd", ".nhdr"):
        path = tmp_path / f"v{suffix}"
        sitk.WriteImage(image, str(path))
        found = read_image(path)
        assert not grid.difference(Grid.from_image(found), 1e-6)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(image))


def test_old_metaimage_words_and_sheared_axes(tmp_path):
    start = "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementSpacing = 1 2 3\n"
    end = "ElementDataFile = LOCAL\n"
    path = tmp_path / "v.mha"
    path.write_bytes((start + "Rotation = 1 0 0 0 1 0 0 0 1\nPosition = 4 5 6\n" + end).encode() + bytes(8))
    assert read_image(path).GetOrigin() == (4.0, 5.0, 6.0)
    path.write_bytes((start + "TransformMatrix = 1 0 0 0.3 1 0 0 0 1\nOffset = 4 5 6\n" + end).encode() + bytes(8))
    with pytest.raises(GeometryError, match="axes at right angles"):
        read_image(path)
    nrrd = tmp_path / "v.nrrd"
    nrrd.write_bytes(
        b"NRRD0004\ntype: uint8\ndimension: 3\nspace: LPS\nsizes: 2 2 2\nencoding: raw\n"
        b"space directions: (1,0.2,0) (0,2,0) (0,0,3)\nspace origin: (1,2,3)\n\n" + bytes(8)
    )
    with pytest.raises(GeometryError, match="axes at right angles"):
        read_image(nrrd)


def test_one_slice_and_singleton_dimensions_are_volumes(tmp_path, make):
    flat = make.oblique(size=(5, 4, 1))
    array = make.chiral(flat)
    assert read_image(write_image(flat.to_image(array), tmp_path / "flat.nii")).GetSize() == (5, 4, 1)
    path = tmp_path / "five.nii"
    path.write_bytes(nifti_bytes(array, LPS_FROM_RAS @ flat.matrix, dim=(5, 5, 4, 1, 1, 1, 1, 1)))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(path)), array)
