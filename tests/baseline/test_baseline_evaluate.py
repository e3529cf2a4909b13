"""evaluate.py, validate.py, compare.py: signal is found, noise is not, shortcuts are told."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from comould.baseline import BaselineOptions, Columns, compare, evaluate
from comould.baseline.data import read_table
from comould.baseline.validate import shuffled_outcome
from comould.errors import InputError


def features_of(table):
    return [name for name in table if name.startswith("f")]


@pytest.fixture(scope="module")
def found(study, named, quick):
    table = study()
    return evaluate(table, features_of(table), named, options=replace(quick, n_permutations=19), seed=1)


def value(evaluation, metric, column="value"):
    return float(evaluation.metrics.set_index("metric").loc[metric, column])


def test_a_signal_is_found_where_it_is(found):
    # Two features of 1.2 sd each: the best possible AUC is Φ(1.2) = 0.885.
    assert 0.78 < value(found, "auc") < 0.95
    assert value(found, "auc", "low") < value(found, "auc") < value(found, "auc", "high")
    assert value(found, "auc_within_centres", "low") > 0.6
    assert value(found, "brier_skill") > 0.1
    assert value(found, "calibration_slope") == pytest.approx(1.0, abs=0.5)
    assert found.p == pytest.approx(1 / 20)
    assert set(found.selected["feature"][:2]) == {"f0", "f1"}
    assert found.selected["share"][2:].max() < found.selected["share"][1]
    assert found.attrs["seed"] == 1
    assert not found.shortcuts["flagged"].any()


def test_centres_are_held_out_in_turn(found):
    assert found.centres["centre"].tolist() == ["A", "B", "C", "all"]
    assert found.centres["n_rows"].tolist() == [30, 30, 30, 90]
    assert (found.centres["value"] > 0.65).all()
    whole = found.centres.iloc[-1]
    assert whole["low"] < whole["value"] < whole["high"]
    assert (found.external.fold[0] == found.external.data.centres).all()


def test_every_row_is_predicted_by_models_without_its_patient(study, named, quick):
    table = pd.concat([study(40, 4), study(40, 4, seed=2).assign(event=study(40, 4)["event"])], ignore_index=True)
    found = evaluate(table, features_of(table), named, options=replace(quick, repeats=2))
    assert np.isfinite(found.predictions.predicted).all()
    for fold in found.predictions.fold:
        assert len(set(zip(fold, table["patient"], strict=True))) == 40
    listed = found.predictions.table(table["patient"])
    assert len(listed) == 160
    assert set(listed["repeat"]) == {0, 1}


def test_noise_selected_out_of_many_is_no_better_than_chance(study, quick):
    """The same features, selected before the folds were made, look as if they knew something."""
    inside, before, columns = [], [], Columns("event", "patient")
    for seed in range(5):
        table = study(60, 100, signal=0.0, seed=seed)
        every = features_of(table)
        leaked = table[every].corrwith(table["event"]).abs().nlargest(8).index.tolist()
        for found, names in ((inside, every), (before, leaked)):
            how = replace(quick, sizes=(8,))
            found.append(value(evaluate(table, names, columns, options=how, seed=seed), "auc"))
    assert np.mean(inside) == pytest.approx(0.5, abs=0.09)
    assert np.mean(before) > np.mean(inside) + 0.1


def test_features_that_know_the_centre_only_are_flagged(study, named, quick):
    table = study(120, signal=0.0, shift=2.0, confounded=0.4)
    found = evaluate(table, features_of(table), named, options=quick)
    assert value(found, "auc", "low") > 0.65
    assert value(found, "auc_within_centres", "low") < 0.5 < value(found, "auc_within_centres", "high")
    assert found.shortcuts["flagged"].all()
    assert any(note.startswith("Shortcut: centre alone") for note in found.notes)
    whole = found.centres.iloc[-1]
    assert whole["low"] < 0.5 < whole["high"]


def test_centres_that_differ_without_telling_the_outcome_are_not_flagged(study, named, quick):
    table = study(90, signal=1.2, shift=2.0)
    shortcuts = evaluate(table, features_of(table), named, options=quick).shortcuts.set_index("question")
    assert shortcuts.loc["it from the features", "above_chance"]
    assert not shortcuts.loc["outcome from it alone", "above_chance"]
    assert not shortcuts["flagged"].any()


def test_further_shortcuts_are_asked_for_by_name(study, quick):
    table = study(90, signal=1.5)
    table["scanner"] = np.where(table["f0"] > 0.6, "new", "old")
    columns = Columns("event", "patient", "centre", shortcuts=("scanner",))
    shortcuts = evaluate(table, features_of(table), columns, options=quick).shortcuts
    assert shortcuts.groupby("column")["flagged"].all().to_dict() == {"centre": False, "scanner": True}


def test_a_number_is_predicted_as_well(study, quick):
    table = study(90, 12, signal=0.0)
    found = evaluate(table, features_of(table), Columns("score", "patient", "centre"), options=quick)
    # Noise of 0.5 on a sum of variance 2: no model can do better than 1 - 0.25 / 2.25 = 0.89.
    assert 0.7 < value(found, "r2") < 0.95
    assert value(found, "correlation_within_centres") > 0.8
    assert value(found, "calibration_slope") == pytest.approx(1.0, abs=0.2)
    assert found.centres["metric"].unique().tolist() == ["r2"]
    assert "n_events" not in found.centres


def test_the_same_seed_says_the_same(study, quick):
    table, columns = study(40, 5), Columns("event", "patient")
    how = replace(quick, n_permutations=3)
    one, again, other = (evaluate(table, features_of(table), columns, options=how, seed=s) for s in (4, 4, 5))
    pd.testing.assert_frame_equal(one.metrics, again.metrics)
    assert one.p == again.p
    assert (one.predictions.fold != other.predictions.fold).any()
    assert one.centres.empty
    assert one.external is None
    assert one.shortcuts.empty


def test_what_one_set_adds_to_another(study, named, quick):
    table = study(100, 10)
    noise = [name for name in features_of(table) if name not in {"f0", "f1"}]
    both = {
        "noise": evaluate(table, noise, named, options=quick),
        "all": evaluate(table, features_of(table), named, options=quick),
    }
    rows = compare(both, n_bootstrap=300).set_index(["features", "metric"])
    assert rows.loc[("all", "auc"), "difference_low"] > 0.1
    assert np.isnan(rows.loc[("noise", "auc"), "difference"])
    gap = rows.loc[("all", "auc"), "value"] - rows.loc[("noise", "auc"), "value"]
    assert rows.loc[("all", "auc"), "difference"] == pytest.approx(gap)
    same = compare({"a": both["all"], "b": both["all"]}, n_bootstrap=100).set_index(["features", "metric"])
    assert same.loc[("b", "auc"), ["difference", "difference_low", "difference_high"]].tolist() == [0, 0, 0]
    with pytest.raises(InputError, match="two evaluations or more"):
        compare({"all": both["all"]})
    moved = evaluate(table, noise, named, options=quick, seed=9)
    with pytest.raises(InputError, match="the same rows, outcome and folds"):
        compare({"all": both["all"], "moved": moved})


def test_small_samples_are_told(study, named, quick):
    notes = " ".join(evaluate(study(40, 30), [f"f{k}" for k in range(30)], named, options=quick).notes)
    assert "patients of the rarer outcome for 30 candidate features" in notes
    assert "Riley's criterion asks for" in notes


def test_a_centre_without_enough_others_is_told(study, named, quick):
    table = study(60, 4)
    table.loc[(table["centre"] != "A") & (table["event"] == 1), "centre"] = "A"
    found = evaluate(table, features_of(table), named, options=quick)
    assert "A" not in set(found.centres["centre"])
    assert any(note.startswith("Centre A cannot be held out") for note in found.notes)


def test_shuffles_stay_within_centres_and_patients(study, named):
    table = pd.concat([study(30, 3), study(30, 3)[:10]], ignore_index=True)
    data = read_table(table, ["f0"], named)
    shuffled = shuffled_outcome(data, np.random.default_rng(0))
    assert (shuffled != data.outcome).any()
    for centre in range(3):
        rows = data.centres == centre
        assert sorted(shuffled[rows]) == sorted(data.outcome[rows])
    assert len(set(zip(shuffled, data.patients, strict=True))) == 30


def test_progress_reaches_its_end(study, named, quick):
    told = []
    evaluate(study(40, 4), ["f0", "f1"], named, options=replace(quick, n_permutations=2), progress=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.drop(columns="event"), "no column 'event'"),
        (lambda t: t.assign(f1="much"), "features that are not numbers: f1"),
        (lambda t: t.assign(f1=np.inf), "infinite values in f1"),
        (lambda t: t.assign(event=t["event"].where(t.index > 2)), "'event' is empty in 3 rows"),
        (lambda t: t.assign(event=t["event"].map({0: "low", 1: "high"})), "Say which of two words is the event"),
        (lambda t: t.assign(event=t["event"] + 1), "0 and 1, or more than two numbers"),
        (lambda t: t.assign(f1=t["event"].astype(float)), "measurements made without the outcome"),
        (lambda t: t.assign(event=0), "numbers, or 0 and 1"),
        (lambda t: t.assign(event=(t.index < 3).astype(int)), "4 patients or more of either outcome, found 3"),
        (lambda t: t.assign(patient="P1"), "one centre each"),
        (lambda t: t.assign(f0=1.0, f1=2.0), "some that vary"),
    ],
)
def test_bad_tables_are_refused(study, named, quick, change, match):
    with pytest.raises(InputError, match=match):
        evaluate(change(study(30, 2)), ["f0", "f1"], named, options=quick)


def test_columns_have_one_part_each(study, named, quick):
    with pytest.raises(InputError, match="'event' is asked for twice"):
        evaluate(study(30, 2), ["f0", "event"], named, options=quick)
    with pytest.raises(InputError, match="no feature is given"):
        evaluate(study(30, 2), [], named, options=quick)
    words = study(60, 2).assign(event=lambda t: np.where(t["event"] == 1, "HRD", "HRP"))
    found = evaluate(words, ["f0", "f1"], replace(named, positive="HRD"), options=quick)
    assert value(found, "auc") > 0.7
    with pytest.raises(InputError, match="one of them 'yes'"):
        evaluate(words, ["f0", "f1"], replace(named, positive="yes"), options=quick)


def test_options_out_of_range_are_told_together():
    with pytest.raises(InputError, match=r"2 problems: folds and inner_folds must be 2 or more; l1_ratio 3"):
        BaselineOptions(folds=1, l1_ratio=3.0)
    with pytest.raises(InputError, match="some of harmonise, folds"):
        BaselineOptions.make({"fold": 3})
