"""What can be chosen about cutting a specimen, and three ready-made difficulties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np

from comould.errors import InputError
from comould.phantom.options import make, out_of_range

TellFace = Literal["auto", "right", "wrong", "untold"]
Difficulty = Literal["easy", "medium", "hard"]
DIFFICULTIES: tuple[Difficulty, ...] = get_args(Difficulty)


@dataclass(frozen=True)
class CutOptions:
    """How the specimen is cut, processed, photographed and measured.

    Parameters
    ----------
    shrinkage
        Share of its length the tissue loses between imaging and slide (0.06: the slide shows 94 %).
    anisotropy
        Standard deviation of the further stretch along a random direction, and of shear (0.015: 1.5 %).
    bending_mm
        **Root-mean-square** smooth in-plane displacement over the tissue beyond its affine part; the largest is about
        two and a half times that. Less, in proportion, for sections whose mean radius is under 15 mm or (up to 25 mm)
        under seven times the bending: under 21 mm at 3 mm.
    bending_cell_mm
        Control-point spacing of the bending: its shortest wave is about three of these.
    rotate
        Lay each section down at any angle of the full circle; otherwise as the plane's u and v run.
    flip
        Let chance decide which face is up, and tell nobody (``Section.face`` is ``None``); otherwise the plane's face.
    offset_sd_mm, tilt_sd_deg
        Cutting error: standard deviation of the true cut's distance from its plane, and of its tilt about u and v.
        The section is not told.
    offset_mm, tilt_deg
        Cutting error of exactly this size, to either side and about any direction in the plane; added to the above.
    stain_sd
        Standard deviation of the logarithm of haematoxylin's and of eosin's strength from section to section, drawn
        for each: stain and its balance vary.
    fade
        Share of the stain that is lost from one edge of the slide to the opposite one, along a random direction.
    tint
        Largest share of light the background takes away in red, green or blue.
    blur_um
        Standard deviation of the picture's Gaussian blur.
    tears
        How many parts tore off and lie a little apart, turned by up to 4°; each 6 to 22 % of the tissue.
    tear_mm
        Glass between a torn-off part and the rest.
    pieces
        1, or 2 for a section in two pieces turned against each other by up to 20°.
    piece_gap_mm
        Glass between the two pieces.
    missing
        Share of the tissue that is lost, as a wedge.
    dust, pen, folds
        How many specks lie on the slide, strokes of a pen run along the tissue, and dark bands as of folded tissue
        cross it. They are painted over: the tissue stays where it is.
    swapped
        How many neighbouring pairs of sections bear each other's name and plane.
    tell_face
        What ``Section.face`` says of the face shown: ``"auto"`` as `flip` says, ``"right"``, ``"wrong"`` or
        ``"untold"``.
    adjacent
        Add an adjacent H&E section, 5 to 50 µm away and with a deformation and turn of its own; the section with the
        spots is then stained more palely.
    photo
        Add a photograph of the slab's face: unshrunken, in dull colours, on a board, 0.1 mm a pixel.
    photo_tilt_deg
        How far the camera is tilted, 400 mm away; makes a slight perspective.
    spot_pitch_um
        Distance between neighbouring spot centres. 800 covers the section as several capture areas would, thinned;
        100 with ``capture_mm=6.5`` gives one Visium area.
    capture_mm
        Side of the square capture area laid on the middle of the tissue; ``None`` covers the section.
    pixel_size_um
        Full-resolution pixel, the unit of ``obsm["spatial"]``.
    image_pixel_um
        Pixel of the working image; at least the full-resolution pixel.
    margin_mm
        Bare glass around the tissue.

    Raises
    ------
    InputError
        Naming every value that is impossible.
    """

    shrinkage: float = 0.06
    anisotropy: float = 0.015
    bending_mm: float = 1.0
    bending_cell_mm: float = 13.0
    rotate: bool = True
    flip: bool = True
    offset_sd_mm: float = 0.0
    tilt_sd_deg: float = 0.0
    offset_mm: float = 0.0
    tilt_deg: float = 0.0
    stain_sd: float = 0.0
    fade: float = 0.0
    tint: float = 0.0
    blur_um: float = 0.0
    tears: int = 0
    tear_mm: float = 1.5
    pieces: int = 1
    piece_gap_mm: float = 4.0
    missing: float = 0.0
    dust: int = 0
    pen: int = 0
    folds: int = 0
    swapped: int = 0
    tell_face: TellFace = "auto"
    adjacent: bool = False
    photo: bool = False
    photo_tilt_deg: float = 0.0
    spot_pitch_um: float = 800.0
    capture_mm: float | None = None
    pixel_size_um: float = 10.0
    image_pixel_um: float = 50.0
    margin_mm: float = 4.0

    def __post_init__(self) -> None:
        problems = out_of_range(self, CUT_RANGES)
        if self.capture_mm is not None and not (np.isfinite(self.capture_mm) and self.capture_mm > 0):
            problems.append(f"capture_mm {self.capture_mm} is not a positive length")
        for name in ("rotate", "flip", "adjacent", "photo"):
            if not isinstance(getattr(self, name), bool):
                problems.append(f"{name} {getattr(self, name)!r} is not true or false")
        if self.tell_face not in get_args(TellFace):
            problems.append(f"tell_face {self.tell_face!r} is not one of {', '.join(get_args(TellFace))}")
        if not problems and self.image_pixel_um < self.pixel_size_um:
            problems.append(f"image_pixel_um {self.image_pixel_um} is finer than pixel_size_um {self.pixel_size_um}")
        if problems:
            raise InputError.collect(subject="cutting options", problems=problems)

    @classmethod
    def preset(cls, difficulty: str | None, overrides: Mapping[str, Any] | None = None) -> Self:
        """Take one of :data:`PRESETS` (``None``: the defaults above), with some values replaced.

        Raises
        ------
        InputError
            For an unknown difficulty or an unknown or impossible option.

        Examples
        --------
        >>> CutOptions.preset("hard").shrinkage
        0.15
        """
        if difficulty is not None and difficulty not in DIFFICULTIES:
            raise InputError(subject="difficulty", expected=f"one of {', '.join(DIFFICULTIES)}", found=repr(difficulty))
        chosen = PRESETS[difficulty] if difficulty is not None else {}
        return make(cls, {**chosen, **(overrides or {})}, "Phantom.cut")


PRESETS: Mapping[str, Mapping[str, float]] = {
    "easy": {"shrinkage": 0.04, "anisotropy": 0.005, "bending_mm": 0.5},
    "medium": {
        "shrinkage": 0.06,
        "anisotropy": 0.015,
        "bending_mm": 1.0,
        "offset_sd_mm": 0.2,
        "tilt_sd_deg": 0.5,
        "stain_sd": 0.15,
        "fade": 0.1,
        "tint": 0.03,
        "blur_um": 20.0,
    },
    "hard": {
        "shrinkage": 0.15,
        "anisotropy": 0.015,
        "bending_mm": 3.0,
        "bending_cell_mm": 26.0,
        "offset_mm": 1.0,
        "tilt_deg": 5.0,
        "stain_sd": 0.35,
        "fade": 0.3,
        "tint": 0.08,
        "blur_um": 50.0,
    },
}
"""What the difficulties change. Hard bends by 3 mm root-mean-square, in waves twice as long as the default's: at those
of 13 mm cells five draws in six would fold."""

CUT_RANGES: dict[str, tuple[float, float]] = {
    "shrinkage": (-0.2, 0.5),
    "anisotropy": (0, 0.1),
    "bending_mm": (0, 20),
    "bending_cell_mm": (5, 100),
    "offset_sd_mm": (0, 10),
    "tilt_sd_deg": (0, 20),
    "offset_mm": (0, 10),
    "tilt_deg": (0, 30),
    "stain_sd": (0, 1),
    "fade": (0, 0.9),
    "tint": (0, 0.5),
    "blur_um": (0, 2000),
    "tears": (0, 3),
    "tear_mm": (0.2, 20),
    "pieces": (1, 2),
    "piece_gap_mm": (0.5, 50),
    "missing": (0, 0.6),
    "dust": (0, 2000),
    "pen": (0, 10),
    "folds": (0, 10),
    "swapped": (0, 20),
    "photo_tilt_deg": (0, 10),
    "spot_pitch_um": (20, 20000),
    "pixel_size_um": (0.1, 1000),
    "image_pixel_um": (5, 1000),
    "margin_mm": (0.5, 50),
}
