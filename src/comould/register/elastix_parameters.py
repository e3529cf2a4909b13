"""What elastix is told in every stage, of sections and of volumes alike."""

from __future__ import annotations

from typing import Any


def usual_parameters(
    n_metrics: int, dimension: int, levels: int, *, iterations: int, samples: int, bins: int, seed: int
) -> dict[str, list[Any]]:
    """Write what an elastix parameter map always holds; metrics, transform and grid spacing are the stage's own.

    Parameters
    ----------
    n_metrics
        Each has pyramids, interpolator and sampler of its own.
    dimension
        2 or 3.
    levels
        Resolutions; each halves pixels and the B-spline's grid.
    iterations, samples, bins, seed
        Of the optimizer, of points looked at, of the histogram, of chance.
    """
    factors = [2 ** (levels - 1 - level) for level in range(levels)]
    return {
        "FixedImagePyramid": ["FixedSmoothingImagePyramid"] * n_metrics,
        "MovingImagePyramid": ["MovingSmoothingImagePyramid"] * n_metrics,
        "Interpolator": ["LinearInterpolator"] * n_metrics,
        "ImageSampler": ["RandomCoordinate"] * n_metrics,
        "Optimizer": ["AdaptiveStochasticGradientDescent"],
        "ResampleInterpolator": ["FinalBSplineInterpolator"],
        "Resampler": ["DefaultResampler"],
        "HowToCombineTransforms": ["Compose"],
        "NumberOfResolutions": [levels],
        "ImagePyramidSchedule": [factor for factor in factors for _ in range(dimension)],
        "GridSpacingSchedule": [float(factor) for factor in factors],
        "MaximumNumberOfIterations": [iterations],
        "NumberOfSpatialSamples": [samples],
        "NewSamplesEveryIteration": ["true"],
        "RandomSeed": [seed],
        "NumberOfHistogramBins": [bins],
        "AutomaticParameterEstimation": ["true"],
        "AutomaticScalesEstimation": ["true"],
        "AutomaticTransformInitialization": ["false"],
        "UseMultiThreadingForMetrics": ["false"],
        "RequiredRatioOfValidSamples": [0.05],
        "ErodeMask": ["false"],
        "ErodeFixedMask": ["false"],
        "ErodeMovingMask": ["false"],
        "WriteResultImage": ["false"],
    }
