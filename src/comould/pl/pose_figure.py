"""Why the specimen lies the way it does: cost against the direction that faces up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import InputError
from comould.pl.style import LIGHT, Theme, context, one_axes
from comould.space import FloatArray, anatomical_letter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WORDS = {"R": "right", "L": "left", "A": "anterior", "P": "posterior", "S": "superior", "I": "inferior"}
LEAST = "least cost"
"""What a pose's record says when nothing else was asked for."""
_NEEDED = ("angle_deg", "cost", "loose_percent", "undercut_percent", "up_patient")


def pose(mould: Any, *, theme: Theme = LIGHT, ax: Axes | None = None) -> Axes:
    """Plot the cost of every way to lay the specimen in, and mark the one chosen.

    Parameters
    ----------
    mould
        A mould, its manifest, the manifest's ``pose``, or a :class:`~comould.mould.pose.Pose`.
    theme
        Colours of the paper.
    ax
        Axes to draw into; new ones when ``None``.

    Returns
    -------
    Axes
        Angle of the direction that faces up against cost in points. Below the curve, in percent of the specimen, the
        part of it no mould wall can hold, and the part of that under overhangs.

    Raises
    ------
    InputError
        If there is no record of the angles tried.

    Examples
    --------
    >>> cm.pl.pose(cm.mould.build(seg)).figure.savefig("pose.png")  # doctest: +SKIP
    """
    record = _record(mould)
    tried = sorted(record["tried"], key=lambda seat: seat["angle_deg"])
    angle, cost, loose, undercut = (_closed(tried, name) for name in _NEEDED[:4])
    chosen = next(seat for seat in tried if seat["angle_deg"] == record["angle_deg"])
    with context(theme):
        ax = one_axes(ax, 4.8, 2.9)
        ax.fill_between(angle, loose, color=theme.grid, lw=0, label="loose, %", gid="pose-loose")
        ax.fill_between(angle, undercut, color=theme.faint, lw=0, label="undercut, %", gid="pose-undercut")
        (line,) = ax.plot(angle, cost, color=theme.accent, lw=1.8, label="cost, points", gid="pose-cost")
        at, points = float(chosen["angle_deg"]), float(chosen["cost"])
        ax.vlines(at, 0.0, points, color=theme.contrast, lw=1.2, ls=(0, (3, 2)))
        ax.plot([at], [points], "o", ms=8, color=theme.contrast, gid="pose-chosen", clip_on=False, zorder=5)
        ax.set_title(_headline(record, chosen, tried))
        _name_directions(ax, tried)
        ax.set_xlim(0.0, 360.0)
        ax.set_ylim(0.0, 1.28 * float(cost.max()))
        ax.set_ylabel("points ≈ % of the specimen")
        ax.set_xlabel("direction that faces up, clockwise in the picture")
        filled = ax.collections[:2]
        ax.legend(
            [line, *filled],
            [str(part.get_label()) for part in (line, *filled)],
            loc="upper left",
            ncols=3,
            columnspacing=1.2,
            handlelength=1.4,
            borderaxespad=0.1,
        )
    return ax


def _record(mould: Any) -> Mapping[str, Any]:
    """Find the pose's record in whatever was given."""
    data = mould
    if not isinstance(data, Mapping):
        data = mould.report if hasattr(mould, "report") else mould.to_dict() if hasattr(mould, "to_dict") else {}
    data = data.get("pose", data)
    tried = data.get("tried") or ()
    missing = [name for name in _NEEDED if not all(name in seat for seat in tried)]
    if not tried or missing or not any(seat["angle_deg"] == data.get("angle_deg") for seat in tried):
        raise InputError(
            subject="pose",
            expected="a mould, or its manifest, with the cost of every angle tried",
            found=f"angles without {', '.join(missing)}" if missing else "no angles, or not the chosen one",
            remedy="Build the mould again",
        )
    return data


def _closed(tried: list[Mapping[str, Any]], name: str) -> FloatArray:
    """Values round the circle, the first one once more at its end."""
    values = [float(seat[name]) for seat in tried]
    return np.array([*values, values[0] + 360.0 if name == "angle_deg" else values[0]])


def _headline(record: Mapping[str, Any], chosen: Mapping[str, Any], tried: list[Mapping[str, Any]]) -> str:
    """Say what was chosen, and what would have cost least when something else was asked for."""
    word = _WORDS[anatomical_letter(chosen["up_patient"])]
    asked = record.get("chosen_by", LEAST) != LEAST
    text = f"{chosen['angle_deg']:g}° {'as asked' if asked else 'chosen'}: {word} up, {chosen['cost']:.0f} points"
    least = min(tried, key=lambda seat: float(seat["cost"]))
    if asked and least["cost"] < chosen["cost"] - 0.5:
        text += f" (least: {least['cost']:.0f} at {least['angle_deg']:g}°)"
    return text


def _name_directions(ax: Axes, tried: list[Mapping[str, Any]]) -> None:
    """Write the patient directions at the right angles."""
    ticks, labels = [], []
    for seat in tried:
        if seat["angle_deg"] % 90.0 == 0.0:
            ticks.append(float(seat["angle_deg"]))
            labels.append(f"{anatomical_letter(seat['up_patient'])}\n{seat['angle_deg']:g}°")
    if ticks and ticks[0] == 0.0:
        ticks.append(360.0)
        labels.append(labels[0].split("\n")[0] + "\n360°")
    ax.set_xticks(ticks, labels=labels)
