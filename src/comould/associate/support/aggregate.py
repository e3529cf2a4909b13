"""Add up the counts of spots that share a voxel, a supervoxel or a cell of a lattice: pseudobulk at a chosen scale."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from comould.associate.support.kernel import section_planes, sections_of
from comould.associate.support.sample import positions_of
from comould.errors import ComouldWarning, InputError
from comould.io.output import provenance
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk
    from anndata import AnnData

Places = Literal["squares", "hexagons", "voxels", "labels"]
IntArray = npt.NDArray[np.int64]
PLACES: tuple[Places, ...] = ("squares", "hexagons", "voxels", "labels")
_AREA = {"squares": 1.0, "hexagons": float(np.sqrt(3) / 2)}


def aggregate(
    adata: AnnData,
    to: Places = "squares",
    *,
    size_mm: float | None = None,
    image: sitk.Image | None = None,
    positions: str = "spatial_patient",
    layer: str = "",
    section_key: str = "section",
    across_sections: bool = False,
) -> AnnData:
    """Sum the raw counts of spots in the same place into a new table.

    Use it for bins and cells, which are many and nearly empty, and to ask a question at the scale of the imaging.

    Parameters
    ----------
    adata
        Spots with raw counts and positions; left as it is.
    to
        ``"squares"`` or ``"hexagons"`` of ``size_mm`` in each section's own plane (fitted to its spots), ``"voxels"``
        of ``image``, or ``"labels"``: the regions of the label image ``image``, such as supervoxels.
    size_mm
        Side of a square, or distance of a hexagon's opposite sides.
    image
        Volume whose voxels are meant, or label image (0 is no place).
    positions
        Key of ``obsm``: ``(n, 3)`` patient mm, or, for squares and hexagons, ``(n, 2)`` mm within each section.
    layer
        Layer with the raw counts; ``""`` takes ``X``.
    section_key
        Column of ``obs`` that tells sections apart; without that column all spots are one section.
    across_sections
        Let spots of different sections share a voxel or a region. Otherwise each section has places of its own.

    Returns
    -------
    AnnData
        A row a place that holds spots, in order of section and place. ``X`` CSR float64 summed counts;
        ``obs["n_spots"]``, ``obs["place"]`` (number of the voxel or the region, or ``row,column`` of the lattice) and
        ``obs[section_key]``; ``obsm[positions]``, mean position of its spots, with ``obsm[positions + "_sd"]``, root
        mean square of theirs (they err together, so their mean errs as much), and ``obsm["spatial"]`` where there;
        ``var`` as before; ``uns["comould"]["aggregate"]``, what was done, and ``uns["comould"]["spot_diameter_um"]``,
        the disc as large as a square or hexagon.

    Warns
    -----
    ComouldWarning
        If spots have no position or lie in no place; they are left out.

    Raises
    ------
    InputError
        If counts are not raw, what ``to`` needs is missing, or no spot lies in any place.
    """
    points = positions_of(adata, positions, (2, 3) if to in _AREA else (3,))
    _check(to, size_mm, image, across_sections=across_sections)
    matrix = _raw(adata.layers[layer] if layer else adata.X)
    sections = sections_of(adata, section_key)
    known = np.isfinite(points).all(axis=1)
    index = np.zeros((len(points), 2), dtype=np.int64)
    if image is None:
        index[known] = _lattice(points[known], sections[known], to, float(size_mm or 0))
    else:
        index[known, 0] = _in_image(points[known], image, to)
        known &= index[:, 0] >= 0
    if not known.any():
        raise InputError(subject="spots to add up", expected="some within the places", found="none")
    keys = np.column_stack([np.zeros_like(sections) if across_sections else sections, index])[known]
    places, group = np.unique(keys, axis=0, return_inverse=True)
    member = sp.csr_array(
        (np.ones(len(group)), (group.ravel(), np.flatnonzero(known))), shape=(len(places), adata.n_obs)
    )
    made = _table(adata, matrix, member, positions)
    made.obs["place"] = _names(places, lattice=image is None)
    if section_key in adata.obs and not across_sections:
        names = np.unique(adata.obs[section_key].astype(str))[places[:, 0]]
        made.obs[section_key] = pd.Categorical(names)
        made.obs_names = [f"{name}:{place}" for name, place in zip(names, made.obs["place"], strict=True)]
    else:
        made.obs_names = made.obs["place"].tolist()
    _note(made, {"to": to, "positions": positions, "across_sections": across_sections}, size_mm, int((~known).sum()))
    return made


def _check(to: str, size_mm: float | None, image: sitk.Image | None, *, across_sections: bool) -> None:
    problems = []
    if to not in PLACES:
        problems.append(f"places {to!r} are not one of {', '.join(PLACES)}")
    elif to in _AREA:
        if size_mm is None or not (np.isfinite(size_mm) and size_mm > 0):
            problems.append(f"{to} need size_mm above 0, not {size_mm}")
        if image is not None:
            problems.append(f"{to} need no image")
        if across_sections:
            problems.append(f"{to} lie in one section's plane each: across_sections has no meaning")
    else:
        if image is None or image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
            problems.append(f"{to} need a three-dimensional image with one value a voxel")
        if size_mm is not None:
            problems.append(f"{to} have the image's size, not size_mm")
    if problems:
        raise InputError.collect(subject="places to add counts up in", problems=problems)


def _raw(matrix: Any) -> sp.csr_array:
    """Take raw counts by rows, as they are in memory."""
    counts = sp.csr_array(matrix)
    data = counts.data
    if data.size and not (np.isfinite(data).all() and data.min() >= 0 and (data == np.round(data)).all()):
        raise InputError(
            subject="counts to add up",
            expected="raw counts: whole numbers from 0",
            found="others",
            remedy='Give the raw counts, e.g. layer="counts"',
        )
    return counts


def _lattice(points: FloatArray, sections: npt.NDArray[np.intp], to: str, size_mm: float) -> IntArray:
    """Row and column ``(n, 2)`` of each spot, counted from the middle of its section."""
    flat = points
    if points.shape[1] == 3:
        flat = np.einsum("nk,nak->na", points, section_planes(points, sections))
    count = np.bincount(sections)
    middle = np.stack([np.bincount(sections, column) for column in flat.T], axis=1) / np.maximum(count, 1)[:, None]
    u, v = ((flat - middle[sections]) / size_mm).T
    if to == "squares":
        return np.column_stack([np.floor(v), np.floor(u)]).astype(np.int64)
    # Cube coordinates of a lattice of hexagons that stand on a corner: round all three, mend the worst.
    row = v * 2 / np.sqrt(3)
    cube = np.column_stack([u - row / 2, row, -u - row / 2])
    rounded = np.round(cube)
    off = np.abs(rounded - cube)
    worst = off.argmax(axis=1)
    lines = np.arange(len(cube))
    rounded[lines, worst] = 0
    rounded[lines, worst] = -rounded.sum(axis=1)
    return rounded[:, [1, 0]].astype(np.int64)


def _in_image(points: FloatArray, image: sitk.Image, to: str) -> IntArray:
    """Find the voxel (i fastest) or the region each point lies in, by its number; -1 for none."""
    import SimpleITK as sitk

    grid = Grid.from_image(image)
    inside = grid.contains(points)
    found = np.full(len(points), -1, dtype=np.int64)
    i, j, k = np.clip(np.floor(grid.index_from_patient(points[inside]) + 0.5).astype(np.intp), 0, None).T
    i, j, k = (np.minimum(index, size - 1) for index, size in zip((i, j, k), grid.size, strict=True))
    if to == "voxels":
        found[inside] = (k * grid.size[1] + j) * grid.size[0] + i
        return found
    labels = sitk.GetArrayViewFromImage(image)[k, j, i]
    if (labels != np.round(labels)).any():
        raise InputError(subject="regions to add counts up in", expected="whole numbers", found="others")
    found[inside] = np.where(labels > 0, labels.astype(np.int64), -1)
    return found


def _table(adata: AnnData, matrix: sp.csr_array, member: sp.csr_array, positions: str) -> AnnData:
    from anndata import AnnData as Table

    count = np.asarray(member.sum(axis=1)).ravel()
    obs = pd.DataFrame({"n_spots": count.astype(np.int64)}, index=[str(number) for number in range(len(count))])
    made = Table(sp.csr_matrix(member @ matrix), obs=obs, var=adata.var.copy())
    for key in (positions, "spatial"):
        if key in adata.obsm:
            made.obsm[key] = member @ np.nan_to_num(np.asarray(adata.obsm[key], dtype=np.float64)) / count[:, None]
    if (key := f"{positions}_sd") in adata.obsm:
        squares = np.nan_to_num(np.asarray(adata.obsm[key], dtype=np.float64)) ** 2
        made.obsm[key] = np.sqrt(member @ squares / count[:, None])
    return made


def _names(places: IntArray, *, lattice: bool) -> list[str]:
    return [f"{row},{column}" if lattice else str(row) for _, row, column in places]


def _note(made: AnnData, parameters: dict[str, Any], size_mm: float | None, left_out: int) -> None:
    record = provenance(parameters={**parameters, **({} if size_mm is None else {"size_mm": size_mm})})
    record = {key: value for key, value in record.items() if value is not None}
    made.uns["comould"] = {"aggregate": {**record, "n_left_out": left_out}}
    if size_mm is not None:
        diameter_mm = 2 * float(size_mm) * float(np.sqrt(_AREA[parameters["to"]] / np.pi))
        made.uns["comould"]["spot_diameter_um"] = 1000 * diameter_mm
    if left_out:
        warnings.warn(f"{left_out} spots lie in no place and are left out", ComouldWarning, stacklevel=3)
