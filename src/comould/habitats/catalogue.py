"""The features there are: IBSI names and codes, and how a request is read.

Names are ``family.feature``; a family's name alone asks for all of it. Codes are IBSI's permanent identifiers.

References
----------
Zwanenburg et al., Radiology 2020, doi 10.1148/radiol.2020191145; reference manual arXiv:1612.07003.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from comould.errors import InputError

FIRST_ORDER: dict[str, str] = {
    "mean": "Q4LE",
    "variance": "ECT3",
    "skewness": "KE2A",
    "kurtosis": "IPH6",
    "median": "Y12H",
    "minimum": "1GSF",
    "percentile_10": "QG58",
    "percentile_90": "8DWT",
    "maximum": "84IY",
    "interquartile_range": "SALO",
    "range": "2OJQ",
    "mean_absolute_deviation": "4FUA",
    "robust_mean_absolute_deviation": "1128",
    "median_absolute_deviation": "N72L",
    "coefficient_of_variation": "7TET",
    "quartile_coefficient_of_dispersion": "9S40",
    "energy": "N8CA",
    "root_mean_square": "5ZWQ",
    "entropy": "TLU2",
    "uniformity": "BJ5W",
}
"""All 18 intensity statistics, and entropy and uniformity of the discretised intensities; order of the kernel's row."""

GLCM: dict[str, str] = {
    "joint_maximum": "GYBY",
    "joint_average": "60VM",
    "joint_variance": "UR99",
    "joint_entropy": "TU9B",
    "difference_average": "TF7R",
    "difference_variance": "D3YU",
    "difference_entropy": "NTRS",
    "sum_average": "ZGXS",
    "sum_variance": "OEEB",
    "sum_entropy": "P6QZ",
    "angular_second_moment": "8ZQL",
    "contrast": "ACUI",
    "dissimilarity": "8S9J",
    "inverse_difference": "IB1Z",
    "normalised_inverse_difference": "NDRX",
    "inverse_difference_moment": "WF0Z",
    "normalised_inverse_difference_moment": "1QCO",
    "inverse_variance": "E8JP",
    "correlation": "NI2N",
    "autocorrelation": "QWB0",
    "cluster_tendency": "DG8W",
    "cluster_shade": "7NFM",
    "cluster_prominence": "AE86",
    "information_correlation_1": "R8DG",
    "information_correlation_2": "JN9H",
}
"""All 25 features of the grey level co-occurrence matrix; order of the kernel's row."""

MORPHOLOGY: dict[str, str] = {
    "volume_mesh": "RNU0",
    "volume_voxel_counting": "YEKZ",
    "surface_area_mesh": "C0JK",
    "surface_to_volume_ratio": "2PR5",
    "compactness_1": "SKGS",
    "compactness_2": "BQWJ",
    "spherical_disproportion": "KRCK",
    "sphericity": "QCFX",
    "asphericity": "25C7",
    "centre_of_mass_shift": "KLMA",
    "maximum_3d_diameter": "L0JK",
    "major_axis_length": "TDIC",
    "minor_axis_length": "P9VJ",
    "least_axis_length": "7J51",
    "elongation": "Q3CK",
    "flatness": "N17B",
    "volume_density_axis_aligned_bounding_box": "PBX1",
    "area_density_axis_aligned_bounding_box": "R59B",
    "volume_density_oriented_minimum_bounding_box": "ZH1A",
    "area_density_oriented_minimum_bounding_box": "IQYR",
    "volume_density_approximate_enclosing_ellipsoid": "6BDE",
    "area_density_approximate_enclosing_ellipsoid": "RDD2",
    "volume_density_minimum_volume_enclosing_ellipsoid": "SWZ1",
    "area_density_minimum_volume_enclosing_ellipsoid": "BRI8",
    "volume_density_convex_hull": "R3ER",
    "area_density_convex_hull": "7T7F",
    "integrated_intensity": "99N0",
    "moran_i_index": "N365",
    "geary_c_measure": "NPT7",
}
"""All 29 features of a region's shape; those of the box and ellipsoid of least volume have no reference values."""

LOCAL_INTENSITY: dict[str, str] = {
    "local_intensity_peak": "VJGA",
    "global_intensity_peak": "0F91",
}
"""Mean intensity within 1 cm³ around the brightest voxel, and the highest such mean."""

