"""``case.yaml``: one case as a file, checked as a whole before anything is read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError

from comould.errors import InputError
from comould.study.case_folder import CaseFolder, PictureEntry, SectionEntry, safe_stem
from comould.study.case_parts import (
    HabitatsPart,
    MouldPart,
    Part,
    RegistrationPart,
    ReportPart,
    SectionRow,
    TestsPart,
)
from comould.study.inside import InsidePath, Place
from comould.study.yaml_lines import Document, problems_of, read_yaml

CASE_FILE, MANIFEST = "case.yaml", "manifest.json"
RESULTS = "comould_results"
"""Folder beside a case or study that a run writes to by itself."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9_-])?")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_TAKEN = {"cohort", "population", "report", "con", "prn", "aux", "nul"}


def _pseudonym(value: str) -> str:
    if not _NAME.fullmatch(value) or value.lower() in _TAKEN:
        msg = (
            f"{value!r} is no name for a folder: letters, digits, _, - and . (1 to 64; not {', '.join(sorted(_TAKEN))})"
        )
        raise ValueError(msg)
    return value


def _image_name(value: str) -> str:
    if not _IMAGE.fullmatch(value) or value.lower() == "specimen" or value.lower().startswith(("section_", "spots_")):
        msg = f"{value!r} is no name for an image: letters, digits, _, - and ."
        raise ValueError(msg)
    return value


@dataclass(frozen=True)
class Shared:
    """The habitat model of a study that a case applies.

    Parameters
    ----------
    key
        Of the step that made it.
    model
        Its file.
    failed
        Why there is none; empty when there is.
    """

    key: str
    model: Path
    failed: str = ""


Pseudonym = Annotated[str, AfterValidator(_pseudonym)]
ImageName = Annotated[str, AfterValidator(_image_name)]


class Case(Part):
    """One case: what is there, and what is to be made of it.

    Everything but pseudonym, images and mask may be left out; steps for which there is nothing to do are not run.
    """

    pseudonym: Pseudonym = Field(description="Names the results; never a patient's name")
    centre: str | None = Field(None, min_length=1, description="Where the patient was treated, for a study")
    images: dict[ImageName, InsidePath] = Field(min_length=1, description="Name to DICOM folder, NIfTI, NRRD or MHA")
    mask: InsidePath = Field(description="Label map, DICOM SEG or RTSTRUCT of the specimen")
    roi: int | str | None = Field(None, description="Region of the mask, when it holds several")
    mould: MouldPart | None = Field(None, description="Build a mould; its cuts are the plan")
    slice_plan: InsidePath | None = Field(None, description="Cutting planes that are there: JSON or a mould's manifest")
    habitats: HabitatsPart | None = Field(None, description="Find habitats, or take a map that is there")
    registration: RegistrationPart = Field(
        default_factory=lambda: RegistrationPart.model_validate({}), description="How sections come home"
    )
    sections: list[SectionRow] = Field(default_factory=list, description="Sections of the specimen")
    registered: InsidePath | None = Field(
        None, description="Registered spots that are there (folder of comould register), in place of sections"
    )
    tests: TestsPart | None = Field(None, description="Test habitats against genes")
    report: ReportPart = Field(default_factory=lambda: ReportPart.model_validate({}), description="The report")
    seed: int = Field(0, ge=0, description="Same seed, same result")
    simulated: bool = Field(False, description="Whether the case is simulated; the report says so")
    allow_outside: bool = Field(False, description="Let paths of this file lead out of its folder")

    _folder: Path = PrivateAttr(Path())
    _shared: Shared | None = PrivateAttr(None)

    @property
    def folder(self) -> Path:
        """Where the case's file lies."""
        return self._folder

    @property
    def shared(self) -> Shared | None:
        """The study's habitat model, when the case applies it."""
        return self._shared

    @property
    def finds_habitats(self) -> bool:
        """Whether its habitats are neither there already nor those of a model it names."""
        return self.habitats is not None and self.habitats.labels is None and self.habitats.model is None

    @property
    def has_spots(self) -> bool:
        """Whether there are spots to test."""
        return self.registered is not None or any(row.spots for row in self.sections)

    @property
    def entries(self) -> tuple[SectionEntry, ...]:
        """Sections as the registration reads them."""
        return tuple(row.section() for row in self.sections)

    def as_folder(self, mask: Path, slice_plan: Path, *, spots: bool = True) -> CaseFolder:
        """Give the case as the registration takes it, with a mask of one region and a plan."""
        rows = self.sections if spots else [row.model_copy(update={"spots": None}) for row in self.sections]
        entries = tuple(row.section() for row in rows)
        return CaseFolder(self.folder, self.images, mask, slice_plan, entries, None, self.simulated)

    def at(self, folder: Path) -> Case:
        """Say where the case's file lies; returns itself."""
        self._folder = folder
        return self

    def applying(self, shared: Shared | None) -> Case:
        """Give the case with a study's habitat model, unless it has habitats or a model of its own."""
        case = self.model_copy()
        case._shared = shared if self.finds_habitats else None
        return case


