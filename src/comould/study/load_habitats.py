"""Images and mask of ``comould habitats``: read, prepared, and checked against one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from comould.errors import InputError
from comould.space import Grid

_SEGMENTATIONS = {"SEG", "RTSTRUCT"}


@dataclass(frozen=True, eq=False)
class LoadedImages:
    """What was read.

    Parameters
    ----------
    images
        Prepared, by name, each on its own grid.
    shown
        The first image as it was read, for pictures.
    mask
        On its own grid.
    series
        Name → folder or file of images that are DICOM.
    """

    images: dict[str, sitk.Image]
    shown: sitk.Image
    mask: sitk.Image
    series: dict[str, Path]

    @property
    def series_of_mask(self) -> Path | None:
        """The DICOM series on the mask's grid, if one is."""
        grid = Grid.from_image(self.mask)
        for name, path in self.series.items():
            if not grid.difference(Grid.from_image(self.images[name])):
                return path
        return None


def load_images(
    images: Mapping[str, Path], mask: Path, *, roi: str | None = None, prepare: Mapping[str, str] | None = None
) -> LoadedImages:
    """Read images and mask, and prepare the images.

    Parameters
    ----------
    images
        Name to DICOM folder or file.
    mask
        Segmentation file; a drawn one (RTSTRUCT) comes out on the first image's grid.
    roi
        Name or number of its region.
    prepare
        See :class:`comould.study.HabitatOptions`.

    Raises
    ------
    InputError
        For files that are no image, 4-D ones, preparation of an image that is not there or does not suit it.
    """
    from comould.io import read_image, read_segmentation
    from comould.io.roi import number_or_name
    from comould.io.volume import kind_of

    prepare = prepare or {}
    unknown = [name for name in prepare if name not in images]
    if unknown:
        raise InputError(
            subject=f"preparation of {unknown[0]!r}", expected=f"one of {', '.join(images)}", found="no such image"
        )
    read = {name: read_image(path) for name, path in images.items()}
    series = {name: Path(path) for name, path in images.items() if kind_of(Path(path)) in {"folder", "dicom"}}
    first = next(iter(read.values()))
    region = read_segmentation(
        mask, image=first if _drawn(mask) else None, roi=None if roi is None else number_or_name(roi)
    )
    region = _on_its_image(region, list(read.values()))
    done = {
        name: _prepared(name, image, region, prepare.get(name, ""), _modality(series.get(name)))
        for name, image in read.items()
    }
    return LoadedImages(done, first, region, series)


def _on_its_image(region: sitk.Image, images: list[sitk.Image]) -> sitk.Image:
    """Give a mask the grid of the image it was drawn on: a NIfTI header keeps only float32, hundredths of a mm off."""
    from comould.io.volume import place

    matrix = Grid.from_image(region).matrix
    for image in images:
        grid = Grid.from_image(image)
        if grid.size != tuple(region.GetSize()):
            continue
        placed = place(sitk.GetArrayViewFromImage(region), matrix, grid, whole=True)
        if placed is not None:
            return grid.to_image(placed)
    return region


def _drawn(mask: Path) -> bool:
    """Whether a segmentation has no grid of its own."""
    from comould.io.dicom import read_header, scan
    from comould.io.volume import kind_of

    kind = kind_of(Path(mask))
    if kind == "folder":
        return any(header.modality == "RTSTRUCT" for header in scan(Path(mask)))
    return kind == "dicom" and read_header(Path(mask)).modality == "RTSTRUCT"


def _modality(series: Path | None) -> str | None:
    """Modality of a DICOM series; other files do not say theirs."""
    from comould.io.dicom import read_header, scan

    if series is None:
        return None
    if series.is_file():
        return read_header(series).modality
    found = {header.modality for header in scan(series)} - _SEGMENTATIONS
    return found.pop() if len(found) == 1 else None


def _prepared(name: str, image: sitk.Image, mask: sitk.Image, steps: str, modality: str | None) -> sitk.Image:
    from comould.habitats import prepare

    for step in steps.split("+") if steps else []:
        kind, _, detail = step.partition(":")
        try:
            if kind == "hu":
                image = prepare.window(image, detail or "soft_tissue", modality=modality or "CT", mask=mask)
            elif kind == "adc":
                image = prepare.adc(image, mask)
            elif kind == "zscore":
                image = prepare.zscore(image, mask)
            else:
                image = prepare.bias_corrected(image).image
        except InputError as error:
            raise type(error)(
                subject=f"image {name!r}, {error.subject}",
                expected=error.expected, found=error.found, remedy=error.remedy,
            ) from error  # fmt: skip
    return image
