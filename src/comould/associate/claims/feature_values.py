"""Log expression of single genes, and scores of gene sets, as dense columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from comould.associate.claims.spots import Spots
from comould.associate.claims.statistics import z_scores
from comould.associate.sets.gene_sets import resolve
from comould.errors import InputError
from comould.space import FloatArray


def feature_values(
    wanted: Iterable[tuple[str, str]], spots: Spots, genesets: Mapping[str, Iterable[str]]
) -> FloatArray:
    """Make columns ``(n_spots, c)``: log expression of a gene, or the mean z-scored log expression of a set's genes.

    Parameters
    ----------
    wanted
        Kind (``gene`` or ``geneset``) and name of each.
    spots
        That are tested.
    genesets
        By name.

    Raises
    ------
    InputError
        If a gene is not measured, or a set is unknown or has no gene that is.
    """
    columns = [np.zeros((len(spots.maps), 0))]
    for kind, name in wanted:
        genes = [name] if kind == "gene" else list(resolve(genesets.get(name, ()), spots.genes).found)
        index = spots.genes.get_indexer(pd.Index(genes, dtype=object))
        if not len(index) or (index < 0).any():
            raise InputError(
                subject=f"{kind} {name}", expected="a feature of these spots", found="none of that name among the genes"
            )
        log = np.column_stack([spots.expression.tile(one, one + 1)[1].toarray()[:, 0] for one in index.tolist()])
        columns.append(log if kind == "gene" else z_scores(log).mean(axis=1, keepdims=True))
    return np.column_stack(columns)
