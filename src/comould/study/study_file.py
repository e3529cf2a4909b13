"""``study.yaml``: many cases, what they share, and how they are pooled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from comould.errors import InputError
from comould.study.case_file import CASE_FILE, MANIFEST, Case, case_path, of_folder, parse_case, unlined, with_defaults
from comould.study.case_folder import CaseFolder
from comould.study.case_parts import (
    GroupingPart,
    HabitatsPart,
    MouldPart,
    Part,
    PopulationPart,
    RegistrationPart,
    ReportPart,
    TestsPart,
)
from comould.study.inside import Place, path_problem
from comould.study.yaml_lines import Document, problems_of, read_yaml

STUDY_FILE = "study.yaml"
LEAST_CASES = 2
"""A population's model stands on so many."""

RUN_FILE = "run.json"
"""In a folder of results: what they were made of."""


class Defaults(Part):
    """What all cases share unless they say otherwise; paths start at the study's file."""

    centre: str | None = Field(None, min_length=1, description="Where patients were treated")
    mould: MouldPart | None = Field(None, description="As in case.yaml")
    habitats: HabitatsPart | None = Field(None, description="As in case.yaml")
    registration: RegistrationPart | None = Field(None, description="As in case.yaml")
    tests: TestsPart | None = Field(None, description="As in case.yaml")
    report: ReportPart | None = Field(None, description="As in case.yaml")
    seed: int = Field(0, ge=0, description="As in case.yaml")


class CohortPart(Part):
    """How patients are pooled, as ``comould cohort`` takes it."""

    habitats: Literal["model", "labels"] = Field(
        "labels",
        description="How habitats of patients are matched: model (all apply one model; checked; by itself when the "
        "study has a population) or labels (label 1 is label 1: for maps that were matched before)",
    )
    centres: bool = Field(True, description="Pool centres apart, when all cases name theirs")
    method: Literal["REML", "DL", "PM"] = Field("REML", description="Estimator of the variance between patients")
    hartung_knapp: Literal["truncated", "plain", "none"] = Field("truncated", description="Standard error")
    min_patients: int = Field(5, ge=2, description="Rows that fewer patients have are not tested")
    top: int = Field(15, ge=1, description="Rows of the forest")
    seed: int = Field(0, ge=0, description="Of the sign flips")


class StudyFile(Part):
    """A study."""

    name: str = Field(min_length=1, max_length=120, description="Heading of the report")
    cases: list[str] = Field(min_length=1, description="Files or folders of cases, * allowed")
    defaults: Defaults = Field(default_factory=lambda: Defaults.model_validate({}), description="What cases share")
    population: PopulationPart | None = Field(None, description="Fit one habitat model over the cases; all apply it")
    cohort: CohortPart | None = Field(None, description="Pool the patients' tests")
    allow_outside: bool = Field(False, description="Let paths of this file lead out of its folder")


@dataclass(frozen=True, eq=False)
class Study:
    """A study, read.

    Parameters
    ----------
    name
        Of the study; the case's for one alone.
    cases
        In the order of the file.
    cohort
        How they are pooled; None for a case alone.
    file
        What was read.
    alone
        Whether it is one case without a study.
    population
        How one habitat model is fitted over the cases; None when every case finds its own.
    """

    name: str
    cases: tuple[Case, ...]
    cohort: CohortPart | None
    file: Path
    alone: bool = False
    population: PopulationPart | None = None

    @property
    def modelled(self) -> tuple[Case, ...]:
        """Cases that the population's model is fitted on and that apply it."""
        return tuple(case for case in self.cases if case.finds_habitats) if self.population is not None else ()


def read_study(path: str | Path) -> Study:
    """Read a study, or a case as a study of one.

    Parameters
    ----------
    path
        ``study.yaml``, ``case.yaml``, or a folder that holds one of them or a ``manifest.json``.

    Returns
    -------
    Study

    Raises
    ------
    InputError
        Naming every problem of the study's file and of all its cases at once, with files and lines.
    """
    from comould.study.case_file import read_case

    path = Path(path)
    file = path / STUDY_FILE if path.is_dir() else path
    if not file.is_file() or not _is_study(file):
        case = read_case(path)
        return Study(case.pseudonym, (case,), None, case_path(path), alone=True)
    document = read_yaml(file)
    place = Place(file.parent.absolute(), allow_outside=document.data.get("allow_outside") is True)
    try:
        said = StudyFile.model_validate(document.data, context=place)
    except ValidationError as error:
        raise InputError.collect(subject=f"study {file}", problems=problems_of(error, document, StudyFile)) from error
    defaults = said.defaults.model_dump(exclude_unset=True)
    if said.population is not None:
        defaults.setdefault("habitats", {})
    cohort = _matched(said.cohort, said.population)
    problems: list[str] = []
    cases = list(_cases(_files(said, document, problems), defaults, file.parent, problems))
    problems += [f"{CASE_FILE} of two cases: {text}" for text in _twice(cases)]
    if said.population is not None:
        problems += [document.says(("population",), text) for text in _population_problems(said.population, cases)]
    problems += [
        document.says(("cohort",), text) for text in _cohort_problems(cohort, cases, said.population is not None)
    ]
    if problems:
        raise InputError.collect(subject=f"study {file}", problems=problems)
    return Study(said.name, tuple(cases), cohort, file, population=said.population)


def _matched(cohort: CohortPart | None, population: PopulationPart | None) -> CohortPart | None:
    """Match habitats by the model, where the study has one and the file says nothing else."""
    if cohort is None or population is None or "habitats" in cohort.model_fields_set:
        return cohort
    return cohort.model_copy(update={"habitats": "model"})


