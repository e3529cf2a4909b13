"""A case tested from folder to folder: true claims are local, confounds are told, mistakes are named together."""

import json
import shutil
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from comould.errors import ComouldWarning, InputError
from comould.study import AssociateOptions, run_associations, run_calibration
from comould.study.associate_case import STEPS, figures_of
from comould.study.load_spots import load_map, load_spots

QUICK = {"n_surrogates": 99, "seed": 2}
TRUE = {"hit0": "H1", "hit1": "H1", "hit2": "H2", "hit3": "H2"}


def quiet(run, *args, **rest):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        return run(*args, **rest)


def change(path, what):
    spots = ad.read_h5ad(path)
    what(spots)
    spots.write_h5ad(path)


@pytest.fixture(scope="module")
def done(spots_case, tmp_path_factory):
    folder, steps = tmp_path_factory.mktemp("associated"), []
    gmt = folder / "own.gmt"
    gmt.write_text("truth\tof the phantom\thit0\thit1\tabsent\nchance\tnone\tg0\tg1\tg2\n")
    options = AssociateOptions(
        **QUICK, genesets=(str(gmt),), mask=spots_case / "mask.nii.gz", covariates=("edge_mm",), calibrate=4,
        others={"B": spots_case / "habitats"},
    )  # fmt: skip
    result = quiet(
        run_associations, spots_case, folder / "out", options=options, progress=lambda *told: steps.append(told)
    )
    return result, steps


@pytest.fixture
def case(spots_case, tmp_path):
    return shutil.copytree(spots_case, tmp_path / "case")


def test_everything_is_written_and_nothing_else_is_left(done):
    folder = done[0].folder
    assert {path.name for path in folder.iterdir()} == {
        "associations.csv", "calibration.csv", "controls.csv", "coverage.csv", "genes.csv", "manifest.json",
        "plausible.csv", "report.html", "shift_curve.csv", "shift_summary.csv", "spots.h5ad",
    }  # fmt: skip
    assert {path.name for path in folder.parent.iterdir()} == {"out", "own.gmt"}
    assert list(dict.fromkeys(step for step, _, _ in done[1])) == list(STEPS)


def test_genes_that_follow_a_habitat_are_claimed_and_smooth_ones_only_by_the_naive_test(done):
    genes = done[0].genes
    spatial, naive = (set(genes.index[genes[f"q_{test}"] <= 0.1]) for test in ("spatial", "naive"))
    assert set(TRUE) <= spatial
    assert len(spatial - set(TRUE)) <= 1
    assert len([name for name in naive - set(TRUE) if name.startswith("smooth")]) >= 3
    best = done[0].table.query("statistic > 0 and q_spatial <= 0.1").drop_duplicates("feature").set_index("feature")
    assert {name: best.loc[name, "habitat"] for name in TRUE} == TRUE


def test_true_claims_are_local_and_survive_their_uncertainty_and_controls_are_null(done):
    result, _ = done
    shift = pd.read_csv(result.folder / "shift_summary.csv").query("kind == 'gene'")
    assert set(shift["feature"]) == set(TRUE)
    assert (shift["verdict"] == "local").all()
    assert shift["lost_mm"].between(2, 9).all()
    assert result.plausible.source == "ensemble"
    assert (result.plausible.summary.query("kind == 'gene'")["fraction_significant"] == 1).all()
    assert result.plausible.summary["n_draws"].max() == 4
    verdicts = result.controls.set_index("control")["verdict"]
    assert verdicts["wrong plane"] == verdicts["mirrored map"] == "null"


def test_gene_sets_of_a_file_are_tested_and_what_is_missing_is_told(done):
    result, _ = done
    sets = result.table[result.table["kind"] == "geneset"].set_index(["feature", "habitat"])
    assert sets.loc[("truth", "H1"), "q_spatial"] < 0.01
    assert sets.loc[("truth", "H1"), "p_competitive"] < 0.05
    assert sets.loc[("chance", "H1"), "p_spatial"] > 0.01
    assert "absent" in (result.folder / "report.html").read_text()


def test_spots_of_rejected_sections_stay_out_and_are_named(done):
    result, _ = done
    assert result.left_out == {"S4": "its registration was rejected"}
    assert list(result.coverage.index) == ["S1", "S2", "S3"]
    assert (result.coverage["verdict"] == "accept").all()
    assert figures_of(result, 0.1)["n_spots"] == 1200
    spots = ad.read_h5ad(result.folder / "spots.h5ad")
    assert spots.n_obs == 1200
    assert set(spots.obs["habitat"]) == {"H1", "H2"}
    scores = spots.obs.groupby("habitat", observed=True)["score_truth"].mean()
    assert scores["H1"] > scores["H2"] + 0.2
    assert '"label":"set truth"' in (result.folder / "report.html").read_text()
    assert spots.obs["edge_mm"].between(0, 12.1).all()


