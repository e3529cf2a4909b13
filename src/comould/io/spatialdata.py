"""SpatialData zarr: volumes, sections and spots of a case in one store, with the patient as a coordinate system."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from comould._version import __version__
from comould.errors import FrameMismatchError, InputError
from comould.io import _sd_elements, _sd_extras, _sd_spots
from comould.io._sd_elements import PATIENT
from comould.io._sd_extras import Extras
from comould.io.output import plain, swap_in
from comould.io.section import Section
from comould.space import Frame, Transform

if TYPE_CHECKING:
    import SimpleITK as sitk
    from anndata import AnnData
    from spatialdata import SpatialData

FORMAT, VERSION = "comould.spatialdata", 1
_ABOUT_PATIENT = "mm, DICOM patient axes LPS: x towards the patient's left, y posterior, z superior"
_ABOUT_SECTION = "full-resolution pixels of the section's slide: x right, y down, pixel centres on integers"
_ABOUT_DEFORMABLE = (
    "a deformable registration is no NGFF affine: its picture has no place in 'patient', its spots carry their own"
)


@dataclass(frozen=True, eq=False)
class CaseData:
    """What a store holds of a case.

    Parameters
    ----------
    volumes, labels
        By name; on their grids in the patient.
    sections
        Pictures at working resolution, with their tissue where it was drawn.
    patient_from_section_px
        By section id, for linear registrations.
    spots
        As they were given.
    deformable
        Ids of sections whose registration is deformable: the store carries their spots' positions in the patient, and
        not the transform.
    """

    volumes: Mapping[str, sitk.Image]
    labels: Mapping[str, sitk.Image]
    sections: tuple[Section, ...]
    patient_from_section_px: Mapping[str, Transform]
    spots: tuple[AnnData, ...]
    deformable: tuple[str, ...] = ()


def write_spatialdata(
    path: str | Path,
    *,
    volumes: Mapping[str, sitk.Image] | None = None,
    labels: Mapping[str, sitk.Image] | None = None,
    sections: Sequence[Section] = (),
    patient_from_section_px: Mapping[str, Transform] | None = None,
    spots: AnnData | Sequence[AnnData] = (),
    extras: Extras | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a case as SpatialData zarr, for napari-spatialdata, spatialdata-plot and squidpy to open.

    Parameters
    ----------
    path
        The store to make (``….zarr``).
    volumes, labels
        Scalar 3-D images and label maps by name, in patient LPS mm.
    sections
        Their pictures, and the drawn tissue where there is one.
    patient_from_section_px
        By section id. Linear ones become affines; deformable ones only place the spots.
    spots
        With ``obsm["spatial"]`` (px), and ``obsm["spatial_patient"]`` (mm) where mapped; ``obs["section"]`` names each
        spot's section and may be absent with a single section.
    extras
        Label maps of sections, outlines seen from above, and tables; :func:`read_spatialdata` passes them over.
    overwrite
        Replace a store that comould wrote; nothing else is ever replaced.

    Returns
    -------
    Path
        Of the store.

    Raises
    ------
    InputError
        If the place is taken or cannot be written, nothing is given, a volume is no scalar 3-D image, a name occurs
        twice or for no section, or spots have no positions.
    FrameMismatchError
        If a transform does not lead from ``section_px`` to ``patient``.

    Notes
    -----
    Coordinate systems: ``patient`` (mm, LPS) and ``section:<id>`` for each section (full-resolution pixels, centres on
    integers). Elements: volumes and labels by their names; ``section_<id>`` (multiscale RGB, in its own system and,
    when linear, in ``patient``) and ``section_<id>_tissue``; circles ``spots_<id>`` (radius a quarter of the pitch) and
    3-D points ``spots_<id>_patient`` (with each spot's standard deviations and, where sampled, its habitat); a table
    for each AnnData, annotating its circles. Extras: ``section_<id>_<name>``, ``outline_<name>`` (x and y of the
    patient) and the tables by their names. What is said about frames and registrations lies in ``attrs["comould"]``. A
    picture whose plane is seen edge-on from above has its matrix there only: viewers of two dimensions cannot turn it.

    The store appears at its place only when complete. Metadata of the images are not written: they may name a patient.
    """
    path = Path(path)
    given = [spots] if hasattr(spots, "obsm") else list(spots)
    transforms, extras = dict(patient_from_section_px or {}), extras or Extras()
    _check(sections, transforms, bool(volumes or labels or sections or given or extras.any))
    _check_place(path, overwrite=overwrite)
    with _quiet():
        data = _build(dict(volumes or {}), dict(labels or {}), sections, transforms, given, extras)
        _write(data, path)
    return path


