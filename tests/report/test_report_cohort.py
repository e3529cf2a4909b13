"""The page of pooled patients: what is drawn lies where the numbers say, and words say the same as the drawing."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from comould.associate import feature_effects
from comould.errors import InputError
from comould.report import CohortReport, forest, write_cohort

HOSTILE = "<img src=x onerror=alert(1)>"


def pooled(**changes):
    """Two rows of three: a clear one, one of a hostile name that is not, one that no one could test."""
    columns = {
        "feature": ["A", HOSTILE, "C"], "kind": ["gene", "geneset", "gene"], "habitat": "H1",
        "estimate": [0.5, -0.1, np.nan], "low": [0.3, -0.4, np.nan], "high": [0.7, 0.2, np.nan],
        "predicted_low": [0.1, np.nan, np.nan], "predicted_high": [0.9, np.nan, np.nan],
        "p": [0.001, 0.4, np.nan], "q": [0.002, 0.4, np.nan], "n_patients": [6, 6, 1], "n_centres": [2, 2, 1],
        "testable": [True, True, False], "carried_by": ["", "", ""],
    }  # fmt: skip
    return pd.DataFrame(columns | changes)


def tables(effects, n_effective=50.0):
    """One table a patient, of a gene with these correlations."""
    rows = {"kind": "gene", "feature": "A", "habitat": "H1", "n_effective": n_effective, "testable": True}
    return {f"P{n}": pd.DataFrame([rows | {"statistic": r}]) for n, r in enumerate(effects, start=1)}


def test_marks_lie_where_numbers_say():
    """Places are linear in Fisher's z: the middle of an interval is midway between its ends, and 0 is 0."""
    drawn = forest.of_rows(pooled(), 0.1)
    marks = drawn.rows[0].drawn
    assert marks.middle == pytest.approx(sum(marks.interval) / 2, abs=0.02)
    assert marks.prediction[0] < marks.interval[0] < marks.interval[1] < marks.prediction[1]
    per_z = (marks.interval[1] - marks.interval[0]) / 0.4
    assert marks.middle - drawn.zero == pytest.approx(0.5 * per_z, abs=0.05)
    at = {text: place for place, text in drawn.ticks}
    assert at["0.2"] - at["0"] == pytest.approx(np.arctanh(0.2) * per_z, abs=0.05)
    assert [row.marked for row in drawn.rows] == [True, False]


def test_what_lies_beyond_is_drawn_at_the_edge():
    drawn = forest.of_rows(pooled(predicted_high=[9.0, np.nan, np.nan]), 0.1)
    assert drawn.rows[0].drawn.prediction[1] <= 100.0
    assert forest.of_rows(pooled(estimate=np.nan), 0.1) is None


def test_a_patients_square_is_as_large_as_its_weight():
    data = feature_effects(tables([0.4, 0.5, 0.6]), "A", "H1")
    drawn = forest.of_patients(data)
    assert [row.name for row in drawn.rows] == ["P1", "P2", "P3", "all 3", "a further patient"]
    assert drawn.rows[0].cells[0].startswith("0.40 (")
    assert {row.drawn.size_px for row in drawn.rows[:3]} == {forest.LARGEST_PX}
    homes = {"P1": "Leeds", "P2": "York", "P3": "Leeds"}
    named = forest.of_patients(feature_effects(tables([0.4, 0.5, 0.6]), "A", "H1", centres=homes))
    assert [row.name for row in named.rows[:5]] == ["Leeds", "P1", "P3", "York", "P2"]
    assert named.rows[0].drawn is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        ("patient P1 (significance lost)", "patient P1"),
        ("patient P1 (sign lost); patient P2 (significance lost); centre A (sign lost)", "patients P1, P2; centre A"),
        ("; ".join(f"patient P{n} (sign lost)" for n in range(1, 6)), "patients P1, P2, P3 and 2 more"),
        ("; ".join(f"patient P{n} (sign lost)" for n in range(1, 7)), "any one of 6 patients"),
    ],
)  # fmt: skip
def test_carriers_in_few_words(text, said):
    assert forest.lost_without(text, 6, 2) == said


def test_the_page_reads_without_its_drawings(tmp_path, read_page):
    """Every number that is drawn is in a cell too; the drawing is hidden from screen readers."""
    apart = feature_effects(tables([0.4, 0.5, 0.6]), "A", "H1")
    report = CohortReport(pooled(), 6, 2, patients=[apart], left_out={"Leeds": pooled(p=0.2, q=0.3)})
    page = read_page(write_cohort(report, tmp_path / "report.html").read_text(encoding="utf-8"))
    assert [a["id"] for a in page.all("section")] == ["cohort", "patients", "centres", "limits"]
    assert "0.46 (0.29 to 0.60)" in page.text
    assert re.search(r"without Leeds 0\.46 \(0\.29 to 0\.60\) 0\.2 0\.3", page.text)
    assert f"set {HOSTILE} · H1" in page.text
    assert page.all("script") == page.all("img") == []
    outer = [attrs for attrs in page.all("svg") if "x" not in attrs]
    assert outer
    assert all(attrs.get("aria-hidden") == "true" for attrs in outer)
    with pytest.raises(InputError, match="no carried_by"):
        CohortReport(pooled().drop(columns="carried_by"), 6)


def test_nothing_to_pool_is_said(tmp_path, read_page):
    table = pooled(estimate=np.nan, testable=False)
    page = read_page(write_cohort(CohortReport(table, 1), tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "No row could be tested" in page.text
    assert not re.search(r"\bnan\b", page.text)


def test_a_nought_has_no_sign():
    assert forest.words(-0.001, -0.2, 0.001) == "0.00 (−0.20 to 0.00)"


def test_surrogates_of_centres_get_a_column():
    assert "p of surrogates" not in forest.of_rows(pooled(p_surrogate=np.nan), 0.1).headings
    drawn = forest.of_rows(pooled(p_surrogate=[0.01, np.nan, np.nan]), 0.1)
    assert drawn.rows[0].cells[drawn.headings.index("p of surrogates")] == "0.01"


def test_a_phone_shows_it_without_sideways_scrolling(tmp_path, browser):
    path = write_cohort(CohortReport(pooled(), 6, 2), tmp_path / "report.html")
    with browser.Tab(path, (400, 900), webgl=False) as tab:
        seen = SimpleNamespace(
            **tab.run("""
          const box = document.querySelector(".forest").closest(".scroll");
          const [row] = document.querySelectorAll(".forest tbody tr");
          const diamond = row.querySelector(".diamond").getBoundingClientRect();
          return { wide: document.documentElement.scrollWidth, inner: box.scrollWidth - box.clientWidth,
                   at: (diamond.left + diamond.right) / 2,
                   plot: row.querySelector(".drawn").getBoundingClientRect().toJSON() };
        """)
        )
        assert tab.said == []
    assert seen.wide == 400
    assert seen.inner == 0
    middle = forest.of_rows(pooled(), 0.1).rows[0].drawn.middle
    assert seen.at == pytest.approx(seen.plot["left"] + seen.plot["width"] * middle / 100, abs=1.0)
