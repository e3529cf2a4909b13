"""All sections of a case folder brought to the patient: what ``comould register`` runs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import ComouldWarning, InputError
from comould.io.output import atomic_directory, check_target, provenance, write_json
from comould.study._apart import check_apart
from comould.study._steps import Progress, Steps
from comould.study.case_folder import CaseFolder
from comould.study.case_source import folder_to_register
from comould.study.load_case import LoadedCase, load_case
from comould.study.nothing import nothing_done
from comould.study.register_options import RegisterOptions

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from comould.register import SectionRegistration, Stack

FORMAT = "comould.registered_case"
LIBRARIES = ("SimpleITK", "itk-elastix", "scikit-image", "scipy", "anndata", "spatialdata")
STEPS = ("Read the case", "Register sections", "Map spots", "Write results", "Write the report")


@dataclass(frozen=True, eq=False)
class RegisterResult:
    """What was made.

    Parameters
    ----------
    folder
        Where everything was written.
    table
        One row a section, as ``registration.csv`` holds it.
    n_spots
        How many spots have a place in the patient.
    not_mapped
        Sections whose spots were left out because they were rejected.
    errors
        Against the truth of a simulated case: ``section``, ``error_mm``, ``nothing_mm``, ``sd_mm``; None without one.
    reasons
        By section, why it was not accepted.
    """

    folder: Path
    table: pd.DataFrame
    n_spots: int
    not_mapped: tuple[str, ...]
    errors: pd.DataFrame | None
    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def rejected(self) -> list[str]:
        """Ids of the rejected sections."""
        return [str(name) for name in self.table.index[self.table["verdict"] == "reject"]]


@dataclass(kw_only=True)
class _Run(Steps):
    """What the steps hand to one another."""

    options: RegisterOptions


def run_registration(
    case: str | Path,
    out: str | Path,
    *,
    options: RegisterOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RegisterResult:
    """Register all sections of a case folder together, map their spots, and write everything with a report.

    Parameters
    ----------
    case
        A folder as ``comould phantom`` writes (see :meth:`comould.study.case_folder.CaseFolder.read`), or a
        ``case.yaml`` or its folder: see :func:`comould.study.case_source.folder_to_register`.
    out
        Folder to write; new or empty unless ``overwrite``.
    options
        How to register.
    overwrite
        Replace an earlier result in ``out``.
    progress
        Called with (step, fraction, note).

    Returns
    -------
    RegisterResult
        Also when sections were rejected: their registrations and pictures are written, their spots are not mapped
        unless ``options.force``.

    Raises
    ------
    InputError
        Before any work: every problem of the case, its files (a blank slide, a plane beside the specimen, spots of
        another picture) or the options. Nothing is written then.
    RegistrationError
        If a section cannot be registered at all. Nothing is written.

    Notes
    -----
    Written: ``registrations/<section>/`` (:meth:`SectionRegistration.save`), ``spots/<section>.h5ad`` (positions, their
    standard deviations, and with an ensemble its plausible positions, ``obsm["spatial_patient_samples"]``),
    ``case.zarr`` (SpatialData), ``registration.csv``, ``report.html`` and ``manifest.json`` with hashes of all inputs;
    for a simulated case ``spot_errors.csv`` too.
    """
    from comould import register

    options = options or RegisterOptions()
    run = _Run(options=options, progress=progress)
    check_target(out, overwrite=overwrite)
    settings = options.settings()
    found = folder_to_register(case)
    check_apart(found.folder, Path(out))
    with run.step(STEPS[0]):
        loaded = load_case(found, via=options.via)
    with run.step(STEPS[1]) as done:
        # The first section takes its time: say what is being waited for.
        done(0.0, f"0 of {len(loaded.sections)}")
        stack = register.stack(
            loaded.sections,
            plan=loaded.plan,
            image=loaded.images,
            mask=loaded.mask,
            seed=options.seed,
            n_samples=options.n_samples,
            settings=settings,
            clues=loaded.clues,
            workers=options.workers,
            progress=lambda name, ready, total: done(ready / (total + 1), f"{ready} of {total}: {name}"),
        )
    with run.step(STEPS[2]):
        spots, left_out = mapped_spots(loaded, stack.registrations, force=options.force)
        errors = spot_errors(found, loaded, spots)
    with atomic_directory(out, overwrite=overwrite) as folder:
        _write(run, found, loaded, stack, (spots, errors, left_out), folder)
    n_spots = sum(len(one) for one in spots.values())
    reasons = {name: one.quality.reasons for name, one in stack.registrations.items() if one.quality.reasons}
    return RegisterResult(Path(out).resolve(), stack.table, n_spots, left_out, errors, reasons)


def mapped_spots(
    loaded: LoadedCase, registrations: Mapping[str, SectionRegistration], *, force: bool
) -> tuple[dict[str, AnnData], tuple[str, ...]]:
    """Map the spots of every usable section; returns them, and the sections left out as rejected.

    Parameters
    ----------
    loaded
        The case; its spots get ``obsm["spatial_patient"]`` (mm) and what goes with it.
    registrations
        By section id.
    force
        Map those of rejected sections as well.
    """
    from comould import register

    spots, left_out = {}, []
    for name, counts in loaded.spots.items():
        one = registrations[name]
        if one.quality.verdict == "reject" and not force:
            left_out.append(name)
            continue
        # One member is no ensemble: it would say that nothing is uncertain.
        register.map_spots(counts, one, force=force, samples=len(one.samples) if len(one.samples) > 1 else 0)
        spots[name] = counts
    return spots, tuple(left_out)


def spot_errors(case: CaseFolder, loaded: LoadedCase, spots: Mapping[str, AnnData]) -> pd.DataFrame | None:
    """Distance of every spot from its true place, registered and with nothing done, where the truth is there."""
    import pandas as pd

    from comould import phantom

    if not case.simulated or not (case.folder / "truth").is_dir() or not spots:
        return None
    sections = {one.id: one for one in loaded.sections}
    home = {name: np.asarray(counts.obsm["spatial_patient"]) for name, counts in spots.items()}
    nothing = {
        name: nothing_done(
            sections[name], counts.obsm["spatial"], loaded.plan[str(sections[name].plane_id)], loaded.mask
        )
        for name, counts in spots.items()
    }
    try:
        scored, baseline = phantom.score(case.folder, home), phantom.score(case.folder, nothing)
    except InputError as error:
        warnings.warn(f"the truth of this simulated case was not used: {error}", ComouldWarning, stacklevel=2)
        return None
    rows = [
        pd.DataFrame(
            {
                "section": name,
                "error_mm": scored.errors_mm[counts.obs_names].to_numpy(),
                "nothing_mm": baseline.errors_mm[counts.obs_names].to_numpy(),
                "sd_mm": np.linalg.norm(counts.obsm["spatial_patient_sd"], axis=1),
            }
        )
        for name, counts in spots.items()
    ]
    return pd.concat(rows, ignore_index=True)


_Found = tuple[dict[str, "AnnData"], "pd.DataFrame | None", tuple[str, ...]]


def _write(run: _Run, case: CaseFolder, loaded: LoadedCase, stack: Stack, found: _Found, folder: Path) -> None:
    """Write all results to a folder."""
    spots, errors, left_out = found
    stems = {one.id: one.stem for one in case.sections}
    origin = provenance(
        inputs=case.inputs | ({"thresholds": run.options.thresholds} if run.options.thresholds else {}),
        parameters=_parameters(run.options),
        seed=run.options.seed,
        libraries=LIBRARIES,
    )
    with run.step(STEPS[3]):
        for name, one in stack.registrations.items():
            one.save(folder / "registrations" / stems[name])
        if spots:
            (folder / "spots").mkdir()
        for name, counts in spots.items():
            counts.write_h5ad(folder / "spots" / f"{stems[name]}.h5ad")
        write_zarr(loaded, stack.registrations, spots, folder, force=run.options.force)
        table_of(stack).to_csv(folder / "registration.csv")
        if errors is not None:
            errors.to_csv(folder / "spot_errors.csv", index=False)
    with run.step(STEPS[4]):
        _write_report(run, case, loaded, stack, (spots, errors), origin, folder)
    facts: dict[str, Any] = {
        "format": FORMAT,
        "version": 1,
        "simulated": case.simulated,
        "shrinkage": stack.shrinkage,
        "sections": {
            name: {"folder": f"registrations/{stems[name]}", **one.summary()}
            for name, one in stack.registrations.items()
        },
        "spots_not_mapped": list(left_out),
        "seconds": run.seconds,
        "provenance": origin,
    }
    write_json(folder / "manifest.json", facts)


def table_of(stack: Stack) -> pd.DataFrame:
    """Give the stack's table, and why each section was not accepted."""
    reasons = ["; ".join(stack.registrations[str(name)].quality.reasons) for name in stack.table.index]
    return stack.table.assign(reasons=reasons)


