"""Where spots lie and what they say there, on the page of the tests: the same browser as in a case's report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from comould.report import explore
from comould.report.case import CaseReport

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

    from comould.report.associations import AssociationReport


@dataclass(frozen=True, eq=False)
class _Map:
    """A label map alone."""

    labels: sitk.Image
    table: pd.DataFrame
    selection: Any = None


def places(report: AssociationReport) -> dict[str, Any] | None:
    """Make the chapter to be explored; None without spots or map.

    Parameters
    ----------
    report
        With ``spots`` and ``labels``; the specimen is ``mask``, else where there is a habitat.
    """
    if report.spots is None or report.labels is None:
        return None
    import pandas as pd

    mask = report.labels > 0 if report.mask is None else report.mask
    case = CaseReport(
        simulated=report.simulated, mask=mask, habitats=_Map(report.labels, pd.DataFrame()), spots=report.spots,
        results=report.table, fdr=report.fdr,
    )  # fmt: skip
    made = explore.chapter(case, None)
    if made is None:
        return None
    text = (
        "Every spot at its place in the patient, by its habitat, the score of a gene set or a gene: strongest evidence "
        "first. Sections are shown in the planes their spots lie in."
    )
    return made | {"heading": "Where it is high", "text": text}
