"""What ``comould associate`` and ``comould calibrate`` can be told."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_OUT = "comould_associations"
DEFAULT_CALIBRATION = "comould_calibration"


class StatisticName(StrEnum):
    """How habitat and gene are compared."""

    PEARSON = "pearson"
    SPEARMAN = "spearman"
    LEE = "lee"


class NullName(StrEnum):
    """What habitats are held against."""

    VARIOGRAM = "variogram"
    SHIFT = "shift"
    ROTATE = "rotate"
    ROTATE_REFLECT = "rotate_reflect"
    MORAN = "moran"
    DUTILLEUL = "dutilleul"
    SHUFFLE = "shuffle"


Case = Annotated[
    Path,
    typer.Argument(
        metavar="CASE",
        help="Folder of comould register or demo (spots/*.h5ad or spots.h5ad), a case.yaml that comould run has mapped "
        "the spots of, or its folder of results.",
    ),
]
Habitats = Annotated[
    Path | None,
    typer.Option(
        metavar="LABELS",
        help="Folder of comould habitats, or any label image; the case's own when left out.",
        show_default=False,
    ),
]
OutFolder = Annotated[
    Path | None,
    typer.Option("--out", help=f"Folder to write; {DEFAULT_OUT} (or the next free name) when left out."),
]
CalibrationFolder = Annotated[
    Path | None,
    typer.Option("--out", help=f"Folder to write; {DEFAULT_CALIBRATION} (or the next free name) when left out."),
]
Genesets = Annotated[
    list[str] | None,
    typer.Option(
        "--genesets",
        metavar="NAME|FILE.gmt",
        help="Built-in collection (immune, microenvironment, hypoxia, proliferation, stroma, housekeeping, all) or a "
        "GMT file; repeatable. immune when left out.",
        show_default=False,
    ),
]
Covariates = Annotated[
    list[str] | None,
    typer.Option(
        "--covariate",
        metavar="NAME",
        help="Taken off map and genes first: a column of the spots, log_counts, or edge_mm (needs --mask); repeatable.",
        show_default=False,
    ),
]
Mask = Annotated[
    Path | None,
    typer.Option(
        metavar="SEG", help="The specimen: gives every spot its distance to the edge, edge_mm.", show_default=False
    ),
]
StatisticOption = Annotated[StatisticName, typer.Option(help="Correlation with the habitat.")]
NullOption = Annotated[
    NullName, typer.Option(help="Maps a habitat is held against; shuffle forgets space and is for comparison only.")
]
Nulls = Annotated[
    list[NullName] | None,
    typer.Option(
        "--null",
        help="Null to judge; repeatable. variogram, shift and dutilleul when left out.",
        show_default=False,
    ),
]
Surrogates = Annotated[int, typer.Option(help="Surrogate maps of each habitat.")]
Fdr = Annotated[float, typer.Option(help="False-discovery rate at which a gene counts as claimed.")]
Others = Annotated[
    list[str] | None,
    typer.Option(
        "--other",
        metavar="NAME=LABELS",
        help="Habitats of another patient, as a control; repeatable. NAME is shown: no patient data.",
        show_default=False,
    ),
]
Calibrate = Annotated[
    int, typer.Option(metavar="MAPS", help="Judge the test on as many chance maps (slow); 0 for none.")
]
Maps = Annotated[int, typer.Option(help="Chance maps, shared out among the habitats.")]
Genes = Annotated[int, typer.Option(help="Genes tested against each map.")]
Layer = Annotated[
    str, typer.Option(metavar="NAME", help="Layer with the raw counts; X when left out.", show_default=False)
]
Seed = Annotated[int, typer.Option(help="Same seed, same table.")]
Force = Annotated[bool, typer.Option("--force", help="Use the spots of rejected sections too.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result in --out.")]
