"""Report of the tests: what is claimed, what a naive test would claim, and what the claims were held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from comould.errors import InputError
from comould.pl import associations_figure as claims_of
from comould.report.facts import Figure, number
from comould.report.write import check_path, page, put

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk
    from anndata import AnnData

    from comould.associate.scrutiny import Plausible, ShiftCurve

NEEDED = (
    "feature", "kind", "habitat", "statistic", "n_effective", "p_naive", "q_naive", "p_spatial", "q_spatial",
    "p_competitive", "q_competitive", "testable", "reason",
)  # fmt: skip
ELSEWHERE, NOT_LOST = "elsewhere", "not lost"


@dataclass(frozen=True, eq=False)
class AssociationReport:
    """What is reported; what is ``None`` is left out.

    Parameters
    ----------
    table
        Of :func:`comould.associate.test`, with its ``attrs`` (nulls, gene sets, parameters) where they are kept.
    title
        Heading; no patient data.
    fdr
        False-discovery rate at which a gene or set counts as claimed.
    simulated
        Whether the specimen is simulated; said plainly at the top.
    shift
        Of :func:`comould.associate.shift_curve`.
    plausible
        Of :func:`comould.associate.over_positions`.
    controls
        Of :func:`comould.associate.controls`.
    calibration
        Of :func:`comould.associate.calibrate`.
    coverage
        Index section; ``n_spots``, ``n_outside`` (no habitat there) and perhaps ``verdict`` of its registration.
    spots, labels, mask
        What was tested, with habitats and scores of gene sets (:func:`comould.associate.score`), at its place in the
        patient; the map it was tested against; the specimen, where it is known. Spots and map are needed to show
        places.
    left_out
        Sections whose spots did not enter, with the reason.
    provenance, seconds
        How it was made.

    Raises
    ------
    InputError
        If a table lacks a column, or ``fdr`` is not between 0 and 1; all problems are named.
    """

    table: pd.DataFrame
    title: str = "What follows a habitat"
    fdr: float = 0.1
    simulated: bool = False
    shift: ShiftCurve | None = None
    plausible: Plausible | None = None
    controls: pd.DataFrame | None = None
    calibration: pd.DataFrame | None = None
    coverage: pd.DataFrame | None = None
    spots: AnnData | None = None
    labels: sitk.Image | None = None
    mask: sitk.Image | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted = {
            "table": NEEDED,
            "controls": ("control", "what", "n_tested", "n_found", "n_right_map", "verdict", "note"),
            "calibration": ("test", "habitat", "rate_05", "low", "high", "verdict"),
            "coverage": ("n_spots", "n_outside"),
        }
        problems = []
        for name, columns in wanted.items():
            table = getattr(self, name)
            if table is not None and (lacking := [c for c in columns if c not in table]):
                problems.append(f"{name} lacks {', '.join(lacking)}")
        if not 0 < self.fdr < 1:
            problems.append(f"fdr {self.fdr} is not between 0 and 1")
        if problems:
            raise InputError.collect(subject="association report", problems=problems)

    @property
    def nulls(self) -> Mapping[str, Any]:
        """Habitat to the record of its null."""
        return self.table.attrs.get("nulls") or {}

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Choices of the test."""
        return self.table.attrs.get("parameters") or {}

    @property
    def doubts(self) -> dict[str, list[str]]:
        """Habitat to what its null says against itself; habitats without doubts are left out."""
        found = {
            name: [text for text in (str(record.get("refusal", "")), *map(str, record.get("doubts", ()))) if text]
            for name, record in self.nulls.items()
        }
        return {name: texts for name, texts in found.items() if texts}


@dataclass(frozen=True)
class Alert:
    """Something that must not be overlooked: ``bad`` or ``warn``, what it is, and what follows from it."""

    level: str
    name: str
    text: str


