"""cohort/exchange.py, combine.py, curves.py: centres' sums give the patients' answer, and bad files are refused."""

import json

import numpy as np
import pandas as pd
import pytest

from comould.associate.cohort import cohort, combine_summaries, export_summary, leave_one_centre_out, patient_effects
from comould.associate.cohort.curves import Curves, curves, enough_nodes
from comould.associate.cohort.exchange import digest, rounded, surrogate_p, surrogate_sums
from comould.associate.cohort.meta import random_effects
from comould.associate.cohort.sums import PatientSums
from comould.errors import InputError

SAME = (
    "estimate",
    "low",
    "high",
    "p",
    "tau2",
    "tau2_low",
    "tau2_high",
    "predicted_low",
    "predicted_high",
    "n_patients",
)


@pytest.fixture(scope="module")
def centres(patient_tables, tmp_path_factory):
    """Three centres' tables and their summaries."""
    folder = tmp_path_factory.mktemp("centres")
    tables = {
        name: {f"{name}-{k}": t for k, t in patient_tables(n, 15, seed=seed, between=0.15, lacking=0.05).items()}
        for name, n, seed in (("Cambridge", 9, 1), ("Leeds", 7, 2), ("Oslo", 12, 3))
    }
    files = {
        name: export_summary(own, folder / f"{name}.json", centre=name, min_patients=3) for name, own in tables.items()
    }
    return tables, files


def sorted_rows(table):
    return table.sort_values(["kind", "habitat", "feature"], ignore_index=True)


@pytest.mark.parametrize("method", ["REML", "DL", "PM"])
@pytest.mark.parametrize("knapp", ["truncated", "plain", "none"])
def test_summaries_give_the_answer_of_the_patients(centres, method, knapp):
    tables, files = centres
    everyone = {name: table for own in tables.values() for name, table in own.items()}
    pooled = sorted_rows(cohort(everyone, method=method, hartung_knapp=knapp))
    combined = sorted_rows(combine_summaries(list(files.values()), method=method, hartung_knapp=knapp))
    assert combined["feature"].tolist() == pooled["feature"].tolist()
    for name in SAME:
        assert combined[name].to_numpy() == pytest.approx(pooled[name].to_numpy(), abs=1e-8, nan_ok=True), name
    assert combined["i2"].to_numpy() == pytest.approx(pooled["i2"].to_numpy(), abs=1e-5)
    assert combined["q"].to_numpy() == pytest.approx(pooled["q"].to_numpy(), abs=1e-8)


def test_a_centre_is_left_out_from_summaries_alone(centres):
    tables, files = centres
    without = leave_one_centre_out(list(files.values()))
    assert list(without) == list(files)
    rest = {name: table for centre, own in tables.items() if centre != "Leeds" for name, table in own.items()}
    assert sorted_rows(without["Leeds"])["p"].to_numpy() == pytest.approx(
        sorted_rows(cohort(rest))["p"].to_numpy(), abs=1e-8
    )
    with pytest.raises(InputError, match="two or more"):
        leave_one_centre_out([files["Oslo"]])


def test_a_centre_that_carries_a_claim_is_named(patient_tables, tmp_path):
    files = []
    for name, value, seed in (("A", 0.0, 1), ("B", 0.8, 2)):
        tables = patient_tables(6, 4, seed=seed)
        for table in tables.values():
            table.loc[table["feature"] == "g1", ["statistic", "n_effective"]] = (value, 200.0)
        files.append(export_summary(tables, tmp_path / f"{name}.json", centre=name))
    table = combine_summaries(files, hartung_knapp="none")
    assert (table.loc[table["feature"] == "g1", "carried_by"] == "centre B (significance lost)").all()


def test_the_file_holds_no_patient(centres):
    _, files = centres
    text = files["Leeds"].read_text()
    assert "P01" not in text
    assert "Leeds-" not in text
    content = json.loads(text)
    assert content["provenance"]["versions"]["comould"]
    assert min(content["n"]) >= 3


def test_rows_of_few_patients_are_withheld(patient_tables, tmp_path):
    tables = patient_tables(5, 6)
    tables["P01"].loc[tables["P01"]["feature"] == "g2", "testable"] = False
    content = json.loads(export_summary(tables, tmp_path / "s.json", centre="A").read_text())
    assert content["n_rows_withheld"] == 2
    assert "g2" not in content["rows"]["feature"]
    with pytest.raises(InputError, match="found 4 at most"):
        export_summary(patient_tables(4, 6), tmp_path / "t.json", centre="A")
    assert not (tmp_path / "t.json").exists()


