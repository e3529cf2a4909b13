"""One section: the slide, the imaging plane it came from, and how well the two lie on each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.io.section import Section
from comould.pl import decor
from comould.pl.kinds import RegistrationLike
from comould.pl.mapped import MappedLattice, outlines
from comould.pl.panels import panels
from comould.pl.render import barycentric, rasterise
from comould.pl.style import VERDICTS, context, one_axes
from comould.pl.view import View, grey_window, mask_points, pixel_mm
from comould.space import FloatArray, SlicePlan, Transform

if TYPE_CHECKING:
    import SimpleITK as sitk
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {
    "slide": "Slide as scanned",
    "plane": "Imaging plane",
    "before": "Nothing done",
    "overlay": "Registered",
    "checker": "Checkerboard",
}
TISSUE_OUTLINE = "#56E0FF"
"""Outline of the section's tissue where its registration lays it."""
LATTICE = 70
"""Points along each side of the lattice a slide is warped by."""
PIXELS = 320
"""Pixels along the longer side of a warped slide."""


def section(
    section: Section,
    registration: RegistrationLike,
    plan: SlicePlan,
    image: sitk.Image,
    mask: sitk.Image,
    *,
    show: tuple[str, ...] = tuple(PANELS),
    ax: Axes | None = None,
) -> Figure | Axes:
    """Show a section beside and on its imaging plane, before and after registration.

    Parameters
    ----------
    section
        The slide.
    registration
        Its registration; the plane is looked up in the plan by ``plane_id``.
    plan
        The cutting planes.
    image, mask
        Volume and specimen, patient LPS mm.
    show
        Of ``slide``, ``plane``, ``before``, ``overlay`` and ``checker``.
    ax
        Axes to draw into; a new figure when ``None``.

    Returns
    -------
    Figure or Axes
        What was drawn into.

    Notes
    -----
    "Nothing done" lays the slide's centre on the centre of the specimen's outline in that plane, as scanned:
    its right along the plane's u, its down along v. It is a picture of doing nothing, not of a worst case.
    """
    scene = SectionScene.of(section, registration, plan, image, mask)
    with context():
        host, made = panels(
            ax, len(show), columns=5, size_in=(2.7, 2.7 * scene.view.size_mm[1] / scene.view.size_mm[0] + 0.3)
        )
        for panel, name in zip(made, show, strict=True):
            scene.draw(name, ax=panel)
            panel.set_title(PANELS[name], color="white", fontsize=8.5)
        made[0].set_title(f"{section.id} · {registration.quality.verdict}", parse_math=False, fontsize=9, color="white")
    return host


