"""How a cut slab or a scanned specimen agrees with its plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from comould.errors import InputError
from comould.pl.panels import panels
from comould.pl.style import LIGHT, VERDICTS, context
from comould.space import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLANNED_COLOUR = "#b9c4cd"


class Agreement(Protocol):
    """What slabs and scans have in common."""

    @property
    def hd95_mm(self) -> float:
        """95th percentile of the distances."""
        ...

    @property
    def sat_well(self) -> bool:
        """Whether it lay as planned."""
        ...

    def sentence(self) -> str:
        """Say the verdict in words; after a semicolon, what cannot be excluded."""
        ...


class SlabFitLike(Agreement, Protocol):
    """One slab's fit, with its outlines on the plane: u right and v down, mm."""

    @property
    def plane_id(self) -> str:
        """Which plane."""
        ...

    @property
    def dice(self) -> float:
        """Overlap."""
        ...

    @property
    def size_ratio(self) -> float:
        """Linear size over the planned one."""
        ...

    @property
    def planned(self) -> list[FloatArray]:
        """Outlines planned."""
        ...

    @property
    def laid(self) -> list[FloatArray]:
        """Outlines found."""
        ...


class ScanFitLike(Agreement, Protocol):
    """A scan's fit, with cuts through its middle, mm."""

    @property
    def size_ratio(self) -> float | None:
        """Linear size over the planned one."""
        ...

    @property
    def sections(self) -> dict[str, tuple[list[FloatArray], list[FloatArray]]]:
        """Outlines planned and found by name of the cut's axes."""
        ...


def fit(
    slabs: Sequence[SlabFitLike] = (),
    scan: ScanFitLike | None = None,
    *,
    columns: int = 3,
    ax: Axes | None = None,
) -> Figure | Axes:
    """Draw what was found over what was planned.

    Parameters
    ----------
    slabs
        Fits of slabs, one panel each, seen along the normal as imaged.
    scan
        A scan's fit: two panels, cuts across the mould's x and y with the insertion opening up.
    columns
        Panels in a row.
    ax
        Axes to draw into; a new figure when ``None``.

    Returns
    -------
    Figure or Axes
        What was drawn into.

    Raises
    ------
    InputError
        If there is nothing to draw.
    """
    views = list(scan.sections.items()) if scan is not None else []
    count = len(slabs) + len(views)
    if not count:
        raise InputError(subject="fit figure", expected="a slab or a scan", found="neither")
    with context():
        host, made = panels(ax, count, columns=columns, size_in=(3.1, 3.3), plate=False)
        for panel, slab in zip(made, slabs, strict=False):
            facts = f"Dice {slab.dice:.2f}   HD95 {slab.hd95_mm:.1f} mm   size {slab.size_ratio:.0%}"
            _panel(panel, slab.planned, slab.laid, down=True)
            _words(panel, slab.plane_id, slab, facts)
        for panel, (name, (planned, found)) in zip(made[len(slabs) :], views, strict=True):
            _panel(panel, planned, found, down=False)
            if scan is not None:
                size = "" if scan.size_ratio is None else f"   size {scan.size_ratio:.0%}"
                _words(panel, "Scan", scan, f"cut in {name}   HD95 {scan.hd95_mm:.1f} mm{size}")
        _key(made[0])
    return host


def _panel(ax: Axes, planned: list[FloatArray], found: list[FloatArray], *, down: bool) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    if planned:
        shape = Outline.make_compound_path(*[Outline(line) for line in planned])
        ax.add_patch(PathPatch(shape, facecolor=PLANNED_COLOUR, alpha=0.45, edgecolor=LIGHT.muted, lw=0.8))
    for line in found:
        ax.plot(line[:, 0], line[:, 1], color=LIGHT.accent, lw=1.6, solid_joinstyle="round")
    points = np.concatenate([*planned, *found])
    low, high = points.min(axis=0), points.max(axis=0)
    half = 0.5 * float((high - low).max()) * 1.12
    middle = 0.5 * (low + high)
    bottom, top = middle[1] - half, middle[1] + 0.9 * half
    ax.set_xlim(middle[0] - half, middle[0] + half)
    ax.set_ylim(*((middle[1] + half, middle[1] - 0.9 * half) if down else (bottom, top)))
    ax.set_aspect("equal")
    ax.set_axis_off()
    _bar(ax, half)


def _bar(ax: Axes, half: float) -> None:
    """Draw a scale bar at the lower right."""
    length = max(n for n in (1, 2, 5, 10, 20, 50) if n <= max(0.7 * half, 1.0))
    right, y = ax.get_xlim()[1], ax.get_ylim()[0]
    ax.plot([right - length, right], [y, y], color=LIGHT.ink, lw=2.0, solid_capstyle="butt", clip_on=False)
    ax.annotate(
        f"{length} mm",
        (right - 0.5 * length, y),
        (0, 4),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=7.5,
    )


def _words(ax: Axes, name: str, fit: Agreement, facts: str) -> None:
    import textwrap

    verdict, _, doubt = fit.sentence().partition("; ")
    colour = VERDICTS["reject" if not fit.sat_well else "review" if doubt else "accept"]
    lines = [facts, *textwrap.wrap(doubt, 52)]
    ax.set_title(f"{name}: {verdict}", color=colour, fontsize=9.5, pad=6 + 11 * len(lines), parse_math=False)
    ax.annotate(
        "\n".join(lines),
        (0.0, 1.0),
        (0, 3),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=8,
        color=LIGHT.muted,
    )


def _key(ax: Axes) -> None:
    ax.annotate(
        "planned", (0.0, 0.0), (0, -2), xycoords="axes fraction", textcoords="offset points", fontsize=8, va="top",
        color=LIGHT.muted,
    )  # fmt: skip
    ax.annotate(
        "found", (0.0, 0.0), (46, -2), xycoords="axes fraction", textcoords="offset points", fontsize=8, va="top",
        color=LIGHT.accent,
    )  # fmt: skip
