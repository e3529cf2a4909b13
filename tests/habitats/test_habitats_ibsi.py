"""Known answers: the IBSI digital phantom and pyradiomics' own baselines.

Values: IBSI reference manual, arXiv:1612.07003 (chapter 3, "dig. phantom"), doi 10.1148/radiol.2020191145, CC BY 4.0.
"""

import csv

import numpy as np
import pytest
import SimpleITK as sitk

from comould.errors import ComouldWarning
from comould.habitats import feature_maps, region_features
from comould.io import read_image, right_handed

AGGREGATIONS = (
    "2D, averaged", "2D, slice-merged", "2.5D, direction-merged", "2.5D, merged", "3D, averaged", "3D, merged"
)  # fmt: skip
FIRST_ORDER = {
    "mean": 2.15,
    "variance": 3.05,
    "skewness": 1.08,
    "kurtosis": -0.355,
    "median": 1,
    "minimum": 1,
    "percentile_10": 1,
    "percentile_90": 4,
    "maximum": 6,
    "interquartile_range": 3,
    "range": 5,
    "mean_absolute_deviation": 1.55,
    "robust_mean_absolute_deviation": 1.11,
    "median_absolute_deviation": 1.15,
    "coefficient_of_variation": 0.812,
    "quartile_coefficient_of_dispersion": 0.6,
    "energy": 567,
    "root_mean_square": 2.77,
    "entropy": 1.27,
    "uniformity": 0.512,
}
GLCM = {
    "joint_maximum": (0.519, 0.512, 0.489, 0.492, 0.503, 0.509),
    "joint_average": (2.14, 2.14, 2.2, 2.2, 2.14, 2.15),
    "joint_variance": (2.69, 2.71, 3.22, 3.24, 3.1, 3.13),
    "joint_entropy": (2.05, 2.24, 2.48, 2.61, 2.4, 2.57),
    "difference_average": (1.42, 1.4, 1.46, 1.44, 1.43, 1.38),
    "difference_variance": (2.9, 3.06, 3.11, 3.23, 3.06, 3.21),
    "difference_entropy": (1.4, 1.49, 1.61, 1.67, 1.56, 1.64),
    "sum_average": (4.28, 4.29, 4.41, 4.41, 4.29, 4.3),
    "sum_variance": (5.47, 5.66, 7.48, 7.65, 7.07, 7.41),
    "sum_entropy": (1.6, 1.79, 2.01, 2.14, 1.92, 2.11),
    "angular_second_moment": (0.368, 0.352, 0.286, 0.277, 0.303, 0.291),
    "contrast": (5.28, 5.19, 5.39, 5.29, 5.32, 5.12),
    "dissimilarity": (1.42, 1.4, 1.46, 1.44, 1.43, 1.38),
    "inverse_difference": (0.678, 0.683, 0.668, 0.673, 0.677, 0.688),
    "normalised_inverse_difference": (0.851, 0.854, 0.847, 0.85, 0.851, 0.856),
    "inverse_difference_moment": (0.619, 0.625, 0.606, 0.613, 0.618, 0.631),
    "normalised_inverse_difference_moment": (0.899, 0.901, 0.897, 0.899, 0.898, 0.902),
    "inverse_variance": (0.0567, 0.0553, 0.0597, 0.0582, 0.0604, 0.0574),
    "correlation": (-0.0121, 0.0173, 0.178, 0.182, 0.157, 0.183),
    "autocorrelation": (5.09, 5.14, 5.4, 5.45, 5.06, 5.19),
    "cluster_tendency": (5.47, 5.66, 7.48, 7.65, 7.07, 7.41),
    "cluster_shade": (7, 6.98, 16.6, 16.4, 16.6, 17.4),
    "cluster_prominence": (79.1, 80.4, 147, 142, 145, 147),
    "information_correlation_1": (-0.155, -0.0341, -0.124, -0.0334, -0.157, -0.0288),
    "information_correlation_2": (0.487, 0.263, 0.487, 0.291, 0.52, 0.269),
}


@pytest.fixture(scope="module")
def phantom(test_data):
    folder = test_data / "ibsi_phantoms" / "ibsi_1_digital_phantom" / "nifti"
    image = read_image(folder / "image" / "phantom.nii.gz")
    mask = read_image(folder / "mask" / "mask.nii.gz")
    return {"p": image}, mask


def agrees(found, published):
    """Equal to the published value at its own number of digits (three significant ones)."""
    return float(f"{found:.3g}") == pytest.approx(published, rel=1e-9)


def test_every_first_order_value_of_the_region(phantom):
    found = region_features(*phantom, features="firstorder", bin_width=1.0)
    wrong = {name: found[f"p/firstorder.{name}"] for name, value in FIRST_ORDER.items()
             if not agrees(found[f"p/firstorder.{name}"], value)}  # fmt: skip
    assert len(FIRST_ORDER) == 20
    assert not wrong


