"""What was planned: the specimen's surface in its mould and the cutting planes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.mould.outline import Cutter
from comould.space import CutPlane, FloatArray, Frame, SlicePlan, Transform

if TYPE_CHECKING:
    from comould.mould.result import Mould


@dataclass(frozen=True, eq=False)
class Planned:
    """A planned specimen: take it from a mould, or load it from a mould's folder.

    Parameters
    ----------
    vertices, faces
        ``(n, 3)`` mm and ``(m, 3)`` outward: the specimen's closed surface, mould frame.
    plan
        The cutting planes, patient mm.
    mould_from_patient
        Rigid.

    Raises
    ------
    InputError
        If the surface is not that of a body.
    """

    vertices: FloatArray
    faces: npt.NDArray[np.int64]
    plan: SlicePlan
    mould_from_patient: Transform

    def __post_init__(self) -> None:
        corners = self.vertices[self.faces]
        volume = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6.0
        if not np.isfinite(volume) or volume <= 0:
            raise InputError(
                subject="planned specimen",
                expected="a closed surface facing outwards",
                found=f"a volume of {volume / 1000.0:.3g} ml",
            )

    @classmethod
    def of(cls, mould: Mould | Planned | str | Path) -> Planned:
        """Take a mould, a mould's folder, or what is planned already."""
        if isinstance(mould, Planned):
            return mould
        if isinstance(mould, str | Path):
            return cls.load(mould)
        faces = np.asarray(mould.specimen.faces, dtype=np.int64)
        return cls(np.asarray(mould.specimen.vertices, dtype=np.float64), faces, mould.plan, mould.mould_from_patient)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read ``manifest.json`` and ``specimen.stl`` of a mould's folder.

        Raises
        ------
        InputError
            If one is missing, or the manifest is not a mould's.
        """
        from comould.io.mesh import read_mesh

        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(subject=str(folder), expected="a folder written by comould mould", found="no folder")
        manifest = folder / "manifest.json"
        plan = SlicePlan.load(manifest)
        matrix = _matrix(json.loads(manifest.read_text(encoding="utf-8")), manifest)
        mesh = read_mesh(folder / "specimen.stl")
        return cls(np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64), plan, matrix)

    def cutter(self, plane: CutPlane, moved: FloatArray | None = None) -> Cutter:
        """Prepare cuts parallel to a plane, through the specimen as planned or ``moved`` (``(4, 4)``, mould frame)."""
        matrix = plane.plane_from_patient.matrix @ np.linalg.inv(self.mould_from_patient.matrix)
        return Cutter(self.vertices, self.faces, matrix if moved is None else matrix @ moved)

    def up_uv(self, plane: CutPlane) -> FloatArray:
        """Direction ``(2,)`` in a plane's u and v that faces up in the mould."""
        up = plane.rotation.T @ self.mould_from_patient.matrix[2, :3]
        return np.asarray(up[:2] / np.linalg.norm(up[:2]))

    def turned_about(self, axis: int, degrees: float) -> FloatArray:
        """Motion ``(4, 4)`` that turns the specimen about a mould axis through the middle of its bounds."""
        angle = np.radians(degrees)
        motion = np.eye(4)
        one, two = (axis + 1) % 3, (axis + 2) % 3
        motion[one, one] = motion[two, two] = np.cos(angle)
        motion[one, two], motion[two, one] = -np.sin(angle), np.sin(angle)
        middle = 0.5 * (self.vertices.min(axis=0) + self.vertices.max(axis=0))
        motion[:3, 3] = middle - motion[:3, :3] @ middle
        return motion


def _matrix(manifest: dict[str, Any], path: Path) -> Transform:
    if not isinstance(manifest, dict) or manifest.get("format") != "comould.mould":
        raise InputError(subject=str(path), expected="a mould's manifest", found="another file")
    try:
        return Transform.from_matrix(Frame.PATIENT, Frame.MOULD, np.array(manifest["mould_from_patient"], np.float64))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(subject=str(path), expected="a mould_from_patient matrix", found="none that is one") from error
