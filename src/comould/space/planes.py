"""CutPlane and SlicePlan: the one contract between operating theatre and computer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
import numpy.typing as npt

from comould.errors import GeometryError, InputError
from comould.space.frames import FloatArray, Frame
from comould.space.transform import Transform

Vector = tuple[float, float, float]
Face = Literal["-", "+"]

PLAN_FORMAT = "comould.slice_plan"
PLAN_VERSION = 1


@dataclass(frozen=True)
class CutPlane:
    """One cutting plane: patient LPS, mm.

    Parameters
    ----------
    id
        Short name, unique in its plan and engraved on the mould (``"P03"``).
    origin_mm
        A point of the plane: the middle of the slot, the knife's path.
    normal, u, v
        Unit vectors; u × v = normal. Seen with u to the right and v downwards one looks *along* the normal.
    image_index
        Index of the image slice the plane lies on, when it is parallel to the slices (fractional between two).
    kerf_mm
        Width of tissue the knife is given: the slot's width.
    face
        Which face of the cut is photographed and sectioned. ``"-"`` is the surface whose tissue lies on the + side
        of the normal: looking at it one looks along the normal and sees u right, v down, as imaged. ``"+"`` is the
        opposite surface, whose picture is the mirror image of that.

    Raises
    ------
    GeometryError
        If the vectors are not an orthonormal right-handed triple or a number is out of range.
    """

    id: str
    origin_mm: Vector
    normal: Vector
    u: Vector
    v: Vector
    image_index: float | None = None
    kerf_mm: float = 0.0
    face: Face = "-"

    def __post_init__(self) -> None:
        for name in ("origin_mm", "normal", "u", "v"):
            object.__setattr__(self, name, tuple(float(x) for x in getattr(self, name)))
        subject = f"cut plane {self.id!r}"
        problems = []
        if not self.id or len(self.id) > 32 or not self.id.isprintable():
            problems.append("the id is not 1 to 32 printable characters")
        if any(
            len(getattr(self, n)) != 3 or not np.isfinite(getattr(self, n)).all()
            for n in ("origin_mm", "normal", "u", "v")
        ):
            problems.append("origin, normal, u and v are not finite vectors of 3")
        elif np.abs(self.rotation.T @ self.rotation - np.eye(3)).max() > 1e-6:
            problems.append("u, v and normal are not orthonormal")
        elif np.linalg.det(self.rotation) < 0:
            problems.append("u × v points against the normal (left-handed)")
        if not np.isfinite(self.kerf_mm) or self.kerf_mm < 0:
            problems.append(f"kerf {self.kerf_mm} mm is not a length")
        if self.face not in {"-", "+"}:
            problems.append(f"face {self.face!r} is not '-' or '+'")
        if problems:
            raise GeometryError.collect(subject=subject, problems=problems)

    @classmethod
    def from_normal(
        cls,
        id: str,
        origin_mm: npt.ArrayLike,
        normal: npt.ArrayLike,
        *,
        u_hint: npt.ArrayLike | None = None,
        **rest: Any,
    ) -> Self:
        """Make a plane from its normal; u is ``u_hint`` (or the nearest patient axis) laid into the plane.

        Raises
        ------
        GeometryError
            If the normal is zero or the hint is parallel to it.
        """
        n = _unit(np.asarray(normal, dtype=np.float64), f"normal of plane {id!r}")
        if u_hint is None:
            u_hint = np.eye(3)[int(np.argmin(np.abs(n)))] if abs(n[0]) > 0.9 else np.eye(3)[0]
        hint = np.asarray(u_hint, dtype=np.float64)
        u = _unit(hint - n * (hint @ n), f"u of plane {id!r}")
        v = np.cross(n, u)
        return cls(id, tuple(np.asarray(origin_mm, float)), tuple(n), tuple(u), tuple(v), **rest)

    @property
    def rotation(self) -> FloatArray:
        """``(3, 3)`` with columns u, v, normal."""
        return np.column_stack([self.u, self.v, self.normal])

    @property
    def patient_from_plane(self) -> Transform:
        """Plane mm (u, v, distance along the normal) to patient mm."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.rotation, self.origin_mm
        return Transform.from_matrix(Frame.PLANE, Frame.PATIENT, matrix)

    @property
    def plane_from_patient(self) -> Transform:
        """Patient mm to plane mm (u, v, distance along the normal)."""
        return self.patient_from_plane.inverse()

    @property
    def position_mm(self) -> float:
        """Signed distance of the plane from the patient origin along its normal."""
        return float(np.dot(self.origin_mm, self.normal))

    def distance_mm(self, points_mm: npt.ArrayLike) -> FloatArray:
        """Signed distance ``(n,)`` of patient points ``(n, 3)`` along the normal."""
        return (np.atleast_2d(np.asarray(points_mm, dtype=np.float64)) - np.asarray(self.origin_mm)) @ np.asarray(
            self.normal
        )


