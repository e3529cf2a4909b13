"""Meshes of printed things: STL and 3MF out, STL, 3MF, PLY and OBJ in; millimetres throughout."""

from __future__ import annotations

import io
import re
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould._version import __version__
from comould.errors import InputError, PrintabilityError

if TYPE_CHECKING:
    import trimesh

MESH_SUFFIXES = (".stl", ".3mf", ".ply", ".obj")

_MM_PER_UNIT = {"micron": 1e-3, "millimeter": 1.0, "centimeter": 10.0, "inch": 25.4, "foot": 304.8, "meter": 1000.0}
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class EdgeReport:
    """What is wrong with the edges of a surface as a slicer sees it.

    Parameters
    ----------
    collapsed_facets
        Facets with two corners at the same place; harmless once left out.
    open_edges
        Directed edges without exactly one partner running the other way: holes, flaps, facets turned round.
    """

    collapsed_facets: int
    open_edges: int


def edge_report(vertices: npt.ArrayLike, faces: npt.ArrayLike, *, single_precision: bool = True) -> EdgeReport:
    """Count the defects a surface has when corners at one place are one corner, as a slicer reads an STL.

    Parameters
    ----------
    vertices
        ``(n, 3)`` mm.
    faces
        ``(m, 3)`` indices.
    single_precision
        Round to float32 first, as STL stores it: close corners may fall together.

    Returns
    -------
    EdgeReport
        Both counts zero for a sound closed surface.
    """
    corners, triangles = np.asarray(vertices), np.asarray(faces)
    merged = weld(corners.astype(np.float32) if single_precision else corners, triangles)[1]
    kept = has_three_corners(merged)
    return EdgeReport(len(triangles) - int(kept.sum()), _unpaired(merged[kept]))


def write_stl(mesh: trimesh.Trimesh, path: str | Path) -> Path:
    """Write a binary STL in millimetres.

    Parameters
    ----------
    mesh
        Mould frame, mm. Its facet order is kept; facets without area at float32 precision are left out.
    path
        File to write; STL carries neither unit nor frame, so the header says mm and the manifest says the frame.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the mesh is empty or has coordinates that are not finite.
    PrintabilityError
        If rounding to float32 would open a closed mesh.
    """
    import trimesh as tm
    from trimesh.exchange.stl import export_stl

    path = Path(path)
    _check_finite(mesh, f"mesh for {path.name}")
    kept = _check_single_precision(mesh, path.name)
    rounded = np.asarray(mesh.vertices, dtype=np.float32).astype(np.float64)
    body = tm.Trimesh(rounded, np.asarray(mesh.faces)[kept], process=False)
    # Readers take a file that starts with "solid" for text.
    header = f"comould {__version__}, unit mm".encode("ascii").ljust(80, b"\0")
    path.write_bytes(header + export_stl(body)[80:])
    return path


def write_3mf(bodies: Mapping[str, trimesh.Trimesh], path: str | Path) -> Path:
    """Write named bodies to one 3MF in millimetres; the same bodies give the same bytes.

    Parameters
    ----------
    bodies
        Name to mesh, mould frame, mm; names are kept as object names and part numbers.
    path
        File to write.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If there is no body, a name is empty, or a mesh is empty or not finite.
    PrintabilityError
        If a closed body opens when a slicer rounds it to float32.
    """
    import trimesh as tm

    path = Path(path)
    if not bodies or not all(bodies):
        raise InputError(subject=f"bodies for {path.name}", expected="at least one, each with a name", found="none")
    scene = tm.Scene()
    for name, mesh in bodies.items():
        _check_finite(mesh, f"body {name!r} for {path.name}")
        _check_single_precision(mesh, f"{path.name}, body {name!r}")
        scene.add_geometry(mesh, geom_name=name, node_name=name)
    path.write_bytes(_repeatable(scene.export(file_type="3mf")))
    return path


def read_mesh(path: str | Path) -> trimesh.Trimesh:
    """Read a mesh as millimetres, facets in file order, corners at one place made one.

    Parameters
    ----------
    path
        STL (binary or text), 3MF, PLY or OBJ. A 3MF's unit is converted; the others have none and are taken as mm.

    Returns
    -------
    trimesh.Trimesh
        All bodies of the file, placed, one after the other; corners are merged within a body, never between bodies.

    Raises
    ------
    InputError
        If the file is missing, of another kind, damaged, empty, not a surface, or has coordinates that are not finite.
    """
    import trimesh as tm

    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise InputError(
            subject=f"mesh file {path.name}", expected=f"suffix {', '.join(MESH_SUFFIXES)}", found=suffix or "none"
        )
    if not path.is_file() or not path.stat().st_size:
        found = "an empty file" if path.is_file() else "no file"
        raise InputError(subject=str(path), expected="a mesh", found=found)
    try:
        scene = tm.load_scene(path, file_type=suffix[1:], process=False)
    except Exception as error:
        # Readers of damaged files raise whatever the damage leads to (struct, zip, XML, key and index errors).
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            subject=str(path), expected="a mesh", found=f"a file that cannot be read ({reason})"
        ) from error
    bodies = _placed_bodies(scene)
    if not bodies:
        kinds = sorted({type(geometry).__name__ for geometry in scene.geometry.values()})
        raise InputError(subject=str(path), expected="a mesh with facets", found=", ".join(kinds) or "nothing in it")
    for body in bodies:
        _check_finite(body, str(path))
    mesh = bodies[0] if len(bodies) == 1 else tm.util.concatenate(bodies)
    if suffix == ".3mf":
        mesh.apply_scale(_MM_PER_UNIT[_unit_of_3mf(path)])
    mesh.units = "mm"
    return mesh


