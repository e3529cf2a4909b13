"""The last step: one report of all that was made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from comould.study.case_file import Case
from comould.study.case_steps.job import Job, Step
from comould.study.case_steps.tissue import registrations_of

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

    from comould.pl.render import MeshLike
    from comould.space import SlicePlan, Transform

BEFORE = ("read", "mould", "habitats", "sections", "spots", "tests")
NOT_BODIES = {"specimen.stl"}


@dataclass(frozen=True, eq=False)
class FinishedMould:
    """A mould read back for its pictures: bodies as printed, specimen, plan."""

    bodies: dict[str, MeshLike]
    specimen: MeshLike
    plan: SlicePlan
    mould_from_patient: Transform


@dataclass(frozen=True, eq=False)
class FinishedHabitats:
    """Habitats read back."""

    labels: sitk.Image
    table: pd.DataFrame
    selection: Any


def _report(job: Job) -> None:
    from comould import io, report
    from comould.space import SlicePlan

    case = job.case
    parts: dict[str, Any] = {
        "title": case.report.title or f"Case {case.pseudonym}", "simulated": case.simulated,
        "fdr": case.tests.fdr if case.tests else 0.1,
        "image": io.read_image(next(iter(case.images.values()))), "mask": io.read_segmentation(job.mask),
    }  # fmt: skip
    if job.plan.is_file():
        parts["plan"] = SlicePlan.load(job.plan)
    if case.mould is not None:
        parts["mould"] = read_mould(job.done("mould"))
    if case.habitats is not None:
        parts["habitats"] = read_habitats(job.done("habitats"))
    job.tell(0.2, "reading sections")
    parts |= _of_sections(job) if case.sections else {}
    parts |= _of_spots(job)
    provenance, seconds = _origin(job)
    job.tell(0.4, "pictures")
    report.write_case(report.CaseReport(**parts, provenance=provenance, seconds=seconds), job.folder / "report.html")


def read_mould(folder: Path) -> FinishedMould | None:
    """Read a written mould back, its bodies turned from the print bed to the mould frame; None without bodies.

    Parameters
    ----------
    folder
        Of :meth:`comould.mould.Mould.write`.
    """
    import numpy as np

    from comould.io.mesh import read_mesh
    from comould.space import Frame, SlicePlan, Transform

    facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    bodies = {}
    for path in sorted(folder.glob("*.stl")):
        if path.name in NOT_BODIES:
            continue
        mesh = read_mesh(path)
        turned = facts.get("bodies", {}).get(path.stem, {}).get("print_from_mould")
        if turned is not None:
            mesh.apply_transform(np.linalg.inv(np.asarray(turned, dtype=np.float64)))
        bodies[path.stem] = mesh
    if not bodies:
        return None
    home = Transform.from_matrix(Frame.PATIENT, Frame.MOULD, facts["mould_from_patient"])
    return FinishedMould(bodies, read_mesh(folder / "specimen.stl"), SlicePlan.load(folder / "manifest.json"), home)


def read_habitats(folder: Path) -> FinishedHabitats:
    """Read a finished step ``habitats`` back."""
    import pandas as pd

    from comould.io import read_image

    selection = folder / "selection.csv"
    return FinishedHabitats(
        read_image(folder / "habitats.nii.gz"),
        pd.read_csv(folder / "habitats.csv", index_col=0),
        pd.read_csv(selection) if selection.is_file() else None,
    )


def _of_sections(job: Job) -> dict[str, Any]:
    import pandas as pd

    from comould.study.load_case import load_case

    case, folder = job.case, job.done("sections")
    loaded = load_case(case.as_folder(job.mask, job.plan, spots=False), via=case.registration.via)
    facts = json.loads((folder / "stack.json").read_text(encoding="utf-8"))
    shrinkage = facts["shrinkage"]
    table = pd.read_csv(folder / "registration.csv", index_col="section", dtype={"section": str, "plane": str})
    stack = SimpleNamespace(table=table, shrinkage=float("nan") if shrinkage is None else shrinkage)
    return {
        "sections": loaded.sections, "registrations": list(registrations_of(case, folder).values()), "stack": stack,
        "landmarks": loaded.clues,
    }  # fmt: skip


def _of_spots(job: Job) -> dict[str, Any]:
    import anndata as ad
    import pandas as pd

    parts: dict[str, Any] = {}
    case, errors = job.case, job.done("spots") / "spot_errors.csv"
    if case.has_spots:
        tested = job.done("tests") / "spots.h5ad"
        files = [tested] if case.tests is not None else sorted((job.done("spots") / "spots").glob("*.h5ad"))
        parts["spots"] = [ad.read_h5ad(path) for path in files]
        if errors.is_file():
            parts["errors"] = pd.read_csv(errors)
    return parts | (_of_tests(job.done("tests")) if case.tests is not None else {})


def _of_tests(folder: Path) -> dict[str, Any]:
    """Read the claims and what they were held against; a run without claims has nothing of the latter."""
    from comould.associate.scrutiny import ShiftCurve
    from comould.study.cohort_case import read_associations

    names = ("associations", "controls", "calibration", "shift_curve", "shift_summary")
    tables = {name: read_associations(path) for name in names if (path := folder / f"{name}.csv").is_file()}
    parts: dict[str, Any] = {"results": tables["associations"]}
    parts |= {name: tables[name] for name in ("controls", "calibration") if name in tables}
    if "shift_curve" in tables and "shift_summary" in tables:
        parts["shift"] = ShiftCurve(tables["shift_curve"], tables["shift_summary"])
    return parts


def _origin(job: Job) -> tuple[dict[str, Any], dict[str, float]]:
    """Collect what the steps say of themselves: inputs and versions together, parameters by step."""
    inputs: dict[str, Any] = {}
    versions: dict[str, str] = {}
    parameters: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    for name in BEFORE:
        path = job.done(name) / "step.json"
        if not path.is_file():
            continue
        record = json.loads(path.read_text(encoding="utf-8"))
        inputs |= {role: {"sha256": value} for role, value in record["ingredients"]["inputs"].items()}
        versions |= record.get("versions", {})
        parameters[name] = record["ingredients"]["parameters"]
        seconds[name] = record.get("seconds", 0.0)
    return {"versions": versions, "inputs": inputs, "parameters": parameters, "seed": job.case.seed}, seconds


def _inputs(case: Case) -> dict[str, Path]:
    name, path = next(iter(case.images.items()))
    pictures = {
        f"{entry.id} {role}": file for entry in case.entries for role, file in entry.files.items() if role != "spots"
    }
    return {f"image {name}": path} | pictures


REPORT = Step(
    "report",
    wanted=lambda _: True,
    run=_report,
    after=BEFORE,
    inputs=_inputs,
    parameters=lambda case: case.report.model_dump(),
    code=("report", "pl", "io", "space", "study/load_case", "study/case_steps/telling"),
)
