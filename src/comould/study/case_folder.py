"""A case as a folder: what its manifest may say, checked as a whole before anything is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal, cast

from comould.errors import InputError
from comould.space.planes import Face
from comould.study.inside import path_problem

LandmarkUse = Literal["held_out", "fit", "only", "half"]

PICTURE_KEYS = ("id", "picture", "pixel_size_um", "downsample", "plane_id", "face", "offset_mm", "tissue")
SECTION_KEYS = (*PICTURE_KEYS, "spots", "landmarks", "landmarks_patient", "landmarks_use", "via")
NAMED_PICTURES = ("adjacent", "photo")
"""Further pictures that simulated cases carry beside a section; used on the way only when asked for."""

_USES = ("held_out", "fit", "only", "half")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_TAKEN = ("section_", "spots_")
_LONGEST_ID = 64


@dataclass(frozen=True)
class PictureEntry:
    """One picture of the manifest; fields as in :class:`comould.io.Section`, files as paths."""

    id: str
    picture: Path
    pixel_size_um: float | None = None
    downsample: float = 1.0
    plane_id: str | None = None
    face: Face | None = None
    offset_mm: float = 0.0
    tissue: Path | None = None


@dataclass(frozen=True)
class SectionEntry:
    """One section of the manifest: its picture, and what belongs to it."""

    picture: PictureEntry
    spots: Path | None = None
    landmarks: Path | None = None
    landmarks_patient: Path | None = None
    landmarks_use: LandmarkUse = "held_out"
    via: tuple[PictureEntry, ...] = ()
    named: Mapping[str, PictureEntry] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The section's id."""
        return self.picture.id

    @property
    def stem(self) -> str:
        """The id as a file name: letters, digits, ``_``, ``-`` and ``.``."""
        return safe_stem(self.id)

    @property
    def files(self) -> dict[str, Path]:
        """Every file by what it is for."""
        named = {"picture": self.picture.picture, "tissue": self.picture.tissue, "spots": self.spots}
        named |= {"landmarks": self.landmarks, "landmarks_patient": self.landmarks_patient}
        for step in (*self.via, *self.named.values()):
            named |= {f"picture {step.id}": step.picture, f"tissue {step.id}": step.tissue}
        return {name: path for name, path in named.items() if path is not None}


@dataclass(frozen=True)
class CaseFolder:
    """What a case folder holds; read with :meth:`read`.

    Parameters
    ----------
    folder
        The folder.
    images
        Volumes by name.
    mask, slice_plan
        Files of the specimen's mask and of the cutting planes.
    roi
        Which region of the mask, where it has several.
    sections
        In the order of the manifest.
    simulated
        Whether the manifest says that the case is simulated.
    """

    folder: Path
    images: Mapping[str, Path]
    mask: Path
    slice_plan: Path
    sections: tuple[SectionEntry, ...]
    roi: int | str | None = None
    simulated: bool = False

    @classmethod
    def read(cls, folder: str | Path) -> CaseFolder:
        """Read and check ``manifest.json``.

        Parameters
        ----------
        folder
            Holds ``manifest.json`` with the keys ``images`` (name to path), ``mask``, ``slice_plan`` and ``sections``,
            a list of ``{id, picture, pixel_size_um, downsample?, plane_id, face?, offset_mm?, spots?, tissue?,
            landmarks?, landmarks_patient?, landmarks_use?, via?}``. ``via`` lists pictures on the way, in order, each
            ``{id, picture, pixel_size_um, …}``. Paths are relative and stay inside the folder.

        Raises
        ------
        InputError
            Naming every problem of the manifest at once.
        """
        folder = Path(folder)
        data = _manifest(folder)
        check = _Check(folder)
        images = check.images(data.get("images"))
        mask, plan = (check.file(data, key, "manifest", needed=True) for key in ("mask", "slice_plan"))
        rows = data.get("sections")
        if not isinstance(rows, list) or not rows:
            check.problems.append("sections is no list of sections")
            rows = []
        sections = [check.section(row, number) for number, row in enumerate(rows, start=1)]
        roi = data.get("roi")
        if roi is not None and (isinstance(roi, bool) or not isinstance(roi, int | str)):
            check.problems.append(f"roi {roi!r} is no number or name")
        kept = tuple(one for one in sections if one is not None)
        check.ids([one.id for one in kept])
        if check.problems or mask is None or plan is None:
            raise InputError.collect(subject=f"case folder {folder.name}", problems=check.problems)
        return cls(folder, images, mask, plan, kept, roi, data.get("simulated") is True)

    @property
    def inputs(self) -> dict[str, Path]:
        """Every file by its role, for provenance."""
        roles = {f"image {name}": path for name, path in self.images.items()}
        roles |= {"mask": self.mask, "slice_plan": self.slice_plan}
        for one in self.sections:
            roles |= {f"{one.id} {name}": path for name, path in one.files.items()}
        return roles


