"""Numbers as text: the same float32 when read, no digit too many, whatever their size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.io._threemf import decimals, whole_numbers


def texts(rows):
    return [bytes(row[row > 0]).decode() for row in rows]


@given(st.lists(st.floats(-1e8, 1e8, width=32), min_size=1, max_size=40))
def test_coordinates_read_back_as_the_same_float32(values):
    numbers = np.array(values, dtype=np.float64)
    read = np.array([float(text) for text in texts(decimals(numbers))])
    near_zero = np.abs(numbers) < 1e-3
    np.testing.assert_array_equal(read[~near_zero].astype(np.float32), numbers[~near_zero].astype(np.float32))
    assert (np.abs(read - numbers)[near_zero] < 1e-10).all()


def test_numbers_just_below_a_whole_one_or_a_power_of_two():
    exact = np.float32(2.0) ** np.arange(-9, 20, dtype=np.float32)
    values = np.concatenate([np.nextafter(exact, np.float32(0)), exact, np.nextafter(exact, np.float32(1e9))])
    read = np.array([float(text) for text in texts(decimals(values.astype(np.float64)))])
    np.testing.assert_array_equal(read.astype(np.float32), values)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "0"), (45.0, "45"), (-45.5, "-45.5"), (np.float32(45.3), "45.3"), (1000.0, "1000"),
        (-1e-13, "-0"), (0.99999999999, "1"), (99.9999999999, "100"), (1e7, "10000000"),
    ],
)  # fmt: skip
def test_round_numbers_stay_short(value, text):
    assert texts(decimals(np.array([value], dtype=np.float64))) == [text]


def test_very_large_coordinates_are_written_in_full():
    values = np.array([3e12, -1.5, 2.5e9])
    np.testing.assert_array_equal([float(text) for text in texts(decimals(values))], values)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=30))
def test_whole_numbers(values):
    assert texts(whole_numbers(np.array(values, dtype=np.int64))) == [str(value) for value in values]
