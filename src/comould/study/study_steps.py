"""What a study adds to its cases: patients pooled, and a page that leads to all of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould.io.output import provenance
from comould.study.case_steps import POPULATION
from comould.study.fingerprint import HashCache, code_of
from comould.study.population_step import CASES, MEANS
from comould.study.step_store import Ingredients, StepStore

if TYPE_CHECKING:
    from comould.study.case_file import Case
    from comould.study.pipeline import CaseOutcome
    from comould.study.population_step import Modelled
    from comould.study.study_file import CohortPart, Study

COHORT = "cohort"
CODE = ("associate", "pl", "report", "study/cohort_case", "study/study_steps")
LEAST = 2


@dataclass(frozen=True)
class Pooled:
    """What became of the cohort.

    Parameters
    ----------
    patients
        How many were pooled.
    kept
        Whether it was done before.
    failed
        Why there is none; empty when there is.
    """

    patients: int = 0
    kept: bool = False
    failed: str = ""


def pool(cases: Sequence[Case], part: CohortPart, folder: Path, hashes: HashCache) -> Pooled:
    """Pool the tests of patients, unless that was done with the very same results.

    Parameters
    ----------
    cases
        Those whose tests are done.
    part
        How.
    folder
        Of all results; ``cohort`` is written there.
    hashes
        Of files.

    Returns
    -------
    Pooled

    Raises
    ------
    InputError
        If the tables cannot be pooled.
    """
    from comould.study.cohort_case import run_cohort

    if len(cases) < LEAST:
        return Pooled(len(cases), failed=f"{len(cases)} of the patients have tests; {LEAST} are needed")
    stores = {case.pseudonym: StepStore(folder / case.pseudonym, hashes) for case in cases}
    keys = {name: str((store.record("tests") or {}).get("key")) for name, store in stores.items()}
    homes = {case.pseudonym: case.centre for case in cases if case.centre} if part.centres else {}
    parameters = part.model_dump() | {"centre_of": homes}
    made_of = Ingredients(COHORT, parameters, {}, keys, code_of(CODE))
    store = StepStore(folder, hashes)
    store.sweep({COHORT})
    if not store.why(made_of):
        return Pooled(len(cases), kept=True)
    facts: dict[str, Any] = {}
    begin = time.perf_counter()
    with store.making(made_of, facts) as work:
        run_cohort(
            {name: one.at("tests") / "associations.csv" for name, one in stores.items()}, work,
            centres=homes or None, top=part.top, seed=part.seed, method=part.method,
            hartung_knapp=part.hartung_knapp, min_patients=part.min_patients,
        )  # fmt: skip
        made = provenance(libraries=("scipy", "pandas"))
        facts |= {"seconds": round(time.perf_counter() - begin, 2), "versions": made["versions"]}
    return Pooled(len(cases))


def write_study_page(
    study: Study,
    folder: Path,
    outcomes: Sequence[CaseOutcome],
    pooled: Pooled | None,
    modelled: Modelled | None = None,
) -> Path:
    """Write ``report.html`` of a study: how each case stands, its report, and what patients say together.

    Parameters
    ----------
    study
        The study.
    folder
        Of all results.
    outcomes
        How each case ended.
    pooled
        What became of the cohort.
    modelled
        What became of the habitat model of all cases.

    Returns
    -------
    Path
        The page.
    """
    from comould import report

    rows = [_row(folder, case, one) for case, one in zip(study.cases, outcomes, strict=True)]
    return report.write_study(
        report.StudyReport(
            title=study.name,
            simulated=all(case.simulated for case in study.cases),
            cases=rows,
            cohort=_table(folder, pooled),
            cohort_page=_page_of_cohort(folder, pooled),
            not_pooled=pooled.failed if pooled else "",
            model=_model(study, folder, outcomes, modelled),
            provenance=provenance(
                parameters={
                    "cases": len(study.cases),
                    "population": study.population.model_dump() if study.population else None,
                    "cohort": study.cohort.model_dump() if study.cohort else None,
                },
                libraries=("scipy", "pandas"),
            ),
        ),
        folder / "report.html",
    )


def _row(folder: Path, case: Case, outcome: CaseOutcome) -> Any:
    from comould import report

    own = Path(case.pseudonym) / "report" / "report.html"
    done = (*outcome.ran, *outcome.kept)
    return report.StudyCase(
        name=case.pseudonym,
        centre=case.centre or "",
        page=own.as_posix() if (folder / own).is_file() else "",
        done=tuple(done),
        failed=dict(outcome.failed),
        seconds=sum(outcome.ran.values()),
        **_tissue(folder / case.pseudonym, case, done),
    )


def _tissue(folder: Path, case: Case, done: Sequence[str]) -> dict[str, Any]:
    """Read verdicts, claims and the displacement that loses them from the finished steps."""
    import pandas as pd

    parts: dict[str, Any] = {}
    sections, tests = folder / "sections" / "registration.csv", folder / "tests"
    if "sections" in done and sections.is_file():
        parts["verdicts"] = pd.read_csv(sections)["verdict"].value_counts().to_dict()
    if "tests" in done and (tests / "associations.csv").is_file():
        table = pd.read_csv(tests / "associations.csv", usecols=["q_spatial"])
        fdr = case.tests.fdr if case.tests else 0.1
        parts["claimed"] = int((table["q_spatial"] <= fdr).sum())
    if "tests" in done and (tests / "shift_summary.csv").is_file():
        shifts = pd.read_csv(tests / "shift_summary.csv")
        parts["lost_mm"] = float(shifts.loc[shifts["claimed"], "lost_mm"].median())
    return parts


def _model(study: Study, folder: Path, outcomes: Sequence[CaseOutcome], modelled: Modelled | None) -> Any:
    """Gather what the page says of the habitats all cases share: their means, and their share of each case."""
    import pandas as pd

    from comould import report

    if modelled is None or study.population is None:
        return None
    told: dict[str, Any] = {name: getattr(modelled, name) for name in ("cases", "of", "left_out", "notes", "failed")}
    if modelled.failed:
        return report.StudyModel(**told)
    shares = {}
    for case, one in zip(study.cases, outcomes, strict=True):
        own = folder / case.pseudonym / "habitats" / "habitats.csv"
        if case.shared is not None and "habitats" in (*one.ran, *one.kept) and own.is_file():
            table = pd.read_csv(own, index_col=0)
            shares[case.pseudonym] = {str(name): float(part) for name, part in table["fraction"].items()}
    return report.StudyModel(
        **told,
        by_case=study.population.scaling == "case",
        means=pd.read_csv(folder / POPULATION / MEANS, index_col=0),
        shares=shares,
        basis=pd.read_csv(folder / POPULATION / CASES, index_col=0, dtype={"case": str}),
    )


def _table(folder: Path, pooled: Pooled | None) -> Any:
    from comould.study.cohort_case import TABLE, read_pooled

    path = folder / COHORT / TABLE
    return None if pooled is None or pooled.failed or not path.is_file() else read_pooled(path)


def _page_of_cohort(folder: Path, pooled: Pooled | None) -> str:
    from comould.study.cohort_case import PAGE

    own = Path(COHORT) / PAGE
    return own.as_posix() if pooled and not pooled.failed and (folder / own).is_file() else ""
