"""Numbers about a habitat map: how much, in how many pieces, and what lies beside what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

_TOUCH = {"faces": 1, "corners": 3}


def volume_fractions(labels: sitk.Image) -> pd.DataFrame:
    """Volume, share and connected pieces of every label.

    Parameters
    ----------
    labels
        Integer labels, 0 outside.

    Returns
    -------
    pandas.DataFrame
        Index ``label``; columns ``voxels``, ``volume_ml``, ``fraction``, ``components`` (face-connected pieces),
        ``largest_component_fraction`` (of the label's own volume).

    Raises
    ------
    InputError
        If nothing is labelled.
    """
    import pandas as pd
    from scipy.ndimage import label as connected

    array, grid = _labels(labels)
    found, counts = np.unique(array[array > 0], return_counts=True)
    pieces = [connected(array == value) for value in found]
    largest = [np.bincount(piece.ravel())[1:].max() for piece, _ in pieces]
    columns = {
        "voxels": counts,
        "volume_ml": counts * grid.voxel_ml,
        "fraction": counts / counts.sum(),
        "components": [number for _, number in pieces],
        "largest_component_fraction": np.array(largest) / counts,
    }
    return pd.DataFrame(columns, index=pd.Index(found.astype(int), name="label"))


def ith_score(
    labels: sitk.Image, *, least_voxels: int = 2, connectivity: Literal["faces", "corners"] = "corners"
) -> float:
    """Score how scattered the habitats of a tumour are: 0 when each is one piece, towards 1 when all are crumbs.

    Parameters
    ----------
    labels
        Integer labels, 0 outside.
    least_voxels
        Pieces below this size do not count; a habitat of such pieces alone counts as scattered altogether.
    connectivity
        Voxels of one piece touch by ``"faces"`` or at least by ``"corners"``.

    Returns
    -------
    float
        1 − Σ over habitats of (voxels of the largest piece / number of pieces) / all voxels.

    Raises
    ------
    InputError
        If nothing is labelled, or a setting is none.

    Notes
    -----
    The published score is measured in one slice with pieces that touch at corners, without single pixels (below 200
    pixels, without pairs too): give a single slice and ``least_voxels=3`` for it. It depends on voxel size, on how much
    habitats were smoothed and on their number; compare scores of equally made maps only.

    References
    ----------
    Li et al., Eur Radiol 2023, doi 10.1007/s00330-022-09055-0.
    """
    from scipy.ndimage import generate_binary_structure
    from scipy.ndimage import label as connected

    if connectivity not in _TOUCH or least_voxels < 1:
        raise InputError(
            subject="ITH score",
            expected="connectivity 'faces' or 'corners' and least_voxels of at least 1",
            found=f"{connectivity!r} and {least_voxels}",
        )
    array, _ = _labels(labels)
    structure = generate_binary_structure(3, _TOUCH[connectivity])
    total = 0.0
    for value in np.unique(array[array > 0]):
        sizes = np.bincount(connected(array == value, structure)[0].ravel())[1:]
        sizes = sizes[sizes >= least_voxels]
        if len(sizes):
            total += float(sizes.max()) / len(sizes)
    return 1.0 - total / float((array > 0).sum())


def interaction(labels: sitk.Image, *, unit: Literal["mm2", "faces"] = "mm2") -> pd.DataFrame:
    """Area of the faces that voxels of two labels share: the spatial interaction matrix.

    Parameters
    ----------
    labels
        Integer labels, 0 outside.
    unit
        ``"mm2"``: area; ``"faces"``: their count, as published.

    Returns
    -------
    pandas.DataFrame
        Symmetric; rows and columns are the labels, 0 (outside) first. The diagonal holds the faces between voxels of
        one label, each once. The image's border adds nothing.

    Raises
    ------
    InputError
        If nothing is labelled.

    Notes
    -----
    With face areas in place of counts the matrix does not change when flat voxels are cut finer (its off-diagonal),
    unlike the counts of Wu et al., Radiology 2018, doi 10.1148/radiol.2018172462.
    """
    import pandas as pd

    array, grid = _labels(labels)
    values, flat = np.unique(array, return_inverse=True)
    index = flat.reshape(array.shape)
    if values[0] != 0:
        values, index = np.concatenate([[0], values]), index + 1
    size = len(values)
    area = np.zeros((size, size))
    spacing = np.asarray(grid.spacing_mm)[::-1]
    for axis in range(3):
        face = float(np.prod(spacing) / spacing[axis]) if unit == "mm2" else 1.0
        first = np.moveaxis(index, axis, 0)[:-1].ravel()
        second = np.moveaxis(index, axis, 0)[1:].ravel()
        area += face * np.bincount(first * size + second, minlength=size * size).reshape(size, size)
    off = area + area.T
    np.fill_diagonal(off, np.diag(area))
    off[0, 0] = np.nan
    names = pd.Index(values.astype(int), name="label")
    return pd.DataFrame(off, index=names, columns=names)


def interaction_features(
    labels: sitk.Image, *, unit: Literal["mm2", "faces"] = "mm2", outside: bool = False
) -> pd.Series:
    """Features of the spatial interaction matrix.

    Parameters
    ----------
    labels
        Integer labels, 0 outside.
    unit
        As in :func:`interaction`.
    outside
        Take the outside (label 0) as one more class, as published; without it only contacts within the tumour count.

    Returns
    -------
    pandas.Series
        First order: ``share_<i>_<j>``, the share of all contacts that lie between i and j (i ≤ j; they sum to 1).
        ``mixing``: the share between different labels. Second order, of the matrix of both directions scaled to sum 1:
        ``contrast`` Σ(i−j)²p, ``homogeneity`` Σp/(1+(i−j)²), ``correlation``, ``energy`` Σp², ``entropy`` −Σp·log₂p.
        Correlation is NaN where one label has all contacts.

    Raises
    ------
    InputError
        If nothing is labelled, or no two voxels of the tumour touch.

    Notes
    -----
    Contrast, homogeneity and correlation take the labels' numbers as a scale: they mean something because habitats are
    ordered by the mean of the first image, and little for classes without an order.

    References
    ----------
    Wu et al., Radiology 2018, doi 10.1148/radiol.2018172462.
    """
    import pandas as pd

    table = interaction(labels, unit=unit).fillna(0.0)
    if not outside:
        table = table.drop(index=0, columns=0)
    once = np.triu(table.to_numpy())
    if not once.sum():
        raise InputError(subject="labels", expected="voxels that touch", found="none that do")
    once = once / once.sum()
    numbers = table.index.to_numpy(dtype=np.float64)
    found = {
        f"share_{table.index[i]}_{table.index[j]}": float(once[i, j])
        for i in range(len(numbers))
        for j in range(i, len(numbers))
        if table.index[j] != 0
    }
    found["mixing"] = float(np.triu(once, 1).sum())
    return pd.Series(found | _second_order((once + once.T) / 2.0, numbers), name="value")


def _second_order(p: FloatArray, numbers: FloatArray) -> dict[str, float]:
    square = (numbers[:, None] - numbers[None, :]) ** 2
    mean = float(p.sum(axis=1) @ numbers)
    variance = float(p.sum(axis=1) @ (numbers - mean) ** 2)
    together = float((p * np.outer(numbers - mean, numbers - mean)).sum())
    filled = p[p > 0]
    return {
        "contrast": float((p * square).sum()),
        "homogeneity": float((p / (1.0 + square)).sum()),
        "correlation": together / variance if variance > 0 else np.nan,
        "energy": float((p**2).sum()),
        "entropy": float(-(filled * np.log2(filled)).sum()),
    }


def pieces(labels: sitk.Image, *, least_ml: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Graph of a habitat map: its connected pieces, and which of them touch.

    Parameters
    ----------
    labels
        Integer labels, 0 outside.
    least_ml
        Smaller pieces are left out, with their borders.

    Returns
    -------
    nodes : pandas.DataFrame
        Index ``piece`` (by habitat, largest first); ``label``, ``voxels``, ``volume_ml``, ``x_mm``, ``y_mm``, ``z_mm``
        (centre of mass, patient LPS), ``edge_mm2`` (its border to the outside).
    edges : pandas.DataFrame
        ``first``, ``second`` (pieces, first < second), ``area_mm2`` of the faces they share.

    Raises
    ------
    InputError
        If nothing is labelled or no piece is large enough.
    """
    import pandas as pd
    from scipy.ndimage import label as connected

    array, grid = _labels(labels)
    place = np.zeros(array.shape, dtype=np.int32)
    rows: list[dict[str, float]] = []
    for value in np.unique(array[array > 0]).tolist():
        parts, _ = connected(array == value)
        sizes = np.bincount(parts.ravel())[1:]
        for part in np.argsort(-sizes, kind="stable").tolist():
            if sizes[part] * grid.voxel_ml < least_ml:
                continue
            inside = np.argwhere(parts == part + 1)
            middle = grid.patient_from_index(inside.mean(axis=0)[::-1])[0]
            place[tuple(inside.T)] = len(rows) + 1
            volume = float(sizes[part]) * grid.voxel_ml
            rows.append(
                {"label": value, "voxels": int(sizes[part]), "volume_ml": volume}
                | dict(zip(("x_mm", "y_mm", "z_mm"), middle.tolist(), strict=True))
            )
    if not rows:
        raise InputError(subject="labels", expected=f"a piece of at least {least_ml:g} ml", found="none")
    shared = interaction(grid.to_image(place))
    nodes = pd.DataFrame(rows, index=pd.Index(range(1, len(rows) + 1), name="piece"))
    nodes["edge_mm2"] = shared.loc[0].reindex(nodes.index).fillna(0.0)
    inner = shared.to_numpy()[1:, 1:]
    first, second = np.nonzero(np.triu(inner, 1))
    edges = pd.DataFrame({"first": first + 1, "second": second + 1, "area_mm2": inner[first, second]})
    return nodes, edges


def _labels(labels: sitk.Image) -> tuple[npt.NDArray[np.integer], Grid]:
    import SimpleITK as sitk

    grid = Grid.from_image(labels)
    array = sitk.GetArrayFromImage(labels)
    if not np.issubdtype(array.dtype, np.integer) or array.ndim != 3:
        raise InputError(subject="labels", expected="an integer label image", found=labels.GetPixelIDTypeAsString())
    if not (array > 0).any():
        raise InputError(subject="labels", expected="labels above 0", found="none")
    return array, grid
