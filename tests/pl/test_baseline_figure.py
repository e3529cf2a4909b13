"""baseline_figure.py: what is drawn is what was measured."""

import numpy as np
import pandas as pd
import pytest

import comould as cm
from comould.errors import InputError
from comould.pl.style import DARK


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    event = np.arange(60) % 2
    return pd.DataFrame(
        {"a": rng.normal(size=60) + event, "b": rng.normal(size=60), "y": event, "score": rng.normal(size=60),
         "pt": range(60), "site": np.array(list("NNSS") * 15)}
    )  # fmt: skip


@pytest.fixture(scope="module")
def quick():
    return cm.baseline.BaselineOptions(
        folds=3, inner_folds=2, repeats=1, sizes=(1,), strengths=(1.0,), n_permutations=0, n_bootstrap=100
    )


@pytest.fixture(scope="module")
def both(table, quick):
    columns = cm.baseline.Columns("y", "pt", "site")
    return {name: cm.baseline.evaluate(table, name, columns, options=quick) for name in ("a", "b")}


def test_a_curve_a_set_and_every_centre_in_the_forest(both, tmp_path):
    figure = cm.pl.baseline(both)
    roc, calibration, forest = figure.axes
    assert len([line for line in roc.lines if line.get_gid() == "roc"]) == 2
    assert len([line for line in calibration.lines if line.get_gid() == "calibration"]) == 2
    labels = [label.get_text() for label in forest.get_yticklabels()]
    assert labels == ["all, in folds", "within centres", "N held out (n 30)", "S held out (n 30)", "all held out"]
    drawn = [line.get_xdata()[0] for line in forest.lines if line.get_gid() == "estimate"]
    said = [float(one.metrics.set_index("metric").loc["auc", "value"]) for one in both.values()]
    assert [drawn[0], drawn[5]] == pytest.approx(said)
    assert "AUC" in roc.get_legend().get_texts()[0].get_text()
    figure.savefig(tmp_path / "baseline.png")


def test_a_number_is_drawn_as_points(table, quick, tmp_path):
    one = cm.baseline.evaluate(table, ["a", "b"], cm.baseline.Columns("score", "pt"), options=quick)
    figure = cm.pl.baseline(one, theme=DARK)
    points = next(line for line in figure.axes[0].lines if line.get_gid() == "patients")
    assert len(points.get_xdata()) == 60
    assert [label.get_text() for label in figure.axes[2].get_yticklabels()] == ["all, in folds"]
    figure.savefig(tmp_path / "baseline.png")


def test_nothing_and_two_kinds_are_refused(table, quick, both):
    with pytest.raises(InputError, match="1 to 8 evaluations of one outcome"):
        cm.pl.baseline({})
    number = cm.baseline.evaluate(table, ["a"], cm.baseline.Columns("score", "pt"), options=quick)
    with pytest.raises(InputError, match="of one outcome"):
        cm.pl.baseline({"a": both["a"], "score": number})
