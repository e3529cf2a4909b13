"""Maps that could have been: one interface, several ways to make them, each with a check of its own fit."""

from __future__ import annotations

from comould.associate.nulls.labels import LabelFit, LabelSurrogates, make_label_null
from comould.associate.nulls.make import KINDS, make_null, pairs_of
from comould.associate.nulls.record import Kind, NullFit, Surrogates

__all__ = [
    "KINDS",
    "Kind",
    "LabelFit",
    "LabelSurrogates",
    "NullFit",
    "Surrogates",
    "make_label_null",
    "make_null",
    "pairs_of",
]
