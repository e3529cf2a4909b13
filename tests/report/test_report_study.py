"""A study's page: how every case stands, where claims are lost, what the lists say, and nothing it does not know."""

import re

import pandas as pd
import pytest

from comould.errors import InputError
from comould.report import StudyCase, StudyReport, write_study

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def page(tmp_path_factory, read_page):
    cohort = pd.DataFrame(
        {
            "feature": ["A", "B"], "habitat": ["H1", "H1"], "testable": [True, False], "correlation": [0.4, 0.1],
            "low": [0.2, -0.2], "high": [0.6, 0.4], "p": [1e-4, 0.6], "q": [0.01, 0.6], "n_patients": [3, 3],
        }
    )  # fmt: skip
    cases = (
        StudyCase("A1", "Leeds", "A1/report.html", ("tests",), {}, 2.0, {"accept": 5, "reject": 1}, 7, 1.25),
        StudyCase("A2", "York", "", ("read",), {"sections": HOSTILE}, 1.0),
        StudyCase("A3", "York", "", ("tests",), {}, 1.0, {}, 0),
    )
    path = tmp_path_factory.mktemp("study") / "report.html"
    provenance = {"versions": {"comould": "1.2"}, "parameters": {"cases": 3}}
    report = StudyReport("Three cases", cases=cases, cohort=cohort, provenance=provenance)
    return read_page(write_study(report, path).read_text(encoding="utf-8"))


def test_chapters_and_order(page):
    names = ["cases", "tissue", "cohort", "failed", "limits", "checklists", "provenance"]
    assert [a["id"] for a in page.all("section")] == names
    assert page.all("script") == []
    assert HOSTILE in page.text


def test_verdicts_and_lost_claims_are_told_case_by_case(page):
    assert re.search(r"A1 5 0 1 7 1\.25", page.text)
    assert re.search(r"A3 – – – 0 –", page.text)
    assert "1 of 1 pooled rows are claimed" in page.text


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
