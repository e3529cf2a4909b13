"""Is a mesh printable: measured on its triangles as a slicer would read them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould.errors import InputError, PrintabilityError
from comould.space import FloatArray

if TYPE_CHECKING:
    import trimesh

    from comould.mould.equipment import Material, Printer
    from comould.mould.printing.inspect import Printing
    from comould.mould.printing.limits import Limits
    from comould.mould.printing.slicer import SliceReport

IntArray = npt.NDArray[np.int64]

SMALLEST_MM, LARGEST_MM = 2.0, 1000.0
"""Sides outside this range are a wrong unit rather than a mould."""


@dataclass(frozen=True)
class Line:
    """One line of a report: what, how much, and whether that is as it should be (``None``: just a fact)."""

    name: str
    value: str
    passed: bool | None = None


@dataclass(frozen=True)
class PrintReport:
    """What a mesh is like for a printer.

    Parameters
    ----------
    faces
        Triangles.
    bodies
        Separate closed surfaces that bound material.
    voids
        Separate closed surfaces that bound a hollow inside.
    volume_ml
        Material enclosed.
    size_mm
        Bounding box along x, y, z.
    open_edges
        Edges with material on one side only.
    flipped_edges
        Edges whose two triangles face opposite ways.
    crowded_edges
        Edges shared by more than two triangles.
    touching_vertices
        Corners where separate parts of the surface touch in a point.
    degenerate_faces
        Triangles without area at single precision.
    problems
        What makes it unprintable, in words; empty when it is printable.
    notes
        Worth knowing, but no obstacle.
    printing
        Walls, overhang, trapped fluid, bed, plastic and time; ``None`` where they were not asked for, or where the
        surface is not closed and they cannot be measured.
    slicer
        PrusaSlicer's own figures, when asked for.
    """

    faces: int
    bodies: int
    voids: int
    volume_ml: float
    size_mm: tuple[float, float, float]
    open_edges: int
    flipped_edges: int
    crowded_edges: int
    touching_vertices: int
    degenerate_faces: int
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    printing: Printing | None = None
    slicer: SliceReport | None = None

    @property
    def printable(self) -> bool:
        """Whether nothing speaks against printing it."""
        return not self.problems

    @property
    def watertight(self) -> bool:
        """Whether every edge joins exactly two triangles that face the same way."""
        return not (self.open_edges or self.flipped_edges or self.crowded_edges)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; ``printing`` and ``slicer`` only when they were measured."""
        own = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in ("printing", "slicer"):
            part = own.pop(name)
            if part is not None:
                own[name] = part.to_dict()
        return {"printable": self.printable, "watertight": self.watertight, **own}

    def lines(self) -> list[Line]:
        """Say it in lines for people."""
        x, y, z = self.size_mm
        unit_ok = SMALLEST_MM <= max(self.size_mm) <= LARGEST_MM
        edges = f"open edges {self.open_edges}, flipped {self.flipped_edges}, crowded {self.crowded_edges}"
        facts = [
            Line("watertight", edges, self.watertight),
            Line("volume", f"{self.volume_ml:.2f} ml", self.volume_ml > 0),
            Line("size", f"{x:.1f} × {y:.1f} × {z:.1f} mm", unit_ok),
            Line("bodies", f"{self.bodies}" + (f", hollows inside {self.voids}" if self.voids else "")),
            Line(
                "triangles",
                f"{self.faces} (without area {self.degenerate_faces}, touching corners {self.touching_vertices})",
            ),
        ]
        if self.printing is not None:
            facts += [Line(*fact) for fact in self.printing.facts()]
        if self.slicer is not None:
            from comould.mould.printing.inspect import slicer_facts

            facts += [Line(*fact) for fact in slicer_facts(self.slicer)]
        facts += [Line("problem", text, False) for text in self.problems]
        return facts + [Line("note", text) for text in self.notes]


