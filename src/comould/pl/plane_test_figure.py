"""Whether a section was cut where it was planned: the likelihood of each offset, and what neighbouring planes score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from comould.errors import InputError
from comould.pl.kinds import PoseLike
from comould.pl.style import LIGHT, Theme, context, one_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEEPEST_NATS = 12.0
"""The curve is drawn down to this much below its best: less likely offsets are as good as excluded."""


def plane_likelihood(pose: PoseLike, *, theme: Theme = LIGHT, ax: Axes | None = None) -> Axes:
    """Plot what the pictures say of each offset of the cut from its planned plane.

    Parameters
    ----------
    pose
        The fitted cut.
    theme
        Colours of the paper.
    ax
        Axes to draw into; a new figure when ``None``.

    Returns
    -------
    Axes
        The log-likelihood relative to its best (the tilt free), the offset found with its standard deviation, and the
        planned plane. What is found also weighs how rarely knives stray, and so may lie nearer to the plan than the
        curve's peak.

    Raises
    ------
    InputError
        If the curve has fewer than two points.
    """
    x, y = (np.asarray(values, dtype=float) for values in (pose.offsets_mm, pose.log_likelihood))
    if len(x) < 2 or len(x) != len(y):
        raise InputError(
            subject="likelihood curve", expected="two offsets or more", found=f"{len(x)} and {len(y)} values"
        )
    with context(theme):
        ax = one_axes(ax, 4.2, 2.9)
        ax.grid(axis="y")
        found, sd = float(pose.offset_mm), float(pose.offset_sd_mm)
        said = f"found {signed(found)} ± {sd:.1f} mm" + ("" if pose.applied else ", not applied")
        ax.axvspan(found - sd, found + sd, color=theme.accent, alpha=0.16, lw=0, gid="sd")
        plan = ax.axvline(0.0, color=theme.muted, lw=1.2, ls=(0, (4, 3)), gid="planned", label="planned")
        mark = ax.axvline(found, color=theme.accent, lw=1.6, gid="found", label=said)
        ax.plot(x, y, color=theme.ink, lw=1.8, marker="o", ms=3.2, gid="likelihood")
        bottom = -min(DEEPEST_NATS, max(1.0, -float(y[np.isfinite(y)].min(initial=0.0))))
        ax.set_ylim(1.08 * bottom, -0.08 * bottom)
        ax.set_xlim(float(x.min()), float(x.max()))
        # Above the axes, where no curve can run through it.
        ax.legend(
            handles=[mark, plan], loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, columnspacing=1.4,
            handlelength=1.6, borderaxespad=0.2, labelcolor=[theme.accent, theme.muted],
        )  # fmt: skip
        ax.set_xlabel("offset of the cut from its plane (mm)")
        ax.set_ylabel("log-likelihood (nats)")
    return ax


def signed(value: float) -> str:
    """Write a length with its sign, nought without one."""
    rounded = round(value, 1)
    return f"{rounded:+.1f}".replace("-", "−") if rounded else "0.0"


def plane_scores(scores: Mapping[str, float], plane_id: str, *, theme: Theme = LIGHT, ax: Axes | None = None) -> Axes:
    """Plot how well a section fits its own plane and those beside it.

    Parameters
    ----------
    scores
        Plane id to score, higher is better, in the order of the plan.
    plane_id
        The section's own plane.
    theme, ax
        As in :func:`plane_likelihood`.

    Returns
    -------
    Axes
        One row a plane; the own one filled, a better one in the contrasting colour.

    Raises
    ------
    InputError
        If no plane was scored.
    """
    if not scores:
        raise InputError(subject="plane scores", expected="at least one plane", found="none")
    with context(theme):
        ax = one_axes(ax, 4.2, max(1.7, 0.38 * len(scores) + 0.85))
        ax.grid(axis="x")
        best = max(scores, key=lambda name: scores[name])
        values = np.array(list(scores.values()), dtype=float)
        room = max(0.02, float(np.ptp(values)))
        for row, (name, value) in enumerate(scores.items()):
            own, other = name == plane_id, name == best != plane_id
            colour = theme.accent if own else theme.contrast if other else theme.muted
            ax.plot([value], [row], "o", ms=8, mec=colour, mfc=colour if own or other else "none", mew=1.5, gid=name)
            said = f"{value:.2f}" + (" · its own" if own else " · fits better" if other else "")
            ax.annotate(
                said, (value, row), xytext=(9, 0), textcoords="offset points", va="center", color=colour, fontsize=8.5,
                fontweight="bold" if own or other else "normal",
            )  # fmt: skip
        ax.set_xlim(float(values.min()) - 0.15 * room, float(values.max()) + 0.85 * room)
        ax.set_ylim(len(scores) - 0.5, -0.5)
        ax.set_yticks(range(len(scores)), labels=list(scores), parse_math=False)
        ax.spines["left"].set_visible(False)
        ax.set_xlabel("score of the search (higher is better)")
    return ax
