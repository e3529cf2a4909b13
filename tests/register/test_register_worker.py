"""The elastix process: whatever becomes of it, the caller lives and the next job works.

Where elastix itself is not the point a light program stands in for it: the same pipes and messages, no ITK to load.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import comould.register
from comould.errors import RegistrationError
from comould.register.elastix import ElastixStageError, ElastixWorker
from comould.register.stages import StageSettings, parameter_map


@pytest.fixture(autouse=True)
def _interruptible():
    """A shell starts its background jobs deaf to Ctrl-C; the tests are about Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def job(iterations=60, shift=1.5, size=80):
    rows, columns = np.indices((size, size)) * 0.5
    fixed = np.exp(-((columns - 20) ** 2 + (rows - 19) ** 2) / 60).astype(np.float32)
    moving = np.exp(-((columns - 20 - shift) ** 2 + (rows - 19) ** 2) / 60).astype(np.float32)
    parameters = parameter_map("affine", 1, 1, StageSettings(affine_iterations=iterations))
    place = {"spacing": 0.5, "origin": [0.0, 0.0]}
    arrays = {
        "fixed": np.stack([fixed, fixed]),
        "moving": np.stack([moving, moving]),
        "fixed_mask": np.ones((size, size), np.uint8),
    }
    return {"parameters": parameters, "fixed": place, "moving": place}, arrays


def test_a_shift_is_found_and_repeats_bit_for_bit(worker):
    first, second = worker.run(*job()), worker.run(*job())
    assert first["TransformParameters"] == second["TransformParameters"]
    assert float(first["TransformParameters"][4]) == pytest.approx(1.5, abs=0.15)


def test_an_error_of_elastix_is_told_and_survived(worker):
    head, arrays = job()
    pid = worker.wait_ready().pid
    head["parameters"]["Metric"] = ["NoSuchMetric"] * 2
    with pytest.raises(ElastixStageError, match="elastix stage: expected a transform, found elastix' error"):
        worker.run(head, arrays)
    assert worker.pid == pid
    assert worker.run(*job())


STAND_IN = """
import ctypes, faulthandler, os, signal, sys, time
import numpy as np
from comould.register._messages import read_message, write_message
from comould.register._worker import _never_alone
jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
faulthandler.enable(all_threads=False)
start = os.environ.get("STAND_IN_START", "")
if start == "exit":
    sys.exit("no such library")
if start == "hang":
    time.sleep(600)
if start == "garbage":
    answers.write(b"Segmentation"); answers.flush(); time.sleep(600)
write_message(answers, {"ready": True})
while True:
    head, arrays = read_message(jobs)
    do = head["do"]
    print("now", do, file=sys.stderr, flush=True)
    if do == "crash":
        ctypes.string_at(0)
    elif do == "abort":
        os.abort()
    elif do == "hang":
        time.sleep(600)
    elif do == "deaf":
        write_message(answers, {"transform": {}}); time.sleep(600)
    elif do == "garbage":
        answers.write(bytes(range(200)) * 4); answers.flush(); time.sleep(600)
    elif do == "half":
        answers.write(b"\\x40" + bytes(7) + b"{"); answers.flush(); os._exit(3)
    elif do == "odd":
        write_message(answers, {"transform": {}}, {}) if head.get("never") else answers.write(
            (2).to_bytes(8, "little") + b"[]"); answers.flush(); time.sleep(600)
    elif do in ("compute", "overdue"):
        # As elastix: natively, with Python's lock in its hand.
        with _never_alone(jobs, -9.7 if do == "overdue" else None):
            ctypes.PyDLL(None).sleep(600)
    elif do == "chatter":
        for n in range(3000): print("line", n, "x" * 200, file=sys.stderr)
        write_message(answers, {"transform": {"last": ["done"]}})
    elif do == "error":
        write_message(answers, {"error": "no metric"})
    elif do == "wait":
        time.sleep(head["s"]); write_message(answers, {"transform": {"sum": [str(float(arrays["x"].sum()))]}})
"""


class StandIn(ElastixWorker):
    @staticmethod
    def _command():
        return [sys.executable, "-P", "-c", STAND_IN]


@pytest.fixture
def light():
    with StandIn(timeout_s=20.0) as one:
        yield one


def total(one, value=1, s=0.0):
    return one.run({"do": "wait", "s": s}, {"x": np.full((300, 300), value)})["sum"]


@pytest.mark.parametrize(
    ("do", "message"),
    [
        ("crash", r"elastix process ended \(exit code -11, SIGSEGV\); its log ends: .*Segmentation fault"),
        ("abort", r"elastix process ended \(exit code -6, SIGABRT\); its log ends: .*Fatal Python error: Aborted"),
        ("half", r"elastix process ended \(exit code 3\); its log ends: now half\."),
        ("garbage", r"found something that is no answer from the elastix process; its log ends: now garbage"),
        ("odd", r"found something that is no answer from the elastix process; its log ends: now odd"),
    ],
)
def test_what_ends_a_job_is_told_with_the_log_and_the_next_job_works(light, do, message):
    before = light.wait_ready().pid
    with pytest.raises(RegistrationError, match=f"^elastix stage: expected an answer, .*{message}"):
        light.run({"do": do}, {})
    assert light.pid is None
    assert not _alive(before)
    assert total(light, 2) == ["180000.0"]


