"""Report of a tumour's habitats: the map, how their number was chosen, what holds still, what lies beside what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from comould import pl
from comould.pl.habitats_figure import fractions, own_planes
from comould.pl.kinds import HabitatsLike
from comould.pl.style import Theme, habitat_colour
from comould.pl.view import grey_window, mask_points
from comould.report.facts import Figure, Table, chapter, flat_items, number
from comould.report.pictures import Picture, chart, image
from comould.report.write import check_path, page, put

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

MOST_PLANES = 12
LIMITS = (
    ("Research use only", "Not a medical device. Nothing here may guide diagnosis or treatment."),
    (
        "Groups, not tissues",
        "A habitat is a group of voxels that look alike in these images. What tissue it is, histology has to say.",
    ),
    (
        "Probabilities are too sure",
        "They say how well a voxel fits one habitat among the others, given that habitats exist at all.",
    ),
    (
        "Smooth by construction",
        "Neighbours vote for one another. A habitat thinner than the neighbourhood cannot appear.",
    ),
    (
        "Stability is no truth",
        "What is found again in perturbed images is reproducible. It may be reproducibly wrong.",
    ),
)
_MEASURES = {
    "volume_ml": "Volume, ml",
    "ith_score": "ITH score",
    "pieces": "Connected pieces",
    "mixing": "Contacts between different habitats",
    "entropy": "Entropy of contacts, bit",
    "contrast": "Contrast of contacts",
    "homogeneity": "Homogeneity of contacts",
    "correlation": "Correlation of contacts",
    "energy": "Energy of contacts",
    "mean_probability": "Mean probability",
}


class FeaturesLike(Protocol):
    """What held still of the features."""

    @property
    def table(self) -> pd.DataFrame:
        """One row a feature map: icc, limits, kept."""
        ...

    @property
    def least_icc(self) -> float:
        """The threshold."""
        ...


class StabilityLike(Protocol):
    """What held still of the habitats."""

    @property
    def table(self) -> pd.DataFrame:
        """One row a measurement."""
        ...

    @property
    def habitats(self) -> pd.DataFrame:
        """One row a habitat."""
        ...

    @property
    def kept(self) -> sitk.Image:
        """Share of the measurements in which a voxel stayed."""
        ...


@dataclass(frozen=True, eq=False)
class HabitatReport:
    """What is reported; what is ``None`` is left out.

    Parameters
    ----------
    habitats
        Label map with table and selection curve.
    image
        The volume beneath.
    title
        Heading; no patient data.
    measures
        Name to number; those of :func:`comould.study.habitats_case.measures_of` have words.
    interaction
        Areas between labels, mm².
    features, stability
        What held still.
    provenance, seconds
        How it was made.
    """

    habitats: HabitatsLike
    image: sitk.Image
    title: str = "Habitats of a tumour"
    measures: pd.Series | None = None
    interaction: pd.DataFrame | None = None
    features: FeaturesLike | None = None
    stability: StabilityLike | None = None
    provenance: Mapping[str, Any] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


def write_habitats(report: HabitatReport, path: str | Path) -> Path:
    """Write one self-contained HTML file; see :func:`comould.report.write_case` for what it may and may not do.

    Parameters
    ----------
    report
        What to show.
    path
        The ``.html`` file; replaced if it exists.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the path does not end in ``.html`` or has no folder.
    """
    path = check_path(path)
    makers = (_map, _choice, _stability, _neighbours)
    chapters = [made for maker in makers if (made := maker(report)) is not None]
    chapters.append(chapter("limits", "Limits", "What this does not show", points=LIMITS))
    pairs = flat_items(report.provenance)
    pairs += [(f"time · {step}", f"{number(float(s))} s") for step, s in report.seconds.items()]
    if pairs:
        text = "Versions, settings, seed and the fingerprints of the inputs. File names are left out on purpose."
        chapters.append(chapter("provenance", "Provenance", "How it was made", text, pairs=pairs))
    text = page(
        "habitats.html.j2", title=report.title, summary=summary(report), numbers=_numbers(report), chapters=chapters
    )
    return put(text, path)


def plane_files(labels: sitk.Image, volume: sitk.Image, folder: Path, *, width_px: int = 700) -> list[str]:
    """Write a PNG of every slice of the label map that holds a label; returns the names.

    Parameters
    ----------
    labels
        Label map.
    volume
        The image beneath.
    folder
        An existing folder.
    width_px
        Width of the pictures.
    """
    points, window = mask_points(labels), grey_window(volume, labels)
    names = []
    for plane in own_planes(labels, most=10**6):
        ax = pl.habitat_plane(labels, volume, plane, points_mm=points, window=window)
        figure = ax.get_figure(root=True)
        if figure is None:
            continue
        name = f"slice_{round(plane.image_index or 0):03d}.png"
        figure.savefig(folder / name, dpi=width_px / figure.get_size_inches()[0])
        names.append(name)
    return names


def summary(report: HabitatReport) -> str:
    """Say in a few sentences what was found and whether it holds."""
    table = report.habitats.table
    said = [f"{len(table)} habitats in {number(float(table['volume_ml'].sum()))} ml."]
    shares = table["fraction"].to_numpy(dtype=float)
    said.append(f"The largest, {table.index[int(shares.argmax())]}, takes {100 * shares.max():.0f} %.")
    if report.stability is not None:
        index = report.stability.table["rand_index"]
        word = "well" if index.median() >= 0.8 else "fairly" if index.median() >= 0.6 else "badly"
        said.append(
            f"Found again in {len(index)} perturbed measurements, the map holds {word}: "
            f"Rand index {index.median():.2f}, at worst {index.min():.2f}."
        )
    if report.features is not None and not report.features.table["kept"].all():
        left = int((~report.features.table["kept"]).sum())
        said.append(f"{left} of {len(report.features.table)} feature maps did not hold still and were left out.")
    return " ".join(said)


def _numbers(report: HabitatReport) -> list[Figure]:
    table = report.habitats.table
    found = [
        Figure(number(float(table["volume_ml"].sum())), "ml", "in the mask"),
        Figure(str(len(table)), "", "habitats"),
    ]
    if report.measures is not None and "ith_score" in report.measures:
        found.append(Figure(f"{report.measures['ith_score']:.2f}", "", "ITH score (1 is crumbs)"))
    if report.stability is not None:
        found.append(
            Figure(f"{report.stability.table['rand_index'].median():.2f}", "", "median Rand index, found again")
        )
    return found


def _map(report: HabitatReport) -> dict[str, Any]:
    labels = report.habitats.labels
    points, window = mask_points(labels), grey_window(report.image, labels)
    names = [str(name) for name in report.habitats.table.index]
    legend = [
        {"colour": habitat_colour(n), "name": names[n - 1], "share": f"{100 * share:.0f} %"}
        for n, share in fractions(labels).items()
    ]
    pictures = [
        image(
            pl.habitat_plane(labels, report.image, plane, points_mm=points, window=window),
            alt=f"Habitats in {plane.id} in colour over the image",
        )
        for plane in own_planes(labels, most=MOST_PLANES)
    ]
    text = "Regions that look alike, numbered by the mean of the first image. Patient's right is on the left."
    return chapter(
        "map", "Map", "Where the habitats are", text,
        legend=legend, pictures=pictures, tables=[("What is in each habitat", _table(report.habitats.table))],
    )  # fmt: skip


def _table(table: pd.DataFrame) -> Table:
    columns = [c for c in table.columns if c not in {"label", "voxels"}]
    rows = [
        [str(name), *(f"{100 * row[c]:.0f} %" if c == "fraction" else number(float(row[c])) for c in columns)]
        for name, (_, row) in zip(table.index, table.iterrows(), strict=True)
    ]
    words = {"volume_ml": "ml", "fraction": "share", "mean_probability": "mean probability"}
    headings = [
        "Habitat",
        *(words.get(str(c), str(c).replace("_mean", ", mean").replace("_sd", ", sd")) for c in columns),
    ]
    return Table(headings, rows, [False] * len(rows))


def _choice(report: HabitatReport) -> dict[str, Any] | None:
    selection = report.habitats.selection
    if selection is None or len(selection) < 2:
        return None
    chosen = int(selection.loc[selection["chosen"], "n_habitats"].iloc[0])

    def draw(theme: Theme) -> Any:
        host = pl.selection_curves(selection, theme=theme)
        return host.get_axes()[0]  # type: ignore[union-attr]

    rule = str(getattr(report.habitats, "parameters", {}).get("selection_rule", ""))
    shot = chart(
        draw,
        title="All criteria",
        alt=f"Curves of all criteria for {selection['n_habitats'].min()} to {selection['n_habitats'].max()} habitats; "
        f"{chosen} were chosen",
        caption="Orange: the number chosen. Dashed: silhouette of a cloud without groups. Band: a standard error.",
    )
    text = f"{chosen} were chosen by the {rule}." if rule else f"{chosen} were chosen."
    return chapter("choice", "Number", "How many habitats", text, charts=[shot])


def _stability(report: HabitatReport) -> dict[str, Any] | None:
    features, stability = report.features, report.stability
    if features is None and stability is None:
        return None
    charts, tables, pictures = [], [], []
    if features is not None:
        charts.append(_feature_chart(features))
        tables.append(("Intraclass correlation of every feature map; marked ones were used", _icc_table(features)))
    if stability is not None:
        charts.append(
            chart(
                lambda theme: pl.habitat_stability(stability.table, theme=theme),
                title="Habitats found again",
                alt="Dice of every habitat and Rand index of the whole map in each perturbed measurement",
                caption="Bar: whole map. Dots: each habitat's overlap with itself.",
            )
        )
        pictures = _kept_pictures(report)
    text = (
        "The images were measured again with more noise, on turned and moved grids, in larger and smaller contours. "
        "Brighter voxels stayed in their habitat more often."
    )
    return chapter("stability", "Stability", "What holds still", text, charts=charts, tables=tables, pictures=pictures)


def _feature_chart(features: FeaturesLike) -> Picture:
    kept = int(features.table["kept"].sum())
    return chart(
        lambda theme: pl.feature_stability(features.table, least_icc=features.least_icc, theme=theme),
        title="Features measured again",
        alt=f"Intraclass correlation of each feature with its limits; {kept} of {len(features.table)} reach enough",
        caption="Dashed: the lower limit a feature must reach. Open dots were left out.",
    )


def _icc_table(features: FeaturesLike) -> Table:
    words = {"icc": "ICC(2,1)", "icc_low": "low", "icc_high": "high", "consistency": "ICC(3,1)", "n_voxels": "voxels"}
    table = features.table
    columns = [c for c in table.columns if c != "kept"]
    rows = [[str(name), *(number(row[c]) for c in columns)] for name, row in table.iterrows()]
    headings = [words.get(str(c), str(c).removeprefix("icc_")) for c in columns]
    return Table(["Feature map", *headings], rows, [bool(kept) for kept in table["kept"]])


def _kept_pictures(report: HabitatReport) -> list[Picture]:
    """Draw how often voxels stayed, on the planes that hold most of the tumour."""
    from comould.pl.habitat_stability_figure import kept_plane

    stability = report.stability
    if stability is None:
        return []
    points = mask_points(report.habitats.labels)
    return [
        image(
            kept_plane(stability.kept, report.image, plane, points_mm=points),
            alt=f"How often each voxel stayed in its habitat, {plane.id}",
        )
        for plane in own_planes(report.habitats.labels, most=4)
    ]


def _neighbours(report: HabitatReport) -> dict[str, Any] | None:
    charts, tables = [], []
    if report.interaction is not None and len(report.interaction) > 1:
        matrix = report.interaction
        charts.append(
            chart(
                lambda theme: pl.interaction(matrix, theme=theme),
                title="Borders",
                alt="Share of each habitat's border that faces each other habitat and the outside",
            )
        )
    if report.measures is not None:
        rows = [
            [words, number(float(report.measures[name]))]
            for name, words in _MEASURES.items()
            if name in report.measures and np.isfinite(report.measures[name])
        ]
        tables.append(("One number each", Table(["Measure", "Value"], rows, [False] * len(rows))))
    if not charts and not tables:
        return None
    text = "How the habitats lie to one another. Borders are measured in mm², so flat voxels do not mislead."
    return chapter("neighbours", "Neighbours", "What lies beside what", text, charts=charts, tables=tables, beside=True)
