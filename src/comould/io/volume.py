"""What every volume reader hands over: an array, where its voxels lie, and the checks that make it a grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from comould.errors import GeometryError, InputError
from comould.space import FloatArray, Grid
from comould.space.grid import ORTHONORMAL_TOLERANCE

Array = npt.NDArray[Any]
Handed = Literal["refuse", "reorder"]

LATTICE_TOLERANCE = 0.2
"""Two lattices are the same when no voxel centre is further from its partner than this fraction of a voxel (per
axis): the float32 quaternions of real NIfTI headers move corners by up to 0.12 voxels."""


@dataclass(frozen=True)
class Volume:
    """A stored volume, before its geometry was judged.

    Parameters
    ----------
    array
        ``(z, y, x)``, or ``(z, y, x, c)`` with several values a voxel.
    matrix
        ``(4, 4)`` patient_from_index, LPS mm, of any handedness.
    facts
        Header entries a reader may need further on (segment names), never shown whole.
    left_handed
        What the format's own habit is with a left-handed matrix.
    """

    array: Array
    matrix: FloatArray
    facts: dict[str, str] = field(default_factory=dict)
    left_handed: Handed = "refuse"


def oriented(volume: Volume, *, subject: str, left_handed: Handed | None = None) -> tuple[Grid, Array]:
    """Check a volume's geometry and make it right-handed.

    Parameters
    ----------
    volume
        As stored.
    subject
        The file, for the message.
    left_handed
        ``reorder`` turns the rows round together with their direction, so that no voxel moves in the patient;
        ``refuse`` raises; ``None`` follows the format's habit.

    Returns
    -------
    tuple
        Grid, and the array on it.

    Raises
    ------
    GeometryError
        If a spacing is zero, the axes are not at right angles, or the storage is left-handed and refused.
    """
    if left_handed not in {None, "refuse", "reorder"}:
        raise InputError(subject="left_handed", expected="'refuse', 'reorder' or None", found=repr(left_handed))
    _check_matrix(volume.matrix, subject)
    matrix, array = volume.matrix, volume.array
    if np.linalg.det(matrix[:3, :3]) < 0:
        if (left_handed or volume.left_handed) == "refuse":
            raise GeometryError(
                subject=f"direction matrix of {subject}",
                expected="right-handed (determinant +1)",
                found="left-handed (determinant −1), in this format most often swapped axes: a mirror image",
                remedy="Check left and right in the picture; if they are right, read it with left_handed='reorder' "
                "(or re-save it as NIfTI)",
            )
        matrix, array = flipped_rows(matrix, array)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    # Headers round (float32, or six decimals): the nearest rotation moves no corner noticeably and is exact ever after.
    left, _, right = np.linalg.svd(matrix[:3, :3] / spacing)
    size = (array.shape[2], array.shape[1], array.shape[0])
    return Grid(size, tuple(spacing.tolist()), tuple(matrix[:3, 3].tolist()), left @ right), array


def flipped_rows(matrix: FloatArray, array: Array) -> tuple[FloatArray, Array]:
    """Turn the j axis round in array and matrix together: other handedness, no voxel moved, slice numbers kept."""
    turned = matrix.copy()
    turned[:3, 1] = -matrix[:3, 1]
    turned[:3, 3] = matrix[:3, 3] + matrix[:3, 1] * (array.shape[1] - 1)
    return turned, np.flip(array, axis=1)


def _check_matrix(matrix: FloatArray, subject: str) -> None:
    if not np.isfinite(matrix).all():
        raise GeometryError(
            subject=subject,
            expected="finite positions",
            found="NaN or infinity in its geometry",
            remedy="Re-export it from the source",
        )
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    if spacing.min() <= 1e-9:
        raise GeometryError(
            subject=subject,
            expected="a positive voxel spacing along all axes",
            found=" × ".join(f"{s:g}" for s in spacing) + " mm",
            remedy="Re-export it with its spacing; comould never guesses one",
        )
    direction = matrix[:3, :3] / spacing
    deviation = float(np.abs(direction.T @ direction - np.eye(3)).max())
    if deviation > ORTHONORMAL_TOLERANCE:
        raise GeometryError(
            subject=f"direction matrix of {subject}",
            expected="axes at right angles",
            found=f"a shear (cosine {deviation:.2g} between axes)",
            remedy="Resample it to an orthogonal grid first",
        )


def place(array: Array, matrix: FloatArray, target: Grid, *, whole: bool = False) -> Array | None:
    """Put an array of the same lattice, perhaps in other axis order or on a part of it, onto a grid.

    Parameters
    ----------
    array
        ``(z, y, x)`` labels; what lies outside the target must be 0.
    matrix
        ``(4, 4)`` patient_from_index of the array, mm.
    target
        The grid.
    whole
        The array must cover the target exactly.

    Returns
    -------
    ndarray or None
        Array of the target's shape, 0 where nothing was placed; ``None`` when voxel centres do not coincide within
        :data:`LATTICE_TOLERANCE`, or labels fall outside.
    """
    index = np.linalg.inv(target.matrix) @ matrix
    axes = np.abs(index[:3, :3]).argmax(axis=0)
    if sorted(axes.tolist()) != [0, 1, 2]:
        return None
    exact = np.zeros((3, 3))
    exact[axes, range(3)] = np.sign(index[axes, range(3)])
    size = np.array(array.shape[::-1])
    middle = (size - 1) / 2.0
    start = index[:3, :3] @ middle + index[:3, 3] - exact @ middle
    worst = np.abs(start - start.round()) + np.abs(index[:3, :3] - exact) @ middle
    if worst.max() > LATTICE_TOLERANCE:
        return None
    low = np.minimum(start.round(), start.round() + exact @ (size - 1)).astype(int)
    # Array axes run (k, j, i): source axis c goes to target axis axes[c].
    order = [2 - int(np.flatnonzero(axes == 2 - axis)[0]) for axis in range(3)]
    turned = array.transpose(order)
    signs = exact.sum(axis=1)[::-1]
    turned = turned[tuple(slice(None, None, -1 if sign < 0 else 1) for sign in signs)]
    if whole and (low.any() or turned.shape != target.shape):
        return None
    return _paste(turned, low[::-1], target.shape)


def _paste(block: Array, low: npt.NDArray[np.int_], shape: tuple[int, int, int]) -> Array | None:
    high = low + block.shape
    first, last = np.maximum(low, 0), np.minimum(high, shape)
    if (last <= first).any():
        return None if block.any() else np.zeros(shape, block.dtype)
    inner = block[tuple(slice(f - lo, la - lo) for f, la, lo in zip(first, last, low, strict=True))]
    if inner.shape == shape:
        return np.ascontiguousarray(inner) if np.count_nonzero(inner) == np.count_nonzero(block) else None
    if np.count_nonzero(inner) != np.count_nonzero(block):
        return None
    placed = np.zeros(shape, block.dtype)
    placed[tuple(slice(f, la) for f, la in zip(first, last, strict=True))] = inner
    return placed


FORMATS = {
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".mha": "metaimage",
    ".mhd": "metaimage",
}


def suffix_of(path: Path) -> str:
    """Lower-case suffix, ``.nii.gz`` in one piece."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def kind_of(path: Path) -> str:
    """Tell ``nifti``, ``nrrd``, ``metaimage`` (by suffix), ``dicom`` (by content) or ``folder``.

    Raises
    ------
    InputError
        If there is nothing, an empty file, or a file of another kind.
    """
    formats = "a DICOM folder or file, .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd"
    if not path.exists():
        raise InputError(subject=str(path), expected=formats, found="no such file or folder", remedy="Check the path")
    if path.is_dir():
        return "folder"
    if path.stat().st_size == 0:
        raise InputError(subject=str(path), expected=formats, found="an empty file", remedy="Export or copy it again")
    kind = FORMATS.get(suffix_of(path))
    if kind is None:
        with path.open("rb") as stream:
            kind = "dicom" if stream.read(132)[128:] == b"DICM" else None
    if kind is None:
        raise InputError(
            subject=str(path),
            expected=formats,
            found=f"suffix {path.suffix or '(none)'} and no DICOM content",
            remedy="Convert it to one of these",
        )
    return kind