def _check(sections: Sequence[Section], transforms: Mapping[str, Transform], anything: bool) -> None:
    if not anything:
        raise InputError(subject="SpatialData", expected="something to write", found="nothing")
    ids = [section.id for section in sections]
    if twice := sorted({one for one in ids if ids.count(one) > 1}):
        raise InputError(subject="sections", expected="every id once", found=f"several of {', '.join(twice)}")
    for name, transform in transforms.items():
        if (transform.source, transform.target) != (Frame.SECTION_PX, Frame.PATIENT):
            raise FrameMismatchError(
                subject=f"transform of section {name!r}", expected="patient_from_section_px", found=transform.name
            )


def _build(
    volumes: Mapping[str, sitk.Image],
    labels: Mapping[str, sitk.Image],
    sections: Sequence[Section],
    transforms: Mapping[str, Transform],
    spots: Sequence[AnnData],
    extras: Extras,
) -> SpatialData:
    from spatialdata import SpatialData

    tables = [_sd_spots.describe(one, [s.id for s in sections], number) for number, one in enumerate(spots)]
    ids = list(dict.fromkeys([*(s.id for s in sections), *(i for table in tables for i in table.sections)]))
    if strange := sorted(set(transforms) - set(ids)):
        raise InputError(
            subject="patient_from_section_px",
            expected=f"sections that are given: {', '.join(ids) or 'none'}",
            found=", ".join(strange),
        )
    safe = [f"section_{_sd_elements.safe_name(one)}" for one in ids]
    _check_names([*volumes, *labels, *safe])
    images: dict[str, Any] = {name: _sd_elements.volume(image, name) for name, image in volumes.items()}
    masks: dict[str, Any] = {name: _sd_elements.labels(image, name) for name, image in labels.items()}
    records: dict[str, Any] = {one: _sd_elements.registration_record(transforms.get(one)) for one in ids}
    for section in sections:
        pictures, tissues, record = _sd_elements.section(section, transforms.get(section.id))
        images |= pictures
        masks |= tissues
        records[section.id] |= record
    shapes, points, annotations, described = _sd_spots.elements(tables, transforms)
    maps, outlines, loose = _sd_extras.elements(extras, transforms, [one.id for one in sections])
    _check_names([*images, *masks, *shapes, *points, *annotations, *maps, *outlines, *loose])
    about = {
        "format": FORMAT,
        "version": VERSION,
        "comould": __version__,
        "coordinate_systems": {PATIENT: _ABOUT_PATIENT, "section:<id>": _ABOUT_SECTION},
        "deformable": _ABOUT_DEFORMABLE,
        "volumes": list(volumes),
        "labels": list(labels),
        "sections": records,
        "spots": described,
    }
    return SpatialData(
        images=images, labels=masks | maps, shapes=shapes | outlines, points=points, tables=annotations | loose,
        attrs={"comould": plain(about)},
    )  # fmt: skip


def _check_names(names: Sequence[str]) -> None:
    lower = [name.lower() for name in names]
    problems = [f"{name!r} is used twice (case does not count)" for name in names if lower.count(name.lower()) > 1]
    problems += [
        f"{name!r} is no name of letters, digits, _, - and ."
        for name in names
        if not name or name.startswith("__") or not all(c.isalnum() or c in "_-." for c in name)
    ]
    if problems:
        raise InputError.collect(subject="names of volumes, labels and sections", problems=dict.fromkeys(problems))


