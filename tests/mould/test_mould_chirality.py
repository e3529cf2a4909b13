"""A block with letters on three faces: stored in any order, in any file, it is the same mould, never its mirror image.

NIfTI files and DICOM headers are written here by the test's own arithmetic, so that reader and proof share no code.
"""

from itertools import permutations, product

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from comould import io
from comould.errors import ComouldWarning
from comould.mould import build
from comould.mould.lesion import find_lesion
from comould.mould.parameters import Parameters
from comould.mould.planes import plan_for, resolve_view
from comould.mould.pose import choose_pose
from comould.space import Grid

GLYPHS = {
    "F": ("#####", "#....", "#....", "####.", "#....", "#....", "#...."),
    "R": ("####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"),
    "L": ("#....", "#....", "#....", "#....", "#....", "#....", "#####"),
}
GRID = Grid((38, 44, 26), (1.0, 1.0, 2.0), (-21.3, 14.7, 102.5))
STORAGE = list(product(permutations(range(3)), product((1, -1), repeat=3)))
NEAR_MM = 0.05
SETTINGS = {"plane": "axial", "spacing_mm": 6.0}


def glyph(letter, wide, high):
    """Rows downwards, columns to the right; each pixel ``high`` × ``wide`` voxels."""
    rows = np.array([[mark == "#" for mark in row] for row in GLYPHS[letter]])
    return rows.repeat(high, axis=0).repeat(wide, axis=1)


def letters():
    """A block with F on its superior, R on its left and L on its posterior face, raised by 4 mm; ``(z, y, x)``."""
    mask = np.zeros(GRID.shape, bool)
    z, y, x = (4, 20), (5, 35), (5, 29)
    mask[slice(*z), slice(*y), slice(*x)] = True
    mask[z[1] : z[1] + 2, y[0] + 1 : y[0] + 29, x[0] + 2 : x[0] + 22] = glyph("F", 4, 4)
    # Rows of the two upright letters run down, which is towards −z.
    mask[z[0] + 1 : z[0] + 15, y[0] + 5 : y[0] + 25, x[1] : x[1] + 4] = glyph("R", 4, 2)[::-1, :, None]
    mask[z[0] + 1 : z[0] + 15, y[1] : y[1] + 4, x[0] + 2 : x[0] + 22] = glyph("L", 4, 2)[::-1, None, :]
    return mask


def stored(array, matrix, order, flips):
    """Storage axis n is grid axis ``order[n]``, run backwards where the flip says so: array and patient_from_index."""
    turned = array.transpose([2 - order[2 - n] for n in range(3)])[tuple(slice(None, None, f) for f in flips[::-1])]
    moved = matrix.copy()
    for n, (axis, flip) in enumerate(zip(order, flips, strict=True)):
        moved[:3, n] = matrix[:3, axis] * flip
        if flip < 0:
            moved[:3, 3] += matrix[:3, axis] * (array.shape[2 - axis] - 1)
    return np.ascontiguousarray(turned), moved


def write_nifti(path, array, lps):
    """One NIfTI-1 file with an sform and nothing else."""
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
    head = bytearray(352)
    for offset, kind, values in (
        (0, "<i4", [348]),
        (40, "<i2", [3, *array.shape[::-1], 1, 1, 1, 1]),
        (70, "<i2", [2, 8]),
        (76, "<f4", [1.0, *np.linalg.norm(ras[:3, :3], axis=0)]),
        (108, "<f4", [352.0, 1.0]),
        (252, "<i2", [0, 1]),
        (280, "<f4", ras[:3].ravel()),
    ):
        data = np.array(values, kind).tobytes()
        head[offset : offset + len(data)] = data
    head[123], head[344:348] = 2, b"n+1\0"
    path.write_bytes(bytes(head) + array.astype(np.uint8).tobytes())
    return path