def safe_stem(text: str) -> str:
    """Turn an id into a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text).lstrip(".") or "_"


def _manifest(folder: Path) -> dict[str, Any]:
    subject = f"case folder {folder}"
    try:
        data = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        found = "no manifest.json in it" if folder.is_dir() else "no such folder"
        remedy = "comould register --help says what a case folder holds"
        raise InputError(subject, expected="a folder with a manifest.json", found=found, remedy=remedy) from error
    except (OSError, ValueError, RecursionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(subject, expected="a manifest.json that can be read", found=reason) from error
    if not isinstance(data, dict):
        raise InputError(subject, expected="a JSON object in manifest.json", found=type(data).__name__)
    return data


class _Check:
    """Read values, and note what is wrong with them instead of stopping."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []

    def images(self, given: Any) -> dict[str, Path]:
        """Read volumes by name."""
        if not isinstance(given, dict) or not given:
            self.problems.append("images is no list of name: path")
            return {}
        lower = [str(name).lower() for name in given]
        for name in given:
            bad = not _NAME.fullmatch(name) or name.lower() == "specimen" or name.lower().startswith(_TAKEN)
            if bad or lower.count(name.lower()) > 1:
                self.problems.append(f"image name {name!r} is no name of its own (letters, digits, _, - and .)")
        paths = {name: self.file(given, name, "images", needed=True) for name in given}
        return {name: path for name, path in paths.items() if path is not None}

    def file(self, row: Mapping[str, Any], key: str, where: str, *, needed: bool = False) -> Path | None:
        """Read a relative path that stays inside the folder and leads to something."""
        value = row.get(key)
        if value is None:
            if needed:
                self.problems.append(f"{where} has no {key}")
            return None
        problem = path_problem(self.folder, value)
        if problem:
            self.problems.append(f"{where}: {key} {value!r} {problem}")
            return None
        return self.folder / cast("str", value)

    def number(self, row: Mapping[str, Any], key: str, where: str, *, positive: bool) -> float | None:
        """Read a finite number, where there is one."""
        value = row.get(key)
        if value is None:
            return None
        good = not isinstance(value, bool) and isinstance(value, int | float) and isfinite(value)
        if not good or (positive and value <= 0):
            self.problems.append(f"{where}: {key} {value!r} is no {'positive ' if positive else ''}number")
            return None
        return float(value)

    def picture(self, row: Any, where: str, keys: Sequence[str]) -> PictureEntry | None:
        """Read a picture's facts."""
        if not isinstance(row, dict):
            self.problems.append(f"{where} is no object")
            return None
        id_ = row.get("id")
        if not isinstance(id_, str) or not id_.strip() or not id_.isprintable() or len(id_) > _LONGEST_ID:
            self.problems.append(f"{where} has no id of 1 to {_LONGEST_ID} printable characters")
            id_ = ""
        where = f"{where} ({id_})" if id_ else where
        if unknown := sorted(set(row) - set(keys)):
            self.problems.append(f"{where} has keys that mean nothing: {', '.join(unknown)}")
        file = self.file(row, "picture", where, needed=True)
        size = self.number(row, "pixel_size_um", where, positive=True)
        factor = self.number(row, "downsample", where, positive=True)
        if factor is not None and row.get("pixel_size_um") is None:
            self.problems.append(f"{where} has a downsample but no pixel_size_um")
        plane, face = row.get("plane_id"), row.get("face")
        if plane is not None and not isinstance(plane, str):
            self.problems.append(f"{where}: plane_id {plane!r} is no text")
        # A tuple: what JSON holds need not be hashable.
        if face is not None and face not in ("-", "+"):
            self.problems.append(f"{where}: face {face!r} is not '-', '+' or null")
        offset = self.number(row, "offset_mm", where, positive=False) or 0.0
        tissue = self.file(row, "tissue", where)
        if file is None or not id_:
            return None
        return PictureEntry(id_, file, size, factor or 1.0, plane, cast("Face | None", face), offset, tissue)

    def section(self, row: Any, number: int) -> SectionEntry | None:
        """Read a section and what belongs to it."""
        where = f"section {number}"
        picture = self.picture(row, where, (*SECTION_KEYS, *NAMED_PICTURES))
        if not isinstance(row, dict):
            return None
        where = f"{where} ({picture.id})" if picture else where
        if row.get("plane_id") is None:
            self.problems.append(f"{where} has no plane_id")
        spots, here, there = (self.file(row, key, where) for key in ("spots", "landmarks", "landmarks_patient"))
        if (row.get("landmarks") is None) != (row.get("landmarks_patient") is None):
            self.problems.append(f"{where}: landmarks and landmarks_patient go together, one of them is missing")
        use = row.get("landmarks_use", "held_out")
        if use not in _USES:
            self.problems.append(f"{where}: landmarks_use {use!r} is none of {', '.join(_USES)}")
        steps = row.get("via") or []
        if not isinstance(steps, list):
            self.problems.append(f"{where}: via is no list of pictures")
            steps = []
        via = [self.picture(step, f"{where}: via {n}", PICTURE_KEYS) for n, step in enumerate(steps, start=1)]
        named = {
            name: self.picture(row[name], f"{where}: {name}", PICTURE_KEYS)
            for name in NAMED_PICTURES
            if row.get(name) is not None
        }
        if picture is None:
            return None
        return SectionEntry(
            picture, spots, here, there, use,
            tuple(step for step in via if step), {name: step for name, step in named.items() if step},
        )  # fmt: skip

    def ids(self, ids: Sequence[str]) -> None:
        """Check that sections, and the files named after them, are told apart."""
        stems = [safe_stem(one).lower() for one in ids]
        seen: dict[str, str] = {}
        for one, stem in zip(ids, stems, strict=True):
            if stem in seen:
                other = seen[stem]
                said = f"id {one!r} is used twice" if one == other else f"ids {other!r} and {one!r} give one file name"
                self.problems.append(said)
            seen.setdefault(stem, one)
