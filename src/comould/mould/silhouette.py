"""A written mould as seen from above: the outline of each body along the patient's z."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.space import FloatArray

FORMAT = "comould.mould"
SPECIMEN = "specimen"
TOLERANCE_MM = 0.05
"""Corners that stand out by less than this are left out of an outline."""


def is_mould(folder: str | Path) -> bool:
    """Tell whether a folder is one that :meth:`Mould.write` wrote."""
    path = Path(folder) / "manifest.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and facts.get("format") == FORMAT


def silhouettes(folder: str | Path) -> dict[str, list[FloatArray]]:
    """Outline every body of a written mould, and the specimen, in the patient.

    Parameters
    ----------
    folder
        As :meth:`comould.mould.Mould.write` made it.

    Returns
    -------
    dict
        Name of the body (and ``specimen``) → closed rings ``(n, 2)``, patient x and y in mm, outer ones
        counter-clockwise, holes clockwise: the body projected along the patient's z.

    Raises
    ------
    InputError
        If the folder holds no mould, or a body's file is gone.

    Notes
    -----
    A projection: what lies above one another falls together, so slots show only where nothing is beneath them.
    """
    folder = Path(folder)
    if not is_mould(folder):
        raise InputError(subject=str(folder), expected="a folder that comould mould wrote", found="another")
    facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    mould_from_patient = np.array(facts["mould_from_patient"], dtype=np.float64)
    # Bodies are written as they stand on the print bed, the specimen as it lies in the mould.
    frames = {name: np.array(body["print_from_mould"]) for name, body in facts["bodies"].items()}
    frames[SPECIMEN] = np.eye(4)
    return {
        name: _projected(folder / f"{name}.stl", np.linalg.inv(matrix @ mould_from_patient))
        for name, matrix in frames.items()
    }


def _projected(path: Path, patient_from_file: npt.NDArray[Any]) -> list[FloatArray]:
    from comould.io.mesh import read_mesh
    from comould.mould.form import solid_of

    mesh: Any = read_mesh(path)
    surface = (np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces))
    solid = solid_of(surface, path.name).transform(patient_from_file[:3])
    outline = solid.project().simplify(TOLERANCE_MM)
    return [np.asarray(ring, dtype=np.float64) for ring in outline.to_polygons()]
