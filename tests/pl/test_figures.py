"""What the figures show, on the phantom: data, limits, colours, names; nothing leaks into matplotlib's globals."""

import subprocess
import sys
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy.ndimage import binary_fill_holes

from comould import pl
from comould.errors import InputError
from comould.pl import associations_figure, error_figure, habitats_figure
from comould.pl.mould_figure import VIEWS, compass, mould_picture
from comould.pl.section_figure import SectionScene, background, slide_view, warp
from comould.pl.spots_figure import spot_values
from comould.pl.style import HABITATS, habitat_colour, new_figure
from comould.pl.view import View, mask_points
from comould.space import Transform

LETTERS = {"letter-left": "R", "letter-right": "L", "letter-top": "A", "letter-bottom": "P"}


def gids(ax, prefix):
    return {t.get_gid(): t.get_text() for t in ax.texts if (t.get_gid() or "").startswith(prefix)}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(5)
    rows = [
        {
            "feature": f"G{n}",
            "kind": "gene",
            "habitat": f"H{1 + n % 3}",
            "log2_fold_change": rng.normal(),
            "statistic": 0.1,
            "p_naive": 1e-6 if n < 20 else 0.5,
            "p_spatial": 1e-3 if n < 5 else 0.4,
            "q_naive": 1e-5 if n < 20 else 0.6,
            "q_spatial": 0.01 if n < 5 else 0.5,
        }
        for n in range(40)
    ]
    rows.append({**rows[0], "feature": "my $set$", "kind": "geneset", "log2_fold_change": np.nan})
    rows.append({**rows[9], "p_spatial": np.nan, "q_spatial": np.nan, "feature": "untested"})
    return pd.DataFrame(rows)


def test_importing_the_namespace_is_cheap():
    heavy = ("matplotlib", "scipy", "SimpleITK", "anndata")
    code = f"import sys, comould.pl; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
    assert set(pl.__all__) == set(dir(pl))
    with pytest.raises(AttributeError, match="no attribute 'pie'"):
        _ = pl.pie


def test_no_global_state_and_no_pyplot(case, table):
    before = dict(mpl.rcParams)
    pl.plane(case.image, case.mask, case.plan["P01"])
    pl.volcano(table)
    assert dict(mpl.rcParams) == before
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        assert pyplot.get_fignums() == []


def test_planes_show_every_plane_and_where_it_lies(case):
    figure = pl.planes(case.image, case.mask, case.plan)
    assert isinstance(figure, Figure)
    overview, *panels = figure.axes
    assert [gids(p, "label")["label"] for p in panels] == ["P01", "P02"]
    assert all(gids(p, "letter") == LETTERS for p in panels)
    assert gids(overview, "letter") == {**LETTERS, "letter-top": "S", "letter-bottom": "I"}
    view = View.of_plane(case.plan["P01"], mask_points(case.mask))
    assert panels[0].get_xlim() == pytest.approx(view.x_mm)
    assert panels[0].get_ylim() == pytest.approx(view.y_mm[::-1])
    lines = {
        line.get_gid(): np.array(line.get_xydata()) for line in overview.lines if "plane-" in (line.get_gid() or "")
    }
    assert set(lines) == {"plane-P01", "plane-P02"}
    apart = lines["plane-P01"][:, 1].mean() - lines["plane-P02"][:, 1].mean()
    assert apart == pytest.approx(6.0)
    assert np.ptp(lines["plane-P01"][:, 1]) == pytest.approx(0.0, abs=1e-9)


def test_plane_draws_the_image_itself(case):
    plane = case.plan["P02"]
    view = View.of_plane(plane, mask_points(case.mask))
    ax = pl.plane(case.image, case.mask, plane)
    shown = ax.images[0]
    assert shown.get_extent() == pytest.approx(list(view.extent))
    np.testing.assert_allclose(
        shown.get_array().filled(np.nan), view.sample(case.image, 0.3), equal_nan=True, rtol=1e-6
    )


