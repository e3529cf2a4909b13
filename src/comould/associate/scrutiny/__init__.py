"""Claims looked at again: at other places, on the wrong map, with simulated maps. What a shortcut would survive."""

from __future__ import annotations

from comould.associate.scrutiny.calibrate import calibrate
from comould.associate.scrutiny.controls import controls
from comould.associate.scrutiny.plausible import Plausible, over_positions
from comould.associate.scrutiny.shift import ShiftCurve, shift_curve

__all__ = ["Plausible", "ShiftCurve", "calibrate", "controls", "over_positions", "shift_curve"]
