"""A step of a case: what it needs, what it depends on, and what it is handed when it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comould.study.case_file import Case

Tell = Callable[[float, str], None]
"""Called with the fraction done, 0 to 1, and a note of a few words."""


@dataclass(frozen=True)
class Job:
    """What a step is handed.

    Parameters
    ----------
    case
        The case.
    folder
        Empty folder to fill.
    done
        Folder of the finished steps, by name.
    tell
        Told how far it is.
    """

    case: Case
    folder: Path
    done: Callable[[str], Path]
    tell: Tell

    @property
    def mask(self) -> Path:
        """The specimen as one region, 0 and 1."""
        return self.done("read") / "mask.nii.gz"

    @property
    def plan(self) -> Path:
        """The cutting planes."""
        return self.done("mould") / "slice_plan.json"


def in_order(steps: Sequence[str], tell: Tell) -> Callable[[str, float, str], None]:
    """Turn what a command tells of its own steps into one fraction that only grows.

    Parameters
    ----------
    steps
        The command's steps, in order.
    tell
        Takes the fraction of all of them, and a note.
    """

    def show(step: str, fraction: float, note: str = "") -> None:
        tell((steps.index(step) + fraction) / len(steps), note or step)

    return show


Inputs = Callable[[Case], Mapping[str, Path]]
Values = Callable[[Case], Mapping[str, Any]]


def _nothing(_: Case) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Step:
    """One step.

    Parameters
    ----------
    name
        Also the name of its folder.
    wanted
        Whether a case has it.
    run
        Does it.
    after
        Steps whose results it reads, when the case has them.
    spared
        Of these, steps that this case's result does not need.
    inputs
        Files of the case it reads, by role.
    parameters
        What shapes its result, JSON-able; paths do not enter.
    code
        Sub-packages and modules of comould that shape its result.
    """

    name: str
    wanted: Callable[[Case], bool]
    run: Callable[[Job], None]
    after: tuple[str, ...] = ()
    inputs: Inputs = _nothing
    parameters: Values = _nothing
    code: tuple[str, ...] = field(default=("io", "space"))
    spared: Callable[[Case], tuple[str, ...]] = lambda _: ()

    def before(self, case: Case) -> tuple[str, ...]:
        """Name the steps that a case's result of this one builds on."""
        return tuple(name for name in self.after if name not in self.spared(case))
