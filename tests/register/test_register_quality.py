"""Verdict: every rule of the thresholds file, and nothing else."""

from dataclasses import replace

import pytest

from comould.errors import InputError
from comould.register import LandmarkErrors, PlanePose, RegistrationQuality, Thresholds
from comould.register.thresholds import OWN_FILE, judged, with_planes

POSE = PlanePose(
    0.2, (1.0, 0.5), (0.0, 0.0), ((0.1, 0, 0), (0, 1, 0), (0, 0, 1)), (-1.0, 0.0, 1.0), (-3.0, 0.0, -2.0), 40
)
GOOD = RegistrationQuality(
    verdict="review", reasons=(), dice=0.95, hd95_mm=0.8, information=0.3, flipped=False, angle_deg=10.0, scale=1.05,
    margin=0.3, ambiguous=False, second_best={}, stage="bspline", stages=(), folding_fraction=0.0,
    jacobian_range=(0.8, 1.2), spread_mm=0.3, area_ratio=0.9, radius_mm=20.0, sector_gap_mm=0.5, round_trip_mm=0.4,
    held_out=LandmarkErrors(("a", "b"), (0.5, 1.0), held_out=True), pose=POSE, pieces_mm2=(800.0,),
)  # fmt: skip


def errors(*mm):
    return LandmarkErrors(tuple(map(str, range(len(mm)))), mm, held_out=True)


def fitted(*mm):
    return replace(errors(*mm), held_out=False)


def test_a_good_one_is_accepted_without_a_word():
    found = judged(GOOD, Thresholds.load())
    assert (found.verdict, found.reasons) == ("accept", ())


def test_what_was_not_measured_is_no_reason():
    found = judged(
        replace(GOOD, spread_mm=float("nan"), round_trip_mm=float("nan"), held_out=None, pose=None), Thresholds.load()
    )
    assert found.verdict == "accept"


@pytest.mark.parametrize(
    ("change", "verdict", "said"),
    [
        ({"dice": 0.5}, "reject", "overlap (Dice) 0.50 is below 0.70"),
        ({"dice": 0.8}, "review", "overlap (Dice) 0.80 is below 0.88"),
        ({"hd95_mm": 3.0}, "review", "the outlines lie 3.0 mm apart (HD95)"),
        ({"sector_gap_mm": 4.0}, "review", "on one side the outlines lie 4.0 mm apart"),
        ({"margin": -0.09}, "review", "another face or turn fits better outside, worse inside"),
        ({"margin": 0.01}, "review", "another face or turn fits nearly as well (lead 1.0%)"),
        ({"information": 0.01}, "review", "stain and imaging share 0.010 nats only"),
        ({"spread_mm": 2.0}, "review", "repeated registrations spread by 2.0 mm"),
        ({"area_ratio": 0.1}, "reject", "the tissue covers 0.1 of the specimen's area in the plane"),
        ({"area_ratio": 2.0}, "review", "the tissue is 2 times as large as the specimen there"),
        ({"area_ratio": 4.0}, "reject", "the tissue is 4 times as large as the specimen there"),
        (
            {"area_ratio": 100.0},
            "reject",
            "the tissue is 1e+02 times as large as the specimen there; is the pixel size right?",
        ),
        ({"folding_fraction": 0.01}, "reject", "the map folds 1.00% of the tissue"),
        ({"round_trip_mm": 3.0}, "review", "there and back ends 3.0 mm away"),
        ({"round_trip_mm": 9.0}, "reject", "there and back ends 9.0 mm away"),
        ({"held_out": errors(3.0, 3.0)}, "review", "held-out landmarks are 3.0 mm off on average"),
        ({"held_out": errors(6.0, 6.0)}, "reject", "held-out landmarks are 6.0 mm off on average"),
        ({"held_out": errors(0.1, 0.1, 0.1, 5.2)}, "review", "held-out landmark '3' is 5.2 mm off"),
        ({"face_lead": 0.1}, "review", "the other face fits better than the one named (by 10%)"),
        ({"face_lead": 0.8}, "reject", "the other face fits better than the one named (by 80%)"),
        ({"face_lead": 0.02}, "accept", "the pictures do not tell the face named from the other"),
        ({"fitted": fitted(0.2, 50.0)}, "review", "landmark '1' is 50.0 mm off though it was fitted"),
        ({"findings": ("a hair",)}, "review", "a hair"),
        ({"notes": ("a speck",)}, "accept", "a speck"),
        ({"pieces_mm2": (500.0, 400.0)}, "review", "2 pieces of tissue: 500 mm² and 400 mm²"),
        ({"pose": replace(POSE, offset_mm=-2.5)}, "review", "the cut seems to lie -2.5 mm from its plane"),
        ({"pose": replace(POSE, tilt_deg=(6.0, 8.0))}, "review", "the cut seems tilted by 10°"),
    ],
)
def test_each_rule(change, verdict, said):
    found = judged(replace(GOOD, **change), Thresholds.load())
    assert found.verdict == verdict
    assert said in found.reasons


