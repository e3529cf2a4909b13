"""Cut a part that is larger than the bed into parts that fit, with sockets and loose pins to put it together again.

Pins are bars of square section standing on an edge, in sockets of the same shape: 45° faces print without support in
any part. Two pins of different size per cut leave one way to join the parts. Pins are bodies of their own, in place.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import ComouldWarning, InputError, PrintabilityError
from comould.mould.printing.bed import BedFit, fit_on_bed
from comould.mould.printing.columns import cast
from comould.mould.printing.inspect import inspect
from comould.mould.printing.limits import Limits
from comould.space import FloatArray

if TYPE_CHECKING:
    import trimesh
    from manifold3d import Manifold

MAX_PARTS = 64

_DEEP_MM = (8.0, 5.0, 3.0)
_SIDES_MM = (6.0, 5.0, 4.0, 3.0, 2.0)
_PIN_STEP_MM = 0.5
_SEARCH_MM = 15.0
_FACE_MM2 = 100.0


_UPRIGHT = ((0.0, -90.0, 0.0), (90.0, 0.0, 0.0), (0.0, 0.0, 0.0))
"""Rotation that turns x, y or z to z."""


@dataclass(frozen=True)
class Joint:
    """How parts are joined.

    Parameters
    ----------
    clearance_mm
        Gap round a pin and at its ends.
    cover_mm
        Least material round a socket: at its edges only, so two strands will do.
    min_wall_mm
        Least half of a rib that is cut along its middle.
    """

    clearance_mm: float = 0.2
    cover_mm: float = 0.8
    min_wall_mm: float = 1.2


def split_for_bed(
    mesh: trimesh.Trimesh,
    bed_mm: tuple[float, float, float] = (250.0, 210.0, 210.0),
    *,
    slots_x: Sequence[float] = (),
    slot_mm: float = 1.0,
    joint: Joint | None = None,
    name: str = "mould",
) -> dict[str, trimesh.Trimesh]:
    """Cut a mesh into parts that fit a bed.

    Parameters
    ----------
    mesh
        Closed, mm, z up.
    bed_mm
        Bed x, y and height.
    slots_x
        Centres of knife slots along x: cuts across x run midway between two of them.
    slot_mm
        Their width.
    joint
        Pins, their gaps, and the least wall.
    name
        Of the bodies: ``mould`` alone when it fits, else ``mould_1`` … and ``mould_pin_1`` ….

    Returns
    -------
    dict
        Name to watertight mesh, all where they belong in the whole: together the whole less the gaps round the pins.

    Raises
    ------
    InputError
        If a bed size is not positive.
    PrintabilityError
        If the mesh is not closed, or more than 64 parts would be needed.

    Warns
    -----
    ComouldWarning
        If a cut has no room for pins.
    """
    if len(bed_mm) != 3 or not all(np.isfinite(side) and side > 0 for side in bed_mm):
        raise InputError(subject="bed", expected="three sizes in mm above 0", found=str(tuple(bed_mm)))
    if fit_on_bed(np.asarray(mesh.vertices), bed_mm).fits:
        return {name: mesh}
    work = _Work(bed_mm, tuple(sorted(slots_x)), slot_mm, joint or Joint())
    parts = work.cut(_as_manifold(mesh))
    bodies = {f"{name}_{n}": _as_mesh(part) for n, part in enumerate(parts, 1)}
    bodies |= {f"{name}_pin_{n}": _as_mesh(pin) for n, pin in enumerate(work.pins, 1)}
    return bodies


def write_split(
    mesh_or_path: trimesh.Trimesh | str | Path,
    folder: str | Path,
    limits: Limits | None = None,
    *,
    slots_x: Sequence[float] = (),
    overwrite: bool = False,
) -> dict[str, list[str]]:
    """Split a mesh and write an STL per part and pin, with a manifest, or nothing at all.

    Parameters
    ----------
    mesh_or_path
        Closed mesh or mesh file, mm, z up.
    folder
        New or empty folder.
    limits
        Printer: its bed.
    slots_x
        As for :func:`split_for_bed`.
    overwrite
        Replace a folder an earlier run wrote.

    Returns
    -------
    dict
        Name of each body written, to what keeps it from being printed (nothing, as a rule).

    Raises
    ------
    InputError, PrintabilityError
        As :func:`split_for_bed`; or if the folder may not be used.
    """
    from comould.io.mesh import read_mesh, write_stl
    from comould.io.output import atomic_directory, provenance, write_json

    limits = limits or Limits()
    given = not isinstance(mesh_or_path, str | Path)
    mesh = mesh_or_path if given else read_mesh(mesh_or_path)
    joint = Joint(clearance_mm=limits.pin_clearance_mm, min_wall_mm=limits.min_wall_mm)
    bodies = split_for_bed(mesh, limits.bed_mm, slots_x=slots_x, joint=joint)
    problems = {
        name: inspect(np.asarray(body.vertices), np.asarray(body.faces), limits).problems()
        for name, body in bodies.items()
    }
    with atomic_directory(folder, overwrite=overwrite) as work:
        for name, body in bodies.items():
            write_stl(body, work / f"{name}.stl")
        listed = {
            name: {"volume_ml": body.volume / 1000.0, "size_mm": body.extents, "problems": problems[name]}
            for name, body in bodies.items()
        }
        made = provenance(
            inputs={} if given else {"mesh": mesh_or_path}, parameters=asdict(limits), libraries=("manifold3d",)
        )
        write_json(work / "manifest.json", {"format": "comould.split", "units": "mm", "bodies": listed, **made})
    return problems


class _Work:
    """One splitting job; collects the pins of all its cuts."""

    def __init__(
        self, bed_mm: tuple[float, float, float], slots_x: tuple[float, ...], slot_mm: float, joint: Joint
    ) -> None:
        self.bed_mm, self.slots_x, self.slot_mm, self.joint = bed_mm, slots_x, slot_mm, joint
        self.pins: list[Manifold] = []
        self.cuts = 0

    def cut(self, part: Manifold) -> list[Manifold]:
        """Cut a part until everything fits."""
        fit = fit_on_bed(_corners(part), self.bed_mm)
        if fit.fits:
            return [part]
        self.cuts += 1
        if self.cuts >= MAX_PARTS:
            raise PrintabilityError(
                subject="splitting for the bed",
                expected=f"at most {MAX_PARTS} parts",
                found=f"more on a bed of {self.bed_mm[0]:g} × {self.bed_mm[1]:g} × {self.bed_mm[2]:g} mm",
                remedy="Choose a larger printer",
            )
        axis, at = self._where(part, fit)
        direction = np.eye(3)[axis]
        upper, lower = part.split_by_plane(direction.tolist(), at)
        if lower.volume() < 1.0 or upper.volume() < 1.0:
            raise PrintabilityError(
                subject="splitting for the bed", expected="two parts", found="a cut that leaves nothing on one side"
            )
        sockets = self._join(part, axis, at)
        for socket in sockets:
            lower, upper = lower - socket, upper - socket
        pieces = [piece for half in (lower, upper) for piece in half.decompose() if piece.volume() > 1.0]
        return [small for piece in pieces for small in self.cut(piece)]

    def _where(self, part: Manifold, fit: BedFit) -> tuple[int, float]:
        """Choose the axis that is too long and where to cut it, in the middle of a rib where there are slots."""
        low, high = np.array(part.bounding_box()[:3]), np.array(part.bounding_box()[3:])
        size = high - low
        if fit.footprint_mm[2] > self.bed_mm[2]:
            axis, room = 2, self.bed_mm[2]
        else:
            axis, room = (0 if size[0] >= size[1] else 1), max(self.bed_mm[:2])
        count = max(2, int(np.ceil(size[axis] / room - 1e-9)))
        # One cut at a time: the first of equal parts, so that three fit where halves would have to be halved again.
        at = low[axis] + size[axis] * (count // 2) / count
        return axis, self._through_material(part, axis, float(at))

    def _through_material(self, part: Manifold, axis: int, at: float) -> float:
        """Move a cut off slots and faces: midway between two slots, or two plane faces, near the wanted place."""
        if axis == 0 and self.slots_x:
            walls = [(a + 0.5 * self.slot_mm, b - 0.5 * self.slot_mm) for a, b in pairwise(self.slots_x)]
        else:
            box = part.bounding_box()
            walls = list(pairwise([box[axis], *_plane_faces(part, axis), box[axis + 3]]))
        walls = [(a, b) for a, b in walls if b > a and abs(self._inside(a, b, at) - at) <= _SEARCH_MM]
        if not walls:
            return at
        # Between two faces lies a wall or a gap; a wide gap that is cut lengthwise leaves little section.
        upright = part.rotate(_UPRIGHT[axis])
        areas = [upright.slice(self._inside(a, b, at)).area() for a, b in walls]
        solid = [wall for wall, area in zip(walls, areas, strict=True) if area >= 0.5 * max(areas)]
        thick = [(a, b) for a, b in solid if b - a >= 2 * self.joint.min_wall_mm]
        if thick:
            return min((self._inside(a, b, at) for a, b in thick), key=lambda x: abs(x - at))
        low, high = max(solid, key=lambda wall: wall[1] - wall[0])
        warnings.warn(
            f"the cut at {'xyz'[axis]} = {0.5 * (low + high):.1f} mm halves a wall of {high - low:.1f} mm: "
            "put the planes further apart or choose a larger printer",
            ComouldWarning,
            stacklevel=2,
        )
        return 0.5 * (low + high)

    def _inside(self, low: float, high: float, at: float) -> float:
        """Place a cut between two faces: midway, or anywhere well inside when they are far apart."""
        if high - low < _SEARCH_MM:
            return 0.5 * (low + high)
        room = 4 * self.joint.min_wall_mm
        return float(np.clip(at, low + room, high - room)) if high - low > 2 * room else 0.5 * (low + high)

    def _join(self, part: Manifold, axis: int, at: float) -> list[Manifold]:
        """Find room for two pins across a cut; add them, and return their sockets."""
        solid = _triangles(part)
        columns = cast(solid, axis, _PIN_STEP_MM)
        for deep in _DEEP_MM:
            need = deep + self.joint.cover_mm
            through = (columns.enter <= at - need) & (columns.leave >= at + need)
            mask = np.zeros(columns.shape[0] * columns.shape[1], dtype=bool)
            mask[columns.column[through]] = True
            places = _places(mask.reshape(columns.shape), columns.step_mm, self.joint)
            if places:
                break
        else:
            warnings.warn(
                f"the cut at {'xyz'[axis]} = {at:.1f} mm has no room for pins: glue it by eye",
                ComouldWarning,
                stacklevel=5,
            )
            return []
        sockets = []
        for cell, side in places:
            middle = np.empty(3)
            middle[list(columns.others)] = columns.origin_mm + np.array(cell) * columns.step_mm
            middle[axis] = at
            gap = self.joint.clearance_mm
            self.pins.append(_bar(middle, axis, side, 2 * deep - 2 * gap))
            sockets.append(_bar(middle, axis, side + 2 * gap, 2 * deep))
        return sockets


def _places(mask: Any, step: float, joint: Joint) -> list[tuple[tuple[int, int], float]]:
    """Two cells as far apart as possible with room for a bar, and the bars' sides."""
    from scipy import ndimage as ndi

    room = ndi.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] * step - 0.5 * step
    for side in _SIDES_MM:
        # A square on its edge reaches half its diagonal from its middle.
        cells = np.argwhere(room >= (side / 2 + joint.clearance_mm) * np.sqrt(2.0) + joint.cover_mm)
        if not len(cells):
            continue
        middle = cells.mean(axis=0)
        first = cells[np.argmax(((cells - middle) ** 2).sum(axis=1))]
        second = cells[np.argmax(((cells - first) ** 2).sum(axis=1))]
        apart = float(np.linalg.norm(first - second)) * step
        if apart >= 3.0 * side:
            one, two = (int(first[0]), int(first[1])), (int(second[0]), int(second[1]))
            return [(one, side), (two, max(side - 1.0, 1.5))]
        if side == _SIDES_MM[-1]:
            return [((int(first[0]), int(first[1])), side)]
    return []


