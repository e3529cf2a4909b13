"""What a registration did to one section: how it bent it, how sure it is, how far landmarks are off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import InputError
from comould.pl import decor
from comould.pl.kinds import PairsLike
from comould.pl.section_figure import SectionScene
from comould.pl.style import PLATE, context, one_axes
from comould.pl.view import pixel_mm
from comould.space import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HELD_OUT, FITTED = "#E69F00", "#56B4E9"
"""Okabe & Ito's orange and sky blue: told apart by every reader, and by their marks as well."""
ARROWS = 12
"""Arrows along the longer side of the tissue."""
MAGNIFICATIONS = (50, 20, 10, 5, 2, 1)
MOST_NAMES = 12
_LONGEST_ARROW = 0.12


def displacement(scene: SectionScene, *, ax: Axes | None = None) -> Axes:
    """Draw how a registration bends a section beyond turning, scaling and shearing it.

    Parameters
    ----------
    scene
        The section and its registration: ``SectionScene.of(…)``.
    ax
        Axes to draw into; a new figure when ``None``.

    Returns
    -------
    Axes
        Arrows from where the linear part of the map (least squares over the tissue) takes the tissue to where the map
        takes it, magnified as stated; in colour the map's local area over that of its linear part.
    """
    with context():
        ax = _plate(scene, ax)
        lattice = scene.lattice
        change = np.where(lattice.inside, lattice.area_change, np.nan)
        away = np.where(lattice.inside[..., None], lattice.bending_mm, np.nan)
        largest = float(np.nanmax(np.linalg.norm(away, axis=-1)))
        if largest < 1e-3:
            _paint(ax, lattice.corners_mm, change, ("cividis", 0.0, 2.0))
            decor.finish(ax, scene.view, "nothing bends")
            return ax
        reach = max(0.02, float(np.nanmax(np.abs(change - 1.0))))
        drawn = _paint(ax, lattice.corners_mm, change, ("PuOr_r", 1.0 - reach, 1.0 + reach))
        times = magnification(largest, scene.view.size_mm[0])
        _arrows(ax, lattice.middles_mm, away, times)
        scene.draw_outlines(ax)
        decor.finish(ax, scene.view, f"arrows ×{times}\nup to {largest:.2g} mm")
        _bar(ax, drawn, "local area", ticks=[1.0 - reach, 1.0, 1.0 + reach])
    return ax


def sd_map(scene: SectionScene, *, ax: Axes | None = None) -> Axes:
    """Draw the standard deviation of the tissue's place in the patient, in mm.

    Parameters
    ----------
    scene
        The section and its registration, which must have ``map_points``.
    ax
        Axes to draw into; a new figure when ``None``.

    Returns
    -------
    Axes
        In colour the root of the summed variances along x, y and z.

    Raises
    ------
    InputError
        If the registration states no uncertainty.
    """
    map_points: Any = getattr(scene.registration, "map_points", None)
    if map_points is None:
        raise InputError(
            subject=f"registration of {scene.section.id!r}",
            expected="one that states its uncertainty (map_points)",
            found=type(scene.registration).__name__,
        )

    def spread(px: FloatArray) -> FloatArray:
        """Deviation in space."""
        return np.asarray(np.linalg.norm(map_points(px)[1], axis=1))

    with context():
        ax = _plate(scene, ax)
        values = scene.lattice.over_cells(spread)
        top = max(float(np.nanmax(values)), 1e-3)
        drawn = _paint(ax, scene.lattice.corners_mm, values, ("viridis", 0.0, top))
        scene.draw_outlines(ax)
        decor.finish(ax, scene.view, f"median\n{float(np.nanmedian(values)):.2g} mm")
        _bar(ax, drawn, "SD (mm)", ticks=[0.0, 0.5 * top, top])
    return ax


