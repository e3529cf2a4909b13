"""Segmentation and template → mould: the order of the work, its checks, and what is told."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from comould.errors import ComouldWarning
from comould.mould import marks
from comould.mould.design import CONSTRUCT, Order, Parts
from comould.mould.form import Form, shifted
from comould.mould.inspect import inspect
from comould.mould.lesion import Lesion, check_fits_image, find_lesion
from comould.mould.parameters import Parameters
from comould.mould.planes import plan_for, resolve_view
from comould.mould.pose import Pose, choose_pose
from comould.mould.result import Mould, as_mesh
from comould.mould.structures import Structure, fitted
from comould.mould.surface import enclosed_mm3
from comould.mould.template import Template, load_template
from comould.space import FloatArray, Frame, SlicePlan, Transform, anatomical_letter

if TYPE_CHECKING:
    import SimpleITK as sitk

OBLIQUE_RATIO = 0.5
"""A wall's label gets a second letter when that direction's share is at least half the first one's."""


@dataclass(frozen=True, eq=False)
class Companions:
    """Images beside the segmentation that a mould may take account of.

    Parameters
    ----------
    habitats
        Labels for ``centre_on="most_habitats"``.
    feature
        Mask whose largest section ``centre_on="largest_section"`` takes.
    structures
        Vessels, tubes, capsule contacts: windows or coloured inlays.
    """

    habitats: sitk.Image | None = None
    feature: sitk.Image | None = None
    structures: Sequence[Structure] = ()


def build(
    seg: sitk.Image,
    *,
    template: str | Path | Template = "soft_tissue",
    plane: str | Sequence[float] = "axial",
    image: sitk.Image | None = None,
    lesion: str | int | None = None,
    companions: Companions | None = None,
    progress: Callable[[str], None] | None = None,
    **settings: Any,
) -> Mould:
    """Build a mould that holds a specimen so that it can only be cut along known planes.

    Parameters
    ----------
    seg
        Label image 0/1 of the specimen, patient LPS.
    template
        Name of a shipped template or design, path of a YAML file, or a :class:`~comould.mould.Template`.
    plane
        ``"axial"``, ``"coronal"``, ``"sagittal"``, ``"image"`` (the acquisition's planes) or a normal vector of 3.
    image
        The image it was drawn on: only its geometry is compared.
    lesion
        ``"largest"``, ``"all"`` or a rank by size, when the mask holds several; see :func:`build_each` too.
    companions
        Habitats or a feature to centre the planes on, landmark structures.
    progress
        Called with a line of text as the work goes on.
    **settings
        ``spacing_mm``, ``design``, ``blade``, ``printer`` and every other key of :class:`~comould.mould.Parameters`;
        and ``up``: the patient direction (``"anterior"``) or in-plane angle in degrees that faces up, searched when
        left out.

    Returns
    -------
    Mould
        Checked: watertight bodies, free space that matches the segmentation, open slots, a specimen that lifts out.

    Raises
    ------
    InputError, GeometryError
        If the mask, the plane or a setting cannot be used.
    PrintabilityError
        If a check fails; the message says which.

    Notes
    -----
    The mould fits the specimen as imaged, at scale 1. Shrinkage after resection or fixation is not modelled.

    Examples
    --------
    >>> import comould as cm
    >>> mould = cm.mould.build(cm.phantom.specimen(seed=0).mask, plane="image")  # doctest: +SKIP
    >>> mould.write("out/mould")  # doctest: +SKIP
    """
    say = progress or _silent
    beside = companions or Companions()
    up = settings.pop("up", None)
    with _noted() as notes:
        chosen = load_template(template, **settings)
        size = chosen.parameters
        say("Checking the segmentation")
        found = find_lesion(seg, lesion)
        check_fits_image(found, image)
        view = resolve_view(plane, found.grid)
        plan = plan_for(found, view, size, habitats=beside.habitats, feature=beside.feature)
        say("Choosing how it lies")
        pose = choose_pose(found, view, up, size)
        say("Smoothing the surface")
        form = Form.of(found, pose.rotation, size)
        say("Cutting cavity and slots")
        name = size.mould_id or _name(found, plan, chosen)
        letters = _letters(pose.rotation)
        slots_x = np.array([plane.position_mm for plane in plan])
        parts = CONSTRUCT[chosen.design](Order(form, slots_x, size, letters, name))
        mould_from_patient = np.eye(4)
        mould_from_patient[:3, :3], mould_from_patient[:3, 3] = pose.rotation, parts.layout.shift
        parts, inlays = fitted(parts, beside.structures, pose.rotation, size)
        say("Checking the fit")
        specimen = shifted(form.specimen, parts.layout.shift)
        meshes, checks = inspect(parts, inlays, specimen, found, plan, mould_from_patient, size)
    report = _report(parts, form, found, pose, size) | {
        "mould_id": name,
        "letters": letters,
        "structures": [inlay.to_dict() for inlay in inlays],
        "checks": [check.to_dict() for check in checks],
        "warnings": notes,
    }
    return Mould(
        {body: meshes[body] for body in parts.bodies},
        as_mesh(specimen),
        plan,
        Transform.from_matrix(Frame.PATIENT, Frame.MOULD, mould_from_patient),
        chosen,
        report,
        {inlay.name: meshes[inlay.name] for inlay in inlays if inlay.solid is not None},
    )


