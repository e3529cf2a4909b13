"""Habitats: the map, its probabilities, what was found about it, and how it goes to disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould.habitats.features import FeatureMaps
from comould.habitats.inputs import Aligned
from comould.space import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

    from comould.habitats.model import HabitatModel

LIBRARIES = ("SimpleITK", "scikit-learn", "scikit-image", "scipy", "numba", "pandas")


@dataclass(frozen=True, eq=False)
class Habitats:
    """A habitat map and all that made it.

    Parameters
    ----------
    labels
        uint8 on the mask's grid: 0 outside, 1 to k inside, ordered by the mean of the first image.
    probabilities
        float32 vector image of k components; zeros outside.
    table
        Index ``H1``… (or the classes' names); ``label``, ``voxels``, ``volume_ml``, ``fraction``,
        ``mean_probability``, and ``<image>_mean`` and ``<image>_sd`` for every image.
    selection
        One row per number tried; see :func:`comould.habitats.selection.curve`.
    parameters
        Settings and what was found on the way; JSON-able.
    feature_maps
        What was clustered, unscaled.
    model
        Gives the same habitats to other cases; ``None`` for classes made of thresholds.
    supervoxels
        int32 numbers of the supervoxels that were grouped, 0 outside; ``None`` when voxels were.
    """

    labels: sitk.Image
    probabilities: sitk.Image
    table: pd.DataFrame
    selection: pd.DataFrame
    parameters: dict[str, Any]
    feature_maps: FeatureMaps
    model: HabitatModel | None = None
    supervoxels: sitk.Image | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """``("H1", …)`` in label order."""
        return tuple(str(name) for name in self.table.index)

    def write(
        self, folder: str | Path, *, overwrite: bool = False, inputs: Mapping[str, str | Path] | None = None
    ) -> Path:
        """Write the map, all or nothing.

        ``habitats.nii.gz``, ``probabilities.nii.gz``, ``habitats.csv``, ``selection.csv``, ``manifest.json``;
        ``model.json`` and ``supervoxels.nii.gz`` where there are such.

        Parameters
        ----------
        folder
            A new or empty folder, or with ``overwrite`` one an earlier run wrote.
        overwrite
            Replace what an earlier run wrote.
        inputs
            Role → path of the input files; only hashes are kept.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        InputError
            If the folder may not be written to.
        """
        from comould.io.output import atomic_directory, write_json

        folder = Path(folder)
        made = self.provenance(inputs)
        with atomic_directory(folder, overwrite=overwrite) as work:
            files = self.write_files(work)
            write_json(
                work / "manifest.json",
                {"kind": "habitats", "units": "mm", "habitats": list(self.names), "files": files, "provenance": made},
            )
        return folder

    def provenance(self, inputs: Mapping[str, str | Path] | None = None) -> dict[str, Any]:
        """Say what made the map; see :func:`comould.io.output.provenance`."""
        from comould.io.output import provenance

        return provenance(
            inputs=inputs, parameters=self.parameters, seed=self.parameters.get("seed"), libraries=LIBRARIES
        )

    def write_files(self, folder: Path) -> dict[str, str]:
        """Write the files, without manifest, into a folder; returns what each one is."""
        from comould.io.image import write_image

        write_image(self.labels, folder / "habitats.nii.gz")
        write_image(self.probabilities, folder / "probabilities.nii.gz")
        self.table.to_csv(folder / "habitats.csv", index_label="habitat")
        self.selection.to_csv(folder / "selection.csv", index=False)
        files = {
            "habitats.nii.gz": "labels, 0 outside",
            "probabilities.nii.gz": f"probability of {', '.join(self.names)}",
            "habitats.csv": "one row per habitat",
            "selection.csv": "how their number was chosen",
        }
        if self.model is not None:
            self.model.save(folder / "model.json")
            files["model.json"] = "gives the same habitats to other cases"
        if self.supervoxels is not None:
            write_image(self.supervoxels, folder / "supervoxels.nii.gz")
            files["supervoxels.nii.gz"] = "numbers of the supervoxels that were grouped, 0 outside"
        return files


def final_labels(probabilities: FloatArray) -> npt.NDArray[np.int64]:
    """Labels 1 … k ``(n,)`` of probabilities ``(n, k)`` as they are written: rounding may not part the two."""
    return probabilities.astype(np.float32).argmax(axis=1) + 1


def describe(
    labels: npt.NDArray[np.int64], probabilities: FloatArray, aligned: Aligned, names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Make the table of :class:`Habitats` from labels 1 … k; a habitat without voxels has NaN means."""
    import pandas as pd

    rows = {}
    for label in range(1, probabilities.shape[1] + 1):
        inside = labels == label
        count = int(inside.sum())
        row: dict[str, float | int] = {
            "label": label,
            "voxels": count,
            "volume_ml": float(count) * aligned.grid.voxel_ml,
            "fraction": float(inside.mean()),
            "mean_probability": float(probabilities[inside, label - 1].mean()) if count else np.nan,
        }
        for name, values in aligned.intensities.items():
            row[f"{name}_mean"] = float(values[inside].mean()) if count else np.nan
            row[f"{name}_sd"] = float(values[inside].std()) if count else np.nan
        rows[names[label - 1] if names else f"H{label}"] = row
    return pd.DataFrame.from_dict(rows, orient="index")
