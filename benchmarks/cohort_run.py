"""A cohort of very small simulated cases run to its end: time per case, and memory over time.

    python benchmarks/cohort_run.py [--cases 200] [--workers 2] [--folder DIR] [--sections]

Prints a row every ten cases: cases done, seconds, resident memory of this process and of its largest worker, and at the
end how much the worker grew between the second quarter of the run and the last. Cases are of imaging alone
(mask, plan, habitat map, report); with --sections also two registered sections and their tests.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import yaml

from comould.study.compute import Compute
from comould.study.study_run import RunOptions, run_study

HELPER = Path(__file__).resolve().parents[1] / "tests" / "study" / "quick.py"
MIB = 1 << 20


class Watch(threading.Thread):
    """Notes resident memory every second: (seconds, own MiB, largest worker MiB)."""

    def __init__(self):
        super().__init__(daemon=True)
        self.rows, self.begin, self.stopped = [], time.monotonic(), threading.Event()

    def run(self):
        own = psutil.Process()
        while not self.stopped.wait(1.0):
            workers = [0.0]
            for child in own.children(recursive=True):
                try:
                    workers.append(child.memory_info().rss / MIB)
                except psutil.Error:
                    continue
            self.rows.append((time.monotonic() - self.begin, own.memory_info().rss / MIB, max(workers)))


def write_study(folder, cases, sections):
    spec = importlib.util.spec_from_file_location("quick", HELPER)
    quick = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(quick)
    write = quick.write_case if sections else quick.without_tissue
    for number in range(cases):
        write(folder / "cases" / f"C{number:04d}", seed=number)
    text = yaml.safe_dump({"name": f"{cases} small cases", "cases": ["cases/*"]})
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    return folder / "study.yaml"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--sections", action="store_true")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="cohort-"))
    study = write_study(folder, asked.cases, asked.sections)
    watch, done = Watch(), set()
    watch.start()

    def progress(case, fraction, _note):
        if fraction < 1.0 or case in done:
            return
        done.add(case)
        if len(done) % 10 == 0 and watch.rows:
            seconds, own, worker = watch.rows[-1]
            print(
                f"{len(done):5d} cases  {seconds:7.0f} s  own {own:6.0f} MiB  largest worker {worker:6.0f} MiB",
                flush=True,
            )

    outcome = run_study(study, options=RunOptions(compute=Compute(workers=asked.workers)), progress=progress)
    watch.stopped.set()
    rows = np.array(watch.rows)
    column = 2 if asked.workers else 1
    quarter = max(1, len(rows) // 4)
    early, late = (float(np.median(part[:, column])) for part in (rows[quarter : 2 * quarter], rows[-quarter:]))
    failed = [one.name for one in outcome.cases if not one.ok]
    print(
        f"{len(outcome.cases)} cases, {len(failed)} failed, {rows[-1, 0]:.0f} s: {rows[-1, 0] / asked.cases:.2f} s each"
    )
    print(
        f"memory: {early:.0f} MiB in the second quarter, {late:.0f} MiB in the last ({100 * (late / early - 1):+.1f} %)"
    )


if __name__ == "__main__":
    main()
