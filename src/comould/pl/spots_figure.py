"""Spots on their slide or in their imaging plane, coloured by habitat, gene or anything in ``obs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.io.section import Section
from comould.pl import decor
from comould.pl.kinds import RegistrationLike
from comould.pl.section_figure import slide_view
from comould.pl.style import context, habitat_colour, one_axes
from comould.pl.view import View, grey_window, mask_points, pixel_mm
from comould.space import CutPlane, FloatArray, Transform

if TYPE_CHECKING:
    import SimpleITK as sitk
    from anndata import AnnData
    from matplotlib.axes import Axes

GENE_MAP = "viridis"
POSITIONS = "spatial_patient"
NOWHERE = "#4a545e"


def spots(
    adata: AnnData,
    key: str,
    section: Section | None = None,
    *,
    registration: RegistrationLike | None = None,
    plane: CutPlane | None = None,
    image: sitk.Image | None = None,
    mask: sitk.Image | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw spots on their slide, or at their place in the patient on an imaging plane.

    Parameters
    ----------
    adata
        Spots. On a slide ``obsm["spatial"]`` is used (full-resolution px), in a plane
        ``obsm["spatial_patient"]`` (mm).
    key
        A column of ``obs`` (habitats get the habitat colours) or a gene of ``var_names`` (shown as log of counts
        scaled to the median spot, when the matrix holds counts).
    section
        The slide to draw on; only its own spots are drawn when ``obs["section"]`` is there.
    registration
        The slide's registration, for the letters of the patient directions at its edges.
    plane, image, mask
        Instead of a slide: the cutting plane, the volume and the specimen.
    ax
        Axes to draw into; new ones when ``None``.

    Raises
    ------
    InputError
        If the key or the positions are not there, or neither a slide nor a plane with its image is given.
    """
    if section is not None and "section" in adata.obs:
        adata = adata[(adata.obs["section"].astype(str) == section.id).to_numpy()]
    values = spot_values(adata, key)
    with context():
        if section is not None and plane is None:
            ax = _slide(section, registration, ax)
            _need(adata, "spatial")
            place = np.asarray(adata.obsm["spatial"], dtype=np.float64)[:, :2] * section.pixel_size_um / 1000.0
        elif plane is not None and image is not None and mask is not None:
            _need(adata, POSITIONS)
            view = View.of_plane(plane, mask_points(mask))
            ax = one_axes(ax, 3.2, 3.2 * view.size_mm[1] / view.size_mm[0], plate=True)
            decor.grey(ax, view, image, grey_window(image, mask), pixel_mm(image))
            decor.outline(ax, view, mask, pixel_mm(image))
            decor.finish(ax, view)
            place = view.from_patient(adata.obsm[POSITIONS])
        else:
            raise InputError(
                subject="spots", expected="a section, or a plane with image and mask", found="neither of them"
            )
        colours = _colours(values)
        _dots(ax, place, colours, 0.8 * _pitch(place))
        decor.label(ax, key, pen=decor.ON_DARK if plane is not None else decor.ON_LIGHT)
    return ax


def spot_values(adata: AnnData, key: str) -> npt.NDArray[Any]:
    """Take the values of an ``obs`` column or a gene, one per spot; see :func:`spots`.

    Raises
    ------
    InputError
        If the key is neither.
    """
    if key in adata.obs:
        column = adata.obs[key]
        numeric = column.dtype.kind in "fiu"
        return column.to_numpy(dtype=float) if numeric else column.astype(object).to_numpy()
    if key not in adata.var_names:
        raise InputError(
            subject=f"spots' key {key!r}",
            expected="a column of obs or a gene",
            found="neither",
            remedy=f"obs has {', '.join(map(str, adata.obs.columns[:8]))}",
        )
    column = adata[:, key].X
    values = np.asarray(column.toarray() if hasattr(column, "toarray") else column, dtype=np.float64).ravel()
    if (values < 0).any() or (values != np.round(values)).any():
        return values
    totals = np.asarray(adata.X.sum(axis=1), dtype=np.float64).ravel()
    middle = float(np.median(totals[totals > 0])) if (totals > 0).any() else 1.0
    return np.log1p(values / np.maximum(totals, 1.0) * middle)


def _need(adata: AnnData, key: str) -> None:
    if key not in adata.obsm:
        raise InputError(
            subject=f"spots' positions obsm[{key!r}]",
            expected="one row per spot",
            found=f"only {', '.join(map(str, adata.obsm)) or 'nothing'}",
            remedy="Map them first with comould.register.map_spots",
        )


def _slide(section: Section, registration: RegistrationLike | None, ax: Axes | None) -> Axes:
    """Show a slide, paled so that spots stand out, in its own mm."""
    height, width = section.image.shape[:2]
    plain = Transform.scaling("section_px", "patient", (section.pixel_size_um / 1000.0,) * 3)
    view = slide_view(section, registration.patient_from_section_px if registration is not None else plain)
    ax = one_axes(ax, 3.2, 3.2 * height / width, plate=True)
    pale = (0.5 * section.image + 127.5).astype(np.uint8)
    ax.imshow(pale, extent=view.extent, origin="upper", interpolation="antialiased")
    decor.frame(ax, view)
    decor.scale_bar(ax, pen=decor.ON_LIGHT)
    if registration is not None:
        decor.orientation(ax, view, pen=decor.ON_LIGHT)
    return ax


def _pitch(place: FloatArray) -> float:
    from scipy.spatial import cKDTree

    if len(place) < 2:
        return 0.1
    return float(np.median(cKDTree(place).query(place, k=2)[0][:, 1])) or 0.1


def _colours(values: npt.NDArray[Any]) -> Any:
    """RGBA per spot: habitat colours for categories, a perceptual map for numbers, grey where there is no value."""
    import matplotlib as mpl
    import pandas as pd
    from matplotlib.colors import to_rgba

    missing = pd.isna(values)
    if values.dtype != object:
        low, high = np.percentile(values[~missing], (1, 99)) if (~missing).any() else (0.0, 1.0)
        colours = mpl.colormaps[GENE_MAP]((values - low) / max(high - low, 1e-12))
    else:
        names = sorted({str(v) for v in values[~missing]}, key=lambda n: (len(n), n))
        chosen = {n: habitat_colour(int(n[1:]) if n[1:].isdigit() else i) for i, n in enumerate(names, start=1)}
        colours = np.array([to_rgba(chosen.get(str(v), NOWHERE)) for v in values]).reshape(-1, 4)
    colours[missing] = to_rgba(NOWHERE)
    return colours


def _dots(ax: Axes, place: FloatArray, colours: Any, diameter_mm: float) -> None:
    from matplotlib.collections import EllipseCollection

    dots = EllipseCollection(
        np.full(len(place), diameter_mm),
        np.full(len(place), diameter_mm),
        np.zeros(len(place)),
        units="xy",
        offsets=place,
        offset_transform=ax.transData,
        facecolors=colours,
        linewidths=0,
        gid="spots",
    )
    ax.add_collection(dots, autolim=False)