def in_patient(mould, body=None):
    """A mesh of the mould brought back to the patient."""
    mesh = (mould.specimen if body is None else mould.bodies[body]).copy()
    mesh.vertices = mould.mould_from_patient.inverse().apply(mesh.vertices)
    return mesh


def apart(one, other, hard=25):
    """Largest distance, both ways, of the vertices of one surface from the other surface; mm.

    Vertices without a partner (the same flat face may be cut into other triangles) are measured to the triangles: the
    ``hard`` ones with the farthest partners.
    """
    from trimesh.proximity import closest_point_naive

    worst = 0.0
    for mesh, to in ((one, other), (other, one)):
        distance = cKDTree(to.vertices).query(mesh.vertices)[0]
        lonely = np.argsort(distance)[::-1][:hard]
        lonely = lonely[distance[lonely] > 0.5 * NEAR_MM]
        if len(lonely):
            distance[lonely] = closest_point_naive(to, np.asarray(mesh.vertices)[lonely])[1]
        worst = max(worst, float(distance.max() if len(lonely) < hard else distance[lonely].max()))
    return worst


def far(one, other):
    """Largest distance of a vertex of one surface from the nearest one of the other; mm."""
    return float(cKDTree(other.vertices).query(one.vertices)[0].max())


def mirrored(mesh):
    """Reflect a surface left to right about its own middle."""
    other = mesh.copy()
    x = np.asarray(other.vertices)
    middle = 0.5 * (x[:, 0].min() + x[:, 0].max())
    other.vertices = x * [-1, 1, 1] + [2 * middle, 0, 0]
    return other


def planes_of(plan):
    return np.array([[p.origin_mm, p.u, p.v, p.normal] for p in plan])


def same_mould(mould, truth):
    """Body and specimen lie where the truth's do, and far from its mirror image; planes and pose are the same."""
    assert np.linalg.det(mould.mould_from_patient.matrix[:3, :3]) == pytest.approx(1.0)
    np.testing.assert_allclose(mould.mould_from_patient.matrix, truth.mould_from_patient.matrix, atol=2e-3)
    np.testing.assert_allclose(planes_of(mould.plan), planes_of(truth.plan), atol=2e-3)
    assert [p.id for p in mould.plan] == [p.id for p in truth.plan]
    specimen = in_patient(mould)
    assert apart(specimen, in_patient(truth)) < NEAR_MM
    assert far(specimen, mirrored(in_patient(truth))) > 2.0
    assert list(mould.bodies) == list(truth.bodies)
    for name, body in mould.bodies.items():
        assert apart(in_patient(mould, name), in_patient(truth, name)) < NEAR_MM
        assert body.volume == pytest.approx(truth.bodies[name].volume, rel=1e-3)


@pytest.fixture(scope="module")
def image():
    return GRID.to_image(letters())


@pytest.fixture(scope="module")
def truth(image):
    return build(image, **SETTINGS)


