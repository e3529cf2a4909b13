"""Everything that is not yet done, of a case or of all cases of a study: what ``comould run`` runs."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from comould.errors import ComouldError, ComouldWarning, InputError
from comould.io.output import write_json
from comould.study.case_file import RESULTS, Case, Shared
from comould.study.case_steps import POPULATION
from comould.study.compute import Compute, Ended, Task, run_tasks
from comould.study.fingerprint import HASHES, HashCache
from comould.study.needs import case_needs, population_needs
from comould.study.pipeline import CaseOutcome, Choice, Outlook, look_ahead, run_case
from comould.study.population_step import Modelled, fit_model, kept, outlook, planned, shared, tidy
from comould.study.run_lock import LOCK, locked
from comould.study.study_file import RUN_FILE, CohortPart, Study, read_study
from comould.study.study_steps import Pooled, pool, write_study_page

FORMAT = "comould.run"
DEFAULT_OUT = RESULTS
_OWN = {LOCK, HASHES}

Told = Callable[[str, float, str], None]
"""Called with the case, the fraction of it done, and a note."""


@dataclass(frozen=True, eq=False)
class StudyOutcome:
    """How a run ended.

    Parameters
    ----------
    folder
        All results.
    cases
        How each case ended, in the order of the study.
    pooled
        What became of the cohort; None when none is asked for.
    report
        The page to open first.
    modelled
        What became of the habitat model of all cases; None when none is asked for, or no step that ran needs it.
    """

    folder: Path
    cases: tuple[CaseOutcome, ...]
    pooled: Pooled | None
    report: Path | None
    modelled: Modelled | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        pooled = self.pooled is None or not self.pooled.failed
        return pooled and all(one.ok for one in self.cases) and (self.modelled is None or not self.modelled.failed)


@dataclass(frozen=True)
class RunOptions:
    """How a study is run.

    Parameters
    ----------
    choice
        Which steps.
    compute
        Where.
    threads
        Of BLAS, numba and SimpleITK in each process.

    Raises
    ------
    InputError
        If threads is below 1.
    """

    choice: Choice = field(default_factory=Choice)
    compute: Compute = field(default_factory=Compute)
    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise InputError(subject="threads", expected="1 or more", found=str(self.threads))


def run_study(
    path: str | Path, out: str | Path | None = None, *, options: RunOptions | None = None, progress: Told | None = None
) -> StudyOutcome:
    """Run every step of a case or study that is not done, then pool the patients and write the study's page.

    Parameters
    ----------
    path
        ``case.yaml``, ``study.yaml``, a folder with one of them, or a case folder with ``manifest.json``.
    out
        Folder of results, the same from run to run; ``comould_results`` beside the file when None.
    options
        Which steps, and where.
    progress
        Told how far each case is.

    Returns
    -------
    StudyOutcome
        A case that fails is in it and does not stop the others.

    Raises
    ------
    InputError
        When nothing could start: mistakes in the files (all of them named), an output folder that holds something
        else, another run at work on it, no scheduler at the address.
    """
    options = options or RunOptions()
    study = read_study(path)
    folder = out_folder(study, out)
    check_out(folder, study)
    with locked(folder):
        _sign(folder, study)
        told = progress or (lambda _case, _done, _note: None)
        study, modelled = _with_model(study, folder, options, told)
        outcomes = _run_cases(study, folder, options, told)
        return _finish(study, folder, outcomes, modelled, only=bool(options.choice.only))


def foresee(
    path: str | Path, out: str | Path | None = None, *, choice: Choice | None = None
) -> dict[str, list[Outlook]]:
    """Say what a run would do, and why, and do nothing.

    Parameters
    ----------
    path, out, choice
        As for :func:`run_study`.

    Returns
    -------
    dict
        Case to its steps; before them the study's own, under the word study and its name.

    Raises
    ------
    InputError
        As :func:`run_study`.
    """
    study = read_study(path)
    folder = out_folder(study, out)
    check_out(folder, study)
    choice = choice or Choice()
    fit = planned(study, folder)
    if fit is None or not _needs_model(study, choice):
        return {case.pseudonym: look_ahead(case, folder, choice) for case in study.cases}
    ahead = {f"study {study.name}": [outlook(fit, forced=POPULATION in choice.force)]}
    return ahead | {case.pseudonym: look_ahead(case.applying(shared(fit)), folder, choice) for case in study.cases}


def report_study(path: str | Path, out: str | Path | None = None) -> StudyOutcome:
    """Make reports again from finished steps.

    Parameters
    ----------
    path
        A case or study, or the folder of its results.
    out
        Folder of results, when it is not where the run puts it by itself.

    Returns
    -------
    StudyOutcome

    Raises
    ------
    InputError
        If a step is not finished, or the files can no longer be found: each is named.
    """
    source, folder = _results(Path(path), out)
    study = read_study(source)
    check_out(folder, study)
    unfinished, fit = [], planned(study, folder)
    if fit is not None:
        unfinished += [f"{POPULATION}: {'; '.join(why)}" for why in [outlook(fit).why] if why]
        study = _applying(study, shared(fit))
    for case in study.cases:
        ahead = look_ahead(case, folder, Choice())
        unfinished += [
            f"{case.pseudonym} {one.step}: {'; '.join(one.why)}" for one in ahead if one.why and one.step != "report"
        ]
    if unfinished:
        raise InputError.collect(subject=f"results {folder}", problems=unfinished, remedy="Run comould run first")
    with locked(folder):
        again = Choice(force=("report",))
        outcomes = [run_case(case, folder, choice=again) for case in study.cases]
        return _finish(study, folder, outcomes, kept(fit) if fit is not None else None, only=False)


def out_folder(study: Study, out: str | Path | None) -> Path:
    """Say where results go."""
    return Path(out).absolute() if out is not None else study.file.absolute().parent / DEFAULT_OUT


def check_out(folder: Path, study: Study) -> None:
    """Refuse a folder that holds something else than a run's results, or the case itself.

    Raises
    ------
    InputError
        If it does.
    """
    subject = f"output {folder}"
    if folder.exists() and not folder.is_dir():
        raise InputError(subject, expected="a folder", found="a file", remedy="Choose another --out")
    there = [one.name for one in folder.iterdir() if one.name not in _OWN] if folder.is_dir() else []
    if there and RUN_FILE not in there:
        raise InputError(
            subject, expected="a new folder, or results of comould run", found="other files in it",
            remedy="Choose another --out",
        )  # fmt: skip
    for case in study.cases:
        if case.folder.resolve() == (folder / case.pseudonym).resolve():
            raise InputError(subject, expected="a folder apart from the cases", found="one around them")


def _results(path: Path, out: str | Path | None) -> tuple[Path, Path]:
    """Find the file that results were made of, and the results."""
    folder = path if path.is_dir() else path.parent
    if out is not None or not (folder / RUN_FILE).is_file():
        study = read_study(path)
        return path, out_folder(study, out)
    try:
        facts = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        source = folder / str(facts["source"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            subject=f"results {folder}", expected=f"a {RUN_FILE} that can be read", found=str(error)
        ) from error
    if not source.exists():
        raise InputError(
            subject=f"results {folder}", expected="the case or study they were made of", found="nothing where it was",
            remedy="Give comould report the case or study, and --out the results",
        )  # fmt: skip
    return source, folder.absolute()


def _sign(folder: Path, study: Study) -> None:
    """Say what the results are made of; the way there is relative, so that both can move together."""
    try:
        source = os.path.relpath(study.file.absolute(), folder)
    except ValueError:
        source = str(study.file.absolute())
    cases = [case.pseudonym for case in study.cases]
    work = folder / f".{RUN_FILE}"
    write_json(work, {"format": FORMAT, "version": 1, "name": study.name, "source": source, "cases": cases})
    work.replace(folder / RUN_FILE)


@dataclass(frozen=True)
class _Load:
    """What travels to a worker."""

    case: Case
    folder: Path
    place: Path
    choice: Choice
    threads: int
    shared: Shared | None


def _work(load: _Load, tell: Callable[[str, float, str], None]) -> CaseOutcome:
    # Folder and model are no part of what pydantic pickles by value in every version.
    case = load.case.at(load.place).applying(load.shared)
    return run_case(case, load.folder, choice=load.choice, progress=tell, threads=load.threads)


def _applying(study: Study, model: Shared) -> Study:
    return replace(study, cases=tuple(case.applying(model) for case in study.cases))


def _needs_model(study: Study, choice: Choice) -> bool:
    """Whether a step that is asked for builds on the model of all cases."""
    if not choice.only or POPULATION in choice.only:
        return True
    return any(POPULATION in step.after for case in study.modelled for step in choice.of(case))


def _with_model(study: Study, folder: Path, options: RunOptions, told: Told) -> tuple[Study, Modelled | None]:
    """Fit the model of all cases, unless it is there, and hand it to them."""
    if study.population is None:
        if not options.choice.only:
            tidy(folder)
        return study, None
    if not _needs_model(study, options.choice):
        return study, None
    fit = planned(study, folder, threads=options.threads, keep_hashes=True)
    if fit is None:
        return study, None
    if outlook(fit, forced=POPULATION in options.choice.force).why:
        # On a cluster where its images are at hand; here in this process, whatever the number of workers.
        where = options.compute if options.compute.scheduler else Compute(workers=0)
        task = Task(POPULATION, fit, population_needs(study.modelled, len(fit.part.features)))
        ended = next(iter(list(run_tasks([task], fit_model, where, told))))
        modelled = Modelled(of=len(fit.members), failed=ended.error) if ended.error else ended.result
        told(POPULATION, 1.0, "failed" if modelled.failed else "done")
    else:
        modelled = kept(fit)
    return _applying(study, shared(fit, modelled.failed)), modelled


def _run_cases(study: Study, folder: Path, options: RunOptions, told: Told) -> list[CaseOutcome]:
    tasks = [
        Task(
            case.pseudonym, _Load(case, folder, case.folder, options.choice, options.threads, case.shared),
            case_needs(case),
        )
        for case in study.cases
    ]  # fmt: skip
    ended = {one.name: one for one in _told_ends(run_tasks(tasks, _work, options.compute, told), told)}
    return [_outcome(case.pseudonym, ended.get(case.pseudonym)) for case in study.cases]


def _told_ends(ends: Iterator[Ended], told: Told) -> Iterator[Ended]:
    for one in ends:
        result = one.result
        failed = bool(one.error) or not result.ok
        told(one.name, 1.0, "failed" if failed else "done")
        yield one


def _outcome(name: str, ended: Ended | None) -> CaseOutcome:
    if ended is None:
        return CaseOutcome(name, failed={"run": "it was never begun"})
    return CaseOutcome(name, failed={"run": ended.error}) if ended.error else ended.result


def _finish(
    study: Study, folder: Path, outcomes: list[CaseOutcome], modelled: Modelled | None, *, only: bool
) -> StudyOutcome:
    """Pool patients and write the study's page."""
    if study.alone or only:
        alone = folder / study.cases[0].pseudonym / "report" / "report.html" if study.alone else None
        page = alone if alone is not None and alone.is_file() else None
        return StudyOutcome(folder, tuple(outcomes), None, page, modelled)
    pooled = None
    if study.cohort is not None:
        pooled = _pooled(study, study.cohort, folder, outcomes)
    page = write_study_page(study, folder, outcomes, pooled, modelled)
    return StudyOutcome(folder, tuple(outcomes), pooled, page, modelled)


def _pooled(study: Study, cohort: CohortPart, folder: Path, outcomes: list[CaseOutcome]) -> Pooled:
    bad = {
        one.name
        for one in outcomes
        if "tests" in one.failed or "tests" in one.waiting or "run" in one.failed or "files" in one.failed
    }
    usable = [case for case in study.cases if case.tests is not None and case.pseudonym not in bad]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ComouldWarning)
            return pool(usable, cohort, folder, HashCache(folder / HASHES))
    except ComouldError as error:
        return Pooled(failed=str(error))


def summary_of(outcome: StudyOutcome) -> Mapping[str, Any]:
    """Count cases that are done, and name those that failed and where."""
    failed = {one.name: one.failed for one in outcome.cases if not one.ok}
    return {"cases": len(outcome.cases), "done": len(outcome.cases) - len(failed), "failed": failed}
