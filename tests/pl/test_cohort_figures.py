"""forest_figure.py, power_figure.py: what is drawn is what was found."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import comould as cm
from comould.errors import InputError
from comould.pl.style import DARK


@pytest.fixture
def powers():
    rows = [
        {"effect": d, "n_sections": s, "n_spots": 300 * s, "error_mm": e, "n_patients": n, "power": p,
         "low": p - 0.05, "high": p + 0.05}
        for d in (0.0, 1.0) for s in (2, 4) for e in (0.0, 1.5) for n, p in ((6, 0.3), (10, 0.7))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_a_square_a_patient_as_large_as_its_weight(patient_tables, two_centres):
    tables = patient_tables(7)
    found = cm.associate.feature_effects(tables, "hit_H1", "H1", centres=two_centres(tables))
    ax = cm.pl.forest(found)
    squares = [c for c in ax.collections if c.get_gid() == "patient"]
    order = [n for centre in "AB" for n in range(7) if found.centres[n] == centre]
    assert [s.get_offsets()[0][0] for s in squares] == pytest.approx(found.effects[order])
    sizes = [s.get_sizes()[0] for s in squares]
    assert np.argsort(sizes).tolist() == np.argsort(found.pooled.weights[order]).tolist()
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == [*(found.patients[n] for n in order), "all 7", "a further patient"]
    assert {"A", "B"} <= set(texts(ax))
    diamond = next(p for p in ax.patches if p.get_gid() == "together")
    assert diamond.get_xy()[:, 0].min() == pytest.approx(found.pooled.low)
    assert diamond.get_xy()[:, 0].max() == pytest.approx(found.pooled.high)
    assert "I²" in ax.get_xlabel()


def test_ticks_are_correlations_at_their_z(patient_tables):
    ax = cm.pl.forest(cm.associate.feature_effects(patient_tables(6), "hit_H1", "H1"))
    for tick, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True):
        assert np.tanh(tick) == pytest.approx(float(label.get_text().replace("−", "-")))


@pytest.mark.parametrize("n", [2, 40])
def test_few_and_many_patients_fit(patient_tables, n, tmp_path):
    ax = cm.pl.forest(cm.associate.feature_effects(patient_tables(n, 2), "hit_H1", "H1"), theme=DARK)
    assert ("a further patient" in [label.get_text() for label in ax.get_yticklabels()]) == (n > 2)
    ax.figure.savefig(tmp_path / "forest.png")
    ends = [ax.get_window_extent().y0, *(label.get_window_extent().y1 for label in ax.get_yticklabels())]
    assert max(ends) <= ax.figure.bbox.y1
    gaps = np.diff(sorted(label.get_window_extent().y0 for label in ax.get_yticklabels()))
    assert gaps.min() > 8


def test_rows_of_a_table_are_drawn_without_patients(patient_tables):
    table = cm.associate.cohort(patient_tables(6))
    ax = cm.pl.forest(table.head(5))
    assert len([p for p in ax.patches if p.get_gid() == "together"]) == 5
    assert "n 6" in texts(ax)
    one = cm.pl.forest(table.iloc[0])
    assert [label.get_text() for label in one.get_yticklabels()] == ["hit_H1 · H1"]
    with pytest.raises(InputError, match="no estimate"):
        cm.pl.forest(table.drop(columns="estimate"))
    with pytest.raises(InputError, match="a row with an estimate"):
        cm.pl.forest(table.head(0))


def test_a_curve_an_error_and_a_panel_an_effect(powers):
    figure = cm.pl.power_curves(powers)
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 4
    for panel in figure.axes:
        curve = next(line for line in panel.lines if line.get_gid() == "error-1.5")
        assert curve.get_ydata() == pytest.approx([0.3, 0.7])
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles[0].startswith("no effect")
    assert titles[3] == "2-fold more\n4 sections, 1200 spots"


def test_one_axes_takes_one_panel(powers):
    ax = Figure().add_subplot()
    own = powers[(powers["effect"] == 1) & (powers["n_sections"] == 2)]
    assert cm.pl.power_curves(own, theme=DARK, ax=ax) is ax
    assert next(line for line in ax.lines if line.get_gid() == "wanted").get_ydata()[0] == 0.8
    with pytest.raises(InputError, match="one effect and one number of sections"):
        cm.pl.power_curves(powers, ax=ax)
    with pytest.raises(InputError, match="no power"):
        cm.pl.power_curves(powers.drop(columns="power"))
