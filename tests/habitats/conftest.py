"""A tumour of known habitats."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from comould.space import Grid

MEANS = np.array([[0, 0], [100, 50], [160, 20], [190, 80]])
SHAPE = (10, 22, 24)


def _tumour(seed, kinds=(1, 2, 3), noise=12.0, shift=0.0):
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    mask = x**2 + y**2 + z**2 < 0.9
    fields = [gaussian_filter(rng.normal(size=SHAPE), (2.0, 3.5, 3.5)) for _ in kinds]
    truth = np.array(kinds)[np.argmax([f / f[mask].std() for f in fields], axis=0)]
    truth[~mask] = 0
    grid = Grid(SHAPE[::-1], (1.0, 1.0, 2.0), (10.0, -20.0, 5.0))
    images = {
        name: grid.to_image(MEANS[truth, n] + shift + rng.normal(0, noise, SHAPE))
        for n, name in enumerate(("T2", "ADC"))
    }
    return images, grid.to_image(mask.astype(np.uint8)), truth


@pytest.fixture(scope="session")
def tumour():
    """Make an egg with some of three habitats seen in two images: (seed, kinds, noise, shift) → images, mask, truth."""
    return _tumour
