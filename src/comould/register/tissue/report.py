"""What was found on a picture: pieces of tissue, what was taken away, and what should be known before registering."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from comould.register.raster import BoolArray

SIMILAR = 0.25
"""A second piece of at least this share of the largest may be a second specimen, not a fragment."""

MUCH_OF_BORDER = 0.15
"""Tissue along a larger share of the picture's border has probably been cut off by it."""

FULL = 0.9
"""Tissue on more of the picture than this fills it."""

HIDING_INK = 0.15
"""Ink over this share of the tissue's area may hide some of it."""

MARKED_GROUND = 0.15
"""Ground of which a larger share is marked is not empty."""


@dataclass(frozen=True)
class Piece:
    """One connected piece of tissue.

    Parameters
    ----------
    area_px
        In pixels of the picture.
    centre_px
        x, y of its centre of mass.
    box_px
        x, y of its first and x, y past its last pixel.
    """

    area_px: float
    centre_px: tuple[float, float]
    box_px: tuple[int, int, int, int]


@dataclass(frozen=True)
class TissueReport:
    """What was found on a picture.

    Parameters
    ----------
    kind
        ``"brightfield"``, ``"fluorescence"``, ``"photo"``, or ``"given"`` when somebody has drawn the mask.
    pieces
        Largest first; those below 4 % of the largest are specks and not listed.
    fraction
        Share of the picture that is tissue.
    border_fraction
        Share of the picture's border along which tissue lies.
    pen_fraction
        Share of the picture taken away as ink.
    frame_dots
        Number of printed dots (fiducial frame, grid) taken away.
    bubbles
        Number of bubbles taken away.
    contrast
        Middle distance of the tissue from the ground over the threshold's: about 1 is doubtful, above 1.3 is clear.
    ground_fraction
        Share of what is left out that is marked nonetheless: lacy tissue, dirt.
    pixel_mm
        Side of a pixel; ``None`` when unknown.
    """

    kind: str
    pieces: tuple[Piece, ...]
    fraction: float
    border_fraction: float
    pen_fraction: float = 0.0
    frame_dots: int = 0
    bubbles: int = 0
    contrast: float = float("inf")
    ground_fraction: float = 0.0
    pixel_mm: float | None = None

    @property
    def area_px(self) -> float:
        """All pieces together."""
        return sum(piece.area_px for piece in self.pieces)

    @property
    def areas_mm2(self) -> tuple[float, ...]:
        """Areas of the pieces, largest first; empty when the pixel size is unknown."""
        if self.pixel_mm is None:
            return ()
        return tuple(piece.area_px * self.pixel_mm**2 for piece in self.pieces)

    @property
    def several(self) -> bool:
        """Whether a second piece is of similar size as the largest (a quarter of it or more)."""
        return len(self.pieces) > 1 and self.pieces[1].area_px >= SIMILAR * self.pieces[0].area_px

    def findings(self) -> tuple[str, ...]:
        """List what somebody should know before the section is registered; empty when all is plain."""
        return (*self._pieces_told(), *self.doubts(), *self.notes())

    def notes(self) -> tuple[str, ...]:
        """List what was taken away and leaves the tissue whole; printed dots are no news."""
        found = []
        if 0.0 < self.pen_fraction <= HIDING_INK * self.fraction:
            found.append(f"ink was taken away ({self.pen_fraction:.1%} of the picture)")
        if self.bubbles:
            found.append(f"{self.bubbles} bubble{'s were' if self.bubbles > 1 else ' was'} taken away")
        return tuple(found)

    def _pieces_told(self) -> list[str]:
        found = []
        if self.several:
            large = [piece for piece in self.pieces if piece.area_px >= SIMILAR * self.pieces[0].area_px]
            scale, unit = (self.pixel_mm**2, "mm²") if self.pixel_mm is not None else (1.0, "px")
            sizes = [f"{piece.area_px * scale:.3g} {unit}" for piece in large]
            count = {2: "two", 3: "three", 4: "four"}.get(len(large), str(len(large)))
            found.append(f"{count} pieces of tissue: {', '.join(sizes[:-1])} and {sizes[-1]}")
        return found

    def doubts(self) -> tuple[str, ...]:
        """List what makes the outline or the picture doubtful, beside the number of pieces."""
        found = []
        if self.fraction > FULL:
            found.append(f"tissue fills the picture ({self.fraction:.0%})")
        elif self.border_fraction > MUCH_OF_BORDER:
            share = f"{self.border_fraction:.0%} of the picture's border"
            found.append(f"tissue lies along {share}: part of it may be cut off")
        if self.ground_fraction > MARKED_GROUND:
            found.append(f"the background is not empty: {self.ground_fraction:.0%} of it is marked, perhaps by tissue")
        if self.contrast < 1.15:
            found.append(f"tissue hardly stands out of its background (contrast {self.contrast:.2f})")
        if self.pen_fraction > HIDING_INK * self.fraction:
            found.append(f"ink on {self.pen_fraction:.0%} of the picture may hide tissue")
        return tuple(found)


def describe(mask: BoolArray, kind: str, factor: int = 1, smallest: float = 0.0) -> TissueReport:
    """Measure the pieces of a mask.

    Parameters
    ----------
    mask
        ``(h, w)``.
    kind
        Of the picture.
    factor
        Pixels of the full picture along one of the mask's.
    smallest
        Pieces below this share of the largest are not listed.
    """
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    pieces = []
    if count:
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        boxes = ndimage.find_objects(labels)
        listed = [int(n) for n in np.argsort(-sizes, kind="stable") if sizes[n] >= smallest * sizes.max()]
        for number in listed:
            rows, columns = boxes[number]
            y, x = np.nonzero(labels[rows, columns] == number + 1)
            centre = [float(factor * (v.mean() + s.start + 0.5) - 0.5) for v, s in ((x, columns), (y, rows))]
            box = tuple(factor * v for v in (columns.start, rows.start, columns.stop, rows.stop))
            pieces.append(Piece(float(sizes[number]) * factor**2, (centre[0], centre[1]), box))
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return TissueReport(kind, tuple(pieces), float(mask.mean()), float(rim.mean()))
