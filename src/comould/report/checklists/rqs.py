"""RQS: the radiomics quality score of 2017.

References
----------
Lambin P, et al. Radiomics: the bridge between medical imaging and personalized medicine. Nat Rev Clin Oncol
2017;14:749-762. doi:10.1038/nrclinonc.2017.141
"""

from __future__ import annotations

from comould.report.checklists._list import Checklist, Item

RQS = Checklist(
    "RQS",
    "radiomics quality score, first version",
    "Lambin 2017, doi:10.1038/nrclinonc.2017.141",
    # The paper is behind a wall: doi:10.3390/cancers13061348 and doi:10.1007/s00330-024-10594-x print its table.
    "Items and points as two reviews print them (doi:10.3390/cancers13061348, doi:10.1007/s00330-024-10594-x); the "
    "paper itself was not at hand.",
    (
        Item("Imaging protocol documented, a public one used", "protocol", most=2),
        Item("Segmented more than once", "segmentation", most=1),
        Item("Phantom study on all scanners", "protocol", most=1),
        Item("Imaged at several times", "unknown", most=1),
        Item("Features reduced, or multiple testing corrected", "multiple_testing", least=-3, most=3),
        Item("Multivariable analysis with features that are not radiomic", "covariates", most=1),
        Item("Biological correlates detected and discussed", "biology", most=1),
        Item("Analysis of cut-offs", "no_model", most=1),
        Item("Statistics of discrimination, resampled", "no_model", most=2),
        Item("Statistics of calibration, resampled", "no_model", most=2),
        Item("Prospective study, registered in a trial database", "patients", most=7),
        Item("Validated in other data", "validated", least=-5, most=5),
        Item("Compared with a gold standard", "reference", most=2),
        Item("Potential clinical use shown", "clinical", most=2),
        Item("Analysis of cost-effectiveness", "clinical", most=1),
        Item("Open science: scans, segmentations, code, features", "data", most=4),
    ),
    counts="Points",
)
