"""scale_figure.py: lines, ticks and the line of p = 0.05 are where the table says."""

import numpy as np
import pandas as pd
import pytest

from comould import pl
from comould.errors import InputError


@pytest.fixture
def table():
    rows = [
        {
            "scale_mm": size,
            "n_places": places,
            "feature": f"G{gene}",
            "habitat": f"H{gene % 2 + 1}",
            "kind": "gene",
            "statistic": 0.1 * gene + 0.05 * size,
            "p_spatial": 0.2 / (gene + 1) ** 2 / (1 + size),
        }
        for size, places in ((0.0, 1800), (0.5, 600), (2.0, 44))
        for gene in range(8)
    ]
    return pd.DataFrame(rows)


def test_lines_show_the_strongest_features_at_their_scales(table):
    figure = pl.scale_curve(table, top=3)
    effect, evidence = figure.axes
    names = [line.get_label() for line in effect.lines if "·" in str(line.get_label())]
    assert names == ["G7 · H2", "G6 · H1", "G5 · H2"]
    np.testing.assert_allclose(effect.lines[0].get_ydata(), [0.7, 0.725, 0.8])
    np.testing.assert_allclose(10 ** -np.asarray(evidence.lines[0].get_ydata()), 0.2 / 64 / np.array([1, 1.5, 3]))
    assert [tick.get_text() for tick in effect.get_xticklabels()] == ["spots\n1,800", "0.5\n600", "2\n44"]


def test_features_and_habitats_can_be_picked_and_axes_given(table):
    from comould.pl.style import new_figure

    axes = new_figure(6, 3).add_subplot()
    assert pl.scale_curve(table, features=["G2", "G3"], habitat="H1", ax=axes) is axes
    panel = axes.child_axes[0]
    assert [line.get_label() for line in panel.lines if "·" in str(line.get_label())] == ["G2 · H1"]


def test_untested_rows_leave_gaps_and_wrong_tables_are_errors(table):
    table.loc[table["scale_mm"] == 2, "p_spatial"] = np.nan
    _, evidence = pl.scale_curve(table, top=1).axes
    assert np.isnan(evidence.lines[0].get_ydata()[2])
    with pytest.raises(InputError, match="scale curve: expected a feature"):
        pl.scale_curve(table, features=["none"])
    with pytest.raises(InputError, match="no scale_mm"):
        pl.scale_curve(table.drop(columns="scale_mm"))
