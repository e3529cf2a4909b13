"""A scan of the specimen's surface against the planned specimen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.mould import _cast
from comould.mould.fit.planned import Planned
from comould.mould.fit.rigid import TRUE_SIZE
from comould.mould.fit.solid import Placed, Surface, angle_between, place, principal_starts, upright_starts
from comould.mould.fit.verdict import CLEARLY_MM, SCALES, TOLERANCE_MM, Supposition, clearly_better
from comould.mould.outline import Cutter
from comould.space import FloatArray

if TYPE_CHECKING:
    import trimesh

    from comould.mould.result import Mould

ScanFrame = Literal["mould", "free"]

PLANNED, TURNED, TILTED, MIRRORED, NO_MATCH = "as planned", "turned", "tilted", "mirror image", "no match"

TURNED_DEG = 10.0
"""A specimen turned about the insertion axis by more than this did not sit as planned."""

TILTED_DEG = 5.0
"""A specimen whose insertion axis leans by more than this did not sit as planned."""

UNITS = {"metres": 1e-3, "inches": 1.0 / 25.4, "centimetres": 0.1, "micrometres": 1e3}
"""Length of a millimetre in other units a scan may be in."""

_OTHER_UNIT = 0.25
_SIZE_RANGE = {True: (0.6, 1.5), False: (0.3, 1.5)}
_GRID = 70


@dataclass(frozen=True, eq=False)
class Attitude:
    """How the specimen sat in the mould: the rotation from its planned to its scanned position.

    Parameters
    ----------
    turn_deg
        About the insertion axis z, right-handed: anticlockwise seen from above.
    tilt_deg
        Angle between the specimen's planned upward direction and the one found.
    about_normal_deg, about_y_deg
        The tilt as turns about the cuts' normal (mould x) and about mould y, right-handed.
    """

    turn_deg: float
    tilt_deg: float
    about_normal_deg: float
    about_y_deg: float

    @classmethod
    def of(cls, rotation: FloatArray) -> Attitude:
        """Split a rotation ``(3, 3)`` of the mould frame."""
        up = rotation[:, 2]
        # The turn that is left when the shortest turn has brought the insertion axis back upright.
        turn = np.arctan2(rotation[1, 0] - rotation[0, 1], rotation[0, 0] + rotation[1, 1])
        return cls(
            float(np.degrees(turn)),
            float(np.degrees(np.arccos(np.clip(up[2], -1.0, 1.0)))),
            float(np.degrees(np.arctan2(-up[1], up[2]))),
            float(np.degrees(np.arctan2(up[0], up[2]))),
        )

    @property
    def verdict(self) -> str:
        """What it is called."""
        if self.tilt_deg > TILTED_DEG:
            return TILTED
        return TURNED if abs(self.turn_deg) > TURNED_DEG else PLANNED

    def words(self) -> str:
        """Say it, rounded."""
        if self.verdict == PLANNED:
            return PLANNED
        # Half a turn has no side.
        degrees = f"{abs(self.turn_deg):.0f}" if abs(self.turn_deg) > 179.5 else f"{self.turn_deg:+.0f}"
        turn = f"turned by {degrees}°" if abs(self.turn_deg) > TURNED_DEG else ""
        tilt = f"tilted by {self.tilt_deg:.0f}°" if self.tilt_deg > TILTED_DEG else ""
        return " and ".join(part for part in (turn, tilt) if part)


@dataclass(frozen=True, eq=False)
class ScanFit:
    """How a scanned specimen agrees with the plan.

    Parameters
    ----------
    frame
        ``"mould"`` or ``"free"``.
    verdict
        ``as planned``, ``turned``, ``tilted``, ``mirror image`` or ``no match``.
    words
        The verdict in words.
    undecided
        Other ways of lying that fit as well.
    dice
        Overlap at true size, voxelised; ``None`` for an open surface.
    hd95_mm, mean_mm
        Distances between the surfaces at true size, after the best rotation and shift.
    shape_hd95_mm
        The same percentile when shrinkage is taken out.
    size_ratio
        Linear size over the planned one; ``None`` for an open surface.
    attitude
        How it sat; ``None`` for a free scan.
    shift_mm
        ``(3,)`` in the mould frame: how far its centroid lay from the planned place; ``None`` for a free scan.
    planned_from_scan
        ``(4, 4)``, rigid.
    closed
        Whether the scan is a closed surface; of an open one only the scanned part was compared.
    sections
        Cuts through the middle of the planned specimen, across mould x and across mould y: the planned outlines and
        the scan's (where it sat, or laid on the plan when free), in mm along y and z, and along x and z.
    """

    frame: ScanFrame
    verdict: str
    words: str
    undecided: tuple[str, ...]
    dice: float | None
    hd95_mm: float
    mean_mm: float
    shape_hd95_mm: float
    size_ratio: float | None
    attitude: Attitude | None
    shift_mm: tuple[float, float, float] | None
    planned_from_scan: FloatArray
    closed: bool
    sections: dict[str, tuple[list[FloatArray], list[FloatArray]]]

    @property
    def sat_well(self) -> bool:
        """Whether nothing speaks against its having lain as planned."""
        return self.verdict == PLANNED

    def sentence(self) -> str:
        """Say the verdict in words, with what cannot be excluded."""
        return f"{self.words}; cannot exclude: {', '.join(self.undecided)}" if self.undecided else self.words

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        values = vars(self) | {
            "sentence": self.sentence(),
            "sat_well": self.sat_well,
            "attitude": None if self.attitude is None else vars(self.attitude),
            "planned_from_scan": self.planned_from_scan.tolist(),
        }
        values.pop("sections")
        if self.size_ratio is not None:
            values["shrinkage_percent"] = 100.0 * (1.0 - self.size_ratio)
        return values


def fit_scan(
    scan: trimesh.Trimesh | str | Path,
    *,
    planned: Planned | Mould | str | Path,
    frame: ScanFrame = "free",
    tolerance_mm: float = TOLERANCE_MM,
) -> ScanFit:
    """Compare a scan of the specimen's surface with the planned specimen, and say how it sat.

    Parameters
    ----------
    scan
        Mesh, or STL, PLY, OBJ or 3MF file, in mm.
    planned
        The mould, its folder, or what was planned.
    frame
        ``"mould"``: scanned as it lay in the mould, in the mould's coordinates; its attitude is judged. ``"free"``:
        scanned anywhere; only its shape and size are.
    tolerance_mm
        HD95 (shrinkage taken out) beyond which it does not match.

    Returns
    -------
    ScanFit
        Agreement, verdict and what cannot be told.

    Raises
    ------
    InputError
        If the scan cannot be read, or its size says that it is not in mm.

    Notes
    -----
    Of several ways of lying that fit alike (less than 30 % or 0.2 mm apart), the one nearest the plan is taken and the
    others are listed as not excluded: a round specimen cannot tell how it was turned.
    """
    plan = Planned.of(planned)
    if frame not in {"mould", "free"}:
        raise InputError(subject=f"frame {frame!r}", expected="'mould' or 'free'", found="neither")
    vertices, faces, closed = _read(scan)
    found, wanted = Surface.of(vertices, faces), Surface.of(plan.vertices, plan.faces)
    _check_size(vertices, plan.vertices, closed)
    scales = SCALES if closed else TRUE_SIZE
    starts = principal_starts(found, wanted)
    if frame == "mould":
        starts = np.concatenate([upright_starts(), starts])
    ways = place(found, wanted, starts, scales=scales, both_ways=closed)
    if frame == "mould":
        # Many ways may fit a round body alike: the one it should lie in is always among those compared.
        ways = sorted([*place(found, wanted, np.eye(3)[None], scales=scales, both_ways=closed), *ways], key=_mean)
    return _judged(_Case(plan, found, wanted, closed, frame, tolerance_mm), ways)


@dataclass(frozen=True, eq=False)
class _Case:
    plan: Planned
    found: Surface
    wanted: Surface
    closed: bool
    frame: ScanFrame
    tolerance_mm: float


def _judged(case: _Case, ways: list[Placed]) -> ScanFit:
    alike = [one for one in ways if not clearly_better(_supposed(ways[0]), _supposed(one))]
    if case.frame == "mould":
        alike.sort(key=lambda one: angle_between(np.eye(3), one.rotation))
    chosen = alike[0]
    size = place(case.found, case.wanted, chosen.rotation[None], both_ways=case.closed)[0]
    attitude, shift, undecided = None, None, []
    verdict, words = PLANNED, "shape as planned" if case.frame == "free" else PLANNED
    if case.frame == "mould":
        attitude = Attitude.of(chosen.rotation.T)
        verdict, words = attitude.verdict, attitude.words()
        sat = (case.wanted.middle - chosen.shift_mm) @ chosen.rotation / chosen.scale
        moved = sat - case.wanted.middle
        shift = (float(moved[0]), float(moved[1]), float(moved[2]))
        others = sorted({Attitude.of(one.rotation.T).words() for one in alike[1:]} - {words})
        undecided = others if len(others) <= 3 else ["any other turn"]
    if _mirror_fits(case, ways[0]):
        verdict = words = MIRRORED
    elif chosen.hd95_mm > case.tolerance_mm:
        verdict = words = NO_MATCH
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = size.rotation, size.shift_mm
    return ScanFit(
        case.frame,
        verdict,
        words,
        tuple(undecided),
        _dice(size.apply(case.found.vertices)[case.found.faces], case.wanted) if case.closed else None,
        size.hd95_mm,
        size.mean_mm,
        chosen.hd95_mm,
        float((_volume(case.found) / _volume(case.wanted)) ** (1 / 3)) if case.closed else None,
        attitude,
        shift,
        matrix,
        case.closed,
        _sections(case, size),
    )


def _sections(case: _Case, size: Placed) -> dict[str, tuple[list[FloatArray], list[FloatArray]]]:
    wanted = case.wanted.vertices
    found = case.found.vertices if case.frame == "mould" else size.apply(case.found.vertices)
    middle = 0.5 * (wanted.min(axis=0) + wanted.max(axis=0))
    sections = {}
    for name, axis, across in (("y, z", 0, 1), ("x, z", 1, 0)):
        frame = np.zeros((4, 4))
        frame[0, across] = frame[1, 2] = frame[2, axis] = frame[3, 3] = 1.0
        planned = Cutter(wanted, case.wanted.faces, frame).at(float(middle[axis]))
        scanned = Cutter(found, case.found.faces, frame).at(float(middle[axis]))
        # What closes an open outline was not scanned.
        sections[name] = planned, scanned if case.closed else [line[:-1] for line in scanned]
    return sections


def _mean(one: Placed) -> float:
    return one.mean_mm


def _supposed(one: Placed) -> Supposition:
    return Supposition("", one.mean_mm, one.hd95_mm, one.scale)


def _mirror_fits(case: _Case, best: Placed) -> bool:
    """Tell whether the scan's mirror image fits clearly better than itself: a file exported left-handed."""
    if not case.closed or best.mean_mm < CLEARLY_MM:
        return False
    image = case.found.mirrored()
    turned = place(image, case.wanted, principal_starts(image, case.wanted), scales=SCALES)[0]
    return clearly_better(_supposed(turned), _supposed(best))


