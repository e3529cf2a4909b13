"""Registered spots and the maps beside them: read, joined, and checked against one another."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import ComouldError, InputError
from comould.study._trouble import Trouble

if TYPE_CHECKING:
    import SimpleITK as sitk
    from anndata import AnnData

POSITIONS = "spatial_patient"
SAMPLES = f"{POSITIONS}_samples"
_MOST_NAMED = 4


@dataclass(frozen=True, eq=False)
class LoadedSpots:
    """The spots of a case's sections, joined.

    Parameters
    ----------
    spots
        With ``obs["section"]``, ``obsm["spatial_patient"]`` and, where all sections have them, its ``_sd`` and
        ``_samples``.
    files
        By role, for provenance.
    verdicts
        Section to the verdict of its registration, where it is known.
    left_out
        Section to why its spots did not enter.
    simulated
        Whether the case says that it is.
    """

    spots: AnnData
    files: Mapping[str, Path]
    verdicts: Mapping[str, str]
    left_out: Mapping[str, str]
    simulated: bool


@dataclass(frozen=True, eq=False)
class LoadedMap:
    """A habitat map from files.

    Parameters
    ----------
    labels
        0 outside, 1 to k.
    probabilities
        One component a label; None where there are only labels.
    files
        By role, for provenance.
    """

    labels: sitk.Image
    probabilities: sitk.Image | None = None
    files: Mapping[str, Path] = field(default_factory=dict)


def load_spots(case: Path, *, force: bool = False) -> LoadedSpots:
    """Read the spots of a folder that ``comould register`` or ``comould demo`` wrote, or of one made alike.

    Parameters
    ----------
    case
        Holds ``spots/*.h5ad`` (a file a section) or ``spots.h5ad``; its ``manifest.json`` may name rejected sections.
    force
        Keep the spots of rejected sections.

    Returns
    -------
    LoadedSpots

    Raises
    ------
    InputError
        If there are no spots, or files cannot be joined: no patient positions, other genes than their neighbours,
        a section twice. Every problem is named.
    """
    files = _files(case)
    facts = _facts(case)
    verdicts, rejected = _verdicts(facts)
    trouble = Trouble(case)
    parts = [(path, trouble.when(lambda path=path: _read(path, named=len(files) > 1))) for path in files]  # type: ignore[misc]
    tables = [(path, table) for path, table in parts if table is not None]
    trouble.problems += [*_sections_twice(tables), *_other_genes(tables)]
    trouble.tell(f"spots of {case.name}")
    joined = _joined([table for _, table in tables])
    there = set(joined.obs["section"].astype(str))
    left_out = {name: "its registration was rejected" for name in rejected if not force or name not in there}
    joined = _without(joined, left_out)
    sections = list(dict.fromkeys(joined.obs["section"].astype(str)))
    roles = {f"spots {n}": path for n, path in enumerate(files, start=1)}
    known = {name: verdict for name, verdict in verdicts.items() if name in sections}
    return LoadedSpots(joined, roles, known, left_out, bool(facts.get("simulated", facts.get("kind") == "demo")))


def load_map(path: Path) -> LoadedMap:
    """Read a habitat map: a label image, or a folder with ``habitats.nii.gz`` and perhaps ``probabilities.nii.gz``.

    Raises
    ------
    InputError
        If there is no such file, or it is no label image.
    """
    from comould.associate.support.sample import label_volume
    from comould.io import read_image

    file = path / "habitats.nii.gz" if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise InputError(
            subject=f"habitats {path}",
            expected="a folder that comould habitats wrote, with habitats.nii.gz, or a label image",
            found="no such file in it",
        )
    labels = read_image(file)
    label_volume(labels)
    beside = path / "probabilities.nii.gz"
    if not path.is_dir() or not beside.is_file():
        return LoadedMap(labels, None, {"habitats": file})
    return LoadedMap(labels, _components(beside), {"habitats": file, "probabilities": beside})


def map_of(case: Path, given: Path | None) -> Path:
    """Say where the habitats are: those given, or the case's own.

    Raises
    ------
    InputError
        If neither is there.
    """
    if given is not None:
        return given
    own = case / "habitats"
    if not own.is_dir():
        raise InputError(
            subject=f"habitats of {case.name}",
            expected="a folder habitats in the case, or others",
            found="neither",
            remedy="Run comould habitats, and give --habitats its folder",
        )
    return own


def _components(path: Path) -> sitk.Image:
    """Read an image of several components, which comould wrote itself."""
    import SimpleITK as sitk

    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(subject=str(path), expected="an image", found="a file that cannot be read") from error


def _files(case: Path) -> list[Path]:
    if not case.is_dir():
        raise InputError(subject=f"case {case}", expected="a folder", found="a file" if case.exists() else "nothing")
    folder, single = case / "spots", case / "spots.h5ad"
    if folder.is_dir() and (found := sorted(folder.glob("*.h5ad"))):
        return found
    if single.is_file():
        return [single]
    raise InputError(
        subject=f"case {case.name}",
        expected="registered spots: spots/*.h5ad or spots.h5ad",
        found="neither",
        remedy="Run comould register first, and give its folder",
    )


def _facts(case: Path) -> dict[str, Any]:
    path = case / "manifest.json"
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(subject=f"manifest.json of {case.name}", expected="JSON", found=str(error)) from error
    return facts if isinstance(facts, dict) else {}


def _verdicts(facts: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Verdicts by section, and the rejected ones."""
    sections = facts.get("sections")
    rows = sections.items() if isinstance(sections, dict) else ()
    verdicts = {str(name): str(row["verdict"]) for name, row in rows if isinstance(row, dict) and "verdict" in row}
    return verdicts, [name for name, verdict in verdicts.items() if verdict == "reject"]


def _read(path: Path, *, named: bool) -> AnnData:
    """Read one file; a file of several needs no section column, its name will do."""
    import anndata as ad

    from comould.associate.support.sample import positions_of

    try:
        spots = ad.read_h5ad(path)
    except ComouldError:
        raise
    except Exception as error:
        reason = type(error).__name__
        raise InputError(subject=str(path), expected="spots as AnnData (.h5ad)", found=reason) from error
    try:
        positions_of(spots, POSITIONS)
    except InputError as error:
        raise InputError(
            subject=str(path), expected=error.expected, found=error.found, remedy="Run comould register first"
        ) from error
    if not spots.n_obs:
        raise InputError(subject=str(path), expected="spots", found="none")
    if "section" not in spots.obs:
        spots.obs["section"] = path.stem if named else "section"
    if not spots.var_names.is_unique:
        raise InputError(
            subject=str(path), expected="every gene once", found=f"{int(spots.var_names.duplicated().sum())} repeated",
            remedy="Sum their counts or call adata.var_names_make_unique()",
        )  # fmt: skip
    return spots


def _sections_twice(tables: Sequence[tuple[Path, AnnData]]) -> list[str]:
    seen: dict[str, str] = {}
    problems = []
    for path, table in tables:
        for name in dict.fromkeys(table.obs["section"].astype(str)):
            if name in seen:
                problems.append(f"section {name!r} is in {seen[name]} and in {path.name}")
            seen.setdefault(name, path.name)
    return problems


def _other_genes(tables: Sequence[tuple[Path, AnnData]]) -> list[str]:
    """Say which files count other genes than the first does: a gene that is not measured is not a count of nought."""
    if not tables:
        return []
    (first, table), *rest = tables
    problems = []
    for path, other in rest:
        lacking = table.var_names.difference(other.var_names, sort=False)
        more = other.var_names.difference(table.var_names, sort=False)
        said = [f"lacks {_named(lacking)}"] if len(lacking) else []
        said += [f"has {_named(more)} besides"] if len(more) else []
        if said:
            problems.append(f"{path.name} {' and '.join(said)}, against {first.name}: keep the genes all have")
    return problems


def _named(genes: Sequence[str]) -> str:
    shown = ", ".join(map(str, genes[:_MOST_NAMED]))
    return shown if len(genes) <= _MOST_NAMED else f"{shown} and {len(genes) - _MOST_NAMED} more genes"


def _joined(tables: list[AnnData]) -> AnnData:
    """Join sections; of plausible positions as many as all of them have."""
    import anndata as ad

    if len(tables) == 1:
        return tables[0]
    counts = [np.shape(table.obsm[SAMPLES])[1] if SAMPLES in table.obsm else 0 for table in tables]
    for table in tables:
        if SAMPLES in table.obsm:
            table.obsm[SAMPLES] = np.asarray(table.obsm[SAMPLES])[:, : min(counts)]
        if min(counts) < 2:
            table.obsm.pop(SAMPLES, None)
    joined = ad.concat(tables, merge="same", uns_merge="first")
    if not joined.obs_names.is_unique:
        joined.obs_names = joined.obs["section"].astype(str) + "_" + joined.obs_names
    return joined


def _without(spots: AnnData, left_out: Mapping[str, str]) -> AnnData:
    keep = ~spots.obs["section"].astype(str).isin(list(left_out)).to_numpy()
    if not keep.any():
        raise InputError(
            subject="sections", expected="one whose registration was not rejected", found="none",
            remedy="Mend the registrations, or give --force",
        )  # fmt: skip
    return spots if keep.all() else spots[keep].copy()
