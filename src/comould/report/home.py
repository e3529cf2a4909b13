"""The sections chapter of a report: what each registration achieved, in words, numbers and pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from comould import pl
from comould.errors import RegistrationError
from comould.io.section import Section
from comould.pl.plane_test_figure import signed
from comould.pl.section_figure import PANELS, SectionScene
from comould.pl.stack_figure import has_poses
from comould.pl.style import Theme
from comould.pl.view import grey_window
from comould.report.case import CaseReport
from comould.report.facts import Table, number
from comould.report.pictures import Picture, chart, image

VERDICT_WORDS = {"accept": "Accepted", "review": "Please review", "reject": "Rejected"}

PLATE_CAPTIONS = {
    "slide": "Letters: directions in the patient, as the registration found them.",
    "before": "Centre on centre, at its own size and as it was scanned.",
    "overlay": "Tissue on the imaging; what lies inside should lie on its like.",
    "checker": "Slide and imaging in turn: edges should run on from square to square.",
}

Cells = list[tuple[str, str]]


def section_cards(case: CaseReport) -> list[dict[str, Any]]:
    """One card a section: verdict, reasons, numbers, hops and pictures."""
    window = None if case.image is None or case.mask is None else grey_window(case.image, case.mask)
    cards = []
    for place, (section, registration) in enumerate(case.paired, start=1):
        quality = registration.quality
        scene = _scene(case, section, registration, window)
        cards.append(
            {
                "anchor": f"section-{place}",
                "id": section.id,
                "verdict": _known(quality.verdict),
                "word": verdict_word(quality.verdict),
                "reasons": [str(reason) for reason in getattr(quality, "reasons", ())],
                "facts": facts(case, section, registration),
                "pictures": [] if scene is None else [*plates(scene), *further_plates(case, scene)],
                "charts": plane_charts(registration),
                "hops": hops(registration),
                "stages": stages(quality),
            }
        )
    return cards


def verdict_word(verdict: Any) -> str:
    """Say a verdict in words."""
    return VERDICT_WORDS.get(str(verdict), str(verdict))


def _known(verdict: Any) -> str:
    return str(verdict) if str(verdict) in VERDICT_WORDS else ""


def summary_rows(case: CaseReport, cards: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Give the table at the top: one row a section with a link to its card; columns nobody fills are left out."""
    if not cards:
        return None
    pairs = case.paired
    columns: dict[str, list[str]] = {"Plane": [str(one.plane_id) for _, one in pairs]}
    for name, make in _SUMMARY.items():
        values = [_value(partial(make, one)) for _, one in pairs]
        if any(value not in {"", "–"} for value in values):
            columns[name] = [value or "–" for value in values]
    if case.errors is not None:
        columns["Error"] = [_error(case, section.id, "error_mm") or "–" for section, _ in pairs]
    rows = [
        {**{key: card[key] for key in ("anchor", "id", "verdict", "word")}, "cells": [c[n] for c in columns.values()]}
        for n, card in enumerate(cards)
    ]
    notes = ["Each name leads to its pictures.", *(text for name, text in _NOTES.items() if name in columns)]
    return {"headings": list(columns), "rows": rows, "note": " ".join(notes)}


def facts(case: CaseReport, section: Section, registration: Any) -> Cells:
    """Tell what a registration says of itself, and the error where truth is known; what is unknown is left out."""
    found = [("Plane", str(registration.plane_id))]
    found += [(name, text) for name, make in _FACTS.items() if (text := _value(partial(make, registration)))]
    for name, column in (("Median error", "error_mm"), ("Nothing done", "nothing_mm")):
        if text := _error(case, section.id, column):
            found.append((name, text))
    return found


def plates(scene: SectionScene) -> list[Picture]:
    """Draw the slide, nothing done, registered, checkerboard."""
    alts = {
        "slide": "Slide of section {} as scanned",
        "before": "Section {} laid on its imaging plane without registration",
        "overlay": "Section {} on its imaging plane after registration; outlines of specimen and tissue",
        "checker": "Section {} and its imaging plane in alternating squares; outlines of specimen and tissue",
    }
    return [
        image(
            scene.draw(name),
            alt=alt.format(scene.section.id),
            title=PANELS[name],
            caption=PLATE_CAPTIONS[name],
            width_px=440,
        )
        for name, alt in alts.items()
    ]


