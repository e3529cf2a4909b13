"""Known answers: IBSI's digital and CT phantoms, and pyradiomics' own baselines.

Values: IBSI reference manual, arXiv:1612.07003, doi 10.1148/radiol.2020191145, CC BY 4.0 (``tests/data/README.md``).
"""

import csv
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from comould.errors import ComouldWarning
from comould.habitats import Processing, feature_maps, region_features
from comould.habitats.catalogue import FAMILIES, MAPPED
from comould.io import read_image, right_handed

PER_SLICE = ("2D, averaged", "2D, slice-merged", "2.5D, direction-merged", "2.5D, merged")
PER_VOLUME = ("3D, averaged", "3D, merged")
CONFIGURATIONS = {
    "digital": ({"bin_width": 1.0}, PER_SLICE + PER_VOLUME, Processing()),
    "A": ({"bin_width": 25.0}, PER_SLICE, Processing(intensity_range=(-500, 400))),
    "B": ({}, PER_SLICE, Processing((2.0, 2.0, None), round_intensities=True, intensity_range=(-500, 400))),
    "C": (
        {"bin_width": 25.0, "ivh_bin_width": 2.5},
        PER_VOLUME,
        Processing(2.0, round_intensities=True, intensity_range=(-1000, 400)),
    ),
    "D": ({}, PER_VOLUME, Processing(2.0, round_intensities=True, outlier_sd=3)),
    "E": (
        {"ivh_bins": 1000},
        PER_VOLUME,
        Processing(2.0, "cubic", round_intensities=True, intensity_range=(-1000, 400), outlier_sd=3),
    ),
}
"""IBSI's configurations: settings, aggregations, image processing."""


@cache
def published(data):
    """(family, feature, aggregation) → value and tolerance as printed."""
    with (Path(__file__).parents[1] / "data" / "ibsi1_reference.csv").open() as stream:
        return {
            (row["family"], row["feature"], row["aggregation"]): (
                float(row[data]),
                float(row[f"{data}_tolerance"] or 0),
            )
            for row in csv.DictReader(stream)
            if row[data]
        }


def agrees(found, value, tolerance=0.0):
    """Within the tolerance of a published value, which is itself rounded to three digits."""
    rounding = 0.5 * 10.0 ** (math.floor(math.log10(abs(value))) - 2) if value else 0.0
    return abs(found - value) <= (tolerance + rounding) * (1 + 1e-9)


def phantom_of(test_data, data):
    kind = "ibsi_1_digital_phantom" if data == "digital" else "ibsi_1_ct_radiomics_phantom"
    folder = test_data / "ibsi_phantoms" / kind / "nifti"
    return {"p": read_image(folder / "image" / "phantom.nii.gz")}, read_image(folder / "mask" / "mask.nii.gz")


@pytest.fixture(scope="module")
def phantom(test_data):
    return phantom_of(test_data, "digital")


@pytest.mark.parametrize(
    "data", ["digital", "C", *(pytest.param(name, marks=pytest.mark.slow) for name in ("A", "B", "D", "E"))]
)
def test_every_reference_value_of_the_region(test_data, data):
    settings, aggregation, processing = CONFIGURATIONS[data]
    table = region_features(*phantom_of(test_data, data), aggregation=aggregation, processing=processing, **settings)
    found = {(row.family, row.feature, row.aggregation): row.value for row in table.itertuples()}
    reference = published(data)
    wrong = {key: (found[key], value) for key, value in reference.items() if not agrees(found[key], *value)}
    assert len(reference) == {"digital": 482, "A": 346, "B": 346, "C": 209, "D": 210, "E": 210}[data]
    assert not wrong


def test_codes_are_those_of_the_reference_table(phantom):
    with (Path(__file__).parents[1] / "data" / "ibsi1_reference.csv").open() as stream:
        for row in csv.DictReader(stream):
            assert FAMILIES[row["family"]][row["feature"]] == row["code"]


def test_interpolation_gives_ibsis_counts(test_data):
    """Voxels of the CT phantom's masks: 45,985 and 45,981 (tolerances 100 and 700)."""
    _, _, processing = CONFIGURATIONS["C"]
    table = region_features(*phantom_of(test_data, "C"), features="firstorder.mean", processing=processing)
    assert table.attrs["n_voxels"] == {"p": (45985, 45981)}


TEXTURES = ["glcm", "glrlm", "glszm", "ngtdm", "ngldm"]


@pytest.mark.parametrize("aggregation", ["averaged", "merged"])
def test_a_kernel_over_the_whole_phantom_gives_the_region_at_every_voxel(phantom, aggregation):
    with pytest.warns(ComouldWarning, match="covers the whole mask"):
        maps = feature_maps(
            *phantom,
            features=["firstorder", *TEXTURES],
            radius_voxels=5,
            shape="box",
            bins=6,
            aggregation=aggregation,
        )
    assert maps.values.shape == (74, 20 + 25 + 16 + 16 + 5 + 17)
    reference = published("digital")
    for name in maps.names:
        family, feature = name.removeprefix("p/").split(".")
        key = "histogram" if feature in {"entropy", "uniformity"} and family == "firstorder" else family
        label = {"glcm": f"3D, {aggregation}", "glrlm": f"3D, {aggregation}"}.get(family, "3D")
        value = reference[key, feature, "" if family == "firstorder" else label]
        assert agrees(maps.column(name).min(), *value), name
        assert agrees(maps.column(name).max(), *value), name