def write_associations(report: AssociationReport, path: str | Path) -> Path:
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
    from comould.report import explore
    from comould.report.association_chapters import chapters
    from comould.report.association_places import places

    path = check_path(path)
    made, shown = chapters(report), places(report)
    if shown is not None:
        # After claims and sets, which say what to look for.
        made.insert(sum(one["id"] in {"claims", "sets"} for one in made), shown)
    script = explore.scripts() if shown else ""
    text = page(
        "associations.html.j2",
        title=report.title,
        simulated=report.simulated,
        summary=summary(report),
        numbers=key_figures(report),
        alerts=alerts(report),
        chapters=made,
        policy=explore.policy(script),
        script=Markup(script),
    )
    return put(text, path)


def summary(report: AssociationReport) -> str:
    """Say in a few sentences what was found and whether it stands."""
    counts = claims_of.count_claims(report.table, report.fdr)
    n_genes = report.table.loc[~claims_of.is_set(report.table), "feature"].nunique()
    naive, spatial = counts["naive"][0], counts["spatial"][0]
    said = [
        f"At a false-discovery rate of {report.fdr:g}, {spatial} of {n_genes} genes follow{'s' * (spatial == 1)} a "
        f"habitat. A test that ignores how smooth the maps are would have claimed {naive}."
    ]
    if sets := set_counts(report):
        said.append(
            f"Of {sets.n} gene sets {sets.claimed} follow{'s' * (sets.claimed == 1)} one, {sets.competitive} of them "
            "more than other genes do."
        )
    said += [text for text in (_said_of_controls(report), _said_of_place(report), _said_of_positions(report)) if text]
    return " ".join(said)


@dataclass(frozen=True)
class SetCounts:
    """Gene sets that could be tested: all, those claimed, and those of them that beat other genes too."""

    n: int
    claimed: int
    competitive: int


def set_counts(report: AssociationReport) -> SetCounts | None:
    """Count gene sets; ``None`` where none could be tested."""
    rows = report.table[claims_of.is_set(report.table) & report.table["p_spatial"].notna()]
    if rows.empty:
        return None
    from comould.associate import by_feature

    claimed = by_feature(rows, kind="geneset")
    names = set(claimed.index[claimed["q_spatial"] <= report.fdr])
    both = rows[(rows["q_spatial"] <= report.fdr) & (rows["q_competitive"] <= report.fdr)]
    return SetCounts(len(claimed), len(names), len(names & set(both["feature"])))


def run_controls(report: AssociationReport) -> pd.DataFrame | None:
    """Keep the controls that could be run; ``None`` where there is none."""
    if report.controls is None:
        return None
    rows = report.controls[report.controls["verdict"] != "not run"]
    return rows if len(rows) else None


def _said_of_controls(report: AssociationReport) -> str:
    rows = run_controls(report)
    if rows is None:
        return ""
    bad = rows[rows["verdict"] == "not null"]
    if bad.empty:
        return "The one control is null, as it should be." if len(rows) == 1 else f"All {len(rows)} controls are null."
    return f"{len(bad)} of {len(rows)} controls {'is' if len(bad) == 1 else 'are'} not null: see the warning."


def claimed_shifts(report: AssociationReport) -> pd.DataFrame | None:
    """Rows of the shift curve's summary that are claims; ``None`` where there is none."""
    if report.shift is None:
        return None
    rows = report.shift.summary
    rows = rows[rows["claimed"]]
    return rows if len(rows) else None


def lost_mm(report: AssociationReport) -> float:
    """Median displacement at which the claims that are lost are lost, mm; NaN when none is."""
    rows = claimed_shifts(report)
    values = np.array([]) if rows is None else rows["lost_mm"].to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float("nan")


def _said_of_place(report: AssociationReport) -> str:
    rows, lost = claimed_shifts(report), lost_mm(report)
    if rows is None or not np.isfinite(lost):
        return ""
    local = int((rows["verdict"] == "local").sum())
    return (
        f"Displaced on purpose, {'the claims' if local == len(rows) else f'{local} of {len(rows)} claims'} looked at "
        f"{'is' if local == 1 < len(rows) else 'are'} lost, at {lost:.1f} mm in the median."
    )


