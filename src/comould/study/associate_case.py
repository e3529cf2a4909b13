"""Habitats tested against genes, from a folder of registered spots to report: what ``comould associate`` runs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould.errors import ComouldWarning, InputError
from comould.io.output import atomic_directory, check_target, provenance, write_json
from comould.study._apart import check_apart
from comould.study._steps import Progress, Steps
from comould.study._trouble import Trouble
from comould.study.associate_options import EDGE, AssociateOptions
from comould.study.case_source import case_to_test
from comould.study.load_spots import LoadedMap, LoadedSpots, load_map, load_spots, map_of

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk
    from anndata import AnnData

    from comould.associate import GeneSet
    from comould.associate.scrutiny import Plausible, ShiftCurve

FORMAT = "comould.associations"
LIBRARIES = ("SimpleITK", "scipy", "pandas", "anndata")
READ, SAMPLE, TEST, AGAIN, CALIBRATE, WRITE = (
    "Read spots and maps",
    "Sample habitats",
    "Test habitats against genes",
    "Look at the claims again",
    "Calibrate the test",
    "Write the report",
)
STEPS = (READ, SAMPLE, TEST, AGAIN, CALIBRATE, WRITE)


@dataclass(frozen=True, eq=False)
class AssociateResult:
    """What was made.

    Parameters
    ----------
    folder
        Where everything was written.
    table
        One row a feature and habitat: :func:`comould.associate.test`.
    genes
        One row a gene: :func:`comould.associate.by_feature`.
    coverage
        Index section; ``n_spots``, ``n_outside`` and, where known, ``verdict``.
    left_out
        Section to why its spots did not enter.
    shift, plausible, controls, calibration
        What the claims were held against; None where it was not.
    """

    folder: Path
    table: pd.DataFrame
    genes: pd.DataFrame
    coverage: pd.DataFrame
    left_out: Mapping[str, str]
    shift: ShiftCurve | None
    plausible: Plausible | None
    controls: pd.DataFrame | None
    calibration: pd.DataFrame | None


@dataclass(frozen=True, eq=False)
class Ready:
    """Everything read, before any work.

    Parameters
    ----------
    loaded
        The spots.
    habitats
        The map to test.
    others
        Maps of other patients, by name.
    mask
        The specimen, where it was given.
    genesets
        By name.
    """

    loaded: LoadedSpots
    habitats: LoadedMap
    others: Mapping[str, LoadedMap]
    mask: sitk.Image | None
    genesets: Mapping[str, GeneSet]


@dataclass(kw_only=True)
class _Run(Steps):
    """What the steps hand to one another."""

    options: AssociateOptions


def run_associations(
    case: str | Path,
    out: str | Path,
    *,
    options: AssociateOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> AssociateResult:
    """Test the habitats of a case against its genes, look at the claims again, and write everything with a report.

    Parameters
    ----------
    case
        Folder with registered spots (see :func:`comould.study.load_spots.load_spots`), or a case that ``comould run``
        has mapped the spots of (see :func:`comould.study.case_source.case_to_test`).
    out
        Folder to write; new or empty unless ``overwrite``.
    options
        What is tested and how.
    overwrite
        Replace an earlier result in ``out``.
    progress
        Called with (step, fraction, note).

    Returns
    -------
    AssociateResult

    Raises
    ------
    InputError
        Before any work: every problem of the spots, the maps, the gene sets and the options. Nothing is written then;
        nor is it when the spots cannot be tested (one habitat only, no raw counts).

    Warns
    -----
    ComouldWarning
        If spots lie outside the map, a null doubts itself, genes of a set are missing, or no row could be tested, so
        that there is nothing to look at again.

    Notes
    -----
    Written: ``associations.csv`` (all rows), ``genes.csv`` (one a gene), ``shift_summary.csv`` and ``shift_curve.csv``
    (displaced on purpose: a row a claim, and every point), ``plausible.csv``, ``controls.csv``, ``calibration.csv``
    (when asked for), ``spots.h5ad`` (what was tested, with habitats sampled and gene
    sets scored), ``report.html`` and ``manifest.json``
    with hashes of all inputs. A control that is not null does not stop the run: the report says it first.
    """
    from comould import associate

    check_target(out, overwrite=overwrite)
    found = case_to_test(case, options or AssociateOptions())
    run = _Run(options=found.options, progress=progress)
    o = run.options
    check_apart(found.spots, Path(out), inside=True)
    with run.step(READ):
        ready = read_all(found.spots, o)
    with run.step(SAMPLE):
        spots = sampled(ready)
        coverage = _coverage(spots, ready.loaded)
    with run.step(TEST) as done:
        table = associate.test(
            spots, genesets=ready.genesets, null=o.null, n_surrogates=o.n_surrogates, seed=o.seed, progress=done,  # type: ignore[arg-type]
            **o.of_test(),
        )  # fmt: skip
    scored(spots, ready.genesets, o.layer)
    shift, plausible, controls = _look_again(run, ready, spots, table)
    calibration = _calibrated(run, spots) if o.calibrate else None
    result = AssociateResult(
        Path(out).resolve(), table, associate.by_feature(table), coverage, ready.loaded.left_out,
        shift, plausible, controls, calibration,
    )  # fmt: skip
    with atomic_directory(out, overwrite=overwrite) as folder:
        _write(run, ready, spots, result, folder)
    return result


def read_all(case: Path, options: AssociateOptions) -> Ready:
    """Read all that a run needs, and tell everything that is wrong with it at once.

    Raises
    ------
    InputError
        That names every problem.
    """
    from comould.io import read_segmentation

    trouble = Trouble(case)
    loaded = trouble.when(lambda: load_spots(case, force=options.force))
    habitats = trouble.when(lambda: load_map(map_of(case, options.habitats)))
    others = {name: trouble.when(lambda path=path: load_map(path)) for name, path in options.others.items()}  # type: ignore[misc]
    given = options.mask
    mask = None if given is None else trouble.when(lambda: read_segmentation(given))
    genesets = trouble.when(options.read_genesets)
    if loaded is not None:
        trouble.problems += _of_spots(loaded.spots, options)
    trouble.tell(f"case {case.name}")
    if loaded is None or habitats is None or genesets is None:
        raise InputError(subject=f"case {case.name}", expected="spots, habitats and gene sets", found="not all of them")
    known = {name: other for name, other in others.items() if other is not None}
    return Ready(loaded, habitats, known, mask, genesets)


def _of_spots(spots: AnnData, options: AssociateOptions) -> list[str]:
    """Name layers and covariates that are not there."""
    problems = []
    if options.layer and options.layer not in spots.layers:
        layers = ", ".join(str(name) for name in spots.layers if name) or "none"
        problems.append(f"there is no layer {options.layer!r} among the spots' ({layers})")
    made = {"log_counts"} | ({EDGE} if options.mask is not None else set())
    columns = set(map(str, spots.obs.columns)) | made
    for name in options.covariates:
        if name == EDGE and name not in columns:
            problems.append(f"the covariate {EDGE} needs the specimen: give --mask")
        elif name not in columns:
            problems.append(f"there is no covariate {name!r}; there are {', '.join(sorted(columns))}")
    return problems


def sampled(ready: Ready) -> AnnData:
    """Write each spot's habitat, and its distance to the edge where there is a mask; gives the spots."""
    from comould import associate

    spots = ready.loaded.spots
    associate.sample(spots, ready.habitats)
    if ready.mask is not None:
        associate.distance_to_edge(spots, ready.mask, key_added=EDGE)
    return spots


