"""One habitat model for all cases of a study: fitted before them, applied by each, made again only when it must."""

import json
import os
import pickle
import signal

import numpy as np
import pytest
import SimpleITK as sitk

from comould.cli.run import facts
from comould.errors import InputError
from comould.habitats import HabitatModel
from comould.io import read_image
from comould.space import Grid
from comould.study.compute import Compute
from comould.study.fingerprint import HashCache
from comould.study.needs import population_needs
from comould.study.pipeline import Choice
from comould.study.population_step import planned
from comould.study.step_store import StepStore
from comould.study.study_file import read_study
from comould.study.study_run import RunOptions, foresee, report_study, run_study

HERE = RunOptions(compute=Compute(workers=0))
MAPS = RunOptions(Choice(only=("habitats",)), Compute(workers=0))
"""No pages: they take most of the time."""

SHIFT = 400.0
pytestmark = pytest.mark.filterwarnings("ignore")


def write_study(quick, folder, shared, names=("A1", "A2"), offsets=None, **more):
    """Write patients with the same two habitats, each at an offset of its scanner."""
    for number, name in enumerate(names):
        quick.without_tissue(folder / "cases" / name, seed=number, habitats={"stability": False}, slice_plan=None)
        path = folder / "cases" / name / "t2.nii.gz"
        image = sitk.ReadImage(str(path))
        sitk.WriteImage(image + float((offsets or {}).get(name, 0.0)), str(path))
    quick.save(folder / "study.yaml", {"name": "Shared", "cases": ["cases/*"], "population": shared} | more)
    return folder / "study.yaml"


def agreement(out, folder, name):
    """Share of voxels whose label is the true one, the same number in every patient."""
    found = sitk.GetArrayFromImage(read_image(out / name / "habitats" / "habitats.nii.gz"))
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "cases" / name / "labels.nii.gz")))
    return (found == truth).mean()


@pytest.fixture(scope="module")
def fitted(quick, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    path = write_study(quick, folder, {"n_habitats": 2}, ("A1", "A2", "A3"))
    return path, run_study(path, options=HERE)


def test_labels_match_across_patients_and_the_page_says_what_they_stand_on(fitted):
    path, outcome = fitted
    assert outcome.ok, outcome
    assert (outcome.modelled.n_habitats, outcome.modelled.cases, outcome.modelled.of) == (2, 3, 3)
    for name in ("A1", "A2", "A3"):
        assert agreement(outcome.folder, path.parent, name) > 0.95
    model = HabitatModel.load(outcome.folder / "population" / "model.json")
    np.testing.assert_allclose(model.means[:, 0] * model.scaling.spread + model.scaling.centre, [100, 200], atol=3)
    page = outcome.report.read_text()
    assert "Fitted on the images of 3 of 3 cases" in page
    assert "no external validation of the habitats" in page
    assert ("Habitat model", "2 habitats, of 3 of 3 cases") in facts(outcome)


@pytest.mark.parametrize("offsets", [{"A1": SHIFT}, {"A2": SHIFT}])
def test_swapped_scanner_offsets_leave_the_labels_when_each_case_has_its_own_scale(quick, tmp_path, offsets):
    path = write_study(quick, tmp_path, {"n_habitats": 2, "scaling": "case"}, offsets=offsets)
    outcome = run_study(path, options=MAPS)
    assert min(agreement(outcome.folder, tmp_path, name) for name in ("A1", "A2")) > 0.95
    quick.change(path, population={"n_habitats": 2})
    stored = run_study(path, options=MAPS)
    # On one scale two scanners are two habitats: told, since nothing else would show it.
    assert min(agreement(stored.folder, tmp_path, name) for name in ("A1", "A2")) < 0.6
    assert "levels of T2 differ more between cases than inside them" in stored.modelled.notes[0]
    assert ("Note", stored.modelled.notes[0]) in facts(stored)


def test_preparation_makes_scanners_comparable_too(quick, tmp_path):
    defaults = {"habitats": {"prepare": {"T2": "zscore"}}}
    path = write_study(quick, tmp_path, {"n_habitats": 2}, offsets={"A2": SHIFT}, defaults=defaults)
    outcome = run_study(path, options=MAPS)
    assert outcome.modelled.notes == ()
    assert min(agreement(outcome.folder, tmp_path, name) for name in ("A1", "A2")) > 0.95


def test_it_is_made_again_only_when_something_it_stands_on_has_changed(quick, tmp_path):
    path = write_study(quick, tmp_path, {"n_habitats": 2})
    first = run_study(path, options=MAPS)
    assert not first.modelled.kept
    again = run_study(path, options=MAPS)
    assert again.modelled.kept
    assert (again.modelled.cases, again.modelled.n_habitats) == (2, 2)
    assert not any(one.ran for one in again.cases)
    # What has no part in it.
    quick.change(tmp_path / "cases" / "A1" / "case.yaml", report={"title": "Other"})
    assert why(path, "Shared") == ()
    for change, said in (
        ({"n_habitats": 3}, "parameter n_habitats changed from 2 to 3"),
        ({"n_habitats": 2, "scaling": "case"}, 'parameter scaling changed from "stored" to "case"'),
    ):
        quick.change(path, population=change)
        assert said in why(path, "Shared")
        assert steps(path, "A1")["habitats"] == ("step population is made anew",)
    quick.change(path, population={"n_habitats": 2})
    quick.change(tmp_path / "cases" / "A2" / "case.yaml", habitats={"stability": False, "prepare": {"T2": "zscore"}})
    assert 'parameter cases.A2.prepare.T2 changed from nothing to "zscore"' in why(path, "Shared")
    mask = tmp_path / "cases" / "A2" / "mask.nii.gz"
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(mask)))
    values[0] = 0
    sitk.WriteImage(Grid.from_image(sitk.ReadImage(str(mask))).to_image(values), str(mask))
    assert "mask of A2 changed" in why(path, "Shared")
    assert foresee(path, choice=Choice(force=("population",)))["study Shared"][0].why == ("forced",)
    assert not [one for one in (path.parent / "comould_results").iterdir() if one.name.startswith(".population")]


