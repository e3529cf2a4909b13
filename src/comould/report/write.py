"""Write a case's report: gather chapters, fill the template, put one file in place."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from comould._version import __version__
from comould.errors import InputError
from comould.pl.style import habitat_colour
from comould.report import checklists, explore, facts, figures, home
from comould.report.case import CaseReport

LIMITS = (
    ("Research use only", "Not a medical device. Nothing here may guide diagnosis or treatment."),
    (
        "Smooth maps look alike",
        "Neighbouring spots are not independent. The spatial test allows for that as far as its null describes it.",
    ),
    ("One specimen", "The unit across patients is the patient. One case cannot show that a finding holds in others."),
    (
        "Matching is not cause",
        "A gene that follows a habitat need not make it, and a habitat need not have made the gene change.",
    ),
    (
        "What leaves no RNA",
        "Fat, cyst fluid, calcification and lost tissue have no spots. Their absence from a table is not evidence.",
    ),
)
SIMULATED_LIMIT = (
    "Simulated accuracy",
    "Errors shown here are measured on a computer-made specimen. Real tissue tears, folds and shrinks in more ways.",
)


def write_case(case: CaseReport | Mapping[str, Any], path: str | Path) -> Path:
    """Write one self-contained HTML file; parts a case does not have are left out.

    Parameters
    ----------
    case
        A :class:`CaseReport`, or a mapping with the names of its parts.
    path
        The ``.html`` file; replaced if it exists, and only once the new one is complete.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the case is not consistent, or the path does not end in ``.html`` or has no folder.

    Notes
    -----
    The page needs no network: images and models are in it, and a content security policy forbids everything else. The
    only script is comould's own, named there by its SHA-256; without bodies and planes there is none. All text is
    escaped.
    """
    path = check_path(path)
    return put(render_case(CaseReport.of(case)), path)


def check_path(path: str | Path) -> Path:
    """Refuse a path that cannot become a report.

    Raises
    ------
    InputError
        If it does not end in ``.html`` or has no folder.
    """
    path = Path(path)
    if path.suffix.lower() not in {".html", ".htm"} or not path.parent.is_dir():
        raise InputError(
            subject=f"report {path.name}", expected="an .html file in a folder that exists", found=str(path)
        )
    return path


def put(text: str, path: Path) -> Path:
    """Write a page in one step: what was there goes only when the new one is complete."""
    handle, work = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(work).chmod(0o644)
        Path(work).replace(path)
    except BaseException:
        Path(work).unlink(missing_ok=True)
        raise
    return path


def render_case(case: CaseReport) -> str:
    """Make the page as text; see :func:`write_case`."""
    shots = figures.mould_pictures(case)
    turned = explore.chapter(case, shots[0] if shots else None)
    script = explore.scripts() if turned else ""
    return page(
        "case.html.j2",
        case=case,
        hero=shots[0] if shots else None,
        summary=facts.summary(case),
        numbers=facts.key_figures(case),
        chapters=[*([turned] if turned else []), *_chapters(case, shots)],
        policy=explore.policy(script),
        script=Markup(script),
    )


def page(template: str, **parts: Any) -> str:
    """Fill a template: every text escaped, style and version added."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("comould.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = files("comould.report").joinpath("templates")
    css = "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in ("case.css", "explore/explore.css"))
    return environment.get_template(template).render(css=Markup(css), version=__version__, **parts)


def _chapters(case: CaseReport, mould_shots: list[Any]) -> list[dict[str, Any]]:
    makers = (_planes, _sections, _accuracy, _habitats, _spots, _genes, _held, _calibration)
    last = (_limits, _checklists, _provenance)
    made = [_mould(mould_shots), *(maker(case) for maker in (*makers, *last))]
    return [chapter for chapter in made if chapter is not None]


def _chapter(id: str, name: str, heading: str, text: str = "", *, truth: bool = False, **rest: Any) -> dict[str, Any]:
    return {"id": id, "name": name, "heading": heading, "text": text, "truth": truth, **rest}


def _mould(shots: list[Any]) -> dict[str, Any] | None:
    if len(shots) < 2:
        return None
    text = "It holds the specimen as it was imaged. The slots guide the knife along imaging planes."
    return _chapter("mould", "Mould", "Printed for this specimen alone", text, pictures=shots[1:])


def _planes(case: CaseReport) -> dict[str, Any] | None:
    shots = figures.plane_pictures(case)
    text = (
        "What the scanner saw in each cutting plane. Yellow: the specimen's outline. "
        "Letters: directions in the patient."
    )
    return _chapter("planes", "Planes", "Every cut is an image", text, pictures=shots) if shots else None


