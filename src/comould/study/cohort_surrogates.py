"""Surrogate maps of patients' finished tests, made again for chosen genes and sets, so that centres can pool chance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould.errors import InputError
from comould.study.associate_options import AssociateOptions

if TYPE_CHECKING:
    import pandas as pd

    from comould.associate import GeneSet

SPOTS, MANIFEST = "spots.h5ad", "manifest.json"


def surrogates_of(tables: Mapping[str, Path], names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Correlate the surrogate maps of each patient's own test with chosen genes and gene sets.

    Parameters
    ----------
    tables
        Patient to ``associations.csv``; the spots that were tested and the manifest of :func:`run_associations` lie
        beside it.
    names
        Genes, and sets of the collections that were tested.

    Returns
    -------
    dict
        Patient to the table of :func:`comould.associate.surrogate_effects`, with the null, number, seed, statistic,
        covariates and layer of the patient's own test: the very surrogates its p-values came from.

    Raises
    ------
    InputError
        Naming every patient without spots or manifest; if a name is neither a gene nor a set that can be loaded by
        name, or nothing can be tested.
    """
    told = {patient: _told(path.parent) for patient, path in tables.items()}
    problems = [f"{patient}: {one}" for patient, one in told.items() if isinstance(one, str)]
    if problems:
        raise InputError.collect(
            subject="surrogates of patients", problems=problems,
            remedy="Give folders of comould associate, whole, or leave --surrogates out",
        )  # fmt: skip
    return {
        patient: _one(patient, tables[patient].parent, one, names)
        for patient, one in told.items()
        if not isinstance(one, str)
    }


def _told(folder: Path) -> dict[str, Any] | str:
    """Read the choices of a finished test, or say what is wrong."""
    if lacking := [name for name in (SPOTS, MANIFEST) if not (folder / name).is_file()]:
        return f"no {' and no '.join(lacking)} beside its table"
    try:
        options = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["provenance"]["parameters"]["options"]
        return {name: options[name] for name in ("null", "n_surrogates", "seed", *_OF_TEST, "genesets")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"its {MANIFEST} does not say how it was tested ({' '.join(str(error).split())})"


_OF_TEST = ("statistic", "covariates", "layer")


def _one(patient: str, folder: Path, told: Mapping[str, Any], names: Sequence[str]) -> pd.DataFrame:
    import anndata as ad

    from comould import associate

    spots = ad.read_h5ad(folder / SPOTS)
    genes = [name for name in names if name in spots.var_names]
    sets = _sets(told["genesets"])
    unknown = [name for name in names if name not in genes and name not in sets]
    if unknown:
        raise InputError(
            subject=f"surrogates of {patient}",
            expected="genes that were measured, or sets of the collections that were tested",
            found=", ".join(unknown),
            remedy="Name others; sets of a GMT file are not kept with a result",
        )
    return associate.surrogate_effects(
        spots, genes, genesets={name: sets[name] for name in names if name not in genes}, null=told["null"],
        n_surrogates=told["n_surrogates"], seed=told["seed"], **{name: told[name] for name in _OF_TEST},
    )  # fmt: skip


def _sets(collections: Sequence[str]) -> dict[str, GeneSet]:
    """Load the collections that were tested; a GMT file is told as such, and its sets are not known here."""
    from comould import associate

    known = [name for name in collections if name in associate.genesets()]
    return AssociateOptions(genesets=tuple(known)).read_genesets()