def _is_study(file: Path) -> bool:
    if file.name == STUDY_FILE:
        return True
    return file.suffix.lower() in {".yaml", ".yml"} and "cases" in read_yaml(file).data


def _files(said: StudyFile, document: Document, problems: list[str]) -> list[Path]:
    """Find the files of all cases; what is not there goes to the problems."""
    folder = document.path.parent
    found: dict[Path, Path] = {}
    for number, pattern in enumerate(said.cases):
        where = ("cases", number)
        globbed = any(sign in pattern for sign in "*?[")
        if globbed and not said.allow_outside and (Path(pattern).is_absolute() or ".." in Path(pattern).parts):
            problems.append(document.says(where, f"{pattern!r} is no relative path inside the folder"))
            continue
        problem = "" if globbed else path_problem(folder, pattern, allow_outside=said.allow_outside)
        if problem:
            problems.append(document.says(where, f"{pattern!r} {problem}"))
            continue
        paths = _globbed(folder, pattern) if globbed else [folder / pattern]
        files = []
        for path in paths:
            if globbed and path_problem(folder, str(path.relative_to(folder)), allow_outside=said.allow_outside):
                problems.append(document.says(where, f"{path.name} is a link that leaves the folder"))
            elif globbed and _is_result(path, folder):
                continue
            elif path.is_file() or not globbed or any((path / name).is_file() for name in (CASE_FILE, MANIFEST)):
                files.append(path)
        if not files:
            problems.append(document.says(where, f"{pattern!r} finds no case"))
        for path in files:
            try:
                one = case_path(path)
                found.setdefault(one.resolve(), one)
            except InputError as error:
                problems.append(document.says(where, str(error)))
    return list(found.values())


def _is_result(path: Path, root: Path) -> bool:
    """Whether a path lies in what a run wrote: its folders have manifests too."""
    above = [one for one in (path, *path.parents) if one.is_relative_to(root)]
    return any((one / RUN_FILE).is_file() for one in above)


def _globbed(folder: Path, pattern: str) -> list[Path]:
    root = Path(Path(pattern).anchor) if Path(pattern).is_absolute() else folder
    relative = str(Path(pattern).relative_to(root)) if Path(pattern).is_absolute() else pattern
    return sorted(root.glob(relative))


def _cases(files: list[Path], defaults: Mapping[str, Any], root: Path, problems: list[str]) -> Iterator[Case]:
    """Read all cases; what is wrong with them goes to the problems."""
    for file in files:
        name = file.relative_to(root) if file.is_relative_to(root) else file
        try:
            if file.name == MANIFEST:
                yield _with_defaults(of_folder(CaseFolder.read(file.parent.absolute())), defaults)
                continue
            case, wrong = parse_case(read_yaml(file), defaults)
        except InputError as error:
            problems.append(f"{name}: {error}")
            continue
        problems += [f"{name} {text}" for text in wrong]
        if case is not None:
            yield case


def _with_defaults(case: Case, defaults: Mapping[str, Any]) -> Case:
    """Lay a case folder over a study's defaults: its manifest says no more than what is there."""
    data = with_defaults(defaults, case.model_dump(exclude_unset=True))
    try:
        return Case.model_validate(data, context=Place(case.folder)).at(case.folder)
    except ValidationError as error:
        raise InputError.collect(
            subject=f"case folder {case.folder} with the study's defaults", problems=unlined(error)
        ) from error


def _twice(cases: list[Case]) -> Iterator[str]:
    names = [case.pseudonym.lower() for case in cases]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"pseudonym {name} is used {names.count(name)} times; give each its own"


def _population_problems(population: PopulationPart, cases: list[Case]) -> Iterator[str]:
    """Find what would keep cases from sharing one model."""
    own = [case for case in cases if case.finds_habitats]
    if cases and len(own) < LEAST_CASES:
        yield f"needs {LEAST_CASES} cases or more without labels or a model of their own; found {len(own)}"
    for case in own:
        if set(case.images) != set(own[0].images):
            yield f"{case.pseudonym} has images {', '.join(case.images)}, {own[0].pseudonym} {', '.join(own[0].images)}"
        said = case.habitats.model_fields_set & set(GroupingPart.model_fields) if case.habitats is not None else ()
        for name in sorted(said):
            if getattr(case.habitats, name) != getattr(population, name):
                yield f"says how habitats are grouped; take habitats.{name} of {case.pseudonym} away, or say it here"


def _cohort_problems(cohort: CohortPart | None, cases: list[Case], population: bool) -> Iterator[str]:
    if cohort is None:
        return
    tested = [case for case in cases if case.tests is not None]
    if not tested:
        yield "has nothing to pool: no case has tests"
    elif cohort.habitats == "model":
        named = [(case, case.habitats.model if case.habitats is not None else None) for case in tested]
        fitted = [case for case, _ in named if population and case.finds_habitats]
        lacking = [case.pseudonym for case, model in named if model is None and case not in fitted]
        if lacking:
            said = f"habitats: model, but {', '.join(lacking[:5])} applies none; "
            yield said + "set defaults.habitats.model, or population"
        elif len({model.resolve() for _, model in named if model is not None}) + bool(fitted) > 1:
            yield "habitats: model, but cases apply several; set one in defaults.habitats.model, or population alone"
    homes = [case.centre for case in tested]
    if cohort.centres and any(homes) and not all(homes):
        lacking = [case.pseudonym for case in tested if not case.centre]
        yield f"centres: {', '.join(lacking[:5])} names none, others do; add centre, or set cohort.centres: false"


def study_schema() -> dict[str, Any]:
    """Give the JSON schema of ``study.yaml``, for editors."""
    schema = StudyFile.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.loads(json.dumps(schema | {"title": "comould study"}))
