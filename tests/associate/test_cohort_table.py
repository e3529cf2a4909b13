"""cohort/effects.py and cohort/table.py: tables of patients in, one table of claims about patients out."""

import numpy as np
import pandas as pd
import pytest

from comould import associate
from comould.associate.cohort import cohort, feature_effects, patient_effects, random_effects, sign_flip
from comould.errors import ComouldWarning, InputError


def row(table, feature="hit_H1", habitat="H1"):
    return table[(table["feature"] == feature) & (table["habitat"] == habitat)].iloc[0]


def test_effects_are_fisher_z_and_smooth_maps_weigh_less(patient_tables):
    tables = patient_tables(3)
    found = patient_effects(tables)
    column = found.number("g4", "H2")
    for patient, table in enumerate(tables.values()):
        own = row(table, "g4", "H2")
        assert found.effects[patient, column] == pytest.approx(np.arctanh(own["statistic"]))
        assert found.variances[patient, column] == pytest.approx(1 / (own["n_effective"] - 3))


def test_a_gene_that_patients_share_is_found_and_the_rest_is_not(patient_tables, two_centres):
    tables = patient_tables(10)
    table = cohort(tables, two_centres(tables))
    hit = table.iloc[0]
    assert (hit["feature"], hit["habitat"]) == ("hit_H1", "H1")
    assert hit["low"] < 0.5 < hit["high"]
    assert hit["q"] < 0.01
    assert hit["p_max_t"] <= 0.05
    assert hit["n_agreeing"] == hit["n_patients"] == 10
    assert hit["n_centres"] == 2
    assert hit["carried_by"] == ""
    assert hit["correlation"] == pytest.approx(np.tanh(hit["estimate"]))
    assert (table["q"].iloc[1:] > 0.05).all()
    assert len(table) == 80


def test_each_row_is_what_its_parts_say(patient_tables):
    tables = patient_tables(8, lacking=0.2)
    table, found = cohort(tables, method="DL", hartung_knapp="plain"), patient_effects(tables)
    for name, habitat in (("g3", "H1"), ("g17", "H2")):
        column = found.number(name, habitat)
        there = np.isfinite(found.effects[:, column])
        alone = random_effects(
            found.effects[there, column], found.variances[there, column], method="DL", hartung_knapp="plain"
        )
        own = row(table, name, habitat)
        assert own["estimate"] == pytest.approx(alone.estimate)
        assert own["p"] == pytest.approx(alone.p)
        assert own["n_patients"] == there.sum()
        flips = sign_flip(found.effects[there, column], found.variances[there, column])
        assert own["p_sign_flip"] == pytest.approx(flips.p[0], nan_ok=True)


def test_false_claims_keep_to_the_stated_rate(patient_tables):
    p = np.concatenate([cohort(patient_tables(7, 150, seed=s, between=0.2, true=0))["p"] for s in range(3)])
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_too_few_patients_are_not_tested_and_the_reason_is_said(patient_tables):
    tables = patient_tables(6)
    for name in ("P01", "P02"):
        tables[name].loc[tables[name]["feature"] == "g1", "testable"] = False
    table = cohort(tables)
    own = row(table, "g1")
    assert not own["testable"]
    assert own["reason"] == "4 patients, 5 needed"
    assert np.isnan(own["p"])
    assert np.isnan(own["q"])
    assert np.isfinite(own["estimate"])
    assert row(table, "g2")["p_attainable"] == pytest.approx(2 / 2**6)
    assert row(cohort(tables, min_patients=4), "g1")["testable"]


def test_one_patient_is_shown_and_nothing_is_tested(patient_tables):
    table = cohort(patient_tables(1))
    assert not table["testable"].any()
    assert table["estimate"].notna().all()
    assert table["p"].isna().all()
    assert (table["carried_by"] == "").all()


def test_five_patients_can_be_pooled_but_not_flipped(patient_tables):
    table = cohort(patient_tables(5))
    assert table["testable"].all()
    assert table["p_sign_flip"].isna().all()
    assert (table["p_attainable"] == 0.0625).all()


def test_a_centre_that_carries_a_claim_is_named(patient_tables, two_centres):
    tables = patient_tables(8, true=0.0, seed=1)
    centres = two_centres(tables)
    for name, table in tables.items():
        if centres[name] == "B":
            table.loc[table["feature"] == "g5", "statistic"] = 0.8
    own = row(cohort(tables, centres, hartung_knapp="none"), "g5")
    assert "centre B" in own["carried_by"]


def test_patients_order_does_not_matter_nor_does_the_seed_of_few(patient_tables):
    tables = patient_tables(8, lacking=0.1)
    turned = dict(reversed(tables.items()))
    first, second = cohort(tables), cohort(turned, seed=4)
    pd.testing.assert_frame_equal(first, second, rtol=1e-9)
    assert "P01" not in str(first.attrs)
    assert first.attrs["n_patients"] == 8


def test_real_tables_go_in(make_spots):
    tables = {
        f"P{seed}": associate.test(make_spots(seed, n_smooth=4, n_flat=2), n_surrogates=39, seed=seed)
        for seed in range(5)
    }
    table = cohort(tables)
    for habitat in ("H1", "H2", "H3"):
        assert row(table, f"own_{habitat}", habitat)["q"] < 0.05
    assert row(table, "own_H1", "H1")["estimate"] > 0.3
    assert (table.loc[table["feature"].str.startswith("smooth"), "q"] > 0.05).all()


def test_one_row_comes_apart_into_its_patients(patient_tables, two_centres):
    tables = patient_tables(6)
    tables["P03"]["testable"] = False
    found = feature_effects(tables, "hit_H1", "H1", centres=two_centres(tables))
    assert found.patients == ("P01", "P02", "P04", "P05", "P06")
    assert found.centres == ("A", "B", "B", "A", "B")
    assert found.pooled.weights.sum() == pytest.approx(100)
    assert found.pooled.estimate == pytest.approx(row(cohort(tables))["estimate"])
    assert feature_effects(tables, "hit_H1", "H1").centres == ()
    with pytest.raises(InputError, match="habitats H1, H2"):
        feature_effects(tables, "hit_H1", "H9")


def test_a_habitat_of_one_patient_is_told(patient_tables):
    tables = patient_tables(5)
    tables["P02"]["habitat"] = tables["P02"]["habitat"].replace("H2", "core")
    with pytest.warns(ComouldWarning, match="habitat core is tested in one patient only"):
        cohort(tables)


def test_wrong_tables_are_told_together(patient_tables):
    tables = patient_tables(3)
    tables["P01"] = tables["P01"].drop(columns="n_effective")
    tables["P02"] = pd.concat([tables["P02"], tables["P02"].head(1)])
    tables["P03"].loc[0, "statistic"] = 3.5
    with pytest.raises(
        InputError, match=r"3 problems: P01 lacks.*n_effective; P02 has hit_H1 in H1 twice; P03 has stat"
    ):
        cohort(tables)
    with pytest.raises(InputError, match="a table for each patient"):
        cohort({})
    with pytest.raises(InputError, match="found none for P02"):
        cohort(patient_tables(2), {"P01": "A"})
    with pytest.raises(InputError, match="min_patients: expected 2 or more"):
        cohort(patient_tables(2), min_patients=1)
    with pytest.raises(InputError, match="some of method"):
        cohort(patient_tables(2), methods="DL")
