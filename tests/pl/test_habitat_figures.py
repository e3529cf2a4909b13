"""Figures about habitats: what is drawn is what the tables say."""

import numpy as np
import pandas as pd
import pytest

from comould import pl
from comould.errors import InputError
from comould.pl.habitat_choice_figure import CRITERIA
from comould.pl.habitat_stability_figure import kept_plane
from comould.pl.habitats_figure import own_planes
from comould.pl.style import DARK, LIGHT, habitat_colour
from comould.space import Grid


@pytest.fixture
def selection():
    table = pd.DataFrame({"n_habitats": [2, 3, 4, 5], **{name: np.arange(4.0) for name in CRITERIA}})
    table["gap_se"], table["silhouette_null"] = 0.5, [0.1, 0.2, 0.1, 0.0]
    table["chosen"] = [False, True, False, False]
    return table


def test_every_criterion_has_its_curve_and_the_chosen_number_is_marked(selection):
    figure = pl.selection_curves(selection)
    panels = [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert [ax.get_title(loc="left") for ax in panels] == [title for title, _ in CRITERIA.values()]
    for ax in panels:
        marked = [line for line in ax.lines if list(line.get_xdata()) == [3]]
        assert len(marked) == 1
        assert marked[0].get_ydata()[0] == 1.0
    gap = panels[list(CRITERIA).index("gap")]
    assert len(gap.collections) == 1


def test_a_curve_of_one_number_is_refused(selection):
    with pytest.raises(InputError, match="two numbers of habitats or more, and a criterion, found 1 and 7"):
        pl.selection_curves(selection.iloc[:1])
    with pytest.raises(InputError, match="found 4 and 0"):
        pl.selection_curves(selection[["n_habitats", "chosen"]])


def test_features_are_sorted_and_those_left_out_stand_out():
    table = pd.DataFrame(
        {
            "icc": [0.9, 0.3, 0.8],
            "icc_low": [0.85, 0.2, 0.7],
            "icc_high": [0.95, 0.4, 0.9],
            "kept": [True, False, True],
        },
        index=["a/x", "b/y", "c/z"],
    )
    ax = pl.feature_stability(table, theme=DARK)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a/x", "c/z", "b/y"]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == [0.9, 0.8, 0.3]
    assert [dot.get_color() == DARK.contrast for dot in dots] == [False, False, True]


def test_features_measured_with_other_bins_only():
    table = pd.DataFrame({"icc": [np.nan], "icc_bins": [0.6], "kept": [False]}, index=["a/x"])
    assert pl.feature_stability(table).lines[-1].get_xdata()[0] == 0.6


def test_habitats_found_again():
    table = pd.DataFrame(
        {
            "perturbation": ["noise 1", "contour -1"], "kind": ["noise", "contour"], "amount": [1.0, -1.0],
            "rand_index": [0.9, 0.5], "dice_H1": [0.95, 0.7], "dice_H2": [0.8, np.nan],
        }
    )  # fmt: skip
    ax = pl.habitat_stability(table)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["noise, 1 × its own", "contour −1 mm"]
    assert [bar.get_width() for bar in ax.patches] == [0.9, 0.5]
    assert [line.get_color() for line in ax.lines] == [habitat_colour(1), habitat_colour(2)]


def test_borders_of_a_habitat_sum_to_one():
    matrix = pd.DataFrame([[np.nan, 6, 2], [6, 50, 2], [2, 2, 9]], index=[0, 1, 2], columns=[0, 1, 2])
    ax = pl.interaction(matrix, theme=LIGHT)
    widths = np.array([bar.get_width() for bar in ax.patches]).reshape(3, 2)
    np.testing.assert_allclose(widths.sum(axis=0), 1.0)
    # H1 faces H2 with 2 of 8 mm², H2 faces H1 with 2 of 4.
    np.testing.assert_allclose(widths[1], [0.25, 0.0])
    np.testing.assert_allclose(widths[0], [0.0, 0.5])
    assert {t.get_text() for t in ax.texts} == {"25 %", "75 %", "50 %"}


def test_every_slice_that_holds_a_label_has_a_plane():
    array = np.zeros((9, 6, 6), np.uint8)
    array[2:7, 2:4, 2:4] = 1
    labels = Grid((6, 6, 9), (1.0, 1.0, 3.0)).to_image(array)
    assert [plane.image_index for plane in own_planes(labels, most=100)] == [2, 3, 4, 5, 6]
    assert [plane.image_index for plane in own_planes(labels, most=3)] == [3, 4, 5]


def test_kept_voxels_are_drawn_over_the_image():
    from comould.pl.view import mask_points

    array = np.zeros((5, 20, 20), np.float32)
    array[:, 5:15, 5:15] = 0.5
    kept = Grid((20, 20, 5), (1.0, 1.0, 3.0)).to_image(array)
    image = Grid((20, 20, 5), (1.0, 1.0, 3.0)).to_image(np.random.default_rng(0).normal(size=(5, 20, 20)))
    ax = kept_plane(kept, image, own_planes(kept)[2], points_mm=mask_points(kept))
    (shown,) = [artist for artist in ax.images if artist.get_gid() == "kept"]
    values = shown.get_array()
    assert values.max() == pytest.approx(0.5)
    assert values.mask.any()
