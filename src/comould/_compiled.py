"""Compiling of loops, once for the whole package. Imports numba: only from modules that load when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile with a cache on disk, or without where no place for one can be written."""
    try:
        return numba.njit(cache=True, nogil=True, boundscheck=False)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # numba: "no locator available"
        return numba.njit(nogil=True, boundscheck=False)(function)  # type: ignore[no-any-return]