@pytest.mark.parametrize("aggregation", ["averaged", "merged"])
def test_planar_kernels_give_the_values_per_slice(phantom, aggregation):
    """IBSI's 2-D values are the mean over the four slices."""
    maps = feature_maps(
        *phantom,
        features=TEXTURES,
        radius_voxels=5,
        shape="box",
        dimension=2,
        bin_width=1.0,
        aggregation=aggregation,
    )
    first = np.unique(maps.mask_idx[:, 0], return_index=True)[1]
    assert len(first) == 4
    directed = "2D, averaged" if aggregation == "averaged" else "2D, slice-merged"
    for (family, feature, label), value in published("digital").items():
        if family in TEXTURES and label == (directed if "," in label else "2D"):
            assert agrees(maps.column(f"p/{family}.{feature}")[first].mean(), *value), (family, feature)


PYRADIOMICS = {
    "glcm": {
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
    },
    "firstorder": {
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
    },
    "ngtdm": {name.lower(): name for name in ("Coarseness", "Contrast", "Busyness", "Complexity", "Strength")},
}
SIZES = {
    "glrlm": ("ShortRun", "LongRun", "GrayLevelRun", "RunLength", "RunPercentage", "RunVariance", "RunEntropy"),
    "glszm": ("SmallArea", "LargeArea", "GrayLevelZone", "SizeZone", "ZonePercentage", "ZoneVariance", "ZoneEntropy"),
    "gldm": (
        "SmallDependence",
        "LargeDependence",
        "GrayLevel",
        "Dependence",
        None,
        "DependenceVariance",
        "DependenceEntropy",
    ),
}


def pyradiomics_names(family):
    """Ours → theirs: features of levels and sizes are worded otherwise, in the catalogue's order."""
    if family in PYRADIOMICS:
        return PYRADIOMICS[family]
    small, large, level, size, percentage, variance, entropy = SIZES[family]
    theirs = [f"{small}Emphasis", f"{large}Emphasis", f"Low{level}Emphasis", f"High{level}Emphasis"]
    theirs += [f"{one}{grey}GrayLevelEmphasis" for one in (small, large) for grey in ("Low", "High")]
    theirs += ["GrayLevelNonUniformity", None if family == "gldm" else "GrayLevelNonUniformityNormalized"]
    theirs += [f"{size}NonUniformity", f"{size}NonUniformityNormalized", percentage, "GrayLevelVariance"]
    ours = list(FAMILIES["ngldm" if family == "gldm" else family])
    named = dict(zip(ours, [*theirs, variance, entropy], strict=False))
    return {one: other for one, other in named.items() if other}


def test_pyradiomics_wording_is_complete():
    for family, count in (("glrlm", 16), ("glszm", 16), ("gldm", 14)):
        assert len(pyradiomics_names(family)) == count


@pytest.mark.parametrize("case", ["brain1", "brain2", "breast1"])
def test_pyradiomics_baselines(test_data, case):
    """Their default case: bins of 25 from a multiple of 25, features averaged over 13 directions."""
    folder = test_data / "pyradiomics"
    image = right_handed(sitk.ReadImage(str(folder / f"{case}_image.nrrd")))
    mask = right_handed(sitk.ReadImage(str(folder / f"{case}_label.nrrd"))) == 1
    lowest = sitk.GetArrayFromImage(image)[sitk.GetArrayFromImage(mask) > 0].min()
    table = region_features(
        {"i": image},
        mask,
        features=["morphology", *MAPPED[:-1]],
        bin_width=25.0,
        lower_bound=float(np.floor(lowest / 25) * 25),
        aggregation="3D, averaged",
    )
    found = {(row.family, row.feature): row.value for row in table.itertuples()}
    for theirs in ("glcm", "firstorder", "glrlm", "glszm", "gldm", "ngtdm"):
        rows = baseline(folder, theirs, case)
        for feature, name in pyradiomics_names(theirs).items():
            expected = float(rows[f"original_{theirs}_{name}"])
            ours = "ngldm" if theirs == "gldm" else theirs
            assert found[ours, feature] == pytest.approx(expected, rel=1e-9), (ours, feature)
    # Their mesh is another one, and their principal axes divide by n: close, not equal.
    shape = baseline(folder, "shape", case)
    for feature, name in (
        ("volume_mesh", "MeshVolume"),
        ("surface_area_mesh", "SurfaceArea"),
        ("sphericity", "Sphericity"),
        ("maximum_3d_diameter", "Maximum3DDiameter"),
        ("major_axis_length", "MajorAxisLength"),
        ("least_axis_length", "LeastAxisLength"),
        ("flatness", "Flatness"),
    ):
        assert found["morphology", feature] == pytest.approx(float(shape[f"original_shape_{name}"]), rel=0.02), feature


def baseline(folder, family, case):
    with (folder / "baseline" / f"baseline_{family}.csv").open() as stream:
        return {row["featureName"]: row[case] for row in csv.DictReader(stream)}