def scored(spots: AnnData, genesets: Mapping[str, GeneSet], layer: str = "") -> None:
    """Write the score of every gene set at every spot, as it was tested, so that pages can show where a set is high.

    Parameters
    ----------
    spots
        What was tested; changed in place as by :func:`comould.associate.score`. Sets of which no gene is measured
        have no score.
    genesets
        By name.
    layer
        Layer with the raw counts; ``""`` takes ``X``.
    """
    from comould import associate

    measured = {name: genes for name, genes in genesets.items() if genes.resolved(spots.var_names).found}
    if not measured:
        return
    with warnings.catch_warnings():
        # Which genes of a set are not measured is told by the test.
        warnings.simplefilter("ignore", ComouldWarning)
        associate.score(spots, measured, layer=layer)


def _coverage(spots: AnnData, loaded: LoadedSpots) -> pd.DataFrame:
    import pandas as pd

    section = spots.obs["section"].astype(str)
    outside = spots.obs["habitat"].isna().groupby(section, sort=False)
    table = pd.DataFrame({"n_spots": outside.size(), "n_outside": outside.sum().astype(int)}).rename_axis("section")
    if loaded.verdicts:
        table["verdict"] = [loaded.verdicts.get(str(name), "unknown") for name in table.index]
    return table


_Again = tuple["ShiftCurve | None", "Plausible | None", "pd.DataFrame | None"]


def _look_again(run: _Run, ready: Ready, spots: AnnData, table: pd.DataFrame) -> _Again:
    from comould import associate

    with run.step(AGAIN) as done:
        if not table["p_spatial"].notna().any():
            warnings.warn(
                "no row could be tested, so there is nothing to look at again: associations.csv says why for each",
                ComouldWarning,
                stacklevel=3,
            )
            return None, None, None
        o, labels = run.options, ready.habitats.labels
        shared: dict[str, Any] = {"genesets": ready.genesets, "fdr": o.fdr, **o.of_test()}
        done(0.02, "displaced on purpose")
        shift = associate.shift_curve(spots, labels, table, **shared)
        plausible = None
        if any(f"spatial_patient{end}" in spots.obsm for end in ("_samples", "_sd")):
            done(0.3, "at plausible positions")
            plausible = associate.over_positions(spots, labels, table, seed=o.seed, **shared)
        done(0.4, "on wrong maps")
        others = {name: other.labels for name, other in ready.others.items()}
        controls = associate.controls(spots, labels, table, others=others, seed=o.seed, **shared)
    return shift, plausible, controls


