"""Spots as SpatialData elements: circles on the section, points in the patient, a table that annotates them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.errors import InputError
from comould.io._sd_elements import PATIENT, patient_affine, safe_name, system_of
from comould.io._spots_grid import nearest_neighbour_px
from comould.space import FloatArray, Transform

if TYPE_CHECKING:
    from anndata import AnnData
    from spatialdata import SpatialData

REGION, INSTANCE = "spatialdata_region", "spatialdata_instance"
"""Columns of ``obs`` that join the table to its circles; taken off again when read."""

HABITAT = "habitat"
"""Column of ``obs`` that the points in the patient carry too: points have no table of their own."""

RADIUS_OF_PITCH = 0.25
"""Radius of the circles drawn, as a fraction of the spots' pitch."""


@dataclass(frozen=True, eq=False)
class Described:
    """An AnnData and where each of its spots belongs."""

    spots: AnnData
    which: npt.NDArray[Any]
    number: int

    @property
    def sections(self) -> list[str]:
        """Ids of its sections, in order of appearance."""
        return list(dict.fromkeys(self.which.tolist()))


def describe(spots: AnnData, section_ids: Sequence[str], number: int) -> Described:
    """Check an AnnData's positions and tell the section of each spot.

    Raises
    ------
    InputError
        If positions are missing or not finite, or the sections cannot be told.
    """
    subject = f"spots {number + 1}"
    for key, width, needed in (("spatial", 2, True), ("spatial_patient", 3, False)):
        if key not in spots.obsm:
            if needed:
                raise InputError(
                    subject=subject,
                    expected=f'obsm["{key}"] (x, y in full-resolution px)',
                    found=f"{list(spots.obsm) or 'none'}",
                )
            continue
        values = np.asarray(spots.obsm[key], dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != width or not np.isfinite(values).all():
            raise InputError(
                subject=subject,
                expected=f'finite obsm["{key}"] of shape (n, {width})',
                found=f"{values.shape}, {int((~np.isfinite(values)).sum())} values not finite",
            )
    taken = [name for name in (REGION, INSTANCE) if name in spots.obs]
    if taken or not spots.n_obs:
        found = "no spots" if not spots.n_obs else f"obs columns {', '.join(taken)}, which the store needs"
        raise InputError(subject=subject, expected="spots with free names for the store's columns", found=found)
    if "section" in spots.obs:
        return Described(spots, spots.obs["section"].astype(str).to_numpy(dtype=object), number)
    if len(section_ids) > 1:
        raise InputError(subject=subject, expected='obs["section"] to tell the sections apart', found="no such column")
    name = section_ids[0] if section_ids else "section"
    return Described(spots, np.full(spots.n_obs, name, dtype=object), number)


def elements(
    tables: Sequence[Described], transforms: Mapping[str, Transform]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Make circles, points, tables and their records.

    Raises
    ------
    InputError
        If two AnnData hold spots of one section.
    """
    shapes: dict[str, Any] = {}
    points: dict[str, Any] = {}
    annotations: dict[str, Any] = {}
    records = []
    for table in tables:
        regions = []
        for section in table.sections:
            name = f"spots_{safe_name(section)}"
            if name in shapes:
                raise InputError(
                    subject="spots",
                    expected="one AnnData for a section (with ids that differ in letters and digits)",
                    found=f"several with spots of {section!r}",
                    remedy="Join them first",
                )
            rows = np.flatnonzero(table.which == section)
            shapes[name] = _circles(table, rows, section, transforms.get(section))
            regions.append(name)
            placed = _patient_points(table, rows, transforms.get(section))
            if placed is not None:
                points[f"{name}_patient"] = placed
        key = "table" if len(tables) == 1 else f"table_{table.number + 1}"
        annotations[key] = _table(table, regions)
        records.append({"table": key, "sections": table.sections})
    return shapes, points, annotations, records


def _circles(table: Described, rows: npt.NDArray[np.intp], section: str, transform: Transform | None) -> Any:
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import Identity

    px = np.asarray(table.spots.obsm["spatial"], dtype=np.float64)[rows]
    places = {system_of(section): Identity(), **patient_affine(transform, np.eye(3))}
    radius = RADIUS_OF_PITCH * _pitch_px(table.spots, px)
    return ShapesModel.parse(
        px, geometry=0, radius=np.full(len(rows), radius), index=pd.Index(rows), transformations=places
    )


def _pitch_px(spots: AnnData, px: FloatArray) -> float:
    facts = spots.uns.get("comould") or {}
    pitch, size = facts.get("pitch_um"), facts.get("pixel_size_um")
    stated = float(pitch) / float(size) if pitch and size else 0.0
    return stated or nearest_neighbour_px(px) or 4.0


def _patient_points(table: Described, rows: npt.NDArray[np.intp], transform: Transform | None) -> Any:
    """Give positions in the patient, those of the AnnData or else by the transform; ``None`` without either."""
    from spatialdata.models import PointsModel
    from spatialdata.transformations import Identity

    obsm = table.spots.obsm
    if "spatial_patient" in obsm:
        mm = np.asarray(obsm["spatial_patient"], dtype=np.float64)[rows]
    elif transform is not None:
        mm = transform.apply(np.asarray(obsm["spatial"], dtype=np.float64)[rows])
    else:
        return None
    columns: dict[str, Any] = {axis: mm[:, n] for n, axis in enumerate("xyz")} | {INSTANCE: rows}
    if "spatial_patient_sd" in obsm:
        sd = np.asarray(obsm["spatial_patient_sd"], dtype=np.float64)[rows]
        columns |= {f"sd_{axis}_mm": sd[:, n] for n, axis in enumerate("xyz")}
    if HABITAT in table.spots.obs:
        named = table.spots.obs[HABITAT].astype(object).to_numpy()[rows]
        columns[HABITAT] = pd.Categorical(np.where(pd.isna(named), "none", named.astype(str)))
    return PointsModel.parse(pd.DataFrame(columns), transformations={PATIENT: Identity()})


def _table(table: Described, regions: list[str]) -> Any:
    from spatialdata.models import TableModel

    data = table.spots.copy()
    data.uns.pop("spatialdata_attrs", None)
    region_of = {section: f"spots_{safe_name(section)}" for section in table.sections}
    data.obs[REGION] = pd.Categorical([region_of[one] for one in table.which], categories=regions)
    data.obs[INSTANCE] = np.arange(data.n_obs)
    return TableModel.parse(data, region=regions, region_key=REGION, instance_key=INSTANCE)


def load(data: SpatialData, record: Mapping[str, Any]) -> AnnData:
    """Give the AnnData of a table as it was written."""
    spots = data.tables[record["table"]].copy()
    spots.obs = spots.obs.drop(columns=[REGION, INSTANCE])
    spots.uns.pop("spatialdata_attrs", None)
    return spots
