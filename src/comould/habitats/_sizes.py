"""Compiled loops for run length, size zone, distance zone and dependence matrices, and grey tone differences.

A *window* is a flat block of grey levels with a margin of zeros, so that no step from one of its *places* leaves the
memory: the box of a whole region, or the kernel around one voxel. The counting functions write one (level, size) per
run, zone or voxel; ``size_row`` works out the features from such pairs and their counts.
"""

from __future__ import annotations

import numpy as np

from comould._compiled import compiled

N_SIZE = 17
N_TONE = 5


@compiled
def count_runs(window, places, step, found, at):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Append every run along ``step`` to ``found`` = (levels, lengths) from ``at`` on; returns where it ends."""
    levels, lengths = found
    for m in range(places.size):
        place = places[m]
        level = window[place]
        if level == 0 or window[place - step] == level:
            continue
        length = 1
        place += step
        while window[place] == level:
            length += 1
            place += step
        levels[at] = level
        lengths[at] = length
        at += 1
    return at


@compiled
def count_zones(window, places, steps, scratch, found):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Write (level, size, least distance) of every connected zone of one level to ``found``; returns their number.

    ``scratch`` = (mark, stack, distance): ``mark`` is zero on entry and on return.
    """
    mark, stack, distance = scratch
    levels, sizes, depths = found
    n_zones = 0
    for m in range(places.size):
        seed = places[m]
        level = window[seed]
        if level == 0 or mark[seed]:
            continue
        mark[seed] = 1
        stack[0] = seed
        waiting = 1
        size = 0
        depth = distance[seed]
        while waiting:
            waiting -= 1
            here = stack[waiting]
            size += 1
            depth = min(depth, distance[here])
            for s in range(steps.size):
                there = here + steps[s]
                if window[there] == level and mark[there] == 0:
                    mark[there] = 1
                    stack[waiting] = there
                    waiting += 1
        levels[n_zones] = level
        sizes[n_zones] = size
        depths[n_zones] = depth
        n_zones += 1
    for m in range(places.size):
        mark[places[m]] = 0
    return n_zones


@compiled
def count_dependences(window, places, steps, coarseness, found):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Write (level, 1 + neighbours within ``coarseness`` levels) of every voxel to ``found``; returns their number."""
    levels, sizes = found
    at = 0
    for m in range(places.size):
        level = np.int64(window[places[m]])
        if level == 0:
            continue
        alike = 1
        for s in range(steps.size):
            other = np.int64(window[places[m] + steps[s]])
            if other and abs(other - level) <= coarseness:
                alike += 1
        levels[at] = level
        sizes[at] = alike
        at += 1
    return at


@compiled
def count_tones(window, places, steps, numbers, differences):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Add to ``numbers[level]`` and ``differences[level]`` the voxels with a neighbour, and |level - their mean|."""
    for m in range(places.size):
        level = np.int64(window[places[m]])
        if level == 0:
            continue
        total = 0.0
        count = 0
        for s in range(steps.size):
            other = np.int64(window[places[m] + steps[s]])
            if other:
                total += other
                count += 1
        if count:
            numbers[level] += 1
            differences[level] += abs(level - total / count)


@compiled
def tone_row(numbers, differences, present, row):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Work out the 5 features of a grey tone difference matrix (order of ``catalogue.NGTDM``).

    Returns whether there is one: some voxel had a neighbour.
    """
    n_present = 0
    n_voxels = 0
    total = weighted = 0.0
    for level in range(numbers.size):
        if numbers[level]:
            present[n_present] = level
            n_present += 1
            n_voxels += numbers[level]
            total += differences[level]
            weighted += numbers[level] * differences[level]
    if n_voxels == 0:
        return False
    weighted /= n_voxels
    contrast = spread = complexity = strength = 0.0
    for m in range(n_present):
        a = present[m]
        p_a = numbers[a] / n_voxels
        for n in range(m):
            b = present[n]
            p_b = numbers[b] / n_voxels
            gap = np.float64(a - b)
            contrast += 2.0 * p_a * p_b * gap * gap
            spread += 2.0 * abs(a * p_a - b * p_b)
            complexity += 2.0 * abs(gap) * (p_a * differences[a] + p_b * differences[b]) / (p_a + p_b)
            strength += 2.0 * (p_a + p_b) * gap * gap
    row[0] = 1.0 / weighted if weighted > 0.0 else 1e6
    row[1] = contrast / (n_present * (n_present - 1.0)) * total / n_voxels if n_present > 1 else 0.0
    row[2] = weighted / spread if spread > 0.0 else 0.0
    row[3] = complexity / n_voxels
    row[4] = strength / total if total > 0.0 else 0.0
    return True


@compiled
def tally(found, n_found, table, cells, counted):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Turn pairs (level, size) into distinct ones with counts; returns their number.

    ``table`` (levels × sizes) is zero on entry and on return; ``cells`` holds as many entries as pairs.
    """
    levels, sizes = found
    distinct_levels, distinct_sizes, counts = counted
    n_cells = 0
    for m in range(n_found):
        if table[levels[m], sizes[m]] == 0:
            cells[n_cells] = m
            n_cells += 1
        table[levels[m], sizes[m]] += 1
    for m in range(n_cells):
        level, size = levels[cells[m]], sizes[cells[m]]
        distinct_levels[m] = level
        distinct_sizes[m] = size
        counts[m] = table[level, size]
    for m in range(n_cells):
        table[distinct_levels[m], distinct_sizes[m]] = 0
    return n_cells


@compiled
def _margin_squares(values, counts, n_cells, margin):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Sum of squared counts after summing those of equal value; ``margin`` is zero on entry and on return."""
    for m in range(n_cells):
        margin[values[m]] += counts[m]
    total = 0.0
    for m in range(n_cells):
        held = margin[values[m]]
        total += np.float64(held) * held
        margin[values[m]] = 0
    return total


@compiled
def size_row(counted, n_cells, n_voxels, margin, row):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Work out the 17 features of a matrix of levels and sizes (order of ``catalogue.NGLDM``; the others have 16).

    ``counted`` = (levels, sizes, counts), distinct; ``margin`` zeros, longer than the largest level and size.
    """
    levels, sizes, counts = counted
    row[:] = 0.0
    total = 0
    for m in range(n_cells):
        total += counts[m]
    mean_level = mean_size = 0.0
    for m in range(n_cells):
        share = counts[m] / total
        level2 = np.float64(levels[m]) * levels[m]
        size2 = np.float64(sizes[m]) * sizes[m]
        row[0] += share / size2
        row[1] += share * size2
        row[2] += share / level2
        row[3] += share * level2
        row[4] += share / (level2 * size2)
        row[5] += share * level2 / size2
        row[6] += share * size2 / level2
        row[7] += share * level2 * size2
        row[15] -= share * np.log2(share)
        row[16] += share * share
        mean_level += share * levels[m]
        mean_size += share * sizes[m]
    for m in range(n_cells):
        share = counts[m] / total
        row[13] += share * (levels[m] - mean_level) ** 2
        row[14] += share * (sizes[m] - mean_size) ** 2
    row[8] = _margin_squares(levels, counts, n_cells, margin) / total
    row[9] = row[8] / total
    row[10] = _margin_squares(sizes, counts, n_cells, margin) / total
    row[11] = row[10] / total
    row[12] = total / n_voxels
