"""How strongly and how evenly a section is stained, and the colour of its background."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from comould.phantom.cut_options import CutOptions
from comould.space import FloatArray

STAINS = np.array([[0.65, 0.70, 0.29], [0.09, 0.95, 0.28]])
"""Optical density of haematoxylin and of eosin in red, green, blue (after Ruifrok & Johnston 2001, PMID 11531144)."""

PALE = np.array([0.55, 0.25])
GLASS = np.array([243.0, 242.0, 245.0])


@dataclass(frozen=True, eq=False)
class Stain:
    """One section's stain.

    Parameters
    ----------
    gains
        ``(2,)`` factors of haematoxylin and of eosin.
    fade
        Share lost from one edge of the slide to the other.
    fade_deg
        Direction in which it is lost, from x towards y.
    background
        ``(3,)`` colour of bare glass, 0 to 255.
    """

    gains: FloatArray
    fade: float
    fade_deg: float
    background: FloatArray

    @classmethod
    def draw(cls, options: CutOptions, rng: np.random.Generator) -> Stain:
        """Draw the stain; gains stay within two and a half standard deviations."""
        gains = np.exp(np.clip(rng.normal(0.0, 1.0, 2), -2.5, 2.5) * options.stain_sd)
        turn = float(rng.uniform(0.0, 360.0))
        lost = rng.uniform(0.0, 1.0, 3)
        # The strongest loss is the one stated; a common loss would be a darker lamp, not a tint.
        background = GLASS * (1.0 - options.tint * (lost - lost.min()) / max(float(np.ptp(lost)), 1e-9))
        return cls(gains, options.fade, turn, background)

    def paler(self) -> Stain:
        """Give the stain of a section kept for sequencing: some haematoxylin and hardly any eosin."""
        return replace(self, gains=self.gains * PALE)

    def strength(self, size_px: tuple[int, int]) -> npt.NDArray[np.float32]:
        """Factors ``(2, h * w)`` of haematoxylin and of eosin at every working pixel."""
        turn = np.deg2rad(self.fade_deg)
        x, y = (np.linspace(-1.0, 1.0, n) for n in size_px)
        along = (np.cos(turn) * x[None, :] + np.sin(turn) * y[:, None]) / (abs(np.cos(turn)) + abs(np.sin(turn)))
        left = 1.0 - self.fade * (along + 1.0) / 2.0
        return (self.gains[:, None] * left.reshape(1, -1)).astype(np.float32)