def check(
    mesh_or_path: trimesh.Trimesh | str | Path,
    *,
    printer: str | Printer | None = None,
    material: str | Material | None = None,
    slicer: bool = False,
    price_per_kg: float | None = None,
) -> PrintReport:
    """Measure whether a mesh can be printed, and what that takes.

    Parameters
    ----------
    mesh_or_path
        A mesh in mm, z up on the bed, or a mesh file (STL, 3MF, PLY, OBJ).
    printer
        Name (``comould templates printers``), YAML file or printer; a common filament printer with a bed of
        250 × 210 × 210 mm when left out.
    material
        Name, YAML file or material; the usual one of the printer's process when left out.
    slicer
        Run PrusaSlicer as well.
    price_per_kg
        Price of the plastic, to state that of the print.

    Returns
    -------
    PrintReport
        ``.printable``, ``.problems`` and the measures. Corners are compared at single precision, as STL stores them.

    Raises
    ------
    InputError
        If the file cannot be read, the mesh is empty or not finite, there is no such printer or material, or
        PrusaSlicer is asked for and not installed.

    Notes
    -----
    Intersections of the surface with itself are not looked for; walls narrower than about 2 mm both ways can be missed.
    """
    from comould.mould.printing.inspect import inspect
    from comould.mould.printing.limits import limits_of

    limits = limits_of(printer, material)
    if price_per_kg is not None and not 0 <= price_per_kg < np.inf:
        raise InputError(subject="price per kg", expected="a number from 0", found=f"{price_per_kg:g}")
    if isinstance(mesh_or_path, str | Path):
        from comould.io.mesh import read_mesh

        mesh_or_path = read_mesh(mesh_or_path)
    vertices, faces = np.asarray(mesh_or_path.vertices), np.asarray(mesh_or_path.faces)
    if not len(faces) or not np.isfinite(vertices).all():
        raise InputError(subject="mesh", expected="finite triangles", found="none" if not len(faces) else "NaN corners")
    report = measure(vertices, faces)
    if report.printable:
        printing = inspect(vertices, faces, limits, price_per_kg)
        report = replace(
            report,
            printing=printing,
            problems=(*report.problems, *printing.problems()),
            notes=(*report.notes, *printing.notes()),
        )
    else:
        report = replace(report, notes=(*report.notes, "walls, overhang, bed and cost wait for a sound surface"))
    return _with_slicer(report, mesh_or_path, limits) if slicer else report


def _with_slicer(report: PrintReport, mesh: trimesh.Trimesh, limits: Limits) -> PrintReport:
    """Add PrusaSlicer's figures, or why it gives none."""
    from comould.mould.printing.slicer import slice_mesh

    filament = limits.process == "FDM" and report.printing is not None
    try:
        said = slice_mesh(
            mesh,
            export=filament,
            bed_mm=limits.bed_mm,
            density_g_cm3=limits.density_g_cm3,
            settings=limits.settings,
        )
    except PrintabilityError as error:
        return replace(report, problems=(*report.problems, str(error)))
    problems, notes = report.problems, report.notes
    if not said.sound and report.printable:
        problems = (*problems, f"{said.program} does not take the surface for sound")
    if not filament:
        notes = (*notes, "PrusaSlicer was only asked about the surface: " + _why_not_sliced(report, limits))
    return replace(report, slicer=said, problems=problems, notes=notes)


def _why_not_sliced(report: PrintReport, limits: Limits) -> str:
    return "it is not sound" if report.printing is None else f"{limits.printer} prints {limits.process}, not filament"


