"""Compiled loops over voxels. Imported only when maps are made: this module imports numba.

All of them walk *runs* (consecutive voxels of the mask along i) and write only their own voxels' rows, so blocks of
runs may go to any number of threads. Co-occurrences are counted in integers, which makes a sliding update exact: the
numbers do not depend on where a run, a block or a tile begins.
"""

from __future__ import annotations

import numpy as np

from comould._compiled import compiled

N_FIRST_ORDER = 20
N_GLCM = 25


@compiled
def count_pairs(levels, centre, pairs, bounds, sign, counted):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Add (or take away) the pairs of one kernel position to the counts; returns how many.

    ``pairs`` = (first, second): flat offsets; ``bounds``: which of them; ``counted`` = (joint, margin): the triangular
    table and the row sums of the full one.
    """
    first, second = pairs
    start, stop = bounds
    joint, margin = counted
    found = 0
    for m in range(start, stop):
        a = np.int64(levels[centre + first[m]])
        b = np.int64(levels[centre + second[m]])
        if a == 0 or b == 0:
            continue
        low = np.int64(min(a, b))
        high = np.int64(max(a, b))
        # The symmetric matrix counts a pair both ways: twice on its diagonal, once in each of two cells off it.
        joint[high * (high - 1) // 2 + low - 1] += 2 * sign if a == b else sign
        margin[a] += sign
        margin[b] += sign
        found += 1
    return found * sign


@compiled
def _xlogx(count, table):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    return table[count] if count < table.size else count * np.log2(np.float64(count))


@compiled
def _spread_counts(counted, n_levels, table, spread):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Sum the table along its diagonals; returns largest count, Σ n² and Σ n log2 n of the full matrix.

    ``spread`` = (sums, differences, present): the latter is room for the levels there are. Only their cells are looked
    at: a small neighbourhood fills few rows of a large table.
    """
    joint, margin = counted
    sums, differences, present = spread
    sums[:] = 0
    differences[:] = 0
    n_present = 0
    for level in range(1, n_levels + 1):
        if margin[level]:
            present[n_present] = level
            n_present += 1
    largest = 0
    squares = 0.0
    logs = 0.0
    for m in range(n_present):
        high = present[m]
        row = high * (high - 1) // 2 - 1
        for n in range(m + 1):
            low = present[n]
            count = int(joint[row + low])
            if count == 0:
                continue
            largest = max(largest, count)
            mult = 1 if low == high else 2
            squares += mult * float(count) * count
            logs += mult * _xlogx(count, table)
            sums[high + low] += mult * count
            differences[high - low] += mult * count
    return largest, squares, logs


@compiled
def _sum_features(sums, n_levels, total, mean, table, row):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Features of the cross-diagonal sums."""
    tendency = shade = prominence = logs = 0.0
    for level in range(2, 2 * n_levels + 1):
        if sums[level]:
            offset = level - 2.0 * mean
            square = offset * offset * sums[level]
            tendency += square
            shade += square * offset
            prominence += square * offset * offset
            logs += _xlogx(sums[level], table)
    row[7] = 2.0 * mean
    row[8] = row[20] = tendency / total
    row[9] = np.log2(total) - logs / total
    row[21] = shade / total
    row[22] = prominence / total


@compiled
def _difference_features(differences, n_levels, total, table, row):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Features of the diagonal sums."""
    contrast = dissimilarity = inverse = inverse_moment = inverse_norm = moment_norm = inverse_variance = logs = 0.0
    for step in range(n_levels):
        count = differences[step]
        if count:
            relative = step / n_levels
            contrast += np.float64(step) * step * count
            dissimilarity += np.float64(step) * count
            inverse += count / (1.0 + step)
            inverse_moment += count / (1.0 + step * step)
            inverse_norm += count / (1.0 + relative)
            moment_norm += count / (1.0 + relative * relative)
            if step:
                inverse_variance += count / np.float64(step * step)
            logs += _xlogx(count, table)
    row[4] = row[12] = dissimilarity / total
    row[11] = contrast / total
    row[5] = max(row[11] - row[4] * row[4], 0.0)
    row[6] = np.log2(total) - logs / total
    row[13] = inverse / total
    row[14] = inverse_norm / total
    row[15] = inverse_moment / total
    row[16] = moment_norm / total
    row[17] = inverse_variance / total


