"""The same habitats under other numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from comould.habitats.result import Habitats


def renamed(habitats: Habitats, numbers: Sequence[int], *, least: int = 0) -> Habitats:
    """Give every habitat another number.

    Parameters
    ----------
    habitats
        What to rename; its model is left out, since it knows the old numbers.
    numbers
        New place (0 … ) of every habitat, none twice.
    least
        How many rows the table has at least.

    Returns
    -------
    Habitats
    """
    import pandas as pd
    import SimpleITK as sitk

    size = max(max(numbers) + 1, least)
    labels = sitk.GetArrayViewFromImage(habitats.labels)
    given = sitk.GetArrayViewFromImage(habitats.probabilities)
    table = np.concatenate([[0], np.asarray(numbers) + 1]).astype(np.uint8)
    probabilities = np.zeros((*labels.shape, size), dtype=np.float32)
    probabilities[..., list(numbers)] = given
    rows = pd.DataFrame(index=[f"H{n}" for n in range(1, size + 1)], columns=habitats.table.columns, dtype=np.float64)
    for old, new in enumerate(numbers):
        rows.iloc[new] = habitats.table.iloc[old].to_numpy(dtype=np.float64)
    rows["label"] = range(1, size + 1)
    rows[["voxels", "volume_ml", "fraction"]] = rows[["voxels", "volume_ml", "fraction"]].fillna(0.0)
    images = []
    for array in (table[labels], probabilities):
        image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
        image.CopyInformation(habitats.labels)
        images.append(image)
    return replace(
        habitats,
        labels=images[0],
        probabilities=images[1],
        table=rows.astype({"label": int, "voxels": int}),
        parameters=habitats.parameters | {"renamed_to": [int(n) + 1 for n in numbers]},
        model=None,
    )
