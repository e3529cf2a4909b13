"""Pictures of a registration: bending, uncertainty, landmarks, plane tests and the stack, against known maps."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from matplotlib.colors import to_hex

from comould import pl
from comould.errors import InputError
from comould.io.section import Section
from comould.pl.mapped import MappedLattice, full_px, outlines
from comould.pl.registration_figure import MAGNIFICATIONS, magnification
from comould.pl.section_figure import TISSUE_OUTLINE, SectionScene, not_bare
from comould.pl.style import DARK, LIGHT, OUTLINE, VERDICTS
from comould.space import CutPlane, Grid, SlicePlan, Transform

DOWNSAMPLE, SIZE_UM = 4.0, 25.0


@pytest.fixture(scope="module")
def world():
    """A ball of tissue in a plane, and a slide of a disc of 8 mm radius whose centre comes to the ball's."""
    grid = Grid((40, 40, 10), (1.0, 1.0, 2.0), (-20.0, -20.0, -10.0))
    k, j, i = np.indices(grid.shape)
    points = grid.patient_from_index(np.column_stack([i.ravel(), j.ravel(), k.ravel()]))
    inside = ((points**2).sum(axis=1) < 81.0).reshape(grid.shape)
    image = grid.to_image((points[:, 0] + 60.0 * inside.ravel()).reshape(grid.shape).astype(np.float32))
    plan = SlicePlan(tuple(CutPlane.from_normal(f"P{n}", (0, 0, 4.0 * n), (0, 0, 1)) for n in (0, 1, 2)))
    y, x = np.mgrid[:240, :240]
    disc = (x - 119.5) ** 2 + (y - 119.5) ** 2 < 80.0**2
    picture = np.where(disc[..., None], (180, 90, 150), (244, 243, 245)).astype(np.uint8)
    section = Section("S1", picture, SIZE_UM, DOWNSAMPLE, "P0")
    return SimpleNamespace(
        image=image, mask=grid.to_image(inside.astype(np.uint8)), plan=plan, section=section, disc=disc
    )


def linear(scale=1.0, flipped=False, angle_deg=0.0):
    """The slide's centre to the origin of plane P0."""
    turn = np.deg2rad(angle_deg)
    matrix = np.eye(4)
    matrix[:2, :2] = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    if flipped:
        matrix[:2, 0] *= -1
    matrix[:2, :2] *= scale * SIZE_UM / 1000.0
    centre = full_px(SimpleNamespace(downsample=DOWNSAMPLE), np.array([[119.5, 119.5]]))[0]
    matrix[:2, 3] = -matrix[:2, :2] @ centre
    return Transform.from_matrix("section_px", "patient", matrix)


def bent(amplitude_mm):
    """A displacement (0, a·(x² + y²), 0)/100 in patient mm, as a field of ITK after the linear map."""
    size, spacing, origin = (161, 161, 3), (0.2, 0.2, 10.0), (-16.0, -16.0, -10.0)
    y, x = np.mgrid[: size[1], : size[0]] * 0.2 - 16.0
    field = np.zeros((size[2], size[1], size[0], 3))
    field[..., 1] = amplitude_mm * (x**2 + y**2) / 100.0
    image = sitk.GetImageFromArray(field, isVector=True)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    joined = sitk.CompositeTransform(3)
    joined.AddTransform(sitk.DisplacementFieldTransform(image))
    joined.AddTransform(linear().itk)
    return Transform("section_px", "patient", joined)


def registration(transform, sd=None):
    made = SimpleNamespace(
        section_id="S1", plane_id="P0", patient_from_section_px=transform, quality=SimpleNamespace(verdict="accept")
    )
    if sd is not None:
        made.map_points = lambda px: (transform.apply(px), sd(np.asarray(px)))
    return made


def scene(world, transform, sd=None, **options):
    return SectionScene.of(world.section, registration(transform, sd), world.plan, world.image, world.mask, **options)