def test_digits_trade_accuracy(centres, patient_tables, tmp_path):
    tables, _ = centres
    exact = sorted_rows(cohort(tables["Oslo"]))["estimate"].to_numpy()
    for digits, error in ((12, 1e-9), (8, 1e-5), (6, 1e-3)):
        file = export_summary(tables["Oslo"], tmp_path / f"{digits}.json.gz", centre="O", min_patients=3, digits=digits)
        found = sorted_rows(combine_summaries([file]))["estimate"].to_numpy()
        assert np.nanmax(np.abs(found - exact)) < error
    assert rounded(np.array([123456.0, -0.00012345, 0.0]), 3).tolist() == [123000.0, -0.000123, 0.0]


def test_few_patients_can_be_solved_for_as_the_docstring_says(patient_tables):
    """Sums of five patients give their effects back: what is exported is pseudonymous, not anonymous."""
    from scipy.optimize import least_squares

    found = patient_effects(patient_tables(5, 2))
    y, v = found.effects[:, :1], found.variances[:, :1]
    seen = rounded(curves(y, v, 2.0**-6, 30), 8)[:3, :, 0]

    def off(guess):
        made = curves(guess[5:, None], np.exp(guess[:5])[:, None], 2.0**-6, 30)[:3, :, 0]
        return ((made - seen) / np.maximum(np.abs(seen), 1e-3)).ravel()

    rng, best = np.random.default_rng(0), None
    for _ in range(8):
        start = np.concatenate([np.log(1 / rng.uniform(20, 200, 5)), rng.normal(0.3, 0.3, 5)])
        one = least_squares(off, start, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=200)
        best = one if best is None or one.cost < best.cost else best
        if best.cost < 1e-10:
            break
    assert np.sort(best.x[5:]) == pytest.approx(np.sort(y[:, 0]), abs=1e-3)


@pytest.mark.parametrize("ratio", [1.0, 30.0, 3000.0])
def test_curves_follow_the_sums_at_every_heterogeneity(ratio):
    rng = np.random.default_rng(3)
    v = 0.01 * ratio ** rng.uniform(-0.5, 0.5, (7, 200))
    y = rng.normal(0.2, 0.5, v.shape)
    curve = Curves(curves(y, v, 0.01, enough_nodes(0.01 / ratio**0.5, 0.01 * ratio**0.5)), 0.01)
    for tau2 in (0.0, 1e-4, 0.02, 5.0, 1e6):
        values, _ = curve.at(np.full(200, tau2))
        truth = PatientSums(y, v).at(np.full(200, tau2))
        assert values[0] / (tau2 + 0.01) == pytest.approx(truth.weight, rel=1e-11)
        assert values[1] / values[0] == pytest.approx(truth.mean, rel=1e-9, abs=1e-12)


def test_surrogates_give_the_pooled_p_of_the_patients(centres, tmp_path):
    tables, _ = centres
    rng = np.random.default_rng(11)
    files, everyone, surrogates = [], {}, {}
    for centre, own in tables.items():
        mine = {}
        for name, table in own.items():
            index = pd.MultiIndex.from_frame(table[["kind", "feature", "habitat"]])
            spread = 1 / np.sqrt(table["n_effective"].to_numpy() - 3)
            mine[name] = pd.DataFrame(np.tanh(rng.normal(0, spread[:, None], (len(table), 199))), index=index)
        files.append(export_summary(own, tmp_path / f"{centre}.json", centre=centre, min_patients=3, surrogates=mine))
        everyone |= own
        surrogates |= mine
    combined = combine_summaries(files)
    found = patient_effects(everyone)
    rows = np.arange(len(found.rows))
    chosen, observed, sums = surrogate_sums(found, rows, surrogates)
    assert len(chosen) == len(rows)
    direct = pd.Series(surrogate_p(observed, sums), index=found.rows)
    keys = pd.MultiIndex.from_frame(combined[["kind", "feature", "habitat"]])
    assert combined["p_surrogate"].to_numpy() == pytest.approx(direct.reindex(keys).to_numpy())
    hit = combined[(combined["feature"] == "hit_H1") & (combined["habitat"] == "H1")].iloc[0]
    assert hit["p_surrogate"] == pytest.approx(1 / 200)
    null = combined[combined["feature"] != "hit_H1"]["p_surrogate"]
    assert (null <= 0.05).mean() < 0.4
    one = dict(list(surrogates.items())[:1])
    one[next(iter(one))] = one[next(iter(one))].iloc[:, :50]
    with pytest.raises(InputError, match=r"\[50, 199\] surrogates"):
        surrogate_sums(found, rows, surrogates | one)


