"""scrutiny/: what a true match, a smooth confound and a misplaced match look like when claims are looked at again."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import SimpleITK as sitk
from scipy import stats
from scipy.ndimage import gaussian_filter

from comould import associate
from comould.associate.scrutiny.claimed import Claimed, HabitatMap
from comould.associate.scrutiny.controls import _laid_over, _p_too_many
from comould.associate.scrutiny.shift import critical_correlation
from comould.errors import InputError

SIDE, THICK, SIGMA = 40, 25, 2.0
PLANES = (4, 12, 20)
OFFSET = np.array([5.0, -40.0, 7.0])
SETS = {"own": ["own_H1", "own_H1b"]}
MOVED_MM = 6.0


def smooth(rng, sigma=SIGMA):
    pad = int(4 * sigma) + 1
    full = gaussian_filter(rng.standard_normal((THICK + 2 * pad, SIDE + 2 * pad, SIDE + 2 * pad)), sigma)
    cut = full[pad:-pad, pad:-pad, pad:-pad]
    return cut / cut.std()


@pytest.fixture(scope="module")
def specimen():
    """A label image, and spots on three planes: a gene that follows H1, one that follows it elsewhere, a trend."""
    rng = np.random.default_rng(4)
    labels = np.argmax([smooth(rng) for _ in range(3)], axis=0) + 1
    image = sitk.GetImageFromArray(labels.astype(np.uint8))
    image.SetOrigin(OFFSET.tolist())
    z, y, x = np.meshgrid(PLANES, np.arange(2, SIDE - 2), np.arange(2, SIDE - 2), indexing="ij")
    here = labels[z, y, x].ravel()
    moved = labels[z, y, np.clip(x + int(MOVED_MM), 0, SIDE - 1)].ravel()
    genes = {
        "own_H1": 1.3 * (here == 1),
        "own_H1b": 1.1 * (here == 1),
        "own_H2": 1.3 * (here == 2),
        "elsewhere_H1": 1.6 * (moved == 1),
        **{f"smooth_{n}": 0.8 * smooth(rng)[z, y, x].ravel() for n in range(8)},
        **{f"flat_{n}": np.zeros(here.size) for n in range(30)},
    }
    counts = rng.poisson(2.5 * np.exp(np.column_stack(list(genes.values()))))
    spots = ad.AnnData(
        sp.csr_matrix(counts.astype(np.float32)),
        obs=pd.DataFrame({"section": [f"S{n}" for n in z.ravel()]}, index=[f"s{n}" for n in range(here.size)]),
        var=pd.DataFrame(index=list(genes)),
    )
    spots.obsm["spatial_patient"] = np.column_stack([x.ravel(), y.ravel(), z.ravel()]) + OFFSET
    spots.obsm["spatial_patient_sd"] = np.full((here.size, 3), [0.5, 0.5, 0.3])
    associate.sample(spots, image)
    table = associate.test(spots, genesets=SETS, n_surrogates=199)
    return spots, image, table


def one(summary, feature, habitat="H1"):
    return summary[(summary["feature"] == feature) & (summary["habitat"] == habitat)].iloc[0]


def row_of(table, feature, habitat="H1"):
    return table[(table["feature"] == feature) & (table["habitat"] == habitat)]


def test_the_spots_are_those_of_the_map(specimen):
    spots, image, table = specimen
    map_ = HabitatMap.of(image)
    assert map_.n_habitats == 3
    codes = map_.at(spots.obsm["spatial_patient"])
    assert ("H" + pd.Series(codes).astype(str) == spots.obs["habitat"].astype(str).to_numpy()).all()
    claimed = Claimed.pick(spots, table, genesets=SETS, top=4)
    np.testing.assert_allclose(claimed.effects(codes), claimed.rows["statistic"], atol=1e-9)
    assert set(claimed.rows["kind"]) == {"gene", "geneset"}
    np.testing.assert_allclose(np.abs(claimed.normals @ [0, 0, 1]), 1)


def test_a_true_match_peaks_at_zero_and_is_lost(specimen):
    spots, image, table = specimen
    curve = associate.shift_curve(spots, image, table, genesets=SETS, distances_mm=np.arange(0, 14, 1.0))
    for feature in ("own_H1", "own"):
        found = one(curve.summary, feature)
        assert found["verdict"] == "local"
        assert found["claimed"]
        assert found["peak_mm"] <= 1
        assert 1.5 < found["lost_mm"] < 9
        assert found["half_mm"] < found["lost_mm"]
        assert found["lost_normal_mm"] < 9
    mine = curve.points[(curve.points["feature"] == "own_H1") & (curve.points["habitat"] == "H1")]
    flat = mine[mine["along"] == "plane"].groupby("distance_mm")[["effect", "expected"]].mean()
    # A gene that follows the map and nothing else falls as the map's own agreement with itself does.
    np.testing.assert_allclose(flat["effect"], flat["expected"], atol=0.06)
    assert flat["effect"].iloc[0] == pytest.approx(row_of(table, "own_H1")["statistic"].iloc[0])


def test_a_match_at_the_wrong_place_is_told_with_its_displacement(specimen):
    spots, image, table = specimen
    forced = row_of(table, "elsewhere_H1").assign(p_spatial=0.001, q_spatial=0.001, statistic=0.2)
    curve = associate.shift_curve(spots, image, forced, distances_mm=np.arange(0, 11, 1.0))
    found = curve.summary.iloc[0]
    assert found["peak_mm"] == pytest.approx(MOVED_MM, abs=1)
    assert found["verdict"] in {"elsewhere", "no effect"}


def test_a_smooth_confound_is_hardly_lost(specimen):
    spots, image, _ = specimen
    trended = spots.copy()
    x = spots.obsm["spatial_patient"][:, 0] - OFFSET[0]
    labels = np.where(
        np.arange(SIDE) + 0 * np.arange(THICK)[:, None, None] + np.zeros((THICK, SIDE, 1)) > SIDE / 2, 2, 1
    )
    halves = sitk.GetImageFromArray(labels.astype(np.uint8))
    halves.CopyInformation(image)
    counts = spots.X.toarray()
    counts[:, 20] = np.random.default_rng(0).poisson(0.2 * x)
    trended.X = sp.csr_matrix(counts)
    associate.sample(trended, halves)
    table = associate.test(trended, n_surrogates=99, min_effective=3)
    gene = row_of(table, trended.var_names[20], "H2").assign(q_spatial=0.01)
    curve = associate.shift_curve(trended, halves, gene, distances_mm=np.arange(0, 9, 1.0), min_effective=3)
    found = curve.summary.iloc[0]
    local = associate.shift_curve(spots, image, specimen[2], distances_mm=np.arange(0, 9, 1.0)).summary
    assert not found["lost_mm"] < one(local, "own_H1")["lost_mm"] + 2


@pytest.mark.parametrize("given", [[0], [1, 2], [0, 2, 1], "far"])
def test_displacements_start_at_zero_and_increase(specimen, given):
    spots, image, table = specimen
    with pytest.raises((InputError, ValueError), match=r"displacements|could not convert"):
        associate.shift_curve(spots, image, table, distances_mm=given)


def test_the_critical_correlation_is_the_t_test_s():
    critical = critical_correlation(30.0)
    t = critical * np.sqrt(28 / (1 - critical**2))
    assert 2 * stats.t.sf(t, 28) == pytest.approx(0.05)


def test_plausible_positions_attenuate_and_the_extrapolation_leads_back(specimen):
    spots, image, _ = specimen
    jittered = spots.copy()
    rng = np.random.default_rng(1)
    error = np.repeat(rng.normal(0, 1.0, (3, 3)) * [1, 1, 0], len(spots) // 3, axis=0)
    jittered.obsm["spatial_patient"] = spots.obsm["spatial_patient"] + error
    jittered.obsm["spatial_patient_sd"] = np.full((len(spots), 3), [1.0, 1.0, 0.0])
    associate.sample(jittered, image)
    with_error = associate.test(jittered, n_surrogates=99)
    found = associate.over_positions(jittered, image, with_error, n=30)
    assert found.source == "sd"
    summary = one(found.summary, "own_H1")
    assert summary["low"] <= summary["median"] <= summary["high"]
    assert summary["attenuation"] < 1
    assert summary["extrapolated"] > summary["effect"]
    assert summary["fraction_significant"] == 1
    assert summary["n_draws"] == 30
    again = associate.over_positions(jittered, image, with_error, n=30)
    pd.testing.assert_frame_equal(found.draws, again.draws)


def test_an_ensemble_is_used_whole(specimen):
    spots, image, table = specimen
    given = spots.copy()
    points = spots.obsm["spatial_patient"]
    given.obsm["spatial_patient_samples"] = np.stack(
        [points, points + np.array([1.0, 0, 0]), points - np.array([1.0, 0, 0])], axis=1
    )
    found = associate.over_positions(given, image, table)
    assert found.source == "ensemble"
    assert found.draws["draw"].nunique() == 3
    first = found.draws[found.draws["draw"] == 0]
    assert one(first, "own_H1")["effect"] == pytest.approx(row_of(table, "own_H1")["statistic"].iloc[0])


def test_without_uncertainty_the_remedy_is_named(specimen):
    spots, image, table = specimen
    bare = spots.copy()
    del bare.obsm["spatial_patient_sd"]
    with pytest.raises(InputError, match=r"spatial_patient_samples.*map_spots"):
        associate.over_positions(bare, image, table)


def test_controls_of_a_true_match_are_null(specimen):
    spots, image, table = specimen
    other = sitk.GetImageFromArray(np.flip(sitk.GetArrayFromImage(image), axis=1).copy())
    found = associate.controls(spots, image, table, genesets=SETS, others={"patient B": other}, n_surrogates=99)
    by_name = found.set_index("control")
    assert list(by_name.index) == ["wrong plane", "mirrored map", "another patient", "housekeeping genes"]
    for name in ("wrong plane", "mirrored map", "another patient"):
        assert by_name.loc[name, "verdict"] == "null", by_name.loc[name].to_dict()
        assert abs(by_name.loc[name, "likeness"]) < 0.4
    # Given the wrong map, the right one still carries the claims: at least those of its own genes.
    assert by_name.loc["mirrored map", "n_right_map"] >= 4
    assert by_name.loc["housekeeping genes", "verdict"] == "not run"


def test_a_shortcut_makes_controls_fail(specimen):
    spots, image, table = specimen
    depth = spots.copy()
    counts = spots.X.toarray()
    points = spots.obsm["spatial_patient"]
    labels = sitk.GetArrayFromImage(image)
    # Genes that follow the map read in the wrong planes: what is claimed for the right map is a by-product.
    swapped = dict(zip(PLANES, (PLANES[1], PLANES[2], PLANES[0]), strict=True))
    x, y = (points[:, axis] - OFFSET[axis] for axis in (0, 1))
    z = np.array([swapped[int(each)] for each in points[:, 2] - OFFSET[2]])
    wrong = labels[z, y.astype(int), x.astype(int)] == 1
    counts[:, :2] = np.random.default_rng(0).poisson(2 * np.exp(1.2 * wrong))[:, None] + counts[:, :2]
    depth.X = sp.csr_matrix(counts)
    table = associate.test(depth, genesets=SETS, n_surrogates=99)
    found = associate.controls(depth, image, table, genesets=SETS, n_surrogates=99, top=4).set_index("control")
    assert found.loc["wrong plane", "n_found"] >= 2


def test_housekeeping_genes_that_follow_the_map_are_told(specimen):
    spots, _, table = specimen
    names = ["VCP", "RAB7A", "PSMB2", "GPI"]
    renamed = table.copy()
    swap = dict(zip([f"flat_{n}" for n in range(4)], names, strict=True))
    renamed["feature"] = renamed["feature"].replace(swap)
    good = associate.controls(spots.copy(), specimen[1], table, n_surrogates=19).set_index("control")
    assert good.loc["housekeeping genes", "verdict"] == "not run"
    renamed.loc[renamed["feature"].isin(names), ["p_spatial", "q_spatial"]] = 1e-6
    spots = spots.copy()
    spots.var_names = [swap.get(name, name) for name in spots.var_names]
    bad = associate.controls(spots, specimen[1], renamed, n_surrogates=19, top=1).set_index("control")
    assert bad.loc["housekeeping genes", "verdict"] == "not null"
    assert "depth or cellularity" in bad.loc["housekeeping genes", "note"]


def test_another_patient_s_map_is_laid_box_on_box(specimen):
    mine = HabitatMap.of(specimen[1])
    larger = sitk.Expand(specimen[1], [2, 2, 2], sitk.sitkNearestNeighbor)
    theirs = HabitatMap.of(larger)
    corner = np.array([OFFSET, OFFSET + np.array([SIDE - 1, SIDE - 1, THICK - 1])])
    moved = _laid_over(corner, mine, theirs)
    np.testing.assert_allclose(
        theirs.grid.index_from_patient(moved), [[0, 0, 0], [2 * SIDE - 1, 2 * SIDE - 1, 2 * THICK - 1]], atol=1e-9
    )


def test_too_many_counts_genes_that_move_together_less():
    assert _p_too_many(np.full(30, 0.5), 0) == 1
    assert _p_too_many(np.array([0.01] * 2 + [0.5] * 28), 2) > 0.2
    assert _p_too_many(np.full(30, 0.01), 30) < 1e-9


def test_calibration_tells_the_naive_test_from_the_honest_one(specimen):
    spots = specimen[0]
    told = []
    table = associate.calibrate(
        spots, kinds=("variogram", "dutilleul"), n_maps=12, n_surrogates=99, progress=told.append
    )
    overall = table[table["habitat"] == "all"].set_index("test")
    assert overall.loc["naive (Welch)", "verdict"] == "too many"
    assert overall.loc["naive (Welch)", "rate_05"] > 0.12
    for test in ("variogram", "dutilleul"):
        assert overall.loc[test, "verdict"] == "holds"
        assert overall.loc[test, "low"] <= overall.loc[test, "rate_05"] <= overall.loc[test, "high"]
    assert overall["n_maps"].eq(12).all()
    assert told == sorted(told)
    assert told[-1] == 1


def test_calibration_is_the_same_for_the_same_seed(specimen):
    one, two = (associate.calibrate(specimen[0], kinds=("dutilleul",), n_maps=3, n_genes=10) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_calibration_refuses_what_cannot_be(specimen):
    with pytest.raises(InputError, match=r"n_maps 1 is below 2; n_genes 0 is below 1"):
        associate.calibrate(specimen[0], n_maps=1, n_genes=0)


def test_habitats_of_other_names_cannot_be_looked_up(specimen):
    spots, image, table = specimen
    named = table.assign(habitat=table["habitat"].replace("H1", "immune"))
    with pytest.raises(InputError, match=r"habitat 'immune': expected H1, H2"):
        associate.shift_curve(spots, image, named)
    with pytest.raises(InputError, match=r"columns of comould\.associate\.test"):
        associate.shift_curve(spots, image, table.drop(columns="q_spatial"))
    with pytest.raises(InputError, match="rows that could be tested"):
        associate.shift_curve(spots, image, table.assign(p_spatial=np.nan))
