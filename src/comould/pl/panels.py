"""Several panels in a new figure, or inside axes the caller gives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from comould.pl.style import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def panels(
    ax: Axes | None, count: int, *, columns: int, size_in: tuple[float, float], plate: bool = True
) -> tuple[Figure | Axes, list[Axes]]:
    """Make a grid of panels.

    Parameters
    ----------
    ax
        Axes to divide; a new figure when ``None``.
    count
        How many panels.
    columns
        Most panels in a row.
    size_in
        Width and height of one panel in a new figure, inches.
    plate
        Dark background, for images.

    Returns
    -------
    tuple
        The figure made, or the axes given; and the panels in reading order.
    """
    columns = max(1, min(columns, count))
    rows = max(1, math.ceil(count / columns))
    if ax is None:
        figure = new_figure(columns * size_in[0], rows * size_in[1], plate=plate)
        if layout := figure.get_layout_engine():
            pad, space = (0.03, 0.01) if plate else (0.08, 0.04)
            layout.set(w_pad=pad, h_pad=pad, wspace=space, hspace=space)  # type: ignore[call-arg]
        grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
        for empty in grid[count:]:
            empty.set_axis_off()
        return figure, grid[:count]
    ax.set_axis_off()
    made = []
    for number in range(count):
        row, column = divmod(number, columns)
        place = (column / columns, 1.0 - (row + 1) / rows, 0.98 / columns, 0.98 / rows)
        made.append(ax.inset_axes(place))
    return ax, made
