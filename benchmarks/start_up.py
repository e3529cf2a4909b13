"""How long the command line and the package take to start, as whole processes: ``python benchmarks/start_up.py``."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 7
CASES = {
    "python (nothing)": ["-c", "pass"],
    "import comould": ["-c", "import comould"],
    "comould --help": ["-c", "from comould.cli.app import main; main()", "--help"],
}


def seconds(arguments: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main() -> None:
    print(f"{'case':20} {'median s':>9} {'min':>6} {'max':>6}")
    for name, arguments in CASES.items():
        seconds(arguments)
        times = [seconds(arguments) for _ in range(RUNS)]
        print(f"{name:20} {statistics.median(times):9.3f} {min(times):6.3f} {max(times):6.3f}")


if __name__ == "__main__":
    main()