def _placed_bodies(scene: trimesh.Scene) -> list[trimesh.Trimesh]:
    import trimesh as tm

    bodies = []
    order = {name: number for number, name in enumerate(scene.geometry)}
    placed = [(scene.graph[node], node) for node in scene.graph.nodes_geometry]
    for (matrix, name), _ in sorted(placed, key=lambda item: (order[item[0][1]], str(item[1]))):
        geometry = scene.geometry[name]
        if not isinstance(geometry, tm.Trimesh) or not len(geometry.faces):
            continue
        body = tm.Trimesh(geometry.vertices, geometry.faces, process=False)
        body.apply_transform(matrix)
        if np.isfinite(body.vertices).all():
            corners, merged = weld(np.asarray(body.vertices), np.asarray(body.faces))
            body = tm.Trimesh(corners, merged, process=False)
            body.remove_unreferenced_vertices()
        bodies.append(body)
    return bodies


def _unit_of_3mf(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        model = next(name for name in archive.namelist() if name.lower().endswith(".model"))
        with archive.open(model) as stream:
            head = stream.read(8192).decode("utf-8", errors="replace")
    found = re.search(r"<model\b[^>]*\bunit\s*=\s*[\"'](\w+)[\"']", head)
    unit = found.group(1) if found else "millimeter"
    if unit not in _MM_PER_UNIT:
        raise InputError(subject=str(path), expected=f"a unit of {', '.join(_MM_PER_UNIT)}", found=repr(unit))
    return unit


def _check_finite(mesh: trimesh.Trimesh, subject: str) -> None:
    if not len(mesh.faces):
        raise InputError(subject=subject, expected="a mesh with facets", found="none")
    bad = int((~np.isfinite(np.asarray(mesh.vertices)).all(axis=1)).sum())
    if bad:
        raise InputError(
            subject=subject, expected="finite coordinates", found=f"{bad} corners that are NaN or infinite"
        )


def _check_single_precision(mesh: trimesh.Trimesh, name: str) -> npt.NDArray[np.bool_]:
    """Return which facets keep their three corners at float32; raise when a closed mesh opens there."""
    corners, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    merged = weld(corners.astype(np.float32), faces)[1]
    kept = has_three_corners(merged)
    opened = _unpaired(merged[kept])
    if opened and not edge_report(corners, faces, single_precision=False).open_edges:
        raise PrintabilityError(
            subject=f"mesh for {name}",
            expected="a surface that stays closed at float32 precision, as slicers read it",
            found=f"{opened} edges that open",
            remedy="Remove slivers (merge corners closer than 1e-4 mm) or move the mesh to the origin",
        )
    return kept


def weld(vertices: npt.NDArray[Any], faces: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Make corners at one place one corner.

    Parameters
    ----------
    vertices
        ``(n, 3)``, in the precision at which places are compared (float32: as a reader of STL does).
    faces
        ``(m, 3)`` indices.

    Returns
    -------
    tuple
        The distinct corners ``(k, 3)`` in sorted order, and the faces ``(m, 3)`` that index them.
    """
    corners = np.ascontiguousarray(vertices) + vertices.dtype.type(0)  # -0 becomes 0
    order = np.lexsort(corners.T)
    ordered = corners[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    index = np.empty(len(order), dtype=np.int64)
    index[order] = np.cumsum(fresh) - 1
    return ordered[fresh], index[faces]


def has_three_corners(faces: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell which facets ``(m, 3)`` have three different corners."""
    return (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])


def _unpaired(faces: npt.NDArray[Any]) -> int:
    """Count directed edges that have not exactly one partner the other way."""
    if not len(faces):
        return 0
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    stride = int(edges.max()) + 1
    forward, counts = np.unique(edges[:, 0] * stride + edges[:, 1], return_counts=True)
    single = forward[counts == 1]
    backward = (single % stride) * stride + single // stride
    place = np.minimum(np.searchsorted(single, backward), max(len(single) - 1, 0))
    return int(len(edges) - (single[place] == backward).sum()) if len(single) else len(edges)


def _repeatable(archive: bytes) -> bytes:
    """Give a 3MF fixed times and identifiers that depend on their order only."""
    numbers = iter(range(1 << 30))

    def identifier(_: re.Match[bytes]) -> bytes:
        return b'UUID="' + str(uuid.uuid5(uuid.NAMESPACE_OID, f"comould {next(numbers)}")).encode() + b'"'

    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(written, "w") as new:
        for entry in sorted(old.namelist()):
            data = old.read(entry)
            if entry.endswith(".model"):
                data = re.sub(rb'UUID="[0-9a-f-]{36}"', identifier, data)
            info = zipfile.ZipInfo(entry, _ZIP_DATE)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            new.writestr(info, data, compresslevel=6)
    return written.getvalue()