def landmark_residuals(
    scene: SectionScene,
    *,
    fitted: PairsLike | None = None,
    held_out: PairsLike | None = None,
    times: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how far landmarks come to lie from where they should.

    Parameters
    ----------
    scene
        The section and its registration.
    fitted, held_out
        Pairs the registration was pulled to (squares), and pairs it never saw (circles): only the latter measure it.
    times
        Magnification of the lines; chosen when ``None``. It is stated in the picture.
    ax
        Axes to draw into; a new figure when ``None``.

    Returns
    -------
    Axes
        A mark where each landmark should be, and a line to where it came, magnified.

    Raises
    ------
    InputError
        If there is no landmark, or its targets are not ``(n, 3)`` patient mm.
    """
    looks = ((held_out, ("held out", HELD_OUT, "o")), (fitted, ("fitted", FITTED, "s")))
    given = [(pairs, look) for pairs, look in looks if pairs is not None and len(pairs.names)]
    if not given:
        raise InputError(subject=f"landmarks of {scene.section.id!r}", expected="at least one pair", found="none")
    named = sum(len(pairs.names) for pairs, _ in given) <= MOST_NAMES
    with context():
        ax = _plate(scene, ax)
        scene.draw_outlines(ax)
        ends = [_ends(scene, pairs) for pairs, _ in given]
        longest = max(float(np.linalg.norm(came - wanted, axis=1).max()) for wanted, came in ends)
        times = times or magnification(longest, scene.view.size_mm[0])
        for (pairs, look), (wanted, came) in zip(given, ends, strict=True):
            _residuals(ax, wanted, came, times, look)
            if named:
                _names(ax, pairs.names, wanted)
        decor.finish(ax, scene.view, f"lines ×{times}\nup to {longest:.2g} mm")
        key = ax.legend(
            loc=_free_corner(scene, np.concatenate([wanted for wanted, _ in ends])), labelcolor="white",
            handletextpad=0.3, borderaxespad=0.5, frameon=True, facecolor=PLATE, edgecolor="none", framealpha=0.7,
        )  # fmt: skip
        key.set_gid("key")
    return ax


def magnification(longest_mm: float, width_mm: float) -> int:
    """Choose the largest of 1, 2, 5, 10, 20, 50 that keeps the longest line below an eighth of the picture."""
    fits = [times for times in MAGNIFICATIONS if times * longest_mm <= _LONGEST_ARROW * width_mm]
    return fits[0] if fits else 1


def _plate(scene: SectionScene, ax: Axes | None) -> Axes:
    width, height = scene.view.size_mm
    ax = one_axes(ax, 3.2, 3.2 * height / width, plate=True)
    decor.grey(ax, scene.view, scene.image, scene.window, pixel_mm(scene.image))
    return ax


def _paint(ax: Axes, corners: FloatArray, values: FloatArray, scale: tuple[str, float, float]) -> Any:
    """Colour the cells of a lattice that have a value."""
    name, low, high = scale
    shown = np.ma.masked_invalid(values)
    return ax.pcolormesh(
        corners[..., 0], corners[..., 1], shown, cmap=name, vmin=low, vmax=high, lw=0.4, edgecolors="face",
        antialiased=True, rasterized=True, gid="cells",
    )  # fmt: skip


def _arrows(ax: Axes, start: FloatArray, away: FloatArray, times: int) -> None:
    every = max(1, round(max(start.shape[:2]) / ARROWS))
    offset = every // 2
    here, there = (a[offset::every, offset::every].reshape(-1, 2) for a in (start, away))
    kept = np.isfinite(there).all(axis=1)
    here, there = here[kept], there[kept]
    ax.quiver(
        here[:, 0], here[:, 1], there[:, 0], there[:, 1], angles="xy", scale_units="xy", scale=1.0 / times,
        color="#10171e", edgecolor="white", linewidth=0.4, width=0.0065, headwidth=3.4,
        headlength=3.4, headaxislength=3.0, minshaft=1.6, minlength=0.6, gid="arrows",
    )  # fmt: skip


def _bar(ax: Axes, drawn: Any, name: str, *, ticks: list[float]) -> None:
    """Draw a small colour bar at the lower right."""
    inner = ax.inset_axes((0.63, 0.055, 0.31, 0.022))
    figure = ax.get_figure(root=True)
    if figure is None:  # pragma: no cover - axes always have one
        return
    bar = figure.colorbar(drawn, cax=inner, orientation="horizontal", ticks=ticks)
    bar.outline.set_visible(False)  # type: ignore[operator]
    inner.xaxis.set_ticks_position("top")
    inner.set_xticks(ticks, labels=[f"{tick:.2g}" for tick in ticks], color="white", fontsize=7.5)
    inner.tick_params(length=0, pad=1.5)
    for text in inner.get_xticklabels():
        text.set_path_effects(decor.ON_DARK.lift())
    inner.set_xlabel(name, color="white", fontsize=7.5, labelpad=1.5, path_effects=decor.ON_DARK.lift())
    inner.set_gid("colour-bar")


def _ends(scene: SectionScene, pairs: PairsLike) -> tuple[FloatArray, FloatArray]:
    """Where landmarks should be and where they came, in the view, mm."""
    target = np.asarray(pairs.target, dtype=np.float64)
    if target.ndim != 2 or target.shape[1] != 3:
        raise InputError(
            subject=f"landmarks of {scene.section.id!r}",
            expected="targets (n, 3) in patient mm",
            found=f"{target.shape}",
        )
    came = scene.registration.patient_from_section_px.apply(pairs.section_px)
    return scene.view.from_patient(target), scene.view.from_patient(came)


def _free_corner(scene: SectionScene, points: FloatArray) -> str:
    """Choose the corner at the right with fewer landmarks, for the key."""
    right = points[points[:, 0] > float(np.mean(scene.view.x_mm))]
    low = right[:, 1] > float(np.mean(scene.view.y_mm))
    return "upper right" if low.sum() > (~low).sum() else "lower right"


def _residuals(ax: Axes, wanted: FloatArray, came: FloatArray, times: int, look: tuple[str, str, str]) -> None:
    name, colour, mark = look
    ends = wanted + times * (came - wanted)
    for start, end in zip(wanted, ends, strict=True):
        (line,) = ax.plot(*np.stack([start, end]).T, color=colour, lw=1.6, solid_capstyle="round", gid="residual")
        line.set_path_effects(decor.ON_DARK.lift(3.0))
    face = "none" if mark == "o" else colour
    ax.plot(
        *wanted.T, mark, mfc=face, mec=colour, mew=1.4, ms=5.0, ls="", label=f"{name} ({len(wanted)})", gid=name,
        path_effects=decor.ON_DARK.lift(2.6),
    )  # fmt: skip


def _names(ax: Axes, names: Any, wanted: FloatArray) -> None:
    for name, point in zip(names, wanted, strict=True):
        ax.annotate(
            str(name), tuple(point), xytext=(5, -5), textcoords="offset points", color="white", fontsize=7.0,
            path_effects=decor.ON_DARK.lift(), parse_math=False,
        )  # fmt: skip
