"""A whole case as one SpatialData store, out of the folders the commands wrote: what ``comould export`` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import InputError
from comould.study._steps import Progress, Steps
from comould.study._trouble import Trouble
from comould.study.case_source import folders_of
from comould.study.load_spots import POSITIONS, LoadedMap, LoadedSpots, load_map, load_spots

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from comould.io import Extras, Section, SectionLabels
    from comould.register import SectionRegistration
    from comould.space import FloatArray, Transform

READ, PLACE, WRITE = "Read the folders", "Lay habitats on sections", "Write the store"
STEPS = (READ, PLACE, WRITE)
TABLES = {"associations.csv": "claims", "genes.csv": "genes", "registration.csv": "registration"}
"""Tables a folder may hold, and their names in the store."""

HABITATS, UNCERTAINTY = "habitats", "uncertainty_mm"
LONGEST_SIDE = 512
"""Pixels of the longer side of habitats on a section: they come from voxels, far larger than a slide's pixels."""


@dataclass(frozen=True, eq=False)
class ExportResult:
    """What was written.

    Parameters
    ----------
    path
        The store.
    elements
        Kind (``images``, ``labels``, ``shapes``, ``points``, ``tables``) → names.
    n_spots
        How many spots it holds.
    """

    path: Path
    elements: Mapping[str, tuple[str, ...]]
    n_spots: int


@dataclass(eq=False)
class _Found:
    """What the folders hold; a later folder's word counts."""

    volumes: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, Section] = field(default_factory=dict)
    transforms: dict[str, Transform] = field(default_factory=dict)
    loaded: LoadedSpots | None = None
    habitats: LoadedMap | None = None
    outlines: dict[str, list[FloatArray]] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)


