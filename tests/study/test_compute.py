"""Tasks here, in processes of this machine and on a real scheduler: results, deaths, memory, nothing left."""

import time

import pytest

from comould.errors import InputError
from comould.study.compute import RESOURCE, Compute, Ended, Task, run_tasks

MIB = 1 << 20
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="session")
def work(helpers):
    return helpers("work_for_compute")


@pytest.fixture(scope="module")
def scheduler(work):
    """A scheduler with two worker processes, each with room for 100 MiB of tasks."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None, silence_logs=50, memory_limit=0,
        resources={RESOURCE: 100 * MIB},
    ) as cluster:  # fmt: skip
        yield cluster.scheduler_address


def results(tasks, work, compute, tell=lambda *_: None):
    return {one.name: one for one in run_tasks(tasks, work, compute, tell)}


def numbers(count, memory=MIB):
    return [Task(f"t{n}", n, memory) for n in range(count)]


def test_in_this_process_results_errors_and_progress(work):
    told = []
    found = results(numbers(3), work.double, Compute(workers=0), lambda *one: told.append(one))
    assert [one.result for one in found.values()] == [0, 2, 4]
    assert told[0] == ("t0", 0.5, "doubling halfway")
    found = results(numbers(2), work.fail_on_odd, Compute(workers=0))
    assert found["t1"] == Ended("t1", error="ValueError: 1 is odd")
    assert found["t0"].result == 0


def test_in_processes_errors_and_deaths_stop_nobody_and_memory_holds_tasks_back(work, tmp_path):
    (tmp_path / "spans").mkdir()
    jobs = [("fail_on_odd", n) for n in range(2)]
    jobs += [("die_once", str(tmp_path / f"m{n}")) for n in range(2)]
    jobs += [("occupy", (str(tmp_path / "spans"), 0.4))] * 2
    tasks = [Task(f"t{n}", job, 60 * MIB if job[0] == "occupy" else MIB) for n, job in enumerate(jobs)]
    tasks.append(Task("big", ("occupy", (str(tmp_path / "spans"), 0.3)), 900 * MIB))
    found = results(tasks, work.any_of, Compute(workers=2, memory_bytes=100 * MIB))
    assert {name: one.error for name, one in found.items() if one.error} == {"t1": "ValueError: 1 is odd"}
    for n in range(2):
        assert found[f"t{n + 2}"].result != int((tmp_path / f"m{n}").read_text())
    assert len(list((tmp_path / "spans").iterdir())) == 3
    assert work.most_at_once(tmp_path / "spans") == 1


def test_a_scheduler_that_is_there_gives_the_same_and_keeps_to_its_workers_memory(work, scheduler, tmp_path):
    found = results(numbers(4), work.fail_on_odd, Compute(scheduler=scheduler))
    assert found["t2"].result == 2
    assert found["t3"].error == "ValueError: 3 is odd"
    # Two threads a worker, but only one task of 60 of its 100 MiB.
    results(
        [Task(f"t{n}", (str(tmp_path), 0.5), 60 * MIB) for n in range(4)], work.occupy, Compute(scheduler=scheduler)
    )
    assert work.most_at_once(tmp_path) == 2
    big = results([Task("big", 4, 900 * MIB)], work.double, Compute(scheduler=scheduler))
    assert big["big"].result == 8


def test_on_a_scheduler_progress_is_told_and_a_killed_worker_is_replaced(work, scheduler, tmp_path):
    told = []
    found = results(numbers(2), work.double, Compute(scheduler=scheduler), lambda *one: told.append(one))
    assert {one.result for one in found.values()} == {0, 2}
    assert ("t1", 0.5, "doubling halfway") in told
    found = results([Task("t", str(tmp_path / "m"), MIB)], work.die_once, Compute(scheduler=scheduler))
    assert found["t"].error == ""


def test_elastix_of_a_worker_ends_with_the_run(work, scheduler):
    found = results([Task("t", None, MIB)], work.begin_elastix, Compute(scheduler=scheduler))
    pid = found["t"].result
    assert isinstance(pid, int)
    until = time.monotonic() + 10
    while work.alive(pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not work.alive(pid)


@pytest.mark.slow
def test_a_task_that_kills_its_process_every_time_is_given_up_by_name(work):
    found = results([Task("bad", 0, MIB), Task("good", 0, MIB)], lambda load, tell: load, Compute(workers=2))
    assert found["good"].error == ""
    found = results([Task("bad", 0, MIB)], work.die, Compute(workers=1))
    assert found["bad"].error == "its process died 3 times, most likely for want of memory"


def test_no_scheduler_at_the_address_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr("comould.study.compute.CONNECT_S", 1)
    with pytest.raises(InputError, match=r"scheduler tcp://127.0.0.1:9: expected a Dask scheduler that answers"):
        list(run_tasks(numbers(1), print, Compute(scheduler="tcp://127.0.0.1:9"), print))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": -1}, "workers -1 is below 0"),
        ({"memory_bytes": 0}, "memory is not above 0"),
        ({"scheduler": "tcp://a:1", "workers": 2}, "a scheduler has its own workers"),
        ({"scheduler": "localhost"}, "is no address such as tcp"),
    ],
)
def test_bad_places_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        Compute(**options)


def test_processes_follow_tasks_and_memory():
    assert Compute().processes(numbers(1)) == 0
    assert Compute(memory_bytes=10 * MIB).processes(numbers(8, memory=10 * MIB)) == 1
    assert Compute(workers=5).processes(numbers(1)) == 5
