"""The chapter to be explored: a model to turn, planes to page through."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from comould.pl.render import Body, Camera, render
from comould.pl.style import SPECIMEN
from comould.report.case import CaseReport
from comould.report.explore import bodies, layers, spots
from comould.report.explore.script import json_text
from comould.report.pictures import Picture


def chapter(case: CaseReport, still: Picture | None) -> dict[str, Any] | None:
    """Make the chapter; None when there is neither a body nor a plane to show.

    Parameters
    ----------
    case
        The case.
    still
        Shown on paper and where the model cannot be drawn; made from the mask when there is none.

    Returns
    -------
    dict or None
        For the template: ``data`` is the text its script reads.
    """
    made, views = layers.stops(case)
    solid = bodies.bodies(case)
    if not made and not solid:
        return None
    groups, colourings = spots.spots(case)
    data = {
        "bodies": solid, "up": bodies.up(case).tolist(), "planes": layers.planes(case, views), "stops": made,
        "habitats": layers.habitat_legend(case), "spots": groups, "colourings": colourings, "ramp": spots.ramp(),
    }  # fmt: skip
    return {
        "id": "explore", "name": "Explore", "heading": "Turn it, page through it",
        "text": _text(case, made), "truth": False,
        "data": Markup(json_text(data)), "still": still or _still(case), "stops": made, "solid": bool(solid),
        "bodies": [{"name": one["name"], "percent": round(100 * one["opacity"])} for one in solid],
        "colourings": colourings, "has": _has(made, groups),
    }  # fmt: skip


def _text(case: CaseReport, made: list[dict[str, Any]]) -> str:
    """Say what can be done, and what the places are worth."""
    said = f"Turn the {'specimen in its mould' if case.mould else 'specimen'}"
    if made:
        said += ", choose a plane on it or by its slider, and lay what is known of that plane over each other"
    if case.paired:
        said += ". Tissue lies where registration has put it; what that is worth is said under Sections"
    return f"{said}."


def _has(made: list[dict[str, Any]], groups: list[dict[str, Any]]) -> dict[str, bool]:
    """Tell which layers there are sliders for."""
    return {
        "grey": any("grey" in one for one in made),
        "habitats": any("habitats" in one for one in made),
        "section": any("picture" in one for one in made),
        "spots": bool(groups),
    }


def _still(case: CaseReport) -> Picture | None:
    """Draw the specimen from its mask."""
    if case.mask is None:
        return None
    import numpy as np

    from comould.report.explore.pack import picture

    vertices, faces = bodies.mask_surface(case.mask)
    drawn = render([Body(_Mesh(vertices, faces), SPECIMEN)], Camera.orbit(-60.0, 25.0), width_px=480).trimmed()
    pixels = np.rint(255 * drawn.rgba).astype(np.uint8)
    height, width = pixels.shape[:2]
    return Picture(picture(pixels), "Rendered picture of the specimen's surface as segmented", "", width, height)


class _Mesh:
    """A surface as the renderer takes it."""

    def __init__(self, vertices: Any, faces: Any) -> None:
        self.vertices, self.faces = vertices, faces
