"""The spots where they lie in the patient, and what they can be coloured by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould.pl import associations_figure as claims_of
from comould.pl.spots_figure import GENE_MAP, NOWHERE, POSITIONS, spot_values
from comould.pl.style import habitat_colour
from comould.report.case import CaseReport
from comould.report.explore.pack import text_of
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

MOST_GENES = 12
MOST_SCORES = 8
SCORE = "score_"
"""Columns of ``obs`` that :func:`comould.associate.score` writes begin so."""
MISSING = 255
RAMP_STEPS = 32

Values = npt.NDArray[np.float64]


def spots(case: CaseReport) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Pack spots section by section, and their colourings.

    Returns
    -------
    tuple
        Groups: ``section``, ``n``, ``pitch`` (mm), ``xyz`` (float32, patient LPS mm) and ``values``, a byte a spot by
        colouring. And the colourings: ``key``, ``label``, ``kind`` (``names`` or ``number``), and names with colours,
        or the values at both ends of the scale (percentiles 1 and 99 over all spots shown).
    """
    parts = placed(case)
    if not parts:
        return [], []
    groups: list[dict[str, Any]] = [
        {
            "section": name,
            "n": len(place),
            "pitch": _pitch_mm(place),
            "xyz": text_of(place.astype(np.float32)),
            "values": {},
        }
        for name, _, place in parts
    ]
    colourings = []
    for key, label in _keys(case, [adata for _, adata, _ in parts]):
        columns = [_values(adata, key) for _, adata, _ in parts]
        made, coded = _named(columns) if any(c.dtype == object for c in columns) else _numbered(columns)
        if made is None:
            continue
        colourings.append({"key": key, "label": label, **made})
        for group, codes in zip(groups, coded, strict=True):
            group["values"][key] = text_of(codes)
    return groups, colourings


def ramp() -> list[str]:
    """Give the colours of numbers, low to high."""
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    return [to_hex(colour) for colour in mpl.colormaps[GENE_MAP](np.linspace(0.0, 1.0, RAMP_STEPS))]


def placed(case: CaseReport) -> list[tuple[str, AnnData, FloatArray]]:
    """Take the spots of each section that have a place in the patient: its name, the spots, ``(n, 3)`` LPS mm."""
    homes = {one.section_id: one for one in case.registrations}
    found = []
    for adata in case.spot_sets:
        if "section" not in adata.obs:
            continue
        names = adata.obs["section"].astype(str).to_numpy()
        for name in dict.fromkeys(names):
            mine = adata[names == name]
            if POSITIONS in mine.obsm:
                place = np.asarray(mine.obsm[POSITIONS], dtype=np.float64)
            elif "spatial" in mine.obsm and name in homes:
                flat = np.asarray(mine.obsm["spatial"], dtype=np.float64)[:, :2]
                place = homes[name].patient_from_section_px.apply(flat)
            else:
                continue
            kept = np.isfinite(place).all(axis=1)
            if kept.any():
                found.append((str(name), mine[kept], place[kept]))
    return found


def _pitch_mm(place: FloatArray) -> float:
    """Median distance to the nearest other spot."""
    from scipy.spatial import cKDTree

    if len(place) < 2:
        return 0.5
    return round(float(np.median(cKDTree(place).query(place, k=2)[0][:, 1])), 4) or 0.5


def _keys(case: CaseReport, parts: list[AnnData]) -> list[tuple[str, str]]:
    """Choose what to colour by: habitat, scores of gene sets, and the genes with the strongest spatial evidence."""
    columns = list(dict.fromkeys(str(name) for adata in parts for name in adata.obs.columns))
    keys = [("habitat", "Habitat")] if "habitat" in columns else []
    place = {name: n for n, name in enumerate(_by_evidence(case, sets=True))}
    scores = [name.removeprefix(SCORE) for name in columns if name.startswith(SCORE)]
    chosen = sorted(scores, key=lambda name: place.get(name, len(place)))[:MOST_SCORES]
    keys += [(f"{SCORE}{name}", f"set {name}") for name in chosen]
    return keys + [(gene, gene) for gene in _genes(case, parts)]


def _genes(case: CaseReport, parts: list[AnnData]) -> list[str]:
    measured = set.intersection(*({str(name) for name in adata.var_names} for adata in parts))
    if case.results is None:
        return sorted(measured)[:MOST_GENES] if len(measured) <= MOST_GENES else []
    return [name for name in _by_evidence(case, sets=False) if name in measured][:MOST_GENES]


def _by_evidence(case: CaseReport, *, sets: bool) -> list[str]:
    """Give the features tested, the strongest spatial evidence first."""
    if case.results is None:
        return []
    rows = case.results[claims_of.is_set(case.results) == sets].sort_values(["p_spatial", "feature"])
    return list(dict.fromkeys(str(name) for name in rows["feature"]))


def _values(adata: AnnData, key: str) -> npt.NDArray[Any]:
    if key not in adata.obs and key not in adata.var_names:
        return np.full(adata.n_obs, np.nan)
    return spot_values(adata, key)


def _named(columns: list[npt.NDArray[Any]]) -> tuple[dict[str, Any], list[npt.NDArray[np.uint8]]]:
    """Code categories: habitats by their number's colour, others in turn."""
    import pandas as pd

    names = sorted({str(v) for column in columns for v in column[~pd.isna(column)]}, key=lambda n: (len(n), n))
    code = {name: number for number, name in enumerate(names[:MISSING])}
    coded = [
        np.array([MISSING if pd.isna(v) else code.get(str(v), MISSING) for v in column], np.uint8)
        for column in columns
    ]  # fmt: skip
    colours = [habitat_colour(int(n[1:]) if n[1:].isdigit() else i) for i, n in enumerate(names, start=1)]
    return {"kind": "names", "names": names[:MISSING], "colours": colours[:MISSING], "missing": NOWHERE}, coded


def _numbered(columns: list[npt.NDArray[Any]]) -> tuple[dict[str, Any] | None, list[npt.NDArray[np.uint8]]]:
    """Code numbers in 255 steps between their percentiles 1 and 99; None when there is no number."""
    every = np.concatenate([np.asarray(column, dtype=np.float64) for column in columns])
    finite = every[np.isfinite(every)]
    if not finite.size:
        return None, []
    low, high = (float(v) for v in np.percentile(finite, (1, 99)))
    span = max(high - low, 1e-12)
    coded = []
    for column in columns:
        share = np.clip((np.asarray(column, dtype=np.float64) - low) / span, 0.0, 1.0)
        coded.append(np.where(np.isfinite(share), np.rint(254 * np.nan_to_num(share)), MISSING).astype(np.uint8))
    return {"kind": "number", "low": float(f"{low:.3g}"), "high": float(f"{high:.3g}"), "missing": NOWHERE}, coded