def test_the_manifest_says_what_was_used_and_names_no_file(done):
    facts = json.loads((done[0].folder / "manifest.json").read_text())
    assert facts["format"] == "comould.associations"
    assert facts["simulated"] is True
    assert facts["figures"]["controls"]["wrong plane"] == "null"
    inputs = facts["provenance"]["inputs"]
    assert {"spots 1", "spots 4", "habitats", "mask", "gene sets 1", "other patient 1 habitats"} <= set(inputs)
    assert facts["provenance"]["parameters"]["options"]["covariates"] == ["edge_mm"]
    assert "own" not in json.dumps(facts["provenance"])
    assert facts["provenance"]["seed"] == 2


def test_the_same_seed_gives_the_same_table(done, spots_case, tmp_path):
    options = AssociateOptions(**QUICK, genesets=(), mask=spots_case / "mask.nii.gz", covariates=("edge_mm",))
    again = quiet(run_associations, spots_case, tmp_path / "again", options=options)
    genes = done[0].table[done[0].table["kind"] == "gene"].reset_index(drop=True)
    pd.testing.assert_frame_equal(again.table, genes, check_exact=False, rtol=1e-9)


def trended(case, weight):
    """Make habitats of a trend along x, ``weight`` a mm, and noise; ``hit0`` to ``hit3`` follow the trend alone."""
    path = case / "habitats" / "habitats.nii.gz"
    labels, rng = sitk.ReadImage(str(path)), np.random.default_rng(1)
    noise = gaussian_filter(rng.normal(size=labels.GetSize()[::-1]), 2.0)
    along = weight * (np.arange(46) - 22.5)
    made = sitk.GetImageFromArray(np.where(noise / noise.std() + along > 0, 2, 1).astype(np.uint8))
    made.CopyInformation(labels)
    sitk.WriteImage(made, str(path))
    for file in (case / "spots").iterdir():

        def trend(spots):
            x = spots.obsm["spatial_patient"][:, :1]
            spots.X[:, :4] = rng.poisson(8 * np.exp(np.array([1, 1, -1, -1]) * 0.03 * x))

        change(file, trend)


def test_an_effect_that_a_trend_makes_is_not_taken_for_a_match(case, tmp_path):
    trended(case, 0.06)
    result = quiet(run_associations, case, tmp_path / "out", options=AssociateOptions(**QUICK, genesets=()))
    rows = result.table[result.table["feature"].isin(TRUE)]
    assert (rows["p_naive"] < 1e-30).all()
    assert (rows["q_spatial"] > 0.1).all()
    assert not result.shift.summary["claimed"].any()


def test_a_map_too_smooth_to_tell_is_refused_and_the_report_says_so(case, tmp_path):
    trended(case, 1000.0)
    options = AssociateOptions(**QUICK, genesets=())
    with pytest.warns(ComouldWarning, match="no row could be tested, so there is nothing to look at again"):
        result = run_associations(case, tmp_path / "out", options=options)
    assert (result.shift, result.plausible, result.controls) == (None, None, None)
    assert not result.table["testable"].any()
    assert not (result.folder / "controls.csv").exists()
    text = (result.folder / "report.html").read_text()
    assert "a map this smooth is worth" in text
    assert "0 of 52 genes follow a habitat." in text


def test_spots_of_a_single_file_are_taken_too(case, tmp_path):
    one = ad.read_h5ad(case / "spots" / "S1.h5ad")
    shutil.rmtree(case / "spots")
    del one.obs["section"], one.obsm["spatial_patient_samples"]
    one.write_h5ad(case / "spots.h5ad")
    (case / "manifest.json").unlink()
    loaded = load_spots(case)
    assert set(loaded.spots.obs["section"]) == {"section"}
    assert (loaded.verdicts, loaded.left_out, loaded.simulated) == ({}, {}, False)


def test_force_brings_rejected_sections_back(case):
    loaded = load_spots(case, force=True)
    assert (loaded.spots.n_obs, loaded.left_out) == (1600, {})
    (case / "spots" / "S4.h5ad").unlink()
    assert load_spots(case, force=True).left_out == {"S4": "its registration was rejected"}


def test_samples_are_cut_to_what_all_sections_have(case):
    assert load_spots(case).spots.obsm["spatial_patient_samples"].shape == (1200, 4, 3)
    change(case / "spots" / "S2.h5ad", lambda spots: spots.obsm.pop("spatial_patient_samples"))
    assert "spatial_patient_samples" not in load_spots(case).spots.obsm


def test_genes_in_another_order_are_put_in_order(case):
    path = case / "spots" / "S2.h5ad"
    spots = ad.read_h5ad(path)
    counts = spots.X[:, list(spots.var_names).index("hit2")]
    spots[:, ::-1].copy().write_h5ad(path)
    joined = load_spots(case).spots
    own = joined[joined.obs["section"] == "S2"]
    np.testing.assert_array_equal(np.asarray(own[:, "hit2"].X).ravel(), counts)


