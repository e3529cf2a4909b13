"""The report of the tests: complete, self-contained, escaped, and loud about what must not be overlooked."""

import re

import numpy as np
import pandas as pd
import pytest

from comould.associate.scrutiny import Plausible, ShiftCurve
from comould.errors import InputError
from comould.report import AssociationReport, write_associations
from comould.report.association_chapters import reason_counts
from comould.report.associations import alerts, set_counts, summary

CHAPTERS = [
    "claims", "sets", "place", "positions", "controls", "nulls", "calibration", "coverage", "limits", "provenance",
]  # fmt: skip


@pytest.fixture
def table():
    """Thirty genes, of which G0 follows H1 by both tests and G1 to G9 by the naive one alone; two sets."""
    rows = []
    for number in range(30):
        for habitat in ("H1", "H2"):
            true = number == 0 and habitat == "H1"
            naive = 1e-9 if number < 10 else 0.6
            rows.append(
                ("G<b>" if number == 0 else f"G{number}", "gene", habitat, 1e-7 if true else 0.4, naive, np.nan)
            )
    rows += [("immune", "geneset", "H1", 1e-6, 1e-9, 1e-4), ("immune", "geneset", "H2", 0.5, 1e-9, 0.6)]
    rows += [("stroma", "geneset", "H1", 1e-5, 1e-9, 0.8), ("stroma", "geneset", "H2", 0.7, 1e-9, 0.9)]
    table = pd.DataFrame(rows, columns=["feature", "kind", "habitat", "p_spatial", "p_naive", "p_competitive"])
    for test in ("spatial", "naive", "competitive"):
        table[f"q_{test}"] = np.minimum(table[f"p_{test}"] * 10, 1.0)
    table["statistic"], table["log2_fold_change"], table["n_effective"] = 0.3, 1.0, 80.0
    table["testable"], table["reason"] = True, ""
    table.loc[5:7, ["testable", "p_spatial"]] = [False, np.nan]
    table.loc[5:7, "reason"] = ["3 spots in the habitat, 20 needed", "5 spots in the habitat, 20 needed", "flat"]
    lags = [1.0, 2.0, 3.0]
    null = {"kind": "variogram", "n_surrogates": 99, "range_mm": 5.0, "n_effective": 60.0, "variogram_distance": 0.1,
            "lags_mm": lags, "observed": lags, "imitated": lags, "refusal": "", "doubts": []}  # fmt: skip
    table.attrs = {
        "nulls": {"H1": null, "H2": null | {"doubts": ["the map follows the edge"]}},
        "parameters": {"null": "variogram", "covariates": ["edge_mm"], "statistic": "pearson"},
        "genesets": {"immune": {"n_genes": 4, "missing": ["CD8B"], "doi": "10.1/x"},
                     "stroma": {"n_genes": 2, "missing": [], "doi": ""}},
    }  # fmt: skip
    return table


@pytest.fixture
def parts(table):
    claim = {"habitat": "H1", "feature": "G<b>", "kind": "gene"}
    row = claim | {"claimed": True, "effect": 0.3, "critical": 0.1, "lost_mm": 4.25, "half_mm": 3.0,
                   "lost_normal_mm": np.inf, "peak_mm": 0.0, "peak_direction_deg": np.nan, "reach_mm": 8.0,
                   "tolerance_mm": 1.0, "verdict": "local"}  # fmt: skip
    distance = np.linspace(0, 8, 9)
    points = pd.DataFrame({"along": "plane", "direction_deg": 0.0, "distance_mm": distance, "share": 1.0,
                           "effect": 0.3 - 0.05 * distance, "expected": 0.3 - 0.05 * distance})  # fmt: skip
    points = pd.concat([points, points.assign(along="normal")]).assign(**claim)
    stands = claim | {"claimed": True, "effect": 0.3, "low": 0.2, "median": 0.25, "high": 0.3, "attenuation": 0.8,
                      "extrapolated": 0.35, "fraction_significant": 0.9, "n_draws": 8}  # fmt: skip
    controls = pd.DataFrame(
        [("wrong plane", "20 mm apart", 6, 0, 6, "null", ""),
         ("another patient", "", 0, 0, 0, "not run", "no other patient's map was given")],
        columns=["control", "what", "n_tested", "n_found", "n_right_map", "verdict", "note"],
    )  # fmt: skip
    calibration = pd.DataFrame(
        [("naive (Welch)", "all", 0.6, 0.5, 0.7, 40, "too many"), ("variogram", "all", 0.05, 0.03, 0.07, 40, "holds")],
        columns=["test", "habitat", "rate_05", "low", "high", "n_maps", "verdict"],
    )
    coverage = pd.DataFrame({"n_spots": [100, 80], "n_outside": [10, 0]}, index=["S1", "S2"])
    return {
        "table": table, "shift": ShiftCurve(points, pd.DataFrame([row])),
        "plausible": Plausible(pd.DataFrame(), pd.DataFrame([stands]), "ensemble"), "controls": controls,
        "calibration": calibration, "coverage": coverage, "left_out": {"S9": "rejected"},
        "provenance": {"seed": 3, "note": "<img src=x>"}, "seconds": {"Test": 1.5},
    }  # fmt: skip


