"""Claims over all places a spot may really have: attenuation, interval, and how often they stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from comould.associate.claims.chance import t_test
from comould.associate.scrutiny.claimed import Claimed, HabitatMap
from comould.errors import InputError
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

N_DRAWN = 40
_LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Plausible:
    """Effects over plausible positions.

    Parameters
    ----------
    draws
        One row a claim and set of positions: ``habitat``, ``feature``, ``kind``, ``draw``, ``effect``, ``p``.
    summary
        One row a claim: ``effect`` at the stated positions, ``low``, ``median`` and ``high`` (5, 50 and 95 % of the
        plausible ones), ``attenuation`` (their mean over the effect: what one more dose of the registration's error
        costs), ``extrapolated`` (effect at no error, linearly: 2 · effect - mean), ``fraction_significant`` and
        ``n_draws``.
    source
        ``"ensemble"`` or ``"sd"``: where the positions came from.
    """

    draws: pd.DataFrame
    summary: pd.DataFrame
    source: str


def over_positions(
    adata: AnnData,
    habitats: Any,
    table: pd.DataFrame,
    *,
    n: int = N_DRAWN,
    seed: int = 0,
    **options: Any,
) -> Plausible:
    """Repeat the strongest claims at other positions the registration holds to be as likely.

    Parameters
    ----------
    adata
        Spots as they were tested. Uses ``obsm[positions + "_samples"]``
        ``(n_spots, k, 3)``, of ``map_spots(..., samples=k)``; else ``obsm[positions + "_sd"]``, ``(n_spots, 3)``.
    habitats
        The map they were sampled from: a result of :func:`comould.habitats.fit` or a label image.
    table
        Of :func:`comould.associate.test`.
    n
        Sets of positions drawn from the standard deviations; an ensemble is used whole.
    seed
        Of those draws.
    **options
        As for :func:`~comould.associate.shift_curve`.

    Raises
    ------
    InputError
        If there are neither samples nor standard deviations, or the table is none.

    Notes
    -----
    Drawn from standard deviations, all spots of a section err together (one normal deviate an axis and section): that
    is how registrations err, and the least favourable way for a claim. The p-value of a draw comes from its effect and
    the row's effective samples; a draw is significant at the largest p that the table claims at ``fdr``, or at 0.05
    where nothing is claimed. The extrapolation is simulation-extrapolation's first, linear step.

    References
    ----------
    Cook, J. R. & Stefanski, L. A. (1994). Simulation-extrapolation estimation in parametric measurement error models.
    doi:10.1080/01621459.1994.10476871
    """
    claimed = Claimed.pick(adata, table, **options)
    map_ = HabitatMap.of(habitats)
    source, places = _places(adata, claimed, n, seed)
    level = _claim_level(table, claimed.fdr)
    effective = claimed.rows["n_effective"].to_numpy(dtype=np.float64)
    parts = []
    for draw, points in enumerate(places):
        codes = map_.at(points)
        effect = claimed.effects(codes)
        p = t_test(effect, effective * float((codes > 0).mean()))
        names = claimed.rows[["habitat", "feature", "kind"]]
        parts.append(names.assign(draw=draw, effect=effect, p=p))
    draws = pd.concat(parts, ignore_index=True)
    at_home = claimed.effects(map_.at(claimed.spots.positions))
    return Plausible(draws, _summary(claimed, draws, at_home, level), source)


def _places(adata: AnnData, claimed: Claimed, n: int, seed: int) -> tuple[str, Iterator[FloatArray]]:
    name, used = claimed.options.positions, claimed.spots.used
    samples = adata.obsm.get(f"{name}_samples")
    if samples is not None and np.ndim(samples) == 3 and np.shape(samples)[1] > 1:
        array = np.asarray(samples, dtype=np.float64)[used]
        return "ensemble", (array[:, number] for number in range(array.shape[1]))
    spread = adata.obsm.get(f"{name}_sd")
    if spread is None or np.shape(spread) != (adata.n_obs, 3):
        raise InputError(
            subject="plausible positions",
            expected=f'obsm["{name}_samples"] or obsm["{name}_sd"]',
            found=f"only {', '.join(sorted(adata.obsm))}",
            remedy="Run comould.register.map_spots, with samples= for an ensemble",
        )
    if n < 2:
        raise InputError(subject="plausible positions", expected="two draws or more", found=str(n))
    sd = np.nan_to_num(np.asarray(spread, dtype=np.float64))[used]
    return "sd", _drawn(claimed, sd, n, seed)


def _drawn(claimed: Claimed, sd: FloatArray, n: int, seed: int) -> Iterator[FloatArray]:
    sections = claimed.spots.sections
    for child in np.random.SeedSequence(seed).spawn(n):
        deviate = np.random.default_rng(child).standard_normal((int(sections.max()) + 1, 3))
        yield claimed.spots.positions + sd * deviate[sections]


def _claim_level(table: pd.DataFrame, fdr: float) -> float:
    claimed = table[(table["q_spatial"] <= fdr) & (table["kind"] == "gene")]
    return float(claimed["p_spatial"].max()) if len(claimed) else _LEVEL


def _summary(claimed: Claimed, draws: pd.DataFrame, at_home: FloatArray, level: float) -> pd.DataFrame:
    rows = []
    for row, effect in zip(claimed.rows.itertuples(), at_home, strict=True):
        mine = draws[
            (draws["habitat"] == row.habitat) & (draws["feature"] == row.feature) & (draws["kind"] == row.kind)
        ]
        values = mine["effect"].dropna().to_numpy()
        low, median, high = np.quantile(values, [0.05, 0.5, 0.95]) if len(values) else [np.nan] * 3
        mean = float(values.mean()) if len(values) else np.nan
        same_sign = np.sign(mine["effect"]) == np.sign(effect)
        rows.append(
            {
                "habitat": row.habitat,
                "feature": row.feature,
                "kind": row.kind,
                "claimed": bool(row.claimed),
                "effect": float(effect),
                "low": float(low),
                "median": float(median),
                "high": float(high),
                "attenuation": mean / effect if effect else np.nan,
                "extrapolated": float(np.clip(2 * effect - mean, -1, 1)),
                "fraction_significant": float(((mine["p"] <= level) & same_sign).mean()),
                "n_draws": len(values),
            }
        )
    return pd.DataFrame(rows)