def further_plates(case: CaseReport, scene: SectionScene) -> list[Picture]:
    """Draw bending, uncertainty and landmarks, where the registration tells them."""
    name = scene.section.id
    shots: list[Picture] = []
    if not hasattr(scene.registration, "map_points"):
        return shots
    shots.append(
        image(
            pl.displacement(scene),
            alt=f"How the registration bends section {name} beyond its linear part, with local change of area",
            title="Bending",
            caption="Beyond turning, scaling and shearing. Arrows: where tissue is moved. Colour: local area over the "
            "linear part's; 1 is unchanged.",
            width_px=440,
        )
    )
    shots.append(
        image(
            pl.sd_map(scene),
            alt=f"Standard deviation of the place of section {name}'s tissue in the patient",
            title="Uncertainty",
            caption="Standard deviation of each place in the patient: along and across the plane together.",
            width_px=440,
        )
    )
    marks = case.landmarks.get(name)
    pairs = {kind: getattr(marks, key, None) for kind, key in (("fitted", "landmarks"), ("held_out", "held_out"))}
    given = {kind: pair for kind, pair in pairs.items() if pair is not None and len(pair.names)}
    if given:
        shots.append(
            image(
                pl.landmark_residuals(scene, **given),
                alt=f"Landmarks of section {name}: where each should be, and a line to where it came",
                title="Landmarks",
                caption="Marks: where they should be. Lines: to where they came. Held-out ones were never fitted.",
                width_px=440,
            )
        )
    return shots


def plane_charts(registration: Any) -> list[Picture]:
    """Chart the likelihood of the cut's offset, and what neighbouring planes score."""
    quality, shots = registration.quality, []
    pose = getattr(quality, "pose", None)
    if pose is not None and len(pose.offsets_mm) > 1:
        shots.append(
            _chart(
                partial(pl.plane_likelihood, pose),
                title="Where the knife went",
                alt=f"Log-likelihood of each offset from the planned plane; found {signed(pose.offset_mm)} ± "
                f"{pose.offset_sd_mm:.1f} mm",
                caption=f"Dashed: the plan. Band: one standard deviation. Tilt {pose.tilt_size_deg:.1f}°. "
                "What is found also weighs how rarely knives stray.",
            )
        )
    scores = getattr(quality, "plane_scores", None)
    if scores:
        best = max(scores, key=lambda name: scores[name])
        shots.append(
            _chart(
                partial(pl.plane_scores, dict(scores), str(registration.plane_id)),
                title="Its own plane and those beside it",
                alt=f"Score on each plane; its own is {registration.plane_id}, the best {best}",
                caption="A better neighbour is a reason to look, never a move.",
            )
        )
    return shots


def stack_charts(case: CaseReport) -> list[Picture]:
    """Chart shrinkage, offset and tilt along the specimen."""
    if case.stack is None or case.cutting is None or not len(case.stack.table):
        return []
    count = len(case.stack.table)
    made: list[tuple[Callable[..., Any], str, str, str]] = [
        (
            pl.stack_shrinkage,
            "Shrinkage along the specimen",
            f"Size on the slide over size in the patient of {count} sections, with what the others expect of each",
            _common(case.stack.shrinkage),
        )
    ]
    if has_poses(case.stack):
        made += [
            (
                pl.stack_offsets,
                "Where the knife went",
                "Offset of each cut from its plane with its standard deviation",
                "Line: one standard deviation to either side.",
            ),
            (
                pl.stack_tilts,
                "How it was held",
                "Tilt of each cut against its plane",
                "It moves the rim, not the middle.",
            ),
        ]
    return [
        _chart(partial(function, case.stack, case.cutting), title=title, alt=alt, caption=caption)
        for function, title, alt, caption in made
    ]


def _common(shrinkage: float) -> str:
    if not np.isfinite(shrinkage):
        return "Too few sections for a common shrinkage."
    return f"Together: {100.0 * shrinkage:.1f} % of the size in the patient."


def hops(registration: Any) -> Table | None:
    """Tell each picture on the way with its own verdict."""
    steps = getattr(registration, "hops", ())
    if not steps:
        return None
    rows = [
        [
            f"{step.source_id} → {step.target_id}",
            verdict_word(step.quality.verdict),
            _share(step.quality.dice) or "–",
            _mm(step.quality.round_trip_mm) or "–",
            f"{100.0 / step.quality.scale:.1f} %",
            "; ".join(str(reason) for reason in step.quality.reasons) or "–",
        ]
        for step in steps
    ]
    headings = ["Picture to picture", "Verdict", "Dice", "Round trip", "Size", "Reasons"]
    return Table(headings, rows, [False] * len(rows))


def stages(quality: Any) -> str:
    """Tell in one line which stages were kept, and why others were not."""
    said = [
        f"{stage.name} {'kept' if stage.kept else f'not kept ({stage.reason})'}"
        for stage in getattr(quality, "stages", ())
    ]
    return ", ".join(said)


