"""Execute every notebook of this folder as a newcomer would, in a temporary folder; stop at the first error."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 600


def main() -> int:
    """Run the notebooks named on the command line, or all; fail on stored outputs, which do not belong in git."""
    names = sys.argv[1:] or sorted(str(path) for path in HERE.glob("*.ipynb"))
    for name in names:
        path = Path(name)
        notebook = nbformat.read(path, as_version=4)
        if any(cell.get("outputs") for cell in notebook.cells):
            print(f"{path.name}: outputs are stored; strip them with `nbstripout {path.name}`")
            return 1
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            NotebookClient(
                notebook, timeout=TIMEOUT_S, kernel_name="python3", resources={"metadata": {"path": folder}}
            ).execute()
        print(f"{path.name}: ran in {time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
