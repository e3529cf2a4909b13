"""One case from its file to its report: which steps must run, why, and running them."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comould.errors import ComouldError, ComouldWarning, InputError
from comould.io.output import provenance
from comould.study.case_file import Case
from comould.study.case_log import CaseLog
from comould.study.case_steps import NAMES, POPULATION, Job, Step, steps_of
from comould.study.fingerprint import HASHES, HashCache, code_of
from comould.study.pinned import pinned
from comould.study.run_lock import locked
from comould.study.step_store import Ingredients, StepStore

LIBRARIES = (
    "SimpleITK", "itk-elastix", "scipy", "scikit-learn", "scikit-image", "pandas", "anndata", "numba", "manifold3d",
)  # fmt: skip
PATIENCE_S = 60.0
"""How long a worker waits for one that was given up but still works on the same case."""

Progress = Callable[[str, float, str], None]
"""Called with the step under way, the fraction of all the case's steps done, and a note."""


@dataclass(frozen=True)
class Choice:
    """Which steps run.

    Parameters
    ----------
    only
        These, and what they build on; all when empty.
    force
        These run even when nothing changed, and all that builds on them.

    Raises
    ------
    InputError
        For a name that is no step.
    """

    only: tuple[str, ...] = ()
    force: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = (*NAMES, POPULATION)
        if unknown := [name for name in (*self.only, *self.force) if name not in known]:
            raise InputError(
                subject=f"step {unknown[0]!r}", expected=f"one of {', '.join(known)}", found="no such step"
            )

    def of(self, case: Case) -> tuple[Step, ...]:
        """Give the steps of a case, in order."""
        steps = steps_of(case)
        if not self.only:
            return steps
        by_name = {step.name: step for step in steps}
        keep = [name for name in self.only if name in by_name]
        for name in keep:
            keep += [other for other in by_name[name].before(case) if other in by_name and other not in keep]
        return tuple(step for step in steps if step.name in keep)


@dataclass(frozen=True)
class Outlook:
    """What will become of one step.

    Parameters
    ----------
    step
        Its name.
    made_of
        What its key is made of.
    why
        Reasons to run it; none when it is done.
    """

    step: str
    made_of: Ingredients
    why: tuple[str, ...]


@dataclass(frozen=True)
class CaseOutcome:
    """How one case ended.

    Parameters
    ----------
    name
        Its pseudonym.
    ran
        Step to seconds.
    kept
        Steps that were done before.
    failed
        Step to what went wrong, in one line; files by their roles.
    waiting
        Steps that could not run, since one before them failed.
    """

    name: str
    ran: dict[str, float] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed


def look_ahead(case: Case, out: Path, choice: Choice, hashes: HashCache | None = None) -> list[Outlook]:
    """Say which steps of a case must run, and why; nothing is run or written.

    Parameters
    ----------
    case
        The case.
    out
        Folder of all results; the case's lie in ``out/<pseudonym>``.
    choice
        Which steps.
    hashes
        Of files.

    Returns
    -------
    list of Outlook
        In the order they run.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    folder = out / case.pseudonym
    hashes = hashes or HashCache(folder / HASHES)
    store = StepStore(folder, hashes)
    forced = set(choice.force)
    keys = {} if case.shared is None else {POPULATION: case.shared.key}
    found = []
    for step in choice.of(case):
        before = {name: keys[name] for name in step.before(case) if name in keys}
        made_of = ingredients_of(step, case, before, hashes)
        keys[step.name] = made_of.key
        why = ["forced"] if step.name in choice.force else store.why(made_of)
        behind = [name for name in before if name in forced]
        if behind:
            forced.add(step.name)
            why = why or [f"step {name} is forced" for name in behind]
        found.append(Outlook(step.name, made_of, tuple(why)))
    return found


def ingredients_of(step: Step, case: Case, upstream: dict[str, str], hashes: HashCache) -> Ingredients:
    """Collect what a step's result depends on.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    inputs = {}
    for role, path in step.inputs(case).items():
        try:
            inputs[role] = hashes.of(path)
        except OSError as error:
            raise InputError(
                subject=role, expected="a file that can be read", found=error.strerror or type(error).__name__
            ) from error
    return Ingredients(step.name, step.parameters(case), inputs, upstream, code_of(step.code))


def run_case(
    case: Case, out: Path, *, choice: Choice | None = None, progress: Progress | None = None, threads: int = 1
) -> CaseOutcome:
    """Run what is not done of one case; a step that fails does not stop those that need nothing of it.

    Parameters
    ----------
    case
        The case.
    out
        Folder of all results.
    choice
        Which steps; all when None.
    progress
        Told how far it is.
    threads
        Of BLAS, numba and SimpleITK.

    Returns
    -------
    CaseOutcome
        Errors are in it, not raised.

    Raises
    ------
    InputError
        If another process works on the case.

    Notes
    -----
    Each step is made in a folder beside and put in place whole, with ``step.json``. A process killed at any moment
    leaves finished steps and perhaps a hidden folder, which the next run removes.
    """
    folder = out / case.pseudonym
    with locked(folder, patience_s=PATIENCE_S):
        return _Run(case, out, choice or Choice(), progress, threads).go()


