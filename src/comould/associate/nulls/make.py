"""Maps that could have been: random, unrelated to any gene, but like the real one in what its kind of null keeps.

A null is made first, from the habitat map alone, and passed to the statistic. One set serves every gene.
"""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt

from comould.associate.nulls.analytic import no_maps
from comould.associate.nulls.checks import N_REFERENCE, doubts_about
from comould.associate.nulls.effective import FEWEST_EFFECTIVE, WORST_FIT, effective_spots, variogram_distance
from comould.associate.nulls.fields import draw_fields, draw_shuffled, ranked_fields
from comould.associate.nulls.moran import spectral
from comould.associate.nulls.motion import rotated, rotated_or_reflected, shifted
from comould.associate.nulls.places import Places, branch, section_codes
from comould.associate.nulls.recipe import Drawn, Job, Recipe
from comould.associate.nulls.record import Kind, NullFit, Surrogates
from comould.associate.nulls.variogram import Pairs, sample_pairs
from comould.errors import InputError
from comould.space import FloatArray

KINDS: tuple[Kind, ...] = get_args(Kind)

RECIPES: dict[Kind, Recipe] = {
    "variogram": draw_fields,
    "shift": shifted,
    "rotate": rotated,
    "rotate_reflect": rotated_or_reflected,
    "moran": spectral,
    "dutilleul": no_maps,
    "shuffle": draw_shuffled,
}
"""How each kind is made; a new kind is a function of :class:`~comould.associate.nulls.recipe.Job` and a line here."""

_N_CHECKED = 12


def make_null(
    values: npt.ArrayLike,
    positions: npt.ArrayLike,
    sections: npt.ArrayLike | None = None,
    *,
    kind: Kind = "variogram",
    n: int = 999,
    seed: int | np.random.SeedSequence = 0,
    pairs: Pairs | None = None,
) -> Surrogates:
    """Make surrogate maps of one map.

    Parameters
    ----------
    values
        ``(n_spots,)`` indicator (0/1) or continuous map; finite, not all equal.
    positions
        ``(n_spots, 3)`` patient mm: one field through all sections, so that neighbouring sections agree as they do in
        the patient. Or ``(n_spots, 2)``, mm or px in each section's own frame: sections are then taken as unrelated.
    sections
        ``(n_spots,)`` labels. Needed with two-dimensional positions of several sections, and for moved maps, whose
        sections must be planes; ``shuffle`` stays within.
    kind
        ``"variogram"`` (default): stationary isotropic Gaussian fields (Matérn, nugget) of the map's variogram, given
        its values by rank: histogram and fractions stay. Assumes that no place and no direction of the support is
        special. Does not keep what a variogram cannot see (sharp layers, branching) and cannot show that map or gene
        are stationary.

        ``"shift"``: the map of all sections moved by one random vector in their plane, scaled for the spots still
        covered (variance correction). Keeps the texture whatever it is; assumes stationarity along the plane. Does not
        work where the support is hardly wider than the map's patches, and never for what follows the edge.

        ``"rotate"``, ``"rotate_reflect"``: turned about each section's centroid by one random angle (and mirrored by
        chance). Keeps what is round about the centre, a rim or a core, so that such a layering *by itself* is no
        evidence; assumes that directions are alike. Has few independent turns: small p-values need another kind.

        ``"moran"``: the map's spectrum over the patterns of its own support, the shares of like patterns turned at
        random. Keeps Moran's I and trends at every scale, not the histogram (maps are centred, continuous, not
        rank-matched). Neighbours are weighted by the correlation fitted to the map. Trends being kept, a gene and a map
        that share one by chance are held against maps that have it too: cautious for very smooth maps. Needs a dense
        decomposition: thousands of spots at most.

        ``"dutilleul"``: no maps; ``pairs`` lets :func:`~comould.associate.claims.statistics.analytic_effective` find
        each gene's effective number of spots from both correlograms. Assumes both stationary and the correlation about
        normal. Says nothing about statistics other than the correlation.

        ``"shuffle"``: spots permuted within sections, which forgets space. Naive; for comparison only.
    n
        Surrogates.
    seed
        Same seed, same surrogates.
    pairs
        Of :func:`pairs_of` the same positions, to spare making them for each map anew.

    Returns
    -------
    Surrogates
        Maps and the record of the fit, with its ``doubts`` and, where nothing can be tested, its ``refusal``.

    Raises
    ------
    InputError
        If shapes disagree, values are not finite or all equal, the kind is unknown; for moved maps if a section is no
        plane; for ``moran`` if more spots hang together than can be solved for.

    Notes
    -----
    No kind establishes a cause, or that another patient would agree: each says how often maps like this one, unrelated
    to the gene, agree with it as well. What a map with a trend across the whole support can tell is limited, and
    ``n_effective`` says so. A fitted variogram is itself an estimate; ``benchmarks/false_positive_rate.py`` measures
    what that costs.

    References
    ----------
    Variogram: Viladomat, J. et al. (2014). doi:10.1111/biom.12139. Burt, J. B. et al. (2020).
    doi:10.1016/j.neuroimage.2020.117038. Shift: Mrkvička, T., Dvořák, J., González, J. A. & Mateu, J. (2021).
    doi:10.1016/j.spasta.2020.100430. Rotate: Alexander-Bloch, A. F. et al. (2018).
    doi:10.1016/j.neuroimage.2018.05.070. Moran: Wagner, H. H. & Dray, S. (2015). doi:10.1111/2041-210X.12407.
    Dutilleul, P. (1993). doi:10.2307/2532625.
    """
    array, points = np.asarray(values, dtype=np.float64), np.asarray(positions, dtype=np.float64)
    codes = section_codes(sections, len(array))
    _check(array, points, kind, n)
    places = Places(points, codes)
    pair_seed, draw_seed, check_seed = (branch(seed, number) for number in range(3))
    pairs = pairs or sample_pairs(points, places.groups, seed=pair_seed)
    job = Job(array, places, pairs, n, draw_seed)
    drawn = RECIPES[kind](job)
    fit = _record(kind, job, drawn, check_seed)
    return Surrogates(drawn.maps, fit, drawn.scale, None if len(drawn.maps) or drawn.refusal else pairs)