def test_the_truth_lays_a_section_onto_its_outline(case):
    """Warped by the true transform, a flipped and turned slide's tissue fills the specimen's outline."""
    for cut, registration in zip(case.cuts, case.registrations, strict=True):
        scene = SectionScene.of(cut.section, registration, case.plan, case.image, case.mask)
        inside = scene.view.sample(case.mask, 0.4, linear=False, outside=0.0) > 0
        overlap = []
        for transform in (cut.patient_from_section_px, scene.patient_from_section_px_nothing):
            colour = scene.warped(transform, 0.4)
            tissue = binary_fill_holes(np.isfinite(colour[..., 0]) & ~background(colour))
            overlap.append(2 * (tissue & inside).sum() / (tissue.sum() + inside.sum()))
        assert overlap[0] > 0.92
        assert overlap[0] > overlap[1] + 0.02


def test_warp_is_exact_for_a_linear_transform(case):
    """A picture whose colours are its coordinates, turned and flipped, says where every pixel came from."""
    section = case.cuts[0].section
    y, x = np.mgrid[:200, :250]
    picture = np.dstack([x, y, 0 * x]).astype(np.uint8)
    coded = SimpleNamespace(image=picture, downsample=4.0, image_pixel_mm=0.08, pixel_size_um=20.0)
    plane = case.plan["P01"]
    turn = np.deg2rad(33.0)
    flat = np.eye(4)
    flat[:2, :2] = 0.02 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([-1, 1])
    transform = plane.patient_from_plane @ Transform.from_matrix("section_px", "plane", flat)
    view = slide_like(plane, transform)
    warped = warp(coded, transform, view, 0.1)
    known = np.isfinite(warped[..., 0])
    px = transform.inverse().apply(view.points_mm(0.1).reshape(-1, 3)).reshape(*known.shape, 3)
    working = (px[..., :2] + 0.5) / 4.0 - 0.5
    core = known & np.all((working > 2) & (working < [247, 197]), axis=2)
    assert core.mean() > 0.2
    np.testing.assert_allclose(255 * warped[core][:, :2], working[core], atol=0.05)
    assert section.image.dtype == np.uint8


def slide_like(plane, transform):
    corners = transform.apply([[0, 0], [1000, 0], [0, 800], [1000, 800]])
    return View.of_plane(plane, corners)


def test_slide_letters_follow_the_registration(case):
    cut = case.cuts[0]
    view = slide_view(cut.section, cut.patient_from_section_px)
    centre = 0.5 * np.array(cut.section.image.shape[1::-1]) * cut.section.downsample
    step = cut.patient_from_section_px.apply([centre, centre + np.array([50.0, 0.0])])
    assert view.edge_letters["right"][0] in "LRAP"
    assert (step[1] - step[0]) @ view.right > 0


def test_section_panels(case):
    figure = pl.section(case.cuts[0].section, case.registrations[0], case.plan, case.image, case.mask)
    assert len(figure.axes) == 5
    assert "accept" in figure.axes[0].get_title(loc="left")
    assert gids(figure.axes[3], "letter") == LETTERS


@pytest.mark.parametrize("view", VIEWS)
def test_mould_views_show_the_specimen(mould, view):
    picture = mould_picture(mould, view, width_px=160)
    red = (picture.rgba[..., 3] > 0.9) & (picture.rgba[..., 0] > picture.rgba[..., 2] + 0.1)
    assert red.mean() > 0.04
    assert np.linalg.det(picture.camera.matrix) == pytest.approx(1.0)


def test_mould_cut_looks_across_the_slots(mould):
    picture = mould_picture(mould, "front", width_px=80)
    slicing = mould.mould_from_patient.matrix[:3, :3] @ mould.plan.normal
    assert abs(picture.camera.forward @ slicing) < 1e-9


def test_compass_points_where_the_patient_does(mould):
    ax = pl.mould_view(mould, "top", width_px=80)
    camera = mould_picture(mould, "top", width_px=40).camera
    pointing = compass(ax, camera, mould.mould_from_patient.matrix[:3, :3])
    for letter, patient in (("L", (1, 0, 0)), ("A", (0, -1, 0)), ("S", (0, 0, 1))):
        direction = mould.mould_from_patient.matrix[:3, :3] @ patient
        assert pointing[letter] == pytest.approx((camera.right @ direction, -camera.down @ direction), abs=1e-12)
    # Posterior is up in this mould: it is seen from behind, where superior up means the patient's left on the left.
    assert pointing["L"][0] * pointing["S"][1] - pointing["L"][1] * pointing["S"][0] == pytest.approx(-1.0)


