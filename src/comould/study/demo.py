"""The whole loop on a simulated specimen: what ``comould demo`` runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from comould.errors import ComouldWarning, InputError
from comould.io.output import atomic_directory, check_target, provenance, write_json
from comould.study._steps import Steps
from comould.study.nothing import nothing_done

if TYPE_CHECKING:
    from anndata import AnnData

    from comould.associate.scrutiny import ShiftCurve
    from comould.habitats import Habitats
    from comould.mould import Mould
    from comould.phantom import CutSection, Phantom
    from comould.register import ElastixWorker, SectionRegistration
    from comould.space import SlicePlan

Progress = Callable[[str, float], None]
"""Called with the name of the step under way and its fraction done, 0 to 1."""

FDR = 0.1
"""False-discovery rate at which a gene counts as claimed."""

LIBRARIES = ("SimpleITK", "itk-elastix", "manifold3d", "scikit-learn", "scikit-image", "anndata", "numba", "scipy")

_TESTED = 0.8
"""Share of its step that the test takes; the rest looks at the claims again."""
_CURVES = 2
_CONTROL_SURROGATES, _CONTROL_CLAIMS = 99, 6

STEPS = (
    "Simulate a specimen",
    "Build its mould",
    "Cut and photograph sections",
    "Map habitats",
    "Register sections",
    "Test habitats against genes",
    "Write the report",
)


@dataclass(frozen=True)
class DemoResult:
    """What the demo made and how well it did against the truth it knows.

    Parameters
    ----------
    folder
        Where everything was written.
    figures
        The key numbers (mm, counts, fractions), also in ``manifest.json``.
    table
        One row per habitat × gene: the tested claims.
    """

    folder: Path
    figures: dict[str, Any]
    table: pd.DataFrame

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"


@dataclass(frozen=True, eq=False)
class _Held:
    """What the claims were held against."""

    shift: ShiftCurve
    controls: pd.DataFrame

    @property
    def figures(self) -> dict[str, Any]:
        """Median displacement at which claims are lost (None if none is), and the controls' verdicts."""
        rows = self.shift.summary
        lost = rows.loc[rows["claimed"] & np.isfinite(rows["lost_mm"]), "lost_mm"]
        return {
            "lost_mm": float(lost.median()) if len(lost) else None,
            "controls": dict(zip(self.controls["control"], self.controls["verdict"], strict=True)),
        }


@dataclass(kw_only=True)
class _Loop(Steps):
    """What the steps hand to one another."""

    seed: int


def run_demo(
    out: str | Path, *, seed: int = 0, overwrite: bool = False, progress: Progress | None = None
) -> DemoResult:
    """Run the loop on a simulated specimen with known truth, and write everything with a report.

    Parameters
    ----------
    out
        Folder to write; new or empty unless ``overwrite``.
    seed
        Makes the specimen, its cutting and every random step; the same seed gives the same numbers.
    overwrite
        Replace an earlier result in ``out``.
    progress
        Called with (step, fraction).

    Returns
    -------
    DemoResult
        Folder, key figures against the truth, table of tested claims.

    Raises
    ------
    InputError
        If the seed is negative or the folder may not be written.
    """
    if seed < 0:
        raise InputError(subject="seed", expected="a whole number from 0", found=str(seed))
    check_target(out, overwrite=overwrite)
    from comould import register

    loop = _Loop(seed=seed, progress=progress and (lambda step, fraction, _note: progress(step, fraction)))
    with ExitStack() as open_:
        # elastix takes half a minute to load: it starts now, in processes of its own, while the first steps run.
        workers = [open_.enter_context(register.ElastixWorker()).start() for _ in range(min(2, os.cpu_count() or 1))]
        folder = open_.enter_context(atomic_directory(out, overwrite=overwrite))
        figures, table = _run(loop, workers, folder)
    return DemoResult(Path(out).resolve(), figures, table)


