"""The shift curve: how an effect fares when every spot is deliberately displaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from comould.associate.claims.blocks import unit
from comould.associate.scrutiny.claimed import Claimed, HabitatMap
from comould.errors import InputError
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

N_DIRECTIONS = 8
N_STEPS = 12
_LEVEL = 0.05
_LEAST_OVERLAP = 0.5
_REACH = 0.35


@dataclass(frozen=True, eq=False)
class ShiftCurve:
    """Effects against deliberate displacement.

    Parameters
    ----------
    points
        One row a claim, direction and distance: ``habitat``, ``feature``, ``kind``, ``along`` (``plane`` or
        ``normal``), ``direction_deg`` (in the plane; 0 or 180 along the normal), ``distance_mm``, ``effect``
        (correlation), ``expected`` (the effect of a gene that followed the map and nothing else: effect at zero times
        the map's agreement with itself displaced), ``share`` (of the spots that still lie in the specimen).
    summary
        One row a claim: ``effect`` at zero, ``critical`` (|correlation| that chance reaches in 5 % of unrelated maps),
        ``lost_mm`` (displacement in the plane at which the effect, averaged over directions, is no more than that;
        infinite if it never is within reach), ``half_mm``, ``lost_normal_mm``, ``peak_mm`` and ``peak_direction_deg``
        (where it is largest), ``reach_mm``, ``tolerance_mm`` and ``verdict``.
    """

    points: pd.DataFrame
    summary: pd.DataFrame


def shift_curve(
    adata: AnnData,
    habitats: Any,
    table: pd.DataFrame,
    *,
    distances_mm: npt.ArrayLike | None = None,
    **options: Any,
) -> ShiftCurve:
    """Displace all spots together, sample the habitats there, and see what is left of each claim.

    A true spatial match is largest at zero and falls; an effect that a trend, the depth or another smooth confound
    makes hardly notices a displacement, and one that is largest elsewhere was matched at the wrong place.

    Parameters
    ----------
    adata
        Spots as they were tested, positions ``(n, 3)`` patient mm.
    habitats
        The map they were sampled from: a result of :func:`comould.habitats.fit` or a label image.
    table
        Of :func:`comould.associate.test`.
    distances_mm
        Displacements from 0, increasing; 12 up to 35 % of the sections' width when left out.
    **options
        ``genesets``, ``key`` and :class:`~comould.associate.ClaimOptions` as in the test; ``fdr`` (0.1) and ``top`` (6
        of each kind) say which claims: see :meth:`Claimed.pick`.

    Returns
    -------
    ShiftCurve
        Points and summary. ``verdict`` is ``"local"`` (largest within the tolerance of zero, lost within reach),
        ``"elsewhere"`` (largest farther away), ``"not lost"`` or ``"no effect"`` (not beyond chance at zero).

    Raises
    ------
    InputError
        If positions are not three-dimensional, distances do not start at 0 and increase, or the table is none.

    Notes
    -----
    Eight directions in the plane, two along the normal. Spots that leave the specimen drop out, and chance grows
    accordingly (effective samples in proportion). The tolerance of a peak's place is the larger of one step and
    twice the median stated uncertainty of positions.
    """
    claimed = Claimed.pick(adata, table, **options)
    if claimed.spots.positions.shape[1] != 3:
        raise InputError(subject="spot positions", expected="(n, 3) patient mm", found="two columns")
    map_ = HabitatMap.of(habitats)
    distances = _distances(distances_mm, claimed)
    points = _points(claimed, map_, distances)
    summary = _summary(claimed, points, _tolerance(adata, claimed, distances))
    return ShiftCurve(points, summary)


def _distances(given: npt.ArrayLike | None, claimed: Claimed) -> FloatArray:
    if given is None:
        plane = claimed.spots.positions @ claimed.directions().T
        widths = [
            np.ptp(plane[claimed.spots.sections == code], axis=0).mean() for code in np.unique(claimed.spots.sections)
        ]
        return np.linspace(0.0, _REACH * float(np.median(widths)), N_STEPS)
    distances = np.asarray(given, dtype=np.float64)
    if distances.ndim != 1 or len(distances) < 2 or distances[0] != 0 or not (np.diff(distances) > 0).all():
        raise InputError(subject="displacements", expected="two or more in mm, from 0, increasing", found=f"{given!r}")
    return distances


def _points(claimed: Claimed, map_: HabitatMap, distances: FloatArray) -> pd.DataFrame:
    first, second = claimed.directions()
    normal = np.cross(first, second)
    angles = np.arange(N_DIRECTIONS) * (360.0 / N_DIRECTIONS)
    radians = np.radians(angles)
    ways = [("plane", angle, np.cos(r) * first + np.sin(r) * second) for angle, r in zip(angles, radians, strict=True)]
    ways += [("normal", 0.0, normal), ("normal", 180.0, -normal)]
    home = map_.at(claimed.spots.positions)
    start = claimed.effects(home)
    parts = []
    for along, angle, way in ways:
        for distance in distances:
            codes = map_.at(claimed.spots.positions + distance * way) if distance > 0 else home
            share = float((codes > 0).mean())
            if distance > 0 and share < _LEAST_OVERLAP:
                continue
            parts.append(
                claimed.rows[["habitat", "feature", "kind"]].assign(
                    along=along,
                    direction_deg=angle,
                    distance_mm=distance,
                    effect=claimed.effects(codes) if distance > 0 else start,
                    share=share,
                    expected=start * _likeness(claimed, home, codes),
                )
            )
    return pd.concat(parts, ignore_index=True)


def _likeness(claimed: Claimed, home: npt.NDArray[np.int64], codes: npt.NDArray[np.int64]) -> FloatArray:
    """Agreement ``(n_rows,)`` of each row's habitat with itself displaced."""
    inside = (codes > 0) & (home > 0)
    blocks = claimed.blocks(inside)
    found = np.full(len(claimed.rows), np.nan)
    for label in np.unique(claimed.labels):
        pair = np.column_stack([home[inside] == label, codes[inside] == label]).astype(np.float64)
        one, other = unit(pair, blocks).T
        found[claimed.labels == label] = one @ other
    return found


def _tolerance(adata: AnnData, claimed: Claimed, distances: FloatArray) -> float:
    spread = adata.obsm.get(f"{claimed.options.positions}_sd")
    step = float(np.median(np.diff(distances)))
    if spread is None:
        return step
    plane = np.abs(np.asarray(spread)[claimed.spots.used] @ claimed.directions().T)
    return max(step, 2 * float(np.nanmedian(plane)))


def _summary(claimed: Claimed, points: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    rows = []
    for row in claimed.rows.itertuples():
        mine = points[(points["habitat"] == row.habitat) & (points["feature"] == row.feature)]
        mine = mine[(mine["kind"] == row.kind) & mine["effect"].notna()]
        rows.append(_of_claim(row, mine, tolerance))
    return pd.DataFrame(rows)


def _of_claim(row: Any, mine: pd.DataFrame, tolerance: float) -> dict[str, Any]:
    plane = mine[mine["along"] == "plane"]
    curve = plane.groupby("distance_mm")[["effect", "share"]].mean()
    effect = float(curve["effect"].iloc[0]) if len(curve) else np.nan
    critical = critical_correlation(row.n_effective * curve["share"].to_numpy())
    height = np.sign(effect) * curve["effect"].to_numpy()
    reach = float(curve.index.max()) if len(curve) else np.nan
    lost = _crossing(curve.index.to_numpy(), height - critical)
    best = plane.loc[(np.sign(effect) * plane["effect"]).idxmax()] if len(plane) else None
    peak = 0.0 if best is None else float(best["distance_mm"])
    normal = mine[mine["along"] == "normal"].groupby("distance_mm")[["effect", "share"]].mean()
    normal_critical = critical_correlation(row.n_effective * normal["share"].to_numpy())
    lost_normal = _crossing(normal.index.to_numpy(), np.sign(effect) * normal["effect"].to_numpy() - normal_critical)
    found = abs(effect) > critical[0] if len(critical) else False
    if not found:
        verdict = "no effect"
    elif peak > tolerance:
        verdict = "elsewhere"
    else:
        verdict = "local" if np.isfinite(lost) else "not lost"
    return {
        "habitat": row.habitat,
        "feature": row.feature,
        "kind": row.kind,
        "claimed": bool(row.claimed),
        "effect": effect,
        "critical": float(critical[0]) if len(critical) else np.nan,
        "lost_mm": lost if found else np.nan,
        "half_mm": _crossing(curve.index.to_numpy(), height - abs(effect) / 2),
        "lost_normal_mm": lost_normal if found else np.nan,
        "peak_mm": peak,
        "peak_direction_deg": np.nan if best is None or peak == 0 else float(best["direction_deg"]),
        "reach_mm": reach,
        "tolerance_mm": tolerance,
        "verdict": verdict,
    }


def critical_correlation(effective: npt.ArrayLike, level: float = _LEVEL) -> FloatArray:
    """|correlation| that unrelated maps with this many effective samples reach with probability ``level``."""
    freedom = np.maximum(np.asarray(effective, dtype=np.float64) - 2, 0.5)
    t = stats.t.isf(level / 2, freedom)
    return np.asarray(t / np.sqrt(freedom + t**2))


def _crossing(distances: FloatArray, height: FloatArray) -> float:
    """Where a curve first falls to 0, between points linearly; infinite where it never does."""
    below = np.flatnonzero(height <= 0)
    if not len(below):
        return float("inf")
    first = int(below[0])
    if first == 0:
        return 0.0
    share = height[first - 1] / (height[first - 1] - height[first])
    return float(distances[first - 1] + share * (distances[first] - distances[first - 1]))
