"""Vessels, tubes and contacts that a mould shows or makes room for, as they are asked for and read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from comould.errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

    from comould.mould import Structure

INLAY_COLOURS = ("#d1495b", "#2e86ab", "#edae49", "#3f8f5f", "#8e5ea2", "#6b705c")
"""Given in turn to inlays that name none."""


@dataclass(frozen=True)
class StructureAsked:
    """A landmark structure as it was asked for.

    Parameters
    ----------
    name
        What it is called in the mould.
    source
        A file, or a region of the segmentation.
    role
        ``"window"`` or ``"inlay"``.
    colour
        Of an inlay.
    region
        Whether the source is a region even where there is a file of that name.
    """

    name: str
    source: str
    role: str
    colour: str
    region: bool = False

    def read(self, segmentation: Path, image: sitk.Image | None) -> Structure:
        """Read its mask: from a label map of its own, or as a region of the segmentation's file."""
        from comould.io import list_rois, read_segmentation
        from comould.io.roi import number_or_name
        from comould.mould import Structure

        path = Path(self.source)
        # A file need not have the image's grid: it is placed by its own geometry.
        if path.exists() and not self.region:
            if len(regions := list_rois(path)) > 1 and path.resolve() != segmentation.resolve():
                raise InputError(
                    subject=f"structure {self.name!r}",
                    expected="a file with one label",
                    found=", ".join(str(one.number) for one in regions),
                    remedy="Save that label as a file of its own",
                )
            mask = read_segmentation(path)
        else:
            regions = list_rois(segmentation)
            if self.source.casefold() not in {str(key).casefold() for one in regions for key in (one.number, one.name)}:
                raise InputError(
                    subject=f"structure {self.name!r}",
                    expected=f"a file, or one of {', '.join(one.name for one in regions)}",
                    found=repr(self.source),
                    remedy="Give a file, or a region of the segmentation by its name or number",
                )
            mask = read_segmentation(segmentation, image=image, roi=number_or_name(self.source))
        return Structure(self.name, mask, self.role, self.colour)  # type: ignore[arg-type]
