"""Hashes of files and of code: what a step's key is made of."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from comould.io.output import plain, sha256_of

HASHES = ".hashes.json"
"""Where a folder of results keeps the hashes of files it has seen."""

_SETTLED_NS = 2_000_000_000
"""A file written less than 2 s ago may change again without its time showing it: its hash is not kept."""


class HashCache:
    """SHA-256 of files, computed again only when a file's size or time has changed.

    Parameters
    ----------
    path
        JSON file it is kept in; names of files do not enter, only their hashes. A file that cannot be read is an empty
        cache: nothing is lost but time.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._known: dict[str, list[Any]] = _read(path)
        self._new = False

    def of(self, path: Path) -> str:
        """Hash a file; or a folder, as its files' names and hashes; with it, whatever its header points to.

        Raises
        ------
        OSError
            If it is not there or cannot be read.
        """
        beside = list(companions(path))
        if not path.is_dir() and not beside:
            return self.of_file(path)
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path, *beside]
        start = path if path.is_dir() else path.parent
        listed = [[os.path.relpath(one, start), self.of_file(one)] for one in files]
        return digest(listed)

    def of_file(self, path: Path) -> str:
        """Hash one file alone."""
        facts = path.stat()
        name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()
        seen = [facts.st_size, facts.st_mtime_ns]
        known = self._known.get(name)
        if known is not None and known[:2] == seen:
            return str(known[2])
        found = sha256_of(path)
        if time.time_ns() - facts.st_mtime_ns > _SETTLED_NS:
            self._known[name] = [*seen, found]
            self._new = True
        return found

    def save(self) -> None:
        """Write what was learnt, in one step."""
        if self.path is None or not self._new:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        work = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        work.write_text(json.dumps(self._known), encoding="utf-8")
        work.replace(self.path)
        self._new = False


def companions(path: Path) -> Iterator[Path]:
    """Find the files that a file is read with: the voxels of a detached header, the pyramid of an MRXS slide."""
    suffix = path.suffix.lower()
    if suffix == ".mrxs" and path.with_suffix("").is_dir():
        yield from sorted(one for one in path.with_suffix("").rglob("*") if one.is_file())
    if suffix not in {".mhd", ".nhdr"}:
        return
    for line in path.read_bytes()[:65536].decode("utf-8", "replace").splitlines():
        key, _, value = line.partition("=" if suffix == ".mhd" else ":")
        named = path.parent / value.strip()
        if key.strip().lower() in {"elementdatafile", "data file", "datafile"} and value.strip() and named.is_file():
            yield named


def digest(data: Any) -> str:
    """Hash plain data: equal data, equal hash, whatever the order of keys."""
    text = json.dumps(plain(data), sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def code_of(names: Iterable[str]) -> dict[str, str]:
    """Hash the source of parts of comould.

    Parameters
    ----------
    names
        Sub-packages (``habitats``) or modules (``study/habitats_case``), from the package's root.

    Returns
    -------
    dict
        Name to SHA-256 of its source files, templates and tables among them.
    """
    return {name: _code(name) for name in names}


@lru_cache(maxsize=64)
def _code(name: str) -> str:
    root = Path(__file__).resolve().parents[1]
    place = root / name
    files = [place.with_suffix(".py")] if not place.is_dir() else [one for one in place.rglob("*") if _is_source(one)]
    return digest({one.relative_to(root).as_posix(): sha256_of(one) for one in files})


def _is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and path.suffix not in {".pyc", ".nbi", ".nbc"}


def _read(path: Path | None) -> dict[str, list[Any]]:
    try:
        data = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    except (OSError, ValueError):
        return {}
    rows: Mapping[str, Any] = data if isinstance(data, dict) else {}
    return {name: row for name, row in rows.items() if isinstance(row, list) and len(row) == 3}
