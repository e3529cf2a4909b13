"""What lies on each cutting plane, in that plane's own u and v: outline, habitats, cores and the image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould.errors import GeometryError, InputError
from comould.mould import outline
from comould.pl.kinds import MouldLike
from comould.pl.view import View, letters, radiological
from comould.report.sheet.layout import Size
from comould.space import CutPlane, FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

BORDER_MM = 6.0
"""Image shown round the specimen, fading out."""
SAME_VOLUME = 0.85
"""A mask of less than this share of the specimen is another structure (the tumour in it) and gets its own line."""
SLIT_BEYOND_MM = 2.0
"""How far the orientation slit is drawn beyond the tissue, to be seen."""
_PIXELS = (0.15, 0.3)
_LABEL_PIXEL_MM = 0.35
_LABEL_INSIDE_MM = 2.0
_NAMED = 2
"""Parts of a habitat that are named on one plane."""


@dataclass(frozen=True)
class Core:
    """A core as the sheet needs it: where it is on its plane, and which face it is taken from."""

    id: str
    plane_id: str
    face: str
    slab: str
    uv_mm: tuple[float, float]
    habitat: str
    diameter_mm: float


@dataclass(frozen=True, eq=False)
class Region:
    """One habitat on one plane: rings in u, v, and points far inside its largest parts to name it at."""

    number: int
    rings: list[FloatArray]
    names_at: FloatArray


@dataclass(frozen=True, eq=False)
class Cut:
    """One plane's content.

    Parameters
    ----------
    plane
        As planned.
    lay
        The same plane with the first plane's u, v and foot: all pages then show one window. Everything below is in
        its u, v.
    outlines, mask
        Closed rings ``(n, 2)``, mm.
    regions, cores
        Habitats, and cores of either face.
    slit
        Both ends ``(2, 2)`` of the lengthwise orientation cut, when the mould has one.
    """

    plane: CutPlane
    lay: CutPlane
    outlines: list[FloatArray]
    mask: list[FloatArray]
    regions: list[Region]
    cores: list[Core]
    slit: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Turn:
    """How a plane is laid on paper: rows right and down, in u and v; entries −1, 0 or 1.

    Parameters
    ----------
    matrix
        ``(2, 2)`` page from plane.
    plane
        Gives the directions.
    """

    matrix: FloatArray
    plane: CutPlane

    @property
    def right(self) -> FloatArray:
        """Patient direction to the right."""
        return self.matrix[0, 0] * np.asarray(self.plane.u) + self.matrix[0, 1] * np.asarray(self.plane.v)

    @property
    def down(self) -> FloatArray:
        """Patient direction downwards."""
        return self.matrix[1, 0] * np.asarray(self.plane.u) + self.matrix[1, 1] * np.asarray(self.plane.v)

    @property
    def face(self) -> str:
        """The face one sees this way: ``-`` when one looks along the normal."""
        return "-" if np.linalg.det(self.matrix) > 0 else "+"

    @property
    def looks(self) -> FloatArray:
        """Patient direction one looks in."""
        return np.cross(self.right, self.down)

    def mirrored(self) -> Turn:
        """Give the same plane seen from behind: left and right exchanged, top stays."""
        return Turn(np.diag([-1.0, 1.0]) @ self.matrix, self.plane)

    def edge_letters(self) -> dict[str, str]:
        """Patient directions at the edges: keys left, right, top, bottom."""
        return {
            "left": letters(-self.right),
            "right": letters(self.right),
            "top": letters(-self.down),
            "bottom": letters(self.down),
        }


def as_imaged(plane: CutPlane) -> Turn:
    """Lay a plane as a radiologist sees it: see :func:`comould.pl.view.radiological`."""
    right, down = radiological(plane.u, plane.v)
    axes = np.array([plane.u, plane.v])
    return Turn(np.array([axes @ right, axes @ down]).round(), plane)


@dataclass(eq=False)
class Scene:
    """Everything the sheet draws.

    Parameters
    ----------
    mould
        Specimen, plan and ``mould_from_patient``.
    image, mask
        Optional; see :func:`comould.report.cutting_sheet`.
    labels
        Habitat label image.
    cores
        By plane id.
    habitat_names
        By label.
    """

    mould: MouldLike
    image: sitk.Image | None = None
    mask: sitk.Image | None = None
    labels: sitk.Image | None = None
    cores: Mapping[str, list[Core]] = field(default_factory=dict)
    habitat_names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known: dict[int, outline.Bounds] = {}
        self._check_overlap()
        self.cuts = [self._cut(n, plane) for n, plane in enumerate(self.mould.plan)]
        self.turn = as_imaged(self.mould.plan.planes[0])
        if not any(cut.outlines for cut in self.cuts):
            raise GeometryError(
                subject="cutting sheet",
                expected="cutting planes through the specimen",
                found="none that meets it",
                remedy="Give the mould with its own plan",
            )
        every = np.vstack([ring @ self.turn.matrix.T for cut in self.cuts for ring in cut.outlines])
        self.low = every.min(axis=0) - BORDER_MM
        self.high = every.max(axis=0) + BORDER_MM
        self.window = self._grey_window() if self.image is not None else (0.0, 1.0)

    @property
    def size(self) -> Size:
        """Width and height of every plane's picture, mm."""
        width, height = self.high - self.low
        return float(width), float(height)

    @cached_property
    def specimen_mm(self) -> FloatArray:
        """Patient positions ``(n, 3)`` of the specimen's surface."""
        patient_from_mould = self.mould.mould_from_patient.inverse()
        return patient_from_mould.apply(np.asarray(self.mould.specimen.vertices))

    def grey(self, cut: Cut) -> FloatArray | None:
        """Image on a plane as imaged, 0 black to 1 white, faded to white paper round the specimen."""
        if self.image is None:
            return None
        view = self._view(cut)
        pixel = float(np.clip(0.5 * min(self.image.GetSpacing()), *_PIXELS))
        values = view.sample(self.image, pixel)
        black, white = self.window
        grey = np.clip((values - black) / (white - black), 0.0, 1.0)
        grey = np.where(np.isfinite(values), grey, 1.0)
        inside = self._inside(cut, view, pixel, values.shape)
        weight = _fade(inside, view.grid(pixel).spacing_mm)
        # Black tissue under coloured habitats would hide them, and soak the paper.
        ink = 0.72 if cut.regions else 0.9
        return np.asarray(1.0 - ink * weight * (1.0 - grey), dtype=np.float64)

    def _view(self, cut: Cut) -> View:
        x, y = zip(self.low.tolist(), self.high.tolist(), strict=True)
        return View(np.asarray(cut.lay.origin_mm), self.turn.right, self.turn.down, x, y)

    def _inside(self, cut: Cut, view: View, pixel_mm: float, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Tell which pixels of a view lie in the specimen."""
        from PIL import Image, ImageDraw

        step = np.asarray(view.grid(pixel_mm).spacing_mm[:2])
        inside = np.zeros(shape, dtype=bool)
        for ring in cut.outlines:
            xy = (ring @ self.turn.matrix.T - self.low) / step - 0.5
            drawn = Image.new("1", (shape[1], shape[0]))
            ImageDraw.Draw(drawn).polygon(xy.ravel().tolist(), fill=1)
            inside ^= np.asarray(drawn)
        return inside

    def _cut(self, number: int, plane: CutPlane) -> Cut:
        first = self.mould.plan.planes[0]
        ahead = (plane.position_mm - first.position_mm) * np.asarray(first.normal)
        foot = tuple(np.asarray(first.origin_mm) + ahead)
        lay = replace(plane, origin_mm=foot, u=first.u, v=first.v, normal=first.normal)
        matrix = lay.plane_from_patient.matrix @ self.mould.mould_from_patient.inverse().matrix
        outlines = outline.of_mesh(self.mould.specimen, matrix)  # type: ignore[arg-type]
        mask, regions = [], []
        if self._part is not None:
            picture = outline.on_plane(self._part, lay, bounds=self._bounds(self._part, lay))
            mask = picture.outlines()
        if self.labels is not None:
            regions = list(_regions(self.labels, lay, self._bounds(self.labels, lay)))
        lay_from_plane = (lay.plane_from_patient @ plane.patient_from_plane).matrix
        cores = [
            replace(core, uv_mm=tuple((lay_from_plane @ [*core.uv_mm, 0.0, 1.0])[:2].tolist()))
            for core in self.cores.get(plane.id, [])
        ]
        return Cut(plane, lay, outlines, mask, regions, cores, self._slit(number, lay, matrix))

    def _slit(self, number: int, lay: CutPlane, lay_from_mould: FloatArray) -> FloatArray | None:
        """Find the orientation cut on a plane, from the mould's report."""
        found = (getattr(self.mould, "report", None) or {}).get("orientation_slit")
        if not found:
            return None
        floor, deep = float(found["floor_z_mm"]), float(found["depth_mm_per_plane"][number])
        x = float(self.mould.mould_from_patient.apply([lay.origin_mm])[0, 0])
        ends = np.array([[x, found["y_mm"], floor, 1.0], [x, found["y_mm"], floor + deep + SLIT_BEYOND_MM, 1.0]])
        return np.asarray((ends @ lay_from_mould.T)[:, :2], dtype=np.float64)

    def _bounds(self, image: sitk.Image, lay: CutPlane) -> outline.Bounds:
        """Extent in u and v, the same on every lay: looked up once."""
        if id(image) not in self._known:
            self._known[id(image)] = outline.bounds_on(image, lay, 2.0)
        return self._known[id(image)]

    @cached_property
    def _part(self) -> sitk.Image | None:
        """The mask, when it is not the specimen itself."""
        import SimpleITK as sitk

        if self.mask is None:
            return None
        voxels = int(np.count_nonzero(sitk.GetArrayViewFromImage(self.mask)))
        ml = voxels * Grid.from_image(self.mask).voxel_ml
        return self.mask if 0.0 < ml < SAME_VOLUME * volume_ml(self.mould.specimen) else None

    def _grey_window(self) -> tuple[float, float]:
        """Choose black and white: the 1 and 99 percentiles of what the cuts show of the specimen itself."""
        from scipy.ndimage import binary_erosion

        held = []
        for cut in self.cuts:
            view = self._view(cut)
            values = view.sample(self.image, 1.0)
            inside = self._inside(cut, view, 1.0, values.shape)
            # Bright fat in the rim would leave the tissue itself dark.
            core = binary_erosion(inside, iterations=3)
            held.append(values[(core if core.any() else inside) & np.isfinite(values)])
        values = np.concatenate(held)
        if not values.size:
            return 0.0, 1.0
        black, white = (float(x) for x in np.percentile(values, (1.0, 99.0)))
        return (black, white) if white > black else (black, black + 1.0)

    def _check_overlap(self) -> None:
        points = self.specimen_mm
        problems = []
        for role, image in (("image", self.image), ("habitats", self.labels), ("mask", self.mask)):
            if image is not None:
                share = float(Grid.from_image(image).contains(points).mean())
                if share < (0.5 if role == "image" else 0.01):
                    problems.append(f"{100 * share:.0f} % of the specimen lies on the {role}")
        if problems:
            raise GeometryError.collect(
                subject="cutting sheet", problems=problems, remedy="Give volumes of the same patient and frame"
            )


def volume_ml(mesh: Any) -> float:
    """Volume inside a closed mesh."""
    triangles = np.asarray(mesh.vertices, dtype=np.float64)[np.asarray(mesh.faces)]
    a, b, c = (triangles[:, n] - triangles.mean(axis=(0, 1)) for n in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6000.0


def labels_of(habitats: Any) -> sitk.Image | None:
    """Take a label image, or the one an object of habitats has.

    Raises
    ------
    InputError
        If it is neither, or holds no label.
    """
    import SimpleITK as sitk

    if habitats is None:
        return None
    image = habitats if isinstance(habitats, sitk.Image) else getattr(habitats, "labels", None)
    if not isinstance(image, sitk.Image):
        raise InputError(
            subject="habitats", expected="a label image or habitats with labels", found=type(habitats).__name__
        )
    array = sitk.GetArrayViewFromImage(image)
    if array.ndim != 3 or not (array == np.floor(array)).all() or array.min() < 0 or not array.any():
        raise InputError(
            subject="habitats", expected="a 3-D label image with 0 outside and 1, 2, … inside", found="another one"
        )
    return image


def cores_of(cores: Any, mould: MouldLike) -> dict[str, list[Core]]:
    """Sort cores by plane.

    Raises
    ------
    InputError
        If a core lacks something or lies on no plane of the plan.
    """
    found: dict[str, list[Core]] = {}
    if cores is None:
        return found
    order = [plane.id for plane in mould.plan]
    problems = []
    for item in getattr(cores, "cores", cores):
        plane_id = str(getattr(item, "plane_id", getattr(item, "plane", "")))
        lacking = [name for name in ("id", "uv_mm", "diameter_mm") if not hasattr(item, name)]
        if lacking or plane_id not in order:
            what = f"has no {', '.join(lacking)}" if lacking else f"names plane {plane_id!r}"
            problems.append(f"core {getattr(item, 'id', '?')} {what}")
            continue
        face = str(getattr(item, "face", mould.plan[plane_id].face))
        slab = str(getattr(item, "slab", slab_at(order.index(plane_id), face)))
        habitat = getattr(item, "habitat", "")
        name = f"H{habitat}" if isinstance(habitat, int | np.integer) else str(habitat)
        u, v = (float(x) for x in item.uv_mm)
        found.setdefault(plane_id, []).append(
            Core(str(item.id), plane_id, face, slab, (u, v), name, float(item.diameter_mm))
        )
    if problems:
        raise InputError.collect(subject="cores", problems=problems, remedy=f"Planes are {', '.join(order)}")
    return found


def slab_at(index: int, face: str) -> str:
    """Id of the slab whose face is seen at plane number ``index`` (from 0)."""
    return f"S{index + (2 if face == '-' else 1):02d}"


def _fade(inside: npt.NDArray[np.bool_], step_mm: tuple[float, ...]) -> FloatArray:
    """Weigh pixels: 1 inside, falling to 0 at the border's width outside; 1 everywhere when nothing is inside."""
    from scipy.ndimage import distance_transform_edt

    if not inside.any():
        return np.ones(inside.shape)
    away = distance_transform_edt(~inside, sampling=(step_mm[1], step_mm[0]))
    return np.asarray(np.clip(1.0 - away / BORDER_MM, 0.0, 1.0), dtype=np.float64)


def _regions(labels: sitk.Image, plane: CutPlane, bounds: outline.Bounds) -> Iterator[Region]:
    """Trace every habitat of a plane."""
    from scipy import ndimage as ndi

    picture = outline.on_plane(labels, plane, bounds=bounds, pixel_mm=_LABEL_PIXEL_MM, labels=True)
    for number in np.unique(picture.values[picture.values > 0]).tolist():
        inside = picture.values == number
        # The nearest voxel's label is a staircase; this much blur is for the eye and moves no border.
        soft = ndi.gaussian_filter(inside.astype(np.float32), 1.2)
        rings = outline.PlaneMask(soft, picture.origin_mm, picture.pixel_mm).outlines()
        depth = ndi.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] * picture.pixel_mm
        parts, count = ndi.label(depth > _LABEL_INSIDE_MM)
        at = np.zeros((0, 2))
        if count:
            widest = np.argsort(-np.asarray(ndi.maximum(depth, parts, range(1, count + 1))))[:_NAMED] + 1
            tops = np.array(ndi.maximum_position(depth, parts, widest))
            at = picture.uv(tops[:, 0], tops[:, 1])
        yield Region(int(number), rings, at)
