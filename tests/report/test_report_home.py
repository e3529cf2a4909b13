"""The sections chapter: verdicts in icon, colour and words, every number and reason, pictures, hops, the stack."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from comould.io.section import Section
from comould.register import Clues, Hop, LandmarkPairs, RegistrationQuality, SectionRegistration, Stack, Uncertainty
from comould.register.pose import PlanePose
from comould.register.quality import LandmarkErrors, StageQuality
from comould.report import CaseReport
from comould.report.home import facts, section_cards, summary_rows
from comould.report.write import render_case
from comould.space import CutPlane, Grid, SlicePlan, Transform

HOSTILE = '<script>alert(1)</script> & "{{ 7*7 }}" $x$'


def quality(verdict="review", **changes):
    made = RegistrationQuality(
        verdict=verdict, reasons=("on one side the outlines lie 3.6 mm apart", HOSTILE), dice=0.912, hd95_mm=1.23,
        information=0.2, flipped=True, angle_deg=123.4, scale=1.0526, margin=0.21, ambiguous=False,
        second_best={"flipped": False, "angle_deg": 10.0, "score": 1.1},
        stage="affine",
        stages=(
            StageQuality("similarity", True, "", 0.9, 0.1, 1.0, 0.0, (1.0, 1.0), (1.0, 1.0)),
            StageQuality("bspline", False, "it folds", 0.9, 0.1, 1.0, 0.1, (0.0, 1.0), (1.0, 1.0)),
        ),
        folding_fraction=0.0, jacobian_range=(0.91, 1.12), spread_mm=0.34, sector_gap_mm=3.6, round_trip_mm=0.45,
        held_out=LandmarkErrors(("a", "b"), (1.0, 3.0), True), fitted=LandmarkErrors(("c",), (0.5,), False),
        pose=PlanePose(
            -0.7, (3.0, 4.0), (0.0, 0.0), ((0.04, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), (-1.0, 0.0, 1.0),
            (0.0, -1.0, -5.0), 30.0,
        ),
        plane_scores={"P0": 1.2, "P1": 1.4}, pieces_mm2=(120.0, 33.0),
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture(scope="module")
def world():
    grid = Grid((24, 22, 12), (1.0, 1.0, 2.0), (-11.0, -10.0, -12.0))
    k, j, i = np.indices(grid.shape)
    points = grid.patient_from_index(np.column_stack([i.ravel(), j.ravel(), k.ravel()]))
    inside = (((points / [8, 7, 8]) ** 2).sum(axis=1) < 1).reshape(grid.shape)
    values = (points[:, 0] + 50 * inside.ravel()).reshape(grid.shape).astype(np.float32)
    plan = SlicePlan(tuple(CutPlane.from_normal(f"P{n}", (0, 0, 4.0 * n), (0, 0, 1)) for n in (0, 1)))
    y, x = np.mgrid[:60, :70]
    tissue = ((x - 35) / 26) ** 2 + ((y - 30) / 23) ** 2 < 1
    picture = np.where(tissue[..., None], (180, 90, 150), (244, 243, 245)).astype(np.uint8)
    matrix = np.diag([0.03, 0.03, 0.03, 1.0])
    matrix[:2, 3] = -0.03 * 350, -0.03 * 300
    home = plan["P0"].patient_from_plane @ Transform.from_matrix("section_px", "plane", matrix)
    return SimpleNamespace(
        image=grid.to_image(values), mask=grid.to_image(inside.astype(np.uint8)), plan=plan, home=home,
        section=lambda name, plane="P0": Section(name, picture, 30.0, 10.0, plane),
    )  # fmt: skip


def registration(world, name="S1", verdict="review", hops=(), **changes):
    floor = Uncertainty(0.1, 0.3, (0.0, 0.0, 1.0))
    return SectionRegistration(name, "P0", world.home, (), quality(verdict, **changes), floor, hops=hops)


def stack_of(registrations):
    rows = [
        {
            "section": one.section_id, "plane": one.plane_id, "verdict": one.quality.verdict, "scale": 1.05,
            "expected_scale": np.nan, "offset_mm": -0.7, "offset_sd_mm": 0.2, "tilt_deg": 5.0, "best_plane": "P1",
        }
        for one in registrations
    ]  # fmt: skip
    return Stack({one.section_id: one for one in registrations}, float("nan"), pd.DataFrame(rows).set_index("section"))


@pytest.fixture(scope="module")
def full(world):
    px = np.array([[300.0, 250.0], [400.0, 350.0]])
    clues = Clues(
        landmarks=LandmarkPairs(("c", "d"), px, world.home.apply(px) + np.array([0.2, 0.0, 0.0])),
        held_out=LandmarkPairs((HOSTILE[:20], "b"), px, world.home.apply(px) - [0.0, 0.4, 0.0]),
    )
    hop = Hop("S1", HOSTILE, Transform.identity("section_px", "section_px"), (), quality("reject"))
    names = ("S1", "S2", HOSTILE)
    made = [
        registration(world, name, verdict, hops=(hop,) if name == "S1" else ())
        for name, verdict in zip(names, ("accept", "review", "reject"), strict=True)
    ]
    errors = pd.DataFrame({"section": ["S1"] * 2, "error_mm": [0.2, 0.4], "nothing_mm": [5.0, 6.0]})
    case = CaseReport(
        image=world.image, mask=world.mask, plan=world.plan, sections=[world.section(name) for name in names],
        registrations=made, stack=stack_of(made), landmarks={"S1": clues}, errors=errors,
    )  # fmt: skip
    return case, render_case(case)


def test_verdicts_are_said_in_words_and_drawn(full, read_page):
    page = read_page(full[1])
    badges = re.findall(r'<span class="badge (\w*)">(<svg.*?</svg>)(.*?)</span>', full[1])
    # Once in the table and once at each card.
    assert [(kind, word) for kind, _, word in badges] == 2 * [
        ("accept", "Accepted"), ("review", "Please review"), ("reject", "Rejected"),
    ]  # fmt: skip
    assert len({icon for _, icon, _ in badges}) == 3
    assert "on one side the outlines lie 3.6 mm apart" in page.text


def test_each_row_leads_to_its_card(full, read_page):
    page = read_page(full[1])
    cards = [a["id"] for a in page.all("article")]
    assert cards == ["section-1", "section-2", "section-3"]
    assert [link for link in page.links if link.startswith("#section-")] == [f"#{card}" for card in cards]
    assert len(page.ids) == len(set(page.ids))


def test_numbers_are_all_there(full, world):
    case, _ = full
    told = dict(facts(case, case.sections[0], case.registrations[0]))
    assert told == {
        "Plane": "P0", "Dice": "0.91", "Outlines apart (HD95)": "1.23 mm", "Worst side": "3.60 mm",
        "Round trip": "0.45 mm", "Held-out landmarks": "2.00, worst 3.00 mm (n = 2)",
        "Fitted landmarks": "0.50 mm (n = 1)",
        "Cut off its plane": "−0.7 ± 0.2 mm", "Tilt": "5.0°", "Spread when repeated": "0.34 mm",
        "Size on the slide": "95.0 %",
        "Rotation": "123°", "Flipped": "yes", "Lead over second best": "21 %",
        "Area, patient over slide": "0.91 to 1.12",
        "Folded": "0.0 %", "Pieces of tissue": "2: 120, 33 mm²", "Median error": "0.30 mm", "Nothing done": "5.50 mm",
    }  # fmt: skip


def test_what_is_unknown_is_left_out(world, read_page):
    bare = registration(
        world, pose=None, plane_scores=None, held_out=None, fitted=None, spread_mm=float("nan"),
        round_trip_mm=float("nan"), pieces_mm2=(), stages=(),
    )  # fmt: skip
    case = CaseReport(sections=[world.section("S1")], registrations=[bare])
    (card,) = section_cards(case)
    assert card["pictures"] == card["charts"] == []
    assert card["hops"] is None
    assert not {"Spread when repeated", "Round trip", "Tilt", "Cut off its plane", "Pieces of tissue"} & set(
        dict(card["facts"])
    )
    overview = summary_rows(case, [card])
    assert overview["headings"] == ["Plane", "Dice", "Worst side", "Size"]
    # Only what is in the table is explained.
    assert re.findall(r"(\w[\w ]*):", overview["note"]) == ["Worst side", "Size"]
    assert summary_rows(case, []) is None
    assert not re.search(r"\bnan\b|\bNone\b", read_page(render_case(case)).text)


def test_pictures_and_charts_of_a_card(full, read_page):
    page = read_page(full[1])
    alts = [a["alt"] for a in page.all("img")]
    for said in ("bends section S1", "Standard deviation of the place of section S1", "Landmarks of section S1"):
        assert sum(said in alt for alt in alts) == 1
    assert sum("Landmarks of section" in alt for alt in alts) == 1
    assert sum("Log-likelihood of each offset" in alt for alt in alts) == 3
    assert sum("Score on each plane" in alt for alt in alts) == 3
    assert sum("Size on the slide over size in the patient" in alt for alt in alts) == 1
    assert "Too few sections for a common shrinkage." in page.text


def test_hops_carry_their_own_verdicts(full, read_page):
    page = read_page(full[1])
    assert "Pictures on the way, each with its own verdict" in page.text
    assert f"S1 → {HOSTILE}" in " ".join(page.words)
    assert "Stages: similarity kept, bspline not kept (it folds)." in page.text


def test_nothing_foreign_runs_and_nothing_is_fetched(full, read_page):
    page = read_page(full[1])
    assert all(link.startswith(("data:", "#")) for link in page.links)
    outside = re.sub(r"data:[\w/+]+;base64,[A-Za-z0-9+/=]+|\"[A-Za-z0-9+/=]{4,}\"", "", full[1])
    assert not re.search(r"https?:|//[a-z]|url\(|@import|javascript:", outside)
    assert page.all("script") == [{"type": "application/json", "id": "explore-data"}, {}]
    assert "& 49" not in page.text
    assert '"49"' not in page.text
    assert HOSTILE in " ".join(page.words)


def test_blank_slides_and_look_alikes_without_uncertainty_are_shown_all_the_same(world, read_page):
    blank = replace(world.section("S1"), image=np.full((60, 70, 3), 243, np.uint8))
    plain = SimpleNamespace(
        section_id="S1", plane_id="P0", patient_from_section_px=world.home,
        quality=SimpleNamespace(verdict="strange", reasons=[]),
    )  # fmt: skip
    case = CaseReport(image=world.image, mask=world.mask, plan=world.plan, sections=[blank], registrations=[plain])
    (card,) = section_cards(case)
    assert (card["verdict"], card["word"]) == ("", "strange")
    assert len(card["pictures"]) == 4
    assert "strange" in read_page(render_case(case)).text
