"""``comould calibrate``: how often each test is wrong on a case's own spots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from comould.cli._associate_options import (
    DEFAULT_CALIBRATION,
    CalibrationFolder,
    Case,
    Covariates,
    Force,
    Genes,
    Habitats,
    Layer,
    Maps,
    Mask,
    Nulls,
    Overwrite,
    Seed,
    StatisticName,
    StatisticOption,
)
from comould.cli._bars import step_bars
from comould.cli._guard import guarded, out
from comould.cli._tell import tell

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

FILES = (("Table", "calibration.csv"), ("Figure", "calibration.png"), ("Everything", ""))
VERDICT_STYLES = {"holds": "green", "too many": "bold red", "not testable": "dim"}


@guarded
def calibrate(
    case: Case,
    habitats: Habitats = None,
    out_dir: CalibrationFolder = None,
    maps: Maps = 100,
    genes: Genes = 100,
    nulls: Nulls = None,
    covariates: Covariates = None,
    mask: Mask = None,
    statistic: StatisticOption = StatisticName.PEARSON,
    layer: Layer = "",
    seed: Seed = 0,
    force: Force = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure how often each test claims a gene for a map drawn by chance, on a case's own spots and genes.

    The maps have each habitat's share of the spots and its smoothness, and were drawn without looking at any gene:
    whatever a test finds is false. One that holds claims 5 % of them at p ≤ 0.05.

    Exit code 0: written, whatever was found; 2: mistakes in the input, nothing written.
    """
    from comould.cli.demo import next_free

    with step_bars(28) as named:
        from comould.study.associate_options import AssociateOptions
        from comould.study.calibrate_case import KINDS, STEPS, run_calibration

        options = AssociateOptions(
            habitats=habitats, mask=mask, covariates=tuple(covariates or ()), statistic=statistic.value, layer=layer,
            seed=seed, force=force,
        )  # fmt: skip
        result = run_calibration(
            case, out_dir or next_free(Path(DEFAULT_CALIBRATION)), options=options, maps=maps, genes=genes,
            kinds=[one.value for one in nulls] if nulls else KINDS, overwrite=overwrite, progress=named(STEPS),
        )  # fmt: skip
    out.print(rates_table(result.table))
    out.print()
    tell([], result.folder, FILES)


def rates_table(rates: pd.DataFrame) -> Table:
    """Lay out the rates: over all habitats, then habitat by habitat."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("Test", "Habitat", "At 0.05", "95 % interval", "At 0.01", "Maps", "Verdict"):
        table.add_column(heading, justify="left" if heading in {"Test", "Habitat", "Verdict"} else "right")
    for row in rates.to_dict("records"):
        whole = row["habitat"] == "all"
        tested = row["n_maps"] > 0
        table.add_row(
            Text(str(row["test"]), style="bold" if whole else ""), str(row["habitat"]),
            f"{row['rate_05']:.3f}" if tested else "–", f"{row['low']:.3f} to {row['high']:.3f}" if tested else "–",
            f"{row['rate_01']:.3f}" if tested else "–", str(row["n_maps"]),
            Text(str(row["verdict"]), style=VERDICT_STYLES.get(str(row["verdict"]), "")),
        )  # fmt: skip
    return table
