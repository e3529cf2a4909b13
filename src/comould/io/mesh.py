"""Meshes of printed things: STL and 3MF out, STL, 3MF, PLY and OBJ in; millimetres throughout."""

from __future__ import annotations

import re
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
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?")
_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_MIX = np.uint64(0x9E3779B97F4A7C15)


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
    path = Path(path)
    _check_finite(mesh, f"mesh for {path.name}")
    kept = _check_single_precision(mesh, path.name)
    single = np.asarray(mesh.vertices, dtype=np.float32)
    faces = np.asarray(mesh.faces)
    corners = single[faces if kept.all() else faces[kept]]
    facets = np.zeros(len(corners), dtype=_FACET)
    facets["corners"] = corners
    facets["normal"] = _unit_normals(corners)
    # Readers take a file that starts with "solid" for text.
    header = f"comould {__version__}, unit mm".encode("ascii").ljust(80, b"\0")
    with path.open("wb") as stream:
        stream.write(header + np.array(len(facets), dtype="<u4").tobytes())
        stream.write(facets.tobytes())
    return path


def read_stl_facets(path: str | Path) -> npt.NDArray[np.float32]:
    """Read the corners of a binary STL's facets as they are stored, to compare a written file with what it should hold.

    Parameters
    ----------
    path
        Binary STL.

    Returns
    -------
    ndarray
        float32 ``(m, 3, 3)``: facet, corner, x y z; mm.

    Raises
    ------
    InputError
        If the file's size does not fit the number of facets it states.
    """
    path = Path(path)
    data = path.read_bytes()
    count = int.from_bytes(data[80:84], "little")
    if len(data) != 84 + _FACET.itemsize * count:
        raise InputError(
            subject=f"mesh file {path.name}",
            expected=f"a binary STL of {84 + _FACET.itemsize * count} bytes, as its {count} facets need",
            found=f"{len(data)} bytes",
        )
    return np.ascontiguousarray(np.frombuffer(data, dtype=_FACET, offset=84)["corners"])


def _unit_normals(corners: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    x, y, z = (corners[:, :, axis].astype(np.float64).T for axis in range(3))
    (x1, x2), (y1, y2), (z1, z2) = ((c[1] - c[0], c[2] - c[0]) for c in (x, y, z))
    normal = np.stack([y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2])
    length = np.sqrt((normal * normal).sum(axis=0))
    return np.asarray((normal / np.where(length > 0, length, 1.0)).T)


def write_3mf(
    bodies: Mapping[str, trimesh.Trimesh], path: str | Path, colours: Mapping[str, str] | None = None
) -> Path:
    """Write named bodies to one 3MF in millimetres; the same bodies give the same bytes.

    Parameters
    ----------
    bodies
        Name to mesh, mould frame, mm; names are kept as object names and part numbers.
    path
        File to write; coordinates keep float32 precision, as slicers read them.
    colours
        Name to ``"#RRGGBB"``, for the bodies that have one.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If there is no body, a name is empty, a colour is no colour or of no body, or a mesh is empty or not finite.
    PrintabilityError
        If a closed body opens when a slicer rounds it to float32.
    """
    from comould.io import _threemf

    path = Path(path)
    if not bodies or not all(bodies):
        raise InputError(subject=f"bodies for {path.name}", expected="at least one, each with a name", found="none")
    for name, mesh in bodies.items():
        _check_finite(mesh, f"body {name!r} for {path.name}")
        _check_single_precision(mesh, f"{path.name}, body {name!r}")
    for name, colour in (colours or {}).items():
        if name not in bodies or not _COLOUR.fullmatch(colour):
            raise InputError(
                subject=f"colours for {path.name}",
                expected=f"#RRGGBB for any of {', '.join(bodies)}",
                found=f"{colour!r} for {name!r}",
            )
    _threemf.write(bodies, colours or {}, path)
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
        The distinct corners ``(k, 3)`` in the order of their first appearance, and the faces ``(m, 3)`` that index
        them.
    """
    corners = np.ascontiguousarray(vertices) + vertices.dtype.type(0)  # -0 becomes 0
    keys = _keys(corners)
    order = np.argsort(keys, kind="stable")
    fresh = _changes(keys[order])
    if fresh.all():
        return corners, np.asarray(faces, dtype=np.int64)
    if (_changes(*corners[order].T) != fresh).any():
        # Two places share a key: sort by the coordinates themselves.
        order = np.lexsort(corners.T)
        fresh = _changes(*corners[order].T)
    first = np.zeros(len(corners), dtype=bool)
    first[order[fresh]] = True
    index = np.empty(len(corners), dtype=np.int64)
    index[order] = (np.cumsum(first) - 1)[order[fresh]][np.cumsum(fresh) - 1]
    return corners[first], index[faces]


def _keys(corners: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Mix each corner's coordinates into one number: equal corners, equal numbers, and hardly ever the other way."""
    bits = corners.view({2: np.uint16, 4: np.uint32, 8: np.uint64}[corners.dtype.itemsize]).astype(np.uint64)
    key = np.zeros(len(corners), dtype=np.uint64)
    for axis in range(corners.shape[1]):
        key = (key ^ bits[:, axis]) * _MIX
        key ^= key >> np.uint64(32)
    return key


def _changes(*columns: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell which rows of columns ``(n,)`` differ from the one before; the first does."""
    fresh = np.zeros(len(columns[0]), dtype=bool)
    fresh[:1] = True
    for column in columns:
        fresh[1:] |= column[1:] != column[:-1]
    return fresh


def has_three_corners(faces: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell which facets ``(m, 3)`` have three different corners."""
    return (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])


def _unpaired(faces: npt.NDArray[Any]) -> int:
    """Count directed edges that have not exactly one partner the other way."""
    if not len(faces):
        return 0
    if _paired(faces):
        return 0
    stride = int(faces.max()) + 1
    forward = (faces.astype(np.int64) * stride + faces[:, [1, 2, 0]]).ravel()
    keys, counts = np.unique(forward, return_counts=True)
    single = keys[counts == 1]
    backward = (single % stride) * stride + single // stride
    place = np.minimum(np.searchsorted(single, backward), max(len(single) - 1, 0))
    return int(forward.size - (single[place] == backward).sum()) if len(single) else int(forward.size)


def _paired(faces: npt.NDArray[Any]) -> bool:
    """Tell whether each directed edge is there once, and once the other way, without sorting them."""
    from scipy.sparse import coo_array

    count = int(faces.max()) + 1
    ends = np.ascontiguousarray(faces.T, dtype=np.int32)
    once = np.ones(ends.size, dtype=np.int8)
    leaving = coo_array((once, (ends.ravel(), ends[[1, 2, 0]].ravel())), shape=(count, count)).tocsr()
    if leaving.nnz < ends.size:
        return False
    arriving = leaving.T.tocsr()
    leaving = arriving.T.tocsr()
    return bool((leaving.indptr == arriving.indptr).all() and (leaving.indices == arriving.indices).all())
