"""Give every spot its place in the patient, with its uncertainty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from comould.errors import InputError
from comould.io.output import plain
from comould.register.points import count_outside, pixel_positions, tell_outside
from comould.register.result import SectionRegistration, refuse_rejected

if TYPE_CHECKING:
    from anndata import AnnData

Registrations = SectionRegistration | Mapping[str, SectionRegistration] | Iterable[SectionRegistration]


def map_spots(
    adata: AnnData,
    registration: Registrations,
    *,
    key_added: str = "spatial_patient",
    copy: bool = False,
    force: bool = False,
    samples: int = 0,
) -> AnnData | None:
    """Map spots to the patient.

    Parameters
    ----------
    adata
        ``obsm["spatial"]`` ``(n, 2)``: x, y in full-resolution px. ``obs["section"]`` names each spot's section; it may
        be absent when there is one registration.
    registration
        Of the one section, or of each (a list, or a mapping from section id).
    key_added
        Name of the positions in ``obsm``.
    copy
        Return a changed copy instead of changing ``adata``.
    force
        Use rejected registrations too, with a warning.
    samples
        How many plausible positions of each spot to write as well.

    Returns
    -------
    AnnData or None
        The copy, if asked for. Written: ``obsm[key_added]`` ``(n, 3)`` patient LPS mm, ``obsm[key_added + "_sd"]``
        ``(n, 3)`` mm, if asked for ``obsm[key_added + "_samples"]`` ``(n, samples, 3)`` mm,
        ``uns["comould"]["registration"]`` (section id to facts, plain JSON types).

    Raises
    ------
    RegistrationError
        If a registration that is needed was rejected, unless forced.
    InputError
        If positions are missing or not finite, all spots of a section lie outside its picture, sections and
        registrations do not match, or an ensemble has fewer members than samples are asked for.

    Warns
    -----
    ComouldWarning
        If some spots lie outside their section's picture (where its extent is known).
    """
    which = _sections_of(adata, found := _by_id(registration))
    points = _positions(adata)
    sections = list(dict.fromkeys(which.tolist()))
    refuse_rejected([found[name] for name in sections], force=force)
    position, sd = np.full((adata.n_obs, 3), np.nan), np.full((adata.n_obs, 3), np.nan)
    plausible = np.full((adata.n_obs, max(samples, 0), 3), np.nan)
    for name in sections:
        # One section's spots need no copy of all of them.
        rows = slice(None) if len(sections) == 1 else which == name
        mine, extent = points[rows], found[name].extent_px
        tell_outside(count_outside(mine, extent), len(mine), extent, f"spots of {name}")
        position[rows], sd[rows] = found[name].map_points(mine)
        if samples:
            plausible[rows] = found[name].plausible_points(mine, samples).transpose(1, 0, 2)
    target = adata.copy() if copy else adata
    target.obsm[key_added], target.obsm[f"{key_added}_sd"] = position, sd
    if samples:
        target.obsm[f"{key_added}_samples"] = plausible
    facts = {name: plain(found[name].summary()) for name in sections}
    # A copy of the inner mapping: the caller's own may be shared with another AnnData.
    known = dict(target.uns.get("comould", {}))
    known["registration"] = {**known.get("registration", {}), **facts}
    target.uns["comould"] = known
    return target if copy else None


def _by_id(registration: Registrations) -> dict[str, SectionRegistration]:
    if isinstance(registration, SectionRegistration):
        return {registration.section_id: registration}
    if isinstance(registration, Mapping):
        wrong = [
            f"{key!r} holds that of {one.section_id!r}" for key, one in registration.items() if key != one.section_id
        ]
        if wrong:
            raise InputError.collect(subject="registrations", problems=wrong)
        return dict(registration)
    listed = list(registration)
    ids = [one.section_id for one in listed]
    if twice := sorted({i for i in ids if ids.count(i) > 1}):
        raise InputError(subject="registrations", expected="one per section", found=f"several of {', '.join(twice)}")
    return {one.section_id: one for one in listed}


def _sections_of(adata: AnnData, found: Mapping[str, SectionRegistration]) -> np.ndarray:
    if not found:
        raise InputError(subject="registrations", expected="at least one", found="none")
    if "section" not in adata.obs:
        if len(found) > 1:
            raise InputError(
                subject="spots", expected='obs["section"] to tell the sections apart', found="no such column"
            )
        return np.full(adata.n_obs, next(iter(found)), dtype=object)
    which = adata.obs["section"].astype(str).to_numpy(dtype=object)
    if missing := sorted(set(which.tolist()) - set(found)):
        raise InputError(
            subject='spots of obs["section"]',
            expected=f"sections with a registration: {', '.join(found)}",
            found=", ".join(missing),
            remedy="Give a registration for each section of the AnnData, or map a subset",
        )
    return np.asarray(which)


def _positions(adata: AnnData) -> np.ndarray:
    if "spatial" not in adata.obsm:
        raise InputError(
            subject="spots",
            expected='obsm["spatial"] (x, y in full-resolution px)',
            found=f"{list(adata.obsm) or 'none'}",
        )
    return pixel_positions(adata.obsm["spatial"], 'obsm["spatial"]', "spots")
