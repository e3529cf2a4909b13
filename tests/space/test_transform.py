"""Transforms: joins, inverses, deformations as ITK computes them, and files that give back every bit."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from comould.errors import FrameMismatchError, GeometryError, InputError
from comould.space import Frame, Transform

frames = st.sampled_from(list(Frame))


@st.composite
def matrices(draw):
    angles = draw(st.tuples(*[st.floats(-180.0, 180.0)] * 3))
    matrix = np.eye(4)
    scales = draw(st.tuples(*[st.floats(0.2, 5.0)] * 3))
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * scales
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-300.0, 300.0)] * 3))
    return matrix


points = st.lists(st.tuples(*[st.floats(-200.0, 200.0)] * 3), min_size=1, max_size=6).map(np.array)


def bspline(seed=0, size=(6, 7, 5), amplitude=2.0):
    """A smooth random deformation over an oblique box, as elastix writes one."""
    transform = sitk.BSplineTransform(3, 3)
    transform.SetTransformDomainOrigin((-20.0, -30.0, 5.0))
    transform.SetTransformDomainPhysicalDimensions((60.0, 80.0, 40.0))
    transform.SetTransformDomainMeshSize([n - 3 for n in size])
    transform.SetTransformDomainDirection(Rotation.from_euler("zx", (25, 10), degrees=True).as_matrix().ravel())
    count = transform.GetNumberOfParameters()
    transform.SetParameters(np.random.default_rng(seed).normal(0.0, amplitude, count).tolist())
    return transform


def domain_points(transform, fractions):
    """Patient points at given fractions of the deformation's domain."""
    direction = np.array(transform.GetTransformDomainDirection()).reshape(3, 3)
    lengths = np.array(transform.GetTransformDomainPhysicalDimensions())
    return np.array(transform.GetTransformDomainOrigin()) + (np.asarray(fractions) * lengths) @ direction.T


@given(matrices(), points)
def test_inverse_undoes(matrix, cloud):
    patient_from_mould = Transform.from_matrix("mould", "patient", matrix)
    back = patient_from_mould.inverse()
    assert back.name == "mould_from_patient"
    np.testing.assert_allclose(back.apply(patient_from_mould.apply(cloud)), cloud, atol=1e-8)
    np.testing.assert_allclose(patient_from_mould.solve_inverse(patient_from_mould.apply(cloud)), cloud, atol=1e-8)


@given(matrices(), matrices(), matrices(), points)
def test_composition_is_associative(first, second, third, cloud):
    a = Transform.from_matrix(Frame.PLANE, Frame.PATIENT, first)
    b = Transform.from_matrix(Frame.SECTION_MM, Frame.PLANE, second)
    c = Transform.from_matrix(Frame.SECTION_PX, Frame.SECTION_MM, third)
    left, right = (a @ b) @ c, a @ (b @ c)
    assert left.name == right.name == "patient_from_section_px"
    one_by_one = a.apply(b.apply(c.apply(cloud)))
    scale = 1.0 + np.abs(one_by_one).max()
    np.testing.assert_allclose(left.apply(cloud), one_by_one, atol=1e-10 * scale)
    np.testing.assert_allclose(right.apply(cloud), one_by_one, atol=1e-10 * scale)


@given(frames, frames, frames, frames)
def test_a_wrong_join_always_raises_and_a_right_one_never(a, b, c, d):
    left, right = Transform.identity(b, a), Transform.identity(d, c)
    if b == c:
        assert (left @ right).name == f"{a}_from_{d}"
        return
    with pytest.raises(FrameMismatchError, match=f"end in {b}, found it ends in {c}. Names must meet"):
        left @ right


@given(matrices(), points)
def test_points_and_matrix_agree_with_simpleitk(matrix, cloud):
    transform = Transform.from_matrix("plane", "patient", matrix)
    np.testing.assert_allclose(transform.matrix, matrix, atol=1e-10)
    theirs = [transform.itk.TransformPoint(tuple(point)) for point in cloud]
    np.testing.assert_allclose(transform.apply(cloud), theirs, atol=1e-9)


