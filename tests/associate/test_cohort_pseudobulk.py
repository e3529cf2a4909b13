"""cohort/pseudobulk.py and models.py: sums by hand, the paired t-test, and DESeq2 where it is installed."""

import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

from comould.associate.cohort import deseq, mixed_model, pseudobulk
from comould.associate.cohort.pseudobulk import log_cpm
from comould.errors import ComouldWarning, InputError


@pytest.fixture(scope="module")
def spots():
    """Eight patients, two habitats; gene 0 is twice as high in H2, patients differ much."""
    rng = np.random.default_rng(0)
    n_patients, per, genes = 8, 30, 12
    patient = np.repeat(np.arange(n_patients), 2 * per)
    habitat = np.tile(np.repeat([0, 1], per), n_patients)
    level = rng.normal(0, 0.8, (n_patients, genes))[patient] + 2.5
    level[:, 0] += np.log(2) * habitat
    level += rng.normal(0, 0.1, (n_patients, 2, genes))[patient, habitat]
    counts = rng.poisson(np.exp(level))
    counts[:, 11] = 0
    obs = pd.DataFrame(
        {
            "patient": pd.Categorical([f"P{p}" for p in patient]),
            "habitat": pd.Categorical([f"H{h + 1}" for h in habitat], categories=["H1", "H2", "H3"]),
            "centre": np.where(patient < 4, "A", "B"),
            "x": rng.random(len(patient)),
        },
        index=[f"s{i}" for i in range(len(patient))],
    )
    return ad.AnnData(
        sp.csr_matrix(counts.astype(np.float32)), obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(genes)])
    )


def test_counts_are_added_up_and_what_is_constant_stays(spots):
    bulk = pseudobulk(spots)
    assert bulk.shape == (16, 12)
    own = (spots.obs["patient"] == "P3") & (spots.obs["habitat"] == "H2")
    assert bulk["P3|H2"].X.toarray().ravel() == pytest.approx(np.asarray(spots[own].X.sum(axis=0)).ravel())
    assert bulk.obs.loc["P3|H2", "n_spots"] == 30
    assert bulk.obs.loc["P3|H2", "centre"] == "A"
    assert "x" not in bulk.obs
    assert bulk.X.sum() == spots.X.sum()
    assert list(bulk.obs["habitat"].cat.categories) == ["H1", "H2"]
    assert (2 ** log_cpm(bulk)).sum(axis=1) == pytest.approx(1e6, rel=2e-3)


def test_small_groups_and_spots_without_habitat_are_left_out(spots):
    few = spots.copy()
    rows = np.flatnonzero(((few.obs["patient"] == "P0") & (few.obs["habitat"] == "H1")).to_numpy())
    few.obs.iloc[rows[:11], few.obs.columns.get_loc("habitat")] = np.nan
    with pytest.warns(ComouldWarning, match="1 of 16 groups have fewer than 20"):
        bulk = pseudobulk(few)
    assert "P0|H1" not in bulk.obs_names
    assert pseudobulk(few, min_spots=19).obs.loc["P0|H1", "n_spots"] == 19


def test_with_two_habitats_the_mixed_model_is_the_paired_t_test(spots):
    bulk = pseudobulk(spots)
    table = mixed_model(bulk).set_index("feature")
    values = pd.DataFrame(log_cpm(bulk), index=bulk.obs_names, columns=bulk.var_names)
    for gene in ("g0", "g1", "g7"):
        one, two = (np.array([values.loc[f"P{p}|{h}", gene] for p in range(8)]) for h in ("H1", "H2"))
        paired = stats.ttest_rel(two, one)
        assert table.loc[gene, "estimate"] == pytest.approx((two - one).mean(), abs=1e-6)
        assert table.loc[gene, "p"] == pytest.approx(paired.pvalue, rel=2e-2)
        assert table.loc[gene, "df"] == 7
    assert table.index[0] == "g0"
    assert table.loc["g0", "estimate"] == pytest.approx(1.0, abs=0.3)
    assert table.loc["g11", "reason"] == "0 counts, 10 needed"
    assert (table.loc[[f"g{i}" for i in range(1, 11)], "q"] > 0.01).all()


def test_centres_may_have_an_intercept_of_their_own(spots):
    bulk = pseudobulk(spots)
    table = mixed_model(bulk, centre="centre", genes=["g0", "g1"]).set_index("feature")
    assert table.loc["g0", "estimate"] == pytest.approx(1.0, abs=0.3)
    assert table.loc["g0", "p"] < 0.001


def test_wrong_input_is_told(spots):
    bulk = pseudobulk(spots)
    with pytest.raises(InputError, match="obs has no column slide"):
        pseudobulk(spots, by=("patient", "slide"))
    with pytest.raises(InputError, match="found 30 at most"):
        pseudobulk(spots, min_spots=31)
    with pytest.raises(InputError, match="raw counts"):
        pseudobulk(ad.AnnData(spots.X * 0.3, obs=spots.obs))
    with pytest.raises(InputError, match="formula 'grade'"):
        mixed_model(bulk, "grade")
    with pytest.raises(InputError, match="can be told apart"):
        mixed_model(bulk, "habitat + centre + C(patient)")
    with pytest.raises(InputError, match="more pseudobulk rows"):
        mixed_model(bulk[bulk.obs["habitat"] == "H1"], "centre")
    with pytest.raises(InputError, match="at least 3 patients, found 2"):
        mixed_model(bulk[:4])
    with pytest.raises(InputError, match="found nope"):
        mixed_model(bulk, genes=["nope"])


def test_without_pydeseq2_the_remedy_is_said(spots, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydeseq2.dds", None)
    with pytest.raises(InputError, match=r'pip install "comould\[deseq\]"'):
        deseq(pseudobulk(spots), ("H2", "H1"))


@pytest.mark.filterwarnings("ignore")
def test_deseq_finds_what_is_there(spots):
    pytest.importorskip("pydeseq2")
    bulk = pseudobulk(spots)
    table = deseq(bulk, ("H2", "H1")).set_index("feature")
    assert table.index[0] == "g0"
    assert table.loc["g0", "log2_fold_change"] == pytest.approx(1.0, abs=0.35)
    assert table.loc["g0", "q"] < 1e-6
    assert "g11" not in table.index
    turned = deseq(bulk, ("H1", "H2")).set_index("feature")
    assert turned.loc["g0", "log2_fold_change"] == pytest.approx(-table.loc["g0", "log2_fold_change"], abs=1e-4)
    with pytest.raises(InputError, match="two of H1, H2"):
        deseq(bulk, ("H9", "H1"))
    with pytest.raises(InputError, match="3 patients with H2 and H1"):
        deseq(bulk[[n for n in bulk.obs_names if n not in {f"P{i}|H1" for i in range(6)}]], ("H2", "H1"))
