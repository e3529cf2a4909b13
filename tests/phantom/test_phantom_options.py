"""Options are checked when made, and every problem is named at once."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.errors import InputError
from comould.phantom import CutOptions, SpecimenOptions, specimen
from comould.phantom.cut_options import CUT_RANGES, PRESETS
from comould.phantom.options import _SPECIMEN_RANGES, checked_seed, make


def test_defaults_are_valid_and_frozen():
    options = SpecimenOptions()
    with pytest.raises(dataclasses.FrozenInstanceError, match="volume_ml"):
        options.volume_ml = 3.0
    assert CutOptions().shrinkage == 0.06


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"volume_ml": 0.0}, r"volume_ml 0\.0 is outside 2 to 2000"),
        ({"volume_ml": float("nan")}, "volume_ml nan is outside"),
        ({"volume_ml": "60"}, "volume_ml '60' is not a number"),
        ({"spacing_mm": (0.6, 0.6)}, "spacing_mm .* is not 3 numbers"),
        ({"spacing_mm": (0.6, 0.6, -3.0)}, "spacing_mm .* is outside"),
        ({"subsamples": 2.5}, "subsamples 2.5 is not a whole number"),
        ({"cysts": True}, "cysts True is not a whole number"),
        ({"n_genes": 100}, "n_genes 100 is outside 300"),
        ({"habitats": ("immune-hot", "hypoxic")}, "are not three or four different ones"),
        ({"habitats": ("immune-hot", "hypoxic", "hypoxic")}, "are not three or four different ones"),
        ({"habitats": ("immune-hot", "hypoxic", "fatty")}, "are not three or four different ones"),
        ({"min_fraction": 0.22}, "min_fraction 0.22 leaves no room for 4"),
    ],
)
def test_bad_specimen_options(given, message):
    with pytest.raises(InputError, match=message):
        SpecimenOptions(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shrinkage": 0.9}, r"shrinkage 0\.9 is outside"),
        ({"bending_mm": -1.0}, "bending_mm -1.0 is outside 0 to 20"),
        ({"capture_mm": 0.0}, "capture_mm 0.0 is not a positive length"),
        ({"capture_mm": float("inf")}, "capture_mm inf is not a positive length"),
        ({"pixel_size_um": 80.0}, "image_pixel_um 50.0 is finer than pixel_size_um 80.0"),
        ({"spot_pitch_um": 1.0}, "spot_pitch_um 1.0 is outside"),
    ],
)
def test_bad_cut_options(given, message):
    with pytest.raises(InputError, match=message):
        CutOptions(**given)


def test_every_problem_is_named_at_once():
    with pytest.raises(InputError, match=r"2 problems: volume_ml .*; t2_snr"):
        SpecimenOptions(volume_ml=1.0, t2_snr=0.0)


def test_unknown_option_lists_the_known():
    with pytest.raises(InputError, match=r"expected options among volume_ml, .*, found volume\. "):
        specimen(volume=3)


@pytest.mark.parametrize("seed", [-1, 1.5, "0", None, True])
def test_bad_seed(seed):
    with pytest.raises(InputError, match="phantom seed: expected a whole number of 0 or more"):
        checked_seed(seed)


def test_every_numeric_option_has_a_range():
    for kind, ranges in ((SpecimenOptions, _SPECIMEN_RANGES), (CutOptions, CUT_RANGES)):
        free = {f.name for f in dataclasses.fields(kind)} - set(ranges)
        assert free <= {"habitats", "rotate", "flip", "capture_mm", "tell_face", "adjacent", "photo"}


@given(name=st.sampled_from(sorted(CUT_RANGES)), share=st.floats(0.0, 1.0))
def test_any_value_in_range_is_taken(name, share):
    low, high = CUT_RANGES[name]
    value = min(low + share * (high - low), high)
    value = round(value) if isinstance(getattr(CutOptions(), name), int) else value
    rest = {"image_pixel_um": 1000.0} if name == "pixel_size_um" else {"pixel_size_um": 1.0}
    rest.pop(name, None)
    assert getattr(make(CutOptions, {name: max(value, 1.0) if "pixel" in name else value, **rest}, "cut"), name) >= low


def test_difficulties_rise_and_may_be_overridden():
    easy, medium, hard = (CutOptions.preset(name) for name in ("easy", "medium", "hard"))
    for name in ("shrinkage", "bending_mm", "stain_sd", "fade", "tint", "blur_um"):
        values = [getattr(options, name) for options in (easy, medium, hard)]
        assert values == sorted(values), name
    assert (hard.shrinkage, hard.bending_mm, hard.offset_mm, hard.tilt_deg) == (0.15, 3.0, 1.0, 5.0)
    assert CutOptions.preset(None) == CutOptions()
    assert CutOptions.preset("hard", {"tilt_deg": 0.0}).tilt_deg == 0.0
    assert set(PRESETS) == {"easy", "medium", "hard"}


@pytest.mark.parametrize("bad", ["Hard", "", "impossible", 3])
def test_unknown_difficulty(bad):
    with pytest.raises(InputError, match="difficulty: expected one of easy, medium, hard, found"):
        CutOptions.preset(bad)
