"""One habitat model for all cases of a study: fitted before them, kept as a step, applied by each."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould.errors import ComouldError
from comould.io.output import write_json
from comould.study.case_file import Case, Shared
from comould.study.case_log import CaseLog
from comould.study.case_parts import PopulationPart
from comould.study.case_steps import POPULATION
from comould.study.fingerprint import HASHES, HashCache, code_of
from comould.study.pinned import pinned
from comould.study.pipeline import Outlook, heard, made_how
from comould.study.step_store import Ingredients, StepStore
from comould.study.study_file import Study

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

    from comould.habitats import HabitatModel, PopulationModel

MODEL, CASES, SELECTION, MEANS, FACTS = "model.json", "cases.csv", "selection.csv", "habitats.csv", "facts.json"
CODE = ("habitats", "io", "space", "study/load_habitats", "study/population_step")
UNREADABLE = "cannot be read"
"""In place of a file's hash: read permission is no part of the content, but the model goes without the case."""

Tell = Callable[[str, float, str], None]


@dataclass(frozen=True)
class Modelled:
    """What became of a study's habitat model.

    Parameters
    ----------
    n_habitats
        How many it has.
    cases
        How many cases it stands on.
    of
        How many it was asked of.
    left_out
        Case to why it did not enter.
    notes
        Doubts that were told while it was fitted.
    kept
        Whether it was there before.
    failed
        Why there is none; empty when there is.
    """

    n_habitats: int = 0
    cases: int = 0
    of: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    kept: bool = False
    failed: str = ""


@dataclass(frozen=True)
class Member:
    """What the fit reads of one case; travels to where it is fitted."""

    name: str
    images: Mapping[str, Path]
    mask: Path
    roi: str | None
    prepare: Mapping[str, str]

    @classmethod
    def of(cls, case: Case) -> Member:
        """Take a case's images as its own step would."""
        prepare = {} if case.habitats is None else dict(case.habitats.prepare)
        return cls(case.pseudonym, dict(case.images), case.mask, None if case.roi is None else str(case.roi), prepare)

    @property
    def files(self) -> dict[str, Path]:
        """Its files by role."""
        return {f"image {name}": path for name, path in self.images.items()} | {"mask": self.mask}

    def read(self) -> tuple[dict[str, sitk.Image], sitk.Image]:
        """Read and prepare the images; with the mask."""
        from comould.study.load_habitats import load_images

        loaded = load_images(self.images, self.mask, roi=self.roi, prepare=self.prepare)
        return loaded.images, loaded.mask


@dataclass(frozen=True)
class Fit:
    """The fit of a study's model, ready to be done anywhere.

    Parameters
    ----------
    part
        How.
    members
        Cases by name: their order in the file does not matter.
    made_of
        What the result depends on.
    folder
        Of all results.
    threads
        As in the cases.
    """

    part: PopulationPart
    members: tuple[Member, ...]
    made_of: Ingredients
    folder: Path
    threads: int = 1


def planned(study: Study, folder: Path, *, threads: int = 1, keep_hashes: bool = False) -> Fit | None:
    """Say what a study's model is made of; None when the study has none.

    Parameters
    ----------
    study
        The study.
    folder
        Of all results; not made.
    threads
        Of the fit.
    keep_hashes
        Write what was hashed beside each case's results, where its own steps look for it.

    Returns
    -------
    Fit or None
    """
    if study.population is None:
        return None
    members = tuple(sorted((Member.of(case) for case in study.modelled), key=lambda one: one.name))
    inputs: dict[str, str] = {}
    for one in members:
        hashes = HashCache(folder / one.name / HASHES)
        inputs |= {f"{role} of {one.name}": _hashed(hashes, path) for role, path in one.files.items()}
        if keep_hashes:
            hashes.save()
    told = {one.name: {"roi": one.roi, "prepare": dict(one.prepare)} for one in members}
    # Habitats are ordered by the first image of the first case.
    parameters = study.population.model_dump() | {"cases": told, "images": list(members[0].images)}
    return Fit(
        study.population, members, Ingredients(POPULATION, parameters, inputs, {}, code_of(CODE)), folder, threads
    )


def _hashed(hashes: HashCache, path: Path) -> str:
    try:
        return hashes.of(path)
    except OSError:
        return UNREADABLE


