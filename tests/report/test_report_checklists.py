"""Checklists are complete, in order, and never claim what a run does not know."""

import pandas as pd
import pytest

from comould.report import CaseReport
from comould.report.checklists import CHECKLISTS, Known, answer, chapter
from comould.report.checklists.answers import NO, NOT_APPLICABLE, UNKNOWN, YES

LISTS = {one.name: one for one in CHECKLISTS}


def words(known):
    return {one["name"]: [row["word"] for row in one["rows"]] for one in chapter(known)["lists"]}


def test_as_many_items_as_were_published():
    """METRICS: 30 items in 9 categories and 5 conditions; CLEAR: 58; RQS: 16. Each paper's own abstract says so."""
    assert {one.name: len(one.items) for one in CHECKLISTS} == {"METRICS": 30, "CLEAR": 58, "RQS": 16}
    metrics = LISTS["METRICS"]
    assert len(metrics.conditions) == 5
    assert len({item.group for item in metrics.items}) == 9
    for one in CHECKLISTS:
        assert "doi:10." in one.source
        assert one.checked


def test_scores_add_up_to_what_was_published():
    """Weights of METRICS are shares of 1; RQS has -8 to 36 points; CLEAR counts nothing."""
    assert LISTS["METRICS"].most == pytest.approx(1.0, abs=1e-9)
    assert LISTS["RQS"].most == 36
    assert sum(item.least for item in LISTS["RQS"].items) == -8
    assert LISTS["CLEAR"].most == 0


def test_categories_of_metrics_weigh_as_published():
    """Heaviest first, as the abstract orders them; modelling ahead of segmentation, open science last."""
    weights = {}
    for item in LISTS["METRICS"].items:
        weights[item.group] = weights.get(item.group, 0.0) + item.most
    order = [
        "Study design", "Imaging data", "Image processing and feature extraction", "Metrics and comparison", "Testing",
        "Feature processing", "Preparation for modelling", "Segmentation", "Open science",
    ]  # fmt: skip
    assert sorted(weights, key=lambda name: -round(weights[name], 4)) == order
    assert weights["Study design"] == pytest.approx(0.2022)
    assert weights["Open science"] == pytest.approx(0.0225)


def test_what_is_said_beside_a_list_is_what_it_counts():
    made = {one["name"]: one for one in chapter(Known())["lists"]}
    assert made["METRICS"]["groups"][0]["rows"][0]["number"] == "C1"
    assert made["METRICS"]["rows"][2]["worth"] == "0.0919"
    assert made["RQS"]["rows"][11]["worth"] == "−5 to 5"
    assert {row["worth"] for row in made["CLEAR"]["rows"]} == {""}
    assert made["METRICS"]["count"].startswith("30 items")
    assert "not at hand" in made["RQS"]["source"]


def test_a_run_that_knows_nothing_claims_nothing():
    for found in words(Known()).values():
        assert YES not in found
        assert UNKNOWN in found


def test_rules_follow_what_is_recorded():
    parameters = {"habitats": {"features": ["grey"], "bins": 32}, "tests": {"covariates": ["edge"]}}
    known = Known(parameters=parameters, provenance=True, habitats=True, spots=True, spread=True, tested=True, fdr=0.05)
    assert answer("covariates", known).why == "Covariates: edge."
    assert answer("covariates", Known(parameters={"tests": {"covariates": []}})).word == NO
    assert answer("covariates", Known()).word == UNKNOWN
    assert answer("discretisation", known).word == YES
    assert answer("resampling", known).word == UNKNOWN
    assert answer("multiple_testing", known).why == "False-discovery rate 0.05."
    assert answer("uncertainty", known).word == YES
    assert answer("biology", known).word == YES
    assert answer("reference", known).word == UNKNOWN
    assert answer("centres", known).word == NO
    assert answer("centres", Known(cases=8, centres=3)).why == "3 centres."
    assert answer("centres", Known(cases=8)).word == UNKNOWN
    assert answer("software", known).word == answer("handcrafted", known).word == YES
    given = Known(parameters={"habitats": {}}, provenance=True)
    assert answer("software", given).word == answer("extraction", given).word == UNKNOWN
    assert answer("data", known).word == UNKNOWN
    assert answer("no_model", known).word == NOT_APPLICABLE


def test_a_simulation_proves_nothing_about_patients():
    known = Known(simulated=True, spots=True, tested=True, provenance=True)
    for rule in ("biology", "validated", "centres", "patients", "protocol", "segmentation"):
        assert answer(rule, known).word == NOT_APPLICABLE
    assert answer("clinical", known).word == NO
    with pytest.raises(KeyError):
        answer("luck", known)


def test_a_case_is_read_as_it_is():
    results = pd.DataFrame(
        {"feature": ["A"], "p_spatial": [0.1], "q_spatial": [0.1], "p_naive": [0.1], "q_naive": [0.1]}
    )
    told = {"versions": {"comould": "1"}, "parameters": {"fdr": 0.1}}
    known = Known.of(CaseReport(results=results, provenance=told, fdr=0.2))
    assert known.tested
    assert known.provenance
    assert known.fdr == 0.2
    assert not known.habitats
    assert not known.spread
    assert Known.of(CaseReport()) == Known()
