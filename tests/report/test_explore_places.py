"""Spots without a slide can be paged to: on a plane of the plan that they lie on, or on one laid through them."""

import json
import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from comould.report import AssociationReport, CaseReport, write_associations
from comould.report.explore.places import planes_to_show
from comould.report.write import render_case
from comould.space import CutPlane, Grid, SlicePlan

NORMAL = np.array([0.2, -0.3, 0.9327379053088815])


def spots_on(plane, name, noise=0.0):
    rng = np.random.default_rng(1)
    u, v = np.meshgrid(np.arange(-6.0, 7.0, 2.0), np.arange(-4.0, 5.0, 2.0))
    flat = np.column_stack([u.ravel(), v.ravel()])
    place = np.asarray(plane.origin_mm) + flat @ np.array([plane.u, plane.v])
    place = place + noise * rng.normal(size=(len(place), 1)) * np.asarray(plane.normal)
    counts = rng.poisson(5, (len(place), 3)).astype(np.float32)
    obs = pd.DataFrame({"section": name, "score_a|b": place[:, 0]}, index=[f"{name}{n}" for n in range(len(place))])
    return ad.AnnData(counts, obs, pd.DataFrame(index=["G0", "G1", "G2"]), obsm={"spatial_patient": place})


def box():
    grid = Grid((20, 20, 12), (1.0, 1.0, 1.5), (-9.5, -9.5, -8.25))
    inside = np.zeros(grid.shape, np.uint8)
    inside[2:-2, 2:-2, 2:-2] = 1
    return grid.to_image(inside)


def test_spots_go_to_the_plane_they_lie_on_or_get_their_own():
    plan = SlicePlan((CutPlane.from_normal("P1", (0, 0, -4.0), (0, 0, 1)),))
    tilted = CutPlane.from_normal("x", (1.0, 0.0, 3.0), NORMAL)
    spots = [spots_on(CutPlane.from_normal("y", (0, 0, -3.6), (0, 0, 1)), "S1"), spots_on(tilted, "P1", noise=0.01)]
    planes, alone = planes_to_show(CaseReport(mask=box(), plan=plan, spots=spots))
    assert [plane.id for plane in planes] == ["P1", "P1 (spots)"]
    assert alone == {"P1": ["S1"], "P1 (spots)": ["P1"]}
    assert np.dot(planes[1].normal, NORMAL) == pytest.approx(1.0, abs=1e-4)
    assert planes_to_show(CaseReport(mask=box())) == ([], {})


def test_a_specimen_without_imaging_shows_its_spots():
    plane = CutPlane.from_normal("S1", (0, 0, 0.0), (0, 0, 1))
    page = render_case(CaseReport(mask=box(), spots=spots_on(plane, "S1")))
    data = json.loads(re.search(r'id="explore-data">(.*?)</script>', page, re.DOTALL)[1])
    assert [(stop["plane"], stop["section"]) for stop in data["stops"]] == [("S1", "S1")]
    assert data["stops"][0]["outline"]
    assert "grey" not in data["stops"][0]
    assert "layer-grey" not in page


def test_the_page_of_the_tests_shows_scores_of_sets_where_they_are(tmp_path, browser):
    """Spots lie at their millimetres; the set's score rises to the patient's left, so does its colour."""
    plane = CutPlane.from_normal("S1", (0, 0, 0.0), (0, 0, 1))
    names = ("statistic", "n_effective", "p_naive", "q_naive", "p_spatial", "q_spatial", "p_competitive",
             "q_competitive")  # fmt: skip
    row = {"kind": "gene", "habitat": "H1", "testable": True, "reason": "", "log2_fold_change": 0.1}
    table = pd.DataFrame([row | {"feature": f"G{n}"} | dict.fromkeys(names, 0.5) for n in range(3)])
    report = AssociationReport(table, spots=spots_on(plane, "S1"), labels=sitk.Cast(box(), sitk.sitkUInt8))
    path = write_associations(report, tmp_path / "report.html")
    with browser.Tab(path, (1200, 1000), webgl=False) as tab:
        assert tab.run("return [...at('explore-colour').options].map((one) => one.textContent)")[0] == "set a|b"
        seen = tab.run("""
          for (const name of ["habitats", "outline"]) await put(`layer-${name}`, 0);
          await put("layer-spots", 100);
          const bright = look("slice", (r, g, b) => r > 220 && g > 200 && b < 90);
          const dark = look("slice", (r, g, b) => r < 90 && r > 50 && g < 40 && b > 70);
          return [bright, dark, at("explore-which").textContent];
        """)
        assert tab.said == []
    bright, dark, which = seen
    assert which == "section S1"
    assert bright["share"] > 0
    assert dark["share"] > 0
    assert dark["x"] < 0.45
    assert bright["x"] > 0.55
