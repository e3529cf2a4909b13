"""The page is one file that needs nothing, hides nothing it should say, and escapes whatever it is given."""

import base64
import hashlib
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from comould.errors import InputError
from comould.io.output import provenance
from comould.io.section import Section
from comould.report import CaseReport, write_case
from comould.report.facts import flat_items, number
from comould.report.write import render_case
from comould.space import CutPlane, Grid, SlicePlan, Transform

HOSTILE = "<script>alert(1)</script>\" onload='x' $\\frac$ & {{ 7*7 }}"


def world(section_id="S1"):
    """An ellipsoid, two planes and a slide lying exactly on the first."""
    grid = Grid((24, 22, 12), (1.0, 1.0, 2.0), (-11.0, -10.0, -12.0))
    k, j, i = np.indices(grid.shape)
    points = grid.patient_from_index(np.column_stack([i.ravel(), j.ravel(), k.ravel()]))
    inside = (((points / [8, 7, 8]) ** 2).sum(axis=1) < 1).reshape(grid.shape)
    values = (points[:, 0] + 50 * inside.ravel()).reshape(grid.shape).astype(np.float32)
    labels = np.where(inside, 1 + (points[:, 0] > 0).reshape(grid.shape), 0).astype(np.uint8)
    plan = SlicePlan(tuple(CutPlane.from_normal(f"P{n}", (0, 0, 4.0 * n), (0, 0, 1), kerf_mm=0.4) for n in (0, 1)))
    y, x = np.mgrid[:60, :70]
    tissue = ((x - 35) / 26) ** 2 + ((y - 30) / 23) ** 2 < 1
    picture = np.where(tissue[..., None], (180, 90, 150), (244, 243, 245)).astype(np.uint8)
    section = Section(section_id, picture, 30.0, 10.0, "P0")
    matrix = np.diag([0.03, 0.03, 0.03, 1.0])
    matrix[:2, 3] = -0.03 * 350, -0.03 * 300
    home = plan["P0"].patient_from_plane @ Transform.from_matrix("section_px", "plane", matrix)
    quality = SimpleNamespace(verdict="review", dice=0.91, angle_deg=12.0, flipped=True, reasons=[HOSTILE])
    registration = SimpleNamespace(section_id=section_id, plane_id="P0", patient_from_section_px=home, quality=quality)
    return SimpleNamespace(
        grid=grid, image=grid.to_image(values), mask=grid.to_image(inside), labels=grid.to_image(labels), plan=plan,
        section=section, registration=registration,
    )  # fmt: skip


def tables(section_id="S1", gene="G"):
    errors = pd.DataFrame(
        {"section": [section_id] * 4, "error_mm": [0.2, 0.3, 0.4, 0.5], "nothing_mm": [3.0, 4.0, 5.0, 6.0]}
    ).assign(sd_mm=0.3)
    results = pd.DataFrame(
        {
            "feature": [f"{gene}{n}" for n in range(6)] + ["a set"],
            "kind": ["gene"] * 6 + ["geneset"],
            "habitat": ["H1", "H2"] * 3 + ["H1"],
            "log2_fold_change": [1.0, -1.0, 0.5, 0.2, 0.1, 0.0, 0.4],
            "p_spatial": [1e-4, 2e-4, 0.2, 0.3, np.nan, 0.9, 0.01],
            "p_naive": [1e-9, 1e-9, 1e-5, 1e-4, 0.2, 0.9, 1e-4],
            "q_spatial": [0.001, 0.001, 0.4, 0.5, np.nan, 0.9, 0.02],
            "q_naive": [1e-8, 1e-8, 1e-4, 1e-3, 0.3, 0.9, 1e-3],
        }
    )
    genes = pd.DataFrame({"habitat": ["H1", "H2", "", "", "", ""]}, index=[f"{gene}{n}" for n in range(6)])
    return errors, results, genes


def spots_on(made, gene="G"):
    import anndata as ad

    xy = np.array([[x, y] for x in range(150, 560, 60) for y in range(150, 460, 60)], dtype=float)
    adata = ad.AnnData(
        np.random.default_rng(0).poisson(4, (len(xy), 6)).astype(np.float32),
        obs=pd.DataFrame({"section": made.section.id, "habitat": "H1"}, index=[f"s{n}" for n in range(len(xy))]),
        var=pd.DataFrame(index=[f"{gene}{n}" for n in range(6)]),
    )
    adata.obsm["spatial"] = xy
    return adata