def _sections(case: CaseReport) -> dict[str, Any] | None:
    cards = home.section_cards(case)
    if not cards:
        return None
    text = (
        "Each slide, laid on its imaging plane before and after registration. Yellow: the specimen's outline there. "
        "Light blue: the section's own, as registered. A good one fills the yellow. Accepted means that nothing "
        "measured speaks against a registration; only held-out landmarks show how accurate it is inside."
    )
    return _chapter(
        "sections", "Sections", "From the slide back into the patient", text,
        sections=cards, overview=home.summary_rows(case, cards), charts=home.stack_charts(case),
    )  # fmt: skip


def _accuracy(case: CaseReport) -> dict[str, Any] | None:
    shots = figures.error_pictures(case)
    if not shots:
        return None
    simulated = "The specimen is simulated, so the true place of every spot is known."
    text = simulated if case.simulated else "Distance of every spot from its known true place."
    return _chapter("accuracy", "Accuracy", "How far from the truth", text, truth=case.simulated, pictures=shots)


def _habitats(case: CaseReport) -> dict[str, Any] | None:
    if case.habitats is None:
        return None
    shots, curve = figures.habitat_pictures(case)
    legend = [
        {
            "colour": habitat_colour(number),
            "name": f"H{number}" + (f" {case.habitat_names[number]}" if number in case.habitat_names else ""),
            "share": f"{100 * share:.0f} %",
        }
        for number, share in figures.habitat_shares(case).items()
    ]
    table = facts.habitat_table(case)
    text = "Regions that look alike on imaging, found without looking at any gene."
    return _chapter(
        "habitats", "Habitats", "Regions the image can tell apart", text,
        pictures=shots, curve=curve, legend=legend, table=table,
    )  # fmt: skip


def _spots(case: CaseReport) -> dict[str, Any] | None:
    shots = figures.spot_pictures(case)
    text = "Left of each pair: the habitat each spot came from. Right: the gene that follows a habitat most clearly."
    if figures.strongest_gene(case) is None:
        text = "The habitat each spot came from."
    return _chapter("spots", "Spots", "Gene expression, placed", text, pictures=shots) if shots else None


def _genes(case: CaseReport) -> dict[str, Any] | None:
    shots = figures.association_pictures(case)
    if not shots:
        return None
    text = (
        "Two smooth maps agree by chance far more often than a simple test thinks. "
        "Orange is what such a test would claim; blue-green is what survives a null that is just as smooth."
    )
    return _chapter(
        "genes", "Genes", "What follows a habitat, tested honestly", text,
        truth=case.simulated and case.genes is not None,
        pictures=shots, table=facts.result_table(case),
        table_caption=f"Strongest spatial evidence; marked rows are claimed at FDR {case.fdr:g}. Spatial p-values "
        "far below one in the number of surrogates follow from their spread, not from counting them.",
    )  # fmt: skip


def _held(case: CaseReport) -> dict[str, Any] | None:
    from comould.report.association_chapters import judged_controls, shift_charts

    charts = shift_charts(case.shift, 2) if case.shift is not None else []
    judged = judged_controls(case.controls) if case.controls is not None and len(case.controls) else None
    if not charts and judged is None:
        return None
    text = (
        "A true match is lost when all spots are displaced on purpose, and is not found on a map that cannot be right. "
        "What a trend or another shortcut makes hardly notices."
    )
    return _chapter("held", "Held against", "Does the place matter?", text, charts=charts, judged=judged)


def _calibration(case: CaseReport) -> dict[str, Any] | None:
    from comould.report.association_chapters import calibration_chapter

    if case.calibration is None or case.calibration.empty:
        return None
    return calibration_chapter(case.calibration) | {"truth": False}


def _checklists(case: CaseReport) -> dict[str, Any] | None:
    """Leave them out of a page that has no imaging analysis to check."""
    if case.habitats is None and case.results is None:
        return None
    return checklists.chapter(checklists.Known.of(case))


def _limits(case: CaseReport) -> dict[str, Any]:
    points = [*LIMITS, SIMULATED_LIMIT] if case.simulated else list(LIMITS)
    return _chapter("limits", "Limits", "What this does not show", points=points)


def _provenance(case: CaseReport) -> dict[str, Any] | None:
    pairs = facts.flat_items(case.provenance)
    pairs += [(f"time · {step}", f"{facts.number(float(s))} s") for step, s in case.seconds.items()]
    text = "Versions, parameters, seed and the fingerprints of the inputs. File names are left out on purpose."
    return _chapter("provenance", "Provenance", "How it was made", text, pairs=pairs) if pairs else None
