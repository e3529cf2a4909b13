"""How many habitats: the number that groups the voxels best, beyond what a cloud without groups would show.

References
----------
Tibshirani, Walther & Hastie, J R Stat Soc B 2001, doi 10.1111/1467-9868.00293 (gap; the excess is a gap of the
silhouette, Rousseeuw 1987, doi 10.1016/0377-0427(87)90125-7). Caliński & Harabasz, Commun Stat 1974, doi
10.1080/03610927408827101. Davies & Bouldin, IEEE Trans Pattern Anal Mach Intell 1979, doi 10.1109/TPAMI.1979.4766909.
Schwarz, Ann Stat 1978, doi 10.1214/aos/1176344136 (BIC). Tibshirani & Walther, J Comput Graph Stat 2005, doi
10.1198/106186005X59243 (stability between halves), by the adjusted Rand index (Hubert & Arabie 1985, doi
10.1007/BF01908075).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from comould.habitats._mixture import MixtureSettings, fit_mixture
from comould.space import FloatArray

if TYPE_CHECKING:
    import pandas as pd

STABLE = 0.8
"""Adjusted Rand index from which habitats of two halves of a tumour count as the same."""
_SPLITS = 4
_REFERENCES = 5
_GAP_REFERENCES = 10
_SILHOUETTE_SAMPLE = 3000
_BLOCK_RADII = 4.0
_SAMPLE = 3000
_LEAST = 400
_START_SAMPLE = 20000


@dataclass(frozen=True, eq=False)
class Sample:
    """Voxels to choose by.

    Parameters
    ----------
    data
        ``(n, d)`` scaled, smoothed features.
    points_mm
        ``(n, 3)`` positions.
    radius_mm
        Reach of a neighbourhood.
    n_independent
        The first so many rows are about one neighbourhood apart.
    """

    data: FloatArray
    points_mm: FloatArray
    radius_mm: float
    n_independent: int

    @classmethod
    def draw(cls, data: FloatArray, points_mm: FloatArray, radius_mm: float, *, independent: float, seed: int) -> Self:
        """Draw up to 3,000 rows; ``independent`` of them (at least 400) count as independent."""
        rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
        rows = rng.permutation(len(data))[:_SAMPLE]
        return cls(data[rows], points_mm[rows], radius_mm, int(min(len(rows), max(independent, _LEAST))))


def curve(sample: Sample, numbers: Iterable[int], seed: int, rule: str = "excess") -> pd.DataFrame:
    """Measure every number of habitats and choose one.

    Parameters
    ----------
    sample
        What to choose by.
    numbers
        Numbers to try.
    seed
        Same seed, same curve.
    rule
        Which criterion chooses; see :data:`comould.habitats.request.RULES`.

    Returns
    -------
    pandas.DataFrame
        ``n_habitats``; of k-means: ``silhouette``, ``silhouette_null`` (mean over five Gaussian clouds of the same
        covariance), ``excess`` (their difference), ``calinski_harabasz``, ``davies_bouldin``, ``gap`` and ``gap_se``
        (to ten uniform clouds along the principal axes); ``stability`` (mean adjusted Rand index between the k-means of
        two halves of the tumour, each applied to all of the sample); ``bic`` (of a Gaussian mixture on independent
        voxels); ``chosen``.

    Notes
    -----
    The silhouette alone favours two groups, BIC as many as there are details: their curves are kept but do not choose
    unless asked. For stability, cubes of four radii at a random offset are dealt to the halves at random, four times:
    both halves hold all parts of the tumour, and neighbours, who are alike anyway, are mostly in the same half.
    """
    import pandas as pd

    numbers = list(numbers)
    shown = sample.data[:_SILHOUETTE_SAMPLE]
    nulls = np.mean([silhouette_curve(cloud, numbers, seed) for cloud in _clouds(shown, seed)], axis=0)
    labellings = [kmeans(shown, k, seed, starts=3)(shown) for k in numbers]
    table = pd.DataFrame({"n_habitats": numbers})
    table["silhouette"] = _silhouettes(shown, labellings)
    table["silhouette_null"] = nulls
    table["excess"] = table["silhouette"] - table["silhouette_null"]
    table["calinski_harabasz"], table["davies_bouldin"] = zip(
        *(_indices(shown, labels) for labels in labellings), strict=True
    )
    table["gap"], table["gap_se"] = gap_curve(shown, labellings, numbers, seed)
    table["stability"] = [_stability(sample, k, seed) for k in numbers]
    table["bic"] = [_bic(sample.data[: sample.n_independent], k, seed) for k in numbers]
    table["chosen"] = table.index == choose(table, rule)
    return table


def choose(table: pd.DataFrame, rule: str) -> int:
    """Find the row of a curve that a rule chooses; ties go to the smaller number."""
    if rule == "gap":
        gap, error = table["gap"].to_numpy(), table["gap_se"].to_numpy()
        enough = np.flatnonzero(gap[:-1] >= gap[1:] - error[1:])
        return int(enough[0]) if len(enough) else len(gap) - 1
    if rule == "stability":
        stable = np.flatnonzero(table["stability"].to_numpy() >= STABLE)
        return int(stable[-1]) if len(stable) else int(table["stability"].argmax())
    values = table[rule].to_numpy()
    return int(values.argmin() if rule in {"davies_bouldin", "bic"} else values.argmax())


def nothing_chosen(n_habitats: int) -> pd.DataFrame:
    """Make the curve of a number that was given."""
    import pandas as pd

    return pd.DataFrame({"n_habitats": [n_habitats], "chosen": [True]})


class kmeans:  # noqa: N801 - used as a function that makes a function
    """k-means on at most 20,000 voxels; calling it labels any others, 0…k-1 by the first feature's mean."""

    def __init__(self, data: FloatArray, k: int, seed: int, *, starts: int = 10) -> None:
        from sklearn.cluster import KMeans

        draw, state = np.random.SeedSequence([seed, 2, k]).spawn(2)
        if len(data) > _START_SAMPLE:
            data = data[np.sort(np.random.default_rng(draw).choice(len(data), _START_SAMPLE, replace=False))]
        self.model = KMeans(k, n_init=starts, random_state=int(state.generate_state(1)[0])).fit(data)
        self.place = np.argsort(np.argsort(self.model.cluster_centers_[:, 0], kind="stable"), kind="stable")

    def __call__(self, data: FloatArray) -> npt.NDArray[np.int64]:
        """Label ``(n, d)`` data."""
        return self.place[self.model.predict(data)].astype(np.int64)