@given(st.integers(0, 5), st.lists(st.tuples(*[st.floats(-0.3, 1.3)] * 3), min_size=1, max_size=20))
def test_deformation_equals_itk_inside_and_outside(seed, fractions):
    itk = bspline(seed)
    cloud = domain_points(itk, fractions)
    # Within a rounding error of the border either answer is right.
    edge = np.abs(np.stack([np.array(fractions), 1.0 - np.array(fractions)])).min(axis=(0, 2))
    cloud = cloud[edge > 1e-6]
    assume(len(cloud))
    theirs = [itk.TransformPoint(tuple(point)) for point in cloud]
    np.testing.assert_allclose(Transform(Frame.PLANE, Frame.PATIENT, itk).apply(cloud), theirs, atol=1e-9)


def test_deformation_equals_itk_at_the_edge_of_its_domain():
    itk = sitk.BSplineTransform(3, 3)
    itk.SetTransformDomainPhysicalDimensions((8.0, 8.0, 8.0))
    itk.SetTransformDomainMeshSize((4, 4, 4))
    itk.SetParameters(np.random.default_rng(1).normal(0, 1, itk.GetNumberOfParameters()).tolist())
    ticks = [0.0, 2.0, 5.0, 8.0]
    cloud = np.array([(x, y, z) for x in ticks for y in ticks for z in ticks])
    theirs = np.array([itk.TransformPoint(tuple(point)) for point in cloud])
    ours = Transform(Frame.PLANE, Frame.PATIENT, itk).apply(cloud)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    beyond = np.array([(8.001, 4.0, 4.0), (-0.001, 4.0, 4.0)])
    np.testing.assert_array_equal(Transform(Frame.PLANE, Frame.PATIENT, itk).apply(beyond), beyond)


@pytest.mark.parametrize("order", [1, 2])
def test_other_deformations_fall_back_to_itk(order):
    itk = sitk.BSplineTransform(3, order)
    itk.SetTransformDomainPhysicalDimensions((8.0, 8.0, 8.0))
    itk.SetTransformDomainMeshSize((4, 4, 4))
    itk.SetParameters(np.random.default_rng(2).normal(0, 1, itk.GetNumberOfParameters()).tolist())
    cloud = np.random.default_rng(3).uniform(1, 7, (20, 3))
    theirs = [itk.TransformPoint(tuple(point)) for point in cloud]
    np.testing.assert_array_equal(Transform(Frame.PLANE, Frame.PATIENT, itk).apply(cloud), theirs)


