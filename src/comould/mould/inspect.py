"""Every requirement of a finished mould, measured on its final meshes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import PrintabilityError
from comould.mould import opening, verify, virtual_cut
from comould.mould.design import Parts
from comould.mould.form import Surface
from comould.mould.lesion import Lesion
from comould.mould.marks import measure_engravings
from comould.mould.parameters import Parameters
from comould.mould.printability import PrintReport, measure
from comould.mould.result import as_mesh
from comould.mould.structures import Fitted
from comould.mould.verify import Check
from comould.space import FloatArray, SlicePlan

if TYPE_CHECKING:
    import trimesh
    from manifold3d import Manifold

ENGRAVING_PITCH_MM = 0.1

CRUMB_MM3 = 1e-2

OVERLAP_MM3 = 1.0
"""Bodies that stand together may share this much: rounding."""


def inspect(
    parts: Parts,
    inlays: Sequence[Fitted],
    specimen: Surface,
    lesion: Lesion,
    plan: SlicePlan,
    mould_from_patient: FloatArray,
    size: Parameters,
) -> tuple[dict[str, trimesh.Trimesh], list[Check]]:
    """Make the printable meshes and measure them.

    Parameters
    ----------
    parts, inlays
        What was built, mould frame.
    specimen
        Surface the mould was made for, mould frame.
    lesion, plan
        The segmentation and its cutting planes.
    mould_from_patient
        ``(4, 4)``.
    size
        Settings.

    Returns
    -------
    tuple
        Meshes of bodies and inlays by name, and the checks, all passed.

    Raises
    ------
    PrintabilityError
        If one is not met.
    """
    solids = parts.bodies | {inlay.name: inlay.solid for inlay in inlays if inlay.solid is not None}
    made = {name: printable(solid) for name, solid in solids.items()}
    surfaces = {name: surface for name, (surface, _) in made.items()}
    triangles = {name: vertices[faces] for name, (vertices, faces) in surfaces.items()}
    together = np.concatenate(list(triangles.values()))
    above = [name for name in parts.upside_down if name in triangles]
    lower = np.concatenate([part for name, part in triangles.items() if name not in above])
    upper = np.concatenate([triangles[name] for name in above]) if above else np.zeros((0, 3, 3))
    sides = opening.Sides(lower, upper, specimen[0][specimen[1]])
    meant = verify.Meant(_triangles(parts.outer), _triangles(parts.taken), parts.parting_z)
    det = float(np.linalg.det(mould_from_patient[:3, :3]))
    fit, *others = verify.fit_checks(together, lesion, mould_from_patient, meant, parts.layout, plan, size)
    cut, *placed = virtual_cut.checks(specimen, mould_from_patient, lesion, plan)
    checks = [
        *(_sound(name, report, name in parts.bodies) for name, (_, report) in made.items()),
        Check("no mirror: determinant", abs(det - 1.0) < 1e-6, det, "+1"),
        *_apart(parts.bodies),
        *verify.slot_checks(together, parts.layout, size, meant.taken),
        *_readable(parts, surfaces),
        opening.lift_check(sides),
        opening.clearance_check(sides, meant, parts.layout, size),
        *_either(fit, cut),
        *placed,
        *others,
    ]
    if failed := [check for check in checks if not check.passed]:
        raise _refusal(failed)
    return {name: as_mesh(surface) for name, surface in surfaces.items()}, checks


def _either(fit: Check, cut: Check) -> tuple[Check, Check]:
    """Let either of both speak for the shape; volume, place and clearance are required besides.

    On thin specimens half a pixel is a large share of the volume, and no cut shows it. Where a specimen ends in a flat
    step on a cutting plane, half a slice decides the whole outline, and the volume does not show it.
    """
    if fit.passed == cut.passed:
        return fit, cut
    return (
        Check(fit.name, True, fit.measured, f"{fit.required}; or: {cut.name}"),
        Check(cut.name, True, cut.measured, f"{cut.required}; or: {fit.name}"),
    )


def _sound(name: str, report: PrintReport, one_body: bool) -> Check:
    found: dict[str, Any] = {"bodies": report.bodies, "hollows": report.voids, "problems": list(report.problems)}
    sound = report.printable and not report.voids and not report.touching_vertices
    sound &= report.bodies == 1 or not one_body
    what = "one watertight body" if one_body else "watertight"
    return Check(f"{name}: {what}", sound, found, "closed at single precision" + (", one part" if one_body else ""))


def _readable(parts: Parts, surfaces: dict[str, Surface]) -> list[Check]:
    """Look at every engraved mark on its final mesh."""
    if not parts.marks:
        return []
    found = []
    for name in parts.bodies:
        mine = [mark.to_dict() for mark in parts.marks if mark.body == name]
        found += measure_engravings(as_mesh(surfaces[name]), mine, ENGRAVING_PITCH_MM) if mine else []
    least = min(mark.stroke_mm for mark in parts.marks) - ENGRAVING_PITCH_MM
    depth = min(mark.depth_mm for mark in parts.marks) - 0.05
    faults = [fault for mark in found for fault in mark.faults(least, depth)]
    measured = {
        "marks": len(found),
        "stroke_mm": min(mark.stroke_mm for mark in found),
        "depth_mm": min(mark.depth_mm for mark in found),
        "faults": faults,
    }
    return [Check("marks are readable", not faults, measured, f"strokes of {least:.2g} mm, {depth:.2g} mm deep")]


def _apart(bodies: dict[str, Manifold]) -> list[Check]:
    shared = [(a, b, (bodies[a] ^ bodies[b]).volume()) for a, b in combinations(bodies, 2)]
    return [
        Check(f"{a} and {b} go together", volume <= OVERLAP_MM3, volume, f"at most {OVERLAP_MM3:g} mm³ in common")
        for a, b, volume in shared
    ]


def _refusal(failed: list[Check]) -> PrintabilityError:
    found = "; ".join(f"{check.name}: {_short(check.measured)} ({check.required})" for check in failed)
    return PrintabilityError(
        subject="mould",
        expected="every check of the finished mesh to pass",
        found=f"{len(failed)} that did not: {found}",
        remedy="Nothing was written. Check the segmentation for thin or loose parts; a fit cannot be confirmed on a "
        "lesion of few voxels: draw it on a finer image",
    )


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(part)}" for key, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def printable(solid: Manifold) -> tuple[Surface, PrintReport]:
    """Vertices and faces at single precision, slivers that would fall together there collapsed, and their measures."""
    from comould.io.mesh import has_three_corners, weld

    pieces = len(solid.decompose())
    tolerances = (2e-4, 1e-3, 5e-3, 1e-2)
    for tolerance in tolerances:
        vertices, faces = surface_of(_without_crumbs(solid.simplify(tolerance), pieces))
        # What is left without area has lost an edge: its neighbours close over it.
        vertices, faces = weld(vertices.astype(np.float32), faces)
        surface: Surface = (vertices.astype(np.float64), faces[has_three_corners(faces)])
        report = measure(*surface)
        good = report.watertight and not report.touching_vertices and report.bodies == pieces
        if good or tolerance == tolerances[-1]:
            break
    return surface, report


def _without_crumbs(solid: Manifold, pieces: int) -> Manifold:
    """Drop what simplifying has cut off: pieces without a volume to speak of."""
    from manifold3d import Manifold, OpType

    found = solid.decompose()
    if len(found) == pieces:
        return solid
    return Manifold.batch_boolean([p for p in found if abs(p.volume()) > CRUMB_MM3] or [Manifold()], OpType.Add)


def surface_of(solid: Manifold) -> Surface:
    """Vertices and faces of a solid, at single precision."""
    mesh = solid.to_mesh()
    vertices = np.asarray(mesh.vert_properties[:, :3], dtype=np.float32).astype(np.float64)
    return vertices, np.asarray(mesh.tri_verts, dtype=np.int64)


def _triangles(solid: Manifold) -> FloatArray:
    if solid.is_empty():
        return np.zeros((0, 3, 3))
    vertices, faces = surface_of(solid)
    return vertices[faces]