def test_all_chapters_and_what_they_say(parts, tmp_path, read_page):
    page = read_page(write_associations(AssociationReport(**parts), tmp_path / "r.html").read_text())
    text = page.text
    assert re.findall(r'id="(\w+)" aria-labelledby', (tmp_path / "r.html").read_text()) == CHAPTERS
    assert "1 of 30 genes follows a habitat." in text
    assert "would have claimed 10." in text
    assert "Of 2 gene sets 2 follow one, 1 of them more than other genes do." in text
    assert "The one control is null, as it should be." in text
    assert "lost at 4.2 mm" in text
    assert "> 8.0" in text
    assert "stands in 90 % of the draws" in text
    assert "3 of 4" in text
    assert "CD8B" in text
    assert "left out · S9 rejected" in text
    assert "no other patient's map was given" in text
    assert "covariates edge_mm" in text


def test_it_is_one_file_and_text_stays_text(parts, tmp_path, read_page):
    raw = write_associations(AssociationReport(**parts), tmp_path / "r.html").read_text()
    page = read_page(raw)
    assert "<script" not in raw
    assert "<img src=x>" not in raw
    assert "G<b>" in page.text
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert "default-src 'none'" in page.all("meta")[1]["content"]
    assert len(page.ids) == len(set(page.ids))
    assert all(image["alt"] for image in page.all("img"))
    scrolls = [attrs for attrs in page.all("div") if attrs.get("class") == "scroll"]
    assert all(attrs["tabindex"] == "0" and attrs["aria-label"] for attrs in scrolls)


def test_a_control_that_is_not_null_is_the_first_thing_said(parts, tmp_path):
    parts["controls"].loc[0, ["n_found", "verdict"]] = [4, "not null"]
    report = AssociationReport(**parts)
    first, second = alerts(report)
    assert (first.level, first.name) == ("bad", "Shortcut warning")
    assert "wrong plane: 4 of 6 found" in first.text
    assert (second.level, second.name) == ("warn", "Nulls that doubt themselves")
    assert "1 of 1 controls is not null" in summary(report)
    raw = write_associations(report, tmp_path / "r.html").read_text()
    assert raw.index("Shortcut warning") < raw.index('<main id="main">')
    assert '<span class="badge reject">' in raw


def test_claims_that_are_not_local_and_tests_that_do_not_hold_are_warned_of(parts):
    parts["shift"].summary["verdict"] = "not lost"
    parts["calibration"]["verdict"] = "too many"
    parts["table"].attrs["nulls"]["H2"]["doubts"] = []
    assert [alert.name for alert in alerts(AssociationReport(**parts))] == [
        "Too many false positives", "Claims not lost",
    ]  # fmt: skip
    parts["table"].attrs["parameters"]["null"] = "shuffle"
    assert alerts(AssociationReport(**parts))[0].name == "No spatial test"


def test_what_is_not_known_is_left_out(table, tmp_path):
    table.attrs = {}
    genes = table[table["kind"] == "gene"]
    report = AssociationReport(genes)
    assert set_counts(report) is None
    raw = write_associations(report, tmp_path / "r.html").read_text()
    assert re.findall(r'id="(\w+)" aria-labelledby', raw) == ["claims", "coverage", "limits"]
    assert alerts(report) == []


def test_sets_that_could_not_be_tested_are_named_with_what_they_lack(table, tmp_path, read_page):
    sets = table["kind"] == "geneset"
    table.loc[sets, ["p_spatial", "q_spatial", "testable", "reason"]] = [
        np.nan,
        np.nan,
        False,
        "1 of its 4 genes measured",
    ]
    page = read_page(write_associations(AssociationReport(table), tmp_path / "r.html").read_text())
    assert "None could be tested: too few of their genes were measured" in page.text
    assert "CD8B" in page.text
    assert "1 of its 4 genes measured" in page.text


def test_reasons_that_differ_in_numbers_are_counted_together(table):
    assert reason_counts(table) == [("gene", "3 spots in the habitat, 20 needed", 2), ("gene", "flat", 1)]


def test_tables_that_are_none_are_refused_together(table):
    with pytest.raises(InputError, match=r"2 problems: controls lacks control, what.*; fdr 2 is not between 0 and 1"):
        AssociationReport(table, controls=pd.DataFrame({"x": [1]}), fdr=2)
    with pytest.raises(InputError, match="table lacks q_competitive, testable"):
        AssociationReport(table.drop(columns=["q_competitive", "testable"]))
    with pytest.raises(InputError, match=r"an \.html file"):
        write_associations(AssociationReport(table), "r.txt")


def test_the_report_of_a_case_shows_what_its_claims_were_held_against(parts, tmp_path, read_page):
    from comould.report import CaseReport, write_case

    case = CaseReport(shift=parts["shift"], controls=parts["controls"])
    page = read_page(write_case(case, tmp_path / "c.html").read_text())
    assert "held" in page.ids
    assert "G<b> · H1: lost at 4.2 mm" in page.text
    assert "wrong plane" in page.text
    assert "held" not in read_page(write_case(CaseReport(), tmp_path / "d.html").read_text()).ids
    with pytest.raises(InputError, match="table controls lacks control"):
        CaseReport(controls=pd.DataFrame({"x": [1]}))
