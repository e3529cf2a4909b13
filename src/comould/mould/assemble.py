"""Segmentation and template → mould: the order of the work, its checks, and what is written."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould._version import __version__
from comould.errors import ComouldWarning, PrintabilityError
from comould.mould import body, verify
from comould.mould.body import Layout
from comould.mould.check import measure
from comould.mould.lesion import Lesion, check_fits_image, find_lesion
from comould.mould.planes import View, plan_cuts, resolve_view
from comould.mould.pose import Pose, choose_pose
from comould.mould.surface import DistanceField, distance_field, grid_step
from comould.mould.template import Parameters, Template, load_template
from comould.space import FloatArray, Frame, SlicePlan, Transform, anatomical_letter

if TYPE_CHECKING:
    import SimpleITK as sitk
    import trimesh
    from manifold3d import Manifold

Surface = tuple[FloatArray, npt.NDArray[np.int64]]

LIBRARIES = ("SimpleITK", "scipy", "scikit-image", "manifold3d", "trimesh", "pydantic")

OBLIQUE_RATIO = 0.5
"""A wall's label gets a second letter when that direction's share is at least half the first one's."""


@dataclass(frozen=True, eq=False)
class Mould:
    """A mould, its specimen and the cutting planes.

    Parameters
    ----------
    bodies
        Printable meshes by name, mould frame, mm.
    specimen
        The smooth surface the mould was made for, mould frame, mm.
    plan
        Cutting planes, patient LPS, mm.
    mould_from_patient
        Rigid, determinant +1.
    template
        Design and parameters used.
    report
        Volumes, pose, checks and warnings; JSON-able.
    """

    bodies: dict[str, trimesh.Trimesh]
    specimen: trimesh.Trimesh
    plan: SlicePlan
    mould_from_patient: Transform
    template: Template
    report: dict[str, Any]

    def summary(self) -> list[tuple[str, str]]:
        """Name and value of what one wants to know first."""
        volumes = self.report["volumes_ml"]
        x, y, z = self.report["bounding_box_mm"]["size"]
        spacings = self.plan.spacings_mm
        apart = f", {spacings.min():.2f}" + (f" to {spacings.max():.2f}" if np.ptp(spacings) > 0.01 else "") + " mm apart"
        passed = [check["passed"] for check in self.report["checks"]]
        dice = next(check["measured"] for check in self.report["checks"] if check["name"] == verify.FIT)
        return [
            ("template", f"{self.template.name} ({self.template.design})"),
            ("specimen", f"{volumes['specimen']:.1f} ml"),
            ("cutting planes", f"{len(self.plan)}" + (apart if len(self.plan) > 1 else "")),
            ("size", f"{x:.0f} × {y:.0f} × {z:.0f} mm"),
            ("plastic", f"{volumes['plastic']:.0f} ml"),
            ("faces up", self.report["letters"]["+z"]),
            ("undercut", f"{volumes['undercut']:.1f} ml ({self.report['pose']['undercut_percent']:.0f} %)"),
            ("slot length", f"{self.report['slots']['length_mm']:.0f} mm (the blade must be shorter)"),
            ("fit", f"Dice {dice:.3f} against the segmentation"),
            ("checks", f"{sum(passed)} of {len(passed)} passed"),
        ]

    def manifest(self, inputs: Mapping[str, str | Path] | None = None) -> dict[str, Any]:
        """Everything about the mould as JSON-able data; inputs only as roles and SHA-256."""
        from comould.io.output import plain, provenance

        parameters = self.template.parameters.model_dump()
        plan = self.plan.to_dict()
        data = {
            "format": "comould.mould",
            "version": __version__,
            "units": "mm",
            "frame": str(Frame.MOULD),
            "frames": {
                "mould.stl, mould.3mf, specimen.stl": "mould (z up from the print bed, underside on z = 0)",
                "planes, slice_plan": "patient LPS",
            },
            "mould_from_patient": self.mould_from_patient.matrix.tolist(),
            "planes": plan["planes"],
            "slice_plan": plan,
            "template": self.template.name,
            "design": self.template.design,
            "parameters": parameters,
            "parameter_sources": self.template.sources,
            **self.report,
            "provenance": provenance(inputs=inputs, parameters=parameters, libraries=LIBRARIES),
            "intended_use": "Research use only; not a medical device.",
        }
        return dict(plain(data))

    def write(
        self, directory: str | Path, overwrite: bool = False, inputs: Mapping[str, str | Path] | None = None
    ) -> Path:
        """Write ``mould.stl``, ``mould.3mf``, ``specimen.stl`` and ``manifest.json``, or nothing at all.

        Parameters
        ----------
        directory
            New or empty folder.
        overwrite
            Replace a folder an earlier run wrote.
        inputs
            Role to path of what the mould was made from; only hashes are kept.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        InputError
            If the folder may not be used.
        PrintabilityError
            If a file read back is not the sound body that was written.
        """
        from comould.io.mesh import write_3mf, write_stl
        from comould.io.output import atomic_directory, write_json

        target = Path(directory)
        with atomic_directory(target, overwrite=overwrite) as work:
            for name, mesh in self.bodies.items():
                _check_written(write_stl(mesh, work / f"{name}.stl"), mesh)
            write_3mf(self.bodies, work / "mould.3mf")
            write_stl(self.specimen, work / "specimen.stl")
            write_json(work / "manifest.json", self.manifest(inputs))
        return target


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
        _trimesh(work.specimen),
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
        margin = size.clearance_mm + 2.0
        step = grid_step(lesion, margin + 0.5 * size.guide_mm)
        field = distance_field(
            lesion, pose.rotation, step_mm=step, margin_mm=margin, above_mm=size.guide_mm + 1.0
        )
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
    return _trimesh((vertices, faces)), checks


def _refusal(failed: list[verify.Check]) -> PrintabilityError:
    found = "; ".join(f"{check.name}: {_short(check.measured)} ({check.required})" for check in failed)
    return PrintabilityError(
        subject="mould",
        expected="every check of the finished mesh to pass",
        found=f"{len(failed)} that did not: {found}",
        remedy="Nothing was written. Check the segmentation for loose or very thin parts, or change the template",
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


def _check_written(path: Path, mesh: trimesh.Trimesh) -> None:
    from comould.io.mesh import read_mesh

    back = read_mesh(path)
    report = measure(np.asarray(back.vertices), np.asarray(back.faces))
    apart = float(np.abs(np.asarray(back.bounds) - np.asarray(mesh.bounds)).max())
    if not report.printable or report.bodies != 1 or len(back.faces) != len(mesh.faces) or apart > 1e-3:
        raise PrintabilityError(
            subject=f"{path.name} read back",
            expected=f"one watertight body of {len(mesh.faces)} triangles",
            found=f"{report.bodies} bodies, {len(back.faces)} triangles, {'; '.join(report.problems) or 'no open edge'}",
        )


def _trimesh(surface: Surface) -> trimesh.Trimesh:
    import trimesh

    mesh = trimesh.Trimesh(surface[0], surface[1], process=False)
    mesh.units = "mm"
    return mesh


def _silent(_: str) -> None:
    return None


@contextmanager
def _noted() -> Iterator[list[str]]:
    """Collect comould's warnings for the manifest, then pass all warnings on to the caller."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
        notes += [str(item.message) for item in caught if issubclass(item.category, ComouldWarning)]
    for item in caught:
        warnings.warn_explicit(item.message, item.category, item.filename, item.lineno)
