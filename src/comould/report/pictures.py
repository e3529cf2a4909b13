"""Figures as data URIs: photographs and images as WebP, charts as SVG for light and dark paper."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from comould.pl.style import DARK, LIGHT, Theme, context

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUALITY = 84
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"


@dataclass(frozen=True)
class Picture:
    """One picture of the report.

    Parameters
    ----------
    source
        Data URI.
    alt
        What a reader who cannot see it needs to know.
    caption
        Plain words below it; may be empty.
    width, height
        Pixels, so that the page does not jump.
    dark
        Data URI for dark paper; empty when the picture needs none.
    title
        Short name above it; may be empty.
    """

    source: str
    alt: str
    caption: str
    width: int
    height: int
    dark: str = ""
    title: str = ""


def image(ax: Axes, *, alt: str, caption: str = "", title: str = "", width_px: int = 520) -> Picture:
    """Encode axes that fill their figure as WebP."""
    from PIL import Image

    figure = ax.get_figure(root=True)
    if figure is None:
        msg = "the axes belong to no figure"
        raise ValueError(msg)
    figure.set_dpi(width_px / figure.get_size_inches()[0])
    with context():
        figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
    opaque = bool((pixels[..., 3] == 255).all())
    picture = Image.fromarray(pixels[..., :3] if opaque else pixels)
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=QUALITY, method=2)
    return Picture(_uri("image/webp", out.getvalue()), alt, caption, picture.width, picture.height, title=title)


def chart(draw: Callable[[Theme], Axes], *, alt: str, caption: str = "", title: str = "") -> Picture:
    """Encode a chart as SVG, for light and for dark paper."""
    figure = draw(LIGHT).get_figure(root=True)
    if figure is None:
        msg = "the axes belong to no figure"
        raise ValueError(msg)
    out = io.StringIO()
    with context(LIGHT):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    # The page's own fonts: text stays text, sharp at any size.
    light = re.sub(r"'DejaVu Sans'(, [^;\"]*)?", _FONTS, out.getvalue())
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    sources = [_uri("image/svg+xml", svg.encode("utf-8")) for svg in (light, _darkened(light))]
    return Picture(sources[0], alt, caption, width, height, dark=sources[1], title=title)


def _darkened(svg: str) -> str:
    """Exchange the colours of the light theme for those of the dark one: the same chart without drawing it twice."""
    swap = {getattr(LIGHT, f.name).lower(): getattr(DARK, f.name) for f in fields(Theme)}
    return re.sub(r"#[0-9a-fA-F]{6}\b", lambda found: swap.get(found[0].lower(), found[0]), svg)


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
