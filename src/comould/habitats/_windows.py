"""Compiled maps of the matrices that are counted afresh at every voxel, from the *window* of its kernel.

The window is filled from the padded grey levels around a voxel and handed to the counting loops of ``_sizes``, which
whole regions use too. As in ``_kernels``, a call walks runs of voxels, writes only their rows of ``out`` and allocates
nothing per voxel. ``columns`` ``(c, 2)`` says which feature goes to which column of ``out``.
"""

from __future__ import annotations

import numpy as np

from comould._compiled import compiled
from comould.habitats._sizes import (
    N_SIZE,
    N_TONE,
    count_dependences,
    count_runs,
    count_tones,
    count_zones,
    size_row,
    tally,
    tone_row,
)


@compiled
def _fill(levels, centre, geometry, window, inside):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Copy the kernel around ``centre`` into the window; places that hold a voxel go to ``inside``, their count back.

    ``geometry`` = (offsets in memory, places in the window).
    """
    offsets, places = geometry
    count = 0
    for m in range(offsets.size):
        level = levels[centre + offsets[m]]
        window[places[m]] = level
        if level:
            inside[count] = places[m]
            count += 1
    return count


@compiled
def _scratch(geometry, window_size, n_levels, most_found):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Window, places inside, pairs found, table, cells, distinct pairs and margin."""
    n_places = geometry[1].size
    window = np.zeros(window_size, dtype=np.uint16)
    inside = np.zeros(n_places, dtype=np.int64)
    found = (np.zeros(most_found, dtype=np.int64), np.zeros(most_found, dtype=np.int64))
    table = np.zeros((n_levels + 1, n_places + 1), dtype=np.int32)
    cells = np.zeros(most_found, dtype=np.int64)
    counted = (
        np.zeros(most_found, dtype=np.int64),
        np.zeros(most_found, dtype=np.int64),
        np.zeros(most_found, dtype=np.int64),
    )
    margin = np.zeros(max(n_levels, n_places) + 1, dtype=np.int64)
    return window, inside, found, table, cells, counted, margin


@compiled
def run_length_maps(levels, runs, kernel, n_levels, steps, columns, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Fill run length features; ``steps`` ``(groups, directions)``: a group shares a matrix, several are averaged."""
    geometry, window_size = kernel
    n_groups, n_steps = steps.shape
    most = geometry[1].size * n_steps
    window, inside, found, table, cells, counted, margin = _scratch(geometry, window_size, n_levels, most)
    row = np.zeros(N_SIZE)
    for start, length, first_row in runs:
        for t in range(length):
            n_inside = _fill(levels, start + t, geometry, window, inside)
            for c in range(columns.shape[0]):
                out[first_row + t, columns[c, 1]] = 0.0
            for g in range(n_groups):
                n_found = 0
                for s in range(n_steps):
                    n_found = count_runs(window, inside[:n_inside], steps[g, s], found, n_found)
                n_cells = tally(found, n_found, table, cells, counted)
                size_row(counted, n_cells, n_inside * n_steps, margin, row)
                for c in range(columns.shape[0]):
                    out[first_row + t, columns[c, 1]] += row[columns[c, 0]] / n_groups


@compiled
def zone_maps(levels, runs, kernel, n_levels, steps, columns, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Fill size zone features; ``steps`` lead to all neighbours in the window."""
    geometry, window_size = kernel
    most = geometry[1].size
    window, inside, found, table, cells, counted, margin = _scratch(geometry, window_size, n_levels, most)
    depth = np.zeros(window_size, dtype=np.int64)
    scratch = (np.zeros(window_size, dtype=np.uint8), np.zeros(most, dtype=np.int64), depth)
    depths = np.zeros(most, dtype=np.int64)
    row = np.zeros(N_SIZE)
    for start, length, first_row in runs:
        for t in range(length):
            n_inside = _fill(levels, start + t, geometry, window, inside)
            n_found = count_zones(window, inside[:n_inside], steps, scratch, (found[0], found[1], depths))
            n_cells = tally(found, n_found, table, cells, counted)
            size_row(counted, n_cells, n_inside, margin, row)
            for c in range(columns.shape[0]):
                out[first_row + t, columns[c, 1]] = row[columns[c, 0]]


@compiled
def dependence_maps(levels, runs, kernel, n_levels, steps, columns, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Fill dependence features; ``steps`` = (to all neighbours in the window, most levels they may differ by)."""
    geometry, window_size = kernel
    near, coarseness = steps
    most = geometry[1].size
    window, inside, found, table, cells, counted, margin = _scratch(geometry, window_size, n_levels, most)
    row = np.zeros(N_SIZE)
    for start, length, first_row in runs:
        for t in range(length):
            n_inside = _fill(levels, start + t, geometry, window, inside)
            n_found = count_dependences(window, inside[:n_inside], near, coarseness, found)
            n_cells = tally(found, n_found, table, cells, counted)
            size_row(counted, n_cells, n_inside, margin, row)
            for c in range(columns.shape[0]):
                out[first_row + t, columns[c, 1]] = row[columns[c, 0]]


@compiled
def tone_maps(levels, runs, kernel, n_levels, steps, columns, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Fill grey tone difference features, NaN where no voxel of the kernel has a neighbour."""
    geometry, window_size = kernel
    window = np.zeros(window_size, dtype=np.uint16)
    inside = np.zeros(geometry[1].size, dtype=np.int64)
    numbers = np.zeros(n_levels + 1, dtype=np.int64)
    differences = np.zeros(n_levels + 1)
    present = np.zeros(n_levels + 1, dtype=np.int64)
    row = np.zeros(N_TONE)
    for start, length, first_row in runs:
        for t in range(length):
            n_inside = _fill(levels, start + t, geometry, window, inside)
            numbers[:] = 0
            differences[:] = 0.0
            count_tones(window, inside[:n_inside], steps, numbers, differences)
            found = tone_row(numbers, differences, present, row)
            for c in range(columns.shape[0]):
                out[first_row + t, columns[c, 1]] = row[columns[c, 0]] if found else np.nan