def _stability(sample: Sample, k: int, seed: int) -> float:
    from sklearn.metrics import adjusted_rand_score

    scores = []
    for split in range(_SPLITS):
        rng = np.random.default_rng(np.random.SeedSequence([seed, 3, split]))
        size = _BLOCK_RADII * sample.radius_mm
        blocks = np.floor((sample.points_mm + rng.uniform(0.0, size, 3)) / size).astype(np.int64)
        block = np.unique(blocks, axis=0, return_inverse=True)[1].ravel()
        half = rng.permutation(np.arange(block.max() + 1) % 2)[block]
        if min((half == 0).sum(), (half == 1).sum()) < k:
            continue
        found = [kmeans(sample.data[half == side], k, seed, starts=2)(sample.data) for side in (0, 1)]
        scores.append(adjusted_rand_score(*found))
    return float(np.mean(scores)) if scores else 0.0


def _clouds(data: FloatArray, seed: int) -> list[FloatArray]:
    rng = np.random.default_rng(np.random.SeedSequence([seed, 4]))
    covariance = np.atleast_2d(np.cov(data.T))
    mean = data.mean(axis=0)
    return [rng.multivariate_normal(mean, covariance, len(data), method="cholesky") for _ in range(_REFERENCES)]


def silhouette_curve(data: FloatArray, numbers: Iterable[int], seed: int) -> FloatArray:
    """Mean silhouette of k-means for every number."""
    return _silhouettes(data, [kmeans(data, k, seed, starts=3)(data) for k in numbers])


def _silhouettes(data: FloatArray, labellings: list[npt.NDArray[np.int64]]) -> FloatArray:
    """Mean silhouettes; the distances are measured once."""
    from scipy.spatial.distance import cdist

    distances = cdist(data, data)
    return np.array([_silhouette(distances, labels) for labels in labellings])


def _indices(data: FloatArray, labels: npt.NDArray[np.int64]) -> tuple[float, float]:
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

    if len(np.unique(labels)) < 2:
        return 0.0, np.inf
    return float(calinski_harabasz_score(data, labels)), float(davies_bouldin_score(data, labels))


def gap_curve(
    data: FloatArray, labellings: list[npt.NDArray[np.int64]], numbers: list[int], seed: int
) -> tuple[FloatArray, FloatArray]:
    """Gap of the log dispersion to uniform clouds in the box of the principal axes, and its standard error."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 5]))
    centre = data.mean(axis=0)
    axes = np.linalg.svd(data - centre, full_matrices=False)[2]
    turned = (data - centre) @ axes.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    clouds = [rng.uniform(low, high, turned.shape) for _ in range(_GAP_REFERENCES)]
    null = np.array(
        [[_log_dispersion(cloud, kmeans(cloud, k, seed, starts=1)(cloud)) for k in numbers] for cloud in clouds]
    )
    own = np.array([_log_dispersion(data, labels) for labels in labellings])
    return null.mean(axis=0) - own, null.std(axis=0) * np.sqrt(1.0 + 1.0 / _GAP_REFERENCES)


def _log_dispersion(data: FloatArray, labels: npt.NDArray[np.int64]) -> float:
    within = sum(float(((data[labels == c] - data[labels == c].mean(axis=0)) ** 2).sum()) for c in np.unique(labels))
    return float(np.log(max(within, 1e-300)))


def _bic(apart: FloatArray, k: int, seed: int) -> float:
    mixture = fit_mixture(apart, kmeans(apart, k, seed, starts=3)(apart), None, MixtureSettings(0.0))
    return float(mixture.n_parameters * np.log(len(apart)) - 2.0 * mixture.log_likelihood.sum())


def _silhouette(distances: FloatArray, labels: npt.NDArray[np.int64]) -> float:
    members = np.eye(int(labels.max()) + 1)[labels]
    sizes = members.sum(axis=0)
    if np.count_nonzero(sizes) < 2:
        return 0.0
    rows = np.arange(len(labels))
    sums = distances @ members
    own_size = sizes[labels]
    own = sums[rows, labels] / np.maximum(own_size - 1, 1)
    means = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)
    means[rows, labels] = np.inf
    other = means.min(axis=1)
    larger = np.maximum(own, other)
    score = np.divide(other - own, larger, out=np.zeros_like(own), where=larger > 0)
    return float(np.where(own_size > 1, score, 0.0).mean())
