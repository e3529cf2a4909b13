"""How well the baseline does: discrimination, calibration, and each centre when it was held out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from comould.errors import InputError
from comould.pl.style import LIGHT, Theme, context, habitat_colour, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from comould.baseline import Evaluation

_WORDS = {"auc": "AUC", "r2": "R²"}
_MOST = 8


def baseline(evaluations: Evaluation | Mapping[str, Evaluation], *, theme: Theme = LIGHT) -> Figure:
    """Plot evaluations beside one another.

    Parameters
    ----------
    evaluations
        Of :func:`comould.baseline.evaluate`: one, or name to evaluation, all of one outcome.
    theme
        Colours of the paper.

    Returns
    -------
    Figure
        Left: ROC curve, averaged over folds, whose area is the AUC written beside it (of a number: observed against
        predicted). Middle: calibration in groups of like predictions. Right: a forest of the measure with intervals,
        patients held out in folds, within centres, then each centre held out.

    Raises
    ------
    InputError
        If there is none, more than eight, or their outcomes differ in kind.
    """
    named = dict(evaluations) if isinstance(evaluations, Mapping) else {"features": evaluations}
    if not 1 <= len(named) <= _MOST or len({one.headline for one in named.values()}) != 1:
        raise InputError(
            subject="baseline figure", expected=f"1 to {_MOST} evaluations of one outcome", found=str(len(named))
        )
    colours = {name: habitat_colour(6 + number) if number else theme.accent for number, name in enumerate(named)}
    rows = max(len(_rows(one)) for one in named.values()) * len(named)
    with context(theme):
        figure = new_figure(11.0, max(3.6, 1.2 + 0.24 * rows))
        first, second, third = figure.subplots(1, 3, width_ratios=(1.0, 1.0, 1.25))
        binary = next(iter(named.values())).predictions.data.binary
        for name, one in named.items():
            (_roc if binary else _scatter)(first, name, one, colours[name])
            _calibration(second, one, colours[name])
        _finish_square(first, theme, binary=binary)
        _finish_calibration(second, theme)
        _forest(third, named, colours, theme)
    return figure


def _said(one: Evaluation) -> str:
    row = one.metrics.set_index("metric").loc[one.headline]
    return f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]".replace("-", "−")


def _roc(ax: Axes, name: str, one: Evaluation, colour: str) -> None:
    from comould.baseline.curves import roc_curve

    false, true = roc_curve(one.predictions)
    ax.plot(false, true, color=colour, lw=1.8, label=f"{name}\n{_WORDS[one.headline]} {_said(one)}", gid="roc")


def _scatter(ax: Axes, name: str, one: Evaluation, colour: str) -> None:
    found = one.predictions
    ax.plot(
        np.nanmean(found.predicted, axis=0), found.data.outcome, "o", ms=3.5, alpha=0.6, mew=0, color=colour,
        label=f"{name}\n{_WORDS[one.headline]} {_said(one)}", gid="patients",
    )  # fmt: skip


def _calibration(ax: Axes, one: Evaluation, colour: str) -> None:
    from comould.baseline.curves import calibration_curve

    curve = calibration_curve(one.predictions)
    ax.plot(curve.predicted, curve.observed, "o-", ms=5, lw=1.2, color=colour, gid="calibration")


def _finish_square(ax: Axes, theme: Theme, *, binary: bool) -> None:
    if binary:
        ax.plot([0, 1], [0, 1], color=theme.faint, lw=1.0, ls="--", zorder=0)
        ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        ax.set_xlabel("false-positive rate")
        ax.set_ylabel("true-positive rate")
        ax.set_title("Patients held out in folds")
        ax.legend(loc="lower right")
    else:
        _diagonal(ax, theme)
        ax.set_xlabel("predicted (mean of repeats)")
        ax.set_ylabel("observed")
        ax.set_title("Patients held out in folds")
        ax.legend(loc="upper left")


def _finish_calibration(ax: Axes, theme: Theme) -> None:
    _diagonal(ax, theme)
    ax.set_xlabel("predicted, groups of like predictions")
    ax.set_ylabel("observed")
    ax.set_title("Calibration")


def _diagonal(ax: Axes, theme: Theme) -> None:
    low, high = min(ax.get_xlim()[0], ax.get_ylim()[0]), max(ax.get_xlim()[1], ax.get_ylim()[1])
    ax.plot([low, high], [low, high], color=theme.faint, lw=1.0, ls="--", zorder=0)
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")


def _rows(one: Evaluation) -> list[tuple[str, float, float, float]]:
    """Label, value and interval, from the top."""
    measured = {str(row["metric"]): row for row in one.metrics.to_dict("records")}
    lines = [("all, in folds", measured[one.headline])]
    if within := measured.get(f"{one.headline}_within_centres"):
        lines.append(("within centres", within))
    lines += [
        ("all held out" if row["centre"] == "all" else f"{row['centre']} held out (n {row['n_rows']})", row)
        for row in one.centres.to_dict("records")
    ]
    return [(label, float(row["value"]), float(row["low"]), float(row["high"])) for label, row in lines]


def _forest(ax: Axes, named: Mapping[str, Evaluation], colours: Mapping[str, str], theme: Theme) -> None:
    labels: dict[str, None] = {}
    for one in named.values():
        labels |= dict.fromkeys(label for label, *_ in _rows(one))
    places = {label: float(number) for number, label in enumerate(labels)}
    step = 0.6 / len(named)
    for number, (name, one) in enumerate(named.items()):
        for label, value, low, high in _rows(one):
            if not np.isfinite(value):
                continue
            y = places[label] + step * (number - (len(named) - 1) / 2)
            if np.isfinite(low):
                ax.plot([low, high], [y, y], color=colours[name], lw=1.6, solid_capstyle="butt")
            ax.plot([value], [y], "s", ms=5.5, color=colours[name], gid="estimate")
    kind = next(iter(named.values())).headline
    ax.axvline(0.5 if kind == "auc" else 0.0, color=theme.muted, lw=1.0, ls="--", zorder=0, gid="chance")
    ax.set_yticks(list(places.values()), labels=list(places), parse_math=False)
    ax.set_ylim(len(places) - 0.4, -0.6)
    if kind == "r2":
        # A centre that is predicted far worse than by its mean would leave no room for the others.
        ax.set_xlim(left=max(ax.get_xlim()[0], -1.0), right=1.0)
    ax.grid(axis="x")
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(f"{_WORDS[kind]} with interval over patients (dashed: chance)")
    ax.set_title("By centre")