def _read(scan: trimesh.Trimesh | str | Path) -> tuple[FloatArray, npt.NDArray[np.int64], bool]:
    from comould.io.mesh import edge_report, read_mesh, weld

    mesh = read_mesh(scan) if isinstance(scan, str | Path) else scan
    vertices, faces = weld(np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64))
    subject = "surface scan"
    if len(faces) < 20 or not np.isfinite(vertices).all():
        raise InputError(subject=subject, expected="a surface of at least 20 facets", found=f"{len(faces)}")
    closed = not edge_report(vertices, faces).open_edges
    surface = Surface.of(vertices, faces)
    if closed and _volume(surface) < 0:
        # Facets facing inwards: nothing but their order is wrong.
        faces = faces[:, ::-1]
    return vertices, faces, closed


def _volume(surface: Surface) -> float:
    corners = surface.vertices[surface.faces] - surface.middle
    return float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6.0)


def _check_size(found: FloatArray, wanted: FloatArray, closed: bool) -> None:
    sizes = [float(np.sqrt(((part - part.mean(axis=0)) ** 2).sum(axis=1).mean())) for part in (found, wanted)]
    ratio = sizes[0] / sizes[1]
    low, high = _SIZE_RANGE[closed]
    if low <= ratio <= high:
        return
    spans = [np.ptp(part, axis=0).max() for part in (found, wanted)]
    unit = next((name for name, per in UNITS.items() if abs(np.log(ratio / per)) < _OTHER_UNIT), None)
    remedy = "Check that it is this specimen, in mm"
    if unit is not None:
        remedy = f"It looks like {unit}: scale it by {1.0 / UNITS[unit]:g} and save it in mm"
    raise InputError(
        subject="surface scan",
        expected=f"a specimen about {spans[1]:.0f} mm long, in mm",
        found=f"one {spans[0]:.3g} long when read as mm",
        remedy=remedy,
    )


def _dice(triangles: FloatArray, wanted: Surface) -> float:
    """Overlap of two closed surfaces, counted in voxels."""
    other = wanted.vertices[wanted.faces]
    corners = np.concatenate([triangles.reshape(-1, 3), other.reshape(-1, 3)])
    low = corners.min(axis=0)
    step = float(np.ptp(corners, axis=0).max()) / _GRID
    shape = tuple(int(n) for n in np.ceil(np.ptp(corners, axis=0) / step) + 2)
    one, two = (_cast.inside((part - low) / step + 0.5, (shape[0], shape[1], shape[2])) for part in (triangles, other))
    return float(2.0 * (one & two).sum() / max(one.sum() + two.sum(), 1))
