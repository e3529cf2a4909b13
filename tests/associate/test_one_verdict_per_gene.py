"""Rows of one gene against several habitats become one verdict whose error rate is one of genes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from comould.associate import by_feature
from comould.associate.claims.features import simes
from comould.errors import InputError


def plain_simes(p):
    p = np.sort([x for x in p if np.isfinite(x)])
    return min(p * len(p) / np.arange(1, len(p) + 1)) if len(p) else np.nan


@given(st.lists(st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1, max_size=6), min_size=1, max_size=8))
def test_simes_equals_its_definition(groups):
    flat = np.array([p for group in groups for p in group])
    codes = np.array([n for n, group in enumerate(groups) for _ in group])
    mixed = np.random.default_rng(0).permutation(len(flat))
    assert np.allclose(
        simes(flat[mixed], codes[mixed], len(groups)), [plain_simes(group) for group in groups], equal_nan=True
    )


def table_of(p, names):
    return pd.DataFrame(
        {
            "feature": np.repeat(names, p.shape[1]),
            "kind": "gene",
            "habitat": np.tile([f"H{n}" for n in range(1, p.shape[1] + 1)], len(names)),
            "log2_fold_change": p.ravel(),
            "p_spatial": p.ravel(),
            "p_naive": p.ravel() / 2,
        }
    )


def test_one_row_a_gene_with_its_clearest_habitat():
    p = np.array([[0.5, 0.01, 0.9], [0.3, 0.2, 0.6], [np.nan, np.nan, np.nan]])
    found = by_feature(table_of(p, ["a", "b", "c"]))
    assert list(found.index) == ["a", "b", "c"]
    assert found.loc["a", "p_spatial"] == pytest.approx(0.03)
    assert found.loc["a", "habitat"] == "H2"
    assert found.loc["a", "log2_fold_change"] == 0.01
    assert found.loc["c", ["p_spatial", "q_spatial"]].isna().all()
    q = multipletests([0.03, 0.45], method="fdr_bh")[1]
    assert np.allclose(found.loc[["a", "b"], "q_spatial"], q)


def test_rows_of_other_kinds_stay_out():
    table = table_of(np.array([[0.5, 0.01], [0.3, 0.2]]), ["a", "set"])
    table.loc[table["feature"] == "set", "kind"] = "geneset"
    assert list(by_feature(table).index) == ["a"]
    assert list(by_feature(table, kind="geneset").index) == ["set"]


def test_false_genes_stay_within_the_rate_where_counting_rows_would_not():
    rng = np.random.default_rng(3)
    shares = {"genes": [], "rows": []}
    for _ in range(60):
        p = rng.uniform(size=(400, 4))
        p[:60] *= 1e-6
        table = table_of(p, [f"g{n}" for n in range(400)])
        table["q_rows"] = multipletests(table["p_spatial"], method="fdr_bh")[1]
        found = by_feature(table)
        for name, claimed in (
            ("genes", set(found.index[found["q_spatial"] <= 0.1])),
            ("rows", set(table.loc[table["q_rows"] <= 0.1, "feature"])),
        ):
            false = [gene for gene in claimed if int(gene[1:]) >= 60]
            shares[name].append(len(false) / max(len(claimed), 1))
    assert np.mean(shares["genes"]) < 0.11
    assert np.mean(shares["rows"]) > 0.2


def test_missing_columns_are_named():
    with pytest.raises(InputError, match="no p_naive"):
        by_feature(pd.DataFrame({"feature": ["a"], "p_spatial": [0.1]}))
