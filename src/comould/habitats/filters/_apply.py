"""Filters by name, and images with their response maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from comould.errors import InputError
from comould.habitats.filters._base import Filter
from comould.habitats.filters.fourier import Riesz, Simoncelli
from comould.habitats.filters.gabor import Gabor
from comould.habitats.filters.separable import LaplacianOfGaussian, Laws, Mean, Wavelet
from comould.habitats.inputs import named_images

if TYPE_CHECKING:
    import SimpleITK as sitk

KINDS: dict[str, type[Filter]] = {
    "mean": Mean,
    "log": LaplacianOfGaussian,
    "laws": Laws,
    "gabor": Gabor,
    "wavelet": Wavelet,
    "simoncelli": Simoncelli,
    "riesz": Riesz,
}


def parse(text: str) -> Filter:
    """Make a filter from words, for command lines and settings files.

    Parameters
    ----------
    text
        Kind, a colon, and settings by name or in their order: ``"log:3"``, ``"laws:E5L5S5,pooling=max"``,
        ``"riesz:1-0-0 of log:sigma_mm=3,boundary=zero"``.

    Raises
    ------
    InputError
        For an unknown kind or setting, and settings out of range.

    Examples
    --------
    >>> parse("gabor:5,2,pooling=mean,theta_step_deg=45").name
    'gabor_5mm_2mm_mean'
    """
    first, _, inner = text.partition(" of ")
    kind, _, rest = first.strip().partition(":")
    if kind.lower() not in KINDS:
        raise InputError(subject=f"filter {text!r}", expected=f"one of {', '.join(KINDS)}", found=repr(kind))
    maker = KINDS[kind.lower()]
    settings = _settings(maker, rest, text)
    if inner.strip():
        if maker is not Riesz:
            raise InputError(subject=f"filter {text!r}", expected="riesz before 'of'", found=repr(kind))
        of = parse(inner)
        settings = {"of": of, "boundary": of.boundary, "dimension": of.dimension} | settings
    missing = [
        f.name
        for f in fields(maker)
        if f.default is MISSING and f.default_factory is MISSING and f.name not in settings
    ]
    if missing:
        raise InputError(subject=f"filter {text!r}", expected=", ".join(missing), found="none")
    return maker(**settings)


def filtered(
    images: Mapping[str, sitk.Image] | Sequence[sitk.Image],
    filters: Sequence[Filter | str],
    mask: sitk.Image | None = None,
    *,
    keep: bool = True,
) -> dict[str, sitk.Image]:
    """Give images together with their response maps, as input to :func:`comould.habitats.feature_maps` and ``fit``.

    Parameters
    ----------
    images
        Scalar 3-D images by name, or a list.
    filters
        Filters, or words as for :func:`parse`.
    mask
        Where the responses are wanted; saves time.
    keep
        Keep the images themselves.

    Returns
    -------
    dict
        Name → image; a response is called ``"T2.log_3mm"``.

    Raises
    ------
    InputError
        If no filter is given, two make maps of the same name, and all that filters refuse.
    """
    named = named_images(images)
    made = [parse(one) if isinstance(one, str) else one for one in filters]
    if not made:
        raise InputError(subject="filters", expected="at least one", found="none")
    result = dict(named) if keep else {}
    for name, image in named.items():
        for one in made:
            key = f"{name}.{one.name}"
            if key in result:
                raise InputError(
                    subject=f"response map {key!r}",
                    expected="one filter of that name",
                    found="two",
                    remedy="Filter with one setting at a time",
                )
            result[key] = one(image, mask)
    return result


def _settings(maker: type[Filter], rest: str, text: str) -> dict[str, Any]:
    # The settings every filter has come first among the fields, but only by name.
    common = {f.name for f in fields(Filter)}
    order = [f.name for f in fields(maker) if f.name not in common]
    known = {f.name for f in fields(maker)}
    settings: dict[str, Any] = {}
    for place, part in enumerate(p.strip() for p in rest.split(",") if p.strip()):
        name, equals, value = part.partition("=")
        if not equals:
            name, value = (order[place], part) if place < len(order) else (part, "")
        if name not in known or name == "of" or not value:
            raise InputError(subject=f"filter {text!r}", expected=f"settings {', '.join(order)}", found=repr(part))
        settings[name] = tuple(int(v) for v in value.split("-") if v.isdigit()) if name == "order" else _value(value)
    return settings


def _value(text: str) -> int | float | str | None:
    if text.lower() == "none":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