def measure(vertices: FloatArray, faces: IntArray) -> PrintReport:
    """Measure vertices ``(n, 3)`` mm and faces ``(m, 3)``; see :func:`check`."""
    from comould.io.mesh import has_three_corners, weld

    single, faces = weld(np.asarray(vertices, dtype=np.float32), faces)
    points = single.astype(np.float64)
    corners = points[faces]
    degenerate = ~has_three_corners(faces)
    doubled = int(degenerate.sum())
    faces, corners = faces[~degenerate], corners[~degenerate]
    edges = _Edges.of(faces, len(points))
    parts, label = edges.parts(len(faces))
    six = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    volumes = np.bincount(label, weights=six, minlength=parts) / 6000.0
    size = np.ptp(points[faces].reshape(-1, 3), axis=0) if len(faces) else np.zeros(3)
    facts: dict[str, Any] = {
        "faces": len(faces) + doubled,
        "bodies": int((volumes > 0).sum()),
        "voids": int((volumes < 0).sum()),
        "volume_ml": float(volumes.sum()),
        "size_mm": tuple(float(x) for x in size),
        "open_edges": edges.open,
        "flipped_edges": edges.flipped,
        "crowded_edges": edges.crowded,
        "touching_vertices": edges.touching(faces),
        "degenerate_faces": doubled,
    }
    problems = _problems(facts)
    notes = []
    if facts["bodies"] > 1:
        notes.append(f"{facts['bodies']} separate bodies")
    if facts["voids"]:
        notes.append(f"{facts['voids']} hollows closed on all sides")
    return PrintReport(**facts, problems=tuple(problems), notes=tuple(notes))


def _problems(facts: dict[str, Any]) -> list[str]:
    named = {
        "open_edges": "open edges: the surface has holes",
        "flipped_edges": "edges between triangles that face opposite ways",
        "crowded_edges": "edges shared by more than two triangles",
    }
    problems = [f"{facts[key]} {text}" for key, text in named.items() if facts[key]]
    if facts["volume_ml"] <= 0:
        problems.append("the surface is inside out or encloses nothing")
    if max(facts["size_mm"]) < SMALLEST_MM:
        problems.append(f"largest side {max(facts['size_mm']):.3g} mm: is the mesh in metres or inches?")
    if max(facts["size_mm"]) > LARGEST_MM:
        problems.append(f"largest side {max(facts['size_mm']):.0f} mm: is the mesh in micrometres?")
    return problems


@dataclass(frozen=True, eq=False)
class _Edges:
    """Directed edges of triangles, paired with their opposites."""

    count: int
    open: int
    flipped: int
    crowded: int
    pairs: npt.NDArray[np.intp]

    @classmethod
    def of(cls, faces: IntArray, n_vertices: int) -> _Edges:
        """Sort the directed edges of faces ``(m, 3)`` and pair those that join the same corners."""
        start = faces.ravel()
        stop = faces[:, [1, 2, 0]].ravel()
        key = np.minimum(start, stop) * n_vertices + np.maximum(start, stop)
        order = np.argsort(key, kind="stable")
        first = np.ones(len(order), dtype=bool)
        first[1:] = key[order][1:] != key[order][:-1]
        at = np.flatnonzero(first)
        users = np.diff(np.append(at, len(order)))
        two = at[users == 2]
        pairs = np.column_stack([order[two], order[two + 1]])
        same_way = start[pairs[:, 0]] == start[pairs[:, 1]]
        return cls(len(start), int((users == 1).sum()), int(same_way.sum()), int((users > 2).sum()), pairs)

    def parts(self, n_faces: int) -> tuple[int, IntArray]:
        """Label the surfaces joined over edges: their count, and a label per face."""
        return _components(self.pairs // 3, n_faces)

    def touching(self, faces: IntArray) -> int:
        """Count corners used by more than one fan of triangles."""
        one, other = self.pairs[:, 0], self.pairs[:, 1]
        after_one, after_other = one - one % 3 + (one + 1) % 3, other - other % 3 + (other + 1) % 3
        # Corner n of a face is where its edge n starts; across an edge the starts and ends swap.
        links = np.concatenate([np.column_stack([one, after_other]), np.column_stack([after_one, other])])
        flat = faces.ravel()
        links = links[flat[links[:, 0]] == flat[links[:, 1]]]
        count, label = _components(links, faces.size)
        used = len(np.unique(flat))
        del label
        return max(int(count - used), 0) if not self.open else 0


def _components(links: npt.NDArray[np.intp], count: int) -> tuple[int, IntArray]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if count == 0:
        return 0, np.zeros(0, dtype=np.int64)
    graph = coo_matrix((np.ones(len(links), dtype=np.int8), (links[:, 0], links[:, 1])), shape=(count, count))
    parts, label = connected_components(graph, directed=False)
    return int(parts), label.astype(np.int64)
