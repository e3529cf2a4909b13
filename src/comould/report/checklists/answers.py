"""Answer checklist items from what a report holds; what it does not hold stays unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from comould.report.checklists._list import Checklist, Item
from comould.report.checklists.clear import CLEAR
from comould.report.checklists.metrics import METRICS
from comould.report.checklists.rqs import RQS

if TYPE_CHECKING:
    from comould.report.case import CaseReport

YES, NO, NOT_APPLICABLE, UNKNOWN = "yes", "no", "not applicable", "not known"
CHECKLISTS = (METRICS, CLEAR, RQS)
SIGNS = {YES: "✓", NO: "✗", NOT_APPLICABLE: "–", UNKNOWN: "?"}


@dataclass(frozen=True)
class Answer:
    """``yes``, ``no``, ``not applicable`` or ``not known``, and why."""

    word: str
    why: str = ""


@dataclass(frozen=True)
class Known:
    """What a run knows of itself.

    Parameters
    ----------
    simulated
        Whether everything is simulated.
    parameters
        Recorded choices by step, of the provenance.
    provenance
        Whether versions and inputs are recorded.
    habitats, selection
        Whether there are habitats with a table, and a curve that chose their number.
    spots, spread, tested
        Whether there is expression, its positions carry a standard deviation, and habitats were tested against it.
    fdr
        False-discovery rate of the tests.
    cases, centres
        How many; 0 centres when not told.
    pooled
        Whether patients were pooled.
    """

    simulated: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    provenance: bool = False
    habitats: bool = False
    selection: bool = False
    spots: bool = False
    spread: bool = False
    tested: bool = False
    fdr: float = 0.1
    cases: int = 1
    centres: int = 0
    pooled: bool = False

    @classmethod
    def of(cls, case: CaseReport) -> Known:
        """Look at a case."""
        table = getattr(case.habitats, "table", None)
        told = case.provenance or {}
        selection = getattr(case.habitats, "selection", None)
        return cls(
            simulated=case.simulated,
            parameters=dict(told.get("parameters") or {}),
            provenance="versions" in told or "comould" in told,
            habitats=table is not None and len(table) > 0,
            selection=selection is not None and len(selection) > 1,
            spots=bool(case.spot_sets),
            spread=any("spatial_patient_sd" in spots.obsm for spots in case.spot_sets),
            tested=case.results is not None and len(case.results) > 0,
            fdr=case.fdr,
        )

    def recorded(self, step: str, *words: str) -> bool:
        """Tell whether a step recorded its parameters, and one whose name holds one of the words."""
        found = self.parameters.get(step)
        if not isinstance(found, Mapping) or not found:
            return False
        return not words or any(word in name.lower() for name in _names(found) for word in words)


def _names(data: Mapping[str, Any]) -> list[str]:
    found = []
    for name, value in data.items():
        found.append(str(name))
        found += _names(value) if isinstance(value, Mapping) else []
    return found


def answer(rule: str, known: Known) -> Answer:
    """Answer an item by its rule's name.

    Raises
    ------
    KeyError
        For a name that is no rule.
    """
    return _RULES[rule](known)


def chapter(known: Known) -> dict[str, Any]:
    """Make the chapter for a template: every checklist with its items, answers and counts."""
    text = (
        "METRICS, CLEAR and RQS, answered as far as this run knows. What only authors know is left to them, and no "
        "score is given: it would count as missing what nobody asked a program."
    )
    return {
        "id": "checklists", "name": "Checklists", "heading": "How it stands against published lists", "text": text,
        "truth": False, "lists": [_answered(one, known) for one in CHECKLISTS],
    }  # fmt: skip


def _answered(one: Checklist, known: Known) -> dict[str, Any]:
    """Answer a list: its groups of rows in the published order, conditions first."""
    rows = [_row(one, item, str(number), known) for number, item in enumerate(one.items, start=1)]
    asked = [_row(one, item, f"C{number}", known) for number, item in enumerate(one.conditions, start=1)]
    groups = [{"name": name, "rows": list(mine)} for name, mine in groupby(rows, key=lambda row: row["group"])]
    if asked:
        groups.insert(0, {"name": "Conditions: whether items apply", "rows": asked})
    counted = Counter(row["word"] for row in rows)
    told = ", ".join(f"{counted[word]} {word}" for word in SIGNS if counted[word])
    return {
        "name": one.name, "what": one.what, "source": f"{one.source}. {one.checked} Wording is our own.",
        "count": f"{len(rows)} items: {told}", "counts": one.counts, "rows": rows, "groups": groups,
    }  # fmt: skip


def _row(one: Checklist, item: Item, number: str, known: Known) -> dict[str, str]:
    found = answer(item.rule, known)
    return {
        "number": number, "item": item.text, "group": item.group, "word": found.word, "sign": SIGNS[found.word],
        "why": found.why, "worth": _worth(item) if one.counts else "",
    }  # fmt: skip


def _worth(item: Item) -> str:
    """Say what an item counts for: a weight to four places, or points from least to most."""
    if not item.most:
        return ""
    if item.most < 1:
        return f"{item.most:.4f}"
    return f"{item.least:g} to {item.most:g}".replace("-", "−")


def _always(word: str, why: str) -> Callable[[Known], Answer]:
    return lambda _known: Answer(word, why)


def _authors(why: str) -> Callable[[Known], Answer]:
    """Leave to the authors what no run knows; a simulated specimen does not have it."""
    return lambda known: Answer(NOT_APPLICABLE, "Simulated.") if known.simulated else Answer(UNKNOWN, why)


def _if(test: Callable[[Known], bool], yes: str, otherwise: str = "") -> Callable[[Known], Answer]:
    return lambda known: Answer(YES, yes) if test(known) else Answer(UNKNOWN, otherwise)


def _of_habitats(*words: str) -> Callable[[Known], Answer]:
    return _if(
        lambda known: known.recorded("habitats", *words), "Recorded with the step that made the habitats.",
        "Not recorded in this run.",
    )  # fmt: skip


def _centres(known: Known) -> Answer:
    if known.simulated:
        return Answer(NOT_APPLICABLE, "Simulated.")
    if known.centres > 1:
        return Answer(YES, f"{known.centres} centres.")
    if known.cases == 1 or known.centres == 1:
        return Answer(NO, "One case." if known.cases == 1 else "One centre.")
    return Answer(UNKNOWN, "Centres are not told.")


def _covariates(known: Known) -> Answer:
    tests = known.parameters.get("tests")
    if not isinstance(tests, Mapping) or "covariates" not in tests:
        return Answer(UNKNOWN, "Not recorded in this run.")
    named = ", ".join(str(name) for name in tests["covariates"] or ())
    return Answer(YES, f"Covariates: {named}.") if named else Answer(NO, "Tested without covariates.")


def _reference(known: Known) -> Answer:
    if not known.spots:
        return Answer(UNKNOWN, "No expression in this run.")
    if known.simulated:
        return Answer(YES, "Simulated expression with known truth.")
    return Answer(UNKNOWN, "Expression at registered places of the same tissue; how good it is was not examined here.")


def _uncertainty(known: Known) -> Answer:
    said = ["every spot has a standard deviation of its place"] if known.spread else []
    said += ["effects stand against a spatial null"] if known.tested else []
    said += ["pooled effects have intervals"] if known.pooled else []
    return Answer(YES, f"{'; '.join(said).capitalize()}.") if said else Answer(UNKNOWN)


def _biology(known: Known) -> Answer:
    if not known.tested and not known.pooled:
        return Answer(NO, "Not tested in this run.")
    if known.simulated:
        return Answer(NOT_APPLICABLE, "Simulated genes.")
    return Answer(YES, "Habitats tested against gene expression of the same tissue.")


def _validated(known: Known) -> Answer:
    if known.simulated:
        return Answer(NOT_APPLICABLE, "Simulated.")
    return Answer(NO, "One case." if known.cases == 1 else "No other data were held out.")


_RULES: dict[str, Callable[[Known], Answer]] = {
    "adherence": _always(UNKNOWN, "Filled in here; that a study followed it is for its authors to say."),
    "automatic": _authors("How the segmentation was made is not told."),
    "biology": _biology,
    "centres": _centres,
    "clinical": _always(NO, "Research use only; not examined."),
    "code": _if(lambda known: known.provenance, "comould, BSD-3-Clause; version under Provenance."),
    "covariates": _covariates,
    "data": _authors("What is shared is not known here."),
    "deep": _always(NO, "No deep learning."),
    "defaults": _if(
        lambda known: known.provenance and bool(known.parameters),
        "Whatever is not listed under Provenance is a default of the version named there.",
    ),
    "discretisation": _of_habitats("bin", "discret", "levels"),
    "extraction": _of_habitats(),
    "feature_statistics": _if(lambda known: known.habitats, "What is in each habitat, under Habitats."),
    "features": _of_habitats("feature"),
    "handcrafted": _of_habitats("feature"),
    "image_types": _of_habitats("filter", "feature", "scale"),
    "interval": _authors("Dates are not read."),
    "manuscript": _always(UNKNOWN, "Told in the manuscript."),
    "multiple_testing": lambda known: (
        Answer(YES, f"False-discovery rate {known.fdr:g}.") if known.tested else Answer(UNKNOWN, "Nothing was tested.")
    ),
    "no_deep": _always(NOT_APPLICABLE, "No deep learning."),
    "no_model": _always(NOT_APPLICABLE, "Nothing is predicted for patients: no model is trained."),
    "patients": _authors("How patients were chosen is not known here."),
    "preprocessing": _of_habitats(),
    "protocol": _authors("Volumes are read, not protocols."),
    "reference": _reference,
    "resampling": _of_habitats("spacing", "resampl"),
    "segmentation": _authors("The segmentation is given; how it was made is not."),
    "segmented": _always(YES, "The specimen, by its mask."),
    "selection": _if(lambda known: known.selection, "The number of habitats, by the curve under Habitats."),
    "software": _if(
        lambda known: known.recorded("habitats", "feature") and known.provenance,
        "comould; its deviations from the reference values of IBSI 1 and 2 are in its documentation.",
        "Habitats were not made in this run.",
    ),
    "source": lambda known: Answer(YES, "Simulated, as said at the top.") if known.simulated else Answer(UNKNOWN),
    "tabular": _always(
        UNKNOWN, "Voxels by features, when habitats are found; whether it counts is for authors to say."
    ),
    "uncertainty": _uncertainty,
    "unknown": _always(UNKNOWN, ""),
    "validated": _validated,
}