def spoilt(path, folder, change, *, sign=False):
    content = json.loads(path.read_text())
    change(content)
    if sign:
        content["digest"] = digest(content)
    (folder / "spoilt.json").write_text(json.dumps(content))
    return folder / "spoilt.json"


@pytest.mark.parametrize(
    ("change", "sign", "message"),
    [
        (lambda c: c.update(format="other"), True, "whose format is"),
        (lambda c: c.update(version=2), True, "expected version 1, found 2"),
        (lambda c: c["n"].__setitem__(0, c["n"][0] + 1), False, "changed after it was written"),
        (lambda c: c["n"].__setitem__(0, c["n"][0] + 1), True, "counts of patients contradict their sums in 1 rows"),
        (lambda c: c["curves"]["sum"][0].__setitem__(3, float("nan")), True, "not finite"),
        (lambda c: c["curves"]["square"][0].__setitem__(3, 0.0), True, "sums that no patients can have"),
        (lambda c: c["curves"]["log"].pop(), True, "in its place"),
        (lambda c: c.pop("rows"), True, "KeyError: 'rows'"),
        (lambda c: c["rows"]["feature"].__setitem__(0, c["rows"]["feature"][2]), True, "in it twice"),
        (lambda c: c.update(min_patients=50), True, "outside min_patients"),
        (lambda c: c.update(scale="wide"), True, "could not convert"),
    ],
)
def test_bad_files_are_refused_with_one_line(centres, tmp_path, change, sign, message):
    _, files = centres
    bad = spoilt(files["Leeds"], tmp_path, change, sign=sign)
    with pytest.raises(InputError, match=message) as caught:
        combine_summaries([files["Oslo"], bad])
    assert "\n" not in str(caught.value)
    assert "spoilt.json" in str(caught.value)


def test_files_that_do_not_go_together_are_refused(centres, tmp_path):
    _, files = centres
    with pytest.raises(InputError, match="Oslo more than once"):
        combine_summaries([files["Oslo"], files["Oslo"]])
    other = spoilt(
        files["Leeds"],
        tmp_path,
        lambda c: c["rows"].update(feature=["ENSG" + f for f in c["rows"]["feature"]]),
        sign=True,
    )
    with pytest.raises(InputError, match="features and habitats in common"):
        combine_summaries([files["Oslo"], other])
    with pytest.raises(InputError, match="one file a centre"):
        combine_summaries([])
    (tmp_path / "text.json").write_text("no JSON")
    with pytest.raises(InputError, match="expected JSON"):
        combine_summaries([tmp_path / "text.json"])
    with pytest.raises(InputError, match="expected a file"):
        combine_summaries([tmp_path / "absent.json"])


def test_wrong_options_are_told(patient_tables, tmp_path):
    tables = patient_tables(5, 3)
    (tmp_path / "s.json").write_text("mine")
    with pytest.raises(InputError, match=r"4 problems: the centre has no name; min_patients 2.*; digits 3.*exists"):
        export_summary(tables, tmp_path / "s.json", centre=" ", min_patients=2, digits=3)
    assert (tmp_path / "s.json").read_text() == "mine"
    export_summary(tables, tmp_path / "s.json", centre="A", overwrite=True)
    assert json.loads((tmp_path / "s.json").read_text())["centre"] == "A"


def test_one_centre_alone_is_its_own_answer(centres):
    tables, files = centres
    found = patient_effects(tables["Oslo"])
    alone = random_effects(found.effects, found.variances)
    table = combine_summaries([files["Oslo"]])
    assert np.sort(table["estimate"]) == pytest.approx(np.sort(alone.estimate), abs=1e-9)
    assert table.attrs["n_patients"] == 12
