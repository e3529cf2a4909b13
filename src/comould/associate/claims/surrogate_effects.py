"""What surrogate maps say of chosen features, for centres that pool chance as well as effects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from comould.associate.claims.blocks import unit
from comould.associate.claims.feature_values import feature_values
from comould.associate.claims.members import Members
from comould.associate.claims.options import ClaimOptions
from comould.associate.claims.products import Prepared
from comould.associate.claims.run import Run, Source
from comould.associate.claims.spots import Spots
from comould.associate.nulls import Kind, Surrogates
from comould.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData


def surrogate_effects(
    adata: AnnData,
    features: Iterable[str] = (),
    key: str = "habitat",
    *,
    genesets: Mapping[str, Iterable[str]] | None = None,
    null: Kind | Mapping[str, Surrogates] = "variogram",
    n_surrogates: int = 999,
    seed: int = 0,
    **options: Any,
) -> pd.DataFrame:
    """Correlate each habitat's surrogate maps with chosen genes and gene sets.

    Hand the result, one a patient, to :func:`~comould.associate.export_summary` (``surrogates=``): sums over patients
    by surrogate then give the p-value that pooling the patients themselves would.

    Parameters
    ----------
    adata, key, null, n_surrogates, seed, options
        As for :func:`~comould.associate.test`; with the same of them the surrogates are the same.
    features
        Genes.
    genesets
        Sets, scored as in the test; all are used.

    Returns
    -------
    DataFrame
        Index ``kind``, ``feature``, ``habitat``; one column a surrogate: correlations. Habitats that cannot be tested
        have no rows.

    Raises
    ------
    InputError
        As for the test; if nothing is chosen, a gene is not measured, or the null is analytic.
    """
    settings = ClaimOptions.make(options)
    spots = Spots.of(adata, key, settings)
    sets = genesets or {}
    wanted = [("gene", str(name)) for name in features] + [("geneset", str(name)) for name in sets]
    if not wanted or null == "dutilleul":
        found = "an analytic null" if wanted else "none"
        raise InputError(subject="surrogate effects", expected="genes or gene sets, and surrogate maps", found=found)
    run = Run(spots, settings, Members.of({}, spots.genes, settings))
    columns = unit(feature_values(wanted, spots, sets), run.design.blocks).astype(np.float32)
    source = Source(run, null, n_surrogates, seed)
    parts = []
    for number, habitat in enumerate(spots.names):
        if run.problems[number]:
            continue
        made = source.make(number)
        if made.fit.refusal:
            continue
        random = Prepared.of(made, run.design, number, in_place=source.given is None).rows @ columns
        index = pd.MultiIndex.from_tuples(
            [(kind, name, habitat) for kind, name in wanted], names=["kind", "feature", "habitat"]
        )
        parts.append(pd.DataFrame(random.T.astype(np.float64), index=index))
    if not parts:
        raise InputError(subject="surrogate effects", expected="a habitat that can be tested", found="none")
    return pd.concat(parts)