def why(path, name):
    return foresee(path)[f"study {name}"][0].why


def steps(path, case):
    return {one.step: one.why for one in foresee(path)[case]}


def test_the_fit_can_travel_to_a_cluster(quick, tmp_path):
    fit = planned(read_study(write_study(quick, tmp_path, {})), tmp_path / "out")
    assert pickle.loads(pickle.dumps(fit)) == fit
    assert fit.made_of.key == pickle.loads(pickle.dumps(fit)).made_of.key
    assert population_needs(read_study(tmp_path).modelled, 1) > 500 * 2**20


def test_a_dry_run_names_the_model_before_the_cases_and_writes_nothing(quick, tmp_path):
    path = write_study(quick, tmp_path, {})
    ahead = foresee(path)
    assert list(ahead) == ["study Shared", "A1", "A2"]
    assert ahead["study Shared"][0].why == ("never run",)
    assert not (tmp_path / "comould_results").exists()
    assert "study Shared" not in foresee(path, choice=Choice(only=("read",)))


def test_only_asks_for_the_model_when_a_step_needs_it(quick, tmp_path):
    path = write_study(quick, tmp_path, {"n_habitats": 2})
    read = run_study(path, options=RunOptions(Choice(only=("read",)), Compute(workers=0)))
    assert read.ok
    assert read.modelled is None
    alone = run_study(path, options=RunOptions(Choice(only=("population",)), Compute(workers=0)))
    assert alone.modelled.cases == 2
    assert not any(one.ran for one in alone.cases)
    mapped = run_study(path, options=MAPS)
    assert mapped.modelled.kept
    assert {tuple(one.ran) for one in mapped.cases} == {("habitats",)}
    forced = run_study(path, options=RunOptions(Choice(only=("habitats",), force=("population",)), Compute(workers=0)))
    assert not forced.modelled.kept
    assert all("habitats" in one.ran and "read" in one.kept for one in forced.cases)