def _scene(
    case: CaseReport, section: Section, registration: Any, window: tuple[float, float] | None
) -> SectionScene | None:
    if case.image is None or case.mask is None or case.cutting is None:
        return None
    return SectionScene.of(
        section, registration, case.cutting, case.image, case.mask, window=window, tissue=section_tissue(section)
    )


def section_tissue(section: Section) -> npt.NDArray[np.bool_] | None:
    """Find the tissue as registration does; ``None`` when it finds none."""
    from comould.register import tissue_mask

    if section.tissue is not None:
        return section.tissue
    try:
        return tissue_mask(section.image)
    except RegistrationError:
        return None


def _chart(draw: partial[Any], *, title: str, alt: str, caption: str) -> Picture:
    def themed(theme: Theme) -> Any:
        """Draw on the theme's paper."""
        return draw(theme=theme)

    return chart(themed, title=title, alt=alt, caption=caption)


def _value(make: Callable[[], str]) -> str:
    """Make a text; empty when the registration does not know the number."""
    try:
        return make()
    except (AttributeError, TypeError):
        return ""


def _mm(value: float) -> str:
    return f"{_length(float(value))} mm" if np.isfinite(value) else ""


def _share(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else ""


def _length(value: float) -> str:
    """Hundredths of a millimetre below ten, so that columns line up; then tenths."""
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}"


def _error(case: CaseReport, section_id: str, column: str) -> str:
    if case.errors is None:
        return ""
    rows = case.errors[case.errors["section"].astype(str) == section_id]
    return _mm(float(rows[column].median())) if len(rows) else ""


def _landmarks(errors: Any) -> str:
    worst = f", worst {_length(errors.max_mm)}" if len(errors.names) > 1 else ""
    return f"{_length(errors.mean_mm)}{worst} mm (n = {len(errors.names)})"


def _offset(pose: Any) -> str:
    said = f"{signed(pose.offset_mm)} ± {pose.offset_sd_mm:.1f} mm"
    return said if pose.applied else f"{said} (not applied)"


def _pieces(areas: Any) -> str:
    shown = ", ".join(f"{area:.0f}" for area in areas[:4])
    return f"{len(areas)}: {shown}{' …' if len(areas) > 4 else ''} mm²" if areas else ""


_FACTS: dict[str, Callable[[Any], str]] = {
    "Dice": lambda one: _share(one.quality.dice),
    "Outlines apart (HD95)": lambda one: _mm(one.quality.hd95_mm),
    "Worst side": lambda one: _mm(one.quality.sector_gap_mm),
    "Round trip": lambda one: _mm(one.quality.round_trip_mm),
    "Held-out landmarks": lambda one: _landmarks(one.quality.held_out),
    "Fitted landmarks": lambda one: _landmarks(one.quality.fitted),
    "Cut off its plane": lambda one: _offset(one.quality.pose),
    "Tilt": lambda one: f"{one.quality.pose.tilt_size_deg:.1f}°",
    "Spread when repeated": lambda one: _mm(one.quality.spread_mm),
    "Size on the slide": lambda one: f"{100.0 / one.quality.scale:.1f} %",
    "Rotation": lambda one: f"{float(one.quality.angle_deg):.0f}°",
    "Flipped": lambda one: number(bool(one.quality.flipped)),
    "Lead over second best": lambda one: f"{100.0 * one.quality.margin:.0f} %" if one.quality.second_best else "",
    "Area, patient over slide": lambda one: "{:.2f} to {:.2f}".format(*one.quality.jacobian_range),
    "Folded": lambda one: f"{100.0 * one.quality.folding_fraction:.1f} %",
    "Pieces of tissue": lambda one: _pieces(one.quality.pieces_mm2),
}
_NOTES = {
    "Worst side": "Worst side: gap between the outlines where they agree least.",
    "Round trip": "Round trip: how far from itself tissue ends after the way there and a way back found anew.",
    "Landmarks": "Landmarks: held out, mean.",
    "Off its plane": "Off its plane, tilt: where the knife really went.",
    "Spread": "Spread: how far repeated registrations lie apart in the plane.",
    "Size": "Size: on the slide, of the patient's.",
    "Error": "Error: median of the spots, against the known truth.",
}
_SUMMARY: dict[str, Callable[[Any], str]] = {
    "Dice": _FACTS["Dice"],
    "Worst side": _FACTS["Worst side"],
    "Round trip": _FACTS["Round trip"],
    "Landmarks": lambda one: _mm(one.quality.held_out.mean_mm),
    "Off its plane": lambda one: _offset(one.quality.pose),
    "Tilt": _FACTS["Tilt"],
    "Spread": _FACTS["Spread when repeated"],
    "Size": _FACTS["Size on the slide"],
}