@dataclass(frozen=True, eq=False)
class SectionScene:
    """All that the pictures of one section share; build with :meth:`of`, draw panels with :meth:`draw`."""

    section: Section
    registration: RegistrationLike
    view: View
    image: sitk.Image
    mask: sitk.Image
    window: tuple[float, float]
    patient_from_section_px_nothing: Transform
    given_tissue: npt.NDArray[np.bool_] | None = None

    @classmethod
    def of(
        cls,
        section: Section,
        registration: RegistrationLike,
        plan: SlicePlan,
        image: sitk.Image,
        mask: sitk.Image,
        *,
        window: tuple[float, float] | None = None,
        tissue: npt.NDArray[np.bool_] | None = None,
    ) -> SectionScene:
        """Prepare; see :func:`section`. ``tissue`` ``(h, w)`` as it was found; else it is told by brightness."""
        plane = plan[registration.plane_id]
        points = mask_points(mask)
        near = np.abs(plane.distance_mm(points)) <= max(mask.GetSpacing())
        held = points[near] if near.any() else points
        centre = 0.5 * (held.min(axis=0) + held.max(axis=0))
        size = np.array(section.image.shape[1::-1]) * section.downsample
        mm = section.pixel_size_um / 1000.0
        matrix = np.eye(4)
        matrix[:3, :3] = plane.rotation * mm
        foot = centre - np.asarray(plane.normal) * float(plane.distance_mm(centre)[0])
        matrix[:3, 3] = foot - matrix[:3, :2] @ (0.5 * size - 0.5)
        nothing = Transform.from_matrix("section_px", "patient", matrix)
        return cls(
            section,
            registration,
            View.of_plane(plane, held, max(4.0, 0.12 * float(np.ptp(held, axis=0).max()))),
            image,
            mask,
            window or grey_window(image, mask),
            nothing,
            tissue,
        )

    def draw(self, name: str, *, ax: Axes | None = None) -> Axes:
        """Draw one panel, a key of :data:`PANELS`."""
        with context():
            ax = one_axes(ax, 3.2, 3.2 * self.view.size_mm[1] / self.view.size_mm[0], plate=True)
            if name == "slide":
                self._slide(ax)
            elif name == "checker":
                self._checker(ax)
            else:
                decor.grey(ax, self.view, self.image, self.window, pixel_mm(self.image))
            if name in {"overlay", "before"}:
                nothing = self.patient_from_section_px_nothing
                self._lay(ax, self._registered if name == "overlay" else self.warped(nothing))
            if name != "slide":
                self.draw_outlines(ax, tissue=name != "before")
                decor.finish(ax, self.view)
        return ax

    def draw_outlines(self, ax: Axes, *, tissue: bool = True) -> None:
        """Draw the specimen's outline in the plane and, beneath it, that of the section's tissue as registered."""
        if tissue:
            for line in self.tissue_outlines:
                (drawn,) = ax.plot(*line.T, color=TISSUE_OUTLINE, lw=1.1, gid="tissue-outline")
                drawn.set_path_effects(decor.ON_DARK.lift(2.3))
        decor.outline(ax, self.view, self.mask, pixel_mm(self.image))

    @cached_property
    def tissue(self) -> npt.NDArray[np.bool_]:
        """Where the tissue is on the working picture ``(h, w)``: as given, as drawn, or what is not bare glass."""
        for known in (self.given_tissue, self.section.tissue):
            if known is not None:
                return known
        return not_bare(self.section.image)

    @cached_property
    def tissue_outlines(self) -> list[FloatArray]:
        """Outlines of the tissue as registered, view mm."""
        return outlines(self.section, self.tissue, self.registration.patient_from_section_px, self.view)

    @cached_property
    def lattice(self) -> MappedLattice:
        """A lattice over the tissue as registered."""
        return MappedLattice.of(self.section, self.tissue, self.registration.patient_from_section_px, self.view)

    def warped(self, patient_from_section_px: Transform, spacing_mm: float | None = None) -> FloatArray:
        """Bring the slide into the view: ``(h, w, 3)`` 0 to 1, NaN where the slide has no pixel."""
        return warp(self.section, patient_from_section_px, self.view, spacing_mm or self._spacing_mm)

    @property
    def _spacing_mm(self) -> float:
        return max(self.view.size_mm) / PIXELS

    @cached_property
    def _registered(self) -> FloatArray:
        return self.warped(self.registration.patient_from_section_px)

    def _lay(self, ax: Axes, colour: FloatArray) -> None:
        cover = np.isfinite(colour[..., 0]) & ~background(colour)
        rgba = np.dstack([np.nan_to_num(colour), 0.88 * cover])
        ax.imshow(rgba, extent=self.view.extent, origin="upper", interpolation="bilinear")

    def _checker(self, ax: Axes) -> None:
        spacing = self._spacing_mm
        grey = self.view.sample(self.image, spacing)
        low, high = self.window
        grey = np.clip((np.nan_to_num(grey, nan=low) - low) / (high - low), 0.0, 1.0)
        colour = self._registered
        side = max(2.0, round(min(self.view.size_mm) / 8.0))
        step = self.view.grid(spacing).spacing_mm
        row, column = ((np.arange(n) + 0.5) * s // side for n, s in zip(grey.shape, step[1::-1], strict=True))
        tissue = np.isfinite(colour[..., 0]) & ~background(colour)
        use = ((row[:, None] + column[None, :]) % 2 == 0) & tissue
        rgb = np.where(use[..., None], colour, grey[..., None])
        ax.imshow(rgb, extent=self.view.extent, origin="upper", interpolation="bilinear")

    def _slide(self, ax: Axes) -> None:
        """Show the slide itself, with the patient directions the registration found."""
        view = slide_view(self.section, self.registration.patient_from_section_px)
        ax.imshow(self.section.image, extent=view.extent, origin="upper", interpolation="antialiased")
        decor.finish(ax, view, pen=decor.ON_LIGHT)

    @property
    def verdict_colour(self) -> str:
        """Colour of the registration's verdict."""
        return VERDICTS.get(str(self.registration.quality.verdict), "#5c6b78")


def slide_view(section: Section, patient_from_section_px: Transform) -> View:
    """Window of a slide in its own mm, with the patient directions its right and down have at its centre."""
    height, width = section.image.shape[:2]
    step, start = section.image_pixel_mm, section.image_origin_mm
    centre = 0.5 * np.array([width, height]) * section.downsample - 0.5
    reach = 1000.0 / section.pixel_size_um
    three = patient_from_section_px.apply(centre + reach * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    right, down = (vector / np.linalg.norm(vector) for vector in three[1:] - three[0])
    x = (start - 0.5 * step, start + (width - 0.5) * step)
    y = (start - 0.5 * step, start + (height - 0.5) * step)
    return View(three[0], right, down, x, y)


def background(colour: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell bare glass from tissue, for transparency only: bright and without colour."""
    with np.errstate(invalid="ignore"):
        return np.asarray((colour.min(axis=2) > 0.86) & (np.ptp(colour, axis=2) < 0.06))


def not_bare(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Tell tissue from bare glass by brightness alone, holes closed and crumbs dropped; all of it when that fails."""
    from scipy import ndimage

    raw = ~background(image.astype(np.float64) / 255.0)
    closed = ndimage.binary_fill_holes(ndimage.binary_opening(raw, iterations=2))
    return np.asarray(closed if closed is not None and closed.any() else np.ones_like(raw))


def warp(section: Section, patient_from_section_px: Transform, view: View, spacing_mm: float) -> FloatArray:
    """Bring a slide into a window through a transform, also a deformable one.

    Parameters
    ----------
    section
        The slide.
    patient_from_section_px
        Full-resolution pixels to patient mm.
    view
        The window, in the section's plane.
    spacing_mm
        Pixel size of the result.

    Returns
    -------
    ndarray
        ``(h, w, 3)`` 0 to 1, NaN where the slide has no pixel.

    Notes
    -----
    The transform is applied forwards to a lattice over the slide and interpolated linearly within its triangles: a
    fold shows as a fold instead of an iteration that does not converge. Exact for linear transforms.
    """
    from scipy.ndimage import gaussian_filter, map_coordinates

    height, width = section.image.shape[:2]
    x, y = np.meshgrid(np.linspace(-0.5, width - 0.5, LATTICE), np.linspace(-0.5, height - 0.5, LATTICE))
    lattice = np.column_stack([x.ravel(), y.ravel()])
    flat = view.from_patient(patient_from_section_px.apply((lattice + 0.5) * section.downsample - 0.5))
    grid = view.grid(spacing_mm)
    on_screen = (flat - [view.x_mm[0], view.y_mm[0]]) / np.asarray(grid.spacing_mm[:2]) - 0.5
    cell = np.arange(LATTICE * LATTICE).reshape(LATTICE, LATTICE)
    a, b, c, d = (cell[i : i - 1 or None, j : j - 1 or None].ravel() for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
    triangles = np.vstack([np.column_stack([a, b, c]), np.column_stack([b, d, c])])
    corners = np.concatenate([on_screen[triangles], np.zeros((*triangles.shape, 1))], axis=2)
    pixel, face, _ = rasterise(corners, (grid.size[1], grid.size[0]))
    weights = barycentric(corners, face, pixel % grid.size[0], pixel // grid.size[0])
    source = np.einsum("nc,ncd->nd", weights, lattice[triangles[face]])
    blur = max(0.0, 0.4 * spacing_mm / section.image_pixel_mm - 0.4)
    result = np.full((grid.size[1] * grid.size[0], 3), np.nan)
    for channel in range(3):
        plane = section.image[..., channel].astype(np.float32) / 255.0
        plane = gaussian_filter(plane, blur) if blur > 0.2 else plane
        result[pixel, channel] = map_coordinates(plane, source.T[::-1], order=1, mode="nearest")
    return result.reshape(grid.size[1], grid.size[0], 3)