def test_mould_figure_and_unknown_view(mould):
    assert len(pl.mould(mould, views=("top", "cut"), width_px=60).axes) == 2
    with pytest.raises(InputError, match="one of cut, lifted, top, front"):
        pl.mould_view(mould, "inside")


def test_habitats_are_drawn_in_their_colours(case):
    labels = case.phantom.habitats
    figure = pl.habitats(labels, case.image, case.plan)
    drawn = next(i for i in figure.axes[1].images if i.get_gid() == "habitats")
    colours = {to_hex(c[:3]).upper() for c in np.asarray(drawn.get_array()).reshape(-1, 4) if c[3] > 0}
    view = View.of_plane(case.plan["P01"], mask_points(labels))
    present = set(np.unique(view.sample(labels, 0.3, linear=False, outside=0.0)).astype(int)) - {0}
    assert colours == {habitat_colour(n) for n in present}
    shares = habitats_figure.fractions(labels)
    assert sum(shares.values()) == pytest.approx(1.0)


def test_habitats_without_a_plan_use_their_own_slices(case):
    planes = habitats_figure.own_planes(case.phantom.habitats)
    assert 2 <= len(planes) <= 6
    assert all(plane.image_index == int(plane.image_index) for plane in planes)


def test_selection_curve_marks_the_chosen():
    selection = pd.DataFrame({"n_habitats": [2, 3, 4], "stability": [0.9, 0.95, 0.6], "chosen": [False, True, False]})
    ax = pl.selection_curve(selection)
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[2, 0.9], [3, 0.95], [4, 0.6]])
    assert [t.get_text() for t in ax.texts] == ["3 chosen"]
    assert ax.get_ylabel() == "stability"


def test_palette_is_told_apart_by_colour_blind_readers():
    """Machado et al. 2009 (doi:10.1109/TVCG.2009.113) at full severity; the first six habitats stay distinct."""
    blind = {
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    }
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in HABITATS[:6]])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    from skimage.color import rgb2lab

    for matrix in blind.values():
        seen = np.clip(linear @ np.array(matrix).T, 0, 1)
        seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
        lab = rgb2lab(seen[None])[0]
        apart = np.linalg.norm(lab[:, None] - lab[None], axis=2) + 1e3 * np.eye(len(lab))
        assert apart.min() > 11


def test_spots_lie_on_their_slide_and_in_their_plane(case):
    cut = case.cuts[0]
    adata = cut.spots.copy()
    adata.obs["habitat"] = pd.Categorical([f"H{n}" for n in cut.spots_habitat])
    adata.obsm["spatial_patient"] = cut.spots_patient_mm
    ax = pl.spots(adata, "habitat", cut.section, registration=case.registrations[0])
    dots = next(c for c in ax.collections if c.get_gid() == "spots")
    np.testing.assert_allclose(dots.get_offsets(), adata.obsm["spatial"] * cut.section.pixel_size_um / 1000)
    assert {to_hex(c).upper() for c in dots.get_facecolor()} == {habitat_colour(n) for n in set(cut.spots_habitat)}
    in_plane = pl.spots(adata, "habitat", plane=case.plan["P01"], image=case.image, mask=case.mask)
    dots = next(c for c in in_plane.collections if c.get_gid() == "spots")
    view = View.of_plane(case.plan["P01"], mask_points(case.mask))
    np.testing.assert_allclose(dots.get_offsets(), view.from_patient(cut.spots_patient_mm))
    (x0, x1), (y1, y0) = in_plane.get_xlim(), in_plane.get_ylim()
    offsets = np.asarray(dots.get_offsets())
    assert (offsets > [x0, y0]).all()
    assert (offsets < [x1, y1]).all()


def test_spot_values_of_genes_and_columns(case):
    adata = case.cuts[0].spots.copy()
    gene = adata.var_names[0]
    counts = np.asarray(adata[:, gene].X.todense()).ravel()
    totals = np.asarray(adata.X.sum(axis=1)).ravel()
    np.testing.assert_allclose(spot_values(adata, gene), np.log1p(counts / totals * np.median(totals)), rtol=1e-5)
    adata.obs["score"] = np.linspace(0, 1, adata.n_obs)
    np.testing.assert_allclose(spot_values(adata, "score"), adata.obs["score"])
    with pytest.raises(InputError, match="a column of obs or a gene"):
        spot_values(adata, "NOGENE")


