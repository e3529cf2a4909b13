"""Transform: a mapping between two named frames that refuses to be joined wrongly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from comould.errors import FrameMismatchError, GeometryError, InputError
from comould.space.frames import FloatArray, Frame, as_points

if TYPE_CHECKING:
    import SimpleITK as sitk

SIDECAR_SUFFIX = ".frames.json"


@dataclass(frozen=True, eq=False)
class Transform:
    """Maps points of ``source`` to points of ``target``; name variables ``target_from_source``.

    Parameters
    ----------
    source, target
        The frames. ``a_from_b @ b_from_c`` is ``a_from_c``; any other join raises.
    itk
        A three-dimensional SimpleITK transform that maps source points to target points (not the ITK resampling
        sense, which runs the other way).

    Raises
    ------
    GeometryError
        If the SimpleITK transform is not three-dimensional.

    Examples
    --------
    >>> mm_from_px = Transform.scaling("section_px", "section_mm", (0.5, 0.5, 1.0))
    >>> mm_from_px.apply([[10, 20, 0]])
    array([[ 5., 10.,  0.]])
    """

    source: Frame
    target: Frame
    itk: sitk.Transform

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", Frame(self.source))
        object.__setattr__(self, "target", Frame(self.target))
        if self.itk.GetDimension() != 3:
            raise GeometryError(
                subject=f"transform {self.name}", expected="3 dimensions", found=f"{self.itk.GetDimension()}"
            )

    @property
    def name(self) -> str:
        """``target_from_source``."""
        return f"{self.target}_from_{self.source}"

    @classmethod
    def from_matrix(cls, source: Frame | str, target: Frame | str, matrix: npt.ArrayLike) -> Self:
        """Make a linear transform from a homogeneous ``(4, 4)`` matrix ``target_from_source``.

        Raises
        ------
        GeometryError
            If the matrix is not 4×4, not finite, not affine, or singular.
        """
        import SimpleITK as sitk

        array = np.asarray(matrix, dtype=np.float64)
        subject = f"matrix {Frame(target)}_from_{Frame(source)}"
        if array.shape != (4, 4) or not np.isfinite(array).all():
            raise GeometryError(subject=subject, expected="a finite 4×4 matrix", found=f"shape {array.shape}")
        if not np.allclose(array[3], (0, 0, 0, 1)):
            raise GeometryError(subject=subject, expected="last row 0 0 0 1", found=str(array[3].tolist()))
        if abs(np.linalg.det(array[:3, :3])) < 1e-12:
            raise GeometryError(subject=subject, expected="an invertible matrix", found="a singular one")
        affine = sitk.AffineTransform(3)
        affine.SetMatrix(array[:3, :3].ravel().tolist())
        affine.SetTranslation(array[:3, 3].tolist())
        return cls(Frame(source), Frame(target), affine)

    @classmethod
    def identity(cls, source: Frame | str, target: Frame | str) -> Self:
        """Make the transform that renames the frame and moves nothing."""
        return cls.from_matrix(source, target, np.eye(4))

    @classmethod
    def scaling(cls, source: Frame | str, target: Frame | str, factors: tuple[float, float, float]) -> Self:
        """Make an axis-wise scaling, e.g. millimetres from pixels."""
        return cls.from_matrix(source, target, np.diag([*factors, 1.0]))

    @property
    def matrix(self) -> FloatArray:
        """The homogeneous ``(4, 4)`` matrix of a linear transform.

        Raises
        ------
        GeometryError
            If the transform is deformable.
        """
        if not self.itk.IsLinear():
            raise GeometryError(
                subject=f"transform {self.name}", expected="a linear transform", found="a deformable one"
            )
        from comould.space import _points

        return np.vstack([_points.linear_part(self.itk), (0.0, 0.0, 0.0, 1.0)])

    @property
    def is_linear(self) -> bool:
        """Whether a 4×4 matrix says everything."""
        return bool(self.itk.IsLinear())

    def apply(self, points: npt.ArrayLike, *, threads: int | None = None) -> FloatArray:
        """Map points.

        Parameters
        ----------
        points
            ``(n, 3)`` in the source frame; ``(n, 2)`` is taken as z = 0. Any kind of numbers, also memory-mapped.
        threads
            At most so many; all cores if None. Never changes a bit of the result.

        Returns
        -------
        ndarray
            ``(n, 3)`` in the target frame, float64.

        Notes
        -----
        Equal to SimpleITK's ``TransformPoint`` within rounding (below 1e-9 mm), also at and beyond the border of a
        B-spline, where the displacement is zero. Points that are not finite give points that are not.
        """
        from comould.space import _points

        return _points.apply(self.itk, points, threads=threads)

    def apply_with_spread(
        self, points: npt.ArrayLike, others: Sequence[Transform], *, threads: int | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Map points, and say how far other transforms of the same frames disagree.

        Parameters
        ----------
        points, threads
            As in :meth:`apply`.
        others
            Other plausible transforms. All of them see a block of points before the next block comes, so memory does
            not grow with their number.

        Returns
        -------
        ndarray, ndarray
            Positions ``(n, 3)`` and the mean square deviation ``(n, 3)`` of the others from them (zero if there are
            none), axis by axis.

        Raises
        ------
        FrameMismatchError
            If another transform has other frames.
        """
        from comould.space import _points

        for other in others:
            if (other.source, other.target) != (self.source, self.target):
                raise FrameMismatchError(
                    subject=f"spread of {self.name}", expected="transforms of the same frames", found=other.name
                )
        return _points.apply_with_spread(self.itk, [other.itk for other in others], points, threads=threads)

    def inverse(self) -> Transform:
        """Turn a linear transform round.

        Raises
        ------
        GeometryError
            If the transform is deformable: use :meth:`solve_inverse` for points.
        """
        return Transform.from_matrix(self.target, self.source, np.linalg.inv(self.matrix))

    def solve_inverse(self, points: npt.ArrayLike, tolerance: float = 1e-6, max_iterations: int = 100) -> FloatArray:
        """Find the source points that map to given target points, also through a deformable transform.

        Parameters
        ----------
        points
            ``(n, 3)`` in the target frame.
        tolerance
            Largest residual in target units.
        max_iterations
            Newton steps with a Jacobian by central differences.

        Returns
        -------
        ndarray
            ``(n, 3)`` in the source frame.

        Raises
        ------
        GeometryError
            If a point does not converge (the transform folds there).
        """
        from comould.space import _points

        targets = as_points(points)
        if self.is_linear:
            return self.inverse().apply(targets)
        found, residual = _points.newton_inverse(self.itk, targets, tolerance, max_iterations)
        if residual > tolerance:
            raise GeometryError(
                subject=f"inverse of {self.name}",
                expected=f"a residual below {tolerance:g}",
                found=f"{residual:.3g} at the worst point",
                remedy="The transform folds or the point lies outside it",
            )
        return found

    def __matmul__(self, first: Transform) -> Transform:
        """Compose: ``a_from_b @ b_from_c`` gives ``a_from_c``."""
        import SimpleITK as sitk

        if not isinstance(first, Transform):
            return NotImplemented
        if self.source != first.target:
            raise FrameMismatchError(
                subject=f"{self.name} @ {first.name}",
                expected=f"the right one to end in {self.source!s}",
                found=f"it ends in {first.target!s}",
                remedy="Names must meet: a_from_b @ b_from_c",
            )
        if self.is_linear and first.is_linear:
            return Transform.from_matrix(first.source, self.target, self.matrix @ first.matrix)
        composite = sitk.CompositeTransform([self.itk, first.itk])
        composite.FlattenTransform()
        return Transform(first.source, self.target, composite)

    def save(self, path: str | Path) -> Path:
        """Write ``.h5`` or ``.tfm`` with a frame sidecar beside it (``.frames.json``); returns the path.

        Raises
        ------
        InputError
            For any other suffix.
        """
        import SimpleITK as sitk

        path = _checked_suffix(Path(path))
        sitk.WriteTransform(self.itk, str(path))
        sidecar: dict[str, Any] = {"source": str(self.source), "target": str(self.target), "reads": self.name}
        path.with_name(path.name + SIDECAR_SUFFIX).write_text(json.dumps(sidecar, indent=2) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            If the file or its frame sidecar is missing or not a transform.
        """
        import SimpleITK as sitk

        path = _checked_suffix(Path(path))
        sidecar = path.with_name(path.name + SIDECAR_SUFFIX)
        for file in (path, sidecar):
            if not file.is_file():
                raise InputError(
                    subject=str(file), expected="a file", found="none", remedy="Write it with Transform.save"
                )
        try:
            frames = json.loads(sidecar.read_text(encoding="utf-8"))
            itk = sitk.ReadTransform(str(path))
            return cls(Frame(frames["source"]), Frame(frames["target"]), itk)
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(subject=str(path), expected="a saved transform with its frames", found=reason) from error


def _checked_suffix(path: Path) -> Path:
    # ITK picks its writer by these very letters: .H5 has none.
    if path.suffix not in {".h5", ".tfm"}:
        raise InputError(
            subject=f"transform file {path.name}", expected="suffix .h5 or .tfm", found=path.suffix or "none"
        )
    return path
