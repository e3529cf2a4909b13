"""Choosing one region: exact name, any case, number; never a guess."""

import pytest

from comould.errors import InputError
from comould.io.roi import Roi, choose

ROIS = [Roi(4, "GTV"), Roi(1, "gtv"), Roi(2, "Tumour bed "), Roi(9, "4")]


@pytest.mark.parametrize(
    ("roi", "number"),
    [("GTV", 4), ("gtv", 1), ("tumour bed", 2), ("TUMOUR BED", 2), (4, 4), ("4", 9), ("1", 1), (9, 9), (" 2 ", 2)],
)
def test_names_before_numbers_and_exact_case_before_any(roi, number):
    assert choose(ROIS, roi, subject="s").number == number


@pytest.mark.parametrize("roi", ["Gtv", "bed", "", 3, -1, "-1", "1.0"])
def test_absent_or_ambiguous_lists_everything(roi):
    with pytest.raises(InputError, match=r"1 'gtv', 2 'Tumour bed ', 4 'GTV', 9 '4'\. Choose by name or number"):
        choose(ROIS, roi, subject="s")


def test_the_only_one_needs_no_choice():
    assert choose(ROIS[:1], None, subject="s") == ROIS[0]
    with pytest.raises(InputError, match="the choice of one"):
        choose(ROIS, None, subject="s")
    with pytest.raises(InputError, match="an empty segmentation"):
        choose([], None, subject="s")


def test_listing_stays_one_readable_line():
    odd = [Roi(1, "a\nb\x1b[31m"), Roi(2, "x" * 200)]
    with pytest.raises(InputError, match="choice of one") as caught:
        choose(odd, None, subject="s", details={1: "3 voxels"})
    message = str(caught.value)
    assert "1 'a?b?[31m' (3 voxels)" in message
    assert "\n" not in message
    assert len(message) < 300


def test_numbers_repeated_in_a_damaged_file_are_ambiguous():
    with pytest.raises(InputError, match="once, not 2 times"):
        choose([Roi(1, "a"), Roi(1, "b")], 1, subject="s")