def test_spots_say_what_is_missing(case):
    adata, section = case.cuts[0].spots, case.cuts[0].section
    with pytest.raises(InputError, match="a section, or a plane with image and mask"):
        pl.spots(adata, "section")
    with pytest.raises(InputError, match="map_spots"):
        pl.spots(adata, "section", plane=case.plan["P01"], image=case.image, mask=case.mask)
    assert isinstance(pl.spots(adata[:1].copy(), "section", section), Axes)


def test_registration_error_draws_both_distributions():
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 10, (200, 3))
    found, nothing = truth + np.array([0.3, 0.4, 0.0]), truth + np.array([3.0, 4.0, 0.0])
    figure = pl.registration_error(truth, found, nothing, np.full((200, 3), 0.5 / np.sqrt(3)), section=["a", "b"] * 100)
    assert len(figure.axes) == 3
    curves = {line.get_gid(): line for line in figure.axes[0].lines if line.get_gid()}
    np.testing.assert_allclose(curves["error_mm"].get_xdata(), 0.5)
    np.testing.assert_allclose(curves["nothing_mm"].get_xdata(), 5.0)
    assert curves["error_mm"].get_ydata()[-1] == pytest.approx(100.0)
    assert [t.get_text() for t in figure.axes[1].get_yticklabels()] == ["a", "b"]
    (honest,) = [line for line in figure.axes[2].lines if line.get_gid() == "calibration"]
    np.testing.assert_allclose(honest.get_xdata(), honest.get_ydata(), rtol=1e-9)
    low, high = figure.axes[0].get_xlim()
    assert low < 0.5
    assert high > 5.0
    with pytest.raises(InputError, match="200 points each"):
        pl.registration_error(truth, found[:10], nothing)


def test_error_of_one_section_needs_one_panel():
    table = pd.DataFrame({"section": "s", "error_mm": [0.0, 0.1], "nothing_mm": [1.0, 2.0]})
    assert len(pl.error_table(table).axes) == 1
    assert isinstance(error_figure.error_ecdf(table, ax=new_figure(3, 3).add_subplot()), Axes)


def test_claims_are_counted_against_the_truth(table):
    truth = pd.DataFrame({"habitat": ["H1" if n < 4 else "" for n in range(40)]}, index=[f"G{n}" for n in range(40)])
    assert associations_figure.count_claims(table, 0.1, truth) == {"naive": (4, 17), "spatial": (4, 1)}
    assert associations_figure.count_claims(table, 0.1) == {"naive": (21, 0), "spatial": (5, 0)}
    ax = pl.claims(table, truth=truth)
    assert "21  (17 wrong)" in {t.get_text() for t in ax.texts}


def test_volcano_shows_every_gene_once(table):
    ax = pl.volcano(table)
    drawn = {c.get_gid(): len(c.get_offsets()) for c in ax.collections}
    assert drawn == {"volcano-neither": 20, "volcano-naive only": 16, "volcano-both": 5}
    assert all(np.isfinite(np.asarray(c.get_offsets())).all() for c in ax.collections)


def test_ranked_is_in_order_and_names_are_not_read_as_mathtext(table):
    ax = pl.ranked(table, top=3)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["G0 · H1", "G1 · H2", "G2 · H3"]
    sets = pl.ranked(table, kind="set")
    assert [t.get_text() for t in sets.get_yticklabels()] == ["my $set$ · H1"]
    assert "correlation" in sets.get_xlabel()
    sets.get_figure().canvas.draw()


def test_association_figure_and_missing_effect(table):
    assert len(pl.associations(table).axes) == 4
    with pytest.raises(InputError, match="log2_fold_change or statistic"):
        pl.volcano(table.drop(columns=["log2_fold_change", "statistic"]))


def test_panels_go_into_given_axes(case):
    ax = new_figure(6, 4, plate=True).add_subplot()
    assert pl.planes(case.image, case.mask, case.plan, ax=ax) is ax
    assert len(ax.child_axes) == 3


def test_figures_show_themselves_in_a_notebook():
    from comould.pl.style import new_figure

    figure = new_figure(1.0, 0.5)
    assert figure._repr_png_().startswith(b"\x89PNG")
