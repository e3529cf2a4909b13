"""Small specimens whose truth is known: spots on four sections, smooth maps, counts."""

from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.ndimage import gaussian_filter

SIDE, N_SECTIONS, GAP_MM = 15, 4, 4.0


def smooth(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Smoothed white noise of variance 1, cut well inside the border of what was smoothed."""
    pad = int(4 * sigma) + 1
    full = gaussian_filter(rng.standard_normal([size + 2 * pad for size in shape]), sigma)
    cut = full[tuple(slice(pad, -pad) for _ in shape)]
    return cut / cut.std()


@pytest.fixture(scope="session")
def make_spots() -> Callable[..., ad.AnnData]:
    """Make spots: gene ``own_H1`` follows habitat H1, ``smooth_*`` are smooth but unrelated, ``flat_*`` are neither."""

    def make(seed: int = 0, *, sigma: float = 1.5, n_smooth: int = 20, n_flat: int = 10) -> ad.AnnData:
        rng = np.random.default_rng(seed)
        thick = int((N_SECTIONS - 1) * GAP_MM) + 1
        shape = (thick, SIDE, SIDE)
        every = (slice(None, None, int(GAP_MM)),)
        fields = [smooth(shape, sigma, rng)[every].ravel() for _ in range(3 + n_smooth)]
        z, y, x = np.meshgrid(np.arange(0, thick, GAP_MM), np.arange(SIDE), np.arange(SIDE), indexing="ij")
        habitat = np.argmax(fields[:3], axis=0)
        genes = {f"own_H{number + 1}": 1.2 * (habitat == number) for number in range(3)}
        genes |= {f"smooth_{number}": 0.8 * field for number, field in enumerate(fields[3:])}
        genes |= {f"flat_{number}": np.zeros(len(habitat)) for number in range(n_flat)}
        counts = rng.poisson(2.0 * np.exp(np.column_stack(list(genes.values()))))
        spots = ad.AnnData(
            sp.csr_matrix(counts.astype(np.float32)),
            obs=pd.DataFrame(
                {
                    "section": pd.Categorical([f"S{int(height)}" for height in z.ravel()]),
                    "habitat": pd.Categorical([f"H{number + 1}" for number in habitat], ordered=True),
                },
                index=[f"spot{number}" for number in range(len(habitat))],
            ),
            var=pd.DataFrame(index=list(genes)),
        )
        spots.obsm["spatial_patient"] = np.column_stack([x.ravel() + 5.0, y.ravel() - 40.0, z.ravel() + 7.0])
        return spots

    return make


@pytest.fixture
def spots(make_spots: Callable[..., ad.AnnData]) -> ad.AnnData:
    """Spots of seed 0."""
    return make_spots(0)
