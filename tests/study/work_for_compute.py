"""Work for tasks in other processes: they import it by name."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def double(load, tell):
    tell("doubling", 0.5, "halfway")
    return 2 * load


def fail_on_odd(load, tell):
    if load % 2:
        msg = f"{load} is odd"
        raise ValueError(msg)
    return load


def die_once(load, tell):
    """Kill this very process, unless that was done before: as a worker is killed for want of memory."""
    marker = Path(load)
    if not marker.exists():
        marker.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def die(load, tell):
    os.kill(os.getpid(), signal.SIGKILL)


def occupy(load, tell):
    """Note begin and end in a folder."""
    folder, seconds = load
    begin = time.time()
    time.sleep(seconds)
    (Path(folder) / f"{begin}-{time.time()}-{os.getpid()}").touch()
    return os.getpid()


def begin_elastix(load, tell):
    """Begin a process in elastix' place (elastix itself takes half a minute) and give its pid."""
    from comould.register import elastix

    child = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    elastix.ElastixWorker._command = staticmethod(lambda: child)
    elastix.shared_worker()._launch()
    return elastix.shared_worker().pid


def any_of(load, tell):
    """Do what the load names."""
    name, inner = load
    return globals()[name](inner, tell)


def most_at_once(folder) -> int:
    """Say how many ran at the same time."""
    spans = [tuple(map(float, path.name.split("-")[:2])) for path in Path(folder).iterdir()]
    return max(sum(a <= begin < b for a, b in spans) for begin, _ in spans)


def alive(pid: int) -> bool:
    return subprocess.run(["kill", "-0", str(pid)], check=False, capture_output=True).returncode == 0
