"""Slabs as they lie on the table: habitats on the photographed face, cores and cassette blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.pl import decor
from comould.pl.kinds import HabitatsLike
from comould.pl.panels import panels
from comould.pl.style import context, habitat_colour, one_axes
from comould.pl.view import View, mask_points, pixel_mm
from comould.space import CutPlane, FloatArray

if TYPE_CHECKING:
    import SimpleITK as sitk
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class SlabLike(Protocol):
    """A slab and the face of it that is looked at."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def plane(self) -> CutPlane:
        """Plane of the face."""
        ...

    @property
    def thickness_mm(self) -> float:
        """Tissue along the normal."""
        ...

    @property
    def patient_from_face(self) -> FloatArray:
        """``(4, 4)``: x right and y down as the face is seen, z into the tissue."""
        ...


class CoreLike(Protocol):
    """A core."""

    @property
    def slab(self) -> str:
        """Id of its slab."""
        ...

    @property
    def number(self) -> int:
        """Number within the slab."""
        ...

    @property
    def face_mm(self) -> tuple[float, float, float]:
        """Centre on the face, patient mm."""
        ...

    @property
    def diameter_mm(self) -> float:
        """Diameter."""
        ...


class BlockLike(Protocol):
    """A piece of a slab."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def slab(self) -> str:
        """Id of its slab."""
        ...

    @property
    def outlines_uv_mm(self) -> tuple[FloatArray, ...]:
        """Closed polygons on the plane."""
        ...

    @property
    def centre_uv_mm(self) -> tuple[float, float]:
        """Middle, on the plane."""
        ...


class SamplingLike(Protocol):
    """Slabs and their cores."""

    @property
    def slabs(self) -> Sequence[Any]:
        """Slabs."""
        ...

    @property
    def cores(self) -> Sequence[Any]:
        """Cores."""
        ...


class BlocksLike(Protocol):
    """Pieces of slabs."""

    @property
    def blocks(self) -> Sequence[Any]:
        """Pieces."""
        ...


def sampling(
    plan: SamplingLike,
    habitats: HabitatsLike | sitk.Image,
    mask: sitk.Image,
    *,
    blocks: BlocksLike | None = None,
    columns: int = 4,
    ax: Axes | None = None,
) -> Figure | Axes:
    """Show where every slab is sampled, each as its face is seen on the table.

    Parameters
    ----------
    plan
        Slabs and cores (:class:`comould.mould.SamplingPlan`).
    habitats
        Habitats, or a label map (0 outside, 1 … k).
    mask
        The specimen.
    blocks
        Cassette blocks to draw too.
    columns
        Pictures in a row.
    ax
        Axes to draw into; a new figure when ``None``.

    Returns
    -------
    Figure or Axes
        What was drawn into.

    Raises
    ------
    InputError
        If there is no slab.
    """
    if not plan.slabs:
        raise InputError(subject="sampling plan", expected="a slab at least", found="none")
    labels = habitats if hasattr(habitats, "GetSpacing") else habitats.labels
    points = mask_points(mask)
    size = face_view(plan.slabs[0], points).size_mm
    with context():
        host, made = panels(ax, len(plan.slabs), columns=columns, size_in=(2.8, 2.8 * size[1] / size[0]))
        for panel, slab in zip(made, plan.slabs, strict=True):
            slab_face(
                slab,
                labels,
                mask,
                cores=[core for core in plan.cores if core.slab == slab.id],
                blocks=[block for block in blocks.blocks if block.slab == slab.id] if blocks else [],
                points_mm=points,
                ax=panel,
            )
    return host


def slab_face(
    slab: SlabLike,
    labels: sitk.Image,
    mask: sitk.Image,
    *,
    cores: Sequence[CoreLike] = (),
    blocks: Sequence[BlockLike] = (),
    points_mm: FloatArray | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Show one slab's face: habitats, cores by number, blocks by name; mirrored where the face is.

    Parameters
    ----------
    slab
        The slab (:class:`comould.mould.Slab`).
    labels
        Habitats, a label map.
    mask
        The specimen.
    cores, blocks
        Of this slab.
    points_mm
        ``(n, 3)`` patient points the picture must hold; the mask's voxels by default.
    ax
        Axes to draw into; new ones when ``None``.
    """
    view = face_view(slab, mask_points(mask) if points_mm is None else points_mm)
    with context():
        ax = one_axes(ax, 3.6, 3.6 * view.size_mm[1] / view.size_mm[0], plate=True)
        _habitats(ax, view, labels)
        decor.outline(ax, view, mask, pixel_mm(mask), colour="#ffffff", width=0.9)
        for block in blocks:
            _block(ax, view, slab, block)
        for core in cores:
            _core(ax, view, core)
        decor.finish(ax, view, f"{slab.id} at {slab.plane.id}")
    return ax


def face_view(slab: SlabLike, points_mm: npt.ArrayLike, margin_mm: float = 6.0) -> View:
    """Window on a slab's face as it is seen, which may be the mirror image of the view on screen."""
    matrix = slab.patient_from_face
    right, down, origin = matrix[:3, 0], matrix[:3, 1], matrix[:3, 3]
    offset = np.asarray(points_mm, np.float64) - origin
    x, y = offset @ right, offset @ down
    return View(
        origin,
        right,
        down,
        (float(x.min()) - margin_mm, float(x.max()) + margin_mm),
        (float(y.min()) - margin_mm, float(y.max()) + margin_mm),
    )


def _habitats(ax: Axes, view: View, labels: sitk.Image) -> None:
    from matplotlib.colors import to_rgba

    found = view.sample(labels, 0.5 * pixel_mm(labels), linear=False, outside=0.0).astype(int)
    table = np.array([(0.0, 0.0, 0.0, 0.0), *(to_rgba(habitat_colour(n), 0.62) for n in range(1, found.max() + 1))])
    ax.imshow(table[found], extent=view.extent, origin="upper", interpolation="nearest", gid="habitats")


def _core(ax: Axes, view: View, core: CoreLike) -> None:
    from matplotlib.patches import Circle

    x, y = view.from_patient([core.face_mm])[0]
    ring = Circle((x, y), 0.5 * core.diameter_mm, fill=False, ec="white", lw=1.2, gid=f"core-{core.slab}-{core.number}")
    ring.set_path_effects(decor.ON_DARK.lift(2.6))
    ax.add_patch(ring)
    ax.text(
        x,
        y,
        str(core.number),
        color="white",
        fontsize=6.5,
        fontweight="bold",
        ha="center",
        va="center_baseline",
        path_effects=decor.ON_DARK.lift(1.6),
    )


def _block(ax: Axes, view: View, slab: SlabLike, block: BlockLike) -> None:
    for line in block.outlines_uv_mm:
        at = view.from_patient(slab.plane.patient_from_plane.apply(line))
        ax.plot(at[:, 0], at[:, 1], color="white", lw=0.7, ls=(0, (4, 2)), gid=f"block-{block.id}")
    x, y = view.from_patient(slab.plane.patient_from_plane.apply([block.centre_uv_mm]))[0]
    ax.text(
        x,
        y,
        block.id.rpartition("-")[2],
        color="white",
        alpha=0.75,
        fontsize=6,
        ha="center",
        va="center",
        parse_math=False,
    )
