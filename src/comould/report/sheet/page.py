"""A page of paper to draw on: millimetres from its upper left corner, everything vector but photographs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould.pl.style import new_figure
from comould.report.sheet.layout import FOOTER, MARGIN, Box, Size
from comould.space import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path

INK = "#101418"
MUTED = "#55606a"
FAINT = "#b8c0c7"
BAR_MM = 50.0
PT_MM = 25.4 / 72.0


class Page:
    """One page; ``x`` runs right and ``y`` down, mm.

    Parameters
    ----------
    size
        Width and height.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        self.figure: Figure = new_figure(size[0] / 25.4, size[1] / 25.4, layout=None)
        self.figure.set_dpi(200)
        self.ax = self._axes(Box(0.0, 0.0, *size), Box(0.0, 0.0, *size))

    def _axes(self, at: Box, data: Box) -> Axes:
        width, height = self.size
        ax = self.figure.add_axes((at.x / width, 1.0 - at.bottom / height, at.width / width, at.height / height))
        ax.set_xlim(data.x, data.right)
        ax.set_ylim(data.bottom, data.y)
        ax.set_axis_off()
        ax.set_autoscale_on(False)
        return ax

    def inset(self, at: Box) -> Axes:
        """Make empty axes on a part of the page, for a picture that is not to scale."""
        return self._axes(at, Box(0.0, 0.0, 1.0, 1.0))

    def text(self, x: float, y: float, text: str, size: float = 9.0, **look: Any) -> None:
        """Write one line; ``size`` in points. Left and on the base line unless told otherwise; no mathtext."""
        style: dict[str, Any] = {"color": INK, "ha": "left", "va": "baseline"} | look
        made = self.ax.text(x, y, legible(text), fontsize=size, parse_math=False, **style)
        if hasattr(made, "set_fontfeatures"):  # Matplotlib 3.11: without ligatures the text can be searched.
            made.set_fontfeatures(("-liga",))

    def line(self, points: npt.ArrayLike, width: float = 0.7, colour: str = INK, **look: Any) -> None:
        """Draw a polyline ``(n, 2)``; ``width`` in points."""
        from matplotlib.lines import Line2D

        xy = np.asarray(points, dtype=np.float64)
        style: dict[str, Any] = {"solid_capstyle": "butt", "solid_joinstyle": "round"} | look
        self.ax.add_artist(Line2D(xy[:, 0], xy[:, 1], color=colour, lw=width, **style))

    def rect(self, box: Box, *, fill: str = "none", edge: str = INK, width: float = 0.7, **look: Any) -> None:
        """Draw a rectangle."""
        from matplotlib.patches import Rectangle

        patch = Rectangle((box.x, box.y), box.width, box.height, facecolor=fill, edgecolor=edge, lw=width, **look)
        self.ax.add_artist(patch)

    def circle(self, x: float, y: float, radius: float, *, width: float, colour: str, clip: Box | None = None) -> None:
        """Draw a circle's line."""
        from matplotlib.patches import Circle

        patch = Circle((x, y), radius, fill=False, edgecolor=colour, lw=width)
        self.ax.add_artist(patch)
        self._clip(patch, clip)

    def shape(
        self,
        rings: Sequence[FloatArray],
        *,
        edge: Any = INK,
        fill: Any = "none",
        width: float = 0.8,
        clip: Box | None = None,
        dashed: bool = False,
    ) -> None:
        """Draw closed rings ``(n, 2)`` as one shape; rings that run the other way round are holes."""
        from matplotlib.patches import PathPatch

        if rings:
            style = (0, (4.0, 2.5)) if dashed else "solid"
            patch = PathPatch(path_of(rings), facecolor=fill, edgecolor=edge, lw=width, ls=style, joinstyle="round")
            self.ax.add_artist(patch)
            self._clip(patch, clip)

    def picture(self, grey: FloatArray, box: Box, clip: Box | None = None) -> None:
        """Place a grey picture (0 to 1, row 0 on top) so that its outer pixel edges lie exactly on the box."""
        # "none" keeps the pixels as they are and the box exact; anything else is resampled to whole device pixels.
        drawn = self.ax.imshow(
            grey,
            cmap="gray",
            vmin=0.0,
            vmax=1.0,
            extent=(box.x, box.right, box.bottom, box.y),
            origin="upper",
            interpolation="none",
            aspect="auto",
        )
        self._clip(drawn, clip)

    def _clip(self, artist: Any, clip: Box | None) -> None:
        from matplotlib.patches import Rectangle

        if clip is not None:
            artist.set_clip_path(Rectangle((clip.x, clip.y), clip.width, clip.height, transform=self.ax.transData))

    def tick(self, x: float, y: float, label: str, size: float = 10.0, box_mm: float = 4.5) -> None:
        """Draw a box to tick, with what it stands for; ``y`` is the text's base line."""
        self.rect(Box(x, y - 0.82 * box_mm, box_mm, box_mm), width=1.0)
        self.text(x + box_mm + 2.0, y, label, size)

    def blank(self, x: float, y: float, label: str, to: float, size: float = 9.0) -> None:
        """Write a label and a line to write on, up to ``to``."""
        self.text(x, y, label, size, color=MUTED)
        self.line([(x + len(label) * size * 0.60 * PT_MM + 2.0, y + 0.6), (to, y + 0.6)], 0.5, MUTED)


