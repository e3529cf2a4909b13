"""Where in the tumour: core, rim, invasive margin and the rings around it, voxel by voxel."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.errors import ComouldWarning, InputError
from comould.habitats.distance import Surface, edge_distance, signed_distance
from comould.habitats.inputs import mask_indices
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

__all__ = ["ZONES", "Zones", "depth_by_label", "edge_distance", "rim", "zones"]

ZONES = {1: "core", 2: "rim", 3: "ring"}


@dataclass(frozen=True, eq=False)
class Zones:
    """A label for every voxel that says how deep it lies.

    Parameters
    ----------
    labels
        uint8 on the mask's grid, 0 elsewhere.
    depth
        float32, mm, positive inside; as by :func:`edge_distance`.
    table
        Index: the label. ``zone``, ``from_mm`` and ``to_mm`` (depths), ``voxels``, ``volume_ml`` and
        ``beyond_image_ml``: what of the zone lies outside the image.
    """

    labels: sitk.Image
    depth: sitk.Image
    table: pd.DataFrame


def zones(
    mask: sitk.Image,
    *,
    rim_mm: float,
    margin_mm: float = 0.0,
    rings_mm: Sequence[float] = (),
    allowed: sitk.Image | None = None,
    surface: Surface = "smooth",
) -> Zones:
    """Divide a tumour and its surroundings by depth.

    From inside to outside: ``core`` (deeper than the rim), ``rim``, ``invasive margin`` (so far to both sides of the
    edge) and rings. Each voxel belongs to the one its centre lies in.

    Parameters
    ----------
    mask
        One label.
    rim_mm
        Depth to which the rim reaches; more than ``margin_mm``.
    margin_mm
        Half-width of the invasive margin; 0 for none.
    rings_mm
        Outer distances of the rings, rising: ``(2, 4, 6)`` makes three. The first begins at the margin.
    allowed
        Where the rings may lie (the organ, the body without air and bone), one label on the same grid; everywhere
        without it. It does not bound the inner zones.
    surface
        As for :func:`edge_distance`.

    Returns
    -------
    Zones

    Raises
    ------
    InputError
        If widths are not lengths in order, or a mask is refused as by :func:`edge_distance` or lies on another grid.

    Warns
    -----
    ComouldWarning
        When a zone is thinner than half the longest side of a voxel, is empty, or reaches beyond the image.
    """
    bounds, names = _bounds(rim_mm, margin_mm, rings_mm)
    grid = Grid.from_image(mask)
    inside = _mask_array(mask, grid)
    spacing = np.asarray(grid.spacing_mm)[::-1]
    # Room for the rings beyond the image, so that what is missing of them can be told.
    room = np.maximum(1, np.ceil(-bounds[-1] / spacing).astype(int) + 1) if rings_mm or margin_mm else np.ones(3, int)
    whole = signed_distance(np.pad(inside, [(int(n), int(n)) for n in room]), spacing, surface)
    codes = _codes(whole, bounds)
    here = tuple(slice(int(n), -int(n)) for n in room)
    labels = codes[here].copy()
    if allowed is not None:
        labels[~_mask_array(allowed, grid) & (whole[here] < 0)] = 0
    table = _table(codes, labels, bounds, names, grid)
    _tell(table, max(grid.spacing_mm))
    return Zones(grid.to_image(labels), grid.to_image(whole[here].astype(np.float32)), table)


def rim(mask: sitk.Image, *, width_mm: float, ring_mm: float = 0.0, surface: Surface = "smooth") -> sitk.Image:
    """Divide a mask into core and rim, and put a ring around it on request.

    Parameters
    ----------
    mask
        One label.
    width_mm
        Depth of the rim below the edge.
    ring_mm
        Width of the peritumoural ring outside.
    surface
        As for :func:`edge_distance`.

    Returns
    -------
    SimpleITK.Image
        uint8: 1 core, 2 rim, 3 ring, 0 elsewhere (:data:`ZONES`).

    Raises
    ------
    InputError
        If a width is not a non-negative length, or the mask is refused as by :func:`edge_distance`.
    """
    import SimpleITK as sitk

    for name, value in (("width_mm", width_mm), ("ring_mm", ring_mm)):
        if not np.isfinite(value) or value < 0:
            raise InputError(subject=f"rim {name}", expected="a length of 0 mm or more", found=f"{value}")
    image = edge_distance(mask, surface=surface)
    distance = sitk.GetArrayViewFromImage(image)
    found = np.zeros(distance.shape, dtype=np.uint8)
    found[distance > 0] = 1
    found[(distance > 0) & (distance <= width_mm)] = 2
    found[(distance < 0) & (distance >= -ring_mm)] = 3
    return Grid.from_image(image).to_image(found)


def depth_by_label(labels: sitk.Image, depth: sitk.Image) -> pd.DataFrame:
    """Tell habitats from depth: how deep each label lies, and how much of depth the labels explain.

    Parameters
    ----------
    labels
        Integers on the grid of ``depth``; 0 is left out.
    depth
        mm, as by :func:`edge_distance`.

    Returns
    -------
    DataFrame
        Index: the label. ``voxels``, ``mean_mm``, ``sd_mm``, ``p10_mm``, ``p50_mm``, ``p90_mm``.
        ``attrs["depth_explained"]``: share of the variance of depth that lies between labels (η²); near 1, the
        labels are shells, and what is found about them may be about depth.

    Raises
    ------
    InputError
        If grids differ, labels are not integers, or there are none.
    """
    import pandas as pd
    import SimpleITK as sitk

    difference = Grid.from_image(labels).difference(Grid.from_image(depth))
    if difference:
        raise InputError(subject="labels", expected="the grid of the depth map", found=difference)
    codes = sitk.GetArrayFromImage(labels)
    if codes.dtype.kind not in "iu" or not (codes > 0).any():
        raise InputError(subject="labels", expected="integers, some above 0", found=labels.GetPixelIDTypeAsString())
    found = codes > 0
    of, mm = codes[found], sitk.GetArrayFromImage(depth)[found].astype(np.float64)
    rows = []
    for label in np.unique(of).tolist():
        mine = mm[of == label]
        p10, p50, p90 = np.percentile(mine, [10, 50, 90])
        row = {"label": label, "voxels": len(mine), "mean_mm": mine.mean(), "sd_mm": mine.std()}
        rows.append(row | {"p10_mm": p10, "p50_mm": p50, "p90_mm": p90})
    table = pd.DataFrame(rows).set_index("label")
    between = float((table["voxels"] * (table["mean_mm"] - mm.mean()) ** 2).sum())
    total = float(((mm - mm.mean()) ** 2).sum())
    table.attrs["depth_explained"] = between / total if total > 0 else 0.0
    return table


def _bounds(rim_mm: float, margin_mm: float, rings_mm: Sequence[float]) -> tuple[list[float], list[str]]:
    """Depths between zones, falling, and the names of the zones; the first zone has no upper bound."""
    rings = [float(r) for r in rings_mm]
    problems = []
    if not np.isfinite(rim_mm) or rim_mm < 0:
        problems.append(f"rim_mm {rim_mm} is not a length of 0 mm or more")
    if not np.isfinite(margin_mm) or margin_mm < 0 or (margin_mm > 0 and margin_mm >= rim_mm):
        problems.append(f"margin_mm {margin_mm} is not a length of 0 mm or more and less than rim_mm {rim_mm}")
    if not np.isfinite(rings).all() or (rings and (np.diff([margin_mm, *rings]) <= 0).any()):
        problems.append(f"rings_mm {rings} do not rise from the margin of {margin_mm} mm")
    if problems:
        raise InputError.collect(subject="zones", problems=problems)
    bounds, names = [float(rim_mm)], ["core"]
    if rim_mm > 0:
        bounds, names = [*bounds, float(margin_mm)], [*names, "rim"]
    if margin_mm > 0:
        bounds, names = [*bounds, -float(margin_mm)], [*names, "invasive margin"]
    inner = margin_mm
    for outer in rings:
        names.append(f"ring {inner:g} to {outer:g} mm")
        bounds.append(-outer)
        inner = outer
    return bounds, names


def _codes(depth: FloatArray, bounds: Sequence[float]) -> npt.NDArray[np.uint8]:
    codes = np.zeros(depth.shape, dtype=np.uint8)
    codes[depth > max(bounds[0], 0.0)] = 1
    for code, (upper, lower) in enumerate(pairwise(bounds), start=2):
        codes[(depth <= upper) & (depth > lower if lower >= 0 else depth >= lower) & (codes == 0)] = code
    return codes


def _table(
    whole: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8], bounds: list[float], names: list[str], grid: Grid
) -> pd.DataFrame:
    import pandas as pd

    size = len(names) + 1
    everywhere, counted = (np.bincount(codes.ravel(), minlength=size)[1:] for codes in (whole, labels))
    room = tuple((w - n) // 2 for w, n in zip(whole.shape, grid.shape, strict=True))
    seen = whole[tuple(slice(r, r + n) for r, n in zip(room, grid.shape, strict=True))]
    beyond = everywhere - np.bincount(seen.ravel(), minlength=size)[1:]
    data = {
        "zone": names,
        "from_mm": bounds,
        "to_mm": [np.inf, *bounds[:-1]],
        "voxels": counted,
        "volume_ml": counted * grid.voxel_ml,
        "beyond_image_ml": beyond * grid.voxel_ml,
    }
    return pd.DataFrame(data, index=pd.Index(range(1, size), name="label"))


def _tell(table: pd.DataFrame, side_mm: float) -> None:
    thin = table["to_mm"] - table["from_mm"] < side_mm / 2.0
    if thin.any():
        named = ", ".join(table.loc[thin, "zone"])
        message = f"thinner than half a voxel ({side_mm:g} mm at its longest), so met by some voxels only: {named}"
        warnings.warn(message, ComouldWarning, stacklevel=3)
    empty = table["voxels"] == 0
    if empty.any():
        warnings.warn(f"zones without voxels: {', '.join(table.loc[empty, 'zone'])}", ComouldWarning, stacklevel=3)
    cut = table["beyond_image_ml"] > 0
    if cut.any():
        parts = ", ".join(f"{row.zone} ({row.beyond_image_ml:.3g} ml)" for row in table[cut].itertuples())
        warnings.warn(f"zones that reach beyond the image: {parts}", ComouldWarning, stacklevel=3)


def _mask_array(mask: sitk.Image, grid: Grid) -> npt.NDArray[np.bool_]:
    idx = mask_indices(mask)
    difference = grid.difference(Grid.from_image(mask))
    if difference:
        raise InputError(subject="mask of what is allowed", expected="the tumour mask's grid", found=difference)
    array = np.zeros(grid.shape, dtype=bool)
    array[tuple(idx.T)] = True
    return array