def read_case(path: str | Path) -> Case:
    """Read a case from ``case.yaml``, from the folder it lies in, or from a folder with ``manifest.json``.

    Parameters
    ----------
    path
        File or folder.

    Returns
    -------
    Case
        With paths made absolute or relative to the working directory, all leading to something.

    Raises
    ------
    InputError
        Naming every problem at once: its line, what was expected, what is there, and what to do.
    """
    file = case_path(path)
    if file.name == MANIFEST:
        return of_folder(CaseFolder.read(file.parent.absolute()))
    document = read_yaml(file)
    case, problems = parse_case(document)
    if case is None:
        raise InputError.collect(subject=f"case {file}", problems=problems)
    return case


def case_path(path: str | Path) -> Path:
    """Find the file of a case.

    Raises
    ------
    InputError
        If there is none.
    """
    path = Path(path)
    if path.is_file():
        return path
    for name in (CASE_FILE, MANIFEST):
        if (path / name).is_file():
            return path / name
    raise InputError(
        subject=f"case {path}", expected=f"a {CASE_FILE}, or a folder with one or with a {MANIFEST}",
        found="neither in the folder" if path.is_dir() else "no such file",
        remedy="comould init DIR writes a commented example",
    )  # fmt: skip


def parse_case(document: Document, defaults: Mapping[str, Any] | None = None) -> tuple[Case | None, list[str]]:
    """Check a case's file.

    Parameters
    ----------
    document
        The file as read.
    defaults
        Of a study; what the case says itself goes before.

    Returns
    -------
    tuple
        The case, or None and every problem with its line.
    """
    # Absolute: workers elsewhere have another working directory.
    folder = document.path.parent.absolute()
    data = with_defaults(defaults or {}, document.data)
    place = Place(folder, allow_outside=document.data.get("allow_outside") is True)
    try:
        case = Case.model_validate(data, context=place).at(folder)
    except ValidationError as error:
        return None, problems_of(error, document, Case)
    problems = [document.says(where, text) for where, text in _together(case)]
    return (None, problems) if problems else (case, [])