def test_no_rotation_brings_the_letters_onto_their_mirror_image():
    cubes = letters().repeat(2, axis=0)
    box = np.argwhere(cubes)
    cubes = cubes[tuple(slice(a, b + 1) for a, b in zip(box.min(axis=0), box.max(axis=0), strict=True))]
    side = max(cubes.shape)
    room = np.zeros((side, side, side), bool)
    room[tuple(slice((side - n) // 2, (side - n) // 2 + n) for n in cubes.shape)] = cubes
    best = {1: 0.0, -1: 0.0}
    for order, flips in STORAGE:
        turned = room.transpose(order)[tuple(slice(None, None, f) for f in flips)]
        handed = round(np.linalg.det(np.eye(3)[list(order)])) * int(np.prod(flips))
        best[handed] = max(best[handed], 2.0 * float((turned & room).sum()) / float(2 * room.sum()))
    assert best[1] == 1.0
    assert best[-1] < 0.97


def test_all_48_nifti_storage_orders_give_the_same_specimen_planes_and_pose(tmp_path, image):
    reference = find_lesion(image)
    size = Parameters.model_validate({"spacing_mm": 6.0})
    views = {plane: resolve_view(plane, reference.grid) for plane in ("axial", "sagittal", "image", "0.3,0.2,1")}
    plans = {plane: planes_of(plan_for(reference, view, size)) for plane, view in views.items()}
    rotation = choose_pose(reference, views["axial"]).rotation
    handed = []
    for n, (order, flips) in enumerate(STORAGE):
        array, matrix = stored(letters(), GRID.matrix, order, flips)
        handed.append(np.sign(np.linalg.det(matrix[:3, :3])))
        lesion = find_lesion(io.read_segmentation(write_nifti(tmp_path / "seg.nii", array, matrix)))
        # The very same voxels in the very same order: all that follows is the same but for the header's float32.
        np.testing.assert_array_equal(lesion.mask, reference.mask)
        assert not reference.grid.difference(lesion.grid, 1e-4)
        for plane, wanted in plans.items():
            found = plan_for(lesion, resolve_view(plane, lesion.grid), size)
            np.testing.assert_allclose(planes_of(found), wanted, atol=1e-4)
        if n % 6 == 5:
            pose = choose_pose(lesion, resolve_view("axial", lesion.grid))
            np.testing.assert_allclose(pose.rotation, rotation, atol=1e-6)
    assert (handed.count(1.0), handed.count(-1.0)) == (24, 24)


@pytest.mark.parametrize("case", [(2, 0, 1, -1, 1, 1), (1, 0, 2, 1, -1, -1)])
def test_whole_moulds_from_nifti(tmp_path, truth, case):
    array, matrix = stored(letters(), GRID.matrix, case[:3], case[3:])
    seg = io.read_segmentation(write_nifti(tmp_path / "seg.nii", array, matrix))
    same_mould(build(seg, **SETTINGS), truth)


@pytest.mark.slow
@pytest.mark.parametrize("case", STORAGE)
def test_whole_moulds_from_all_48_nifti_storage_orders(tmp_path, truth, case):
    array, matrix = stored(letters(), GRID.matrix, *case)
    seg = io.read_segmentation(write_nifti(tmp_path / "seg.nii", array, matrix))
    same_mould(build(seg, **SETTINGS), truth)


@pytest.mark.slow
@pytest.mark.parametrize("case", STORAGE[::7])
def test_whole_moulds_of_cubic_voxels(tmp_path, case):
    """Nothing but positions tells the axes apart: no storage order may matter even so."""
    array = letters().repeat(2, axis=0)
    grid = Grid(array.shape[::-1], (1.0, 1.0, 1.0), (-21.3, 14.7, 102.5))
    settings = {"plane": "axial", "spacing_mm": 5.0, "clearance_mm": 0.8}
    turned, matrix = stored(array, grid.matrix, *case)
    seg = io.read_segmentation(write_nifti(tmp_path / "seg.nii", turned, matrix))
    same_mould(build(seg, **settings), build(grid.to_image(array), **settings))


def test_a_left_handed_image_in_memory_gives_the_same_mould(image, truth):
    flipped = sitk.Flip(image, (True, False, False))
    assert np.linalg.det(np.reshape(flipped.GetDirection(), (3, 3))) < 0
    with pytest.warns(ComouldWarning, match="stored left-handed"):
        mould = build(flipped, image=image, **SETTINGS)
    same_mould(mould, truth)


def test_a_mirrored_patient_is_another_mould(truth):
    """The array turned round and the header left alone: what a careless script does."""
    other = build(GRID.to_image(letters()[:, :, ::-1]), **SETTINGS)
    assert far(in_patient(other), in_patient(truth)) > 2.0
    with pytest.raises(AssertionError):
        same_mould(other, truth)


# DICOM

TILT = np.eye(4)
TILT[:3, :3] = Rotation.from_rotvec(np.radians(17.0) * np.array([2.0, -1.0, 2.0]) / 3.0).as_matrix()
ORIENTATIONS = [((a + 1) % 3, (a + 2) % 3, a, 1, way, way) for a in (2, 0, 1) for way in (1, -1)]
NAMES = ["axial", "axial reversed", "sagittal", "sagittal reversed", "coronal", "coronal reversed"]


def write_series(folder, array, matrix):
    """A CT series by the standard's own words: position and direction cosines of each slice; file names at random."""
    folder.mkdir()
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    for k, name in enumerate(np.random.default_rng(1).permutation(len(array))):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_ = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        slice_.update(_patient())
        slice_.SOPClassUID, slice_.SOPInstanceUID, slice_.Modality = CTImageStorage, meta[0x20003].value, "CT"
        slice_.SeriesInstanceUID, slice_.StudyInstanceUID, slice_.FrameOfReferenceUID = series, study, frame
        # Numbered from the far end, with a thickness that is not the distance.
        slice_.SeriesNumber, slice_.InstanceNumber, slice_.SliceThickness = 1, len(array) - k, 9
        slice_.PositionReferenceIndicator = ""
        slice_.ImagePositionPatient = [f"{x:.9g}" for x in matrix[:3, 2] * k + matrix[:3, 3]]
        slice_.ImageOrientationPatient = [f"{x:.9g}" for x in (matrix[:3, :2] / spacing[:2]).T.ravel()]
        slice_.PixelSpacing = [f"{spacing[1]:.9g}", f"{spacing[0]:.9g}"]
        slice_.Rows, slice_.Columns, slice_.SamplesPerPixel = *array.shape[1:], 1
        slice_.PhotometricInterpretation, slice_.PixelRepresentation = "MONOCHROME2", 1
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 16, 16, 15
        slice_.RescaleSlope, slice_.RescaleIntercept = 1, 0
        slice_.PixelData = (array[k] * 50).astype("<i2").tobytes()
        slice_.save_as(folder / f"{name:03d}", enforce_file_format=True)
    return folder


def _patient():
    from pydicom.dataset import Dataset

    who = Dataset()
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(who, name, "")
    for name in ("StudyDate", "StudyTime", "ReferringPhysicianName", "Manufacturer"):
        setattr(who, name, "")
    return who


def write_seg(path, series, mask):
    """A DICOM SEG by highdicom, its frames in the order of the instance numbers."""
    sources = sorted((pydicom.dcmread(file) for file in series.iterdir()), key=lambda d: -d.InstanceNumber)
    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="letters",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )
    hd.seg.Segmentation(
        source_images=sources,
        pixel_array=mask.astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[description],
        series_instance_uid=hd.UID(),
        series_number=9,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="1",
        device_serial_number="1",
    ).save_as(path)
    return path


def write_rtstruct(path, mask, matrix):
    """An RTSTRUCT with the outlines of each slice, holes after the outlines they lie in."""
    from pydicom.dataset import Dataset
    from skimage.measure import find_contours

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = RTStructureSetStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    struct = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    struct.update(_patient())
    struct.SOPClassUID, struct.SOPInstanceUID, struct.Modality = RTStructureSetStorage, meta[0x20003].value, "RTSTRUCT"
    struct.SeriesInstanceUID, struct.StudyInstanceUID = generate_uid(), generate_uid()
    roi, drawn = Dataset(), Dataset()
    roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = 1, "letters", "MANUAL"
    drawn.ReferencedROINumber, drawn.ContourSequence = 1, []
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        for line in find_contours(np.pad(mask[k], 1).astype(float), 0.5):
            index = np.column_stack([line[:-1, 1] - 1, line[:-1, 0] - 1, np.full(len(line) - 1, k)])
            points = index @ matrix[:3, :3].T + matrix[:3, 3]
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
            contour.ContourData = [f"{x:.4f}" for x in points.ravel()]
            drawn.ContourSequence.append(contour)
    struct.StructureSetROISequence, struct.ROIContourSequence = [roi], [drawn]
    struct.save_as(path, enforce_file_format=True)
    return path


def as_dicom(folder, case, tilt=None):
    """A series of the letters in one orientation, and its segmentation as SEG and as RTSTRUCT: image and two masks."""
    whole = GRID.matrix if tilt is None else tilt @ GRID.matrix
    array, matrix = stored(letters(), whole, case[:3], case[3:])
    image = io.read_image(write_series(folder / "ct", array, matrix))
    seg = io.read_segmentation(write_seg(folder / "seg.dcm", folder / "ct", array), image=image)
    struct = io.read_segmentation(write_rtstruct(folder / "struct.dcm", array, matrix), image=image)
    return image, seg, struct


@pytest.mark.parametrize("case", ORIENTATIONS, ids=NAMES)
def test_dicom_in_every_orientation_gives_the_same_specimen_and_planes(tmp_path, image, case):
    reference = find_lesion(image)
    size = Parameters.model_validate({"spacing_mm": 6.0})
    wanted = planes_of(plan_for(reference, resolve_view("axial", reference.grid), size))
    _, *masks = as_dicom(tmp_path, case)
    for seg in masks:
        lesion = find_lesion(seg)
        np.testing.assert_array_equal(lesion.mask, reference.mask)
        assert not reference.grid.difference(lesion.grid, 1e-4)
        found = plan_for(lesion, resolve_view("axial", lesion.grid), size)
        np.testing.assert_allclose(planes_of(found), wanted, atol=1e-4)


@pytest.mark.parametrize("case", ORIENTATIONS[1::2], ids=NAMES[1::2])
def test_an_oblique_patient_in_every_orientation_keeps_its_planes(tmp_path, image, case):
    """The whole scene turned by 17°: the acquisition's own planes turn with it."""
    reference = find_lesion(image)
    size = Parameters.model_validate({"spacing_mm": 6.0})
    wanted = planes_of(plan_for(reference, resolve_view("image", reference.grid), size))
    turned = wanted @ TILT[:3, :3].T
    _, *masks = as_dicom(tmp_path, case, TILT)
    for seg in masks:
        lesion = find_lesion(seg)
        np.testing.assert_array_equal(lesion.mask, reference.mask)
        found = planes_of(plan_for(lesion, resolve_view("image", lesion.grid), size))
        np.testing.assert_allclose(found[:, 1:], turned[:, 1:], atol=1e-6)
        # The planes are the same ones; each one's origin is the specimen's middle as seen along the patient's axes.
        along = np.einsum("nk,nk->n", found[:, 0] - turned[:, 0], found[:, 3])
        np.testing.assert_allclose(along, 0.0, atol=1e-4)


def oblique_mould(folder, case, truth_at):
    """Build from an oblique series; the result turned back, and the truth of the upright scene."""
    scan, seg, _ = as_dicom(folder, case, TILT)
    found = in_patient(build(seg, image=scan, **(SETTINGS | {"plane": "image"})))
    found.apply_transform(np.linalg.inv(TILT))
    assert apart(found, truth_at) < NEAR_MM
    assert far(found, mirrored(truth_at)) > 2.0


def test_whole_mould_of_an_oblique_series(tmp_path, truth):
    oblique_mould(tmp_path, ORIENTATIONS[3], in_patient(truth))


@pytest.mark.slow
@pytest.mark.parametrize("case", ORIENTATIONS, ids=NAMES)
def test_whole_moulds_from_dicom_in_every_orientation(tmp_path, truth, case):
    (tmp_path / "upright").mkdir()
    (tmp_path / "oblique").mkdir()
    scan, *masks = as_dicom(tmp_path / "upright", case)
    for seg in masks:
        same_mould(build(seg, image=scan, **SETTINGS), truth)
    oblique_mould(tmp_path / "oblique", case, in_patient(truth))