def _said_of_positions(report: AssociationReport) -> str:
    if report.plausible is None or report.plausible.summary.empty:
        return ""
    rows = report.plausible.summary
    least = rows["fraction_significant"].min()
    return (
        f"Over positions as plausible as those stated, the weakest of them stands in {100 * least:.0f} % of the draws."
    )


def key_figures(report: AssociationReport) -> list[Figure]:
    """Pick the few numbers a reader wants first."""
    counts = claims_of.count_claims(report.table, report.fdr)
    found = [
        Figure(str(counts["spatial"][0]), f"not {counts['naive'][0]}", "genes claimed, spatial against naive test")
    ]
    if sets := set_counts(report):
        found.append(Figure(str(sets.claimed), f"of {sets.n}", "gene sets claimed"))
    if np.isfinite(lost := lost_mm(report)):
        found.append(Figure(f"{lost:.1f}", "mm", "displacement at which claims are lost, median"))
    if (rows := run_controls(report)) is not None:
        found.append(Figure(str(int((rows["verdict"] == "null").sum())), f"of {len(rows)}", "controls null"))
    if report.coverage is not None:
        kept = int((report.coverage["n_spots"] - report.coverage["n_outside"]).sum())
        found.append(Figure(number(float(kept)), "", f"spots with a habitat, in {len(report.coverage)} sections"))
    return found


def alerts(report: AssociationReport) -> list[Alert]:
    """Gather what must not be overlooked, the worst first."""
    found = [*_control_alerts(report), *_null_alerts(report), *_place_alerts(report), *_calibration_alerts(report)]
    return sorted(found, key=lambda alert: alert.level != "bad")


def _control_alerts(report: AssociationReport) -> list[Alert]:
    rows = run_controls(report)
    bad: Sequence[Any] = [] if rows is None else list(claims_of.each(rows[rows["verdict"] == "not null"]))
    if not bad:
        return []
    listed = "; ".join(f"{row.control}: {row.n_found} of {row.n_tested} found" for row in bad)
    return [
        Alert(
            "bad",
            "Shortcut warning",
            f"A control that must come out null does not ({listed}). Something other than the match of place and place "
            "makes the claims: a trend, depth, the edge, a batch. Do not read them as evidence for this map.",
        )
    ]


def _null_alerts(report: AssociationReport) -> list[Alert]:
    if report.parameters.get("null") == "shuffle":
        text = "Spots were shuffled, which forgets space: the p-values are as naive as those they stand beside."
        return [Alert("bad", "No spatial test", text)]
    if not report.doubts:
        return []
    listed = "; ".join(f"{name}: {', '.join(texts)}" for name, texts in report.doubts.items())
    return [Alert("warn", "Nulls that doubt themselves", f"{listed}. Read the p-values of these habitats with care.")]


def _place_alerts(report: AssociationReport) -> list[Alert]:
    rows = claimed_shifts(report)
    if rows is None:
        return []
    found = []
    for verdict, words in (
        (ELSEWHERE, "larger at another place than where the spots were registered"),
        (NOT_LOST, "not lost within reach: a trend or another smooth confound would do the same"),
    ):
        mine = rows[rows["verdict"] == verdict]
        if len(mine):
            listed = ", ".join(f"{row.feature} · {row.habitat}" for row in claims_of.each(mine))
            found.append(Alert("warn", f"Claims {verdict}", f"Effects that are {words}: {listed}."))
    return found


def _calibration_alerts(report: AssociationReport) -> list[Alert]:
    if report.calibration is None:
        return []
    used = str(report.parameters.get("null", "variogram"))
    mine = report.calibration
    mine = mine[(mine["test"] == used) & (mine["habitat"] == "all") & (mine["verdict"] == "too many")]
    return [
        Alert(
            "bad",
            "Too many false positives",
            f"On maps drawn by chance, the {row.test} test claims {100 * row.rate_05:.0f} % of genes at p ≤ 0.05 on "
            "these spots.",
        )
        for row in claims_of.each(mine)
    ]
