"""Segmentation and template → mould: the order of the work, its checks, and what is written."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from comould.errors import ComouldWarning, PrintabilityError
from comould.mould import body, verify
from comould.mould.body import Layout
from comould.mould.lesion import Lesion, check_fits_image, find_lesion
from comould.mould.parameters import Parameters
from comould.mould.planes import View, plan_cuts, resolve_view
from comould.mould.pose import Pose, choose_pose
from comould.mould.printability import measure
from comould.mould.result import Mould, Surface, as_mesh
from comould.mould.surface import DistanceField, distance_field, grid_step
from comould.mould.template import Template, load_template
from comould.space import FloatArray, Frame, SlicePlan, Transform, anatomical_letter

if TYPE_CHECKING:
    import SimpleITK as sitk
    import trimesh
    from manifold3d import Manifold

OBLIQUE_RATIO = 0.5
"""A wall's label gets a second letter when that direction's share is at least half the first one's."""


def build(
    seg: sitk.Image,
    *,
    template: str | Path | Template = "soft_tissue",
    plane: str | Sequence[float] = "axial",
    spacing_mm: float | None = None,
    image: sitk.Image | None = None,
    lesion: str | int | None = None,
    up: str | float | None = None,
    progress: Callable[[str], None] | None = None,
    **overrides: Any,
) -> Mould:
    """Build a mould that holds a specimen so that it can only be cut along known planes.

    Parameters
    ----------
    seg
        Label image 0/1 of the specimen, patient LPS, right-handed grid.
    template
        Name of a shipped template, path of a YAML file, or a :class:`~comould.mould.Template`.
    plane
        ``"axial"``, ``"coronal"``, ``"sagittal"``, ``"image"`` (the acquisition's planes) or a normal vector of 3.
    spacing_mm
        Distance between cuts; the template's when left out. Planes parallel to the slices snap to slice centres.
    image
        The image it was drawn on: only its geometry is compared.
    lesion
        ``"largest"``, ``"all"`` or a rank by size, when the mask holds several.
    up
        Patient direction (``"anterior"``) or in-plane angle in degrees that faces up; searched when left out.
    progress
        Called with a line of text as the work goes on.
    **overrides
        Template parameters, see :class:`~comould.mould.Parameters`.

    Returns
    -------
    Mould
        Checked: one watertight body, free space that matches the segmentation, open slots, a specimen that lifts out.

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
    with _noted() as notes:
        chosen = load_template(template, spacing_mm=spacing_mm, **overrides)
        say("Checking the segmentation")
        found = find_lesion(seg, lesion)
        check_fits_image(found, image)
        view = resolve_view(plane, found.grid)
        plan = _plan(found, view, chosen.parameters)
        say("Choosing how it lies")
        pose = choose_pose(found, view, up)
        say("Smoothing the surface")
        work = _Work.start(found, pose, plan, chosen.parameters)
        say("Cutting cavity and slots")
        letters = _letters(pose.rotation)
        solid = _solid(work, chosen.parameters, letters)
        say("Checking the fit")
        mesh, checks = _checked(solid, work, plan, found, chosen.parameters)
    report = _report(work, found, pose, solid, chosen.parameters) | {
        "letters": letters,
        "checks": [check.to_dict() for check in checks],
        "warnings": notes,
    }
    return Mould(
        {"mould": mesh},
        as_mesh(work.specimen),
        plan,
        Transform.from_matrix(Frame.PATIENT, Frame.MOULD, work.mould_from_patient),
        chosen,
        report,
    )


@dataclass(frozen=True, eq=False)
class _Work:
    """Surfaces and dimensions on the way: everything in the mould frame but ``swept``."""

    field: DistanceField
    swept: DistanceField
    specimen: Surface
    cavity: Surface
    layout: Layout
    mould_from_patient: FloatArray

    @classmethod
    def start(cls, lesion: Lesion, pose: Pose, plan: SlicePlan, size: Parameters) -> _Work:
        """Make the surfaces and lay out the block round them."""
        margin = size.clearance_mm + 2.0
        step = grid_step(lesion, margin + 0.5 * size.guide_mm)
        field = distance_field(lesion, pose.rotation, step_mm=step, margin_mm=margin, above_mm=size.guide_mm + 1.0)
        surface = field.mesh(0.0)
        near = field.exact_near(size.clearance_mm, surface) if size.clearance_mm else field
        swept = near.swept_up()
        vertices, faces = surface
        slots_x = np.array([plane.position_mm for plane in plan])
        layout = body.plan_layout((vertices.min(axis=0), vertices.max(axis=0)), slots_x, size)
        cavity, cavity_faces = swept.mesh(size.clearance_mm)
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = pose.rotation, layout.shift
        return cls(
            field, swept, (vertices + layout.shift, faces), (cavity + layout.shift, cavity_faces), layout, matrix
        )


def _plan(lesion: Lesion, view: View, size: Parameters) -> SlicePlan:
    return plan_cuts(
        lesion.points_mm(),
        view,
        lesion.grid,
        spacing_mm=size.spacing_mm,
        slot_mm=size.slot_mm,
        min_rib_mm=size.min_rib_mm,
        min_end_slab_mm=size.min_end_slab_mm,
    )


def _solid(work: _Work, size: Parameters, letters: dict[str, str]) -> Manifold:
    """Block minus cavity, slots and text: one body or an error."""
    from manifold3d import Error, Manifold, OpType

    numbers = [str(n) for n in range(1, len(work.layout.slots_x) + 1)]
    cavity = manifold_of(work.cavity)
    if cavity.status() != Error.NoError or cavity.volume() <= 0:
        raise PrintabilityError(
            subject="cavity", expected="a closed surface", found=f"{cavity.status()}, {cavity.volume():.3g} mm³"
        )
    parts = [
        body.block(work.layout, size),
        cavity,
        body.slots(work.layout, size),
        body.engravings(work.layout, size, letters, numbers),
    ]
    return Manifold.batch_boolean(parts, OpType.Subtract)


def manifold_of(surface: Surface) -> Manifold:
    """Make a manifold3d solid of vertices and faces."""
    from manifold3d import Manifold, Mesh

    vertices, faces = surface
    return Manifold(Mesh(np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.uint32)))


def _checked(
    solid: Manifold, work: _Work, plan: SlicePlan, lesion: Lesion, size: Parameters
) -> tuple[trimesh.Trimesh, list[verify.Check]]:
    """Measure the final mesh; refuse it unless everything holds."""
    vertices, faces = _printable(solid)
    report = measure(vertices, faces)
    triangles = vertices[faces]
    det = float(np.linalg.det(work.mould_from_patient[:3, :3]))
    surface = {"bodies": report.bodies, "hollows": report.voids, "problems": list(report.problems)}
    sound = report.printable and report.bodies == 1 and not report.voids and not report.touching_vertices
    checks = [
        verify.Check("one watertight body", sound, surface, "closed at single precision, one part"),
        verify.Check("no mirror: determinant", abs(det - 1.0) < 1e-6, det, "+1"),
        *verify.slot_checks(triangles, work.layout, size),
        verify.lift_check(triangles, work.specimen[0][work.specimen[1]]),
        *verify.fit_checks(triangles, lesion, work.mould_from_patient, work.layout, plan, size),
    ]
    if failed := [check for check in checks if not check.passed]:
        raise _refusal(failed)
    return as_mesh((vertices, faces)), checks


def _refusal(failed: list[verify.Check]) -> PrintabilityError:
    found = "; ".join(f"{check.name}: {_short(check.measured)} ({check.required})" for check in failed)
    return PrintabilityError(
        subject="mould",
        expected="every check of the finished mesh to pass",
        found=f"{len(failed)} that did not: {found}",
        remedy="Nothing was written. Check the segmentation for thin or loose parts; a fit cannot be confirmed on a "
        "lesion of few voxels: draw it on a finer image",
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _printable(solid: Manifold) -> Surface:
    """Vertices and faces at single precision; slivers that would fall together there are collapsed first."""
    surface: Surface = (np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    for tolerance in (2e-4, 1e-3, 5e-3):
        mesh = solid.simplify(tolerance).to_mesh()
        surface = (
            np.asarray(mesh.vert_properties[:, :3], dtype=np.float32).astype(np.float64),
            np.asarray(mesh.tri_verts, dtype=np.int64),
        )
        report = measure(*surface)
        if report.watertight and not report.degenerate_faces and not report.touching_vertices:
            break
    return surface


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


def _report(work: _Work, lesion: Lesion, pose: Pose, solid: Manifold, size: Parameters) -> dict[str, Any]:
    layout = work.layout
    top = float(layout.tissue_high[2] - layout.shift[2])
    vertices, faces = work.specimen
    specimen = measure(vertices, faces).volume_ml
    opened = work.field.swept_up().volume_ml(0.0, top)
    undercut = max(opened - specimen, 0.0)
    box = np.array(solid.bounding_box()).reshape(2, 3)
    return {
        "volumes_ml": {
            "specimen": specimen,
            "mask": lesion.volume_ml,
            "plastic": solid.volume() / 1000.0,
            "cavity": work.swept.volume_ml(size.clearance_mm, float(layout.high[2] - layout.shift[2])),
            "undercut": undercut,
        },
        "bounding_box_mm": {"low": box[0].tolist(), "high": box[1].tolist(), "size": (box[1] - box[0]).tolist()},
        "pose": {
            "angle_deg": pose.angle_deg,
            "undercut_percent": 100.0 * undercut / specimen,
            "up_patient": pose.rotation[2].tolist(),
            "tried": [
                {"angle_deg": t.angle_deg, "undercut_ml": t.undercut_ml, "height_mm": t.height_mm} for t in pose.tried
            ],
        },
        "slots": {
            "count": len(layout.slots_x),
            "width_mm": size.slot_mm,
            "length_mm": layout.slot_y[1] - layout.slot_y[0],
            "depth_mm": float(layout.high[2]) - layout.floor_z,
            "numbered_every": layout.labels.every,
        },
        "segmentation": {"parts": lesion.parts, "specks_dropped": lesion.specks},
        "surface_step_mm": work.field.step_mm,
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
            if issubclass(category, ComouldWarning):
                held.append((filename, lineno))
                notes.append(str(message))
            else:
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = hold
        yield notes
    for note, (filename, lineno) in zip(notes, held, strict=True):
        warnings.warn_explicit(note, ComouldWarning, filename, lineno)
