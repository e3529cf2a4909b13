"""Maps that could have been: one interface, several ways to make them, each with a check of its own fit."""

from __future__ import annotations

from comould.associate.nulls.make import KINDS, Kind, NullFit, Surrogates, make_null, pairs_of

__all__ = ["KINDS", "Kind", "NullFit", "Surrogates", "make_null", "pairs_of"]