def test_a_hang_is_ended(light):
    pid = light.wait_ready().pid
    with pytest.raises(
        RegistrationError, match=r"expected an answer within 0\.3 s, found none; its log ends: now hang"
    ):
        light.run({"do": "hang"}, {}, timeout_s=0.3)
    assert not _alive(pid)
    assert total(light) == ["90000.0"]


def test_a_program_that_does_not_read_stops_nobody(light):
    light.run({"do": "deaf"}, {})
    with pytest.raises(RegistrationError, match=r"expected an answer within 0\.3 s, found none"):
        light.run({"do": "wait", "s": 0}, {"x": np.zeros(3_000_000)}, timeout_s=0.3)
    assert total(light) == ["90000.0"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_process_killed_during_a_job_is_replaced(light, number):
    first = light.wait_ready().pid
    killer = threading.Timer(0.2, os.kill, (first, number))
    killer.start()
    with pytest.raises(RegistrationError, match=rf"exit code -{number.value}, {number.name}\); its log ends: "):
        light.run({"do": "hang"}, {})
    assert total(light) == ["90000.0"]
    assert light.pid != first


def test_a_process_killed_between_two_jobs_is_replaced_silently(light):
    assert total(light) == ["90000.0"]
    first = light.pid
    os.kill(first, signal.SIGKILL)
    _gone(first)
    while light.pid is not None:
        time.sleep(0.01)
    assert total(light, 3) == ["270000.0"]
    assert light.pid != first


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("exit", r"start of the elastix worker: .*ended \(exit code 1\); its log ends: no such library"),
        ("hang", r"start of the elastix worker: expected an answer within 0\.5 s, found none"),
        ("garbage", r"start of the elastix worker: .*found something that is no answer"),
    ],
)
def test_a_start_that_fails_is_told_and_the_next_one_works(light, monkeypatch, start, message):
    monkeypatch.setenv("STAND_IN_START", start)
    with pytest.raises(RegistrationError, match=message):
        light.wait_ready(timeout_s=0.5 if start == "hang" else 20.0)
    monkeypatch.delenv("STAND_IN_START")
    assert total(light) == ["90000.0"]


def test_an_error_leaves_the_process_alone(light):
    pid = light.wait_ready().pid
    with pytest.raises(ElastixStageError, match="elastix stage: expected a transform, found elastix' error: no metric"):
        light.run({"do": "error"}, {})
    with pytest.raises(TypeError, match="not JSON serializable"):
        light.run({"do": object()}, {})
    assert total(light) == ["90000.0"]
    assert light.pid == pid


def test_nothing_is_written_to_disk_and_a_long_log_blocks_nobody(light, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "no such folder"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    assert light.run({"do": "chatter"}, {}) == {"last": ["done"]}
    with pytest.raises(RegistrationError, match=r"SIGSEGV\); its log ends: ") as told:
        light.run({"do": "crash"}, {})
    assert len(str(told.value)) < 600
    assert not list(tmp_path.iterdir())


def test_threads_that_share_a_worker_get_their_own_answers(light):
    found = {}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: [total(light, 10 * n + i) for i in range(5)]}))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [[str(90000.0 * (10 * n + i))] for i in range(5)] for n in range(4)}


def test_threads_that_share_a_worker_survive_each_others_crash(light):
    light.wait_ready()
    begun, errors = threading.Event(), []

    def crash():
        begun.set()
        try:
            light.run({"do": "crash"}, {})
        except RegistrationError as error:
            errors.append(error)

    one = threading.Thread(target=crash)
    one.start()
    begun.wait()
    assert total(light, 4) == ["360000.0"]
    one.join()
    assert len(errors) == 1


def test_an_interrupted_job_does_not_answer_the_next(light):
    """Ctrl-C that reaches the caller alone, as in a notebook."""
    pid = light.wait_ready().pid
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        total(light, 5, s=3.0)
    assert not _alive(pid)
    assert total(light, 6) == ["540000.0"]


def test_abort_ends_the_job_of_another_thread(light):
    light.wait_ready()
    threading.Timer(0.2, light.abort).start()
    with pytest.raises(RegistrationError, match="exit code -9, SIGKILL"):
        light.run({"do": "hang"}, {})
    with pytest.raises(RegistrationError, match="elastix worker: expected to be wanted, found it was aborted"):
        total(light)
    light.start()
    assert total(light) == ["90000.0"]
    light.close()
    light.abort()