def legible(text: str) -> str:
    """Replace what the font has no sign for by a question mark; white space becomes single blanks."""
    text = " ".join(text.split())
    return text if text.isascii() else "".join(sign if ord(sign) in _signs() else "?" for sign in text)


@lru_cache(maxsize=1)
def _signs() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def path_of(rings: Sequence[FloatArray]) -> Path:
    """Join rings ``(n, 2)``, each with its first point repeated at the end, to one path."""
    from matplotlib.path import Path

    codes = []
    for ring in rings:
        code = np.full(len(ring), Path.LINETO, dtype=np.uint8)
        code[0], code[-1] = Path.MOVETO, Path.CLOSEPOLY
        codes.append(code)
    return Path(np.vstack(rings), np.concatenate(codes))


def bars(page: Page, x: float, y: float) -> None:
    """Draw a lying and a standing bar from a common corner, each exactly 50 mm from outer edge to outer edge."""
    half = 0.5 * 1.2 * PT_MM
    for across, down in ((1.0, 0.0), (0.0, -1.0)):
        # Lines are drawn inside the corner, end marks inside the length: a ruler laid on finds 50, not 50.4.
        start = x - down * half, y - across * half
        page.line([start, (start[0] + across * BAR_MM, start[1] + down * BAR_MM)], 1.2)
        for mm in range(0, 51, 10):
            ends = mm in {0, 50}
            width = 0.8 if ends else 0.5
            inside = {0: 0.5, 50: -0.5}.get(mm, 0.0) * width * PT_MM
            at = start[0] + across * (mm + inside), start[1] + down * (mm + inside)
            long = 2.6 if ends else 1.4
            page.line([at, (at[0] - down * long, at[1] - across * long)], width)
    page.text(x + 0.5 * BAR_MM, y + 3.6, "50 mm", 8.0, ha="center", weight="bold")
    page.text(x - 1.6, y - 0.5 * BAR_MM, "50 mm", 8.0, ha="right", va="center", rotation=90, weight="bold")


def footer(page: Page, left: str, right: str) -> None:
    """Write the line at the foot of every page."""
    width, height = page.size
    y = height - MARGIN
    page.line([(MARGIN, y - FOOTER + 1.6), (width - MARGIN, y - FOOTER + 1.6)], 0.4, FAINT)
    page.text(MARGIN, y, left, 7.0, color=MUTED)
    page.text(width - MARGIN, y, right, 7.0, color=MUTED, ha="right")