def pairs_of(
    positions: npt.ArrayLike, sections: npt.ArrayLike | None = None, *, seed: int | np.random.SeedSequence = 0
) -> Pairs:
    """Sort the pairs of a support into lags once, for all maps on it; parameters as in :func:`make_null`."""
    points = np.asarray(positions, dtype=np.float64)
    return sample_pairs(points, Places(points, section_codes(sections, len(points))).groups, seed=seed)


def _check(values: FloatArray, positions: FloatArray, kind: str, n: int) -> None:
    problems = []
    if values.ndim != 1 or len(values) < 3:
        problems.append(f"the map has shape {values.shape}, not at least three spots in a row")
    if positions.ndim != 2 or positions.shape[1:] not in {(2,), (3,)} or len(positions) != len(values):
        problems.append(f"positions have shape {positions.shape}, not ({len(values)}, 2 or 3)")
    if not np.isfinite(values).all() or not np.isfinite(positions).all():
        problems.append("values or positions are not finite: leave those spots out")
    elif values.size and np.ptp(values) == 0:
        problems.append("the map is the same everywhere")
    if kind not in KINDS:
        problems.append(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    if n < 1:
        problems.append(f"{n} surrogates asked for")
    if problems:
        raise InputError.collect(subject="spatial null", problems=problems)


def _record(kind: Kind, job: Job, drawn: Drawn, seed: np.random.SeedSequence) -> NullFit:
    pairs, model = job.pairs, drawn.model
    own = drawn.maps if drawn.seen is None else drawn.seen
    # A null without whole maps of its own is measured, and the map checked, by fields of the map's smoothness.
    whole = drawn.scale is None and len(drawn.maps) > 0
    fields = drawn.maps if whole else ranked_fields(model, job.places.apart, job.values, N_REFERENCE, branch(seed, 0))
    observed = pairs.normalised(pairs.variogram(job.values))
    imitated = pairs.normalised(pairs.mean_variogram(own[:_N_CHECKED] if len(own) else fields[:_N_CHECKED]))
    distance = variogram_distance(pairs, observed, imitated)
    effective = effective_spots(job, drawn, fields)
    doubts = doubts_about(
        job.values, fields if drawn.reference is None else drawn.reference, job.places, branch(seed, 1)
    )
    return NullFit(
        kind=kind,
        n_surrogates=len(drawn.maps),
        range_mm=model.range_mm,
        smoothness=model.smoothness,
        nugget=model.nugget,
        variogram_distance=distance,
        n_effective=effective,
        lags_mm=pairs.lags_mm,
        observed=observed,
        imitated=imitated,
        refusal=drawn.refusal or _refusal(kind, effective, distance),
        doubts=(*drawn.doubts, *doubts),
    )


def _refusal(kind: Kind, effective: float, distance: float) -> str:
    if kind == "shuffle":
        return ""
    if effective < FEWEST_EFFECTIVE:
        return (
            f"a map this smooth is worth {effective:.1f} independent spots on this support, {FEWEST_EFFECTIVE:g} "
            "needed: more sections, or a larger specimen, can tell"
        )
    if distance > WORST_FIT:
        return (
            f"surrogates vary with distance otherwise than the map does (variogram distance {distance:.2f}, at most "
            f"{WORST_FIT:g}): another kind of null may fit"
        )
    return ""
