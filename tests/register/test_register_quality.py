import pytest

from comould.errors import InputError
from comould.register import RegistrationQuality, Thresholds
from comould.register.quality import verdict

GOOD = {
    "dice": 0.97,
    "hd95_mm": 0.8,
    "radius_mm": 20.0,
    "information": 0.5,
    "margin": 0.2,
    "area_ratio": 1.2,
    "spread_mm": 0.2,
}


def test_good_numbers_are_accepted():
    assert verdict(Thresholds(), **GOOD) == ("accept", ())
    assert verdict(Thresholds(), **{**GOOD, "spread_mm": float("nan")}) == ("accept", ())


@pytest.mark.parametrize(
    ("change", "word", "said"),
    [
        ({"dice": 0.6}, "reject", "overlap (Dice) 0.60 is below 0.70"),
        ({"area_ratio": 0.2}, "reject", "the tissue covers 20%"),
        ({"dice": 0.8}, "review", "below 0.88"),
        ({"hd95_mm": 4.0}, "review", "4.0 mm apart"),
        ({"margin": 0.01}, "review", "lead 1.0%"),
        ({"information": 0.01}, "review", "0.010 nats"),
        ({"spread_mm": 2.0}, "review", "spread by 2.0 mm"),
    ],
)
def test_each_rule_speaks(change, word, said):
    found, reasons = verdict(Thresholds(), **{**GOOD, **change})
    assert found == word
    assert len(reasons) == 1
    assert said in reasons[0]


def test_every_reason_is_named_and_the_gravest_decides():
    found, reasons = verdict(Thresholds(), **{**GOOD, "dice": 0.5, "margin": 0.0, "spread_mm": 3.0})
    assert found == "reject"
    assert len(reasons) == 3


def test_thresholds_can_be_moved():
    assert verdict(Thresholds(reject_dice=0.98), **GOOD)[0] == "reject"


def test_unknown_data_is_refused():
    with pytest.raises(InputError, match="registration quality: expected the keys verdict"):
        RegistrationQuality.from_dict({"verdict": "accept"})
