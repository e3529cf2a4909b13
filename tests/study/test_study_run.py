"""Studies: cases found, defaults shared, failures named, patients pooled, the same bits with any workers."""

import json
import os
import shutil
import signal

import pytest

from comould.errors import InputError
from comould.study.compute import RESOURCE, Compute
from comould.study.needs import case_needs
from comould.study.study_file import read_study, study_schema
from comould.study.study_run import RunOptions, foresee, report_study, run_study

HERE = RunOptions(compute=Compute(workers=0))
pytestmark = pytest.mark.filterwarnings("ignore")


def write_study(quick, folder, names=("A1", "A2", "A3"), make="without_tissue", **more):
    for number, name in enumerate(names):
        getattr(quick, make)(folder / "cases" / name, seed=number)
    data = {"name": "Small study", "cases": ["cases/*"]} | more
    quick.save(folder / "study.yaml", data)
    return folder / "study.yaml"


def test_one_failing_case_stops_nobody_and_is_named(quick, tmp_path):
    path = write_study(quick, tmp_path)
    (tmp_path / "cases" / "A2" / "mask.nii.gz").write_bytes(b"no image")
    told = []
    outcome = run_study(path, tmp_path / "out", options=HERE, progress=lambda *one: told.append(one))
    assert [one.ok for one in outcome.cases] == [True, False, True]
    assert "read" in outcome.cases[1].failed
    assert not outcome.ok
    assert ("A2", 1.0, "failed") in told
    assert ("A3", 1.0, "done") in told
    page = outcome.report.read_text()
    assert "2 of 3 cases are done" in page
    assert 'href="A1/report/report.html"' in page
    assert str(tmp_path) not in page
    again = run_study(path, tmp_path / "out", options=HERE)
    assert again.cases[0].ran == {}
    assert "read" in again.cases[1].failed


@pytest.fixture(scope="module")
def pooled(quick, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pooled")
    cohort = {"min_patients": 2}
    defaults = {"tests": {"n_surrogates": 19, "genesets": ["immune"]}, "seed": 4}
    path = write_study(quick, folder, ("A1", "A2"), "write_case", cohort=cohort, defaults=defaults)
    for name, centre in (("A1", "Leeds"), ("A2", "York")):
        quick.change(folder / "cases" / name / "case.yaml", tests=None, centre=centre)
    return path, run_study(path, options=HERE)


def test_patients_are_pooled_and_shared_defaults_hold(pooled):
    path, outcome = pooled
    assert outcome.ok, outcome
    assert outcome.folder == path.parent / "comould_results"
    assert outcome.pooled.patients == 2
    assert 'href="cohort/report.html"' in outcome.report.read_text()
    assert "What each patient says" in (outcome.folder / "cohort" / "report.html").read_text()
    assert (outcome.folder / "cohort" / "cohort.csv").is_file()
    assert "What the patients say together" in outcome.report.read_text()
    record = json.loads((outcome.folder / "A1" / "tests" / "step.json").read_text())
    assert record["ingredients"]["parameters"]["n_surrogates"] == 19
    assert record["ingredients"]["parameters"]["seed"] == 4
    again = run_study(path, options=HERE)
    assert again.pooled.kept
    assert not any(one.ran for one in again.cases)


def test_reports_are_made_again_from_finished_steps_wherever_both_have_moved(pooled, tmp_path):
    shutil.copytree(pooled[0].parent, tmp_path / "moved")
    out = tmp_path / "moved" / "comould_results"
    (out / "report.html").unlink()
    outcome = report_study(out)
    assert outcome.ok
    assert all(tuple(one.ran) == ("report",) for one in outcome.cases)
    assert (out / "report.html").is_file()
    shutil.rmtree(out / "A2" / "spots")
    with pytest.raises(InputError, match=r"A2 spots: never run.*Run comould run first"):
        report_study(out)


def test_results_are_no_cases_of_the_study(pooled, quick):
    path = pooled[0]
    quick.change(path, cases=["**"])
    assert len(read_study(path).cases) == 2


@pytest.mark.slow
def test_the_same_bits_with_any_number_of_workers(quick, tmp_path):
    path = write_study(quick, tmp_path, make="write_case")
    found = []
    for workers in (0, 1, 3):
        outcome = run_study(path, tmp_path / f"out{workers}", options=RunOptions(compute=Compute(workers=workers)))
        assert outcome.ok
        found.append(quick.bits(outcome.folder))
    assert found[0] == found[1] == found[2]


@pytest.mark.slow
def test_a_worker_killed_during_a_study_on_a_scheduler_changes_no_bit(quick, tmp_path):
    """The case that was under way goes on elsewhere, from the steps it had finished."""
    from distributed import LocalCluster

    path = write_study(quick, tmp_path, ("A1", "A2", "A3"), make="write_case")
    calm = run_study(path, tmp_path / "calm", options=HERE)
    killed = []

    def kill_one(name, fraction, text):
        if not killed and fraction > 0:
            killed.append(cluster.workers[0].process.pid)
            os.kill(killed[0], signal.SIGKILL)

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50, memory_limit=0,
        resources={RESOURCE: 8 << 30},
    ) as cluster:  # fmt: skip
        options = RunOptions(compute=Compute(scheduler=cluster.scheduler_address))
        outcome = run_study(path, tmp_path / "out", options=options, progress=kill_one)
    assert killed
    assert outcome.ok, outcome
    assert quick.bits(outcome.folder) == quick.bits(calm.folder)