def _bar(middle: FloatArray, axis: int, side: float, length: float) -> Manifold:
    """Make a square bar along an axis about a point, standing on an edge."""
    from manifold3d import Manifold

    bar = Manifold.cube((side, side, length), True).rotate((0.0, 0.0, 45.0))
    turned = {0: (0.0, 90.0, 0.0), 1: (90.0, 0.0, 0.0), 2: (0.0, 0.0, 0.0)}[axis]
    return bar.rotate(turned).translate(middle.tolist())


def _plane_faces(part: Manifold, axis: int) -> list[float]:
    """Where larger plane faces across an axis lie."""
    triangles = _triangles(part)
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    double = np.linalg.norm(normal, axis=1)
    plane = np.abs(normal[:, axis]) > 0.9999 * np.maximum(double, 1e-30)
    at, group = np.unique(np.round(triangles[plane, 0, axis], 2), return_inverse=True)
    area = np.bincount(group, weights=0.5 * double[plane], minlength=len(at))
    return [float(x) for x in at[area >= _FACE_MM2]]


def _as_manifold(mesh: trimesh.Trimesh) -> Manifold:
    from manifold3d import Error, Manifold, Mesh

    from comould.io.mesh import weld

    vertices, faces = weld(np.asarray(mesh.vertices, dtype=np.float32), np.asarray(mesh.faces))
    body = Manifold(Mesh(vertices, faces.astype(np.uint32)))
    if body.status() != Error.NoError or body.is_empty() or body.volume() <= 0:
        raise PrintabilityError(
            subject="splitting for the bed",
            expected="a closed mesh facing outwards",
            found=f"{body.status()}".rsplit(".", 1)[-1] if body.status() != Error.NoError else "no volume",
            remedy="See `comould check` for what is wrong with it",
        )
    return body


def _as_mesh(body: Manifold) -> trimesh.Trimesh:
    import trimesh as tm

    raw = body.to_mesh()
    mesh = tm.Trimesh(raw.vert_properties[:, :3].astype(np.float64), raw.tri_verts.astype(np.int64), process=False)
    mesh.units = "mm"
    return mesh


def _corners(body: Manifold) -> FloatArray:
    return np.asarray(body.to_mesh().vert_properties[:, :3], dtype=np.float64)


def _triangles(body: Manifold) -> FloatArray:
    raw = body.to_mesh()
    return np.asarray(raw.vert_properties[:, :3], dtype=np.float64)[raw.tri_verts]
