"""Supervoxels of a tumour as AnnData, so that scanpy and squidpy work on imaging as they do on tissue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.habitats.inputs import Aligned
from comould.habitats.perturb import cropped
from comould.habitats.result import Habitats
from comould.habitats.rim import edge_distance
from comould.habitats.supervoxels import means, supervoxel_table, supervoxels
from comould.habitats.voxels import Scaling, to_unit
from comould.space import FloatArray

if TYPE_CHECKING:
    import scipy.sparse as sp
    from anndata import AnnData

SUPERVOXEL_MM = 4.0
KEY = "comould"


def to_anndata(habitats: Habitats, *, supervoxel_mm: float | None = None) -> AnnData:
    """Make one observation of every supervoxel.

    Parameters
    ----------
    habitats
        Found by any method.
    supervoxel_mm
        Size of the supervoxels; when ``None`` those the habitats were found on, or 4 mm where that was on voxels.

    Returns
    -------
    anndata.AnnData
        ``X``: features scaled by median and interquartile range over the mask (float32); ``layers["raw"]``: their means
        in their own units; ``var``: ``image``, ``feature``, ``centre``, ``spread``. ``obs``: ``habitat`` (that of
        most of its voxels), ``purity`` (their share), ``voxels``, ``volume_ml``, ``depth_mm`` (below the mask's edge).
        ``obsm["spatial"]``: centres ``(n, 3)``, patient LPS mm; ``obsm["habitat_probability"]``. ``obsp``:
        ``spatial_connectivities`` (1 where two supervoxels share a face) and ``spatial_distances`` (mm), under the
        names squidpy looks for. ``uns["comould"]``: provenance, as JSON.

    Raises
    ------
    InputError
        If a size is asked for habitats that were found on supervoxels, or the size does not suit the mask.
    """
    import anndata as ad
    import pandas as pd
    import SimpleITK as sitk

    maps = habitats.feature_maps
    values = np.asarray(maps.values)
    at = maps.mask_idx
    inside = sitk.GetArrayViewFromImage(habitats.labels)[tuple(at.T)] > 0
    values, at = values[inside], at[inside]
    filled = np.where(np.isfinite(values), values, np.nanmedian(values, axis=0))
    aligned = Aligned(maps.grid, at, {}, {})
    scaling = _scaling(filled)
    numbers = _numbers(habitats, aligned, scaling(filled), supervoxel_mm)
    table = supervoxel_table(numbers, aligned, maps.grid.patient_from_index(at[:, ::-1]))
    raw = means(numbers, filled)
    labels = sitk.GetArrayViewFromImage(habitats.labels)[tuple(at.T)].astype(np.int64)
    probabilities = means(numbers, sitk.GetArrayViewFromImage(habitats.probabilities)[tuple(at.T)].astype(np.float64))
    counts = np.stack([np.bincount(numbers[labels == n], minlength=len(table)) for n in _labels(habitats)], axis=1)
    near, low = cropped(habitats.labels > 0)
    deep = edge_distance(near)
    depth = sitk.GetArrayViewFromImage(deep)[tuple((at - low[::-1]).T)].astype(np.float64)
    obs = pd.DataFrame(index=table.index.astype(str))
    obs["habitat"] = pd.Categorical(
        [habitats.names[n] for n in counts.argmax(axis=1).tolist()], categories=list(habitats.names)
    )
    obs["purity"] = counts.max(axis=1) / counts.sum(axis=1)
    obs["voxels"], obs["volume_ml"] = table["voxels"].to_numpy(), table["volume_ml"].to_numpy()
    obs["depth_mm"] = means(numbers, depth[:, None])[:, 0]
    var = pd.DataFrame(
        {"centre": scaling.centre, "spread": scaling.spread}
        | dict(zip(("image", "feature"), zip(*(name.split("/") for name in maps.names), strict=True), strict=True)),
        index=list(maps.names),
    )
    made = ad.AnnData(scaling(raw).astype(np.float32), obs=obs, var=var)
    made.layers["raw"] = raw.astype(np.float32)
    made.obsm["spatial"] = table[["x_mm", "y_mm", "z_mm"]].to_numpy()
    made.obsm["habitat_probability"] = probabilities.astype(np.float32)
    touching, distances = _touching(numbers, aligned, made.obsm["spatial"])
    made.obsp["spatial_connectivities"], made.obsp["spatial_distances"] = touching, distances
    made.uns["spatial_neighbors"] = {
        "connectivities_key": "spatial_connectivities",
        "distances_key": "spatial_distances",
        "params": {"coord_type": "generic", "n_neighbors": 0, "radius": "faces"},
    }
    made.uns[KEY] = {"provenance": json.dumps(habitats.provenance()), "frame": "patient", "units": "mm"}
    return made


def _labels(habitats: Habitats) -> list[int]:
    return [int(label) for label in habitats.table["label"]]


def _scaling(values: FloatArray) -> Scaling:
    """Scale as :class:`Scaling`, but let features pass that have one value."""
    low, middle, high = np.percentile(values, [25, 50, 75], axis=0)
    spread = (high - low) / 1.349
    spread = np.where(spread > 0, spread, values.std(axis=0))
    return Scaling(middle, np.where(spread > 0, spread, 1.0))


def _numbers(habitats: Habitats, aligned: Aligned, scaled: FloatArray, size_mm: float | None) -> npt.NDArray[np.int64]:
    import SimpleITK as sitk

    if habitats.supervoxels is None:
        return supervoxels(aligned, to_unit(scaled), SUPERVOXEL_MM if size_mm is None else size_mm)
    if size_mm is not None:
        raise InputError(
            subject="supervoxel_mm",
            expected="none: the habitats were found on supervoxels, which are used",
            found=f"{size_mm:g}",
            remedy="Leave it out",
        )
    array = sitk.GetArrayViewFromImage(habitats.supervoxels)
    return array[tuple(aligned.mask_idx.T)].astype(np.int64) - 1


def _touching(
    numbers: npt.NDArray[np.int64], aligned: Aligned, centres_mm: FloatArray
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Which supervoxels share a face, and the distance of their centres."""
    import scipy.sparse as sp

    box = aligned.in_box(numbers + 1)
    pairs = []
    for axis in range(3):
        first = np.moveaxis(box, axis, 0)[:-1].ravel()
        second = np.moveaxis(box, axis, 0)[1:].ravel()
        apart = (first > 0) & (second > 0) & (first != second)
        pairs.append(np.stack([first[apart], second[apart]], axis=1) - 1)
    found = np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)
    rows, columns = np.concatenate([found, found[:, ::-1]]).T
    size = (len(centres_mm), len(centres_mm))
    apart_mm = np.linalg.norm(centres_mm[rows] - centres_mm[columns], axis=1)
    return sp.csr_matrix((np.ones(len(rows)), (rows, columns)), size), sp.csr_matrix((apart_mm, (rows, columns)), size)
