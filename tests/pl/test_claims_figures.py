"""Figures about tests of association: what is drawn is what the tables say."""

import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from comould import pl
from comould.associate import NullFit
from comould.associate.scrutiny import Plausible, ShiftCurve
from comould.associate.scrutiny.shift import critical_correlation
from comould.errors import InputError
from comould.pl.plausible_figure import attenuated
from comould.pl.shift_figure import said_of
from comould.pl.style import DARK, LIGHT


def falling(feature, habitat, height, reach):
    """Points of a claim that falls from ``height`` to nothing at ``reach`` mm, two ways in the plane, two out of it."""
    distance = np.linspace(0, 10, 11)
    rows = []
    for along, angle, factor in (("plane", 0.0, 1.1), ("plane", 90.0, 0.9), ("normal", 0.0, 1.0)):
        effect = height * (1 - factor * distance / reach)
        rows.append(
            pd.DataFrame(
                {"habitat": habitat, "feature": feature, "kind": "gene", "along": along, "direction_deg": angle,
                 "distance_mm": distance, "effect": effect, "expected": height * np.exp(-distance), "share": 1.0}
            )
        )  # fmt: skip
    return pd.concat(rows)


@pytest.fixture
def curve():
    critical = float(critical_correlation(100.0))
    summary = pd.DataFrame(
        {"habitat": ["H2", "H1"], "feature": ["CD8A", "KRT7"], "kind": "gene", "claimed": True, "effect": [0.5, -0.4],
         "critical": critical, "lost_mm": [8 * (1 - critical / 0.5), np.inf], "half_mm": 4.0,
         "lost_normal_mm": [np.inf, np.inf], "peak_mm": 0.0, "peak_direction_deg": np.nan, "reach_mm": 10.0,
         "tolerance_mm": 1.0, "verdict": ["local", "not lost"]}
    )  # fmt: skip
    return ShiftCurve(pd.concat([falling("CD8A", "H2", 0.5, 8.0), falling("KRT7", "H1", -0.4, 80.0)]), summary)


def by_gid(ax, gid):
    return [item for item in (*ax.lines, *ax.collections) if item.get_gid() == gid]


def test_shift_curve_shows_mean_range_chance_and_where_it_is_lost(curve):
    ax = pl.shift_curve(curve)
    (mean,), (exact,), (band,), (chance,), (lost,) = (
        by_gid(ax, gid) for gid in ("mean", "exact", "directions", "chance", "lost")
    )
    np.testing.assert_allclose(mean.get_ydata(), 0.5 * (1 - np.linspace(0, 10, 11) / 8), atol=1e-12)
    np.testing.assert_allclose(exact.get_ydata(), 0.5 * np.exp(-np.linspace(0, 10, 11)))
    assert band.get_paths()[0].vertices[:, 1].min() == pytest.approx(0.5 * (1 - 1.1 * 10 / 8))
    assert abs(chance.get_paths()[0].vertices[:, 1]).max() == pytest.approx(curve.summary["critical"][0], abs=1e-6)
    at = curve.summary["lost_mm"][0]
    assert lost.get_xdata()[0] == at
    assert np.interp(at, mean.get_xdata(), mean.get_ydata()) == pytest.approx(curve.summary["critical"][0], abs=1e-6)
    assert f"lost at {at:.1f} mm" in [text.get_text() for text in ax.texts]
    assert len(ax.get_figure().axes) == 2


def test_a_claim_that_is_never_lost_has_no_mark(curve):
    ax = pl.shift_curve(curve, feature="KRT7", theme=DARK)
    assert not by_gid(ax, "lost")
    assert ax.get_title(loc="left") == "KRT7 · H1"
    low, high = ax.get_ylim()
    assert abs(low) > abs(high)
    with pytest.raises(InputError, match="expected one of CD8A · H2, KRT7 · H1"):
        pl.shift_curve(curve, feature="KRT7", habitat="H2")


def test_chance_grows_where_spots_drop_out(curve):
    curve.points.loc[curve.points["distance_mm"] > 5, "share"] = 0.5
    (chance,) = by_gid(pl.shift_curve(curve), "chance")
    expected = float(critical_correlation(50.0))
    assert chance.get_paths()[0].vertices[:, 1].max() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("verdict", "lost", "said"),
    [("local", 6.23, "lost at 6.2 mm"), ("not lost", np.inf, "not lost within 10.0 mm"),
     ("elsewhere", 3.0, "largest 4.0 mm away"), ("no effect", np.nan, "no effect beyond chance")],
)  # fmt: skip
def test_verdicts_in_words(verdict, lost, said):
    assert said_of(SimpleNamespace(verdict=verdict, lost_mm=lost, reach_mm=10.0, peak_mm=4.0)) == said


