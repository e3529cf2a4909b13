"""How often each test is wrong on a case's own spots: what ``comould calibrate`` runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from comould.errors import InputError
from comould.io.output import atomic_directory, check_target, provenance, write_json
from comould.study._steps import Progress, Steps
from comould.study.associate_case import CALIBRATE, LIBRARIES, READ, SAMPLE, read_all, sampled
from comould.study.associate_options import AssociateOptions
from comould.study.case_source import case_to_test

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "comould.calibration"
STEPS = (READ, SAMPLE, CALIBRATE)
KINDS = ("variogram", "shift", "dutilleul")
_DPI = 150


@dataclass(frozen=True, eq=False)
class CalibrationResult:
    """Where it was written, and the table of :func:`comould.associate.calibrate`."""

    folder: Path
    table: pd.DataFrame


def run_calibration(
    case: str | Path,
    out: str | Path,
    *,
    options: AssociateOptions | None = None,
    maps: int = 100,
    genes: int = 100,
    kinds: Sequence[str] = KINDS,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CalibrationResult:
    """Judge tests on maps drawn by chance over a case's own spots and genes, and write table and figure.

    Parameters
    ----------
    case, out, options, overwrite, progress
        As in :func:`comould.study.run_associations`; what options say about gene sets and claims does not matter here.
    maps
        Maps drawn, shared out among the habitats; two or more.
    genes
        Genes tested against each.
    kinds
        Nulls to judge; the naive test is judged beside them.

    Returns
    -------
    CalibrationResult

    Raises
    ------
    InputError
        Before any work: every problem of the case, the options and the numbers. Nothing is written then.

    Notes
    -----
    Written: ``calibration.csv``, ``calibration.png`` and ``manifest.json``.
    """
    from comould import associate, pl
    from comould.associate.nulls import KINDS as KNOWN

    o = options or AssociateOptions()
    run = Steps(progress=progress)
    check_target(out, overwrite=overwrite)
    problems = [f"null {kind!r} is none of {', '.join(KNOWN)}" for kind in kinds if kind not in KNOWN]
    problems += [
        f"{name} {n} is below {least}" for name, n, least in (("maps", maps, 2), ("genes", genes, 1)) if n < least
    ]
    if problems:
        raise InputError.collect(subject="calibration", problems=problems)
    with run.step(READ):
        found = case_to_test(case, o)
        o = found.options
        ready = read_all(found.spots, o)
    with run.step(SAMPLE):
        spots = sampled(ready)
    with run.step(CALIBRATE) as done:
        table = associate.calibrate(
            spots, kinds=tuple(dict.fromkeys(kinds)), n_maps=maps, n_genes=genes, seed=o.seed, progress=done,  # type: ignore[arg-type]
            **o.of_test(),
        )  # fmt: skip
    made = provenance(
        inputs={**ready.loaded.files, **ready.habitats.files, **o.files},
        parameters={"maps": maps, "genes": genes, "kinds": list(kinds), **o.of_test()},
        seed=o.seed,
        libraries=LIBRARIES,
    )
    with atomic_directory(out, overwrite=overwrite) as folder:
        table.to_csv(folder / "calibration.csv", index=False)
        figure = pl.calibration(table).get_figure(root=True)
        if figure is not None:
            figure.savefig(folder / "calibration.png", dpi=_DPI)
        write_json(
            folder / "manifest.json", {"format": FORMAT, "version": 1, "seconds": run.seconds, "provenance": made}
        )
    return CalibrationResult(Path(out).resolve(), table)
