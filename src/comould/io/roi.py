"""Regions of interest: numbers and names, and the choice of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from comould.errors import InputError


@dataclass(frozen=True, order=True)
class Roi:
    """One region of a segmentation file.

    Parameters
    ----------
    number
        Label value, SEG segment number or RTSTRUCT ROI number. In an NRRD of overlapping layers, where label values
        repeat, the position of the segment in the file, from 1.
    name
        As the file names it; ``label 3`` where it has no names.
    """

    number: int
    name: str


def choose(
    rois: Sequence[Roi], roi: int | str | None, *, subject: str, details: Mapping[int, str] | None = None
) -> Roi:
    """Find the one region that is meant.

    Parameters
    ----------
    rois
        All there are.
    roi
        Number or name; ``None`` when there is only one. A name is compared exactly first, then without regard to case;
        a string of digits that names none is a number.
    subject
        The file, for the message.
    details
        Something to say after a region in the list, by number.

    Returns
    -------
    Roi
        The one.

    Raises
    ------
    InputError
        If it is absent, ambiguous, or none was given and there are several: the message lists them all.
    """
    if not rois:
        raise InputError(
            subject=subject,
            expected="at least one region",
            found="an empty segmentation",
            remedy="Check that the right file was exported, and that the tumour was drawn in it",
        )
    matches = _matches(rois, roi)
    if len(matches) == 1:
        return matches[0]
    listed = ", ".join(
        f"{one.number} {_shown(one.name)}" + (f" ({details[one.number]})" if details and one.number in details else "")
        for one in sorted(rois)
    )
    if roi is None:
        wanted = "one region, or the choice of one"
    else:
        wanted = f"region {roi!r}" + (f" once, not {len(matches)} times" if matches else "")
    raise InputError(
        subject=subject, expected=wanted, found=listed, remedy="Choose by name or number with roi= (--roi)"
    )


def _matches(rois: Sequence[Roi], roi: int | str | None) -> list[Roi]:
    if roi is None:
        return list(rois)
    if isinstance(roi, bool):
        raise InputError(subject="roi", expected="a number or a name", found=repr(roi))
    if isinstance(roi, str):
        wanted = roi.strip()
        for same in (
            [one for one in rois if one.name.strip() == wanted],
            [one for one in rois if one.name.strip().casefold() == wanted.casefold()],
        ):
            if same:
                return same
        if not wanted.isdecimal():
            return []
        roi = int(wanted)
    return [one for one in rois if one.number == int(roi)]


def _shown(name: str) -> str:
    clean = "".join(letter if letter.isprintable() else "?" for letter in name)
    return repr(clean if len(clean) <= 64 else clean[:63] + "…")


def number_or_name(text: str) -> str | int:
    """Take digits for the number of a region, anything else for its name."""
    return int(text) if text.strip().isdecimal() else text