HISTOGRAM: dict[str, str] = {
    "mean": "X6K6",
    "variance": "CH89",
    "skewness": "88K1",
    "kurtosis": "C3I7",
    "median": "WIFQ",
    "minimum": "1PR8",
    "percentile_10": "GPMT",
    "percentile_90": "OZ0C",
    "maximum": "3NCY",
    "mode": "AMMC",
    "interquartile_range": "WR0O",
    "range": "5Z3W",
    "mean_absolute_deviation": "D2ZX",
    "robust_mean_absolute_deviation": "WRZB",
    "median_absolute_deviation": "4RNL",
    "coefficient_of_variation": "CWYJ",
    "quartile_coefficient_of_dispersion": "SLWD",
    "entropy": "TLU2",
    "uniformity": "BJ5W",
    "maximum_gradient": "12CE",
    "maximum_gradient_intensity": "8E6O",
    "minimum_gradient": "VQB3",
    "minimum_gradient_intensity": "RHQZ",
}
"""All 23 features of the histogram of discretised intensities."""

INTENSITY_VOLUME: dict[str, str] = {
    "volume_at_intensity_fraction_10": "BC2M",
    "volume_at_intensity_fraction_90": "BC2M",
    "intensity_at_volume_fraction_10": "GBPN",
    "intensity_at_volume_fraction_90": "GBPN",
    "volume_fraction_difference": "DDTU",
    "intensity_difference": "CNV2",
    "area_under_curve": "9CMM",
}
"""Features of the cumulative intensity-volume histogram."""

GLRLM: dict[str, str] = {
    "short_runs_emphasis": "22OV",
    "long_runs_emphasis": "W4KF",
    "low_grey_level_run_emphasis": "V3SW",
    "high_grey_level_run_emphasis": "G3QZ",
    "short_run_low_grey_level_emphasis": "HTZT",
    "short_run_high_grey_level_emphasis": "GD3A",
    "long_run_low_grey_level_emphasis": "IVPO",
    "long_run_high_grey_level_emphasis": "3KUM",
    "grey_level_non_uniformity": "R5YN",
    "normalised_grey_level_non_uniformity": "OVBL",
    "run_length_non_uniformity": "W92Y",
    "normalised_run_length_non_uniformity": "IC23",
    "run_percentage": "9ZK5",
    "grey_level_variance": "8CE5",
    "run_length_variance": "SXLW",
    "run_entropy": "HJ9O",
}
"""All 16 features of the grey level run length matrix; order of the kernel's row."""

GLSZM: dict[str, str] = {
    "small_zone_emphasis": "5QRC",
    "large_zone_emphasis": "48P8",
    "low_grey_level_zone_emphasis": "XMSY",
    "high_grey_level_zone_emphasis": "5GN9",
    "small_zone_low_grey_level_emphasis": "5RAI",
    "small_zone_high_grey_level_emphasis": "HW1V",
    "large_zone_low_grey_level_emphasis": "YH51",
    "large_zone_high_grey_level_emphasis": "J17V",
    "grey_level_non_uniformity": "JNSA",
    "normalised_grey_level_non_uniformity": "Y1RO",
    "zone_size_non_uniformity": "4JP3",
    "normalised_zone_size_non_uniformity": "VB3A",
    "zone_percentage": "P30P",
    "grey_level_variance": "BYLV",
    "zone_size_variance": "3NSA",
    "zone_size_entropy": "GU8N",
}
"""All 16 features of the grey level size zone matrix; order of the kernel's row."""

GLDZM: dict[str, str] = {
    "small_distance_emphasis": "0GBI",
    "large_distance_emphasis": "MB4I",
    "low_grey_level_zone_emphasis": "S1RA",
    "high_grey_level_zone_emphasis": "K26C",
    "small_distance_low_grey_level_emphasis": "RUVG",
    "small_distance_high_grey_level_emphasis": "DKNJ",
    "large_distance_low_grey_level_emphasis": "A7WM",
    "large_distance_high_grey_level_emphasis": "KLTH",
    "grey_level_non_uniformity": "VFT7",
    "normalised_grey_level_non_uniformity": "7HP3",
    "zone_distance_non_uniformity": "V294",
    "normalised_zone_distance_non_uniformity": "IATH",
    "zone_percentage": "VIWW",
    "grey_level_variance": "QK93",
    "zone_distance_variance": "7WT1",
    "zone_distance_entropy": "GBDU",
}
"""All 16 features of the grey level distance zone matrix; order of the kernel's row."""

NGTDM: dict[str, str] = {
    "coarseness": "QCDE",
    "contrast": "65HE",
    "busyness": "NQ30",
    "complexity": "HDEZ",
    "strength": "1X9X",
}
"""All 5 features of the neighbourhood grey tone difference matrix; order of the kernel's row."""

