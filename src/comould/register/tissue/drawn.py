"""A mask that somebody has drawn, held against what the picture shows."""

from __future__ import annotations

import numpy as np

from comould.errors import RegistrationError
from comould.io.section import Section
from comould.register.tissue.find import tissue_mask

MUCH_BARE = 0.25
"""A drawn mask of which a larger share is bare slide was not drawn on this picture."""

MUCH_LEFT_OUT = 0.25
"""A drawn mask that leaves out a larger share of the tissue is told: it may be meant so."""


def drawn_mask_against_picture(section: Section) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Compare a section's drawn mask with the tissue that is found without it.

    Parameters
    ----------
    section
        Its ``tissue`` was drawn, or not.

    Returns
    -------
    tuple of str, tuple of str
        What makes the mask doubtful (much of it is bare slide), and what is only told (it leaves out much tissue). Both
        empty where no mask was drawn, or where no tissue can be told from the ground.
    """
    if section.tissue is None:
        return (), ()
    try:
        seen = tissue_mask(section.image, subject=f"section {section.id!r}")
    except RegistrationError:
        return (), ()
    bare = 1.0 - float(np.mean(seen[section.tissue]))
    left_out = 1.0 - float(np.mean(section.tissue[seen]))
    doubts = (f"{bare:.0%} of the tissue mask given lies on bare slide",) if bare > MUCH_BARE else ()
    told = (f"the tissue mask given leaves out {left_out:.0%} of the tissue",) if left_out > MUCH_LEFT_OUT else ()
    return doubts, told
