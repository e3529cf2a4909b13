"""Finished steps on disk: made beside, put in place whole, trusted only when key and files agree."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comould.io.output import swap_in, write_json
from comould.study.fingerprint import HASHES, HashCache, digest

RECORD = "step.json"
FORMAT = "comould.step"
_MOST_NAMED = 3


@dataclass(frozen=True)
class Ingredients:
    """All that a step's result depends on.

    Parameters
    ----------
    step
        Its name.
    parameters
        JSON-able.
    inputs
        Role of a file to the SHA-256 of its content.
    upstream
        Steps it builds on to their keys.
    code
        Parts of comould to the SHA-256 of their source.
    """

    step: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    upstream: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """SHA-256 over all of it."""
        return digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data."""
        names = ("step", "parameters", "inputs", "upstream", "code")
        return {name: getattr(self, name) for name in names}

    def changes_from(self, old: Mapping[str, Any]) -> list[str]:
        """Say in words how it differs from what an earlier result was made of."""
        said = _changed_values("parameter ", flat(old.get("parameters", {})), flat(self.parameters))
        said += _changed_names(old.get("inputs", {}), self.inputs, "{} changed", "{} is new", "{} is gone")
        said += _changed_names(
            old.get("upstream", {}), self.upstream, "step {} is made anew", "step {} comes before it now",
            "step {} is gone",
        )  # fmt: skip
        return said + _changed_names(
            old.get("code", {}), self.code, "code of {} changed", "code of {} counts now", "code of {} counts no more"
        )


class StepStore:
    """The finished steps of one case.

    Parameters
    ----------
    folder
        ``<out>/<case>``.
    hashes
        For the files of results.
    """

    def __init__(self, folder: Path, hashes: HashCache) -> None:
        self.folder, self.hashes = folder, hashes

    def at(self, step: str) -> Path:
        """Where a step's result lies."""
        return self.folder / step

    def record(self, step: str) -> dict[str, Any] | None:
        """Read what a finished step says of itself; None when there is none that can be read."""
        try:
            data = json.loads((self.at(step) / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        right = isinstance(data, dict) and data.get("format") == FORMAT and isinstance(data.get("files"), dict)
        return data if right and isinstance(data.get("ingredients"), dict) else None

    def why(self, wanted: Ingredients) -> list[str]:
        """Say why a step must run; nothing when its result is there and whole."""
        record = self.record(wanted.step)
        if record is None:
            return ["no record of how it was made"] if self.at(wanted.step).exists() else ["never run"]
        if record.get("key") != wanted.key:
            return wanted.changes_from(record["ingredients"]) or ["its record does not fit its key"]
        return self.damage(wanted.step, record["files"])

    def damage(self, step: str, files: Mapping[str, str]) -> list[str]:
        """Say which files of a result are missing or are no longer what was written."""
        bad = []
        for name, wanted in files.items():
            path = self.at(step) / name
            try:
                right = path.is_file() and self.hashes.of_file(path) == wanted
            except OSError:
                right = False
            if not right:
                bad.append(f"result {name} {'changed' if path.is_file() else 'is missing'}")
        return bad if len(bad) <= _MOST_NAMED else [*bad[:_MOST_NAMED], f"{len(bad) - _MOST_NAMED} more like it"]

    @contextmanager
    def making(self, made_of: Ingredients, facts: dict[str, Any]) -> Iterator[Path]:
        """Give a folder to fill; at the end it is recorded and becomes the result, in one step.

        Parameters
        ----------
        made_of
            What goes into the key.
        facts
            More for ``step.json``, read when the block ends: seconds, versions.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{made_of.step}.", dir=self.folder))
        try:
            yield work
            work.chmod(0o755)
            self._seal(work, made_of, facts)
            swap_in(work, self.at(made_of.step))
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def sweep(self, steps: Iterable[str]) -> list[str]:
        """Remove what a killed run left half-written of some steps; returns the names."""
        if not self.folder.is_dir():
            return []
        left = [one for one in self.folder.iterdir() if _half_written(one.name, {*steps, "hashes"})]
        for one in left:
            if one.is_dir() and not one.is_symlink():
                shutil.rmtree(one, ignore_errors=True)
            else:
                one.unlink(missing_ok=True)
        return sorted(one.name for one in left)

    def _seal(self, work: Path, made_of: Ingredients, facts: Mapping[str, Any]) -> None:
        files = sorted(one for one in work.rglob("*") if one.is_file())
        # A plain file each, not a folder with companions: what is recorded is every file by itself.
        listed = {one.relative_to(work).as_posix(): HashCache().of_file(one) for one in files}
        record = {"format": FORMAT, "key": made_of.key, "ingredients": made_of.to_dict(), **facts, "files": listed}
        _flush(write_json(work / RECORD, record))


def _half_written(name: str, steps: set[str]) -> bool:
    return name.startswith(".") and name != HASHES and name.lstrip(".").partition(".")[0] in steps


def flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name nested values by their path: ``{"a": {"b": 1}}`` gives ``{"a.b": 1}``."""
    rows: dict[str, Any] = {}
    for name, value in data.items():
        nested = isinstance(value, Mapping) and value
        rows |= flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return rows


def _changed_values(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    names = [*new, *(name for name in old if name not in new)]
    return [
        f"{kind}{name} changed from {_said(old.get(name))} to {_said(new.get(name))}"
        for name in names
        if digest(old.get(name)) != digest(new.get(name))
    ]


def _changed_names(old: Mapping[str, str], new: Mapping[str, str], changed: str, more: str, gone: str) -> list[str]:
    said = [(changed if name in old else more).format(name) for name, value in new.items() if old.get(name) != value]
    return said + [gone.format(name) for name in old if name not in new]


def _said(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _flush(path: Path) -> None:
    """See a file on the disk before anything counts on it."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
