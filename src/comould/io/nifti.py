"""NIfTI-1 and NIfTI-2 volumes, read by their own headers.

ITK's reader chooses between the two affines by rules of its own, invents an orientation when there is none, and rejects
directions rounded to float32. Here the rules are few:

- the sform (code > 0) says where voxels are, else the qform (code > 0); with both codes 0 the orientation is unknown,
  which is an error;
- when both are set they must agree within a tenth of a voxel (and what a float32 quaternion can say), or nobody can say
  which one is the patient;
- the unit in ``xyzt_units`` is honoured (unknown means mm, the standard's habit);
- handedness is stated by the header, so left-handed storage (the daily bread of dcm2niix and FSL) is accepted.
"""

from __future__ import annotations

import gzip
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.io.volume import Array, Volume
from comould.space import FloatArray

_FIELDS_1 = {
    "dim": ("8i2", 40), "datatype": ("i2", 70), "pixdim": ("8f4", 76), "vox_offset": ("f4", 108),
    "slope": ("f4", 112), "inter": ("f4", 116), "units": ("u1", 123), "qform_code": ("i2", 252),
    "sform_code": ("i2", 254), "quatern": ("3f4", 256), "qoffset": ("3f4", 268), "srow": ("(3,4)f4", 280),
    "magic": ("S4", 344),
}  # fmt: skip
_FIELDS_2 = {
    "magic": ("S4", 4), "datatype": ("i2", 12), "dim": ("8i8", 16), "pixdim": ("8f8", 104), "vox_offset": ("i8", 168),
    "slope": ("f8", 176), "inter": ("f8", 184), "qform_code": ("i4", 344), "sform_code": ("i4", 348),
    "quatern": ("3f8", 352), "qoffset": ("3f8", 376), "srow": ("(3,4)f8", 400), "units": ("i4", 500),
}  # fmt: skip
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_QUATERNION_RAD = 5e-4
"""A qform near a half turn (as of any axial DICOM scan) keeps its angle to √(2 · 2⁻²³) only: b, c, d are float32."""
_LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_nifti(path: Path) -> Volume:
    """Read one scalar 3-D NIfTI volume.

    Parameters
    ----------
    path
        ``.nii`` or ``.nii.gz``.

    Returns
    -------
    Volume
        Array ``(z, y, x)``; matrix in patient LPS mm, of the handedness stored.

    Raises
    ------
    InputError
        If the file is not NIfTI, damaged, or not scalar.
    GeometryError
        If it is not 3-D, states no orientation, or states two that disagree.

    References
    ----------
    NIfTI-1 Data Format, https://nifti.nimh.nih.gov/nifti-1 ; NIfTI-2, https://nifti.nimh.nih.gov/nifti-2
    """
    content = _content(path)
    header, order, size = _header(content, path)
    shape = _shape(header, path)
    matrix = _matrix(header, shape, path)
    return Volume(_voxels(content, header, order, shape, path, size), matrix, left_handed="reorder")


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            subject=str(path),
            expected="a whole gzip file",
            found="a damaged or cut-off one",
            remedy="Export or copy it again",
        ) from error


def _header(content: bytes, path: Path) -> tuple[Any, str, int]:
    for order in "<>":
        for size, fields, magic in ((348, _FIELDS_1, b"n+1"), (540, _FIELDS_2, b"n+2")):
            if len(content) < size or np.frombuffer(content, f"{order}i4", 1)[0] != size:
                continue
            layout = np.dtype(
                {
                    "names": list(fields),
                    "formats": [kind for kind, _ in fields.values()],
                    "offsets": [offset for _, offset in fields.values()],
                    "itemsize": size,
                }
            )
            layout = layout.newbyteorder("<" if order == "<" else ">")
            header = np.frombuffer(content, layout, 1)[0]
            if header["magic"] == magic:
                return header, order, size
    raise InputError(
        subject=str(path),
        expected="a single-file NIfTI-1 or NIfTI-2 image",
        found="another kind of file",
        remedy="Check what wrote it; ANALYZE and .hdr/.img pairs state no patient position",
    )


