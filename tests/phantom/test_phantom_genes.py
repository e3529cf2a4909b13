"""Genes: what is true of them can be found in their counts, and what is not cannot."""

import numpy as np
import pytest
from scipy import stats

from comould.phantom import genes as panel
from comould.phantom.genes import OWN_SD_LOG2, SMOOTH_SD_LOG2


@pytest.fixture(scope="module")
def sampled(specimen):
    """Counts at points all over the specimen: what many sections would give."""
    points = specimen.tissue.body.interior(np.random.default_rng(0), 6000, 0.5)
    labels = specimen.habitat_at(points)
    counts = specimen.gene_model.counts(np.random.default_rng(1), points, labels, np.ones(len(points)))
    return points, labels, counts.toarray()


def normalised(counts: np.ndarray, table) -> np.ndarray:
    """Counts over library size, this measured on the flat genes so that effects do not enter it."""
    depth = counts[:, (table["kind"] == "flat").to_numpy()].sum(axis=1)
    return counts / np.maximum(depth, 1.0)[:, None] * depth.mean()


def test_table(specimen):
    table = specimen.genes
    assert list(table) == ["habitat", "log2_fold_change", "kind"]
    assert table.index.is_unique
    assert len(table) == 400
    assert set(table["kind"]) == {"habitat", "smooth", "flat"}
    followers = table[table["kind"] == "habitat"]
    assert len(followers) == 60
    assert followers["log2_fold_change"].between(0.5, 2.0).all()
    assert set(followers["habitat"]) == set(specimen.habitat_names)
    rest = table[table["kind"] != "habitat"]
    assert (rest["habitat"] == "").all()
    assert (rest["log2_fold_change"] == 0).all()
    assert (rest["kind"] == "smooth").mean() > 0.7
    assert rest.index.str.match(r"SIM\d{4}$").all()


def test_the_published_signature_is_there_once():
    assert len(panel.T_CELL_INFLAMED) == len(set(panel.T_CELL_INFLAMED)) == 18
    named = [gene for genes in panel.FOLLOWERS.values() for gene in genes]
    assert len(named) == len(set(named))
    assert set(panel.T_CELL_INFLAMED) | {"GZMA", "PRF1"} == set(panel.FOLLOWERS["immune-hot"])


def test_the_table_handed_out_is_a_copy(specimen):
    table = specimen.genes
    table["kind"] = "spoilt"
    assert "spoilt" not in set(specimen.genes["kind"])


def test_fold_changes_are_recovered(specimen, sampled):
    _, labels, counts = sampled
    table = specimen.genes
    levels = normalised(counts, table)
    found, true = [], []
    for gene in np.flatnonzero(table["kind"] == "habitat"):
        inside = labels == specimen.habitat_names.index(table["habitat"].iloc[gene]) + 1
        found.append(np.log2(levels[inside, gene].mean() / levels[~inside, gene].mean()))
        true.append(table["log2_fold_change"].iloc[gene])
    error = np.array(found) - np.array(true)
    # Each gene's own smooth field differs between habitats by chance: right on average, near it for each.
    assert abs(error.mean()) < 0.06
    assert np.abs(error).max() < 0.6
    assert np.corrcoef(found, true)[0, 1] > 0.9


def test_other_genes_follow_no_habitat_beyond_their_own_smoothness(specimen, sampled):
    _, labels, counts = sampled
    levels = np.log2(normalised(counts, specimen.genes) + 0.5)
    kinds = specimen.genes["kind"].to_numpy()
    contrast = levels[labels == 1].mean(axis=0) - levels[labels != 1].mean(axis=0)
    assert abs(contrast[kinds == "smooth"].mean()) < 0.05
    assert np.abs(contrast[kinds == "flat"]).max() < 0.12
    assert contrast[kinds == "smooth"].std() > 3 * contrast[kinds == "flat"].std()


