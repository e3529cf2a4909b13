"""CASE of the commands: a folder as it always was, or a ``case.yaml`` with what ``comould run`` made of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from comould.errors import InputError
from comould.study.associate_options import EDGE, AssociateOptions
from comould.study.case_file import CASE_FILE, MANIFEST, RESULTS, Case, read_case
from comould.study.case_folder import CaseFolder
from comould.study.register_options import RegisterOptions
from comould.study.step_store import RECORD

MADE = ("habitats", "mould", "sections", "spots", "tests")
"""Steps whose folders are those of the commands."""


def is_case_file(path: Path) -> bool:
    """Whether a path leads to a ``case.yaml``: the file under whatever name, or the folder it lies in."""
    return (path / CASE_FILE).is_file() or (path.is_file() and path.suffix.lower() in {".yaml", ".yml"})


def results_of(case: Case) -> Path:
    """Say where ``comould run`` puts the results of a case by itself."""
    return case.folder / RESULTS / case.pseudonym


def folder_to_register(path: str | Path) -> CaseFolder:
    """Read what is to be registered.

    Parameters
    ----------
    path
        A folder with ``manifest.json``, or a ``case.yaml`` or its folder. Where both are, ``case.yaml`` counts, as for
        ``comould run``.

    Returns
    -------
    CaseFolder
        With the cutting planes the case names, or those of the mould that ``comould run`` built for it.

    Raises
    ------
    InputError
        Naming every problem of the file at once; if there are no sections, or no cutting planes yet.
    """
    path = Path(path)
    if not is_case_file(path):
        return CaseFolder.read(path)
    case = read_case(path)
    subject = f"case {case.pseudonym}"
    if not case.sections:
        raise InputError(subject, expected="sections to register", found="none")
    built = results_of(case) / "mould" / "slice_plan.json"
    plan = case.slice_plan or built
    if not plan.is_file():
        raise InputError(
            subject, expected="cutting planes", found="a mould that is not built yet",
            remedy="comould run CASE --only mould builds it, and --only sections registers too",
        )  # fmt: skip
    return replace(case.as_folder(case.mask, plan), roi=case.roi)


def options_of(case: Case) -> RegisterOptions:
    """Make the options of a case's registration; one elastix process, as others work on other cases."""
    part = case.registration
    return RegisterOptions(
        part.n_samples, case.seed, 1, (part.shrinkage[0], part.shrinkage[1]), part.plane, part.deformable,
        part.thresholds, tuple(part.via), part.force,
    )  # fmt: skip


def registration_of(path: str | Path) -> RegisterOptions:
    """Say how a case wants to be registered; a folder with ``manifest.json`` has no say in it.

    Raises
    ------
    InputError
        As :func:`comould.study.read_case`.
    """
    path = Path(path)
    return options_of(read_case(path)) if is_case_file(path) else RegisterOptions()


def folders_of(path: str | Path) -> list[Path]:
    """Give the folders a case's results lie in.

    Parameters
    ----------
    path
        A ``case.yaml`` or its folder, a case's folder of results of ``comould run``, or the folder of one command.

    Returns
    -------
    list of Path
        The finished steps, in the order they ran; a folder that is nothing of a run stands for itself.

    Raises
    ------
    InputError
        As :func:`comould.study.read_case`; if no step of the case is finished.
    """
    path = Path(path)
    results = results_of(read_case(path)) if is_case_file(path) else path
    done = [results / name for name in MADE if (results / name / RECORD).is_file()]
    # A plan that was taken is no mould.
    found = [one for one in done if one.name != "mould" or (one / MANIFEST).is_file()]
    if is_case_file(path) and not found:
        raise InputError(
            subject=f"case {path}", expected="finished steps", found=f"none in {RESULTS}",
            remedy="comould run CASE; results in another folder: give <out>/<case>",
        )  # fmt: skip
    return found or [path]


@dataclass(frozen=True)
class Tested:
    """What is tested: where the spots lie, and the options with what the case has beside them."""

    spots: Path
    options: AssociateOptions


def case_to_test(path: str | Path, options: AssociateOptions) -> Tested:
    """Find registered spots, and the habitats and specimen that belong to them.

    Parameters
    ----------
    path
        A folder of ``comould register`` or ``comould demo``; a case's folder of results of ``comould run``; or a
        ``case.yaml`` or its folder, whose results lie where the run puts them by itself.
    options
        Habitats and mask that are given go before the case's own.

    Returns
    -------
    Tested

    Raises
    ------
    InputError
        As :func:`comould.study.read_case`; if the case's spots are not registered yet.
    """
    path = Path(path)
    if (path / "spots" / RECORD).is_file():
        return _with(path / "spots", path, options, None)
    if not is_case_file(path):
        return Tested(path, options)
    case = read_case(path)
    results = results_of(case)
    spots = case.registered or results / "spots"
    if not spots.exists():
        raise InputError(
            subject=f"case {case.pseudonym}", expected="registered spots", found="none yet",
            remedy="comould run CASE --only spots; results in another folder: give <out>/<case> in place of CASE",
        )  # fmt: skip
    return _with(spots, results, options, None if case.habitats is None else case.habitats.labels)


def _with(spots: Path, results: Path, options: AssociateOptions, labels: Path | None) -> Tested:
    """Fill in habitats and specimen that nobody gave."""
    own, mask = results / "habitats", results / "read" / "mask.nii.gz"
    habitats = options.habitats or labels or (own if own.is_dir() else None)
    wants_mask = options.mask is None and EDGE in options.covariates and mask.is_file()
    # A single file of spots lies in a folder that holds it.
    folder = spots if spots.is_dir() else spots.parent
    return Tested(folder, replace(options, habitats=habitats, mask=mask if wants_mask else options.mask))