@pytest.fixture(scope="module")
def mould():
    from trimesh.creation import box

    made = world()
    return SimpleNamespace(
        bodies={"mould": box(bounds=[(-15, -15, -10), (15, 15, 0)])},
        specimen=box(bounds=[(-8, -7, -8), (8, 7, 8)]),
        plan=made.plan,
        mould_from_patient=Transform.identity("patient", "mould"),
    )


@pytest.fixture(scope="module")
def full(mould):
    made = world(HOSTILE)
    errors, results, genes = tables(HOSTILE, "<b>G")
    habitats = SimpleNamespace(
        labels=made.labels,
        table=pd.DataFrame({"label": [1, 2], "volume_ml": [1.25, 0.5], HOSTILE: ["<i>", 2]}, index=["H1", "H2"]),
        selection=pd.DataFrame({"n_habitats": [2, 3], "stability": [0.9, 0.5], "chosen": [True, False]}),
    )
    case = CaseReport(
        title=HOSTILE, simulated=True, mould=mould, image=made.image, mask=made.mask, sections=[made.section],
        registrations=[made.registration], spots=spots_on(made, "<b>G"), errors=errors, habitats=habitats,
        habitat_names={1: HOSTILE}, results=results, genes=genes,
        provenance=provenance(parameters={HOSTILE: [HOSTILE]}, seed=4), seconds={HOSTILE: 1.5},
    )  # fmt: skip
    return render_case(case)


def test_page_is_valid_and_complete(full, read_page):
    page = read_page(full)
    assert full.startswith("<!DOCTYPE html>")
    chapters = [
        "explore",
        "mould",
        "planes",
        "sections",
        "accuracy",
        "habitats",
        "spots",
        "genes",
        "limits",
        "checklists",
        "provenance",
    ]
    assert [a["id"] for a in page.all("section")] == chapters
    assert len(page.ids) == len(set(page.ids))
    assert {a["aria-labelledby"] for a in page.all("section")} <= set(page.ids)
    anchors = [link[1:] for link in page.links if link.startswith("#")]
    assert set(anchors) <= set(page.ids)
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("nav")) == 1
    assert page.all("html")[0]["lang"] == "en"
    assert any(a.get("name") == "viewport" for a in page.all("meta"))


def test_page_needs_no_network_and_runs_no_script_but_its_own(full, read_page):
    page = read_page(full)
    assert all(link.startswith(("data:", "#")) for link in page.links)
    outside = re.sub(r"data:[\w/+]+;base64,[A-Za-z0-9+/=]+|\"[A-Za-z0-9+/=]{4,}\"", "", full)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|javascript:", outside)
    assert page.all("iframe") == page.all("link") == page.all("form") == []
    assert page.all("script") == [{"type": "application/json", "id": "explore-data"}, {}]
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    own = full[full.rindex("<script>") + 8 : full.rindex("</script>")]
    assert not re.search(r"fetch\(|XMLHttp|WebSocket|eval\(|Function\(|innerHTML|document\.write|import\(", own)
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert re.findall(r"script-src ([^;]*);", policy) == [f"'sha256-{digest}'"]


def test_hostile_text_stays_text(full, read_page):
    page = read_page(full)
    assert not any(k.startswith("on") for _, attrs in page.tags for k in attrs)
    assert HOSTILE in " ".join(page.words)
    assert "& 49" not in page.text
    assert "<b>G0" in page.text
    assert "<i>" in page.text
    svg = [
        base64.b64decode(link.split(",", 1)[1]).decode() for link in page.links if link.startswith("data:image/svg+xml")
    ]
    assert svg
    for text in svg:
        names = {element.tag.rsplit("}", 1)[-1] for element in ElementTree.fromstring(text).iter()}
        assert not names & {"script", "foreignObject", "image", "b", "a"}
        assert "$" not in "".join(re.findall(r">([^<]*)</text>", text)) or "frac" in text


def test_every_picture_says_what_it_shows_and_how_big_it_is(full, read_page):
    page = read_page(full)
    images = page.all("img")
    assert len(images) > 15
    for attrs in images:
        assert len(attrs["alt"]) > 10
        assert int(attrs["width"]) > 100
        assert int(attrs["height"]) > 40
    assert len(full) < 3e6


def test_simulation_is_said_plainly(full, read_page):
    text = read_page(full).text
    assert "Simulated specimen" in text
    assert "Simulated truth" in text
    assert "known" in text
    assert "Research use only" in text
    assert "Real tissue tears, folds and shrinks" in text


def test_key_numbers_are_those_of_the_tables(full, read_page):
    text = read_page(full).text
    assert "Half of all spots lie within 0.35 mm" in text
    assert "with nothing done it would be 4.5 mm" in text
    assert "would claim 4 genes; the spatial test claims 2" in text
    assert "2 of the naive claims and 0 of the spatial claims are wrong" in text
    assert "Of 1 section brought back to the image, 1 to review" in text
    assert "Please review" in text
    assert "91" in text