def test_a_case_that_cannot_be_read_is_named_and_the_model_stands_on_the_others(quick, tmp_path):
    path = write_study(quick, tmp_path, {"n_habitats": 2}, ("A1", "A2", "A3"))
    good = (tmp_path / "cases" / "A1" / "mask.nii.gz").read_bytes()
    (tmp_path / "cases" / "A1" / "mask.nii.gz").write_bytes(b"no image")
    outcome = run_study(path, options=HERE)
    assert (outcome.modelled.cases, outcome.modelled.of) == (2, 3)
    assert list(outcome.modelled.left_out) == ["A1"]
    assert str(tmp_path) not in outcome.modelled.left_out["A1"]
    assert [one.ok for one in outcome.cases] == [False, True, True]
    assert min(agreement(outcome.folder, tmp_path, name) for name in ("A2", "A3")) > 0.95
    said = dict(facts(outcome))
    assert said["Habitat model"] == "2 habitats, of 2 of 3 cases"
    assert said["Without A1"] == outcome.modelled.left_out["A1"]
    page = outcome.report.read_text()
    assert "Fitted on the images of 2 of 3 cases" in page
    assert "Without A1" in page
    assert run_study(path, options=MAPS).modelled.kept
    (tmp_path / "cases" / "A1" / "mask.nii.gz").write_bytes(good)
    mended = run_study(path, options=MAPS)
    assert mended.ok
    assert mended.modelled.cases == 3


def test_without_a_model_no_case_has_habitats_but_all_else_is_done(quick, tmp_path):
    path = write_study(quick, tmp_path, {})
    for name in ("A1", "A2"):
        (tmp_path / "cases" / name / "t2.nii.gz").write_bytes(b"no image")
    outcome = run_study(path, options=HERE)
    assert not outcome.ok
    assert "0 usable cases of 2 needed" in outcome.modelled.failed
    assert str(tmp_path) not in outcome.modelled.failed
    assert not (outcome.folder / "population").exists()
    assert "There is none" in outcome.report.read_text()
    assert dict(facts(outcome))["Habitat model"].startswith("none: cohort")
    quick.without_tissue(tmp_path / "more" / "A1", slice_plan=None)
    for name in ("A1", "A2"):
        data = (tmp_path / "more" / "A1" / "t2.nii.gz").read_bytes()
        (tmp_path / "cases" / name / "t2.nii.gz").write_bytes(data)
    quick.change(path, population={"supervoxel_mm": 1000.0})
    outcome = run_study(path, options=MAPS)
    for one in outcome.cases:
        assert "read" in one.ran
        assert list(one.failed) == ["population"]
        assert "no habitat model of the study to apply" in one.failed["population"]
        assert "habitats" in one.waiting


@pytest.mark.slow
def test_the_same_bits_whatever_the_order_of_the_cases_and_the_workers(quick, tmp_path):
    path = write_study(quick, tmp_path, {"n_habitats": 2})
    run_study(path, tmp_path / "one", options=MAPS)
    quick.change(path, cases=["cases/A2", "cases/A1"])
    assert foresee(path, tmp_path / "one")["study Shared"][0].why == ()
    run_study(path, tmp_path / "two", options=RunOptions(Choice(only=("habitats",)), Compute(workers=2)))
    one, two = (quick.bits(tmp_path / name) for name in ("one", "two"))
    assert {k: v for k, v in one.items() if k != "run.json"} == {k: v for k, v in two.items() if k != "run.json"}


def test_a_cohort_matches_by_the_model_by_itself(quick, tmp_path):
    for number, name in enumerate(("A1", "A2")):
        quick.write_case(tmp_path / "cases" / name, seed=number, habitats={"stability": False})
    quick.save(
        tmp_path / "study.yaml",
        {"name": "S", "cases": ["cases/*"], "population": {}, "cohort": {"min_patients": 2}},
    )
    study = read_study(tmp_path)
    assert study.cohort.habitats == "model"
    assert [case.pseudonym for case in study.modelled] == ["A1", "A2"]
    quick.change(tmp_path / "cases" / "A1" / "case.yaml", habitats={"labels": "labels.nii.gz"})
    with pytest.raises(InputError, match=r"needs 2 cases or more.*found 1.*habitats: model, but A1 applies none"):
        read_study(tmp_path)
    quick.change(tmp_path / "study.yaml", cohort={"habitats": "labels"}, population=None)
    assert read_study(tmp_path).cohort.habitats == "labels"