def chain(seed=4):
    """Pixels to patient through a deformation on the slide and a rotation: not linear, three parts."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (80, -20, 40), degrees=True).as_matrix()
    matrix[:3, 3] = (40.0, -60.0, 120.0)
    patient_from_plane = Transform.from_matrix("plane", "patient", matrix)
    plane_from_section_mm = Transform(Frame.SECTION_MM, Frame.PLANE, bspline(seed, amplitude=0.8))
    section_mm_from_px = Transform.scaling("section_px", "section_mm", (0.004, 0.004, 1.0))
    return patient_from_plane, plane_from_section_mm, section_mm_from_px


def test_composition_with_a_deformation_equals_applying_each_and_itk():
    a, b, c = chain()
    whole = a @ b @ c
    assert not whole.is_linear
    cloud = np.column_stack([np.random.default_rng(5).uniform(0, 8000, (50, 2)), np.full(50, 12.0)])
    one_by_one = a.apply(b.apply(c.apply(cloud)))
    np.testing.assert_allclose(whole.apply(cloud), one_by_one, atol=1e-9)
    np.testing.assert_allclose((a @ (b @ c)).apply(cloud), one_by_one, atol=1e-9)
    np.testing.assert_allclose(whole.apply(cloud), [whole.itk.TransformPoint(tuple(p)) for p in cloud], atol=1e-9)


def test_solve_inverse_finds_the_pixels_again():
    a, b, c = chain()
    whole = a @ b @ c
    cloud = np.column_stack([np.random.default_rng(6).uniform(500, 7000, (40, 2)), np.full(40, 15.0)])
    found = whole.solve_inverse(whole.apply(cloud), tolerance=1e-8)
    np.testing.assert_allclose(whole.apply(found), whole.apply(cloud), atol=1e-8)
    np.testing.assert_allclose(found, cloud, atol=1e-3)


def test_solve_inverse_of_a_fold_raises():
    folding = Transform(Frame.SECTION_MM, Frame.PLANE, bspline(7, amplitude=60.0))
    targets = domain_points(folding.itk, np.random.default_rng(8).uniform(0.2, 0.8, (40, 3)))
    with pytest.raises(GeometryError, match=r"expected a residual below 1e-06, found .* at the worst point"):
        folding.solve_inverse(targets)


def test_deformations_have_no_matrix_and_no_closed_inverse():
    deformed = Transform(Frame.SECTION_MM, Frame.PLANE, bspline())
    with pytest.raises(GeometryError, match="expected a linear transform, found a deformable one"):
        deformed.inverse()


def test_no_points_and_flat_points():
    a, b, c = chain()
    assert (a @ b @ c).apply(np.empty((0, 3))).shape == (0, 3)
    np.testing.assert_array_equal(c.apply([[100, 50]]), [[0.4, 0.2, 0.0]])


@pytest.mark.parametrize("suffix", [".h5", ".tfm"])
@pytest.mark.parametrize("linear", [True, False])
def test_files_give_back_every_bit(tmp_path, suffix, linear):
    a, b, c = chain()
    saved = a @ c_as(a, c) if linear else a @ b @ c
    path = saved.save(tmp_path / f"t{suffix}")
    loaded = Transform.load(path)
    assert (loaded.source, loaded.target) == (saved.source, saved.target)
    cloud = np.column_stack([np.random.default_rng(9).uniform(0, 8000, (30, 2)), np.full(30, 9.0)])
    np.testing.assert_array_equal(loaded.apply(cloud), saved.apply(cloud))


def c_as(a, c):
    """The pixel scaling, renamed to end where ``a`` begins."""
    return Transform(Frame.SECTION_PX, a.source, c.itk)


def test_files_name_their_frames_and_nothing_else(tmp_path):
    path = Transform.identity("mould", "patient").save(tmp_path / "t.tfm")
    sidecar = json.loads((tmp_path / "t.tfm.frames.json").read_text())
    assert sidecar == {"source": "mould", "target": "patient", "reads": "patient_from_mould"}
    (tmp_path / "t.tfm.frames.json").unlink()
    with pytest.raises(InputError, match=r"frames.json: expected a file, found none"):
        Transform.load(path)


@pytest.mark.parametrize("sidecar", ["[]", "{}", '{"source": "scanner", "target": "patient"}', "not json"])
def test_broken_sidecars_are_input_errors(tmp_path, sidecar):
    path = Transform.identity("mould", "patient").save(tmp_path / "t.tfm")
    (tmp_path / "t.tfm.frames.json").write_text(sidecar)
    with pytest.raises(InputError, match="expected a saved transform with its frames"):
        Transform.load(path)


def test_broken_transform_files_are_input_errors(tmp_path):
    path = Transform.identity("mould", "patient").save(tmp_path / "t.tfm")
    path.write_text("nothing of use")
    with pytest.raises(InputError, match="expected a saved transform"):
        Transform.load(path)
    with pytest.raises(InputError, match=r"expected suffix \.h5 or \.tfm, found \.txt"):
        Transform.load(tmp_path / "t.txt")
    with pytest.raises(InputError, match=r"found \.H5"):
        Transform.identity("mould", "patient").save(tmp_path / "t.H5")


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(3), "expected a finite 4×4 matrix"),
        (np.full((4, 4), np.nan), "expected a finite 4×4 matrix"),
        (np.diag([1.0, 1.0, 0.0, 1.0]), "expected an invertible matrix"),
        (np.vstack([np.eye(4)[:3], [0, 0, 1, 1]]), "expected last row 0 0 0 1"),
    ],
)
def test_matrices_that_place_nothing_are_refused(matrix, message):
    with pytest.raises(GeometryError, match=message):
        Transform.from_matrix("plane", "patient", matrix)


def test_flat_transforms_are_refused():
    with pytest.raises(GeometryError, match="expected 3 dimensions, found 2"):
        Transform(Frame.PLANE, Frame.PATIENT, sitk.TranslationTransform(2))
