"""Nyúl's landmarks: one intensity scale for a cohort of MR images of one contrast, kept in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.habitats.prepare._inside import checked, finite, inside
from comould.space import FloatArray

if TYPE_CHECKING:
    import SimpleITK as sitk

PERCENTILES = (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0)
SCALE = (0.0, 100.0)
"""Where the first and the last percentile come to lie."""
_KIND = "comould intensity standard"


@dataclass(frozen=True)
class IntensityStandard:
    """Where the percentiles of an image shall lie: learnt from a cohort, applied to any image of its contrast.

    Parameters
    ----------
    landmarks
        Standard intensities of the percentiles, rising.
    contrast
        What the images were (``"T2w"``); an image of another contrast is refused.
    percentiles
        In percent, rising.
    n_images
        How many images it was learnt from.

    Raises
    ------
    InputError
        If landmarks and percentiles do not match or do not rise.

    Notes
    -----
    The mask of every image must hold the same kinds of tissue (the body, the organ): percentiles of tumours, one half
    necrotic and one solid, are made equal just where the patients differ.

    References
    ----------
    Nyúl, Udupa, Zhang, IEEE Trans Med Imaging 2000, doi 10.1109/42.836373; with the percentiles of Shah et al., Med
    Image Anal 2011, doi 10.1016/j.media.2010.12.003.
    """

    landmarks: tuple[float, ...]
    contrast: str
    percentiles: tuple[float, ...] = PERCENTILES
    n_images: int = 0

    def __post_init__(self) -> None:
        problems = []
        for name, values in (("landmarks", self.landmarks), ("percentiles", self.percentiles)):
            if len(values) < 2 or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
                problems.append(f"{name} are not rising numbers")
        if len(self.landmarks) != len(self.percentiles):
            problems.append(f"{len(self.landmarks)} landmarks for {len(self.percentiles)} percentiles")
        if not self.contrast.strip():
            problems.append("no contrast is named")
        if problems:
            raise InputError.collect(subject="intensity standard", problems=problems)

    @classmethod
    def fit(cls, images: Sequence[sitk.Image], masks: Sequence[sitk.Image], *, contrast: str) -> Self:
        """Learn a standard from a cohort.

        Parameters
        ----------
        images
            Scalar 3-D images of one contrast, one a patient; shading corrected.
        masks
            One for each: the same kinds of tissue in all.
        contrast
            What the images are, such as ``"T2w"``.

        Raises
        ------
        InputError
            If there are no images or another number of masks, a mask holds fewer than 20 voxels, or an image has the
            same intensity at two percentiles.
        """
        if not images or len(images) != len(masks):
            raise InputError(
                subject="cohort of images",
                expected="one mask for each image",
                found=f"{len(images)} images and {len(masks)} masks",
            )
        rows = []
        for n, (image, mask) in enumerate(zip(images, masks, strict=True), start=1):
            found = _percentiles(image, mask, PERCENTILES, f"image {n} of the cohort")
            rows.append(SCALE[0] + (found - found[0]) * (SCALE[1] - SCALE[0]) / (found[-1] - found[0]))
        return cls(tuple(np.mean(rows, axis=0).tolist()), contrast, n_images=len(rows))

    def apply(self, image: sitk.Image, mask: sitk.Image, *, contrast: str) -> sitk.Image:
        """Bring an image to the standard: its percentiles to the landmarks, straight lines between and beyond them.

        Parameters
        ----------
        image
            Scalar, 3-D.
        mask
            The same kinds of tissue as in the cohort's masks.
        contrast
            What the image is; must be the standard's.

        Returns
        -------
        SimpleITK.Image
            float64, on the image's grid.

        Raises
        ------
        InputError
            As :meth:`fit`, and for another contrast.
        """
        if contrast != self.contrast:
            raise InputError(
                subject="intensity standard",
                expected=f"an image of contrast {self.contrast!r}",
                found=repr(contrast),
                remedy="Fit a standard for every contrast",
            )
        found = _percentiles(image, mask, self.percentiles, "image to be standardised")
        grid, array = checked(image, "image to be standardised")
        return grid.to_image(_straight(array, found, np.array(self.landmarks)))

    def save(self, path: str | Path) -> Path:
        """Write JSON; returns the path."""
        from comould.io.output import write_json

        data: dict[str, Any] = {"kind": _KIND, "method": "Nyúl", "contrast": self.contrast, "n_images": self.n_images}
        data |= {"percentiles": list(self.percentiles), "landmarks": list(self.landmarks)}
        write_json(Path(path), data)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            If the file is missing or no standard.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            kind = data["kind"]
            made = cls(
                tuple(float(x) for x in data["landmarks"]),
                str(data["contrast"]),
                tuple(float(x) for x in data["percentiles"]),
                int(data["n_images"]),
            )
        except InputError:
            raise
        except (OSError, KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(subject=str(path), expected="a saved intensity standard", found=reason) from error
        if kind != _KIND:
            raise InputError(subject=str(path), expected=f"a file of kind {_KIND!r}", found=repr(kind))
        return made


def _percentiles(image: sitk.Image, mask: sitk.Image, percentiles: Sequence[float], subject: str) -> FloatArray:
    grid, array = checked(image, subject)
    values = finite(array[inside(mask, grid, f"mask of the {subject}")], subject)
    found = np.percentile(values, percentiles)
    tied = int((np.diff(found) <= 0).sum())
    if tied:
        raise InputError(
            subject=subject,
            expected="another intensity at every percentile",
            found=f"{tied} of {len(found)} equal to the one before",
            remedy="Leave the background out of the mask",
        )
    return np.asarray(found)


def _straight(values: FloatArray, old: FloatArray, new: FloatArray) -> npt.NDArray[np.float64]:
    """Piecewise linear through (old, new), its first and last piece going on."""
    piece = np.clip(np.searchsorted(old, values, side="right") - 1, 0, len(old) - 2)
    slope = np.diff(new) / np.diff(old)
    return new[piece] + (values - old[piece]) * slope[piece]
