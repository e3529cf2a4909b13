"""How well surrogate maps imitate each habitat: variograms side by side, with the doubts a null has of itself."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import InputError
from comould.pl.associations_figure import habitat_number
from comould.pl.panels import panels
from comould.pl.style import LIGHT, Theme, context, habitat_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WRAP = 38


def null_fit(nulls: Mapping[str, Any], *, theme: Theme = LIGHT, ax: Axes | None = None) -> Figure | Axes:
    """Plot each habitat's variogram against that of its surrogates, one panel a habitat.

    Parameters
    ----------
    nulls
        Habitat to :class:`comould.associate.NullFit`, or to its record: ``table.attrs["nulls"]`` of
        :func:`comould.associate.test`.
    theme
        Colours of the paper.
    ax
        Axes to divide; a new figure when ``None``.

    Returns
    -------
    Figure or Axes
        The figure made, or the axes given: mm against variance, 1 being the mean over all pairs. Doubts and refusals
        stand below the curves.

    Raises
    ------
    InputError
        If there is no null.
    """
    records = {name: fact if isinstance(fact, Mapping) else fact.to_dict() for name, fact in nulls.items()}
    if not records:
        raise InputError(subject="nulls", expected="a habitat that was tested or more", found="none")
    lines = max(len(_remarks(record)) for record in records.values())
    with context(theme):
        host, places = panels(
            ax, len(records), columns=2 if len(records) in {2, 4} else 3, size_in=(2.7, 2.3 + 0.17 * lines), plate=False
        )
        for place, (name, record) in zip(places, records.items(), strict=True):
            _panel(place, name, record, theme, lines)
        places[0].legend(loc="lower right", handlelength=1.4)
    return host


def _panel(ax: Axes, name: str, record: Mapping[str, Any], theme: Theme, lines: int) -> None:
    lags, observed, imitated = (
        np.asarray(record.get(key, ()), dtype=np.float64) for key in ("lags_mm", "observed", "imitated")
    )
    ax.set_title(name, parse_math=False)
    ax.grid(axis="y")
    if len(lags) and len(observed) == len(lags):
        colour = habitat_colour(habitat_number(name))
        ax.axhline(1, color=theme.faint, lw=1.0)
        ax.plot(lags, observed, "o", ms=5.5, color=colour, mec=theme.ink, mew=0.6, label="habitat", gid="observed")
        if len(imitated) == len(lags):
            ax.plot(lags, imitated, color=theme.ink, lw=1.8, label="surrogates", gid="imitated")
        ax.set_ylim(0, None)
        ax.set_xlim(0, None)
    ax.set_xlabel("distance, mm")
    ax.set_ylabel("variogram")
    remarks = _remarks(record)
    ax.annotate(
        "\n".join([*remarks, *[""] * (lines - len(remarks))]), (0.0, 0.0), xycoords="axes fraction", xytext=(0, -36),
        textcoords="offset points", va="top", fontsize=7.8, parse_math=False,
        color=theme.contrast if _clauses(record) else theme.muted,
    )  # fmt: skip


def _clauses(record: Mapping[str, Any]) -> list[str]:
    """List what speaks against a null, the refusal first."""
    refusal = str(record.get("refusal", ""))
    return [refusal] * bool(refusal) + [str(doubt) for doubt in record.get("doubts", ())]


def _remarks(record: Mapping[str, Any]) -> list[str]:
    """Doubts and refusal in short lines; how good the fit is where there is neither."""
    distance = float(record.get("variogram_distance") or 0)
    clauses = _clauses(record) or [f"no doubt; variogram distance {distance:.2f}"]
    return [line for clause in clauses for line in textwrap.wrap(clause, _WRAP)]
