"""Steps on imaging: read, habitats, mould."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould.io.output import write_json
from comould.study.case_file import Case
from comould.study.case_parts import HabitatsPart, MouldPart
from comould.study.case_steps.job import Job, Step, in_order

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

    from comould.mould import Structure

POPULATION = "population"
"""The step of a study that fits one habitat model for all cases."""


def _images(case: Case) -> dict[str, Path]:
    return {f"image {name}": path for name, path in case.images.items()}


def _read(job: Job) -> None:
    """Read and check images and mask; the mask is kept as one region on its own grid."""
    from comould.io import write_image
    from comould.space import Grid
    from comould.study.load_habitats import load_images

    case = job.case
    loaded = load_images(case.images, case.mask, roi=None if case.roi is None else str(case.roi))
    write_image(loaded.mask, job.folder / "mask.nii.gz")
    grids = {name: Grid.from_image(image) for name, image in loaded.images.items()}
    write_json(
        job.folder / "facts.json",
        {
            "images": {name: {"size": grid.size, "spacing_mm": grid.spacing_mm} for name, grid in grids.items()},
            "mask": _volume(loaded.mask),
        },
    )


def _volume(mask: sitk.Image) -> dict[str, Any]:
    import SimpleITK as sitk

    from comould.space import Grid

    voxels = int((sitk.GetArrayViewFromImage(mask) > 0).sum())
    return {"voxels": voxels, "volume_ml": voxels * Grid.from_image(mask).voxel_ml}


READ = Step(
    "read",
    wanted=lambda _: True,
    run=_read,
    inputs=lambda case: _images(case) | {"mask": case.mask},
    parameters=lambda case: {"roi": case.roi},
    code=("io", "space", "study/load_habitats", "study/case_steps/imaging"),
)


def _mould(job: Job) -> None:
    """Build the mould, or take the plan that is there."""
    from comould.space import SlicePlan

    part = job.case.mould
    if part is not None:
        _build(job, part)
    elif job.case.slice_plan is not None:
        SlicePlan.load(job.case.slice_plan).save(job.folder / "slice_plan.json")


def _build(job: Job, part: MouldPart) -> None:
    from comould import io, mould
    from comould.mould import Companions
    from comould.report.bench import Asked, prepare

    mask = io.read_segmentation(job.mask)
    image = None if part.image is None else io.read_image(job.case.images[part.image])
    shown = image or io.read_image(next(iter(job.case.images.values())))
    labels = _labels_for_mould(job, part)
    beside = Companions(habitats=labels, structures=_structures(job.case, part, shown))
    built = mould.build(
        mask, template=part.template, plane=part.plane, image=image, lesion=part.lesion, companions=beside,
        progress=lambda text: job.tell(0.3, text), **part.settings,
    )  # fmt: skip
    blocks = tuple(part.blocks) if isinstance(part.blocks, list) else part.blocks
    cores = None if part.cores is None else mould.CoreOptions(**part.cores.model_dump())
    asked = Asked(shown, labels, cores, blocks, part.sheet)  # type: ignore[arg-type]
    ready = prepare(built, mould.select_lesion(mask, part.lesion), asked, lambda text: job.tell(0.6, text))
    ready.mould.write(job.folder, inputs={"segmentation": job.mask}, extras=ready.extras)
    built.plan.save(job.folder / "slice_plan.json")


def _labels_for_mould(job: Job, part: MouldPart) -> sitk.Image | None:
    from comould.study.load_spots import load_map

    if part.habitats is not None:
        return load_map(part.habitats).labels
    return load_map(job.done("habitats")).labels if part.needs_habitats else None


def _structures(case: Case, part: MouldPart, image: sitk.Image) -> list[Structure]:
    from comould.mould.structure_files import INLAY_COLOURS, StructureAsked

    found = []
    for number, row in enumerate(part.structures):
        colour = row.colour or INLAY_COLOURS[number % len(INLAY_COLOURS)]
        source = str(row.roi if row.file is None else row.file)
        asked = StructureAsked(row.name, source, row.role, colour, region=row.file is None)
        found.append(asked.read(case.mask, image))
    return found


def _own_habitats(case: Case) -> bool:
    """Whether the mould takes the habitats that the case finds."""
    return case.mould is not None and case.mould.needs_habitats and case.mould.habitats is None


def _mould_inputs(case: Case) -> dict[str, Path]:
    if case.mould is None:
        return {} if case.slice_plan is None else {"slice plan": case.slice_plan}
    part = case.mould
    regions = any(row.roi is not None for row in part.structures)
    named = part.image or next(iter(case.images))
    found = {f"image {named}": case.images[named]} if part.image or part.sheet or regions else {}
    found |= {f"structure {row.name}": row.file for row in part.structures if row.file is not None}
    found |= {"mask": case.mask} if regions else {}
    found |= {"habitats of the mould": part.habitats} if part.habitats is not None else {}
    template = Path(part.template)
    return found | ({"mould template": template} if template.suffix.lower() in {".yaml", ".yml"} else {})


def _mould_parameters(case: Case) -> Mapping[str, Any]:
    if case.mould is None:
        return {}
    told = case.mould.model_dump(exclude={"habitats": True, "structures": {"__all__": {"file"}}})
    file = Path(case.mould.template).suffix.lower() in {".yaml", ".yml"}
    return told | ({"template": "a file"} if file else {})


MOULD = Step(
    "mould",
    wanted=lambda case: case.mould is not None or case.slice_plan is not None,
    run=_mould,
    after=("read", "habitats"),
    # A mould is printed before the operation: habitats that are found anew must not make another of it for nothing.
    spared=lambda case: () if _own_habitats(case) else ("habitats",),
    inputs=_mould_inputs,
    parameters=_mould_parameters,
    code=("mould", "io", "space", "report/sheet", "report/bench", "study/load_spots", "study/case_steps/imaging"),
)


def _habitats(job: Job) -> None:
    """Find habitats, or take the map that is there."""
    part = job.case.habitats
    if part is None:
        return
    if part.labels is not None:
        _take_map(job, part.labels)
        return
    from comould.study.habitats_case import STEPS, run_habitats

    options = part.options(job.case.seed)
    if job.case.shared is not None:
        options = replace(options, model=job.case.shared.model)
    run_habitats(
        job.case.images, job.mask, job.folder, options=options,
        progress=in_order(STEPS, job.tell),
    )  # fmt: skip


def _take_map(job: Job, source: Path) -> None:
    from comould.io import write_image
    from comould.study.load_spots import load_map

    found = load_map(source)
    write_image(found.labels, job.folder / "habitats.nii.gz")
    if found.probabilities is not None:
        write_image(found.probabilities, job.folder / "probabilities.nii.gz")
    own = source / "habitats.csv"
    if source.is_dir() and own.is_file():
        shutil.copyfile(own, job.folder / own.name)
    else:
        habitat_table(found.labels).to_csv(job.folder / own.name, index_label="habitat")


def habitat_table(labels: sitk.Image) -> pd.DataFrame:
    """Measure a label map: index ``H1`` …, columns ``label``, ``voxels``, ``volume_ml``, ``fraction``."""
    import numpy as np
    import pandas as pd
    import SimpleITK as sitk

    from comould.space import Grid

    values = sitk.GetArrayViewFromImage(labels)
    counts = np.bincount(values[values > 0].astype(np.int64))
    ml = Grid.from_image(labels).voxel_ml
    rows = {
        f"H{label}": {"label": label, "voxels": int(n), "volume_ml": n * ml, "fraction": n / counts.sum()}
        for label, n in enumerate(counts)
        if label
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _habitat_inputs(case: Case) -> dict[str, Path]:
    part = case.habitats or HabitatsPart.model_validate({})
    if part.labels is not None:
        return {"habitat map": part.labels}
    more = {"habitat model": part.model, "DICOM series": part.dicom_seg}
    return _images(case) | {role: path for role, path in more.items() if path is not None}


def _habitat_parameters(case: Case) -> Mapping[str, Any]:
    if case.habitats is None or case.habitats.labels is not None:
        return {}
    return case.habitats.model_dump(exclude={"labels", "model", "dicom_seg"}) | {"seed": case.seed}


HABITATS = Step(
    "habitats",
    wanted=lambda case: case.habitats is not None,
    run=_habitats,
    after=("read", POPULATION),
    inputs=_habitat_inputs,
    parameters=_habitat_parameters,
    code=(
        "habitats",
        "io",
        "space",
        "study/habitats_case",
        "study/habitat_options",
        "study/load_habitats",
        "study/case_steps/imaging",
    ),
)