def _check_place(path: Path, *, overwrite: bool) -> None:
    if not path.exists():
        return
    if path.is_dir() and not any(path.iterdir()):
        return
    if not (overwrite and _is_ours(path)):
        raise InputError(
            subject=f"SpatialData store {path.name}",
            expected="a new place" + (" or a store that comould wrote" if overwrite else ""),
            found="files there",
            remedy="Choose another place" + ("" if overwrite else " or give overwrite=True"),
        )


def _is_ours(path: Path) -> bool:
    import zarr

    try:
        attributes = dict(zarr.open_group(path, mode="r").attrs)
    except Exception:
        # Whatever it is that zarr cannot read, it is not ours to delete.
        return False
    facts = attributes.get("comould") or dict(attributes.get("spatialdata_attrs") or {}).get("comould") or {}
    return isinstance(facts, Mapping) and facts.get("format") == FORMAT


def _write(data: SpatialData, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise InputError(
            subject=f"SpatialData store {path}",
            expected="a place that can be written to",
            found=error.strerror or type(error).__name__,
            remedy="Choose another place",
        ) from error
    try:
        _write_store(data, work / "store.zarr", path.name)
        if path.exists() and not any(path.iterdir()):
            path.rmdir()
        swap_in(work / "store.zarr", path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_store(data: SpatialData, store: Path, name: str) -> None:
    try:
        data.write(store)
    except OSError:
        raise
    except Exception as error:
        # anndata wraps what zarr, numpy and its own registry raise in several kinds.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            subject=f"SpatialData store {name}",
            expected="values that zarr can hold",
            found=reason,
            remedy="Look at obs, obsm and uns of the spots",
        ) from error


def read_spatialdata(path: str | Path) -> CaseData:
    """Read what :func:`write_spatialdata` wrote.

    Parameters
    ----------
    path
        The store.

    Returns
    -------
    CaseData
        Everything, loaded.

    Raises
    ------
    InputError
        If it is no SpatialData store, or not one of comould's.
    """
    import spatialdata

    path = Path(path)
    if not path.is_dir():
        raise InputError(subject=str(path), expected="a SpatialData zarr store", found="none")
    with _quiet():
        try:
            data = spatialdata.read_zarr(path)
        except Exception as error:
            # zarr, its codecs, dask and pandas raise many kinds.
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(subject=str(path), expected="a SpatialData zarr store", found=reason) from error
        about = data.attrs.get("comould")
        if not isinstance(about, Mapping) or about.get("format") != FORMAT:
            raise InputError(
                subject=str(path), expected="a store comould wrote (attrs['comould'])", found="one of another program"
            )
        return _load(data, about)


def _load(data: SpatialData, about: Mapping[str, Any]) -> CaseData:
    records = about["sections"]
    sections = [
        _sd_elements.load_section(data, name, record) for name, record in records.items() if record.get("element")
    ]
    transforms = {
        name: Transform.from_matrix(Frame.SECTION_PX, Frame.PATIENT, np.array(record["patient_from_section_px"]))
        for name, record in records.items()
        if record["registration"] == "linear"
    }
    return CaseData(
        {name: _sd_elements.load_volume(data.images[name]) for name in about["volumes"]},
        {name: _sd_elements.load_volume(data.labels[name]) for name in about["labels"]},
        tuple(sections),
        transforms,
        tuple(_sd_spots.load(data, record) for record in about["spots"]),
        tuple(name for name, record in records.items() if record["registration"] == "deformable"),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what zarr, dask and spatialdata have to tell each other from the user; comould's own warnings stay."""
    with warnings.catch_warnings():
        for kind in (DeprecationWarning, FutureWarning, PendingDeprecationWarning):
            warnings.simplefilter("ignore", kind)
        for library in ("spatialdata", "zarr", "dask", "anndata", "xarray", "ome_zarr", "multiscale_spatial_image"):
            warnings.filterwarnings("ignore", category=UserWarning, module=rf"{library}(\..*)?")
        warnings.filterwarnings("ignore", message="zarr v3 autosharding")
        # Label maps without a picture of their own are no news.
        log = logging.getLogger("ome_zarr.reader")
        level = log.level
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)
