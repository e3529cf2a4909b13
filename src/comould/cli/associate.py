"""``comould associate``: registered spots and habitats in, tested claims with what they were held against out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from comould.cli._associate_options import (
    DEFAULT_OUT,
    Calibrate,
    Case,
    Covariates,
    Fdr,
    Force,
    Genesets,
    Habitats,
    Layer,
    Mask,
    NullName,
    NullOption,
    Others,
    OutFolder,
    Overwrite,
    Seed,
    StatisticName,
    StatisticOption,
    Surrogates,
)
from comould.cli._bars import step_bars
from comould.cli._guard import guarded, out
from comould.cli._tell import tell
from comould.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from comould.study.associate_case import AssociateResult

TOP = 5
FILES = (
    ("Report", "report.html"), ("Claims", "associations.csv"), ("Genes", "genes.csv"), ("Spots", "spots.h5ad"),
    ("Everything", ""),
)  # fmt: skip
VERDICT_STYLES = {"null": "green", "not null": "bold red", "not run": "dim"}


@guarded
def associate(
    case: Case,
    habitats: Habitats = None,
    out_dir: OutFolder = None,
    genesets: Genesets = None,
    covariates: Covariates = None,
    mask: Mask = None,
    statistic: StatisticOption = StatisticName.PEARSON,
    null: NullOption = NullName.VARIOGRAM,
    surrogates: Surrogates = 999,
    fdr: Fdr = 0.1,
    others: Others = None,
    calibrate: Calibrate = 0,
    layer: Layer = "",
    seed: Seed = 0,
    force: Force = False,
    overwrite: Overwrite = False,
) -> None:
    """Test which genes and gene sets follow a habitat, against maps that are random but as smooth.

    The claims are then looked at again: with all spots displaced on purpose, over the positions registration holds to
    be as likely, and on maps that cannot be right. The report says at its top when one of these controls fails.

    Exit code 0: written, whatever was found; 2: mistakes in the input, all of them named, nothing written.
    """
    from comould.cli.demo import next_free

    named_others = {name: Path(path) for name, path in parse_others(others or []).items()}
    with step_bars(28) as named:
        from comould.study.associate_case import STEPS, run_associations
        from comould.study.associate_options import AssociateOptions

        options = AssociateOptions(
            habitats=habitats, mask=mask, genesets=tuple(genesets or ("immune",)), others=named_others,
            covariates=tuple(covariates or ()), statistic=statistic.value, layer=layer, null=null.value,
            n_surrogates=surrogates, seed=seed, fdr=fdr, calibrate=calibrate, force=force,
        )  # fmt: skip
        result = run_associations(
            case, out_dir or next_free(Path(DEFAULT_OUT)), options=options, overwrite=overwrite, progress=named(STEPS)
        )
    show(result, fdr)


def parse_others(items: list[str]) -> dict[str, str]:
    """Read NAME=LABELS items, each name once.

    Raises
    ------
    InputError
        For an item without a name or path, or a name given twice.
    """
    found: dict[str, str] = {}
    for item in items:
        name, equals, path = (part.strip() for part in item.partition("="))
        if not equals or not name or not path or name in found:
            raise InputError(subject=f"--other {item}", expected="NAME=LABELS, each name once", found=repr(item))
        found[name] = path
    return found


def show(result: AssociateResult, fdr: float) -> None:
    """Print the strongest genes, the controls, and the key facts."""
    out.print(top_table(result, fdr))
    if result.controls is not None:
        out.print()
        out.print(controls_table(result))
    out.print()
    tell(summary(result, fdr), result.folder, FILES)


def top_table(result: AssociateResult, fdr: float) -> Table:
    """Lay out the strongest rows of each kind, and where displacement loses them."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("Strongest", "Habitat", "Correlation", "q, spatial", "q, naive", "Lost at"):
        table.add_column(heading, justify="left" if heading in {"Strongest", "Habitat"} else "right")
    lost = lost_at(result)
    tested = result.table[result.table["p_spatial"].notna()]
    for kind in ("gene", "geneset"):
        rows = tested[tested["kind"] == kind].sort_values(["p_spatial", "p_naive"], kind="stable")
        for row in rows.head(TOP).to_dict("records"):
            name = Text(str(row["feature"]), style="bold" if row["q_spatial"] <= fdr else "")
            where = lost.get((row["feature"], row["habitat"]), "")
            table.add_row(
                name, str(row["habitat"]), f"{row['statistic']:.2f}", f"{row['q_spatial']:.2g}",
                f"{row['q_naive']:.2g}", where,
            )  # fmt: skip
    return table


def lost_at(result: AssociateResult) -> dict[tuple[str, str], str]:
    """Feature and habitat to where displacement loses the claim, in words."""
    if result.shift is None:
        return {}
    from comould.pl.shift_figure import said_of

    return {
        (str(row.feature), str(row.habitat)): said_of(row).removeprefix("lost at ")
        for row in result.shift.summary.itertuples()
    }


def controls_table(result: AssociateResult) -> Table:
    """Lay out what must come out null."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("Control", "Verdict", "Found", "On the right map"):
        table.add_column(heading, justify="left" if heading in {"Control", "Verdict"} else "right")
    rows = [] if result.controls is None else result.controls.to_dict("records")
    for row in rows:
        ran = row["verdict"] != "not run"
        own = ran and row["control"] != "housekeeping genes"
        table.add_row(
            str(row["control"]), Text(str(row["verdict"]), style=VERDICT_STYLES.get(str(row["verdict"]), "")),
            f"{row['n_found']} of {row['n_tested']}" if ran else "–", str(row["n_right_map"]) if own else "–",
        )  # fmt: skip
    return table


def summary(result: AssociateResult, fdr: float) -> list[tuple[str, str]]:
    """Say the key facts in words."""
    from comould.study.associate_case import figures_of

    n = figures_of(result, fdr)
    rows = [
        (
            "Genes claimed",
            f"{n['genes_spatial']} of {n['n_genes']} by the spatial test, {n['genes_naive']} by the naive one",
        )
    ]
    if n["n_genesets"]:
        rows.append(("Gene sets", f"{n['genesets_spatial']} of {n['n_genesets']} claimed"))
    outside = f"; {n['n_outside']} lie outside the habitats" if n["n_outside"] else ""
    rows.append(("Spots", f"{n['n_spots']} in {len(result.coverage)} sections{outside}"))
    rows += [("Left out", f"{name}: {why}") for name, why in result.left_out.items()]
    bad = [name for name, verdict in n.get("controls", {}).items() if verdict == "not null"]
    if bad:
        rows.append(("Shortcut!", f"not null: {', '.join(bad)}; the claims are no evidence for this map"))
    if result.calibration is not None:
        whole = result.calibration[result.calibration["habitat"] == "all"].to_dict("records")
        said = ", ".join(f"{row['test']} {row['rate_05']:.3f} ({row['verdict']})" for row in whole)
        rows.append(("Calibration", f"false positives at 0.05: {said}"))
    return rows