def test_plausible_effects_with_interval_and_extrapolation():
    summary = pd.DataFrame(
        {"habitat": ["H1", "H3"], "feature": ["CD8A", "a$b"], "kind": "gene", "claimed": [True, False],
         "effect": [0.5, -0.2], "low": [0.4, -0.25], "median": [0.45, -0.2], "high": [0.48, 0.1],
         "attenuation": [0.9, 0.5], "extrapolated": [0.55, -0.3], "fraction_significant": [0.95, 0.2], "n_draws": 40}
    )  # fmt: skip
    found = Plausible(pd.DataFrame(), summary, "sd")
    ax = pl.plausible(found)
    assert [list(line.get_xdata()) for line in by_gid(ax, "interval")] == [[0.4, 0.48], [-0.25, 0.1]]
    assert [line.get_xdata()[0] for line in by_gid(ax, "extrapolated")] == [0.55, -0.3]
    filled = [line.get_markerfacecolor() != LIGHT.paper for line in by_gid(ax, "effect")]
    assert filled == [True, False]
    assert {"95 %", "20 %"} <= {text.get_text() for text in ax.texts}
    assert attenuated(found) == pytest.approx(0.7)


def test_null_fit_takes_fits_and_records_alike_and_shows_doubts():
    lags = np.arange(1.0, 6.0)
    fit = NullFit("variogram", 99, 5.0, np.inf, 0.1, 0.12, 40.0, lags, lags / 5, lags / 4.8)
    doubtful = NullFit(
        "variogram", 99, 5.0, 1.0, 0.1, 0.6, 40.0, lags, lags / 5, lags / 3, doubts=("follows the edge",)
    )
    refused = NullFit("shift", 0, 5.0, 1.0, 0.1, 0.0, 1.0, lags[:0], lags[:0], lags[:0], refusal="too narrow")
    figure = pl.null_fit({"H1": fit, "H2": doubtful.to_dict(), "H3": refused})
    first, second, third = figure.axes[:3]
    np.testing.assert_allclose(by_gid(first, "observed")[0].get_ydata(), lags / 5)
    np.testing.assert_allclose(by_gid(first, "imitated")[0].get_ydata(), lags / 4.8)
    assert "no doubt; variogram distance 0.12" in first.texts[0].get_text()
    assert "follows the edge" in second.texts[0].get_text()
    assert second.texts[0].get_color() == LIGHT.contrast
    assert "too narrow" in third.texts[0].get_text()
    assert not by_gid(third, "observed")
    with pytest.raises(InputError, match="a habitat that was tested or more, found none"):
        pl.null_fit({})


def test_calibration_shows_rates_with_intervals_and_what_is_promised():
    table = pd.DataFrame(
        [("naive (Welch)", "all", 0.6, 0.5, 0.7, "too many"), ("variogram", "all", 0.05, 0.03, 0.08, "holds"),
         ("variogram", "H2", 0.07, 0.0, 0.2, "holds"), ("shift", "all", np.nan, 0.0, 1.0, "not testable")],
        columns=["test", "habitat", "rate_05", "low", "high", "verdict"],
    )  # fmt: skip
    ax = pl.calibration(table)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["naive (Welch)", "variogram", "shift"]
    assert [line.get_xdata()[0] for line in by_gid(ax, "rate")] == [0.6, 0.05]
    assert [list(line.get_xdata()) for line in by_gid(ax, "interval")] == [[0.5, 0.7], [0.03, 0.08]]
    assert [line.get_color() for line in by_gid(ax, "rate")] == [LIGHT.contrast, LIGHT.accent]
    assert by_gid(ax, "nominal")[0].get_xdata()[0] == 0.05
    assert len(by_gid(ax, "habitat")) == 1
    assert "cannot be tested here" in [text.get_text() for text in ax.texts]
    with pytest.raises(InputError, match="found no low, high"):
        pl.calibration(table.drop(columns=["low", "high"]))


def test_gene_sets_by_both_questions():
    table = pd.DataFrame(
        {"feature": ["immune", "stroma", "CD8A"], "kind": ["geneset", "geneset", "gene"], "habitat": ["H1", "H2", "H1"],
         "p_spatial": [1e-30, 1e-3, 1e-9], "q_spatial": [1e-29, 1e-2, 1e-8], "p_competitive": [1e-3, 0.5, np.nan],
         "q_competitive": [1e-2, 0.6, np.nan], "p_naive": 0.0, "q_naive": 0.0}
    )  # fmt: skip
    ax = pl.gene_sets(table)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["immune · H1", "stroma · H2"]
    np.testing.assert_allclose([line.get_xdata()[0] for line in by_gid(ax, "self-contained")], [12, 3])
    np.testing.assert_allclose([line.get_xdata()[0] for line in by_gid(ax, "competitive")], [3, -np.log10(0.5)])
    hollow = [line.get_markerfacecolor() == LIGHT.paper for line in by_gid(ax, "competitive")]
    assert hollow == [False, True]
    assert "12: or more" in ax.get_xlabel()
    with pytest.raises(InputError, match="gene sets that could be tested, found none"):
        pl.gene_sets(table[table["kind"] == "gene"])


def test_every_figure_draws_into_given_axes(curve):
    from comould.pl.style import new_figure

    figure = new_figure(4, 3)
    ax = figure.add_subplot()
    assert pl.shift_curve(curve, ax=ax) is ax
    assert figure.axes == [ax]
    figure.savefig(io.BytesIO(), format="png")