def test_every_problem_is_told_at_once_and_nothing_is_written(case, tmp_path):
    path = case / "spots" / "S2.h5ad"
    spots = ad.read_h5ad(path)
    spots[:, [name for name in spots.var_names if name not in {"g3", "g4"}]].copy().write_h5ad(path)
    change(case / "spots" / "S3.h5ad", lambda spots: spots.obsm.pop("spatial_patient"))
    (case / "spots" / "S4.h5ad").write_text("no h5ad")
    shutil.rmtree(case / "habitats")
    options = AssociateOptions(mask=tmp_path / "absent.nii.gz", genesets=("immune", "nothing"))
    with pytest.raises(InputError) as caught:
        run_associations(case, tmp_path / "out", options=options)
    text = str(caught.value)
    for part in (
        "S2.h5ad lacks g3, g4, against S1.h5ad", "S3.h5ad: expected patient positions", "S4.h5ad: expected spots as",
        "a folder habitats in the case", "absent.nii.gz", "gene sets 'nothing'",
    ):  # fmt: skip
        assert part in text
    assert str(case) not in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"fdr": 0}, "fdr 0 is not between 0 and 1"),
        ({"null": "guess", "n_surrogates": 5}, "2 problems: n_surrogates 5 is below 19; null 'guess' is none of"),
        ({"calibrate": 1}, "calibrate 1 is neither 0 nor two maps or more"),
        ({"statistic": "kendall"}, "statistic 'kendall' is not one of"),
        ({"covariates": ("a", "a")}, "covariates name a twice"),
    ],
)
def test_bad_options_are_named(options, match):
    with pytest.raises(InputError, match=match):
        AssociateOptions(**options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"covariates": ("edge_mm",)}, "the covariate edge_mm needs the specimen: give --mask"),
        ({"covariates": ("age",)}, "no covariate 'age'; there are log_counts, section"),
        ({"layer": "raw"}, "no layer 'raw' among the spots'"),
    ],
)
def test_what_the_spots_lack_is_named_before_any_work(spots_case, tmp_path, options, match):
    with pytest.raises(InputError, match=match):
        run_associations(spots_case, tmp_path / "out", options=AssociateOptions(**options))


def test_a_folder_without_spots_says_what_to_run_first(tmp_path):
    with pytest.raises(InputError, match=r"neither\. Run comould register first"):
        load_spots(tmp_path)
    with pytest.raises(InputError, match="expected a folder, found nothing"):
        load_spots(tmp_path / "absent")


def test_sections_that_are_twice_or_all_rejected(case):
    shutil.copy(case / "spots" / "S1.h5ad", case / "spots" / "again.h5ad")
    with pytest.raises(InputError, match=r"section 'S1' is in S1\.h5ad and in again\.h5ad"):
        load_spots(case)
    (case / "spots" / "again.h5ad").unlink()
    facts = {"sections": {f"S{n}": {"verdict": "reject"} for n in range(1, 5)}}
    (case / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="one whose registration was not rejected, found none"):
        load_spots(case)
    (case / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="expected JSON"):
        load_spots(case)


def test_habitats_may_be_a_folder_with_probabilities_or_a_file(case, tmp_path):
    labels = sitk.ReadImage(str(case / "habitats" / "habitats.nii.gz"))
    array = sitk.GetArrayFromImage(labels)
    both = sitk.GetImageFromArray(np.stack([array == 1, array == 2], axis=-1).astype(np.float32), isVector=True)
    both.CopyInformation(labels)
    sitk.WriteImage(both, str(case / "habitats" / "probabilities.nii.gz"))
    found = load_map(case / "habitats")
    assert found.probabilities.GetNumberOfComponentsPerPixel() == 2
    assert set(found.files) == {"habitats", "probabilities"}
    assert load_map(case / "habitats" / "habitats.nii.gz").probabilities is None
    (case / "habitats" / "probabilities.nii.gz").write_text("none")
    with pytest.raises(InputError, match="a file that cannot be read"):
        load_map(case / "habitats")
    with pytest.raises(InputError, match=r"with habitats\.nii\.gz, or a label image, found no such file"):
        load_map(tmp_path)


def test_output_may_not_be_the_case_itself(spots_case):
    with pytest.raises(InputError, match="a folder apart from the case"):
        run_associations(spots_case, spots_case.parent / "case" / ".." / "case", overwrite=True)


def test_calibration_judges_the_naive_test_and_the_spatial_one(spots_case, tmp_path):
    result = quiet(run_calibration, spots_case, tmp_path / "out", maps=10, genes=30, kinds=("variogram",))
    assert {path.name for path in result.folder.iterdir()} == {"calibration.csv", "calibration.png", "manifest.json"}
    whole = pd.read_csv(result.folder / "calibration.csv").query("habitat == 'all'").set_index("test")
    assert whole.loc["variogram", "verdict"] == "holds"
    assert whole.loc["naive (Welch)", "rate_05"] > 1.5 * whole.loc["variogram", "rate_05"]
    with pytest.raises(InputError, match=r"2 problems: null 'x' is none of .*; maps 1 is below 2"):
        run_calibration(spots_case, tmp_path / "other", maps=1, kinds=("x",))
