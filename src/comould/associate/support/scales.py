"""The same test at several scales, to see whether what is found at single spots holds for a millimetre of tissue."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from comould.associate.claims.claims import test
from comould.associate.claims.options import ClaimOptions
from comould.associate.support.aggregate import aggregate
from comould.associate.support.sample import sample
from comould.errors import ComouldWarning, InputError

if TYPE_CHECKING:
    from anndata import AnnData

_OPTIONS = {field.name: field.default for field in fields(ClaimOptions)}


def scales(
    adata: AnnData,
    habitats: Any,
    sizes_mm: Sequence[float] = (0.0, 0.5, 1.0, 2.0),
    *,
    shape: Literal["squares", "hexagons"] = "hexagons",
    **options: Any,
) -> pd.DataFrame:
    """Test habitats at single spots and at sums of spots, of several sizes, in one table.

    Real agreement of habitat and gene grows or stays when noise is averaged away; what chance offers grows as well,
    for fewer places are left, and each size has surrogates of its own.

    Parameters
    ----------
    adata
        Spots with raw counts and patient positions; left as it is.
    habitats
        As in :func:`~comould.associate.sample`; sampled anew at the mean position of each place.
    sizes_mm
        Sizes of the places, as in :func:`~comould.associate.aggregate`; 0 for the spots themselves.
    shape
        Of the places.
    **options
        As in :func:`~comould.associate.test`: ``genesets``, ``null``, ``n_surrogates``, ``seed``, ``positions``, …

    Returns
    -------
    pandas.DataFrame
        The tables of :func:`~comould.associate.test`, one under the other, with ``scale_mm`` and ``n_places`` (spots or
        sums of spots that were tested) in front.

    Warns
    -----
    ComouldWarning
        If a size leaves too few places to test; it has no rows.

    Raises
    ------
    InputError
        If a size is negative or not finite, none is given, or no size could be tested.

    Notes
    -----
    Sizes are looked at side by side, not chosen among: the smallest p-value over sizes is no p-value.
    """
    sizes = [float(size) for size in sizes_mm]
    if not sizes or not np.isfinite(sizes).all() or min(sizes) < 0:
        raise InputError(subject="sizes_mm", expected="sizes in mm, from 0", found=f"{sizes}")
    where = {name: options.get(name, _OPTIONS[name]) for name in ("positions", "layer", "section_key")}
    least = 2 * int(options.get("min_spots", _OPTIONS["min_spots"]))
    tables = []
    for size in sizes:
        places = aggregate(adata, shape, size_mm=size, **where) if size else _own(adata)
        sample(places, habitats, positions=where["positions"])
        found = int(places.obs["habitat"].notna().sum())
        if found < least:
            warnings.warn(f"{found} places of {size:g} mm in habitats, {least} needed: not tested", ComouldWarning, 2)
            continue
        # Sums are in X, whatever layer they were taken from.
        table = test(places, "habitat", **{**options, **({"layer": ""} if size else {})})
        table.insert(0, "scale_mm", size)
        table.insert(1, "n_places", int(table.attrs["n_spots"]))
        tables.append(table)
    if not tables:
        raise InputError(
            subject="scales to test", expected=f"one with at least {least} places in habitats", found="none"
        )
    return _joined(tables)


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Put tables under each other; what each was made with stays, by size."""
    attrs: dict[Any, Any] = {f"{table['scale_mm'].iloc[0]:g} mm": dict(table.attrs) for table in tables}
    for table in tables:
        # pandas compares the attributes of what it joins, which arrays among them do not bear.
        table.attrs = {}
    joined = pd.concat(tables, ignore_index=True)
    joined.attrs = attrs
    return joined


def _own(adata: AnnData) -> AnnData:
    """Make a table that shares the counts but not what is written beside them."""
    from anndata import AnnData as Table

    return Table(
        adata.X,
        obs=adata.obs.copy(),
        var=adata.var[[]],
        obsm=dict(adata.obsm),
        layers=dict(adata.layers),
    )