def test_fitted_landmarks_are_no_proof():
    assert judged(replace(GOOD, dice=0.2, fitted=fitted(0.0)), Thresholds.load()).verdict == "reject"
    assert judged(replace(GOOD, fitted=fitted(0.5)), Thresholds.load()).verdict == "accept"


def test_a_face_that_fits_as_named_is_not_mentioned():
    assert judged(replace(GOOD, face_lead=-0.4), Thresholds.load()).reasons == ()


def test_every_reason_is_named_and_the_gravest_decides():
    found = judged(replace(GOOD, dice=0.5, margin=0.0, spread_mm=3.0), Thresholds.load())
    assert found.verdict == "reject"
    assert len(found.reasons) == 3
    assert found.reasons[0].startswith("overlap")


def test_a_better_plane_is_told_and_nothing_is_moved():
    good = judged(GOOD, Thresholds.load())
    told = with_planes(good, Thresholds.load(), {"P01": 1.0, "P02": 1.2}, "P01")
    assert told.verdict == "review"
    assert told.reasons == ("plane P02 fits better (1.20 against 1.00); nothing was moved",)
    assert with_planes(good, Thresholds.load(), {"P01": 1.0, "P02": 1.01}, "P01").verdict == "accept"
    bad = judged(replace(GOOD, dice=0.2), Thresholds.load())
    assert with_planes(bad, Thresholds.load(), {"P01": 1.0, "P02": 1.2}, "P01").verdict == "reject"


def test_thresholds_from_a_file(tmp_path):
    own = tmp_path / "strict.yaml"
    own.write_text(OWN_FILE.read_text(encoding="utf-8").replace("reject_dice: 0.70", "reject_dice: 0.98"))
    assert judged(GOOD, Thresholds.load(own)).verdict == "reject"


def test_a_wrong_thresholds_file_names_every_problem(tmp_path):
    own = tmp_path / "wrong.yaml"
    text = OWN_FILE.read_text(encoding="utf-8")
    own.write_text(
        text.replace("reject_dice: 0.70", "reject_dise: 0.7").replace("review_margin: 0.05", "review_margin: yes")
    )
    with pytest.raises(InputError, match=r"reject_dise is no threshold; reject_dice is missing; review_margin is True"):
        Thresholds.load(own)
    own.write_text("- a\n- b\n")
    with pytest.raises(InputError, match="a list of name: number, found list"):
        Thresholds.load(own)
    with pytest.raises(InputError, match="expected readable YAML"):
        Thresholds.load(tmp_path / "none.yaml")


def test_plain_data_and_back():
    judged_ = judged(GOOD, Thresholds.load())
    assert RegistrationQuality.from_dict(judged_.to_dict()) == judged_
    told = replace(judged_, face_lead=0.1, findings=("a hair",), notes=("a speck",))
    assert RegistrationQuality.from_dict(told.to_dict()) == told
    older = {key: value for key, value in judged_.to_dict().items() if key not in {"face_lead", "findings", "notes"}}
    assert RegistrationQuality.from_dict(older) == judged_
    with pytest.raises(InputError, match="registration quality: expected the keys verdict"):
        RegistrationQuality.from_dict({"verdict": "accept"})