def _name(lesion: Lesion, plan: SlicePlan, chosen: Template) -> str:
    """Make the mould's name out of what it was made from: voxels, direction and number of cuts, settings.

    No measured position is among it: that would turn rounding into another name. Nor is the order of storage.
    """
    from scipy.optimize import linear_sum_assignment

    mask, _ = lesion.crop((0, 0, 0))
    axes = lesion.grid.axes
    # Patient axis L, P, S of each image axis; the array's run the other way, k first.
    _, of_patient = linear_sum_assignment(-np.abs(axes).round(3))
    turned = np.transpose(mask, [2 - int(axis) for axis in of_patient])
    turned = np.flip(turned, tuple(n for n, axis in enumerate(of_patient) if axes[n, axis] < 0))
    cuts = [*(np.round(plan.normal, 2) + 0.0).tolist(), len(plan)]
    return marks.make_id(np.packbits(turned).tobytes(), repr(cuts), chosen.design, chosen.parameters.model_dump_json())


def _letters(rotation: FloatArray) -> dict[str, str]:
    """Name the patient direction each wall's outward normal points to; oblique walls get two or three letters."""
    names = {}
    for axis, name in enumerate("xyz"):
        for sign, mark in ((-1.0, "-"), (1.0, "+")):
            if (axis, sign) != (2, -1.0):
                names[f"{mark}{name}"] = _label(sign * rotation[axis])
    return names


def _label(direction: FloatArray) -> str:
    order = np.argsort(-np.abs(direction), kind="stable")
    shares = np.abs(direction[order]) / np.abs(direction[order[0]])
    return "".join(
        anatomical_letter(np.eye(3)[axis] * direction[axis])
        for axis, share in zip(order, shares, strict=True)
        if share >= OBLIQUE_RATIO
    )


def _report(parts: Parts, form: Form, lesion: Lesion, pose: Pose, size: Parameters) -> dict[str, Any]:
    layout = parts.layout
    vertices, faces = form.specimen
    specimen = enclosed_mm3(vertices, faces) / 1000.0
    top = float(vertices[:, 2].max())
    loose = max(form.field.swept_up().volume_ml(0.0, top) - specimen, 0.0)
    boxes = {name: np.array(body.bounding_box()).reshape(2, 3) for name, body in parts.bodies.items()}
    low = np.min([box[0] for box in boxes.values()], axis=0)
    high = np.max([box[1] for box in boxes.values()], axis=0)
    plastic = {name: body.volume() / 1000.0 for name, body in parts.bodies.items()}
    return {
        "volumes_ml": {
            "specimen": specimen,
            "mask": lesion.volume_ml,
            "plastic": sum(plastic.values()),
            "bounding_block": float(np.prod(high - low)) / 1000.0,
            "loose": loose,
        },
        "bounding_box_mm": {"low": low.tolist(), "high": high.tolist(), "size": (high - low).tolist()},
        "bodies": {
            name: {
                "plastic_ml": plastic[name],
                "size_mm": (box[1] - box[0]).tolist(),
                "print_from_mould": parts.print_from_mould(name).tolist(),
            }
            for name, box in boxes.items()
        },
        "parting_z_mm": parts.parting_z,
        "pose": pose.to_dict() | {"up_patient": pose.rotation[2].tolist()},
        "slots": {
            "count": len(layout.slots),
            "width_mm": size.slot_mm,
            "length_mm": max(slot.y[1] - slot.y[0] for slot in layout.slots),
            "depth_mm": max(slot.top_z - slot.floor_z for slot in layout.slots),
            "numbered_every": layout.labels.every,
            "each": [
                {"x_mm": s.x, "y_mm": list(s.y), "floor_z_mm": s.floor_z, "top_z_mm": s.top_z} for s in layout.slots
            ],
        },
        "orientation_slit": None if parts.slit is None else parts.slit.to_dict(),
        "marks": [mark.to_dict() for mark in parts.marks],
        "segmentation": {"parts": lesion.parts, "specks_dropped": lesion.specks},
        "surface_step_mm": form.field.step_mm,
        "scale": 1.0,
    }


def _silent(_: str) -> None:
    return None


@contextmanager
def _noted() -> Iterator[list[str]]:
    """Collect comould's warnings for the manifest, and pass them on at the end; other warnings go their own way."""
    notes: list[str] = []
    held: list[tuple[str, int]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", ComouldWarning)
        show = warnings.showwarning

        def hold(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            """Keep our own, show others."""
            if issubclass(category, ComouldWarning):
                held.append((filename, lineno))
                notes.append(str(message))
            else:
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = hold
        yield notes
    for note, (filename, lineno) in zip(notes, held, strict=True):
        warnings.warn_explicit(note, ComouldWarning, filename, lineno)