def with_defaults(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a case over a study's defaults; shared tests do not bind a case that has no spots yet."""
    data = merged(defaults, own)
    rows = own.get("sections")
    spots = isinstance(rows, list) and any(isinstance(row, dict) and row.get("spots") is not None for row in rows)
    if "tests" not in own and not spots and own.get("registered") is None:
        data.pop("tests", None)
    return data


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one part's values over another's; a plan and a mould, or labels and settings, replace one another."""
    result = dict(below)
    if "slice_plan" in above:
        result.pop("mould", None)
    for name, value in above.items():
        own = result.get(name)
        if isinstance(own, Mapping) and isinstance(value, Mapping) and not _whole(name, own, value):
            result[name] = merged(own, value)
        else:
            result[name] = value
    return result


def _whole(name: str, own: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    """Whether a part replaces the one below it as a whole."""
    return name in {"images", "prepare"} or "labels" in value or "labels" in own


def of_folder(found: CaseFolder) -> Case:
    """Take a case folder with a manifest as a case: its sections and plan, nothing else to do.

    Parameters
    ----------
    found
        As read.

    Returns
    -------
    Case
        Named after the folder.

    Raises
    ------
    InputError
        If the folder's name is none for a case.
    """
    data: dict[str, Any] = {
        "pseudonym": safe_stem(found.folder.resolve().name), "images": dict(found.images), "mask": found.mask,
        "roi": found.roi, "slice_plan": found.slice_plan, "simulated": found.simulated,
        "sections": [_row(entry) for entry in found.sections],
    }  # fmt: skip
    try:
        return Case.model_validate(data, context=Place(found.folder)).at(found.folder)
    except ValidationError as error:
        raise InputError.collect(subject=f"case folder {found.folder}", problems=unlined(error)) from error


def unlined(error: ValidationError) -> list[str]:
    """Say pydantic's errors where there is no file with lines."""
    return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]


def _row(entry: SectionEntry) -> dict[str, Any]:
    own: dict[str, Any] = {name: getattr(entry, name) for name in ("spots", "landmarks", "landmarks_patient")}
    further: dict[str, Any] = {name: _picture(one) for name, one in entry.named.items()}
    via = [_picture(one) for one in entry.via]
    return _picture(entry.picture) | own | further | {"landmarks_use": entry.landmarks_use, "via": via}


def _picture(entry: PictureEntry) -> dict[str, Any]:
    told = {name: getattr(entry, name) for name in PictureEntry.__dataclass_fields__}
    return {name: value for name, value in told.items() if value is not None and (name, value) != ("downsample", 1.0)}


_Problems = Iterator[tuple[tuple[str | int, ...], str]]


def _together(case: Case) -> _Problems:
    """Find what is wrong between parts: where, and what."""
    if case.mould is not None and case.slice_plan is not None:
        yield ("slice_plan",), "stands beside a mould, which has a plan of its own; keep one of the two"
    if case.sections and case.mould is None and case.slice_plan is None:
        yield ("sections",), "need cutting planes; add slice_plan or mould"
    if case.sections and case.registered is not None:
        yield ("registered",), "stands beside sections; keep one of the two"
    if case.tests is not None and case.habitats is None:
        yield ("tests",), "need habitats; add habitats"
    if case.tests is not None and not case.has_spots:
        yield ("tests",), "need spots; add spots to a section, or registered"
    if case.mould is not None and case.mould.needs_habitats and case.mould.habitats is None and case.habitats is None:
        what = "cores" if case.mould.cores is not None else "settings"
        yield ("mould", what), "need habitats; add habitats, or a label map as mould.habitats"
    yield from _of_images(case)
    seen: dict[str, str] = {}
    for number, row in enumerate(case.sections):
        stem = safe_stem(row.id).lower()
        if stem in seen:
            same = row.id == seen[stem]
            said = f"{row.id!r} is used twice" if same else f"{row.id!r} and {seen[stem]!r} give one file name"
            yield ("sections", number, "id"), said
        seen.setdefault(stem, row.id)


def _of_images(case: Case) -> _Problems:
    known = ", ".join(case.images)
    if case.mould is not None and case.mould.image is not None and case.mould.image not in case.images:
        yield ("mould", "image"), f"{case.mould.image!r} is none of {known}"
    for name in case.habitats.prepare if case.habitats is not None else ():
        if name not in case.images:
            yield ("habitats", "prepare", name), f"is none of the images {known}"
    lower = [name.lower() for name in case.images]
    for name in case.images:
        if lower.count(name.lower()) > 1:
            yield ("images", name), "differs from another image in case only"


def case_schema() -> dict[str, Any]:
    """Give the JSON schema of ``case.yaml``, for editors."""
    schema = Case.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.loads(json.dumps(schema | {"title": "comould case"}))
