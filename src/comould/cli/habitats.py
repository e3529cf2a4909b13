"""``comould habitats``: images and a mask in, habitats with their proof out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from comould.cli._bars import step_bars
from comould.cli._guard import guarded, out
from comould.cli._habitats_options import (
    DEFAULT_OUT,
    DicomSeries,
    Features,
    Images,
    LeastIcc,
    Mask,
    MethodName,
    MethodOption,
    ModelFile,
    NoStability,
    Number,
    OutFolder,
    Overwrite,
    Prepare,
    RadiusMm,
    RoiName,
    RuleName,
    RuleOption,
    Seed,
    SupervoxelMm,
)
from comould.errors import InputError

if TYPE_CHECKING:
    from comould.study import HabitatOptions
    from comould.study.habitats_case import HabitatsResult


@guarded
def habitats(
    images: Images,
    mask: Mask,
    roi: RoiName = None,
    out_dir: OutFolder = None,
    number: Number = "auto",
    method: MethodOption = MethodName.GMM,
    rule: RuleOption = RuleName.EXCESS,
    features: Features = None,
    radius_mm: RadiusMm = 2.0,
    supervoxel_mm: SupervoxelMm = None,
    prepare: Prepare = None,
    model: ModelFile = None,
    dicom_seg: DicomSeries = None,
    no_stability: NoStability = False,
    least_icc: LeastIcc = 0.75,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Find the habitats of a tumour: regions that look alike in one or several images.

    Features are measured again under noise, other grids and contours, and those that do not hold still are left out.
    The habitats are found again in the same way, and the report says how well they hold. Labels are ordered by the
    mean of the first image, on the grid of the mask.

    Exit code 0: written; 2: a mistake in the input, nothing written.
    """
    from comould.cli.demo import next_free

    paths, steps = parse_images(images), parse_pairs(prepare or [], "--prepare")
    with step_bars(18) as named:
        from comould.study.habitats_case import STEPS, run_habitats

        options = make_options(
            number, method, rule, features=features, radius_mm=radius_mm, supervoxel_mm=supervoxel_mm,
            model=model, dicom_seg=dicom_seg, stability=not no_stability, least_icc=least_icc, seed=seed,
            prepare=steps,
        )  # fmt: skip
        result = run_habitats(
            paths, mask, out_dir or next_free(Path(DEFAULT_OUT)), roi=roi, options=options, overwrite=overwrite,
            progress=named(STEPS),
        )  # fmt: skip
    _show(result)


def make_options(number: str, method: MethodName, rule: RuleName, **settings: object) -> HabitatOptions:
    """Make options of what was typed."""
    from comould.study import HabitatOptions

    wanted, most = parse_number(number)
    chosen = {name: value for name, value in settings.items() if value is not None}
    if isinstance(settings.get("features"), list):
        chosen["features"] = tuple(settings["features"])  # type: ignore[arg-type]
    return HabitatOptions(wanted, most, method.value, rule.value, **chosen)  # type: ignore[arg-type]


def parse_number(text: str) -> tuple[int | None, int]:
    """Read a number of habitats: a whole number, auto, or auto:MOST."""
    word, _, most = text.strip().lower().partition(":")
    if word == "auto" and (not most or most.isdecimal()):
        return None, int(most or 6)
    if text.strip().isdecimal():
        return int(text), max(int(text), 2)
    raise InputError(subject="--habitats", expected="a whole number, auto, or auto:MOST", found=repr(text))


def parse_images(items: list[str]) -> dict[str, Path]:
    """Read NAME=PATH, or PATH alone.

    Raises
    ------
    InputError
        For a name given twice or left empty.
    """
    found: dict[str, Path] = {}
    for n, item in enumerate(items, start=1):
        name, equals, path = item.partition("=")
        if not equals or Path(item).exists():
            name, path = f"image{n}", item
        if not name.strip() or not path.strip() or "/" in name or name in found:
            raise InputError(
                subject=f"image {item!r}",
                expected="NAME=PATH with a name of its own, without '/'",
                found="a name given twice" if name in found else repr(name),
            )
        found[name] = Path(path)
    return found


def parse_pairs(items: list[str], option: str) -> dict[str, str]:
    """Read NAME=VALUE items of an option, each name once."""
    found: dict[str, str] = {}
    for item in items:
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not name or not value or name in found:
            raise InputError(subject=f"{option} {item}", expected="NAME=STEPS, each name once", found=repr(item))
        found[name] = value
    return found


def _show(result: HabitatsResult) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("Habitat", "ml", "Share", *(f"{n} mean" for n in _images(result))):
        table.add_column(heading, justify="left" if heading == "Habitat" else "right")
    held = result.stability.habitats["dice_mean"] if result.stability is not None else None
    if held is not None:
        table.add_column("Found again", justify="right")
    for name, row in result.habitats.table.iterrows():
        cells = [str(name), f"{row['volume_ml']:.3g}", f"{100 * row['fraction']:.0f} %"]
        cells += [f"{row[f'{image}_mean']:.4g}" for image in _images(result)]
        table.add_row(*cells, *([f"{held.loc[str(name)]:.2f}"] if held is not None else []))
    out.print(table)
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for label, value in summary(result):
        facts.add_row(f"[dim]{label}[/]", Text(value))
    out.print(facts)
    for label, file in (
        ("Report", "report.html"), ("Labels", "habitats.nii.gz"), ("DICOM SEG", "habitats.dcm"),
        ("AnnData", "supervoxels.h5ad"), ("Everything", ""),
    ):  # fmt: skip
        if (result.folder / file).exists():
            out.print(f"[bold green]{label:<12}[/]", end="")
            out.print(str(result.folder / file), markup=False)


def _images(result: HabitatsResult) -> list[str]:
    return [str(name) for name in result.habitats.parameters["images"]]


def summary(result: HabitatsResult) -> list[tuple[str, str]]:
    """Say the key facts in words."""
    rows = [("ITH score", f"{result.measures['ith_score']:.2f} (0: each habitat one piece, 1: crumbs)")]
    if result.stability is not None:
        index = result.stability.table["rand_index"]
        rows.append(
            ("Measured again", f"Rand index {index.median():.2f}, at worst {index.min():.2f}, in {len(index)} ways")
        )
    if result.features is not None:
        left = f"; left out: {', '.join(result.left_out)}" if result.left_out else ""
        count = len(result.features.table)
        rows.append(("Features", f"{count - len(result.left_out)} of {count} hold still{left}"))
    return rows