def _parameters(options: RegisterOptions) -> dict[str, Any]:
    names = ("n_samples", "workers", "shrinkage", "plane", "deformable", "via", "force")
    return {name: getattr(options, name) for name in names}


def write_zarr(
    loaded: LoadedCase,
    registrations: Mapping[str, SectionRegistration],
    spots: Mapping[str, AnnData],
    folder: Path,
    *,
    force: bool,
) -> None:
    """Write the case as SpatialData; rejected sections stay out of the patient unless forced."""
    from comould.io import write_spatialdata

    write_spatialdata(
        folder / "case.zarr",
        volumes=loaded.images,
        labels={"specimen": loaded.mask},
        sections=loaded.sections,
        patient_from_section_px={
            name: one.patient_from_section_px
            for name, one in registrations.items()
            if force or one.quality.verdict != "reject"
        },
        spots=list(spots.values()),
    )


def _write_report(
    run: _Run,
    case: CaseFolder,
    loaded: LoadedCase,
    stack: Stack,
    found: tuple[Mapping[str, AnnData], pd.DataFrame | None],
    origin: Mapping[str, Any],
    folder: Path,
) -> None:
    from comould import report

    registrations: list[SectionRegistration] = list(stack.registrations.values())
    report.write_case(
        report.CaseReport(
            title="Sections brought home",
            simulated=case.simulated,
            image=loaded.first_image,
            mask=loaded.mask,
            plan=loaded.plan,
            sections=loaded.sections,
            registrations=registrations,
            stack=stack,
            landmarks=loaded.clues,
            errors=found[1],
            provenance=origin,
            seconds=dict(run.seconds),
        ),
        folder / "report.html",
    )