def test_naive_tests_claim_smooth_genes_but_not_flat_ones(specimen, sampled):
    _, labels, counts = sampled
    levels = normalised(counts, specimen.genes)
    kinds = specimen.genes["kind"].to_numpy()
    p = stats.mannwhitneyu(levels[labels == 2], levels[labels != 2], axis=0).pvalue
    assert np.mean(p[kinds == "smooth"] < 0.05) > 0.5
    assert np.mean(p[kinds == "flat"] < 0.05) < 0.2


def test_smooth_genes_have_the_habitats_variogram(specimen):
    rng = np.random.default_rng(2)
    points = specimen.tissue.body.interior(rng, 3000)
    model = specimen.gene_model
    relative, _ = model.log2_relative(points, specimen.habitat_at(points))
    smooth = relative[:, specimen.genes["kind"] == "smooth"]
    habitat = specimen.tissue.habitat_fields.siblings(rng, 60).at(points)
    pairs = rng.integers(0, len(points), (60_000, 2))
    lag = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    for low, high in ((1, 4), (4, 7), (7, 10), (12, 18)):
        near = pairs[(lag >= low) & (lag < high)][:1500]
        gamma = [np.mean((f[near[:, 0]] - f[near[:, 1]]) ** 2) for f in (smooth / SMOOTH_SD_LOG2, habitat)]
        assert gamma[0] == pytest.approx(gamma[1], rel=0.1)


def test_flat_genes_have_no_field(specimen, sampled):
    points, labels, _ = sampled
    relative, _ = specimen.gene_model.log2_relative(points[:500], labels[:500])
    kinds = specimen.genes["kind"].to_numpy()
    assert not relative[:, kinds == "flat"].any()
    own = relative[:, kinds == "habitat"] - specimen.gene_model.effects[labels[:500]][:, kinds == "habitat"]
    assert own.std() == pytest.approx(OWN_SD_LOG2, rel=0.2)


def test_flat_genes_are_independent_of_each_other(specimen, sampled):
    _, _, counts = sampled
    flat = np.log2(normalised(counts, specimen.genes)[:, (specimen.genes["kind"] == "flat").to_numpy()] + 1)
    correlation = np.corrcoef(flat.T)[np.triu_indices(flat.shape[1], 1)]
    assert abs(correlation.mean()) < 0.03
    assert np.abs(correlation).max() < 0.12


def test_counts_are_overdispersed_as_stated(specimen):
    model = specimen.gene_model
    point = np.repeat(np.array([[-35.0, 12.0, -140.0]]), 10000, axis=0)
    labels = np.repeat(specimen.habitat_at(point[:1]), 10000)
    counts = model.counts(np.random.default_rng(3), point, labels, np.ones(10000)).toarray()
    relative, smooth = model.log2_relative(point[:1], labels[:1])
    plain = model.log_mean + np.log(2) * relative[0] + 0.25 * smooth[0]
    mean, variance = counts.mean(axis=0), counts.var(axis=0)
    shift = np.log(mean) - plain
    assert shift.std() < 0.06
    # Log-normal library size (0.2 per spot) adds exp(0.04) - 1 to the dispersion and multiplies with it.
    total = (1 + model.dispersion) * np.exp(0.04) - 1
    busy = mean > 0.5
    np.testing.assert_allclose(variance[busy], (mean + total * mean**2)[busy], rtol=0.2)


def test_necrosis_has_little_rna(specimen, sampled):
    points, labels, _ = sampled
    rng = [np.random.default_rng(4) for _ in range(2)]
    full = specimen.gene_model.counts(rng[0], points[:300], labels[:300], np.ones(300)).sum()
    poor = specimen.gene_model.counts(rng[1], points[:300], labels[:300], np.full(300, 0.15)).sum()
    assert poor / full == pytest.approx(0.15, rel=0.1)


def test_larger_panel():
    from comould.phantom import specimen as make

    table = make(0, n_genes=1000, spacing_mm=(3.0, 3.0, 6.0), subsamples=1, margin_mm=3.0).genes
    assert len(table) == 1000
    assert (table["kind"] == "habitat").sum() == 60
