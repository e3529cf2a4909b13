"""What happens to a section between the knife and the scanner: the true way from its pixels back to the patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.errors import GeometryError, InputError
from comould.phantom.cut_options import CutOptions
from comould.phantom.knife import LATTICE_MM, TrueCut
from comould.phantom.shape import rotation
from comould.phantom.tears import Part, Wedge, lose, tear
from comould.space import FloatArray, Frame, Transform

if TYPE_CHECKING:
    import SimpleITK as sitk

FULL_MM = (15.0, 25.0)
"""Bounds of the mean radius from which a section bends in full."""

STIFFNESS = 7.0
"""That radius, between its bounds, over the bending asked for."""

LEAST_DETERMINANT = 0.25
GENTLE = 0.6
"""Greatest norm of a displacement's gradient at which there is no doubt that nothing folds; below 1 by theory."""

SEEN_ONCE = 1.15
"""Area shown over area there is, counted on lattices: up to 1.1 by chance for the smallest sections."""

TRIES = 60
SMALL_MM = 8.0
TRIES_SMALL = 400


@dataclass(frozen=True, eq=False)
class Placement:
    """A section on its slide.

    Parameters
    ----------
    parts
        The piece that stayed, and those that tore off.
    ways
        For each part, full-resolution pixels to patient mm: the truth wherever the slide shows that part.
    flat_from_section_px
        Full-resolution pixels to the flat section as it lies, in mm of the cut's u and v.
    patient_from_cut
        The true cut: its own plane coordinates to patient mm (the plan's plane, but for cutting error).
    outline_mm
        ``(2, 2)``: least and greatest u, v of the specimen in the cut.
    size_px
        Width and height of the working image.
    flipped
        Whether the slide shows the mirror image of what was imaged.
    angle_deg
        Rotation from slide to plane, after the flip of x.
    lost
        What is missing.
    """

    parts: tuple[Part, ...]
    ways: tuple[Transform, ...]
    flat_from_section_px: Transform
    patient_from_cut: Transform
    outline_mm: FloatArray
    size_px: tuple[int, int]
    flipped: bool
    angle_deg: float
    lost: Wedge | None

    @property
    def patient_from_section_px(self) -> Transform:
        """The truth of the piece that stayed, which is all of it as a rule."""
        return self.ways[0]

    @property
    def cut_from_section_px(self) -> Transform:
        """Full-resolution pixels to the true cut's u, v (and 0)."""
        return self.cut_from(0)

    def cut_from(self, part: int) -> Transform:
        """As :attr:`cut_from_section_px`, for one of the parts."""
        return self.patient_from_cut.inverse() @ self.ways[part]

    def depth_mm(self, part: int, points_px: FloatArray) -> FloatArray:
        """How deep in a part full-resolution pixels ``(n, 2)`` lie, infinite when nothing is torn; negative outside."""
        chosen = self.parts[part]
        if not chosen.edges:
            return np.full(len(points_px), np.inf)
        way, unmoved = self.flat_from_section_px, chosen.unmoved
        return chosen.depth_mm((way if unmoved is None else unmoved @ way).apply(points_px)[:, :2])

    def locate(self, points_px: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Patient mm ``(n, 3)`` of full-resolution pixels, and the part each lies in, −1 where none is left."""
        patient = self.ways[0].apply(points_px)
        part = np.zeros(len(patient), dtype=np.int64)
        if len(self.parts) > 1:
            part = np.where(self.depth_mm(0, points_px) > 0.0, 0, -1)
        for number in range(1, len(self.parts)):
            mine = np.flatnonzero(self.depth_mm(number, points_px) > 0.0)
            patient[mine] = self.ways[number].apply(points_px[mine])
            part[mine] = number
        if self.lost is not None:
            part[self.lost.depth_mm(self.patient_from_cut.inverse().apply(patient)[:, :2]) <= 0.0] = -1
        return patient, part


def place(
    cut: TrueCut,
    tissue_uv: FloatArray,
    options: CutOptions,
    rng: np.random.Generator,
    tearing: np.random.Generator | None = None,
) -> Placement:
    """Deform a section and lay it on its slide; without a generator for it nothing tears.

    Raises
    ------
    InputError
        If the bending asked for would fold the tissue.
    """
    face_up = options.flip and bool(rng.random() < 0.5)
    flipped = face_up != (cut.plane.face == "+")
    angle = float(rng.uniform(0.0, 360.0)) if options.rotate else 0.0
    # Drawn whether or not they are used, so that one option does not change what chance gives the others.
    stretch = _stretch(rng, options)
    slack = rng.uniform(0.0, 2.0, 4)
    centre = (tissue_uv.min(axis=0) + tissue_uv.max(axis=0)) / 2.0
    bend = _bending(tissue_uv, centre, options, rng)
    linear = stretch @ rotation(np.array([0.0, 0.0, angle]))[:2, :2] @ np.diag([-1.0 if flipped else 1.0, 1.0])
    lost = None if tearing is None else lose(tissue_uv, options, tearing)
    parts, rim = _settled(bend, tissue_uv, options, tearing)
    on_slide = (rim - centre) @ np.linalg.inv(linear).T
    low = on_slide.min(axis=0) - options.margin_mm - slack[:2]
    high = on_slide.max(axis=0) + options.margin_mm + slack[2:]
    size = np.ceil((high - low) * 1000.0 / options.image_pixel_um).astype(int)
    px_mm = options.pixel_size_um / 1000.0
    matrix = np.eye(4)
    matrix[:2, :2] = linear * px_mm
    # The outer corner of the slide is half a pixel from the first pixel's centre.
    matrix[:2, 3] = centre + linear @ (low + px_mm / 2.0)
    flat_from_px = Transform.from_matrix(Frame.SECTION_PX, Frame.PLANE, matrix)
    ways = []
    for part in parts:
        way = flat_from_px if part.unmoved is None else part.unmoved @ flat_from_px
        ways.append(cut.patient_from_cut @ (way if bend is None else bend @ way))
    return Placement(
        parts=parts,
        ways=tuple(ways),
        flat_from_section_px=flat_from_px,
        patient_from_cut=cut.patient_from_cut,
        outline_mm=np.array([tissue_uv.min(axis=0), tissue_uv.max(axis=0)]),
        size_px=(int(size[0]), int(size[1])),
        flipped=flipped,
        angle_deg=angle,
        lost=lost,
    )


def _settled(
    bend: Transform | None, tissue_uv: FloatArray, options: CutOptions, tearing: np.random.Generator | None
) -> tuple[tuple[Part, ...], FloatArray]:
    """Tear the section; returns its parts, and points of the flat tissue that hold its bounds at any angle."""
    rim = tissue_uv[_extreme(tissue_uv)]
    if tearing is None or not (options.tears or options.pieces > 1):
        return (Part(),), rim if bend is None else _flat(bend, rim)
    points = np.vstack([rim, tissue_uv[:: max(len(tissue_uv) // 2500, 1)]])
    flat = points if bend is None else _flat(bend, points)
    parts = tear(flat, options, tearing)
    settled = np.vstack([part.settle(flat[part.depth_mm(flat) > 0.0]) for part in parts])
    return parts, settled[_extreme(settled)]


def _extreme(points: FloatArray) -> npt.NDArray[np.intp]:
    """Rows of the points first and last along each of many directions: enough to find any bounding box."""
    angles = np.linspace(0.0, np.pi, 180, endpoint=False)
    along = points @ np.stack([np.cos(angles), np.sin(angles)])
    return np.unique(np.concatenate([along.argmin(axis=0), along.argmax(axis=0)]))


def _stretch(rng: np.random.Generator, options: CutOptions) -> FloatArray:
    """Undo shrinkage: ``(2, 2)``, with a small stretch along a random direction and a small shear."""
    along, shear = np.clip(rng.normal(0.0, 1.0, 2), -2.5, 2.5) * options.anisotropy
    turn = rotation(np.array([0.0, 0.0, rng.uniform(0.0, 180.0)]))[:2, :2]
    return (
        turn
        @ np.diag([1.0 + along, 1.0 - along])
        @ turn.T
        @ np.array([[1.0, shear], [0.0, 1.0]])
        / (1.0 - options.shrinkage)
    )


def _bending(
    tissue_uv: FloatArray, centre: FloatArray, options: CutOptions, rng: np.random.Generator
) -> Transform | None:
    """Smooth displacement in the cut (source: the flat section, target: the tissue as it lay); ``None`` when zero.

    A draw that folds is drawn anew: at the default amplitude one in a hundred does, at 2 mm one in four; at 3 mm five
    in six, or with cells of 26 mm two in three.
    """
    if options.bending_mm == 0.0:
        return None
    radius = float(np.sqrt(len(tissue_uv) * LATTICE_MM**2 / np.pi))
    full_mm = float(np.clip(STIFFNESS * options.bending_mm, *FULL_MM))
    wanted_mm = options.bending_mm * min(1.0, radius / full_mm)
    empty = _empty_spline(tissue_uv, centre, options)
    least = -np.inf
    tries = TRIES if radius >= SMALL_MM else TRIES_SMALL
    for _ in range(tries):
        bend = _draw(empty, tissue_uv, wanted_mm, rng)
        found = _least_determinant(bend, tissue_uv, options.margin_mm + 2.0)
        if found >= LEAST_DETERMINANT and _is_seen_once(bend, tissue_uv, options.margin_mm + 2.0):
            return bend
        least = max(least, found)
    raise InputError(
        subject=f"bending_mm {options.bending_mm:g}",
        expected=f"a bending whose Jacobian determinant stays above {LEAST_DETERMINANT}",
        found=f"{least:.2f} at best in {tries} draws, which folds or nearly folds the tissue",
        remedy="Choose a smaller bending_mm or a larger bending_cell_mm",
    )


def _empty_spline(tissue_uv: FloatArray, centre: FloatArray, options: CutOptions) -> sitk.BSplineTransform:
    """Make a spline of zeros whose domain holds the slide at any angle; one cell along z."""
    import SimpleITK as sitk

    reach = float(np.linalg.norm(tissue_uv - centre, axis=1).max()) + options.margin_mm + 4.0
    half = reach * 1.5 + 4.0 * options.bending_mm
    cells = max(int(np.ceil(2.0 * half / options.bending_cell_mm)), 4)
    spline = sitk.BSplineTransform(3, 3)
    spline.SetTransformDomainOrigin((float(centre[0] - half), float(centre[1] - half), -10.0))
    spline.SetTransformDomainPhysicalDimensions((2.0 * half, 2.0 * half, 20.0))
    spline.SetTransformDomainMeshSize((cells, cells, 1))
    return spline


def _draw(empty: sitk.BSplineTransform, tissue_uv: FloatArray, wanted_mm: float, rng: np.random.Generator) -> Transform:
    """Draw a bending of the wanted root-mean-square over the tissue and without an affine part there."""
    grid = empty.GetCoefficientImages()[0]
    axes = [grid.GetOrigin()[n] + grid.GetSpacing()[n] * np.arange(grid.GetSize()[n]) for n in (0, 1)]
    control = np.stack([axis.ravel() for axis in np.meshgrid(*axes)], axis=-1)
    coefficients = rng.standard_normal((2, len(axes[1]), len(axes[0])))
    moved = _filled(empty, coefficients).apply(tissue_uv)[:, :2] - tissue_uv
    # An affine part would be shrinkage and rotation again: a cubic B-spline reproduces it from its control points.
    basis = _affine_basis(tissue_uv)
    fit, *_ = np.linalg.lstsq(basis, moved, rcond=None)
    coefficients -= (_affine_basis(control) @ fit).T.reshape(coefficients.shape)
    size = float(np.sqrt(np.mean(np.sum((moved - basis @ fit) ** 2, axis=1))))
    return _filled(empty, coefficients * (wanted_mm / max(size, 1e-9)))


def _filled(empty: sitk.BSplineTransform, coefficients: FloatArray) -> Transform:
    """Fill a 3-D spline with in-plane coefficients, the same at every z: exactly a 2-D spline."""
    import SimpleITK as sitk

    spline = sitk.BSplineTransform(empty)
    layers = np.repeat(coefficients[:, None], 4, axis=1)
    spline.SetParameters(np.concatenate([layers.ravel(), np.zeros(layers[0].size)]).tolist())
    return Transform(Frame.PLANE, Frame.PLANE, spline)


def _flat(bend: Transform, points: FloatArray) -> FloatArray:
    return bend.solve_inverse(points, tolerance=1e-4)[:, :2]


def _is_seen_once(bend: Transform, tissue_uv: FloatArray, margin_mm: float) -> bool:
    """Whether the tissue can be found on the flat section, and all of it once.

    Far out a strong bending may fold although it does not within the tissue. What the slide shows of the tissue then
    adds up, by the determinant, to more than there is. Where the displacement's gradient is small it cannot.
    """
    reach = margin_mm + float(np.abs(bend.apply(tissue_uv[::9])[:, :2] - tissue_uv[::9]).max())
    around = _lattice(tissue_uv.min(axis=0) - reach, tissue_uv.max(axis=0) + reach, 2.5)
    if float(np.linalg.norm(_jacobian(bend, around) - np.eye(2), axis=(1, 2)).max()) < GENTLE:
        return True
    some = np.vstack([tissue_uv[_extreme(tissue_uv)], tissue_uv[:: max(len(tissue_uv) // 500, 1)]])
    try:
        flat = _flat(bend, some)
    except GeometryError:
        return False
    low, high = flat.min(axis=0) - margin_mm, flat.max(axis=0) + margin_mm
    step = max(LATTICE_MM, float(np.ptp(tissue_uv, axis=0).max()) / 60.0)
    slide = _lattice(low, high, step)
    determinant = np.linalg.det(_jacobian(bend, slide))
    first = tissue_uv.min(axis=0)
    cell = np.round((tissue_uv - first) / LATTICE_MM).astype(int)
    known = np.zeros(cell.max(axis=0) + 1, dtype=bool)
    known[tuple(cell.T)] = True
    where = np.round((bend.apply(slide)[:, :2] - first) / LATTICE_MM).astype(int)
    inside = ((where >= 0) & (where < known.shape)).all(axis=1)
    inside[inside] = known[tuple(where[inside].T)]
    seen = float(np.abs(determinant[inside]).sum()) * step**2 / (len(tissue_uv) * LATTICE_MM**2)
    return bool((determinant[inside] > 0.1).all()) and seen < SEEN_ONCE


def _affine_basis(points: FloatArray) -> FloatArray:
    return np.column_stack([np.ones(len(points)), points])


def _least_determinant(bend: Transform, tissue_uv: FloatArray, margin_mm: float) -> float:
    """Least Jacobian determinant over the tissue; −inf when it folds on the glass around (which would show twice)."""
    some = tissue_uv[:: max(len(tissue_uv) // 1500, 1)]
    around = _lattice(tissue_uv.min(axis=0) - margin_mm, tissue_uv.max(axis=0) + margin_mm, 2.0)
    determinant = np.linalg.det(_jacobian(bend, np.vstack([some, around])))
    return float(determinant[: len(some)].min()) if determinant.min() > 0.05 else -np.inf


def _lattice(low: FloatArray, high: FloatArray, step_mm: float) -> FloatArray:
    """Points ``(n, 2)`` over a rectangle."""
    return np.stack(np.meshgrid(*(np.arange(low[n], high[n], step_mm) for n in (0, 1))), axis=-1).reshape(-1, 2)


def _jacobian(bend: Transform, points: FloatArray) -> FloatArray:
    """Differentiate at points; ``(n, 2, 2)``: u and v down, by u and by v across."""
    step = 1e-3
    moved = [bend.apply(points + side)[:, :2] - bend.apply(points - side)[:, :2] for side in step * np.eye(2)]
    return np.asarray(np.stack(moved, axis=-1) / (2.0 * step))