def said_in_key(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def gids(ax, gid):
    return [artist for artist in ax.get_children() if artist.get_gid() == gid]


@pytest.mark.parametrize(("flipped", "angle"), [(False, 0), (True, 0), (False, 70), (True, 200)])
def test_outline_lies_where_the_map_takes_the_tissue(world, flipped, angle):
    made = scene(world, linear(1.05, flipped, angle), tissue=world.disc)
    (line,) = made.tissue_outlines
    centre = made.view.from_patient([[0.0, 0.0, 0.0]])[0]
    radius = np.linalg.norm(line - centre, axis=1)
    np.testing.assert_allclose(radius, 1.05 * 8.0, atol=0.06)
    np.testing.assert_array_equal(line[0], line[-1])


def test_outlines_close_at_the_pictures_edge_and_drop_crumbs(world):
    tissue = np.zeros_like(world.disc)
    tissue[:, :100] = True
    tissue[200:203, 200:203] = True
    (line,) = outlines(world.section, tissue, linear(), scene(world, linear()).view)
    np.testing.assert_array_equal(line[0], line[-1])
    assert np.ptp(line[:, 1]) == pytest.approx(24.0, abs=0.3)


def test_both_outlines_are_in_the_pictures_after_registration_only(world):
    made = scene(world, linear(), tissue=world.disc)
    for name, count in (("overlay", 1), ("checker", 1), ("plane", 1), ("before", 0), ("slide", 0)):
        assert len(gids(made.draw(name), "tissue-outline")) == count
    assert TISSUE_OUTLINE != OUTLINE


def test_tissue_is_the_one_given_or_drawn_or_found(world):
    drawn = np.zeros_like(world.disc)
    drawn[100:140, 100:140] = True
    other = replace(world.section, tissue=drawn)
    options = (registration(linear()), world.plan, world.image, world.mask)
    assert SectionScene.of(other, *options).tissue is drawn
    assert SectionScene.of(other, *options, tissue=world.disc).tissue is world.disc
    found = SectionScene.of(world.section, *options).tissue
    assert (found != world.disc).mean() < 0.01
    assert not_bare(np.full((20, 20, 3), 250, np.uint8)).all()


def test_linear_maps_bend_nothing_and_change_no_area(world):
    for transform in (linear(), linear(1.2, True, 40)):
        lattice = scene(world, transform, tissue=world.disc).lattice
        assert np.abs(lattice.bending_mm).max() < 1e-9
        np.testing.assert_allclose(lattice.area_change, 1.0, rtol=1e-9)
    ax = pl.displacement(scene(world, linear(), tissue=world.disc))
    assert gids(ax, "arrows") == []
    assert "nothing bends" in [text.get_text() for text in ax.texts]


def test_bending_and_area_are_those_of_the_known_map(world):
    made = scene(world, bent(2.0), tissue=world.disc)
    lattice = made.lattice
    assert isinstance(lattice, MappedLattice)
    # Mean of r² over a disc of radius R is R²/2: that shift is the linear part, with no slope, turn or scale.
    x, y = (lattice.middles_mm[lattice.inside] - [0.0, 2.0 * 32.0 / 100.0]).T
    np.testing.assert_allclose(lattice.area_change[lattice.inside], 1.0 + 0.04 * y, atol=0.003)
    away = lattice.bending_mm[lattice.inside]
    np.testing.assert_allclose(away[:, 1], 2.0 * (x**2 + y**2 - 32.0) / 100.0, atol=0.02)
    assert np.abs(away[:, 0]).max() < 0.01


def test_folds_show_as_negative_area(world):
    lattice = scene(world, bent(20.0), tissue=world.disc).lattice
    assert lattice.area_change[lattice.inside].min() < 0


def test_displacement_says_its_magnification(world):
    ax = pl.displacement(scene(world, bent(2.0), tissue=world.disc))
    (arrows,) = gids(ax, "arrows")
    said = next(text.get_text() for text in ax.texts if text.get_gid() == "label")
    assert said.startswith(f"arrows ×{round(1 / arrows.scale)}\n")
    (cells,) = gids(ax, "cells")
    low, high = cells.get_clim()
    assert low + high == pytest.approx(2.0)


def test_magnification_is_the_largest_that_fits():
    assert magnification(0.1, 100.0) == MAGNIFICATIONS[0]
    assert magnification(1.0, 50.0) == 5
    assert magnification(1.0, 40.0) == 2
    assert magnification(40.0, 50.0) == 1
    assert magnification(0.0, 50.0) == MAGNIFICATIONS[0]


def test_sd_map_shows_the_deviation_in_space(world):
    def sd(px):
        return np.column_stack([0.3 * np.ones(len(px)), 0.4 * np.ones(len(px)), px[:, 0] * 0.0])

    ax = pl.sd_map(scene(world, linear(), sd, tissue=world.disc))
    (cells,) = gids(ax, "cells")
    values = np.ma.compressed(cells.get_array())
    np.testing.assert_allclose(values, 0.5)
    assert "median\n0.5 mm" in [text.get_text() for text in ax.texts]
    # A quarter of the square around a disc is no tissue.
    assert np.ma.getmaskarray(cells.get_array()).mean() == pytest.approx(1 - np.pi / 4, abs=0.03)
    with pytest.raises(InputError, match=r"registration of 'S1': expected one that states its uncertainty"):
        pl.sd_map(scene(world, linear()))


def pairs(names, section_px, target):
    return SimpleNamespace(names=names, section_px=np.asarray(section_px, float), target=np.asarray(target, float))


def test_landmarks_are_told_apart_and_magnified(world):
    transform = linear()
    px = np.array([[400.0, 420.0], [500.0, 480.0], [560.0, 500.0]])
    came = transform.apply(px)
    held = pairs(("a", "b $x$", "c"), px, came + np.array([0.3, 0.0, 0.0]))
    fitted = pairs(("d",), px[:1], came[:1] - [0.0, 0.2, 0.0])
    made = scene(world, transform)
    ax = pl.landmark_residuals(made, fitted=fitted, held_out=held, times=5)
    (circles,), (squares,) = gids(ax, "held out"), gids(ax, "fitted")
    assert (circles.get_marker(), squares.get_marker()) == ("o", "s")
    assert to_hex(circles.get_mec()) != to_hex(squares.get_mec())
    np.testing.assert_allclose(circles.get_xydata(), made.view.from_patient(held.target))
    lines = [line.get_xydata() for line in gids(ax, "residual")]
    np.testing.assert_allclose([np.linalg.norm(b - a) for a, b in lines], [1.5, 1.5, 1.5, 1.0])
    texts = [text.get_text() for text in ax.texts]
    assert "lines ×5\nup to 0.3 mm" in texts
    assert "b $x$" in texts
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["held out (3)", "fitted (1)"]


def test_landmarks_that_cannot_be_drawn_are_refused(world):
    made = scene(world, linear())
    with pytest.raises(InputError, match="at least one pair"):
        pl.landmark_residuals(made)
    with pytest.raises(InputError, match=r"targets \(n, 3\) in patient mm"):
        pl.landmark_residuals(made, fitted=pairs(("a",), [[1, 2]], [[1, 2]]))


def pose(offset=0.6, sd=0.2, applied=True):
    x = np.arange(-4.0, 4.01, 0.5)
    return SimpleNamespace(
        offset_mm=offset, offset_sd_mm=sd, offsets_mm=tuple(x), applied=applied,
        log_likelihood=tuple(-0.5 * ((x - 0.5) / 0.25) ** 2),
    )  # fmt: skip


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_likelihood_shows_curve_plan_and_what_was_found(theme):
    ax = pl.plane_likelihood(pose(), theme=theme)
    (curve,) = gids(ax, "likelihood")
    np.testing.assert_allclose(curve.get_xdata()[np.argmax(curve.get_ydata())], 0.5)
    assert gids(ax, "planned")[0].get_xdata()[0] == 0.0
    assert gids(ax, "found")[0].get_xdata()[0] == 0.6
    band = gids(ax, "sd")[0].get_extents().transformed(ax.transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((0.4, 0.8))
    assert said_in_key(ax) == ["found +0.6 ± 0.2 mm", "planned"]
    # The key stands above the axes: no curve runs through it.
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1
    assert curve.get_color() == theme.ink


def test_likelihood_says_when_the_pose_was_not_applied_and_refuses_no_curve():
    assert "found −1.0 ± 0.2 mm, not applied" in said_in_key(pl.plane_likelihood(pose(-1.0, applied=False)))
    with pytest.raises(InputError, match="two offsets or more"):
        pl.plane_likelihood(SimpleNamespace(**(vars(pose()) | {"offsets_mm": (), "log_likelihood": ()})))


def test_plane_scores_mark_the_own_and_a_better_one():
    ax = pl.plane_scores({"P1": 1.0, "P2": 1.5, "P3": 1.2}, "P3")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["P1", "P2", "P3"]
    assert [text.get_text() for text in ax.texts] == ["1.00", "1.50 · fits better", "1.20 · its own"]
    colours = {name: gids(ax, name)[0].get_mec() for name in ("P1", "P2", "P3")}
    assert colours == {"P1": LIGHT.muted, "P2": LIGHT.contrast, "P3": LIGHT.accent}
    assert pl.plane_scores({"P1": 1.0}, "P1").get_xlim()[0] < 1.0
    with pytest.raises(InputError, match="at least one plane"):
        pl.plane_scores({}, "P1")


def stacked(**changes):
    table = pd.DataFrame(
        {
            "plane": ["P0", "P1", "P2"], "verdict": ["accept", "review", "reject"], "scale": [1.0, 1.25, 1.0],
            "expected_scale": [1.0, 1.1, 1.2], "offset_mm": [0.1, -0.5, np.nan], "offset_sd_mm": [0.1, 0.2, np.nan],
            "tilt_deg": [1.0, 3.0, np.nan], "best_plane": ["P0", "P1", "P2"],
        },
        index=pd.Index(["a", "b", "c"], name="section"),
    )  # fmt: skip
    return SimpleNamespace(table=table.assign(**changes), shrinkage=0.9)


def test_stack_shows_positions_verdicts_and_the_expected_line(world):
    ax = pl.stack_shrinkage(stacked(), world.plan)
    for verdict, x, y in (("accept", 0.0, 100.0), ("review", 4.0, 80.0), ("reject", 8.0, 100.0)):
        (dots,) = gids(ax, verdict)
        np.testing.assert_allclose(dots.get_xydata(), [[x, y]])
        assert dots.get_color() == VERDICTS[verdict]
    assert len({gids(ax, verdict)[0].get_marker() for verdict in VERDICTS}) == 3
    (line,) = gids(ax, "expected")
    np.testing.assert_allclose(line.get_xydata(), [[0, 100], [4, 100 / 1.1], [8, 100 / 1.2]])
    assert len(pl.stack(stacked(), world.plan).axes) == 3
    assert len(pl.stack(stacked(offset_mm=np.nan), world.plan, theme=DARK).axes) == 1
    offsets = pl.stack_offsets(stacked(), world.plan)
    low, high = offsets.get_ylim()
    assert low == -high
    assert high > 0.7


def test_stack_without_expectation_or_table(world):
    ax = pl.stack_shrinkage(stacked(expected_scale=np.nan), world.plan)
    assert gids(ax, "expected") == []
    with pytest.raises(InputError, match="no tilt_deg"):
        pl.stack(SimpleNamespace(table=stacked().table.drop(columns="tilt_deg"), shrinkage=1.0), world.plan)
    with pytest.raises(InputError, match="found no section"):
        pl.stack(SimpleNamespace(table=stacked().table[:0], shrinkage=1.0), world.plan)
    with pytest.raises(InputError, match="plane id 'P9'"):
        pl.stack(stacked(plane="P9"), world.plan)
