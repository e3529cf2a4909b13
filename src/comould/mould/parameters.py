"""Sizes of a mould: the settings every design shares, and those one design adds."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Parameters(BaseModel):
    """Settings of a mould, lengths in mm: what a template or ``--set key=value`` may give."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Planes
    spacing_mm: float = Field(5.0, ge=1.0, le=60.0, description="Distance between neighbouring cutting planes")
    positions_mm: tuple[float, ...] = Field(
        (), description="Cuts at these distances from the patient origin along the normal, instead of equal spacing"
    )
    centre_on: Literal["extent", "largest_section", "most_habitats"] = Field(
        "extent", description="What equally spaced planes are centred on"
    )
    snap: bool = Field(True, description="Move planes parallel to the slices onto slice centres")
    face: Literal["-", "+"] = Field(
        "-", description="Face of each cut that is photographed: - is seen as imaged, + is its mirror image"
    )
    min_end_slab_mm: float = Field(2.0, ge=0.0, le=20.0, description="Thinnest tissue beyond the first and last plane")

    # Equipment
    blade: str = Field("", description="Knife, see `comould templates blades`; gives slot_mm unless that is set")
    printer: str = Field("", description="Printer, see `comould templates printers`: process allowance and least sizes")
    material: str = Field("", description="Material, see `comould templates materials`: mass and sterilisation advice")

    # Fit and slots
    slot_mm: float = Field(1.0, ge=0.3, le=5.0, description="Slot width: blade thickness plus the process allowance")
    clearance_mm: float = Field(0.4, ge=0.0, le=5.0, description="Gap between specimen and mould (0.25 SLA, 0.4 FDM)")
    guide_mm: float = Field(5.0, ge=0.0, le=60.0, description="Height of the knife guide above the specimen's top")
    slot_overhang_mm: float = Field(7.0, ge=2.0, le=40.0, description="Length of the slots beyond the tissue, each end")
    slot_below_mm: float = Field(1.5, ge=0.5, le=20.0, description="Depth of the slots below the specimen")
    min_rib_mm: float = Field(1.5, ge=0.8, le=20.0, description="Thinnest wall allowed between two slots")

    # Body
    wall_mm: float = Field(5.0, ge=2.0, le=30.0, description="Thickness of the outer wall")
    base_mm: float = Field(4.0, ge=2.0, le=30.0, description="Thickness of the plate below the slots")
    outline: Literal["hull", "block"] = Field(
        "hull", description="Seen from above: trimmed to the hull, or a rectangle"
    )
    top: Literal["stepped", "flat"] = Field(
        "stepped", description="Knife guide at the height each slab needs, or at one height for all"
    )
    hollow: bool = Field(True, description="Take material out of the underside, in cells that print without support")
    cell_wall_mm: float = Field(2.0, ge=0.8, le=10.0, description="Walls between the cells of the hollow underside")
    bridge_mm: float = Field(6.0, ge=0.0, le=20.0, description="Widest flat ceiling of a cell")
    drain_mm: float = Field(
        0.0, ge=0.0, le=10.0, description="Diameter of drain holes for cystic specimens; 0 for none"
    )
    flange_mm: float = Field(6.0, ge=0.0, le=40.0, description="Width of the foot plate round the mould")
    key_mm: float = Field(
        8.0, ge=5.0, le=30.0, description="Leg of the one corner cut off, so that the mould has one way round"
    )
    chamfer_mm: float = Field(1.5, ge=0.3, le=4.0, description="Chamfer of the other vertical edges")

    # Marks
    digit_mm: float = Field(5.0, ge=4.0, le=20.0, description="Height of the engraved slice numbers")
    letter_mm: float = Field(10.0, ge=5.0, le=30.0, description="Largest height of the engraved anatomical letters")
    stroke_mm: float = Field(0.8, ge=0.8, le=3.0, description="Stroke width of engraved text")
    engrave_mm: float = Field(1.0, ge=0.4, le=1.5, description="Depth of engraved text")
    slit_depth_mm: float = Field(
        2.0, ge=0.0, le=10.0, description="Least depth of the lengthwise orientation cut in every slab; 0 for no slit"
    )
    mould_id: str = Field(
        "", max_length=12, pattern=r"^[0-9A-Z-]*$", description="Engraved name without patient data; made up when empty"
    )

    @field_validator("positions_mm", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Read ``"10, 15, 20"``, as ``--set`` gives it."""
        return [part for part in value.replace(",", " ").split() if part] if isinstance(value, str) else value


class OpenBlock(Parameters):
    """Block open at the top, slotted from above."""


class SlabAndGuide(Parameters):
    """Base that holds the lower part of the specimen, and a knife guide set on it afterwards."""

    split_share: float = Field(
        0.5, ge=0.15, le=0.85, description="Height at which the guide begins, as a share of the specimen's height"
    )
    pin_mm: float = Field(5.0, ge=3.0, le=12.0, description="Diameter of the pins between base and guide")
    pin_clearance_mm: float = Field(0.2, ge=0.05, le=0.6, description="Gap round each pin")


class TwoPart(Parameters):
    """Clamshell: two halves closed round the specimen, for shapes that no single opening lets in."""

    pin_mm: float = Field(5.0, ge=3.0, le=12.0, description="Diameter of the keyed pins between the halves")
    pin_clearance_mm: float = Field(0.2, ge=0.05, le=0.6, description="Gap round each pin")
    clamp_mm: float = Field(6.0, ge=0.0, le=20.0, description="Width of the lugs for clamps or bands; 0 for none")


class Shell(Parameters):
    """Thin wall that follows the hull, slots open at both ends."""

    wall_mm: float = Field(3.0, ge=1.6, le=12.0, description="Thickness of the shell")
    slot_overhang_mm: float = Field(5.0, ge=2.0, le=40.0, description="Least length of the slots beyond the tissue")


DESIGNS: dict[str, type[Parameters]] = {
    "open_block": OpenBlock,
    "slab_and_guide": SlabAndGuide,
    "two_part": TwoPart,
    "shell": Shell,
}
"""Parameter model of each design."""
