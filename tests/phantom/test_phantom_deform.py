"""The way from section pixels to the patient: exact, invertible, turned, mirrored and shrunk as said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comould.errors import InputError
from comould.phantom import PRESETS, CutOptions, deform
from comould.phantom.knife import LATTICE_MM, specimen_in_cut, true_cut
from comould.phantom.shape import Body
from comould.space import CutPlane, Frame, Transform

BODY = Body.draw(np.random.default_rng(0), 60.0, np.array([50.0, 45.0, 40.0]), np.array([-35.0, 12.0, -140.0]))
PLANE = CutPlane.from_normal("P01", (-35.0, 12.0, -142.0), (0.1, -0.2, 1.0))


def placed(seed: int = 0, plane: CutPlane = PLANE, **options) -> deform.Placement:
    chosen = CutOptions(**options)
    rng = np.random.default_rng(seed)
    cut = true_cut(plane, BODY, chosen, rng)
    tearing = np.random.default_rng(seed + 1)
    return deform.place(cut, specimen_in_cut(BODY, cut.patient_from_cut), chosen, rng, tearing)


def slide_lattice(placement: deform.Placement, n: int = 25) -> np.ndarray:
    """Full-resolution pixels over the whole working image (downsample 5 by default)."""
    x, y = (np.linspace(0.0, size * 5.0 - 1.0, n) for size in placement.size_px)
    return np.column_stack([axis.ravel() for axis in np.meshgrid(x, y)])


def in_plane_jacobian(placement: deform.Placement, points_px: np.ndarray) -> np.ndarray:
    to_plane = placement.cut_from_section_px
    step = 0.5
    columns = [
        (to_plane.apply(points_px + shift) - to_plane.apply(points_px - shift))[:, :2] / (2 * step)
        for shift in (np.array([step, 0.0]), np.array([0.0, step]))
    ]
    return np.stack(columns, axis=-1)


def test_frames_and_plane(sections, plan):
    for cut in sections:
        truth = cut.patient_from_section_px
        assert (truth.source, truth.target) == (Frame.SECTION_PX, Frame.PATIENT)
        height, width = cut.section.image.shape[:2]
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) * cut.section.downsample
        plane = plan[cut.section.plane_id]
        np.testing.assert_allclose(plane.distance_mm(truth.apply(corners)), 0.0, atol=1e-9)


@settings(max_examples=6)
@given(seed=st.integers(0, 2**32 - 1), bending=st.floats(0.0, 1.2))
def test_map_never_folds_and_can_be_turned_round(seed, bending):
    placement = placed(seed, bending_mm=bending)
    points = slide_lattice(placement, 12)
    patient = placement.patient_from_section_px.apply(points)
    on_tissue = BODY.level_mm(patient) <= 0.0
    points, patient = points[on_tissue], patient[on_tissue]
    determinant = np.linalg.det(in_plane_jacobian(placement, points))
    sign = -1.0 if placement.flipped else 1.0
    assert (sign * determinant > 0.0).all()
    back = placement.patient_from_section_px.solve_inverse(patient, tolerance=1e-7)
    np.testing.assert_allclose(back[:, :2], points, atol=1e-3)


def test_both_faces_occur_and_mirror():
    found = {placed(seed).flipped for seed in range(8)}
    assert found == {True, False}
    assert not any(placed(seed, flip=False).flipped for seed in range(4))
    other = CutPlane(PLANE.id, PLANE.origin_mm, PLANE.normal, PLANE.u, PLANE.v, face="+")
    assert all(placed(seed, plane=other, flip=False).flipped for seed in range(4))


def test_angles_cover_the_circle():
    angles = np.array([placed(seed, bending_mm=0.0).angle_deg for seed in range(24)])
    assert np.histogram(angles, bins=4, range=(0, 360))[0].min() >= 1
    assert placed(0, rotate=False).angle_deg == 0.0


@pytest.mark.parametrize("shrinkage", [0.0, 0.06, 0.15])
def test_linear_part_is_shrinkage_rotation_and_flip(shrinkage):
    placement = placed(3, bending_mm=0.0, anisotropy=0.0, shrinkage=shrinkage)
    assert placement.patient_from_section_px.is_linear
    linear = placement.cut_from_section_px.matrix[:2, :2] / 0.01
    turn = np.deg2rad(placement.angle_deg)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    flip = np.diag([-1.0 if placement.flipped else 1.0, 1.0])
    np.testing.assert_allclose(linear, rotation @ flip / (1.0 - shrinkage), atol=1e-9)


def test_unrotated_section_is_the_plane_as_imaged():
    placement = placed(1, bending_mm=0.0, anisotropy=0.0, shrinkage=0.0, rotate=False, flip=False)
    first, right, down = placement.patient_from_section_px.apply([[0, 0], [100, 0], [0, 100]])
    np.testing.assert_allclose(right - first, np.array(PLANE.u), atol=1e-9)
    np.testing.assert_allclose(down - first, np.array(PLANE.v), atol=1e-9)


@pytest.mark.parametrize("bending", [0.5, 1.0, 1.4])
def test_bending_has_the_stated_size_and_no_affine_part(bending):
    tissue = specimen_in_cut(BODY, PLANE.patient_from_plane)
    centre = (tissue.min(axis=0) + tissue.max(axis=0)) / 2
    bend = deform._bending(tissue, centre, CutOptions(bending_mm=bending), np.random.default_rng(2))
    moved = bend.apply(tissue)[:, :2] - tissue
    assert np.sqrt(np.mean(np.sum(moved**2, axis=1))) == pytest.approx(bending, rel=1e-6)
    affine, *_ = np.linalg.lstsq(np.column_stack([np.ones(len(tissue)), tissue]), moved, rcond=None)
    np.testing.assert_allclose(affine, 0.0, atol=1e-8)
    lifted = bend.apply(np.column_stack([tissue, np.full(len(tissue), 3.0)]))
    np.testing.assert_allclose(lifted[:, :2] - tissue, moved, atol=1e-12)
    np.testing.assert_allclose(lifted[:, 2], 3.0)


def test_folding_is_refused():
    with pytest.raises(InputError, match=r"bending_mm 12: expected .* folds or nearly folds"):
        placed(0, bending_mm=12.0)


def test_a_draw_that_folds_is_drawn_anew():
    """At 2.6 mm some first draws fold; every section still comes out, and sound."""
    tissue = specimen_in_cut(BODY, PLANE.patient_from_plane)
    centre, options = (tissue.min(axis=0) + tissue.max(axis=0)) / 2, CutOptions(bending_mm=2.6)
    empty = deform._empty_spline(tissue, centre, options)
    first = [deform._draw(empty, tissue, 2.6, np.random.default_rng(seed)) for seed in range(10)]
    least = [deform._least_determinant(bend, tissue, 6.0) for bend in first]
    seed = int(np.argmin(least))
    assert least[seed] < deform.LEAST_DETERMINANT
    again = deform._bending(tissue, centre, options, np.random.default_rng(seed))
    assert deform._least_determinant(again, tissue, 6.0) >= deform.LEAST_DETERMINANT


def test_small_caps_bend_less():
    cap = CutPlane.from_normal("cap", BODY.surface_mm()[np.argmax(BODY.surface_mm()[:, 2])] - [0, 0, 1.5], (0, 0, 1))
    tissue = specimen_in_cut(BODY, cap.patient_from_plane)
    bend = deform._bending(tissue, tissue.mean(axis=0), CutOptions(), np.random.default_rng(0))
    radius = np.sqrt(len(tissue) * LATTICE_MM**2 / np.pi)
    assert radius < 15.0
    moved = np.linalg.norm(bend.apply(tissue)[:, :2] - tissue, axis=1)
    assert np.sqrt(np.mean(moved**2)) == pytest.approx(radius / 15.0, rel=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_tissue_keeps_its_margin_on_the_slide(seed):
    placement = placed(seed, margin_mm=3.0)
    x, y = (np.arange(0.0, size * 5.0, 20.0) for size in placement.size_px)
    points = np.column_stack([axis.ravel() for axis in np.meshgrid(x, y)])
    tissue = points[BODY.level_mm(placement.patient_from_section_px.apply(points)) <= 0.0]
    size = np.array(placement.size_px) * 5.0
    bare = np.concatenate([tissue.min(axis=0), size - tissue.max(axis=0)]) * 0.01
    assert bare.min() > 2.7
    assert bare.max() < 6.0


def test_truth_survives_a_file(tmp_path):
    truth = placed(5).patient_from_section_px
    again = Transform.load(truth.save(tmp_path / "truth.h5"))
    points = np.array([[100.0, 200.0, 0.0], [2500.0, 1800.0, 0.0]])
    np.testing.assert_array_equal(again.apply(points), truth.apply(points))


@pytest.mark.parametrize("seed", range(3))
def test_hard_sections_show_every_bit_of_tissue_once(seed):
    """Area on the slide times the determinant is the area of the cut, and the truth can be turned round."""
    placement = placed(seed, **{**PRESETS["hard"], "offset_mm": 0.0, "tilt_deg": 0.0})
    points = slide_lattice(placement, 160)
    patient = placement.patient_from_section_px.apply(points)
    inside = BODY.level_mm(patient) <= 0.0
    determinant = np.linalg.det(in_plane_jacobian(placement, points[inside]))
    assert (np.sign(determinant) == (-1.0 if placement.flipped else 1.0)).all()
    cell = np.prod(np.ptp(points, axis=0) / 159)
    area = len(specimen_in_cut(BODY, placement.patient_from_cut)) * LATTICE_MM**2
    assert np.abs(determinant).sum() * cell == pytest.approx(area, rel=0.01)
    back = placement.patient_from_section_px.solve_inverse(patient[inside][::40])
    np.testing.assert_allclose(back[:, :2], points[inside][::40], atol=1e-3)


def test_longer_waves_bend_more_gently():
    """The same displacement in longer waves strains the tissue less."""
    tissue = specimen_in_cut(BODY, PLANE.patient_from_plane)
    least = {}
    for cell in (13.0, 26.0):
        empty = deform._empty_spline(tissue, tissue.mean(axis=0), CutOptions(bending_cell_mm=cell))
        draws = [deform._draw(empty, tissue, 2.0, np.random.default_rng(seed)) for seed in range(12)]
        least[cell] = np.median([np.linalg.det(deform._jacobian(bend, tissue[::7])).min() for bend in draws])
    assert least[26.0] > least[13.0] + 0.05


def test_strong_bending_of_small_sections_is_scaled_down_further():
    cap = CutPlane.from_normal("cap", BODY.surface_mm()[np.argmax(BODY.surface_mm()[:, 2])] - [0, 0, 2.5], (0, 0, 1))
    tissue = specimen_in_cut(BODY, cap.patient_from_plane)
    options = CutOptions.preset("hard")
    bend = deform._bending(tissue, tissue.mean(axis=0), options, np.random.default_rng(0))
    radius = np.sqrt(len(tissue) * LATTICE_MM**2 / np.pi)
    moved = np.linalg.norm(bend.apply(tissue)[:, :2] - tissue, axis=1)
    assert np.sqrt(np.mean(moved**2)) == pytest.approx(3.0 * radius / 21.0, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_every_section_can_be_drawn(difficulty):
    options = CutOptions.preset(difficulty)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        body = Body.draw(rng, 60.0, np.array([50.0, 45.0, 40.0]), np.array([-35.0, 12.0, -140.0]))
        heights = body.surface_mm()[:, 2]
        for z in np.arange(heights.min() + 1.5, heights.max(), 5.0):
            plane = CutPlane.from_normal("P", (-35.0, 12.0, z), (0, 0, 1))
            cut = true_cut(plane, body, options, rng)
            tissue = specimen_in_cut(body, cut.patient_from_cut)
            if len(tissue) * LATTICE_MM**2 > 20.0:
                assert min(deform.place(cut, tissue, options, rng).size_px) > 50
