"""The pictures of each chapter of a case's report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from comould import pl
from comould.pl import associations_figure as claims_of
from comould.pl.habitats_figure import own_planes
from comould.pl.mould_figure import VIEWS
from comould.pl.style import Theme
from comould.pl.view import View, grey_window, mask_points
from comould.report.case import CaseReport
from comould.report.pictures import Picture, chart, image

MOST_SPOT_SECTIONS = 4


def mould_pictures(case: CaseReport) -> list[Picture]:
    """Cut away first (the page's opening picture), then the other views."""
    if case.mould is None:
        return []
    alts = {
        "cut": "Rendered picture of the mould cut open: the specimen lies in its cavity, knife slots behind it",
        "lifted": "Rendered picture of the whole mould with the specimen lifted out above it",
        "top": "Rendered picture from above: the specimen seen through a glass mould, slots across it",
        "front": "Rendered picture from the side: the specimen seen through a glass mould",
    }
    return [
        image(
            pl.mould_view(case.mould, view, width_px=660 if view == "cut" else 420),
            alt=alts[view],
            title="" if view == "cut" else VIEWS[view],
            width_px=980 if view == "cut" else 600,
        )
        for view in VIEWS
    ]


def plane_pictures(case: CaseReport) -> list[Picture]:
    """Where the planes lie, then every plane on the image."""
    if case.image is None or case.mask is None or case.cutting is None:
        return []
    points, window = mask_points(case.mask), grey_window(case.image, case.mask)
    view = View.of_plane(case.cutting.planes[0], points)
    first = image(
        pl.plan_overview(case.image, case.mask, case.cutting, window=window, aspect=view.size_mm[0] / view.size_mm[1]),
        alt=f"View across the {len(case.cutting)} cutting planes, drawn as lines over the image",
    )
    return [first] + [
        image(
            pl.plane(case.image, case.mask, plane, points_mm=points, window=window),
            alt=f"Image in cutting plane {plane.id} with the specimen outlined",
        )
        for plane in case.cutting
    ]


def error_pictures(case: CaseReport) -> list[Picture]:
    """Error against truth: overall, by section, against the stated uncertainty."""
    errors = case.errors
    if errors is None or errors.empty:
        return []
    middle = errors[["error_mm", "nothing_mm"]].median()
    shots = [
        _chart(
            lambda theme: pl.error_ecdf(errors, theme=theme),
            title="How close spots come to their true place",
            alt=f"Cumulative share of spots by error: median {middle['error_mm']:.2g} mm registered, "
            f"{middle['nothing_mm']:.2g} mm with nothing done",
        )
    ]
    if len(set(errors["section"])) > 1:
        shots.append(
            _chart(
                lambda theme: pl.error_by_section(errors, theme=theme),
                title="The same, section by section",
                alt="Median, middle half and 5 to 95 % of the error in each section, registered and with nothing done",
                caption="Dot: median. Bar: middle half. Line: 5 to 95 %.",
            )
        )
    if "sd_mm" in errors and errors["sd_mm"].gt(0).any():
        from comould.pl.error_figure import error_against_sd

        shots.append(
            _chart(
                lambda theme: error_against_sd(errors, theme=theme),
                title="Is the stated uncertainty honest?",
                alt="Error found against uncertainty stated, in groups of spots; the diagonal is perfect honesty",
                caption="Above the dashed line: overconfident. Below it: too modest.",
            )
        )
    return shots


def habitat_pictures(case: CaseReport) -> tuple[list[Picture], Picture | None]:
    """Habitat maps plane by plane, and the curve that chose their number."""
    if case.habitats is None:
        return [], None
    shots = []
    if case.image is not None:
        labels = case.habitats.labels
        points = mask_points(case.mask if case.mask is not None else labels)
        window = grey_window(case.image, labels)
        shots = [
            image(
                pl.habitat_plane(labels, case.image, plane, points_mm=points, window=window),
                alt=f"Habitats in plane {plane.id} in colour over the image",
            )
            for plane in (case.cutting or own_planes(labels))
        ]
    selection = getattr(case.habitats, "selection", None)
    if selection is None or not hasattr(selection, "columns") or len(selection) < 2:
        return shots, None
    chosen = len(habitat_shares(case))
    curve = _chart(
        lambda theme: pl.selection_curve(selection, chosen=chosen, theme=theme),
        title="How their number was chosen",
        alt=f"Score for each number of habitats; {chosen} were used",
    )
    return shots, curve


def habitat_shares(case: CaseReport) -> dict[int, float]:
    """Share of the volume by habitat number."""
    from comould.pl.habitats_figure import fractions

    return fractions(case.habitats.labels) if case.habitats is not None else {}


def spot_pictures(case: CaseReport) -> list[Picture]:
    """Spots on their slides: habitat, and the gene with the strongest honest claim; sections with most spots first."""
    gene = strongest_gene(case)
    homes = {registration.section_id: registration for registration in case.registrations}
    counted = []
    for spots in case.spot_sets:
        if "section" not in spots.obs or "spatial" not in spots.obsm:
            continue
        for section in case.sections:
            rows = (spots.obs["section"].astype(str) == section.id).to_numpy()
            if rows.any():
                counted.append((int(rows.sum()), section, spots[rows]))
    shots = []
    for count, section, spots in sorted(counted, key=lambda c: -c[0])[:MOST_SPOT_SECTIONS]:
        for key in ("habitat", gene):
            if key is None or (key not in spots.obs and key not in spots.var_names):
                continue
            shots.append(
                image(
                    pl.spots(spots, key, section, registration=homes.get(section.id)),
                    alt=f"{count} spots of section {section.id} coloured by {key}",
                    title=section.id,
                    caption=f"{count} spots, {'by habitat' if key == 'habitat' else f'{key}: brighter is more'}",
                )
            )
    return shots


def strongest_gene(case: CaseReport) -> str | None:
    """Name the gene with the smallest spatial p-value among those claimed, if any."""
    if case.results is None:
        return None
    genes = case.results[~claims_of.is_set(case.results)]
    genes = genes[genes["q_spatial"] <= case.fdr]
    if genes.empty:
        return None
    effect = claims_of.effect_column(genes)
    order = np.lexsort([-genes[effect].to_numpy(dtype=float), genes["p_spatial"].to_numpy(dtype=float)])
    return str(genes["feature"].iloc[int(order[0])])


def association_pictures(case: CaseReport) -> list[Picture]:
    """Every gene, the claims counted, the strongest genes, the gene sets."""
    table = case.results
    if table is None or table.empty:
        return []
    options: dict[str, Any] = {"fdr": case.fdr}
    counts = claims_of.count_claims(table, case.fdr, case.genes)
    named = {test: sum(pair) for test, pair in counts.items()}
    claimed = _chart(
        partial(pl.claims, table, truth=case.genes, **options),
        title="What each test would claim",
        alt=f"{named['naive']} genes claimed by the naive test, {named['spatial']} by the spatial test",
    )
    every = _chart(
        partial(pl.volcano, table, **options),
        title="Every gene against every habitat",
        alt="Effect against evidence of the spatial test; orange ones only a naive test would claim",
    )
    strongest = _chart(
        partial(pl.ranked, table, **options),
        title="Strongest genes",
        alt="Genes with the strongest spatial evidence, their effect and habitat",
    )
    if not claims_of.is_set(table).any():
        return [claimed, every, strongest]
    sets = _chart(
        partial(pl.ranked, table, kind="set", **options),
        title="Gene sets",
        alt="Gene sets, their effect and habitat; filled dots are claimed",
    )
    return [claimed, sets, every, strongest]


def _chart(draw: Callable[..., Any], *, title: str, alt: str, caption: str = "") -> Picture:
    """Draw with ``theme=``."""

    def themed(theme: Theme) -> Any:
        return draw(theme=theme) if isinstance(draw, partial) else draw(theme)

    return chart(themed, title=title, alt=alt, caption=caption)
