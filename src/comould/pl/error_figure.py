"""Registration error against known truth, beside the error of doing nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.pl.panels import panels
from comould.pl.style import LIGHT, Theme, context, one_axes
from comould.space import FloatArray, as_points

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def registration_error(
    truth_mm: npt.ArrayLike,
    found_mm: npt.ArrayLike,
    nothing_mm: npt.ArrayLike,
    sd: npt.ArrayLike | None = None,
    *,
    section: npt.ArrayLike | None = None,
    theme: Theme = LIGHT,
    ax: Axes | None = None,
) -> Figure | Axes:
    """Plot how far points lie from where they truly were, registered and with nothing done.

    Parameters
    ----------
    truth_mm, found_mm, nothing_mm
        ``(n, 3)`` patient mm of the same points: true, after registration, and laid on without registration.
    sd
        ``(n, 3)`` stated uncertainty, mm; adds a panel that compares it with the error found.
    section
        ``(n,)`` name of each point's section; adds a panel with one row a section.
    theme
        Colours of the paper.
    ax
        Axes to draw into; a new figure when ``None``.

    Raises
    ------
    InputError
        If the arrays differ in length.
    """
    import pandas as pd

    truth, found, nothing = (as_points(p) for p in (truth_mm, found_mm, nothing_mm))
    given = {"found": len(found), "nothing": len(nothing)}
    if wrong := {name: n for name, n in given.items() if n != len(truth)}:
        raise InputError(subject="registration error", expected=f"{len(truth)} points each", found=str(wrong))
    table = pd.DataFrame(
        {
            "section": np.asarray(section, dtype=object) if section is not None else "all",
            "error_mm": np.linalg.norm(found - truth, axis=1),
            "nothing_mm": np.linalg.norm(nothing - truth, axis=1),
        }
    )
    if sd is not None:
        table["sd_mm"] = np.linalg.norm(as_points(sd), axis=1)
    return error_table(table, theme=theme, ax=ax)


def error_table(errors: pd.DataFrame, *, theme: Theme = LIGHT, ax: Axes | None = None) -> Figure | Axes:
    """Plot errors already computed.

    Parameters
    ----------
    errors
        One row a point: ``section``, ``error_mm``, ``nothing_mm`` and, when known, ``sd_mm`` (root of the summed
        variances along x, y and z).
    theme, ax
        As in :func:`registration_error`.
    """
    draw = [error_ecdf]
    if len(set(errors["section"])) > 1:
        draw.append(error_by_section)
    if "sd_mm" in errors and errors["sd_mm"].gt(0).any():
        draw.append(error_against_sd)
    with context(theme):
        host, made = panels(ax, len(draw), columns=3, size_in=(4.2, 3.1), plate=False)
        for function, panel in zip(draw, made, strict=True):
            function(errors, theme=theme, ax=panel)
    return host


def error_ecdf(errors: pd.DataFrame, *, theme: Theme = LIGHT, ax: Axes | None = None) -> Axes:
    """Plot the share of points within each distance of their true position; see :func:`error_table`."""
    with context(theme):
        ax = one_axes(ax, 4.4, 3.1)
        ax.grid()
        for column, colour, name in (
            ("nothing_mm", theme.contrast, "nothing done"),
            ("error_mm", theme.accent, "registered"),
        ):
            values = np.sort(errors[column].to_numpy(dtype=float))
            share = np.arange(1, len(values) + 1) / len(values)
            middle = float(np.median(values))
            ax.step(np.maximum(values, 1e-3), 100 * share, where="post", color=colour, lw=2.0, label=name, gid=column)
            ax.plot([middle], [50], "o", color=colour, ms=6)
            # A curve that rises from left to right leaves these two corners free, whatever the errors.
            first = column == "error_mm"
            ax.annotate(
                f"{name}\nmedian {middle:.2g} mm",
                (0.02, 0.97) if first else (0.98, 0.05),
                xycoords="axes fraction",
                ha="left" if first else "right",
                va="top" if first else "bottom",
                color=colour,
                fontweight="bold",
                fontsize=8.5,
            )
        low = float(errors[["error_mm", "nothing_mm"]].quantile(0.005).min())
        high = float(errors[["error_mm", "nothing_mm"]].max().max())
        _log_mm(ax, max(low, 3e-2) / 3.0, max(high, 6e-2) * 3.0)
        ax.set_ylim(0, 102)
        ax.set_xlabel("distance from the true position (mm, log scale)")
        ax.set_ylabel("spots within it (%)")
    return ax


def error_by_section(errors: pd.DataFrame, *, theme: Theme = LIGHT, ax: Axes | None = None) -> Axes:
    """Plot median (dot), middle half (bar) and 5 to 95 % (line) of the error per section, and with nothing done."""
    with context(theme):
        names = list(dict.fromkeys(errors["section"].astype(str)))
        ax = one_axes(ax, 4.4, max(2.2, 0.3 * len(names) + 0.9))
        ax.grid(axis="x")
        groups = dict(iter(errors.groupby(errors["section"].astype(str))))
        for row, name in enumerate(names):
            for column, colour, shift in (("nothing_mm", theme.contrast, -0.16), ("error_mm", theme.accent, 0.16)):
                _spread(ax, groups[name][column].to_numpy(dtype=float), row + shift, colour)
        both = errors[["error_mm", "nothing_mm"]]
        _log_mm(ax, max(float(both.quantile(0.01).min()), 2e-2) / 1.5, max(float(both.max().max()), 4e-2) * 1.3)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_yticks(range(len(names)), labels=names, parse_math=False)
        ax.set_xlabel("distance from the true position (mm, log scale)")
        ax.spines["left"].set_visible(False)
    return ax


def _spread(ax: Axes, values: FloatArray, y: float, colour: str) -> None:
    low, q1, middle, q3, high = np.percentile(values, (5, 25, 50, 75, 95))
    ax.plot([low, high], [y, y], color=colour, lw=1.0)
    ax.plot([q1, q3], [y, y], color=colour, lw=4.5, alpha=0.55, solid_capstyle="butt")
    ax.plot([middle], [y], "o", color=colour, ms=5)


def error_against_sd(errors: pd.DataFrame, *, bins: int = 8, theme: Theme = LIGHT, ax: Axes | None = None) -> Axes:
    """Compare the uncertainty stated for spots with the error they turned out to have.

    Spots are sorted into groups of equal size by their stated SD; honest ones have their root-mean-square error on
    the diagonal, overconfident ones above it.
    """
    with context(theme):
        ax = one_axes(ax, 4.0, 3.1)
        ax.grid()
        stated, error = (errors[c].to_numpy(dtype=float) for c in ("sd_mm", "error_mm"))
        groups = [g for g in np.array_split(np.argsort(stated, kind="stable"), bins) if len(g)]
        x = np.array([np.sqrt(np.mean(stated[g] ** 2)) for g in groups])
        y = np.array([np.sqrt(np.mean(error[g] ** 2)) for g in groups])
        top = 1.15 * float(max(x.max(), y.max(), 1e-3))
        ax.plot([0, top], [0, top], color=theme.faint, lw=1.4, ls=(0, (4, 3)))
        ax.text(0.97 * top, 0.05 * top, "dashed: as stated", ha="right", color=theme.muted, fontsize=8)
        ax.plot(x, y, "o", color=theme.accent, ms=6, gid="calibration")
        ax.set_xlim(0, top)
        ax.set_ylim(0, top)
        ax.set_aspect("equal")
        ax.set_xlabel("stated uncertainty (mm)")
        ax.set_ylabel("error found (rms, mm)")
    return ax


def _log_mm(ax: Axes, low: float, high: float) -> None:
    """Log axis in plain millimetres: 0.1, 0.3, 1, 3."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ticks = [m * 10.0**e for e in range(-3, 4) for m in (1, 3) if low <= m * 10.0**e <= high]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(which="minor", length=0)
