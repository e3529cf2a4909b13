"""MR intensities have no unit: z-scores give them that of a tissue, N4 takes out the coil's shading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import InputError
from comould.habitats.prepare._inside import checked, finite, inside

if TYPE_CHECKING:
    import SimpleITK as sitk

_SHRUNKEN_MM = 4.0
"""N4 looks at voxels of about this size: the field it seeks is far smoother."""


def zscore(image: sitk.Image, reference: sitk.Image, *, robust: bool = False) -> sitk.Image:
    """Count intensities in standard deviations from the mean of a region.

    Parameters
    ----------
    image
        Scalar, 3-D.
    reference
        One label, on any grid: the tumour itself, or better a tissue that the disease leaves alone (muscle, normal
        gland), since the mean of a tumour takes with it what makes the tumour different.
    robust
        Median and interquartile range (over 1.349, so that both agree for a Gaussian) instead.

    Returns
    -------
    SimpleITK.Image
        float64, on the image's grid.

    Raises
    ------
    InputError
        If the reference holds fewer than 20 voxels of the image, NaN or infinite ones, or one intensity only.
    """
    grid, array = checked(image, "image to be normalised")
    values = finite(array[inside(reference, grid, "reference region")], "image to be normalised")
    middle, spread = float(values.mean()), float(values.std())
    if robust:
        low, middle, high = (float(q) for q in np.percentile(values, [25, 50, 75]))
        spread = (high - low) / 1.349
    if not spread > 1e-12 * max(1.0, abs(middle)):
        raise InputError(
            subject="reference region",
            expected="intensities that vary",
            found=f"{middle:g} for {'at least half' if robust else 'all'} of its voxels",
            remedy="Choose another reference",
        )
    return grid.to_image((array - middle) / spread)


@dataclass(frozen=True, eq=False)
class BiasCorrected:
    """An image without its shading.

    Parameters
    ----------
    image
        float64, the mean within the mask as before.
    field
        float64, what the image was divided by; around 1 within the mask.
    parameters
        What was done; JSON-able.
    """

    image: sitk.Image
    field: sitk.Image
    parameters: dict[str, Any]


def bias_corrected(
    image: sitk.Image, mask: sitk.Image | None = None, *, field_mm: float = 100.0, iterations: int = 50
) -> BiasCorrected:
    """Divide an MR image by the smooth field that N4 finds in it.

    Parameters
    ----------
    image
        Scalar, 3-D; positive where it is looked at.
    mask
        Where the field is sought, on any grid: the body, not the tumour, whose own gradient would be taken for
        shading. Without it all that Otsu's threshold takes for foreground.
    field_mm
        Spacing of the field's finest mesh: what changes over a shorter way is left to the tissue. N4's usual four
        levels would make it 24 mm in an image of 190 mm, and take a gland's zones for shading.
    iterations
        Most iterations at each of the levels, of which there are as many as the image's size and ``field_mm`` ask for.

    Returns
    -------
    BiasCorrected

    Raises
    ------
    InputError
        If settings are out of range, the mask holds fewer than 20 voxels, or intensities in it are not positive.

    References
    ----------
    Tustison et al., IEEE Trans Med Imaging 2010, doi 10.1109/TMI.2010.2046908.
    """
    import SimpleITK as sitk

    if not np.isfinite(field_mm) or field_mm <= 0 or iterations < 1:
        raise InputError(
            subject="bias correction",
            expected="a positive field_mm and number of iterations",
            found=f"{field_mm}, {iterations}",
        )
    grid, array = checked(image, "image to be corrected")
    whole = grid.to_image(array.astype(np.float32))
    within = inside(mask if mask is not None else sitk.OtsuThreshold(whole, 0, 1), grid, "mask of the bias field")
    values = finite(array[within], "image to be corrected")
    if mask is None:
        within &= array > 0
    elif values.min() <= 0:
        raise InputError(
            subject="image to be corrected",
            expected="positive intensities in the mask",
            found=f"{int((values <= 0).sum())} voxels of 0 or less",
            remedy="Leave the background out of the mask; correct before normalising",
        )
    factors = [max(1, min(round(_SHRUNKEN_MM / s), n // 8)) for s, n in zip(grid.spacing_mm, grid.size, strict=True)]
    cells = np.maximum(1, np.round(np.array(grid.size) * grid.spacing_mm / field_mm)).astype(int)
    levels = 1 + int(np.floor(np.log2(cells.max())))
    label = grid.to_image(within)
    seeker = sitk.N4BiasFieldCorrectionImageFilter()
    seeker.SetMaximumNumberOfIterations([iterations] * levels)
    # A cubic B-spline has three control points more than cells; cells are halved at each level.
    seeker.SetNumberOfControlPoints([int(n) for n in np.maximum(1, np.round(cells / 2 ** (levels - 1))) + 3])
    # Sums over threads would depend on their number in the last digits.
    seeker.SetNumberOfThreads(1)
    seeker.Execute(sitk.Shrink(whole, factors), sitk.Shrink(label, factors))
    log_field = sitk.GetArrayFromImage(seeker.GetLogBiasFieldAsImage(whole)).astype(np.float64)
    field = np.exp(log_field)
    field *= float((array[within] / field[within]).mean() / array[within].mean())
    said: dict[str, Any] = {
        "method": "N4",
        "field_mm": field_mm,
        "levels": levels,
        "iterations": iterations,
        "shrink_factors": factors,
    }
    said["mask"] = "given" if mask is not None else "Otsu foreground"
    said["field_range"] = [float(field[within].min()), float(field[within].max())]
    return BiasCorrected(grid.to_image(array / field), grid.to_image(field), said)
