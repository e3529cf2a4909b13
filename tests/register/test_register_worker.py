import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from comould.errors import RegistrationError
from comould.register.elastix import ElastixStageError, ElastixWorker
from comould.register.stages import StageSettings, parameter_map


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


def test_a_hang_is_ended_and_a_killed_process_replaced(worker):
    with pytest.raises(
        RegistrationError, match=r"elastix stage: expected an answer within 0\.5 s, found none; its log"
    ):
        worker.run(*job(iterations=10_000_000), timeout_s=0.5)
    assert worker.pid is None
    first = worker.wait_ready().pid
    killer = threading.Timer(1.0, os.kill, (first, signal.SIGKILL))
    killer.start()
    with pytest.raises(RegistrationError, match=r"elastix process ended \(exit code -9\); its log ends"):
        worker.run(*job(iterations=10_000_000))
    assert worker.run(*job())["Transform"] == ["AffineTransform"]
    assert worker.pid != first


def test_starting_does_not_wait_and_closing_leaves_nothing():
    one = ElastixWorker()
    before = time.perf_counter()
    one.start()
    assert time.perf_counter() - before < 1.0
    pid, log = one.pid, one._log
    assert log.is_file()
    one.close()
    assert one.pid is None
    assert not log.exists()
    with pytest.raises(ProcessLookupError, match="No such process"):
        os.kill(pid, 0)
    one.close()


def test_a_process_that_cannot_start_says_why(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with ElastixWorker() as one, pytest.raises(RegistrationError, match=r"start of the elastix worker.*ended"):
        one.wait_ready()


def test_the_worker_ends_with_its_parent():
    code = (
        "from comould.register.elastix import ElastixWorker; import os;"
        "w = ElastixWorker().start(); print(w.pid, flush=True); os._exit(0)"
    )
    pid = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    for _ in range(600):
        if not _alive(pid):
            return
        time.sleep(0.1)
    pytest.fail("the worker outlived its parent by a minute")


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
