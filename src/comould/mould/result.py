"""Mould: what a build gives back, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from comould._version import __version__
from comould.errors import PrintabilityError
from comould.mould.form import Surface
from comould.mould.printability import measure
from comould.mould.template import Template
from comould.mould.verify import FIT
from comould.space import Frame, SlicePlan, Transform

if TYPE_CHECKING:
    import trimesh

    from comould.mould.printing.inspect import Printing

PLATE_GAP_MM = 8.0
"""Room between bodies laid on one print bed."""

LIBRARIES = ("SimpleITK", "scipy", "scikit-image", "manifold3d", "trimesh", "pydantic")


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
    inlays
        Parts of the wall that are printed in a colour of their own, by name, mould frame, mm.
    """

    bodies: dict[str, trimesh.Trimesh]
    specimen: trimesh.Trimesh
    plan: SlicePlan
    mould_from_patient: Transform
    template: Template
    report: dict[str, Any]
    inlays: dict[str, trimesh.Trimesh] = field(default_factory=dict)

    def summary(self) -> list[tuple[str, str]]:
        """Name and value of what one wants to know first."""
        volumes = self.report["volumes_ml"]
        x, y, z = self.report["bounding_box_mm"]["size"]
        spacings = self.plan.spacings_mm
        apart = ""
        if len(spacings):
            most = f" to {spacings.max():.2f}" if np.ptp(spacings) > 0.01 else ""
            apart = f", {spacings.min():.2f}{most} mm apart"
        passed = [check["passed"] for check in self.report["checks"]]
        pose, loose = self.report["pose"], 100.0 * volumes["loose"] / volumes["specimen"]
        dice = next(check["measured"] for check in self.report["checks"] if check["name"] == FIT)
        return [
            ("mould", self.report["mould_id"]),
            ("template", f"{self.template.name} ({self.template.design})"),
            ("specimen", f"{volumes['specimen']:.1f} ml"),
            ("cutting planes", f"{len(self.plan)}{apart}"),
            ("size", f"{x:.0f} × {y:.0f} × {z:.0f} mm"),
            ("plastic", f"{volumes['plastic']:.0f} ml"),
            ("faces up", self.report["letters"]["+z"]),
            ("undercut", f"{pose['undercut_ml']:.1f} ml; loose {volumes['loose']:.1f} ml ({loose:.0f} %)"),
            ("slot length", f"{self.report['slots']['length_mm']:.0f} mm (a longer knife goes in point first)"),
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
                "specimen.stl": "mould (x along the cuts' normal, z the way the specimen goes in, underside on z = 0)",
                "other STL": "print: each body as it stands on the bed; bodies/NAME/print_from_mould leads there",
                "mould.3mf": "print, bodies side by side",
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
            "printing": {name: found.to_dict() for name, found in self.printing().items()},
            "provenance": provenance(inputs=inputs, parameters=parameters, libraries=LIBRARIES),
            "intended_use": "Research use only; not a medical device.",
        }
        return dict(plain(data))

    def print_pose(self, name: str) -> trimesh.Trimesh:
        """Stand a body, or the inlay of one, on the print bed: its underside at z = 0."""
        body = next((s["body"] for s in self.report["structures"] if s["name"] == name and s["body"]), name)
        mesh, matrix = (self.bodies | self.inlays)[name], np.array(self.report["bodies"][body]["print_from_mould"])
        vertices = np.asarray(mesh.vertices) @ matrix[:3, :3].T + matrix[:3, 3]
        return as_mesh((vertices.astype(np.float32).astype(np.float64), np.asarray(mesh.faces)))

    def printing(self) -> dict[str, Printing]:
        """Measure every body as it stands on the bed: walls, overhang, fluid it holds, bed, plastic and time."""
        from comould.mould.printing.inspect import inspect
        from comould.mould.printing.limits import limits_of

        limits = limits_of(self.template.printer, self.template.material)
        meshes = {name: self.print_pose(name) for name in self.bodies}
        return {
            name: inspect(np.asarray(mesh.vertices), np.asarray(mesh.faces), limits) for name, mesh in meshes.items()
        }

    def plate(self) -> dict[str, trimesh.Trimesh]:
        """Lay all bodies on one print bed beside each other, every inlay in its body."""
        laid: dict[str, trimesh.Trimesh] = {}
        at = 0.0
        for name in self.bodies:
            inside = [s["name"] for s in self.report["structures"] if s["body"] == name]
            meshes = {one: self.print_pose(one) for one in (name, *inside)}
            low = meshes[name].bounds[0, 0]
            for mesh in meshes.values():
                mesh.apply_translation((at - low if laid else 0.0, 0.0, 0.0))
            at = float(meshes[name].bounds[1, 0]) + PLATE_GAP_MM
            laid |= meshes
        return laid

    def write(
        self,
        directory: str | Path,
        overwrite: bool = False,
        inputs: Mapping[str, str | Path] | None = None,
        extras: Sequence[Callable[[Path], object]] = (),
    ) -> Path:
        """Write an STL for each body, ``mould.3mf``, ``specimen.stl`` and ``manifest.json``, or nothing at all.

        Parameters
        ----------
        directory
            New or empty folder.
        overwrite
            Replace a folder an earlier run wrote.
        inputs
            Role to path of what the mould was made from; only hashes are kept.
        extras
            Called with the unfinished folder, to write more files into it; if one fails nothing is written.

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
            for name in self.bodies:
                mesh = self.print_pose(name)
                # A body printed as it stands was measured when it was built.
                moved = not np.array_equal(mesh.vertices, self.bodies[name].vertices)
                _check_written(write_stl(mesh, work / f"{name}.stl"), mesh, measured=not moved)
            colours = {s["name"]: s["colour"] for s in self.report["structures"] if s["body"]}
            write_3mf(self.plate(), work / "mould.3mf", colours)
            write_stl(self.specimen, work / "specimen.stl")
            write_json(work / "manifest.json", self.manifest(inputs))
            for extra in extras:
                extra(work)
        return target


def _check_written(path: Path, mesh: trimesh.Trimesh, *, measured: bool) -> None:
    from comould.io.mesh import read_stl_facets

    back = read_stl_facets(path)
    found = ""
    if not np.array_equal(back, np.asarray(mesh.vertices, dtype=np.float32)[np.asarray(mesh.faces)]):
        found = f"{len(back)} triangles, other than written"
    elif not measured:
        report = measure(np.asarray(mesh.vertices), np.asarray(mesh.faces))
        if not report.printable or report.bodies != 1:
            found = f"{report.bodies} bodies; " + "; ".join(report.problems)
    if found:
        raise PrintabilityError(
            subject=f"{path.name} read back",
            expected=f"one watertight body of {len(mesh.faces)} triangles, as it was written",
            found=found,
        )


def as_mesh(surface: Surface) -> trimesh.Trimesh:
    """Make a mesh in mm of vertices ``(n, 3)`` and faces ``(m, 3)``, as they are."""
    import trimesh

    mesh = trimesh.Trimesh(surface[0], surface[1], process=False)
    mesh.units = "mm"
    return mesh