def test_an_empty_case_is_still_a_page(read_page):
    page = read_page(render_case(CaseReport()))
    assert [a["id"] for a in page.all("section")] == ["limits"]
    assert "Simulated" not in page.text
    assert page.all("img") == page.all("dl") == page.all("script") == []
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "script-src" not in policy
    assert page.all("h1")


ALONE = {
    "mould": ["explore", "mould"],
    "image mask": ["explore"],
    "image mask plan": ["explore", "planes"],
    "image mask plan sections": ["explore", "planes"],
    "sections registrations": ["sections"],
    "errors": ["accuracy"],
    "results": ["genes", "checklists"],
    "results genes": ["genes", "checklists"],
    "habitats": ["habitats", "checklists"],
    "image mask habitats": ["explore", "habitats", "checklists"],
    "spots sections": ["spots"],
    "spots": [],
    "provenance": ["provenance"],
}


@pytest.mark.parametrize("names", ALONE)
def test_parts_stand_alone(mould, names, read_page):
    """Whatever is missing leaves no heading, no link and no gap in the words."""
    made = world()
    errors, results, genes = tables()
    parts = {
        "mould": mould, "image": made.image, "mask": made.mask, "plan": made.plan, "sections": [made.section],
        "registrations": [made.registration], "errors": errors, "results": results, "genes": genes,
        "habitats": SimpleNamespace(labels=made.labels, table=None, selection=None), "spots": spots_on(made),
        "provenance": {"seed": 1},
    }  # fmt: skip
    page = read_page(render_case(CaseReport(**{name: parts[name] for name in names.split()})))
    ids = [a["id"] for a in page.all("section")]
    assert sorted(ids) == sorted([*ALONE[names], "limits"])
    cards = [a["id"] for a in page.all("article")]
    assert [link[1:] for link in page.links if link.startswith("#")] == ["main", *ids, *cards]
    assert not re.search(r"\bnan\b|\bNone\b", page.text)


def test_real_cases_do_not_speak_of_simulation(mould, read_page):
    made = world()
    errors, _, _ = tables()
    page = read_page(render_case(CaseReport(errors=errors, image=made.image, mask=made.mask, plan=made.plan)))
    assert "imulated truth" not in page.text.replace("against simulated truth", "")
    assert "Real tissue tears" not in page.text


def test_same_case_same_page():
    made = world()
    errors, _, _ = tables()
    case = CaseReport(image=made.image, mask=made.mask, plan=made.plan, errors=errors)
    assert render_case(case) == render_case(case)


def test_write_replaces_only_when_complete(tmp_path, monkeypatch):
    target = tmp_path / "report.html"
    assert write_case({"title": "One"}, target) == target
    assert "<title>One</title>" in target.read_text(encoding="utf-8")
    monkeypatch.setattr("os.fdopen", _full_disk)
    with pytest.raises(OSError, match="no space"):
        write_case({"title": "Two"}, target)
    assert "<title>One</title>" in target.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def _full_disk(handle, *_args, **_more):
    import os

    os.close(handle)
    raise OSError("no space")


def test_bad_cases_are_refused(tmp_path):
    made = world()
    with pytest.raises(InputError, match="ids used twice: S1"):
        CaseReport(sections=[made.section, made.section])
    with pytest.raises(InputError, match="image and mask go together"):
        CaseReport(image=made.image)
    with pytest.raises(InputError, match="table errors lacks nothing_mm"):
        CaseReport(errors=pd.DataFrame({"section": [], "error_mm": []}))
    with pytest.raises(InputError, match="found colour"):
        write_case({"colour": 1}, tmp_path / "x.html")
    with pytest.raises(InputError, match=r"an \.html file"):
        write_case({}, tmp_path / "x.pdf")
    with pytest.raises(InputError, match="not between 0 and 1"):
        CaseReport(fdr=5)


def test_numbers_for_reading():
    shown = [
        number(v) for v in (0.123456, 12345.6, -0.5, 1.2e-7, np.nan, None, 3, True, "x", np.float32(2), np.int64(7))
    ]
    assert shown == ["0.123", "12,346", "−0.5", "1.2 × 10⁻⁷", "–", "–", "3", "yes", "x", "2", "7"]


def test_nested_facts_are_flat():
    data = {"a": {"b_c": 1, "d": [1, 2]}, "long": list(range(20)), "deep": [{"x": 1}]}
    assert flat_items(data) == [("a · b c", "1"), ("a · d", "1, 2"), ("long", "20 entries"), ("deep", "1 entries")]