def test_a_dry_run_writes_nothing_and_gives_reasons(quick, tmp_path):
    path = write_study(quick, tmp_path, ("A1",))
    ahead = foresee(path, tmp_path / "out")
    assert {one.why for one in ahead["A1"]} == {("never run",)}
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cases": ["nowhere/*"]}, "line 3: cases.0 'nowhere/\\*' finds no case"),
        ({"cases": ["../x.yaml"]}, "is no relative path inside the folder"),
        ({"cases": []}, "cases expected"),
        ({"defaults": {"mould": {"plain": 1}}}, "defaults.mould.plain is no key here; did you mean plane"),
        ({"defaults": {"habitats": {"model": "no.json"}}}, "defaults.habitats.model 'no.json' does not exist"),
        ({"cohort": {}}, "has nothing to pool: no case has tests"),
        ({"cohort": {"method": "X"}}, "cohort.method expected 'REML', 'DL' or 'PM'"),
        ({"nmae": 1}, "nmae is no key here; did you mean name"),
    ],
)  # fmt: skip
def test_mistakes_of_a_study_have_their_line(quick, tmp_path, changes, said):
    path = write_study(quick, tmp_path, ("A1",), **changes)
    with pytest.raises(InputError, match=said):
        read_study(path)


def test_mistakes_of_all_cases_are_told_at_once_with_their_files(quick, tmp_path):
    path = write_study(quick, tmp_path)
    quick.change(tmp_path / "cases" / "A1" / "case.yaml", mask="no.nii")
    quick.change(tmp_path / "cases" / "A2" / "case.yaml", seed=-1)
    quick.change(tmp_path / "cases" / "A3" / "case.yaml", pseudonym="a4")
    quick.without_tissue(tmp_path / "cases" / "A4")
    with pytest.raises(InputError) as caught:
        read_study(path)
    said = str(caught.value)
    assert "cases/A1/case.yaml line 4: mask 'no.nii' does not exist" in said
    assert "cases/A2/case.yaml line" in said
    assert "pseudonym a4 is used 2 times" in said


def test_habitats_of_a_cohort_are_matched_as_it_says(quick, tmp_path):
    path = write_study(quick, tmp_path, ("A1", "A2"), "write_case", cohort={"habitats": "model"})
    with pytest.raises(InputError, match="habitats: model, but A1, A2 applies none"):
        read_study(path)
    quick.change(path, cohort={"centres": True})
    quick.change(tmp_path / "cases" / "A1" / "case.yaml", centre="Leeds")
    with pytest.raises(InputError, match="A2 names none, others do"):
        read_study(path)


def test_a_folder_with_other_files_is_never_written_to(quick, tmp_path):
    path = write_study(quick, tmp_path, ("A1",))
    for out in (tmp_path, tmp_path / "cases", tmp_path / "study.yaml"):
        with pytest.raises(InputError, match="output"):
            run_study(path, out, options=HERE)


def test_needs_grow_with_the_volume(quick, tmp_path):
    small = read_study(quick.without_tissue(tmp_path / "A1")).cases[0]
    assert case_needs(small) > 500 * 2**20
    assert case_needs(small) - case_needs(small.model_copy(update={"images": {}})) == 24 * 24 * 24 * 10


def test_the_schema_is_published_as_it_is_now():
    from pathlib import Path

    published = Path(__file__).resolve().parents[2] / "docs" / "schema" / "study.schema.json"
    assert json.loads(published.read_text()) == study_schema()