@dataclass(frozen=True)
class SlicePlan:
    """The cutting planes of one specimen, in order along their common normal.

    Parameters
    ----------
    planes
        At least one; unique ids, parallel, with increasing position along the normal.

    Raises
    ------
    GeometryError
        If a rule above is broken.
    """

    planes: tuple[CutPlane, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "planes", tuple(self.planes))
        ids = [plane.id for plane in self.planes]
        problems = []
        if not ids:
            problems.append("it has no plane")
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            problems.append(f"ids used twice: {', '.join(twice)}")
        if any(np.dot(p.normal, self.planes[0].normal) < 1 - 1e-9 for p in self.planes):
            problems.append("its planes are not parallel with one normal direction")
        elif any(b.position_mm - a.position_mm <= 0 for a, b in zip(self.planes, self.planes[1:], strict=False)):
            problems.append("positions along the normal do not increase")
        if problems:
            raise GeometryError.collect(subject="slice plan", problems=problems)

    def __iter__(self) -> Iterator[CutPlane]:
        return iter(self.planes)

    def __len__(self) -> int:
        return len(self.planes)

    def __getitem__(self, plane_id: str) -> CutPlane:
        """Find a plane by its id, never by its order.

        Raises
        ------
        InputError
            If no plane has the id; the message lists them.
        """
        for plane in self.planes:
            if plane.id == plane_id:
                return plane
        known = ", ".join(plane.id for plane in self.planes)
        raise InputError(subject=f"plane id {plane_id!r}", expected=f"one of {known}", found="none of that name")

    @property
    def normal(self) -> FloatArray:
        """The common unit normal, patient LPS."""
        return np.array(self.planes[0].normal)

    @property
    def spacings_mm(self) -> FloatArray:
        """Distances between neighbouring planes, ``(n - 1,)``."""
        return np.diff([plane.position_mm for plane in self.planes])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; floats keep every bit."""
        return {
            "format": PLAN_FORMAT,
            "version": PLAN_VERSION,
            "frame": str(Frame.PATIENT),
            "orientation": "LPS",
            "units": "mm",
            "planes": [asdict(plane) for plane in self.planes],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read plain data, of a plan file or of a mould's manifest (which embeds the same keys).

        Raises
        ------
        InputError
            If the data is not a plan, is of another unit or frame, or a plane in it is wrong.
        """
        wanted = {"units": "mm", "frame": "patient", "orientation": "LPS"}
        found = {key: data.get(key) for key in wanted} if isinstance(data, dict) else {}
        if found != wanted or not isinstance(data.get("planes"), list):
            raise InputError(
                subject="slice plan",
                expected="units mm, frame patient, orientation LPS and a list of planes",
                found=", ".join(f"{key} {value!r}" for key, value in found.items()) or type(data).__name__,
            )
        try:
            return cls(tuple(CutPlane(**cast("dict[str, Any]", plane)) for plane in data["planes"]))
        except GeometryError:
            raise
        except (TypeError, ValueError) as error:
            raise InputError(
                subject="slice plan", expected="planes with the documented keys", found=str(error)
            ) from error

    def save(self, path: str | Path) -> Path:
        """Write the plan as JSON; returns the path."""
        path = Path(path)
        path.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a plan from its own JSON or from a mould's ``manifest.json``.

        Raises
        ------
        InputError
            If the file is missing, not JSON, or not a plan.
        """
        path = Path(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            # ValueError: not JSON, or not even text.
            raise InputError(subject=str(path), expected="a JSON slice plan or manifest", found=str(error)) from error
        if isinstance(data, dict) and "slice_plan" in data:
            data = data["slice_plan"]
        return cls.from_dict(data)


def _unit(vector: FloatArray, subject: str) -> FloatArray:
    length = float(np.linalg.norm(vector)) if vector.shape == (3,) else float("nan")
    if not np.isfinite(length) or length < 1e-9:
        raise GeometryError(subject=subject, expected="a direction", found=f"{vector.tolist()}")
    return vector / length
