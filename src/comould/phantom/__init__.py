"""A specimen in silico with known truth: imaging, deformation, sections, expression.

``specimen(seed)`` makes a :class:`Phantom`; ``phantom.cut(plan)`` gives its sections and spots together with the true
way from every pixel back to the patient. Nothing of the truth is inside what a pipeline is handed
(``CutSection.section``, ``CutSection.spots``, ``Phantom.images``, ``Phantom.mask``). ``score(folder, positions)`` says
how far an answer is from the truth of a written case.
"""

from comould.phantom.cut import CutSection
from comould.phantom.cut_options import PRESETS, CutOptions
from comould.phantom.hops import CutImage
from comould.phantom.options import HABITAT_NAMES, SpecimenOptions
from comould.phantom.score import Score, score
from comould.phantom.specimen import Phantom, specimen

__all__ = [
    "HABITAT_NAMES",
    "PRESETS",
    "CutImage",
    "CutOptions",
    "CutSection",
    "Phantom",
    "Score",
    "SpecimenOptions",
    "score",
    "specimen",
]
