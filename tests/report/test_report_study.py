"""A study's page: how every case stands, where claims are lost, what the lists say, and nothing it does not know."""

import re

import numpy as np
import pandas as pd
import pytest

from comould.errors import InputError
from comould.report import StudyCase, StudyReport, write_study

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def page(tmp_path_factory, read_page):
    cohort = pd.DataFrame(
        {
            "feature": ["A", "B"], "kind": "gene", "habitat": ["H1", "H1"], "testable": [True, False],
            "estimate": np.arctanh([0.4, 0.1]), "low": np.arctanh([0.2, -0.2]), "high": np.arctanh([0.6, 0.4]),
            "predicted_low": [0.1, np.nan], "predicted_high": [0.9, np.nan], "p": [1e-4, np.nan], "q": [0.01, np.nan],
            "n_patients": [3, 1], "carried_by": ["patient A1 (sign lost)", ""],
        }
    )  # fmt: skip
    cases = (
        StudyCase("A1", "Leeds", "A1/report.html", ("tests",), {}, 2.0, {"accept": 5, "reject": 1}, 7, 1.25),
        StudyCase("A2", "York", "", ("read",), {"sections": HOSTILE}, 1.0),
        StudyCase("A3", "York", "", ("tests",), {}, 1.0, {}, 0),
    )
    path = tmp_path_factory.mktemp("study") / "report.html"
    provenance = {"versions": {"comould": "1.2"}, "parameters": {"cases": 3}}
    report = StudyReport(
        "Three cases", cases=cases, cohort=cohort, cohort_page="cohort/report.html", provenance=provenance
    )
    return read_page(write_study(report, path).read_text(encoding="utf-8"))


def test_chapters_and_order(page):
    names = ["cases", "cohort", "failed", "limits", "checklists", "provenance"]
    assert [a["id"] for a in page.all("section")] == names
    assert page.all("script") == []
    assert HOSTILE in page.text


def test_verdicts_and_lost_claims_are_told_case_by_case(page):
    assert re.search(r"A1 done, see sections Leeds 5 accepted, 1 rejected 7 1\.2 mm", page.text)
    assert re.search(r"A2 failed: sections York – – –", page.text)
    assert re.search(r"A3 done York – 0 –", page.text)
    assert page.links.count("A1/report.html") == 1


def test_pooled_rows_say_correlations_and_lead_to_their_own_page(page):
    """Intervals are stored as Fisher's z; what is read are correlations."""
    assert re.search(r"A · H1 0\.40 \(0\.20 to 0\.60\) 1\.0 × 10⁻⁴ 0\.01 3 patient A1", page.text)
    assert "1 of 1 pooled rows is claimed at FDR 0.1. It would be lost without a single patient" in page.text
    assert "cohort/report.html" in page.links
    assert page.all("img") == []


def test_lists_know_the_centres_and_no_more(page):
    assert re.search(r"More than one centre 0\.0438 ✓ yes 2 centres", page.text)
    assert re.search(r"Data available 0\.0075 \? not known", page.text)
    assert "comould 1.2" in page.text


def test_an_empty_study_is_still_a_page(tmp_path, read_page):
    page = read_page(write_study(StudyReport("None"), tmp_path / "report.html").read_text(encoding="utf-8"))
    assert [a["id"] for a in page.all("section")] == ["cases", "limits", "checklists"]
    assert not re.search(r"\bnan\b|\bNone,|\bnan,", page.text)
    with pytest.raises(InputError, match=r"an \.html file"):
        write_study(StudyReport("None"), tmp_path / "report.txt")