def run_export(
    folders: Sequence[str | Path],
    out: str | Path,
    *,
    force: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportResult:
    """Write a case as one SpatialData zarr for squidpy, spatialdata-plot and napari-spatialdata.

    Parameters
    ----------
    folders
        Results of one case: of ``comould register``, ``associate``, ``habitats``, ``mould`` or ``demo``, in any number;
        or of ``comould run``, by the case's own folder of results, or its ``case.yaml``.
        Where two hold the same, the later one's is taken.
    out
        The store to make, ``….zarr``.
    force
        Place rejected sections in the patient, with their spots.
    overwrite
        Replace a store that comould wrote.
    progress
        Called with (step, fraction, note).

    Returns
    -------
    ExportResult

    Raises
    ------
    InputError
        If a folder holds nothing of a case, files in it cannot be read, or the place is taken; every problem of the
        folders is named, and nothing is written.

    Warns
    -----
    ComouldWarning
        If spots lie outside the habitats.

    Notes
    -----
    Coordinate systems: ``patient`` (LPS, mm) and ``section:<id>`` (full-resolution pixels). Besides what
    :func:`comould.io.write_spatialdata` writes: the label map ``habitats``; ``section_<id>_habitats``, the same map
    read at each pixel's place in the patient, so that it lies under the spots also where a deformable registration has
    no affine; ``outline_<body>`` of the mould and ``outline_specimen`` as seen along the patient's z; the tables
    ``claims``, ``genes`` and ``registration``. Spots carry ``obs["habitat"]`` and ``obs["uncertainty_mm"]``, the norm
    of the three standard deviations of the position.
    """
    from comould.io import write_spatialdata

    run = Steps(progress=progress)
    paths = [one for folder in folders for one in folders_of(folder)]
    with run.step(READ):
        found = _read(paths, force=force)
    with run.step(PLACE) as done:
        spots = _spots(found)
        extras = _extras(found, done)
    with run.step(WRITE):
        path = write_spatialdata(
            out,
            volumes=found.volumes,
            labels=found.labels,
            sections=list(found.sections.values()),
            patient_from_section_px=_placed(found, spots),
            spots=[] if spots is None else [spots],
            extras=extras,
            overwrite=overwrite,
        )
    return ExportResult(path.resolve(), _elements(path), 0 if spots is None else spots.n_obs)


def _read(folders: Sequence[Path], *, force: bool) -> _Found:
    if not folders:
        raise InputError(subject="export", expected="a folder of a case", found="none")
    found = _Found()
    trouble = Trouble(folders[0].parent)
    for folder in folders:
        trouble.when(lambda folder=folder: _read_folder(folder, found, force=force))  # type: ignore[misc]
    trouble.tell("folders to export")
    if found.habitats is not None:
        found.labels[HABITATS] = found.habitats.labels
    return found


def _read_folder(folder: Path, found: _Found, *, force: bool) -> None:
    """Take everything out of a folder that a store has a place for."""
    import pandas as pd

    if not folder.is_dir():
        raise InputError(
            subject=str(folder), expected="a folder", found="a file" if folder.exists() else "nothing there"
        )
    read = [
        _read_store(folder / "case.zarr", found),
        _read_registrations(folder / "registrations", found, force=force),
        _read_spots(folder, found, force=force),
        _read_habitats(folder, found),
        _read_mould(folder, found),
    ]
    for file, name in TABLES.items():
        if (folder / file).is_file():
            found.tables[name] = pd.read_csv(folder / file)
            read.append(True)
    if not any(read):
        raise InputError(
            subject=str(folder),
            expected="what comould register, associate, habitats, mould or demo wrote",
            found="none of their files",
        )


def _read_store(path: Path, found: _Found) -> bool:
    from comould.io import read_spatialdata

    if not path.is_dir():
        return False
    case = read_spatialdata(path)
    found.volumes |= case.volumes
    found.labels |= case.labels
    found.sections |= {one.id: one for one in case.sections}
    found.transforms |= case.patient_from_section_px
    return True


def _read_registrations(folder: Path, found: _Found, *, force: bool) -> bool:
    from comould.register import SectionRegistration

    known: list[SectionRegistration] = [
        SectionRegistration.load(path.parent) for path in sorted(folder.glob("*/registration.json"))
    ]
    for one in known:
        if one.quality.verdict == "reject" and not force:
            found.transforms.pop(one.section_id, None)
        else:
            found.transforms[one.section_id] = one.patient_from_section_px
    return bool(known)


def _read_spots(folder: Path, found: _Found, *, force: bool) -> bool:
    if not (folder / "spots.h5ad").is_file() and not any((folder / "spots").glob("*.h5ad")):
        return False
    found.loaded = load_spots(folder, force=force)
    return True


def _read_habitats(folder: Path, found: _Found) -> bool:
    for place in (folder / HABITATS, folder):
        if (place / "habitats.nii.gz").is_file():
            found.habitats = load_map(place)
            return True
    return False


def _read_mould(folder: Path, found: _Found) -> bool:
    from comould.mould import silhouettes
    from comould.mould.silhouette import is_mould

    for place in (folder / "mould", folder):
        if is_mould(place):
            found.outlines |= silhouettes(place)
            return True
    return False


def _spots(found: _Found) -> AnnData | None:
    """Give the spots with their habitat and the size of their uncertainty in columns that viewers can colour by."""
    from comould import associate

    if found.loaded is None:
        return None
    spots = found.loaded.spots
    if found.habitats is not None and "habitat" not in spots.obs:
        associate.sample(spots, found.habitats)
    if f"{POSITIONS}_sd" in spots.obsm:
        spots.obs[UNCERTAINTY] = np.linalg.norm(np.asarray(spots.obsm[f"{POSITIONS}_sd"], dtype=np.float64), axis=1)
    return spots


def _placed(found: _Found, spots: AnnData | None) -> dict[str, Transform]:
    """Keep the transforms of sections that the store will hold."""
    ids = set(found.sections) | (set() if spots is None else set(spots.obs["section"].astype(str)))
    return {name: transform for name, transform in found.transforms.items() if name in ids}


def _extras(found: _Found, done: Any) -> Extras:
    from comould.io import Extras

    maps = []
    for number, (name, section) in enumerate(found.sections.items(), start=1):
        transform = found.transforms.get(name)
        if found.habitats is not None and transform is not None:
            maps.append(_on_section(section, transform, found.habitats))
        done(number / (len(found.sections) + 1))
    return Extras(section_labels=maps, outlines=found.outlines, tables=found.tables)


def _on_section(section: Section, patient_from_section_px: Transform, habitats: LoadedMap) -> SectionLabels:
    """Read the habitats at the places in the patient that a section's pixels come from."""
    from comould.associate.support.sample import label_volume
    from comould.associate.support.sampling import nearest
    from comould.io import SectionLabels

    height, width = section.image.shape[:2]
    step = max(1, -(-max(height, width) // LONGEST_SIDE))
    downsample = section.downsample * step
    rows, columns = np.mgrid[: -(-height // step), : -(-width // step)]
    px = (np.column_stack([columns.ravel(), rows.ravel()]) + 0.5) * downsample - 0.5
    labels, grid = label_volume(habitats.labels)
    codes = nearest(labels, grid, patient_from_section_px.apply(px.astype(np.float64)))
    return SectionLabels(section.id, HABITATS, codes.reshape(rows.shape).astype(np.uint8), downsample)


def _elements(path: Path) -> dict[str, tuple[str, ...]]:
    kinds = ("images", "labels", "shapes", "points", "tables")
    there = {kind: sorted(one.name for one in (path / kind).glob("*") if one.is_dir()) for kind in kinds}
    return {kind: tuple(names) for kind, names in there.items() if names}