def _shape(header: Any, path: Path) -> tuple[int, int, int]:
    """Sizes along i, j, k."""
    dim = [int(n) for n in header["dim"]]
    sizes = dim[1 : dim[0] + 1] if 1 <= dim[0] <= 7 else []
    if len(sizes) < 3 or min(sizes) < 1 or any(n > 1 for n in sizes[3:]):
        raise GeometryError(
            subject=str(path),
            expected="one volume of 3 dimensions",
            found=f"size {' × '.join(map(str, sizes)) or 'unknown'}",
            remedy="Split a 4-D series into its volumes and give one",
        )
    return sizes[0], sizes[1], sizes[2]


def _matrix(header: Any, shape: tuple[int, int, int], path: Path) -> FloatArray:
    forms = {}
    if header["sform_code"] > 0:
        forms["sform"] = np.vstack([header["srow"].astype(np.float64), (0, 0, 0, 1)])
    if header["qform_code"] > 0:
        forms["qform"] = _qform(header, path)
    if not forms:
        raise GeometryError(
            subject=str(path),
            expected="a NIfTI header that states the orientation",
            found="qform_code 0 and sform_code 0",
            remedy="Convert it again from the DICOM source; comould never guesses left and right",
        )
    if len(forms) == 2:
        _check_agreement(forms["sform"], forms["qform"], shape, path)
    matrix = _LPS_FROM_RAS @ next(iter(forms.values()))
    scale = _MM_PER_UNIT.get(int(header["units"]) & 7)
    if scale is None:
        raise GeometryError(
            subject=str(path), expected="positions in mm", found=f"unit code {int(header['units']) & 7}"
        )
    if scale != 1.0:
        unit = "metres" if scale > 1 else "micrometres"
        warnings.warn(f"{path}: the NIfTI header is in {unit}; converted to mm", ComouldWarning, stacklevel=4)
        matrix[:3] *= scale
    return matrix


def _qform(header: Any, path: Path) -> FloatArray:
    b, c, d = (float(q) for q in header["quatern"])
    rest = 1.0 - (b * b + c * c + d * d)
    if not rest > -1e-4:
        raise GeometryError(
            subject=str(path), expected="a unit quaternion in the qform", found=f"b² + c² + d² = {1 - rest:g}"
        )
    a = float(np.sqrt(max(rest, 0.0)))
    if rest < 0:
        b, c, d = np.array([b, c, d]) / np.linalg.norm([b, c, d])
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    spacing = header["pixdim"][1:4].astype(np.float64)
    spacing[2] *= -1.0 if header["pixdim"][0] < 0 else 1.0
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * spacing
    matrix[:3, 3] = header["qoffset"]
    return matrix


def _check_agreement(sform: FloatArray, qform: FloatArray, shape: tuple[int, int, int], path: Path) -> None:
    ends = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)]) * (np.array(shape) - 1)
    apart = float(np.linalg.norm(ends @ (sform - qform)[:3, :3].T + (sform - qform)[:3, 3], axis=1).max())
    voxel = float(np.linalg.norm(sform[:3, :3], axis=0).min())
    diagonal = float(np.linalg.norm(sform[:3, :3] @ np.array(shape)))
    if not apart <= 0.1 * voxel + _QUATERNION_RAD * diagonal:
        raise GeometryError(
            subject=str(path),
            expected="one place for each voxel",
            found=f"sform and qform up to {apart:.3g} mm apart",
            remedy="Set the code of the one that is not the patient's scanner space to 0",
        )


def _voxels(
    content: bytes, header: Any, order: str, shape: tuple[int, int, int], path: Path, header_size: int
) -> Array:
    code = int(header["datatype"])
    if code not in _TYPES:
        raise InputError(
            subject=str(path),
            expected="one real number a voxel",
            found=f"NIfTI datatype {code} (colour, complex or unknown)",
        )
    stored = np.dtype(order + _TYPES[code])
    count, offset = int(np.prod(shape)), max(int(header["vox_offset"]), header_size)
    if len(content) < offset + count * stored.itemsize:
        raise InputError(
            subject=str(path),
            expected=f"{count * stored.itemsize} bytes of voxels",
            found=f"{max(len(content) - offset, 0)}",
            remedy="The file is cut off: copy it again",
        )
    array = np.frombuffer(content, stored, count, offset).reshape(shape[::-1]).astype(stored.newbyteorder("="))
    slope, inter = float(header["slope"]), float(header["inter"])
    if not np.isfinite([slope, inter]).all() or slope == 0 or (slope, inter) == (1.0, 0.0):
        return array
    return (array * slope + inter).astype(np.float64 if stored.itemsize > 4 else np.float32)