@compiled
def cooccurrence_row(counted, n_levels, pairs, table, spread, row):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Work out the 25 features of one co-occurrence table (order of ``catalogue.GLCM``)."""
    largest, squares, joint_log = _spread_counts(counted, n_levels, table, spread)
    margin = counted[1]
    sums, differences, _ = spread
    total = np.float64(2 * pairs)
    mean = 0.0
    margin_log = 0.0
    for level in range(1, n_levels + 1):
        if margin[level]:
            mean += level * margin[level]
            margin_log += _xlogx(margin[level], table)
    mean /= total
    _sum_features(sums, n_levels, total, mean, table, row)
    _difference_features(differences, n_levels, total, table, row)
    tendency, contrast = row[20], row[11]
    variance = (tendency + contrast) / 4.0
    entropy = np.log2(total) - joint_log / total
    margin_entropy = np.log2(total) - margin_log / total
    row[0] = largest / total
    row[1] = mean
    row[2] = variance
    row[3] = entropy
    row[10] = squares / (total * total)
    # One grey level only: correlation is 0/0 by the formula, 1 by convention (as in other IBSI software).
    row[18] = (tendency - contrast) / (4.0 * variance) if variance > 0.0 else 1.0
    row[19] = (tendency - contrast) / 4.0 + mean * mean
    # By symmetry HXY1 = HXY2 = 2 HX.
    row[23] = (entropy - 2.0 * margin_entropy) / margin_entropy if margin_entropy > 0.0 else 0.0
    row[24] = np.sqrt(max(1.0 - np.exp(-2.0 * (2.0 * margin_entropy - entropy)), 0.0))


@compiled
def glcm_runs(levels, runs, pairs, n_levels, table, columns, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Add features to ``out[row : row + length]`` for every run (start, length, row).

    ``columns`` ``(c, 2)`` says which feature goes to which column of ``out``, zero on entry.
    ``pairs`` = (first, second, bounds): ``first`` and ``second`` hold flat offsets of pairs; ``bounds[g]`` = (all from,
    to, lost from, to, gained from, to) of group ``g``. One group is a merged matrix;
    several are averaged over those that hold a pair.
    """
    first, second, bounds = pairs
    offsets = (first, second)
    counted = (np.zeros(n_levels * (n_levels + 1) // 2, dtype=np.int32), np.zeros(n_levels + 1, dtype=np.int64))
    spread = (
        np.zeros(2 * n_levels + 1, dtype=np.int64),
        np.zeros(n_levels + 1, dtype=np.int64),
        np.zeros(n_levels + 1, dtype=np.int64),
    )
    row = np.zeros(N_GLCM)
    for start, length, first_row in runs:
        valid = np.zeros(length, dtype=np.int64)
        for g in range(bounds.shape[0]):
            counted[0][:] = 0
            counted[1][:] = 0
            found = 0
            for t in range(length):
                centre = start + t
                if t == 0:
                    found += count_pairs(levels, centre, offsets, (bounds[g, 0], bounds[g, 1]), 1, counted)
                else:
                    found += count_pairs(levels, centre - 1, offsets, (bounds[g, 2], bounds[g, 3]), -1, counted)
                    found += count_pairs(levels, centre, offsets, (bounds[g, 4], bounds[g, 5]), 1, counted)
                if found == 0:
                    continue
                cooccurrence_row(counted, n_levels, found, table, spread, row)
                valid[t] += 1
                for c in range(columns.shape[0]):
                    out[first_row + t, columns[c, 1]] += row[columns[c, 0]]
        for t in range(length):
            for c in range(columns.shape[0]):
                at = columns[c, 1]
                out[first_row + t, at] = out[first_row + t, at] / valid[t] if valid[t] else np.nan


@compiled
def _percentile(values, count, fraction):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Interpolate linearly between the sorted values."""
    place = fraction * (count - 1)
    below = int(place)
    above = min(below + 1, count - 1)
    return values[below] + (place - below) * (values[above] - values[below])


@compiled
def _first_order_row(values, count, row):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Work out the 18 intensity statistics of ``values[:count]``, sorted (order of ``catalogue.FIRST_ORDER``)."""
    mean = energy = 0.0
    for m in range(count):
        mean += values[m]
        energy += values[m] * values[m]
    mean /= count
    second = third = fourth = absolute = 0.0
    for m in range(count):
        offset = values[m] - mean
        square = offset * offset
        second += square
        third += square * offset
        fourth += square * square
        absolute += abs(offset)
    second /= count
    flat = values[0] == values[count - 1]
    p10, p25, median = (
        _percentile(values, count, 0.1),
        _percentile(values, count, 0.25),
        _percentile(values, count, 0.5),
    )
    p75, p90 = _percentile(values, count, 0.75), _percentile(values, count, 0.9)
    kept = 0
    kept_mean = kept_absolute = median_absolute = 0.0
    for m in range(count):
        median_absolute += abs(values[m] - median)
        if p10 <= values[m] <= p90:
            kept += 1
            kept_mean += values[m]
    kept_mean /= max(kept, 1)
    for m in range(count):
        if p10 <= values[m] <= p90:
            kept_absolute += abs(values[m] - kept_mean)

    row[0] = mean
    row[1] = 0.0 if flat else second
    row[2] = 0.0 if flat else third / count / second**1.5
    row[3] = 0.0 if flat else fourth / count / (second * second) - 3.0
    row[4] = median
    row[5] = values[0]
    row[6] = p10
    row[7] = p90
    row[8] = values[count - 1]
    row[9] = p75 - p25
    row[10] = values[count - 1] - values[0]
    row[11] = absolute / count
    row[12] = kept_absolute / max(kept, 1)
    row[13] = median_absolute / count
    row[14] = np.sqrt(row[1]) / mean if mean != 0.0 else np.nan
    row[15] = (p75 - p25) / (p75 + p25) if p75 + p25 != 0.0 else np.nan
    row[16] = energy
    row[17] = np.sqrt(energy / count)


@compiled
def first_order_runs(grey, runs, offsets, n_levels, columns, out, inside):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Fill ``out`` with first-order features and ``inside`` with the count of kernel voxels in the mask.

    ``grey`` = (intensities, levels), flat; level 0 is outside. Values are sorted before they are
    summed, so a rotated image gives the same bits.
    """
    image, levels = grey
    values = np.empty(offsets.size)
    histogram = np.zeros(n_levels + 1, dtype=np.int64)
    row = np.zeros(N_FIRST_ORDER)
    for start, length, first_row in runs:
        for t in range(length):
            centre = start + t
            count = 0
            histogram[:] = 0
            for m in range(offsets.size):
                level = levels[centre + offsets[m]]
                if level:
                    values[count] = image[centre + offsets[m]]
                    histogram[level] += 1
                    count += 1
            inside[first_row + t] = count
            if columns.shape[0] == 0:
                continue
            values[:count].sort()
            _first_order_row(values, count, row)
            entropy = uniformity = 0.0
            for level in range(1, n_levels + 1):
                if histogram[level]:
                    share = histogram[level] / count
                    entropy -= share * np.log2(share)
                    uniformity += share * share
            row[18] = entropy
            row[19] = uniformity
            for c in range(columns.shape[0]):
                out[first_row + t, columns[c, 1]] = row[columns[c, 0]]