def outlook(fit: Fit, *, forced: bool = False) -> Outlook:
    """Say whether the model must be fitted, and why."""
    store = StepStore(fit.folder, HashCache(fit.folder / HASHES))
    return Outlook(POPULATION, fit.made_of, ("forced",) if forced else tuple(store.why(fit.made_of)))


def shared(fit: Fit, failed: str = "") -> Shared:
    """Make what cases are handed: the model's place and the key of the step that makes it."""
    said = f"there is no habitat model of the study to apply: {failed}" if failed else ""
    return Shared(fit.made_of.key, fit.folder / POPULATION / MODEL, said)


def tidy(folder: Path) -> None:
    """Remove the model of a study that has none any more: nobody shall take it for its own."""
    if StepStore(folder, HashCache()).record(POPULATION) is not None:
        shutil.rmtree(folder / POPULATION, ignore_errors=True)


def kept(fit: Fit) -> Modelled:
    """Read what a finished fit says of itself."""
    facts = json.loads((fit.folder / POPULATION / FACTS).read_text(encoding="utf-8"))
    return Modelled(
        facts["n_habitats"], facts["cases"], facts["of"], facts["left_out"], tuple(facts["notes"]), kept=True
    )


def fit_model(fit: Fit, tell: Tell) -> Modelled:
    """Fit the model, and put it in place whole.

    Parameters
    ----------
    fit
        From :func:`planned`.
    tell
        Called with (step, fraction, note).

    Returns
    -------
    Modelled
        With the reason when no two cases can be used, or the settings do not suit them; nothing is written then.
    """
    from comould.habitats import population_model

    store = StepStore(fit.folder, HashCache(fit.folder / HASHES))
    store.sweep({POPULATION})
    o, begin = fit.part.options(), time.perf_counter()
    request = o.request()
    facts: dict[str, Any] = {}

    def show(done: int, total: int, name: str) -> None:
        tell("", 0.8 * done / total, name or "fitting")

    try:
        with store.making(fit.made_of, facts) as work, pinned(fit.threads), heard() as said:
            found = population_model(
                {one.name: one.read for one in fit.members}, n_habitats=o.n_habitats, method=request.method,
                features=o.features, radius_mm=o.radius_mm, seed=o.seed, scaling=fit.part.scaling, progress=show,
                max_habitats=o.max_habitats, rule=request.rule, supervoxel_mm=o.supervoxel_mm,
                spatial_weight=o.spatial_weight, bins=o.bins,
            )  # fmt: skip
            notes = tuple(dict.fromkeys(str(one.message) for one in said))
            result = _write(fit, found, notes, work)
            facts |= made_how(begin, fit.threads)
    except ComouldError as error:
        return Modelled(of=len(fit.members), failed=_scrubbed(fit, str(error)))
    return result


def _write(fit: Fit, found: PopulationModel, notes: tuple[str, ...], folder: Path) -> Modelled:
    left_out = {name: _scrubbed(fit, why) for name, why in found.left_out.items()}
    found.model.save(folder / MODEL)
    found.cases.to_csv(folder / CASES)
    found.selection.to_csv(folder / SELECTION, index=False)
    means_of(found.model).to_csv(folder / MEANS)
    result = Modelled(len(found.model.means), found.model.cases, len(fit.members), left_out, notes)
    told = {name: getattr(result, name) for name in ("n_habitats", "cases", "of", "left_out", "notes")}
    write_json(folder / FACTS, told)
    return result


def means_of(model: HabitatModel) -> pd.DataFrame:
    """Give the mean of every habitat (rows) in every feature map (columns).

    Parameters
    ----------
    model
        Of one case or many.

    Returns
    -------
    pandas.DataFrame
        In the images' own units; where each case is scaled by itself, in spreads from the case's median.
    """
    import pandas as pd

    means = model.means
    if model.settings.scaling == "stored":
        means = means * model.scaling.spread + model.scaling.centre
    return pd.DataFrame(means, index=pd.Index(model.names, name="habitat"), columns=list(model.settings.columns))


def _scrubbed(fit: Fit, text: str) -> str:
    """Take paths out of a message, whichever case's they are."""
    for one in fit.members:
        text = CaseLog(fit.folder / one.name, one.files).scrubbed(text)
    return text