NGLDM: dict[str, str] = {
    "low_dependence_emphasis": "SODN",
    "high_dependence_emphasis": "IMOQ",
    "low_grey_level_count_emphasis": "TL9H",
    "high_grey_level_count_emphasis": "OAE7",
    "low_dependence_low_grey_level_emphasis": "EQ3F",
    "low_dependence_high_grey_level_emphasis": "JA6D",
    "high_dependence_low_grey_level_emphasis": "NBZI",
    "high_dependence_high_grey_level_emphasis": "9QMG",
    "grey_level_non_uniformity": "FP8K",
    "normalised_grey_level_non_uniformity": "5SPA",
    "dependence_count_non_uniformity": "Z87G",
    "normalised_dependence_count_non_uniformity": "OKJI",
    "dependence_count_percentage": "6XV8",
    "grey_level_variance": "1PFV",
    "dependence_count_variance": "DNX2",
    "dependence_count_entropy": "FCBV",
    "dependence_count_energy": "CAS9",
}
"""All 17 features of the neighbouring grey level dependence matrix; order of the kernel's row."""

INTENSITY: dict[str, str] = {"voxel": "", "gaussian": ""}
"""The voxel's own intensity, and a normalised Gaussian mean inside the mask; no textures, so without IBSI codes."""

FAMILIES: dict[str, dict[str, str]] = {
    "morphology": MORPHOLOGY,
    "local_intensity": LOCAL_INTENSITY,
    "firstorder": FIRST_ORDER,
    "histogram": HISTOGRAM,
    "ivh": INTENSITY_VOLUME,
    "glcm": GLCM,
    "glrlm": GLRLM,
    "glszm": GLSZM,
    "gldzm": GLDZM,
    "ngtdm": NGTDM,
    "ngldm": NGLDM,
    "intensity": INTENSITY,
}
MAPPED = ("firstorder", "glcm", "glrlm", "glszm", "ngtdm", "ngldm", "intensity")
"""Families that have a value per voxel."""

OF_REGIONS = tuple(family for family in FAMILIES if family != "intensity")
"""Families that have a value per region."""

BY_DIRECTION = ("glcm", "glrlm")
BY_VOLUME = ("glszm", "gldzm", "ngtdm", "ngldm")
AGGREGATIONS: dict[str, str] = {
    "2D, averaged": "BTW3",
    "2D, slice-merged": "SUJT",
    "2.5D, direction-merged": "JJUI",
    "2.5D, merged": "ZW7Z",
    "3D, averaged": "ITBB",
    "3D, merged": "IAZD",
    "2D": "8QNN",
    "2.5D": "62GR",
    "3D": "KOBO",
}
"""How matrices of slices and directions become one value; families without directions know the last three."""


def names(family: str | None = None) -> tuple[str, ...]:
    """List the full names of every feature, or of one family's.

    Parameters
    ----------
    family
        One of ``FAMILIES``; all when ``None``.
    """
    chosen = FAMILIES if family is None else {family: FAMILIES[family]}
    return tuple(f"{group}.{feature}" for group, features in chosen.items() for feature in features)


def code(name: str) -> str:
    """Give the IBSI code of ``family.feature`` (``image/family.feature`` too); ``""`` without one."""
    family, _, feature = name.rpartition("/")[2].partition(".")
    return FAMILIES[family][feature]


def resolve(requested: str | Sequence[str], allowed: Sequence[str] = MAPPED) -> dict[str, list[str]]:
    """Sort a request into families: family → feature names, in the order asked for, once each.

    Parameters
    ----------
    requested
        Names such as ``"glcm.contrast"``, or families.
    allowed
        Families that may be asked for.

    Raises
    ------
    InputError
        If nothing is asked for, or a name is unknown (the nearest known one is named).
    """
    wanted = [requested] if isinstance(requested, str) else list(requested)
    problems: list[str] = []
    found: dict[str, list[str]] = {}
    for name in wanted:
        family, _, feature = str(name).partition(".")
        if family in FAMILIES and family not in allowed:
            kind = "region" if family == "intensity" else "voxel"
            problems.append(f"{name!r} has no value for a {kind}")
            continue
        if family not in FAMILIES or (feature and feature not in FAMILIES[family]):
            near = difflib.get_close_matches(
                str(name), [*allowed, *(n for f in allowed for n in names(f))], n=1, cutoff=0.4
            )
            problems.append(f"{name!r} is unknown" + (f" (nearest: {near[0]!r})" if near else ""))
            continue
        listed = found.setdefault(family, [])
        listed.extend(f for f in ([feature] if feature else FAMILIES[family]) if f not in listed)
    if not wanted:
        problems.append("none asked for")
    if problems:
        raise InputError.collect(
            subject="features",
            problems=problems,
            remedy=f"Give names like 'glcm.joint_entropy' or a family: {', '.join(allowed)}",
        )
    return found
