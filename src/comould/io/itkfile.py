"""NRRD and MetaImage volumes: SimpleITK reads the voxels, the header is read here for what ITK would make up.

ITK fills a missing spacing with 1 mm and a missing orientation with the identity. Both are errors here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from comould.errors import GeometryError, InputError
from comould.io.volume import Volume
from comould.space import FloatArray

_NRRD_SPACES = {
    "left-posterior-superior", "lps", "right-anterior-superior", "ras", "left-anterior-superior", "las",
}  # fmt: skip
_META_ALIASES = {
    "Position": "Offset",
    "Origin": "Offset",
    "Rotation": "TransformMatrix",
    "Orientation": "TransformMatrix",
}
_HEADER_LIMIT = 1 << 20


def read_nrrd(path: Path) -> Volume:
    """Read an NRRD volume; a list axis (3D Slicer's overlapping segments) becomes the last axis of the array.

    Raises
    ------
    InputError
        If it is not NRRD or cannot be decoded.
    GeometryError
        If ``space``, ``space directions`` or ``space origin`` is missing or of another frame than the patient's.
    """
    facts = _nrrd_header(path)
    missing = [name for name in ("space", "space directions", "space origin") if not facts.get(name)]
    if missing:
        raise _silent(path, "NRRD", missing)
    if facts["space"].lower() not in _NRRD_SPACES:
        raise GeometryError(
            subject=str(path),
            expected="an anatomical space (LPS, RAS or LAS)",
            found=f"space {facts['space']}",
            remedy="Save it again with a patient space",
        )
    units = {unit.strip('"').lower() for unit in facts.get("space units", "").split()} - {"mm", ""}
    if units:
        raise GeometryError(subject=str(path), expected="space units in mm", found=", ".join(sorted(units)))
    return _read(path, facts)


def read_metaimage(path: Path) -> Volume:
    """Read a MetaImage volume (``.mha``, ``.mhd``).

    Raises
    ------
    InputError
        If it is not MetaImage or cannot be decoded.
    GeometryError
        If ``ElementSpacing``, ``TransformMatrix`` or ``Offset`` is missing.
    """
    facts = _meta_header(path)
    missing = [name for name in ("ElementSpacing", "TransformMatrix", "Offset") if not facts.get(name)]
    if missing:
        raise _silent(path, "MetaImage", missing)
    return _read(path, {})


def _silent(path: Path, kind: str, missing: list[str]) -> GeometryError:
    return GeometryError(
        subject=str(path),
        expected=f"a {kind} header that states where the voxels are",
        found="no " + " and no ".join(missing),
        remedy="Save it again with its spacing, origin and directions; comould never guesses them",
    )


def _head(path: Path) -> list[str]:
    with path.open("rb") as stream:
        return stream.read(_HEADER_LIMIT).decode("utf-8", errors="replace").splitlines()


def _nrrd_header(path: Path) -> dict[str, str]:
    lines = _head(path)
    if not lines or not lines[0].startswith("NRRD"):
        raise InputError(
            subject=str(path), expected="an NRRD file", found="other content", remedy="Check what wrote it"
        )
    facts = {}
    for line in lines[1:]:
        if not line.strip():
            break
        key, separator, value = line.partition(":=")
        if not separator:
            key, separator, value = line.partition(":")
        if separator and not line.startswith("#"):
            facts[key.strip()] = value.strip()
    return facts


def _meta_header(path: Path) -> dict[str, str]:
    facts = {}
    for line in _head(path):
        key, separator, value = line.partition("=")
        if not separator or not key.strip().isidentifier():
            break
        facts[_META_ALIASES.get(key.strip(), key.strip())] = value.strip()
        if key.strip() == "ElementDataFile":
            return facts
    raise InputError(
        subject=str(path), expected="a MetaImage file", found="other content", remedy="Check what wrote it"
    )


def _read(path: Path, facts: dict[str, str]) -> Volume:
    import SimpleITK as sitk

    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("sitk::ERROR: ")
        raise InputError(
            subject=str(path),
            expected="a readable volume",
            found=f"a reading error ({reason})",
            remedy="The file may be cut off, or its data file missing: export or copy it again",
        ) from error
    if image.GetDimension() != 3:
        raise GeometryError(
            subject=str(path),
            expected="one volume of 3 dimensions",
            found=f"{image.GetDimension()} dimensions, size {' × '.join(map(str, image.GetSize()))}",
            remedy="Split a 4-D series into its volumes and give one",
        )
    return Volume(sitk.GetArrayFromImage(image), matrix_of(image), facts)


def matrix_of(image: object) -> FloatArray:
    """``(4, 4)`` patient_from_index of a 3-D SimpleITK image, of any handedness."""
    matrix = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3)  # type: ignore[attr-defined]
    matrix[:3, :3] = direction * np.array(image.GetSpacing())  # type: ignore[attr-defined]
    matrix[:3, 3] = image.GetOrigin()  # type: ignore[attr-defined]
    return matrix
