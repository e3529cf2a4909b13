"""Gene sets held against the genes measured: which are members, what is missing, what cannot be tested."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.associate.claims.options import ClaimOptions
from comould.associate.sets.gene_sets import resolve
from comould.associate.sets.symbols import missing_hint
from comould.errors import ComouldWarning


@dataclass(frozen=True, eq=False)
class Members:
    """Gene sets as columns over the genes measured.

    Parameters
    ----------
    names
        Of the sets.
    inside
        ``(n_genes, n_sets)``.
    reasons
        Why a set cannot be tested; empty where it can.
    records
        Where each comes from and which of its genes are not measured, plain types.
    """

    names: tuple[str, ...]
    inside: npt.NDArray[np.bool_]
    reasons: tuple[str, ...]
    records: Mapping[str, Mapping[str, object]]

    @classmethod
    def of(cls, genesets: Mapping[str, Iterable[str]], genes: pd.Index, options: ClaimOptions) -> Members:
        """Look genes up by name, and by their set's aliases where it has some; missing ones are told.

        Warns
        -----
        ComouldWarning
            If genes of a set are not measured.
        """
        inside = np.zeros((len(genes), len(genesets)), dtype=bool)
        reasons, records = [], {}
        for number, (name, listed) in enumerate(genesets.items()):
            found, lacking = resolve(listed, genes)
            inside[genes.get_indexer(pd.Index(found)), number] = True
            reasons.append(_reason(len(found), len(found) + len(lacking), lacking, genes, options))
            records[str(name)] = {
                "n_genes": len(found) + len(lacking),
                "missing": list(lacking),
                **{word: value for word in ("doi", "version") if (value := getattr(listed, word, ""))},
            }
            if lacking:
                warnings.warn(
                    f"gene set {name}: {len(lacking)} of {len(found) + len(lacking)} genes are not measured: "
                    f"{', '.join(lacking)}",
                    ComouldWarning,
                    stacklevel=4,
                )
        return cls(tuple(map(str, genesets)), inside, tuple(reasons), records)


def _reason(n_found: int, n_listed: int, lacking: tuple[str, ...], genes: pd.Index, options: ClaimOptions) -> str:
    if not n_listed:
        return "the set is empty"
    if n_found < options.min_coverage * n_listed:
        return f"{n_found} of its {n_listed} genes measured{missing_hint(genes, lacking)}"
    return ""