@pytest.mark.parametrize("column", range(2, 6), ids=AGGREGATIONS[2:])
def test_every_glcm_value_of_the_region(phantom, column):
    dimension = 2 if column < 4 else 3
    aggregation = "averaged" if column % 2 == 0 else "merged"
    found = region_features(*phantom, features="glcm", bin_width=1.0, dimension=dimension, aggregation=aggregation)
    wrong = {name: (found[f"p/glcm.{name}"], values[column]) for name, values in GLCM.items()
             if not agrees(found[f"p/glcm.{name}"], values[column])}  # fmt: skip
    assert len(GLCM) == 25
    assert not wrong


@pytest.mark.parametrize("column", [4, 5], ids=AGGREGATIONS[4:])
def test_a_kernel_over_the_whole_phantom_gives_the_region_at_every_voxel(phantom, column):
    with pytest.warns(ComouldWarning, match="covers the whole mask"):
        maps = feature_maps(
            *phantom,
            features=["firstorder", "glcm"],
            radius_voxels=5,
            shape="box",
            bins=6,
            aggregation="averaged" if column == 4 else "merged",
        )
    assert maps.values.shape == (74, 45)
    for name, value in FIRST_ORDER.items():
        assert agrees(maps.column(f"p/firstorder.{name}").min(), value), name
        assert agrees(maps.column(f"p/firstorder.{name}").max(), value), name
    for name, values in GLCM.items():
        assert agrees(maps.column(f"p/glcm.{name}").min(), values[column]), name
        assert agrees(maps.column(f"p/glcm.{name}").max(), values[column]), name


@pytest.mark.parametrize("column", [0, 1], ids=AGGREGATIONS[:2])
def test_planar_kernels_give_the_values_per_slice(phantom, column):
    """IBSI's 2-D values are the mean over the four slices."""
    maps = feature_maps(
        *phantom,
        features="glcm",
        radius_voxels=5,
        shape="box",
        dimension=2,
        bin_width=1.0,
        aggregation="averaged" if column == 0 else "merged",
    )
    slices = maps.mask_idx[:, 0]
    for name, values in GLCM.items():
        map_ = maps.column(f"p/glcm.{name}")
        per_slice = [map_[slices == k] for k in range(4)]
        assert all(np.ptp(one) == 0 for one in per_slice)
        assert agrees(np.mean([one[0] for one in per_slice]), values[column]), name


PYRADIOMICS_GLCM = {
    "joint_average": "JointAverage",
    "joint_entropy": "JointEntropy",
    "joint_maximum": "MaximumProbability",
    "joint_variance": "SumSquares",
    "difference_average": "DifferenceAverage",
    "difference_entropy": "DifferenceEntropy",
    "difference_variance": "DifferenceVariance",
    "sum_average": "SumAverage",
    "sum_entropy": "SumEntropy",
    "angular_second_moment": "JointEnergy",
    "contrast": "Contrast",
    "inverse_difference": "Id",
    "normalised_inverse_difference": "Idn",
    "inverse_difference_moment": "Idm",
    "normalised_inverse_difference_moment": "Idmn",
    "inverse_variance": "InverseVariance",
    "correlation": "Correlation",
    "autocorrelation": "Autocorrelation",
    "cluster_tendency": "ClusterTendency",
    "cluster_shade": "ClusterShade",
    "cluster_prominence": "ClusterProminence",
    "information_correlation_1": "Imc1",
    "information_correlation_2": "Imc2",
}
PYRADIOMICS_FIRST_ORDER = {
    "mean": "Mean",
    "variance": "Variance",
    "skewness": "Skewness",
    "median": "Median",
    "percentile_10": "10Percentile",
    "percentile_90": "90Percentile",
    "interquartile_range": "InterquartileRange",
    "mean_absolute_deviation": "MeanAbsoluteDeviation",
    "robust_mean_absolute_deviation": "RobustMeanAbsoluteDeviation",
    "entropy": "Entropy",
    "uniformity": "Uniformity",
}


@pytest.mark.parametrize("case", ["brain1", "brain2", "breast1"])
def test_pyradiomics_baselines(test_data, case):
    """Their default case: bins of 25 from a multiple of 25, features averaged over 13 directions."""
    folder = test_data / "pyradiomics"
    image = right_handed(sitk.ReadImage(str(folder / f"{case}_image.nrrd")))
    mask = right_handed(sitk.ReadImage(str(folder / f"{case}_label.nrrd"))) == 1
    lowest = sitk.GetArrayFromImage(image)[sitk.GetArrayFromImage(mask) > 0].min()
    found = region_features(
        {"i": image},
        mask,
        features=["firstorder", "glcm"],
        bin_width=25.0,
        lower_bound=float(np.floor(lowest / 25) * 25),
        aggregation="averaged",
    )
    for family, names in (("glcm", PYRADIOMICS_GLCM), ("firstorder", PYRADIOMICS_FIRST_ORDER)):
        with (folder / "baseline" / f"baseline_{family}.csv").open() as stream:
            rows = {row["featureName"]: row[case] for row in csv.DictReader(stream)}
        for ours, theirs in names.items():
            expected = float(rows[f"original_{family}_{theirs}"])
            assert found[f"i/{family}.{ours}"] == pytest.approx(expected, rel=1e-9), ours
