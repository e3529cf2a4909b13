"""The items of METRICS, CLEAR and RQS in short words of our own, each with the rule that answers it.

References
----------
Kocak B, et al. METhodological RadiomICs Score (METRICS). Insights Imaging 2024;15:8. doi:10.1186/s13244-023-01572-w

Kocak B, et al. CheckList for EvaluAtion of Radiomics research (CLEAR). Insights Imaging 2023;14:75.
doi:10.1186/s13244-023-01415-8

Lambin P, et al. Radiomics: the bridge between medical imaging and personalized medicine. Nat Rev Clin Oncol
2017;14:749-762. doi:10.1038/nrclinonc.2017.141
"""

from __future__ import annotations

from dataclasses import dataclass

Items = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Checklist:
    """A checklist: its items in the published order, as (text, name of the rule that answers it)."""

    name: str
    what: str
    source: str
    items: Items


METRICS = Checklist(
    "METRICS",
    "quality of method",
    "Kocak 2024, doi:10.1186/s13244-023-01572-w",
    (
        ("Follows a checklist or guideline", "adherence"),
        ("Patients chosen by stated, representative criteria", "patients"),
        ("Good, clearly defined reference standard", "reference"),
        ("More than one centre", "centres"),
        ("Imaging that could be had in the clinic", "protocol"),
        ("Imaging protocol and acquisition parameters", "protocol"),
        ("Time between imaging and reference standard", "interval"),
        ("Way of segmenting described", "segmentation"),
        ("Fully automated segmentation evaluated", "segmentation"),
        ("Test set segmented by one reader or tool", "no_model"),
        ("Image preprocessing suitable and described", "preprocessing"),
        ("Standardised software for features", "extraction"),
        ("Parameters of feature extraction", "extraction"),
        ("Features that are not robust removed", "unknown"),
        ("Redundant features removed", "unknown"),
        ("Number of features fits the amount of data", "unknown"),
        ("Robustness of a deep-learning pipeline", "no_deep"),
        ("Data properly split", "no_model"),
        ("Confounders handled", "covariates"),
        ("Suitable measures of performance", "no_model"),
        ("Uncertainty considered", "uncertainty"),
        ("Calibration of predictions", "no_model"),
        ("One imaging parameter, or proof that more are better", "unknown"),
        ("Compared with an approach without radiomics", "no_model"),
        ("Compared with simple statistical models", "no_model"),
        ("Internal testing", "no_model"),
        ("External testing", "no_model"),
        ("Data available", "data"),
        ("Code available", "code"),
        ("Model available", "no_model"),
    ),
)

CLEAR = Checklist(
    "CLEAR",
    "completeness of the report",
    "Kocak 2023, doi:10.1186/s13244-023-01415-8",
    (
        ("Title names the radiomic method", "manuscript"),
        ("Structured summary", "manuscript"),
        ("Keywords", "manuscript"),
        ("Background", "manuscript"),
        ("Why radiomics", "manuscript"),
        ("Objectives", "manuscript"),
        ("Follows a checklist or guideline", "adherence"),
        ("Ethics: approval, consent, data protection", "manuscript"),
        ("Sample size", "patients"),
        ("Prospective or retrospective", "patients"),
        ("Criteria of eligibility", "patients"),
        ("Flowchart of the pipeline", "manuscript"),
        ("Source of the data", "source"),
        ("Overlap with earlier data", "unknown"),
        ("Split of the data", "no_model"),
        ("Imaging protocol", "protocol"),
        ("Variables that are not radiomic", "covariates"),
        ("Definition of the reference standard", "reference"),
        ("Strategy of segmentation", "segmentation"),
        ("Who segmented", "segmentation"),
        ("Image preprocessing", "preprocessing"),
        ("Resampling and its parameters", "resampling"),
        ("Discretisation and its parameters", "discretisation"),
        ("Image types: original, filtered, transformed", "image_types"),
        ("Method of feature extraction", "extraction"),
        ("Classes of features", "features"),
        ("Number of features", "unknown"),
        ("Other parameters are defaults", "defaults"),
        ("Missing data", "unknown"),
        ("Imbalance of classes", "no_model"),
        ("Reliability of the segmentation", "segmentation"),
        ("Scaling of features", "unknown"),
        ("Reduction of dimensions", "unknown"),
        ("Details of the algorithm", "extraction"),
        ("Training and tuning", "no_model"),
        ("Confounders", "covariates"),
        ("How the model was selected", "selection"),
        ("Technique of testing", "no_model"),
        ("Measures of performance and why", "no_model"),
        ("Measures of uncertainty", "uncertainty"),
        ("Statistical comparison of performance", "no_model"),
        ("Comparison with other than radiomic methods", "no_model"),
        ("Interpretation and explanation of a model", "no_model"),
        ("Baseline characteristics of patients", "patients"),
        ("Flowchart of eligibility", "patients"),
        ("Statistics of features", "feature_statistics"),
        ("Performance of the model", "no_model"),
        ("Results beside other than radiomic methods", "no_model"),
        ("Overview of findings", "manuscript"),
        ("Differences from earlier work", "manuscript"),
        ("Practical implications", "manuscript"),
        ("Strengths and limitations", "manuscript"),
        ("Images and segmentations shared", "data"),
        ("Feature data shared", "data"),
        ("Preprocessing settings shared", "preprocessing"),
        ("Source code shared", "code"),
        ("Final model shared", "no_model"),
        ("System ready to be used shared", "no_model"),
    ),
)

RQS = Checklist(
    "RQS",
    "radiomics quality score",
    "Lambin 2017, doi:10.1038/nrclinonc.2017.141",
    (
        ("Imaging protocol documented", "protocol"),
        ("Segmented more than once", "segmentation"),
        ("Phantom study on all scanners", "protocol"),
        ("Imaged at several times", "unknown"),
        ("Features reduced or multiple testing corrected", "multiple_testing"),
        ("Multivariable analysis with other than radiomic features", "covariates"),
        ("Biological correlates", "biology"),
        ("Analysis of cut-offs", "no_model"),
        ("Statistics of discrimination", "no_model"),
        ("Statistics of calibration", "no_model"),
        ("Prospective and registered", "patients"),
        ("Validated in other data", "validated"),
        ("Compared with a gold standard", "reference"),
        ("Potential clinical use shown", "clinical"),
        ("Cost-effectiveness", "clinical"),
        ("Open data and code", "data"),
    ),
)

CHECKLISTS = (METRICS, CLEAR, RQS)
