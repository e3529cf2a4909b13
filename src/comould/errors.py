"""Every error comould raises on purpose.

::

    ComouldError
    ├── InputError (ValueError)          bad input: a file, an argument, a setting              exit 2
    │   └── GeometryError                positions that cannot be right: grids, planes, frames  exit 2
    │       └── FrameMismatchError       two transforms or points of different frames joined    exit 2
    └── RefusedError (RuntimeError)      good input, but the result must not be used            exit 3
        ├── PrintabilityError            a mould that cannot or must not be printed             exit 3
        └── RegistrationError            a section that could not be brought to its plane       exit 3

A message is one line: *subject: expected …, found …. Remedy.*
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if not text or text[-1] in ".!?" else text + "."


class ComouldError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    subject
        What the message is about (a file, an argument, a section).
    expected
        What would have been right.
    found
        What is there.
    remedy
        What to do about it.
    """

    exit_code = 1

    def __init__(self, subject: str, *, expected: str = "", found: str = "", remedy: str = "") -> None:
        self.subject = " ".join(subject.split())
        self.expected, self.found, self.remedy = expected, found, remedy
        facts = ", ".join(
            f"{word} {text}" for word, text in (("expected", expected.strip()), ("found", found.strip())) if text
        )
        message = f"{self.subject}: {_sentence(facts)}" if facts else _sentence(self.subject)
        if remedy:
            message = f"{message} {_sentence(remedy)}"
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way back from a worker process."""
        return (_rebuild, (type(self), self.subject, self.expected, self.found, self.remedy))


def _rebuild(kind: type[ComouldError], subject: str, expected: str, found: str, remedy: str) -> ComouldError:
    return kind(subject, expected=expected, found=found, remedy=remedy)


class InputError(ComouldError, ValueError):
    """Bad input; several problems of one file are collected before raising."""

    exit_code = 2

    @classmethod
    def collect(cls, subject: str, problems: Iterable[str], *, remedy: str = "") -> Self:
        """Make one error out of every problem found in one subject."""
        listed = [" ".join(problem.split()) for problem in problems]
        plural = "problem" if len(listed) == 1 else "problems"
        return cls(subject, found=f"{len(listed)} {plural}: " + "; ".join(listed), remedy=remedy)


class GeometryError(InputError):
    """Positions that cannot be right: a grid, a plane, a slice order."""


class FrameMismatchError(GeometryError):
    """Two transforms, or points and a transform, of different frames were joined."""


class RefusedError(ComouldError, RuntimeError):
    """The input was fine; the result is not fit for use and was not written."""

    exit_code = 3


class PrintabilityError(RefusedError):
    """A mould that cannot be printed, or whose geometry failed its own checks."""


class RegistrationError(RefusedError):
    """A section that could not be brought to its plane."""


class ComouldWarning(UserWarning):
    """Something was decided or dropped on the user's behalf and should be known: the message says what."""
