"""What a SpatialData store may hold besides: label maps of sections, outlines seen from above, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.io._sd_elements import CORNER_PX, PATIENT, patient_affine, safe_name, system_of
from comould.space import FloatArray, Transform

if TYPE_CHECKING:
    import pandas as pd

LEAST_CORNERS = 3


@dataclass(frozen=True, eq=False)
class SectionLabels:
    """A label map in the pixels of a section.

    Parameters
    ----------
    section
        Its id.
    name
        Added to the section's element name.
    labels
        ``(rows, columns)``, whole numbers, 0 for none.
    downsample
        Full-resolution pixels per pixel of it.
    """

    section: str
    name: str
    labels: npt.NDArray[Any]
    downsample: float


@dataclass(frozen=True, eq=False)
class Extras:
    """What a store may hold besides volumes, sections and spots.

    Parameters
    ----------
    section_labels
        Label maps of sections, in their own systems and, with linear registrations, in the patient.
    outlines
        Name → closed rings ``(n, 2)`` of patient x and y, mm, as seen along z; outer ones counter-clockwise, holes
        clockwise.
    tables
        Name → a table that annotates nothing: claims, verdicts.
    """

    section_labels: Sequence[SectionLabels] = ()
    outlines: Mapping[str, Sequence[FloatArray]] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Whether there is anything."""
        return bool(self.section_labels or self.outlines or self.tables)


def elements(
    extras: Extras, transforms: Mapping[str, Transform], section_ids: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Make labels, shapes and tables by element name.

    Raises
    ------
    InputError
        If labels are of no section that is given or not whole numbers, or an outline has no area.
    """
    maps: dict[str, Any] = {}
    for one in extras.section_labels:
        if one.section not in section_ids:
            raise InputError(
                subject=f"labels {one.name!r}", expected="a section that is given", found=f"section {one.section!r}"
            )
        maps[f"section_{safe_name(one.section)}_{one.name}"] = _labels(one, transforms.get(one.section))
    shapes = {f"outline_{name}": _outline(rings, name) for name, rings in extras.outlines.items()}
    return maps, shapes, {name: _table(table) for name, table in extras.tables.items()}


def _labels(one: SectionLabels, transform: Transform | None) -> Any:
    from spatialdata.models import Labels2DModel
    from spatialdata.transformations import Affine

    if one.labels.ndim != 2 or one.labels.dtype.kind not in "iu":
        raise InputError(
            subject=f"labels {one.name!r} of section {one.section!r}",
            expected="whole numbers, rows and columns",
            found=f"{one.labels.dtype} of shape {one.labels.shape}",
        )
    matrix = np.diag([one.downsample, one.downsample, 1.0])
    matrix[:2, 2] = -CORNER_PX
    places = {
        system_of(one.section): Affine(matrix, input_axes=("x", "y"), output_axes=("x", "y")),
        **patient_affine(transform, matrix),
    }
    return Labels2DModel.parse(np.ascontiguousarray(one.labels), dims=("y", "x"), transformations=places)


def _outline(rings: Sequence[FloatArray], name: str) -> Any:
    """Make one shape: the outer rings together, without the holes."""
    from geopandas import GeoDataFrame  # type: ignore[import-untyped]
    from shapely import Polygon, unary_union
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import Identity

    closed = [np.asarray(ring, dtype=np.float64) for ring in rings if len(ring) >= LEAST_CORNERS]
    outer = [Polygon(ring) for ring in closed if _area(ring) > 0]
    holes = [Polygon(ring) for ring in closed if _area(ring) < 0]
    shape = unary_union(outer).difference(unary_union(holes))
    if shape.is_empty:
        raise InputError(subject=f"outline {name!r}", expected="a counter-clockwise ring with an area", found="none")
    return ShapesModel.parse(GeoDataFrame(geometry=[shape]), transformations={PATIENT: Identity()})


def _area(ring: FloatArray) -> float:
    x, y = ring.T
    return 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def _table(table: pd.DataFrame) -> Any:
    from anndata import AnnData
    from spatialdata.models import TableModel

    rows = table.reset_index(drop=True)
    rows.index = rows.index.astype(str)
    for name in rows.select_dtypes(include=object).columns:
        rows[name] = rows[name].fillna("").astype(str)
    return TableModel.parse(AnnData(obs=rows))