class Hanging(StandIn):
    """Whatever is asked of it, it begins and never ends."""

    def __init__(self, **how):
        super().__init__(**how)
        self.begun = []
        self.busy = threading.Event()

    def run(self, head, arrays, **_):
        self.begun.append(self.wait_ready().pid)
        self.busy.set()
        return super().run({"do": "hang"}, {})


def test_an_interrupt_ends_the_sections_of_all_workers(pair):
    def interrupt():
        for worker in (one, two):
            worker.busy.wait(60)
        time.sleep(0.1)
        interrupted.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    interrupted = []
    listed = [replace(pair.section, id=f"S{n}") for n in range(6)]
    elastix = comould.register.RegisterSettings(stages=comould.register.StageSettings(engine="elastix"))
    options = {"plan": pair.plan, "image": pair.images, "mask": pair.mask, "n_samples": 0, "settings": elastix}
    with Hanging(timeout_s=60.0) as one, Hanging(timeout_s=60.0) as two:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            comould.register.sections(listed, workers=[one, two], **options)
        assert time.perf_counter() - interrupted[0] < 10.0
        assert len(one.begun) == len(two.begun) == 1
        assert not any(map(_alive, one.begun + two.begun))


def test_closing_leaves_nothing_and_does_not_wait():
    one = StandIn()
    before = time.perf_counter()
    pid = one.start().pid
    one.close()
    assert time.perf_counter() - before < 5.0
    assert one.pid is None
    assert not _alive(pid)
    one.close()


def test_a_program_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with (
        ElastixWorker() as one,
        pytest.raises(RegistrationError, match=r"elastix worker: expected to start, .*No such"),
    ):
        one.start()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with ElastixWorker() as one, pytest.raises(RegistrationError, match=r"start of the elastix worker.*exit code 1"):
        one.wait_ready()


CALLER = """
import sys
from comould.register.elastix import ElastixWorker
if sys.argv[1] == "real":
    sys.path.insert(0, sys.argv[2])
    from test_register_worker import job
    task = job(iterations=10_000_000)
else:
    ElastixWorker._command = staticmethod(lambda: [sys.executable, "-P", "-c", sys.argv[2]])
    task = {"do": "compute"}, {}
with ElastixWorker() as worker:
    worker.wait_ready()
    print(worker.pid, flush=True)
    worker.run(*task)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the worker's watchdog does it, later")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("kind", ["light", pytest.param("real", marks=pytest.mark.slow)])
def test_a_caller_that_goes_during_a_job_leaves_no_orphan(kind, number):
    """elastix computes on with Python's lock in its hand: only the kernel can tell it."""
    told = {"light": STAND_IN, "real": str(Path(__file__).parent)}[kind]
    pipe = subprocess.PIPE
    caller = subprocess.Popen([sys.executable, "-c", CALLER, kind, told], stdout=pipe, stderr=pipe, text=True)
    pid = int(caller.stdout.readline())
    time.sleep(0.4)
    assert _alive(pid)
    os.kill(caller.pid, number)
    _, said = caller.communicate(timeout=20)
    assert caller.returncode in {-number, 130}
    assert ("KeyboardInterrupt" in said) == (number == signal.SIGINT)
    _gone(pid)


def test_a_job_that_outlives_every_patience_ends_its_process(light):
    with pytest.raises(RegistrationError, match=r"exit code 1\); its log ends: now overdue .*Timeout"):
        light.run({"do": "overdue"}, {})


def test_a_crash_of_the_real_elastix_is_survived(worker):
    first = worker.wait_ready().pid
    threading.Timer(0.7, os.kill, (first, signal.SIGSEGV)).start()
    with pytest.raises(RegistrationError, match=r"exit code -11, SIGSEGV\); its log ends: .*_worker\.py"):
        worker.run(*job(iterations=10_000_000))
    assert worker.run(*job())["Transform"] == ["AffineTransform"]
    assert worker.pid != first


def _gone(pid, within_s=10.0):
    for _ in range(int(within_s * 50)):
        if not _alive(pid):
            return
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    pytest.fail(f"the process was still there after {within_s:g} s")


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().split()[2] != "Z"
    except OSError:
        return False


def test_importing_the_room_loads_nothing_heavy():
    code = (
        "import comould.register, sys; print([m for m in ('itk', 'SimpleITK', 'scipy', 'anndata') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


@pytest.mark.slow
def test_sections_have_the_same_bits_with_one_two_and_three_workers(make):
    first = make(3)
    listed = [
        replace(first.section, id=f"S{n}", image=first.section.image[::-1].copy() if n == 2 else first.section.image)
        for n in range(1, 4)
    ]
    options = {"plan": first.plan, "image": first.images, "mask": first.mask, "seed": 9, "n_samples": 2}
    points = np.random.default_rng(0).uniform(0, 2000, (200, 2))
    found = []
    for workers in (1, 2, 3):
        registered = comould.register.sections(listed, workers=workers, **options)
        found.append([one.map_points(points) for one in registered.values()])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