def _calibrated(run: _Run, spots: AnnData) -> pd.DataFrame:
    from comould import associate

    o = run.options
    with run.step(CALIBRATE) as done:
        return associate.calibrate(
            spots, kinds=(o.null,), n_maps=o.calibrate, seed=o.seed, progress=done, **o.of_test(),  # type: ignore[arg-type]
        )  # fmt: skip


def _write(run: _Run, ready: Ready, spots: AnnData, result: AssociateResult, folder: Path) -> None:
    """Write all results to a folder."""
    o = run.options
    made = provenance(
        inputs={**ready.loaded.files, **ready.habitats.files, **_others(ready), **o.files},
        parameters={"options": o.said(), "sections": len(result.coverage), "left_out": len(result.left_out)},
        seed=o.seed,
        libraries=LIBRARIES,
    )
    with run.step(WRITE) as done:
        files = _write_tables(result, folder)
        spots.write_h5ad(folder / "spots.h5ad")
        done(0.3)
        _write_report(run, ready, spots, result, made, folder)
    write_json(
        folder / "manifest.json",
        {
            "format": FORMAT,
            "version": 1,
            "simulated": ready.loaded.simulated,
            "figures": figures_of(result, o.fdr),
            "left_out": dict(result.left_out),
            "files": files | {"spots.h5ad": "AnnData of what was tested", "report.html": "all of it, to look at"},
            "seconds": run.seconds,
            "provenance": made,
        },
    )


def _others(ready: Ready) -> dict[str, Path]:
    """Files of other patients, numbered: their names are nobody's business here."""
    return {
        f"other patient {n} {role}": path
        for n, other in enumerate(ready.others.values(), start=1)
        for role, path in other.files.items()
    }


def figures_of(result: AssociateResult, fdr: float) -> dict[str, Any]:
    """Count what matters: claims by either test, sets, spots, controls by verdict."""
    sets = result.table[result.table["kind"] == "geneset"]
    figures: dict[str, Any] = {
        "fdr": fdr,
        "n_genes": len(result.genes),
        "genes_spatial": int((result.genes["q_spatial"] <= fdr).sum()),
        "genes_naive": int((result.genes["q_naive"] <= fdr).sum()),
        "n_genesets": int(sets["feature"].nunique()),
        "genesets_spatial": int(sets.loc[sets["q_spatial"] <= fdr, "feature"].nunique()),
        "n_spots": int(result.coverage["n_spots"].sum()),
        "n_outside": int(result.coverage["n_outside"].sum()),
    }
    if result.controls is not None:
        figures["controls"] = dict(zip(result.controls["control"], result.controls["verdict"], strict=True))
    return figures


def _write_tables(result: AssociateResult, folder: Path) -> dict[str, str]:
    shift, plausible = result.shift, result.plausible
    tables = {
        "associations.csv": (result.table, "one row a feature and habitat"),
        "genes.csv": (result.genes.reset_index(), "one row a gene"),
        "coverage.csv": (result.coverage.reset_index(), "spots by section"),
        "shift_curve.csv": (shift.points if shift else None, "effects of displaced spots, point by point"),
        "shift_summary.csv": (shift.summary if shift else None, "where each claim is lost"),
        "plausible.csv": (plausible.summary if plausible else None, "claims over plausible positions"),
        "controls.csv": (result.controls, "what must come out null"),
        "calibration.csv": (result.calibration, "false-positive rates on these spots"),
    }
    for name, (table, _) in tables.items():
        if table is not None:
            table.to_csv(folder / name, index=False)
    return {name: said for name, (table, said) in tables.items() if table is not None}


def _write_report(
    run: _Run, ready: Ready, spots: AnnData, result: AssociateResult, made: Mapping[str, Any], folder: Path
) -> None:
    from comould import report

    report.write_associations(
        report.AssociationReport(
            table=result.table,
            fdr=run.options.fdr,
            simulated=ready.loaded.simulated,
            shift=result.shift,
            plausible=result.plausible,
            controls=result.controls,
            calibration=result.calibration,
            coverage=result.coverage,
            spots=spots,
            labels=ready.habitats.labels,
            mask=ready.mask,
            left_out=result.left_out,
            provenance=made,
            seconds=dict(run.seconds),
        ),
        folder / "report.html",
    )
