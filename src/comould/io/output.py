"""Writing results: all or nothing, with provenance, never over something by accident."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from comould._version import __version__
from comould.errors import InputError

_SUFFIXES = re.compile(
    r"\.(csv|dcm|gmt|gz|h5|h5ad|jpe?g|json|mha|mhd|nii|nrrd|obj|parquet|ply|png|stl|svs|tfm|tiff?|tsv|txt|ya?ml|zarr|3mf)",
    re.IGNORECASE,
)


def sha256_of(path: str | Path) -> str:
    """Hash a file, or a folder as the sorted hashes of its files (names do not enter: they may hold patient data)."""
    path = Path(path)
    if path.is_dir():
        inner = sorted(sha256_of(file) for file in path.rglob("*") if file.is_file())
        return hashlib.sha256("\n".join(inner).encode()).hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def provenance(
    *,
    inputs: Mapping[str, str | Path] | None = None,
    parameters: Mapping[str, Any] | None = None,
    seed: int | None = None,
    libraries: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Say what made a result: inputs by role and hash, parameters, versions, seed and time (UTC).

    Parameters
    ----------
    inputs
        Role (``"segmentation"``) to path. Only role and SHA-256 are kept: a file name may name a patient.
    parameters
        Whatever shaped the result; must be JSON-able after :func:`plain`.
    seed
        The seed, where chance entered.
    libraries
        Distributions whose versions matter to the result.

    Returns
    -------
    dict
        JSON-able.
    """
    versions = {"comould": __version__, "python": platform.python_version()}
    for name in ("numpy", *libraries):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions,
        "inputs": {role: {"sha256": sha256_of(path)} for role, path in (inputs or {}).items()},
        "parameters": plain(dict(parameters or {})),
        "seed": seed,
    }


def plain(value: Any) -> Any:
    """Reduce numpy scalars and arrays, tuples, enums and paths (to their suffix only) to JSON's own types."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        # The order of a set of strings changes from run to run.
        return [plain(item) for item in sorted(value, key=str)]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Path):
        # "Jane.Doe" has a suffix too: only those of file formats are kept.
        return f"*{value.suffix}" if _SUFFIXES.fullmatch(value.suffix) else "*"
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def write_json(path: str | Path, data: Mapping[str, Any]) -> Path:
    """Write plain data as indented UTF-8 JSON; returns the path."""
    path = Path(path)
    path.write_text(json.dumps(plain(data), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


@contextmanager
def atomic_directory(target: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder that becomes ``target`` when the block ends well, and vanishes when it does not.

    Parameters
    ----------
    target
        The folder to make. A folder of that name is an error unless it is empty or ``overwrite`` is set.
    overwrite
        Replace an existing folder that an earlier run of comould wrote (it holds ``manifest.json``); any other
        non-empty folder is refused even so.

    Raises
    ------
    InputError
        If the target exists and may not be replaced, or its parent cannot be made.
    """
    target = Path(target).resolve()
    check_target(target, overwrite=overwrite)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise InputError(
            subject=f"output {target}",
            expected="a place that can be written to",
            found=error.strerror or type(error).__name__,
            remedy="Choose another --out",
        ) from error
    try:
        yield work
        work.chmod(0o777 & ~_umask())
        swap_in(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check_target(target: str | Path, *, overwrite: bool = False) -> None:
    """Refuse an output folder that may not be written, before any work is done for it.

    Raises
    ------
    InputError
        As :func:`atomic_directory`.
    """
    target = Path(target).resolve()
    nearest = next(folder for folder in (target, *target.parents) if folder.exists())
    if nearest != target and not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise InputError(
            subject=f"output {target}",
            expected="a place where a folder can be made",
            found=f"{nearest}, which is {'a file' if nearest.is_file() else 'not writable'}",
            remedy="Choose another --out",
        )
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(
            subject=f"output {target}", expected="a folder name", found="a file", remedy="Choose another --out"
        )
    if not any(target.iterdir()):
        return
    if not overwrite:
        raise InputError(
            subject=f"output folder {target}",
            expected="a new or empty folder",
            found="files in it",
            remedy="Choose another --out or give --overwrite",
        )
    if not (target / "manifest.json").is_file():
        raise InputError(
            subject=f"output folder {target}",
            expected="a folder an earlier run wrote (with a manifest.json)",
            found="other files, which overwriting would delete",
            remedy="Choose another --out",
        )


def swap_in(work: Path, target: Path) -> None:
    """Put a finished file or folder at its place, in one step; what was there goes only when that worked."""
    if not target.exists():
        work.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    target.rename(old / "was")
    try:
        work.rename(target)
    except OSError:
        (old / "was").rename(target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
