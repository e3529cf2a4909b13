"""Steps on tissue: sections come home, spots are mapped, habitats are tested."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould.errors import InputError
from comould.io.output import write_json
from comould.study.case_file import Case
from comould.study.case_parts import TestsPart
from comould.study.case_source import options_of
from comould.study.case_steps.job import Job, Step, in_order
from comould.study.register_case import FORMAT

if TYPE_CHECKING:
    from comould.register import SectionRegistration

REGISTRATION_CODE = (
    "register", "io", "space", "study/register_case", "study/register_options", "study/load_case", "study/case_source",
    "study/nothing", "study/case_steps/tissue",
)  # fmt: skip


def _sections(job: Job) -> None:
    """Register all sections together."""
    from comould import register
    from comould.study.load_case import load_case
    from comould.study.register_case import table_of

    case, options = job.case, options_of(job.case)
    # With the spots: mistakes in them are told before the long work, though they do not shape its result.
    loaded = load_case(case.as_folder(job.mask, job.plan), via=options.via)
    job.tell(0.1, f"0 of {len(loaded.sections)}")
    stack = register.stack(
        loaded.sections, plan=loaded.plan, image=loaded.images, mask=loaded.mask, seed=options.seed,
        n_samples=options.n_samples, settings=options.settings(), clues=loaded.clues,
        progress=lambda name, ready, total: job.tell(0.1 + 0.9 * ready / (total + 1), f"{ready} of {total}: {name}"),
    )  # fmt: skip
    stems = {entry.id: entry.stem for entry in case.entries}
    for name, one in stack.registrations.items():
        one.save(job.folder / "registrations" / stems[name])
    table_of(stack).to_csv(job.folder / "registration.csv")
    summaries = {name: one.summary() for name, one in stack.registrations.items()}
    write_json(job.folder / "stack.json", {"shrinkage": stack.shrinkage, "sections": summaries})


def registrations_of(case: Case, folder: Path) -> dict[str, SectionRegistration]:
    """Read the registrations of a finished step ``sections``, by section id."""
    from comould.register import SectionRegistration

    found = [SectionRegistration.load(folder / "registrations" / entry.stem) for entry in case.entries]
    return {one.section_id: one for one in found}


def _pictures(case: Case) -> dict[str, Path]:
    files = {f"{entry.id} {role}": path for entry in case.entries for role, path in entry.files.items()}
    return {role: path for role, path in files.items() if not role.endswith(" spots")}


def _section_inputs(case: Case) -> Mapping[str, Path]:
    images = {f"image {name}": path for name, path in case.images.items()}
    thresholds = case.registration.thresholds
    return images | _pictures(case) | ({} if thresholds is None else {"thresholds": thresholds})


def _section_parameters(case: Case) -> Mapping[str, Any]:
    keep = {
        "id", "pixel_size_um", "downsample", "plane_id", "face", "offset_mm", "landmarks_use", "via", "adjacent",
        "photo",
    }  # fmt: skip
    files = {"picture", "tissue", "spots", "landmarks", "landmarks_patient"}
    rows = [_without(row.model_dump(include=keep), files) for row in case.sections]
    part = case.registration.model_dump(exclude={"thresholds", "force"})
    return {"registration": part, "sections": {row.pop("id"): row for row in rows}, "seed": case.seed}


def _without(row: Any, names: set[str]) -> Any:
    if isinstance(row, dict):
        return {name: _without(value, names) for name, value in row.items() if name not in names}
    return [_without(one, names) for one in row] if isinstance(row, list) else row


SECTIONS = Step(
    "sections",
    wanted=lambda case: bool(case.sections),
    run=_sections,
    after=("read", "mould"),
    inputs=_section_inputs,
    parameters=_section_parameters,
    code=REGISTRATION_CODE,
)


def _spots(job: Job) -> None:
    """Map spots to the patient, or take those that are there."""
    if job.case.registered is not None:
        _take_spots(job, job.case.registered)
        return
    from comould.study.load_case import load_case
    from comould.study.register_case import mapped_spots, spot_errors, write_zarr

    case, force = job.case, job.case.registration.force
    found = case.as_folder(job.mask, job.plan)
    loaded = load_case(found, via=case.registration.via)
    registrations = registrations_of(case, job.done("sections"))
    spots, left_out = mapped_spots(loaded, registrations, force=force)
    errors = spot_errors(found, loaded, spots)
    stems = {entry.id: entry.stem for entry in case.entries}
    (job.folder / "spots").mkdir()
    for name, counts in spots.items():
        counts.write_h5ad(job.folder / "spots" / f"{stems[name]}.h5ad")
    job.tell(0.6, "SpatialData")
    write_zarr(loaded, registrations, spots, job.folder, force=force)
    if errors is not None:
        errors.to_csv(job.folder / "spot_errors.csv", index=False)
    sections = {name: one.summary() for name, one in registrations.items()}
    facts = {"simulated": case.simulated, "sections": sections, "spots_not_mapped": list(left_out)}
    write_json(job.folder / "manifest.json", {"format": FORMAT, "version": 1, **facts})


def _take_spots(job: Job, source: Path) -> None:
    from comould.study.load_spots import load_spots

    folder = source if source.is_dir() else source.parent
    load_spots(folder, force=job.case.registration.force)
    for path in _registered_files(source).values():
        target = job.folder / path.relative_to(folder)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)


def _registered_files(source: Path) -> dict[str, Path]:
    if source.is_file() and source.name != "spots.h5ad":
        raise InputError(
            subject=f"registered {source.name}", expected="a folder of comould register, or a spots.h5ad",
            found="another file", remedy="Give the folder",
        )  # fmt: skip
    folder = source if source.is_dir() else source.parent
    parts = sorted((folder / "spots").glob("*.h5ad"))
    files = {f"spots {number}": path for number, path in enumerate(parts, start=1)}
    if not parts and (folder / "spots.h5ad").is_file():
        files["spots"] = folder / "spots.h5ad"
    manifest = folder / "manifest.json"
    return files | ({"spots manifest": manifest} if manifest.is_file() else {})


def _spot_inputs(case: Case) -> Mapping[str, Path]:
    if case.registered is not None:
        return _registered_files(case.registered)
    return {f"{row.id} spots": row.spots for row in case.sections if row.spots is not None}


SPOTS = Step(
    "spots",
    wanted=lambda case: case.has_spots,
    run=_spots,
    after=("read", "mould", "sections"),
    inputs=_spot_inputs,
    parameters=lambda case: {"force": case.registration.force, "simulated": case.simulated},
    code=(*REGISTRATION_CODE, "study/load_spots"),
)


def _tests(job: Job) -> None:
    """Test habitats against genes."""
    from comould.study.associate_case import STEPS, run_associations
    from comould.study.associate_options import EDGE, AssociateOptions

    case = job.case
    part = case.tests or TestsPart.model_validate({})
    told = part.model_dump() | {"genesets": tuple(part.genesets), "covariates": tuple(part.covariates)}
    mask = job.mask if EDGE in part.covariates else None
    options = AssociateOptions(
        habitats=job.done("habitats"), mask=mask, seed=case.seed, force=case.registration.force, **told
    )
    run_associations(
        job.done("spots"), job.folder, options=options,
        progress=in_order(STEPS, job.tell),
    )  # fmt: skip


def _test_inputs(case: Case) -> Mapping[str, Path]:
    sets = [one for one in (case.tests.genesets if case.tests else ()) if one.lower().endswith(".gmt")]
    return {f"gene sets {number}": Path(one) for number, one in enumerate(sets, start=1)}


def _test_parameters(case: Case) -> Mapping[str, Any]:
    part = case.tests or TestsPart.model_validate({})
    sets = ["a GMT file" if one.lower().endswith(".gmt") else one for one in part.genesets]
    return part.model_dump() | {"genesets": sets, "seed": case.seed, "force": case.registration.force}


TESTS = Step(
    "tests",
    wanted=lambda case: case.tests is not None,
    run=_tests,
    after=("read", "habitats", "spots"),
    inputs=_test_inputs,
    parameters=_test_parameters,
    code=(
        "associate", "io", "space", "study/associate_case", "study/associate_options", "study/case_source",
        "study/load_spots", "study/case_steps/tissue",
    ),
)  # fmt: skip
