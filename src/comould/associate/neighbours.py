"""Who lies next to whom."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.spatial import cKDTree

from comould.space import FloatArray


def neighbour_weights(
    positions: FloatArray, sections: npt.NDArray[np.intp] | None = None, *, k: int = 6, itself: bool = True
) -> sp.csr_array:
    """Weights ``(n, n)`` of each spot's nearest spots of its own section; every row sums to 1.

    Parameters
    ----------
    positions
        ``(n, d)``, mm or px.
    sections
        ``(n,)`` codes; one section when ``None``.
    k
        Neighbours, fewer in a section that has fewer spots; 6 is a hexagonal array's first ring.
    itself
        Whether a spot is one of its own neighbours, as Lee's L wants it.
    """
    codes = np.zeros(len(positions), dtype=np.intp) if sections is None else sections
    rows, columns, values = [], [], []
    for code in np.unique(codes):
        mine = np.flatnonzero(codes == code)
        count = min(k + 1, len(mine))
        near = cKDTree(positions[mine]).query(positions[mine], count)[1].reshape(len(mine), count)
        keep = np.ones(near.shape, dtype=bool) if itself else near != np.arange(len(mine))[:, None]
        keep[:, -1] &= itself | (keep.sum(axis=1) <= k)
        rows.append(np.repeat(mine, keep.sum(axis=1)))
        columns.append(mine[near[keep]])
        values.append(np.repeat(1 / np.maximum(keep.sum(axis=1), 1), keep.sum(axis=1)))
    shape = (len(positions), len(positions))
    return sp.csr_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
