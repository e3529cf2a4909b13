"""All sections of a specimen together: shrinkage, offsets and tilts along the specimen, with every verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from comould.errors import InputError
from comould.pl.kinds import StackLike
from comould.pl.panels import panels
from comould.pl.style import LIGHT, VERDICTS, Theme, context, one_axes
from comould.space import FloatArray, SlicePlan

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = {"accept": "o", "review": "^", "reject": "X"}
WORDS = {"accept": "accepted", "review": "to review", "reject": "rejected"}
COLUMNS = ("plane", "verdict", "scale", "expected_scale", "offset_mm", "offset_sd_mm", "tilt_deg")
MOST_NAMES = 14


def stack(stack: StackLike, plan: SlicePlan, *, theme: Theme = LIGHT, ax: Axes | None = None) -> Figure | Axes:
    """Plot what a specimen's sections say of one another.

    Parameters
    ----------
    stack
        The sections registered together.
    plan
        The cutting planes: where each section lies along the specimen.
    theme
        Colours of the paper.
    ax
        Axes to draw into; a new figure when ``None``.

    Returns
    -------
    Figure or Axes
        What was drawn into: shrinkage with the line the stack expects and, where cuts were searched, offset and tilt.

    Raises
    ------
    InputError
        If the table is empty or lacks a column, or names a plane that is not in the plan.
    """
    draw: list[Callable[..., Axes]] = [stack_shrinkage]
    if has_poses(stack):
        draw += [stack_offsets, stack_tilts]
    with context(theme):
        host, made = panels(ax, len(draw), columns=3, size_in=(4.2, 2.9), plate=False)
        for function, panel in zip(draw, made, strict=True):
            function(stack, plan, theme=theme, ax=panel)
    return host


def has_poses(stack: StackLike) -> bool:
    """Tell whether the cut of any section was searched."""
    return bool(stack.table["offset_mm"].notna().any())


def stack_shrinkage(stack: StackLike, plan: SlicePlan, *, theme: Theme = LIGHT, ax: Axes | None = None) -> Axes:
    """Plot the size of each section over that in the patient, and what the others expect of it; see :func:`stack`."""
    at, table = _positions(stack, plan)
    size = 100.0 / table["scale"].to_numpy(dtype=float)
    with context(theme):
        ax = one_axes(ax, 4.2, 2.9)
        ax.grid(axis="y")
        expected = 100.0 / table["expected_scale"].to_numpy(dtype=float)
        known = np.isfinite(expected)
        values = np.concatenate([size, expected[known]])
        middle, reach = 0.5 * (values.min() + values.max()), max(2.0, 0.75 * float(np.ptp(values)))
        if known.any():
            order = np.argsort(at[known])
            ax.plot(
                at[known][order], expected[known][order], color=theme.accent, lw=1.6, gid="expected", label="expected"
            )
        _dots(ax, at, size, table, theme)
        ax.set_ylim(middle - reach, middle + 1.25 * reach)
        _frame(ax, at, theme, "size on the slide (% of the patient's)")
        ax.legend(loc="upper left", ncols=4, columnspacing=0.9, handletextpad=0.3, handlelength=1.1, borderaxespad=0.1)
    return ax


def stack_offsets(stack: StackLike, plan: SlicePlan, *, theme: Theme = LIGHT, ax: Axes | None = None) -> Axes:
    """Plot how far each cut seems to lie from its plane, ± one standard deviation; see :func:`stack`."""
    at, table = _positions(stack, plan)
    with context(theme):
        ax = one_axes(ax, 4.2, 2.9)
        ax.grid(axis="y")
        offset, sd = (table[name].to_numpy(dtype=float) for name in ("offset_mm", "offset_sd_mm"))
        ax.axhline(0.0, color=theme.muted, lw=1.2, ls=(0, (4, 3)), gid="planned")
        ax.errorbar(at, offset, yerr=np.nan_to_num(sd), fmt="none", ecolor=theme.muted, elinewidth=1.4, zorder=2)
        _dots(ax, at, offset, table, theme)
        reach = 1.25 * max(0.5, float(np.nanmax(np.abs(offset) + np.nan_to_num(sd))))
        ax.set_ylim(-reach, reach)
        _frame(ax, at, theme, "offset from the plane (mm)")
    return ax


def stack_tilts(stack: StackLike, plan: SlicePlan, *, theme: Theme = LIGHT, ax: Axes | None = None) -> Axes:
    """Plot how far each cut seems to be tilted against its plane; see :func:`stack`."""
    at, table = _positions(stack, plan)
    with context(theme):
        ax = one_axes(ax, 4.2, 2.9)
        ax.grid(axis="y")
        tilt = table["tilt_deg"].to_numpy(dtype=float)
        _dots(ax, at, tilt, table, theme)
        ax.set_ylim(0.0, 1.3 * max(2.0, float(np.nanmax(tilt))))
        _frame(ax, at, theme, "tilt against the plane (°)")
    return ax


def _positions(stack: StackLike, plan: SlicePlan) -> tuple[FloatArray, pd.DataFrame]:
    """Place of each section along the specimen, from the first plane of the plan, mm."""
    table = stack.table
    if not len(table) or (lacking := [name for name in COLUMNS if name not in table]):
        found = f"no {', '.join(lacking)}" if len(table) else "no section"
        raise InputError(subject="table of a stack", expected=f"sections with {', '.join(COLUMNS)}", found=found)
    start = plan.planes[0].position_mm
    return np.array([plan[str(plane)].position_mm - start for plane in table["plane"]]), table


def _dots(ax: Axes, at: FloatArray, values: FloatArray, table: pd.DataFrame, theme: Theme) -> None:
    verdicts = table["verdict"].astype(str).to_numpy()
    for verdict, mark in MARKS.items():
        rows = verdicts == verdict
        if rows.any():
            ax.plot(
                at[rows], values[rows], mark, color=VERDICTS[verdict], mec=theme.ink, mew=0.6, ms=7.5, ls="",
                label=WORDS[verdict], gid=verdict, zorder=3,
            )  # fmt: skip
    if len(table) <= MOST_NAMES:
        for x, y, plane in zip(at, values, table["plane"], strict=True):
            if np.isfinite(y):
                ax.annotate(
                    str(plane), (x, y), xytext=(6, 4), textcoords="offset points", color=theme.muted, fontsize=7.5,
                    parse_math=False,
                )  # fmt: skip


def _frame(ax: Axes, at: FloatArray, theme: Theme, name: str) -> None:
    room = 0.12 * max(float(np.ptp(at)), 5.0)
    ax.set_xlim(float(at.min()) - room, float(at.max()) + room)
    ax.set_xlabel("along the specimen, from the first plane (mm)")
    ax.set_ylabel(name)
    ax.tick_params(colors=theme.muted)
