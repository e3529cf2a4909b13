"""Sampling plate: laid on a slab's face, its rim round the slab, its holes where the cores are."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import ComouldWarning, GeometryError, PrintabilityError
from comould.mould.printability import measure
from comould.mould.sampling._labels import Label, engraved, mark, place_labels
from comould.mould.sampling.options import PlateOptions
from comould.mould.sampling.raster import Volume, outlines
from comould.mould.sampling.result import Core, SamplingPlan
from comould.mould.sampling.slab import Slab
from comould.space import FloatArray, Frame, Transform

if TYPE_CHECKING:
    import SimpleITK as sitk
    import trimesh
    from manifold3d import CrossSection, Manifold

EDGE_MM = 1.5
"""Plate left beyond the rim and the letters."""
CHAMFER_MM = 1.5
LEAST_SLAB_MM = 1.8
"""Thinner slabs leave no rim worth printing."""
_SMOOTH_MM = 0.03
_SEGMENTS = 64


@dataclass(frozen=True, eq=False)
class Plate:
    """A printable sampling plate.

    Parameters
    ----------
    slab
        Id of the slab it belongs to.
    mesh
        One closed body, mm, as it is printed: the engraved face on the bed (z = 0), the rim upwards. That face is the
        one that is read when the plate lies on the slab, its rim round the slab's edge.
    patient_from_plate
        From the mesh's frame (a mould frame of its own) to the patient, with the plate lying on the face.
    rim_mm
        Height of the rim.
    marks
        What is engraved and where, as :func:`comould.mould.marks.measure_engravings` reads it.
    unmarked
        What could not be engraved.
    """

    slab: str
    mesh: trimesh.Trimesh
    patient_from_plate: Transform
    rim_mm: float
    marks: tuple[dict[str, Any], ...]
    unmarked: tuple[str, ...]


def plates(sampling: SamplingPlan, seg: sitk.Image, *, options: PlateOptions | None = None) -> dict[str, Plate]:
    """Make the plate of every slab that has cores.

    Parameters
    ----------
    sampling
        Slabs and cores.
    seg, options
        As for :func:`plate`.

    Returns
    -------
    dict
        Slab id to its plate.

    Warns
    -----
    ComouldWarning
        If a slab with cores is too thin for a plate, or something could not be engraved.
    """
    tissue = Volume.of(seg)
    options = options or PlateOptions()
    cored = [slab for slab in sampling.slabs if sampling.of(slab)]
    thin = [slab for slab in cored if slab.thickness_mm < LEAST_SLAB_MM]
    if thin:
        listed = ", ".join(f"{slab.id} ({slab.thickness_mm:.2f} mm)" for slab in thin)
        warnings.warn(
            f"sampling plates: none for slabs thinner than {LEAST_SLAB_MM:g} mm: {listed}", ComouldWarning, stacklevel=2
        )
    made = {slab.id: _make(slab, tissue, sampling.of(slab), options) for slab in cored if slab not in thin}
    _warn(made.values())
    return made


def plate(slab: Slab, seg: sitk.Image, cores: Sequence[Core] = (), *, options: PlateOptions | None = None) -> Plate:
    """Make the sampling plate of one slab.

    Parameters
    ----------
    slab
        The slab; the plate lies on its face.
    seg
        Label image of the specimen, patient LPS; everything that is not 0 counts.
    cores
        Cores of this slab.
    options
        Sizes.

    Returns
    -------
    Plate
        With the mesh and the way from it to the patient.

    Raises
    ------
    GeometryError
        If a core belongs to another slab, or the slab is too thin for a rim.
    PrintabilityError
        If the result is not one closed body.

    Warns
    -----
    ComouldWarning
        If something could not be engraved.

    Notes
    -----
    The slab lies on the table, its face upwards; the plate is laid on it so that the writing can be read. Its rim is
    lower than the slab by at least 1 mm and follows the outline of the segmentation, not of the tissue: soft tissue
    bulges and shrinks, and the plate cannot tell.
    """
    made = _make(slab, Volume.of(seg), tuple(cores), options or PlateOptions())
    _warn([made])
    return made


def _warn(made: Any) -> None:
    if missing := [f"{plate.slab} {text}" for plate in made for text in plate.unmarked]:
        listed = ", ".join(missing[:8]) + (", …" if len(missing) > 8 else "")
        warnings.warn(f"sampling plates: no room or no sign to engrave: {listed}", ComouldWarning, stacklevel=3)


def _make(slab: Slab, tissue: Volume, cores: tuple[Core, ...], options: PlateOptions) -> Plate:
    if strangers := [core.id for core in cores if core.slab != slab.id]:
        raise GeometryError(
            subject=f"plate of slab {slab.id}", expected="its own cores", found=f"{', '.join(strangers)}"
        )
    rim = min(options.rim_mm, slab.thickness_mm - 1.0)
    if slab.thickness_mm < LEAST_SLAB_MM:
        raise GeometryError(
            subject=f"plate of slab {slab.id}",
            expected=f"a slab at least {LEAST_SLAB_MM:g} mm thick for a rim that it can sit against",
            found=f"{slab.thickness_mm:.2f} mm",
            remedy="Leave its cores out (per_habitat), or plan thicker slabs",
        )
    shape = _Shape.of(slab, tissue, cores, options, rim)
    solid, marks, unmarked = shape.solid()
    mesh = _mesh(solid)
    report = measure(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    if not report.printable or report.bodies != 1 or report.voids:
        raise PrintabilityError(
            subject=f"plate of slab {slab.id}",
            expected="one watertight body",
            found=f"{report.bodies} bodies, {report.voids} hollows; " + "; ".join(report.problems),
        )
    return Plate(slab.id, mesh, shape.patient_from_plate, rim, tuple(marks), tuple(unmarked))


def _mesh(solid: Manifold) -> trimesh.Trimesh:
    import trimesh

    raw = solid.to_mesh()
    mesh = trimesh.Trimesh(
        np.asarray(raw.vert_properties, np.float64)[:, :3], np.asarray(raw.tri_verts, np.int64), process=False
    )
    mesh.units = "mm"
    return mesh


@dataclass(frozen=True, eq=False)
class _Shape:
    """The plate in its own frame: x and y as the face is seen, z = 0 the engraved side, tissue beyond z = thickness."""

    slab: Slab
    cores: tuple[Core, ...]
    options: PlateOptions
    rim_mm: float
    pocket: Any
    """Room for the slab: its outline plus clearance."""
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, slab: Slab, tissue: Volume, cores: tuple[Core, ...], options: PlateOptions, rim_mm: float) -> _Shape:
        """Lay out the plate round the slab's outline, wide enough for its names."""
        pocket = outline_section(outlines(slab, tissue, rim_mm if options.stop == "rim" else None))
        pocket = pocket.offset(options.clearance_mm, circular_segments=_SEGMENTS).simplify(_SMOOTH_MM)
        x0, y0, x1, y1 = pocket.bounds()
        band = options.rim_wall_mm + 2 * EDGE_MM + options.letter_mm
        low, high = np.array([x0, y0]) - band, np.array([x1, y1]) + band
        # Names stand left of the letter in the middle of an edge, and must be clear of it and of the corner.
        names = max(Label.width(text, options.letter_mm, options) for text in (slab.id, slab.plane.id))
        least = 2.0 * (names + 0.5 * options.letter_mm + CHAMFER_MM + 3 * EDGE_MM)
        grow = 0.5 * np.maximum(np.array([least, 0.0]) - (high - low), 0.0)
        return cls(slab, cores, options, rim_mm, pocket, low - grow, high + grow)

    @property
    def patient_from_plate(self) -> Transform:
        lower = np.eye(4)
        lower[2, 3] = -self.options.thickness_mm
        return Transform.from_matrix(Frame.MOULD, Frame.PATIENT, self.slab.patient_from_face @ lower)

    @property
    def holes(self) -> list[tuple[FloatArray, float]]:
        """Centre in face mm and radius of every hole."""
        spare = self.options.hole_clearance_mm
        return [
            (np.array(core.uv_mm) * (self.slab.across, 1.0), 0.5 * (core.diameter_mm + spare)) for core in self.cores
        ]

    def solid(self) -> tuple[Manifold, list[dict[str, Any]], list[str]]:
        """Build it; also say what is engraved and what could not be."""
        from manifold3d import CrossSection, Manifold, OpType

        options = self.options
        wall = self.pocket.offset(options.rim_wall_mm, circular_segments=_SEGMENTS) - self.pocket
        # Where two parts of a slab come close, the wall between them may be too thin to print: it goes.
        thin = 0.45 * min(options.rim_wall_mm, 1.2)
        wall = wall.offset(-thin, circular_segments=_SEGMENTS).offset(thin, circular_segments=_SEGMENTS)
        wall = (wall - self.pocket).simplify(_SMOOTH_MM)
        holes = [CrossSection.circle(radius, _SEGMENTS).translate(tuple(at)) for at, radius in self.holes]
        body = self._outer().extrude(options.thickness_mm)
        # The rim starts inside the plate, so that both become one body.
        ring = wall.extrude(self.rim_mm + 0.5).translate((0.0, 0.0, options.thickness_mm - 0.5))
        solid = Manifold.batch_boolean([body, ring], OpType.Add)
        labels, unmarked = place_labels(self._wishes(), self.holes, (self.low, self.high))
        marks = [mark(label) for label in labels]
        cut = [engraved(text, options.engrave_mm) for text in marks]
        if holes:
            through = CrossSection.batch_boolean(holes, OpType.Add).extrude(options.thickness_mm + self.rim_mm + 2.0)
            cut.append(through.translate((0.0, 0.0, -1.0)))
        return Manifold.batch_boolean([solid, *cut], OpType.Subtract), marks, unmarked

    def _outer(self) -> CrossSection:
        """Rectangle with three chamfers and one large cut: the upper right corner as the plate is read."""
        from manifold3d import CrossSection, FillRule

        (x0, y0), (x1, y1), c, k = self.low, self.high, CHAMFER_MM, self.options.key_mm
        corners = [
            (x0 + c, y0), (x1 - k, y0), (x1, y0 + k), (x1, y1 - c),
            (x1 - c, y1), (x0 + c, y1), (x0, y1 - c), (x0, y0 + c),
        ]  # fmt: skip
        return CrossSection([np.array(corners)], FillRule.EvenOdd)

    def _wishes(self) -> list[Label]:
        """All texts: letters and names have their places, numbers look for one beside their hole."""
        from comould.space import anatomical_letter

        options, rotation = self.options, self.slab.patient_from_face[:3, :3]
        inset = EDGE_MM + 0.5 * options.letter_mm
        middle = 0.5 * (self.low + self.high)
        wishes = []
        for axis, sign in ((0, -1.0), (0, 1.0), (1, -1.0), (1, 1.0)):
            at = middle.copy()
            at[axis] = (self.low if sign < 0 else self.high)[axis] - sign * inset
            wishes.append(Label(anatomical_letter(sign * rotation[:, axis]), (tuple(at),), options.letter_mm, options))
        for text, y in ((self.slab.id, self.low[1] + inset), (self.slab.plane.id, self.high[1] - inset)):
            x = self.low[0] + CHAMFER_MM + EDGE_MM + 0.5 * Label.width(text, options.letter_mm, options)
            wishes.append(Label(text, ((float(x), float(y)),), options.letter_mm, options))
        for core, (at, radius) in zip(self.cores, self.holes, strict=True):
            wishes.append(Label.beside(str(core.number), at, radius, options))
        return wishes


def outline_section(polygons: Sequence[FloatArray]) -> CrossSection:
    """Make an area of closed polygons ``(k, 2)``; holes in it are filled.

    Raises
    ------
    GeometryError
        If there is none.
    """
    from manifold3d import CrossSection, FillRule

    if not polygons:
        raise GeometryError(
            subject="outline of a slab", expected="tissue", found="less than half a voxel", remedy="Check the planes"
        )
    area = CrossSection([polygon[:-1] for polygon in polygons], FillRule.EvenOdd)
    # An outer contour runs round its area, a hole the other way: filled with the rule for both, holes vanish.
    return CrossSection([np.asarray(part) for part in area.to_polygons() if _area2(part) > 0], FillRule.NonZero)


def _area2(polygon: Any) -> float:
    x, y = np.asarray(polygon, np.float64).T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1))
