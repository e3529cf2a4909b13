"""Models of pseudobulk: a mixed model a gene, or negative-binomial counts through PyDESeq2."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from comould.associate.claims.statistics import benjamini_hochberg
from comould.associate.cohort.pseudobulk import log_cpm
from comould.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

_FEWEST = 3


def mixed_model(
    bulk: AnnData,
    formula: str = "habitat",
    *,
    patient: str = "patient",
    centre: str | None = None,
    genes: Sequence[str] | None = None,
    min_counts: int = 10,
    progress: Callable[[float], None] | None = None,
) -> pd.DataFrame:
    """Fit log2 counts per million of each gene by fixed effects and a random intercept of the patient.

    Parameters
    ----------
    bulk
        Of :func:`~comould.associate.cohort.pseudobulk.pseudobulk`.
    formula
        Right side of a formula over columns of ``obs``, e.g. ``"habitat"`` or
        ``"C(habitat, Treatment('H2')) + age"``.
    patient
        Column of the patients, at least three.
    centre
        Column of the centres: a random intercept of its own, the patients' within it.
    genes
        Some of the genes; all when ``None``. A gene takes about a tenth of a second: choose where there are many.
    min_counts
        Genes with fewer counts altogether are not fitted.
    progress
        Called with the fraction done.

    Returns
    -------
    DataFrame
        A row per gene and coefficient but the intercept: ``feature``, ``term``, ``estimate`` (log2), ``se``, ``df``,
        ``p``, ``q`` (Benjamini–Hochberg over the genes of a term), ``converged`` and ``reason``.

    Raises
    ------
    InputError
        If columns are missing, there are fewer than three patients, the formula cannot be read or leaves no freedom.

    Notes
    -----
    Restricted maximum likelihood. p-values take a t distribution whose degrees of freedom are what habitats leave
    within patients (rows, less patients, less coefficients): right for effects that vary within a patient, too many for
    those that vary only between patients, such as age. With two habitats in every patient it is the paired t-test.

    References
    ----------
    Pinheiro, J. C. & Bates, D. M. (2000). Mixed-Effects Models in S and S-PLUS, section 2.4.2. Squair, J. W. et al.
    (2021). doi:10.1038/s41467-021-25960-2 (why pseudobulk)
    """
    _check(bulk, [patient, *([centre] if centre else [])], patient)
    design = _design(bulk, formula)
    groups = bulk.obs[patient].astype(str).to_numpy()
    freedom = len(design) - len(set(groups)) - (design.shape[1] - 1)
    if freedom < 1:
        raise InputError(
            subject="mixed model", expected="more pseudobulk rows than patients and coefficients",
            found=f"{len(design)} rows, {len(set(groups))} patients, {design.shape[1] - 1} coefficients",
        )  # fmt: skip
    chosen = _genes(bulk, genes)
    values, totals = log_cpm(bulk)[:, chosen], _totals(bulk)[chosen]
    outer = None if centre is None else bulk.obs[centre].astype(str).to_numpy()
    rows: list[dict[str, Any]] = []
    for number, gene in enumerate(chosen):
        name = str(bulk.var_names[gene])
        if totals[number] < min_counts:
            fitted = _failed(design, f"{int(totals[number])} counts, {min_counts} needed")
        else:
            fitted = _fit(values[:, number], design, groups, outer, freedom)
        rows += [{"feature": name, **row} for row in fitted]
        if progress is not None:
            progress((number + 1) / len(chosen))
    table = pd.DataFrame(rows)
    table["q"] = table.groupby("term")["p"].transform(lambda p: benjamini_hochberg(p.to_numpy()))
    columns = ["feature", "term", "estimate", "se", "df", "p", "q", "converged", "reason"]
    return table[columns].sort_values(["p", "feature"], kind="stable", ignore_index=True)


def deseq(
    bulk: AnnData, contrast: tuple[str, str], *, factor: str = "habitat", patient: str = "patient", min_counts: int = 10
) -> pd.DataFrame:
    """Compare two habitats within patients by DESeq2's negative-binomial model, through PyDESeq2.

    Parameters
    ----------
    bulk
        Of :func:`~comould.associate.cohort.pseudobulk.pseudobulk`.
    contrast
        The level of ``factor`` that is compared, and that it is compared with.
    factor
        Column of ``obs``.
    patient
        Column of the patients, who enter as fixed effects: each is compared with itself.
    min_counts
        Genes with fewer counts altogether are left out.

    Returns
    -------
    DataFrame
        A row a gene, smallest p first: ``feature``, ``base_mean``, ``log2_fold_change``, ``se``, ``statistic``
        (Wald), ``p``, ``q`` (after DESeq2's independent filtering).

    Raises
    ------
    InputError
        If PyDESeq2 is not installed, columns or levels are missing, or there are too few patients.

    References
    ----------
    Love, M. I., Huber, W. & Anders, S. (2014). doi:10.1186/s13059-014-0550-8. Muzellec, B. et al. (2023).
    doi:10.1093/bioinformatics/btad547
    """
    try:
        from pydeseq2.dds import DeseqDataSet
        from pydeseq2.ds import DeseqStats
    except ImportError as error:
        raise InputError(
            subject="deseq", expected="PyDESeq2", found="it is not installed",
            remedy='Install it with: pip install "comould[deseq]"',
        ) from error  # fmt: skip
    _check(bulk, [patient, factor], patient)
    levels = bulk.obs[factor].astype(str)
    if lacking := [level for level in contrast if level not in set(levels)]:
        raise InputError(
            subject=f"contrast of {factor}", expected=f"two of {', '.join(sorted(set(levels)))}",
            found=", ".join(lacking),
        )  # fmt: skip
    used = levels.isin(contrast).to_numpy()
    both = bulk.obs.loc[used].groupby(bulk.obs.loc[used, patient].astype(str))[factor].nunique() == 2
    used &= bulk.obs[patient].astype(str).map(both).fillna(False).to_numpy(dtype=bool)
    if both.sum() < _FEWEST:
        raise InputError(
            subject="deseq", expected=f"{_FEWEST} patients with {' and '.join(contrast)}", found=str(int(both.sum()))
        )
    enough = _totals(bulk[used]) >= min_counts
    some = bulk[used][:, enough]
    counts = pd.DataFrame(np.rint(some.X.toarray()).astype(int), index=some.obs_names, columns=some.var_names)
    # Names of columns and levels may hold what a formula cannot: neutral ones go in.
    facts = pd.DataFrame(
        {
            "patient": [f"p{code}" for code in pd.factorize(some.obs[patient].astype(str))[0]],
            "level": np.where(levels[used] == contrast[0], "b", "a"),
        },
        index=some.obs_names,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = DeseqDataSet(counts=counts, metadata=facts, design="~patient + level", quiet=True, n_cpus=1)
        data.deseq2()
        found = DeseqStats(data, contrast=["level", "b", "a"], quiet=True, n_cpus=1)
        found.summary()
    table = found.results_df.rename(
        columns={
            "baseMean": "base_mean", "log2FoldChange": "log2_fold_change", "lfcSE": "se", "stat": "statistic",
            "pvalue": "p", "padj": "q",
        }
    )  # fmt: skip
    return table.rename_axis("feature").reset_index().sort_values(["p", "feature"], kind="stable", ignore_index=True)


def _fit(
    values: np.ndarray, design: pd.DataFrame, groups: np.ndarray, outer: np.ndarray | None, freedom: int
) -> list[dict[str, Any]]:
    import statsmodels.api as sm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = sm.MixedLM(values, design, groups=groups if outer is None else outer, **_inner(groups, outer))
            found = model.fit(reml=True, method=["lbfgs", "powell"])
            estimate, error, converged = found.fe_params, found.bse_fe, bool(found.converged)
        except (np.linalg.LinAlgError, ValueError, ZeroDivisionError) as problem:
            return _failed(design, f"the model cannot be fitted: {problem}")
    if not np.isfinite(error).all() or (error <= 0).any():
        return _failed(design, "the model cannot be fitted: no standard error")
    rows = []
    for term in design.columns[1:]:
        ratio = abs(float(estimate[term])) / float(error[term])
        p = 2 * float(stats.t.sf(ratio, freedom)) if converged else np.nan
        rows.append(
            {"term": str(term), "estimate": float(estimate[term]), "se": float(error[term]), "df": freedom, "p": p,
             "converged": converged, "reason": "" if converged else "the fit did not converge"}
        )  # fmt: skip
    return rows


def _inner(groups: np.ndarray, outer: np.ndarray | None) -> dict[str, Any]:
    """Patients within centres as a variance component."""
    if outer is None:
        return {}
    from statsmodels.regression.mixed_linear_model import VCSpec

    names, columns, matrices = [], [], []
    for centre in sorted(set(outer)):
        own = groups[outer == centre]
        patients = sorted(set(own))
        matrices.append((own[:, None] == np.array(patients)).astype(float))
        columns.append(patients)
    names.append("patient")
    return {"exog_vc": VCSpec(names, [columns], [matrices])}


def _failed(design: pd.DataFrame, reason: str) -> list[dict[str, Any]]:
    empty = {"estimate": np.nan, "se": np.nan, "df": np.nan, "p": np.nan, "converged": False, "reason": reason}
    return [{"term": str(term), **empty} for term in design.columns[1:]]


def _design(bulk: AnnData, formula: str) -> pd.DataFrame:
    from patsy import PatsyError, dmatrix

    try:
        design = dmatrix(f"1 + {formula}", bulk.obs, return_type="dataframe", NA_action="raise")
    except (PatsyError, NameError, SyntaxError, KeyError) as error:
        raise InputError(
            subject=f"formula {formula!r}", expected=f"one over {', '.join(map(str, bulk.obs.columns))}",
            found=" ".join(str(error).split()),
        ) from error  # fmt: skip
    if design.shape[1] < 2 or np.linalg.matrix_rank(design.to_numpy()) < design.shape[1]:
        raise InputError(
            subject=f"formula {formula!r}", expected="coefficients that can be told apart",
            found=f"{', '.join(map(str, design.columns))}",
        )  # fmt: skip
    return design


def _genes(bulk: AnnData, genes: Sequence[str] | None) -> np.ndarray:
    if genes is None:
        return np.arange(bulk.n_vars)
    found = bulk.var_names.get_indexer(list(genes))
    if (found < 0).any():
        absent = [str(gene) for gene, place in zip(genes, found, strict=True) if place < 0]
        raise InputError(subject="genes", expected="genes of the pseudobulk", found=", ".join(absent[:5]))
    return np.asarray(found)


def _totals(bulk: AnnData) -> np.ndarray:
    return np.asarray(bulk.X.sum(axis=0)).ravel()


def _check(bulk: AnnData, columns: Sequence[str], patient: str) -> None:
    if lacking := [name for name in columns if name not in bulk.obs]:
        raise InputError(
            subject="pseudobulk", expected=f"obs columns {', '.join(columns)}", found=f"no {', '.join(lacking)}"
        )
    count = bulk.obs[patient].nunique()
    if count < _FEWEST:
        raise InputError(subject="pseudobulk", expected=f"at least {_FEWEST} patients", found=str(count))