def test_a_case_without_habitats_of_its_own_has_those_of_the_study(quick, tmp_path):
    path = write_study(quick, tmp_path, {"n_habitats": 2})
    for name in ("A1", "A2"):
        quick.change(tmp_path / "cases" / name / "case.yaml", habitats=None)
    assert [case.finds_habitats for case in read_study(path).cases] == [True, True]


@pytest.mark.parametrize(
    ("case", "study", "said"),
    [
        ({"habitats": {"n_habitats": 4}}, {}, r"line 4: population says how .* take habitats.n_habitats of A2 away"),
        ({"images": {"T1": "t2.nii.gz"}}, {}, "population A2 has images T1, A1 T2"),
        ({}, {"population": {"bins": 1}}, "bins 1 is not between 2 and 1024"),
        ({}, {"population": {"scaling": "none"}}, "population.scaling expected 'stored' or 'case'"),
        ({}, {"population": {"labels": "x"}}, "population.labels is no key here"),
        ({"pseudonym": "population"}, {}, "'population' is no name for a folder"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_line(quick, tmp_path, case, study, said):
    path = write_study(quick, tmp_path, {}, **study)
    quick.change(tmp_path / "cases" / "A2" / "case.yaml", **case)
    with pytest.raises(InputError, match=said):
        read_study(path)


def test_a_grouping_that_says_the_same_as_the_population_is_no_mistake(quick, tmp_path):
    defaults = {"habitats": {"features": ["intensity.voxel"]}}
    assert len(read_study(write_study(quick, tmp_path, {}, defaults=defaults)).modelled) == 2


def test_reports_are_made_again_with_the_model_that_is_there(fitted, quick, tmp_path):
    path, outcome = fitted
    (outcome.folder / "report.html").unlink()
    again = report_study(path)
    assert again.ok
    assert all(tuple(one.ran) == ("report",) for one in again.cases)
    assert "Fitted on the images of 3 of 3 cases" in again.report.read_text()
    with pytest.raises(InputError, match="population: never run"):
        report_study(write_study(quick, tmp_path, {}))


def test_the_model_goes_with_the_study_that_has_none_any_more(quick, tmp_path):
    path = write_study(quick, tmp_path, {"n_habitats": 2})
    assert (run_study(path, options=MAPS).folder / "population" / "model.json").is_file()
    quick.change(path, population=None)
    outcome = run_study(path, options=HERE)
    assert outcome.modelled is None
    assert not (outcome.folder / "population").exists()
    assert all("habitats" in one.ran for one in outcome.cases)


def test_a_fit_killed_halfway_leaves_nothing_that_counts(quick, tmp_path):
    path = write_study(quick, tmp_path, {"n_habitats": 2})
    out = tmp_path / "comould_results"
    child = os.fork()
    if child == 0:
        _die_while_writing(path)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert list(out.glob(".population.*"))
    assert not (out / "population").exists()
    outcome = run_study(path, options=MAPS)
    assert outcome.ok
    assert not list(out.glob(".population.*"))
    record = json.loads((out / "population" / "step.json").read_text())
    assert StepStore(out, HashCache()).damage("population", record["files"]) == []


def _die_while_writing(path):
    """Begin a run in this process, and end it by SIGKILL when the model's files are half-written."""
    from comould.habitats import HabitatModel

    save = HabitatModel.save

    def saved(model, where):
        save(model, where)
        os.kill(os.getpid(), signal.SIGKILL)

    HabitatModel.save = saved
    run_study(path, options=MAPS)
    os._exit(0)