class _Run:
    """A case under way."""

    def __init__(self, case: Case, out: Path, choice: Choice, progress: Progress | None, threads: int) -> None:
        self.case, self.out, self.choice, self.progress, self.threads = case, out, choice, progress, threads
        folder = out / case.pseudonym
        self.hashes = HashCache(folder / HASHES)
        self.store = StepStore(folder, self.hashes)
        roles = {role: path for step in steps_of(case) for role, path in _inputs(step, case).items()}
        self.log = CaseLog(folder, roles)
        self.seconds: dict[str, float] = {}
        self.kept: list[str] = []
        self.failed: dict[str, str] = {}
        self.waiting: list[str] = []
        if case.shared is not None and case.shared.failed:
            self.failed[POPULATION] = case.shared.failed

    def go(self) -> CaseOutcome:
        """Run all steps."""
        for name in self.store.sweep(NAMES):
            self.log.say(f"removed what a stopped run left: {name.strip('.').partition('.')[0]}")
        try:
            ahead = look_ahead(self.case, self.out, self.choice, self.hashes)
            steps = {step.name: step for step in self.choice.of(self.case)}
            for number, one in enumerate(ahead):
                self._one(steps[one.step], one, number / len(ahead), 1 / len(ahead))
        except ComouldError as error:
            self.failed["files"] = self.log.scrubbed(str(error))
            self.log.say(f"failed: {error}")
        self._tidy()
        self.hashes.save()
        self._tell("", 1.0, "failed" if self.failed else "done")
        return CaseOutcome(self.case.pseudonym, self.seconds, tuple(self.kept), self.failed, tuple(self.waiting))

    def _one(self, step: Step, ahead: Outlook, done: float, share: float) -> None:
        stopped = [name for name in step.before(self.case) if name in self.failed or name in self.waiting]
        if stopped:
            self.waiting.append(step.name)
            self.log.say(f"{step.name}: not run, since {', '.join(stopped)} failed")
            return
        if not ahead.why:
            self.kept.append(step.name)
            return
        self.log.say(f"{step.name}: begins ({'; '.join(ahead.why)})")
        self._tell(step.name, done, "")
        begin = time.perf_counter()
        try:
            self._make(step, ahead, lambda fraction, note: self._tell(step.name, done + share * fraction, note))
        except ComouldError as error:
            self._failed(step.name, str(error))
        except Exception as error:
            self._failed(step.name, f"{type(error).__name__}: {error}")
        else:
            self.seconds[step.name] = round(time.perf_counter() - begin, 2)
            self.log.say(f"{step.name}: done in {self.seconds[step.name]:g} s")

    def _make(self, step: Step, ahead: Outlook, tell: Callable[[float, str], None]) -> None:
        facts: dict[str, Any] = {}
        begin = time.perf_counter()
        with self.store.making(ahead.made_of, facts) as work, pinned(self.threads), heard() as said:
            step.run(Job(self.case, work, self.store.at, tell))
            notes = list(dict.fromkeys(self.log.scrubbed(str(one.message)) for one in said))
            for note in notes:
                self.log.say(f"{step.name}: note: {note}")
            facts |= {"notes": notes, **made_how(begin, self.threads)}

    def _failed(self, step: str, text: str) -> None:
        self.failed[step] = self.log.scrubbed(text)
        self.log.say(f"{step}: failed: {text}")

    def _tidy(self) -> None:
        """Remove results of steps that the case no longer has: nobody shall take them for its own."""
        if self.choice.only:
            return
        for name in set(NAMES) - {step.name for step in steps_of(self.case)}:
            if self.store.record(name) is not None:
                shutil.rmtree(self.store.at(name), ignore_errors=True)
                self.log.say(f"{name}: removed, the case has no such step any more")

    def _tell(self, step: str, fraction: float, note: str) -> None:
        if self.progress is not None:
            self.progress(step, fraction, note)


@contextmanager
def heard() -> Iterator[list[warnings.WarningMessage]]:
    """Hear comould's warnings, and no others."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ComouldWarning)
        yield said


def made_how(begin: float, threads: int) -> dict[str, Any]:
    """Say how a step was made: seconds since ``begin`` (of the performance counter), threads, time and libraries."""
    made = provenance(libraries=LIBRARIES)
    seconds = round(time.perf_counter() - begin, 2)
    return {"seconds": seconds, "threads": threads, "created": made["created"], "versions": made["versions"]}


def _inputs(step: Step, case: Case) -> dict[str, Path]:
    try:
        return dict(step.inputs(case))
    except ComouldError:
        return {}
