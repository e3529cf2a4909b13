"""Errors: one line each, their exit codes, and the way back from a worker process."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.errors import (
    ComouldError,
    FrameMismatchError,
    GeometryError,
    InputError,
    PrintabilityError,
    RefusedError,
    RegistrationError,
)
from comould.space import SlicePlan

KINDS = [InputError, GeometryError, FrameMismatchError, RefusedError, PrintabilityError, RegistrationError]


def _raise(kind: type[ComouldError]) -> None:
    raise kind("section 'S1'", expected="a pixel size", found="none", remedy="Give pixel_size_um=")


def test_message_reads_subject_expected_found_remedy():
    error = InputError("mask", expected="one lesion", found="two", remedy="Give --lesion")
    assert str(error) == "mask: expected one lesion, found two. Give --lesion."


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"found": "none"}, "mask: found none."),
        ({"expected": "a file"}, "mask: expected a file."),
        ({}, "mask."),
        ({"remedy": "Give one!"}, "mask. Give one!"),
    ],
)
def test_message_leaves_out_what_is_not_said(fields, message):
    assert str(ComouldError("mask", **fields)) == message


@given(st.text(), st.text(), st.text(), st.text())
def test_message_is_always_one_line(subject, expected, found, remedy):
    message = str(InputError(subject, expected=expected, found=found, remedy=remedy))
    assert len(message.splitlines()) <= 1


def test_collect_lists_every_problem_and_counts_them():
    error = GeometryError.collect(subject="grid", problems=["size\nwrong", "spacing wrong"], remedy="Look")
    assert str(error) == "grid: found 2 problems: size wrong; spacing wrong. Look."
    assert type(error) is GeometryError
    assert "found 1 problem: one" in str(InputError.collect(subject="x", problems=["one"]))


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_builtin_kinds_too_and_carry_their_exit_code(kind):
    wrong_input = issubclass(kind, ValueError)
    assert kind.exit_code == (2 if wrong_input else 3)
    assert wrong_input or issubclass(kind, RuntimeError)


@pytest.mark.parametrize("kind", KINDS)
def test_pickle_keeps_every_field(kind):
    with pytest.raises(kind, match="pixel size") as caught:
        _raise(kind)
    back = pickle.loads(pickle.dumps(caught.value))
    assert type(back) is kind
    assert str(back) == str(caught.value)
    assert (back.subject, back.expected, back.found, back.remedy) == (
        "section 'S1'",
        "a pixel size",
        "none",
        "Give pixel_size_um=",
    )


def test_error_survives_the_way_back_from_a_worker_process(tmp_path):
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(InputError, match="expected a JSON slice plan") as caught,
    ):
        pool.submit(SlicePlan.load, tmp_path / "none.json").result(timeout=60)
    assert caught.value.subject.endswith("none.json")
