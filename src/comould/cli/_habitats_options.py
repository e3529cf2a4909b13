"""What ``comould habitats`` can be told."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_OUT = "comould_habitats"


class MethodName(StrEnum):
    """How voxels are grouped."""

    GMM = "gmm"
    KMEANS = "kmeans"
    FCM = "fcm"


class RuleName(StrEnum):
    """What chooses the number of habitats."""

    EXCESS = "excess"
    SILHOUETTE = "silhouette"
    CALINSKI_HARABASZ = "calinski_harabasz"
    DAVIES_BOULDIN = "davies_bouldin"
    GAP = "gap"
    BIC = "bic"
    STABILITY = "stability"


Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE...",
        help="NAME=PATH of a DICOM folder, NIfTI, NRRD or MHA, as T2=scans/t2; without a name image1, image2 …",
    ),
]
Mask = Annotated[
    Path, typer.Option("--mask", metavar="SEG", help="Label map, DICOM SEG or RTSTRUCT.", show_default=False)
]
RoiName = Annotated[
    str | None, typer.Option(metavar="NAME", help="Region of the mask: its name or number.", show_default=False)
]
OutFolder = Annotated[
    Path | None,
    typer.Option("--out", help=f"Folder to write; {DEFAULT_OUT} (or the next free name) when left out."),
]
Number = Annotated[
    str, typer.Option("--habitats", metavar="N", help="How many, or auto, or auto:MOST (auto is auto:6).")
]
MethodOption = Annotated[
    MethodName,
    typer.Option(help="gmm and kmeans have a spatial prior and outliers; fcm is fuzzy, with neighbours."),
]
RuleOption = Annotated[RuleName, typer.Option(help="What chooses the number; all curves are shown.")]
Features = Annotated[
    list[str] | None,
    typer.Option(
        "--feature",
        metavar="NAME",
        help="Feature or family, as glcm.joint_entropy or firstorder; repeatable. Intensity when left out.",
    ),
]
RadiusMm = Annotated[float, typer.Option("--radius-mm", help="Reach of the neighbourhood.")]
SupervoxelMm = Annotated[
    float | None,
    typer.Option("--supervoxel-mm", help="Two steps: group supervoxels of this size.", show_default=False),
]
Prepare = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=STEPS",
        help="Before all: hu (or hu:lung …), adc, zscore, n4; several as n4+zscore; repeatable.",
    ),
]
ModelFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Apply the model.json of an earlier run or cohort.", show_default=False),
]
DicomSeries = Annotated[
    Path | None,
    typer.Option(
        "--dicom-seg",
        metavar="FOLDER",
        help="DICOM series the SEG is written for; that of the mask's grid when left out.",
        show_default=False,
    ),
]
NoStability = Annotated[
    bool, typer.Option("--no-stability", help="Skip measuring again: faster, and nothing is left out.")
]
LeastIcc = Annotated[float, typer.Option("--least-icc", help="What a feature must reach to be used.")]
Seed = Annotated[int, typer.Option(help="Same seed, same labels.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result in --out.")]
