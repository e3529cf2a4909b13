"""Visium-like spots on a section: a hexagonal array, counts of the tissue under it, and nothing of the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.phantom.cut_options import CutOptions
from comould.phantom.deform import Placement
from comould.phantom.genes import GeneModel
from comould.phantom.tissue import Tissue
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

NECROTIC_LOSS = 0.85


def hexagons(low: FloatArray, high: FloatArray, pitch: float) -> tuple[FloatArray, FloatArray]:
    """Centres ``(n, 2)`` of a hexagonal array within a rectangle, and their array row and column ``(n, 2)``.

    Columns are numbered as on Visium slides: every second number in a row, offset by one from row to row.
    """
    rows = np.arange(int(np.floor((high[1] - low[1]) / (pitch * np.sqrt(0.75)))) + 1)
    columns = np.arange(int(np.floor((high[0] - low[0]) / (pitch / 2.0))) + 1)
    row, column = (axis.ravel() for axis in np.meshgrid(rows, columns, indexing="ij"))
    chosen = (row + column) % 2 == 0
    row, column = row[chosen], column[chosen]
    centres = low + np.column_stack([column * pitch / 2.0, row * pitch * np.sqrt(0.75)])
    return centres, np.column_stack([row, column])


def measure(
    section_id: str,
    tissue: Tissue,
    genes: GeneModel,
    placement: Placement,
    options: CutOptions,
    rng: np.random.Generator,
) -> tuple[AnnData, FloatArray, npt.NDArray[np.int64]]:
    """Measure a section.

    Returns
    -------
    AnnData
        Spots under tissue × genes: counts in ``X`` (CSR, float32), ``obs`` in_tissue, array_row, array_col, section,
        ``obsm["spatial"]`` full-resolution px, ``uns["comould"]`` pixel_size_um, pitch_um and source, as
        `comould.io.read_spots` gives them.
    ndarray
        ``(n, 3)`` true patient positions, kept apart.
    ndarray
        ``(n,)`` true habitat labels, kept apart.
    """
    import pandas as pd
    from anndata import AnnData

    centres_px, array = _array(tissue, placement, options)
    patient, kept = _shown(tissue, placement, centres_px)
    centres_px, array, patient = centres_px[kept], array[kept], patient[kept]
    viability = 1.0 - NECROTIC_LOSS * tissue.necrosis_at(patient)
    labels = tissue.habitat_at(patient)
    counts = genes.counts(rng, patient, labels, viability)
    obs = pd.DataFrame(
        {
            "in_tissue": np.ones(len(patient), dtype=np.int64),
            "array_row": array[:, 0],
            "array_col": array[:, 1],
            "section": pd.Categorical([section_id] * len(patient), categories=[section_id]),
        },
        index=[f"{section_id}_{row:03d}x{column:03d}" for row, column in array],
    )
    spots = AnnData(X=counts, obs=obs, var=pd.DataFrame(index=genes.table.index.astype(str).rename(None)))
    spots.obsm["spatial"] = centres_px
    spots.uns["comould"] = {
        "pixel_size_um": options.pixel_size_um,
        "pitch_um": options.spot_pitch_um,
        "source": "phantom",
    }
    return spots, patient, labels


def _array(tissue: Tissue, placement: Placement, options: CutOptions) -> tuple[FloatArray, FloatArray]:
    """Spot centres in full-resolution px, over the whole slide or over one capture area on the tissue's middle."""
    downsample = options.image_pixel_um / options.pixel_size_um
    pitch = options.spot_pitch_um / options.pixel_size_um
    slide = np.array(placement.size_px) * downsample
    low, high = np.zeros(2) - 0.5, slide - 0.5
    if options.capture_mm is not None:
        step = max(downsample, 500.0 / options.pixel_size_um)
        x, y = (axis.ravel() for axis in np.meshgrid(*(np.arange(0.0, n, step) for n in slide)))
        coarse = np.column_stack([x, y])
        on_tissue = coarse[_shown(tissue, placement, coarse)[1]]
        middle = on_tissue.mean(axis=0) if len(on_tissue) else slide / 2.0
        half = options.capture_mm * 1000.0 / options.pixel_size_um / 2.0
        low, high = middle - half, middle + half
    return hexagons(low, high, pitch)


def _shown(tissue: Tissue, placement: Placement, points_px: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Patient mm ``(n, 3)`` of full-resolution pixels, and which of them ``(n,)`` show tissue."""
    patient, part = placement.locate(points_px)
    return patient, tissue.is_tissue(patient) & (part >= 0)
