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

INTENSITY: dict[str, str] = {"voxel": "", "gaussian": ""}
"""The voxel's own intensity, and a normalised Gaussian mean inside the mask; no textures, so without IBSI codes."""

FAMILIES: dict[str, dict[str, str]] = {"firstorder": FIRST_ORDER, "glcm": GLCM, "intensity": INTENSITY}


def names(family: str | None = None) -> tuple[str, ...]:
    """List the full names of every feature, or of one family's.

    Parameters
    ----------
    family
        ``"firstorder"``, ``"glcm"`` or ``"intensity"``; all when ``None``.
    """
    chosen = FAMILIES if family is None else {family: FAMILIES[family]}
    return tuple(f"{group}.{feature}" for group, features in chosen.items() for feature in features)


def code(name: str) -> str:
    """Give the IBSI code of ``family.feature`` (``image/family.feature`` too); ``""`` without one."""
    family, _, feature = name.rpartition("/")[2].partition(".")
    return FAMILIES[family][feature]


def resolve(requested: str | Sequence[str]) -> dict[str, list[str]]:
    """Sort a request into families: family → feature names, in the order asked for, once each.

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
        if family not in FAMILIES or (feature and feature not in FAMILIES[family]):
            near = difflib.get_close_matches(str(name), [*FAMILIES, *names()], n=1, cutoff=0.4)
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
            remedy=f"Give names like 'glcm.joint_entropy' or a family: {', '.join(FAMILIES)}",
        )
    return found