def _run(loop: _Loop, workers: Sequence[ElastixWorker], folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    from comould import habitats, mould, phantom, report

    simulate, build, cut, map_habitats, home, test, write = STEPS
    with loop.step(simulate):
        specimen = phantom.specimen(seed=loop.seed)
    with loop.step(build):
        built = mould.build(specimen.mask, template="ovary", plane="image", image=specimen.images["T2"])
        built.write(folder / "mould")
    with loop.step(cut):
        sections = specimen.cut(built.plan)
    with loop.step(map_habitats):
        fitted = habitats.fit(specimen.images, specimen.mask, seed=loop.seed)
        fitted.write(folder / "habitats")
    with loop.step(home) as done:
        registrations = _register(loop, workers, specimen, built.plan, sections, done)
        errors = _errors(sections, registrations, specimen, built.plan)
        errors.to_csv(folder / "spot_errors.csv", index=False)
    with loop.step(test) as done:
        spots, table, held = _test(loop, sections, registrations, fitted, done)
        table.to_csv(folder / "associations.csv", index=False)
        held.shift.points.to_csv(folder / "shift_curve.csv", index=False)
        held.controls.to_csv(folder / "controls.csv", index=False)
        spots.write_h5ad(folder / "spots.h5ad")
    origin = provenance(
        parameters={"specimen": "simulated", "template": "ovary", "plane": "image", "fdr": FDR},
        seed=loop.seed,
        libraries=LIBRARIES,
    )
    with loop.step(write):
        for registration in registrations:
            registration.save(folder / "registrations" / registration.section_id)
        _write_zarr(folder, specimen, sections, registrations)
        _write_sheet(folder, built, specimen, fitted)
        report.write_case(
            report.CaseReport(
                title="A simulated specimen, end to end",
                simulated=True,
                mould=built,
                image=specimen.images["T2"],
                mask=specimen.mask,
                sections=[cut.section for cut in sections],
                registrations=registrations,
                spots=spots,
                errors=errors,
                habitats=fitted,
                results=table,
                genes=specimen.genes,
                shift=held.shift,
                controls=held.controls,
                provenance=origin,
                seconds=dict(loop.seconds),
                fdr=FDR,
            ),
            folder / "report.html",
        )
    figures = _figures(specimen, fitted, registrations, errors, table) | held.figures | {"seconds": loop.seconds}
    write_json(folder / "manifest.json", {"kind": "demo", "figures": figures, "provenance": origin})
    return figures, table


def _write_zarr(
    folder: Path,
    specimen: Phantom,
    sections: Sequence[CutSection],
    registrations: Sequence[SectionRegistration],
) -> None:
    """Write volumes, pictures and spots as SpatialData; rejected sections stay out of the patient."""
    from comould.io import write_spatialdata

    home = {r.section_id: r.patient_from_section_px for r in registrations if r.quality.verdict != "reject"}
    write_spatialdata(
        folder / "case.zarr",
        volumes=specimen.images,
        labels={"specimen": specimen.mask},
        sections=[cut.section for cut in sections],
        patient_from_section_px=home,
        spots=[cut.spots for cut in sections if cut.section.id in home],
    )


def _write_sheet(folder: Path, built: Mould, specimen: Phantom, fitted: Habitats) -> None:
    """Write what the pathologist has beside the bench: every plane at 1:1 with its habitats and where to take cores."""
    from comould import mould, report

    with warnings.catch_warnings():
        # Which habitats got fewer cores than asked is in the table; a demo does not ask for any number.
        warnings.simplefilter("ignore", ComouldWarning)
        cores = mould.plan_cores(built.plan, specimen.mask, fitted.labels)
    cores.write_csv(folder / "cores.csv")
    sheet = report.cutting_sheet(
        built, image=specimen.images["T2"], mask=specimen.mask, habitats=fitted.labels, cores=cores
    )
    sheet.write(folder / "cutting_sheet.pdf")


def _register(
    loop: _Loop,
    workers: Sequence[ElastixWorker],
    specimen: Phantom,
    plan: SlicePlan,
    sections: Sequence[CutSection],
    done: Callable[[float], None],
) -> list[SectionRegistration]:
    from comould import register

    by_id = register.sections(
        [cut.section for cut in sections],
        plan=plan,
        image=specimen.images,
        mask=specimen.mask,
        seed=loop.seed,
        workers=workers,
        progress=lambda _section, ready, total: done(ready / total),
    )
    for cut in sections:
        register.map_spots(cut.spots, by_id[cut.section.id], force=True)
    return list(by_id.values())


def _errors(
    sections: Sequence[CutSection],
    registrations: Sequence[SectionRegistration],
    specimen: Phantom,
    plan: SlicePlan,
) -> pd.DataFrame:
    """Distance of every spot from its true patient position, registered and with nothing done, in mm."""
    rows = []
    for cut, registration in zip(sections, registrations, strict=True):
        found = cut.spots.obsm["spatial_patient"]
        plane = plan[registration.plane_id]
        nothing = nothing_done(cut.section, cut.spots.obsm["spatial"], plane, specimen.mask)
        rows.append(
            pd.DataFrame(
                {
                    "section": cut.section.id,
                    "error_mm": np.linalg.norm(found - cut.spots_patient_mm, axis=1),
                    "nothing_mm": np.linalg.norm(nothing - cut.spots_patient_mm, axis=1),
                    "sd_mm": np.linalg.norm(cut.spots.obsm["spatial_patient_sd"], axis=1),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def _array(image: Any) -> np.ndarray:
    import SimpleITK as sitk

    return sitk.GetArrayViewFromImage(image)


def _test(
    loop: _Loop,
    sections: Sequence[CutSection],
    registrations: Sequence[SectionRegistration],
    fitted: Habitats,
    done: Callable[[float], None],
) -> tuple[AnnData, pd.DataFrame, _Held]:
    import anndata as ad

    from comould import associate

    usable = {r.section_id for r in registrations if r.quality.verdict != "reject"}
    kept = [cut.spots for cut in sections if cut.section.id in usable]
    if not kept:
        raise InputError(subject="sections", expected="at least one accepted registration", found="none")
    spots = ad.concat(kept, merge="same", uns_merge="first")
    associate.sample(spots, fitted)
    genesets = associate.genesets("immune")
    with warnings.catch_warnings():
        # Which genes of a set the specimen lacks is told by the test; these scores are only looked at.
        warnings.simplefilter("ignore", ComouldWarning)
        associate.score(spots, genesets)
    table = associate.test(spots, genesets=genesets, seed=loop.seed, progress=lambda share: done(_TESTED * share))
    shared: dict[str, Any] = {"genesets": genesets, "fdr": FDR}
    shift = associate.shift_curve(spots, fitted, table, top=_CURVES, **shared)
    done((1 + _TESTED) / 2)
    controls = associate.controls(
        spots, fitted, table, n_surrogates=_CONTROL_SURROGATES, top=_CONTROL_CLAIMS, seed=loop.seed, **shared
    )
    return spots, table, _Held(shift, controls)


def _figures(
    specimen: Phantom,
    fitted: Habitats,
    registrations: Sequence[SectionRegistration],
    errors: pd.DataFrame,
    table: pd.DataFrame,
) -> dict[str, Any]:
    from sklearn.metrics import adjusted_rand_score

    from comould.associate import by_feature

    genes = by_feature(table)
    inside = _array(specimen.mask) > 0
    verdicts = pd.Series([r.quality.verdict for r in registrations]).value_counts()
    return {
        "n_sections": len(registrations),
        "n_spots": len(errors),
        "median_error_mm": float(errors["error_mm"].median()),
        "p95_error_mm": float(errors["error_mm"].quantile(0.95)),
        "median_error_nothing_mm": float(errors["nothing_mm"].median()),
        "verdicts": {str(verdict): int(count) for verdict, count in verdicts.items()},
        "n_habitats": int(_array(fitted.labels).max()),
        "habitat_ari": float(adjusted_rand_score(_array(specimen.habitats)[inside], _array(fitted.labels)[inside])),
        "genes_spatial": _claims(genes, "spatial", specimen.genes),
        "genes_naive": _claims(genes, "naive", specimen.genes),
    }


def _claims(genes: pd.DataFrame, test: str, truth: pd.DataFrame) -> dict[str, int]:
    """Count the genes claimed at a false-discovery rate, and those of them that follow no habitat."""
    follows = set(truth.index[truth["habitat"] != ""])
    claimed = set(genes.index[genes[f"q_{test}"] <= FDR])
    return {"claimed": len(claimed), "false": len(claimed - follows), "true": len(follows)}
