"""CLEAR: what the report of a radiomic study should tell.

References
----------
Kocak B, et al. CheckList for EvaluAtion of Radiomics research (CLEAR): a step-by-step reporting guideline for authors
and reviewers endorsed by ESR and EuSoMII. Insights Imaging 2023;14:75. doi:10.1186/s13244-023-01415-8
"""

from __future__ import annotations

from comould.report.checklists._list import Checklist, Item

_INTRODUCTION, _DESIGN, _DATA, _SEGMENTATION = "Introduction", "Study design", "Data", "Segmentation"
_BEFORE, _EXTRACTION, _PREPARATION = "Preprocessing", "Feature extraction", "Data preparation"
_MODELLING, _EVALUATION, _RESULTS, _DISCUSSION = "Modelling", "Evaluation", "Results", "Discussion"
_OPEN = "Open science"

CLEAR = Checklist(
    "CLEAR",
    "completeness of the report",
    "Kocak 2023, doi:10.1186/s13244-023-01415-8",
    "Items and order as in its authors' own checklist, version 1.0; items 53 and 58 are not essential.",
    (
        Item("Title names the radiomic method", "manuscript", "Title"),
        Item("Structured summary", "manuscript", "Abstract"),
        Item("Keywords for radiomics", "manuscript", "Keywords"),
        Item("Scientific or clinical background", "manuscript", _INTRODUCTION),
        Item("Why radiomics", "manuscript", _INTRODUCTION),
        Item("Objectives", "manuscript", _INTRODUCTION),
        Item("Guidelines or checklists are followed", "adherence", _DESIGN),
        Item("Ethics: approval, consent, data protection", "manuscript", _DESIGN),
        Item("Calculation of sample size", "patients", _DESIGN),
        Item("Prospective or retrospective", "patients", _DESIGN),
        Item("Criteria of eligibility", "patients", _DESIGN),
        Item("Flowchart of the technical pipeline", "manuscript", _DESIGN),
        Item("Source of the data, private or public", "source", _DATA),
        Item("Overlap with earlier publications", "unknown", _DATA),
        Item("How data were split", "no_model", _DATA),
        Item("Imaging protocol: acquisition and processing", "protocol", _DATA),
        Item("Predictors that are not radiomic", "covariates", _DATA),
        Item("Reference standard, the outcome", "reference", _DATA),
        Item("Strategy of segmentation", "segmentation", _SEGMENTATION),
        Item("Who segmented", "segmentation", _SEGMENTATION),
        Item("Image preprocessing", "preprocessing", _BEFORE),
        Item("Resampling and its parameters", "resampling", _BEFORE),
        Item("Discretisation and its parameters", "discretisation", _BEFORE),
        Item("Image types: original, filtered, transformed", "image_types", _BEFORE),
        Item("Method of feature extraction", "extraction", _EXTRACTION),
        Item("Classes of features", "features", _EXTRACTION),
        Item("Number of features", "unknown", _EXTRACTION),
        Item("Statement that other parameters are defaults", "defaults", _EXTRACTION),
        Item("Missing data", "unknown", _PREPARATION),
        Item("Imbalance of classes", "no_model", _PREPARATION),
        Item("Reliability of the segmentation", "segmentation", _PREPARATION),
        Item("Scaling of features", "unknown", _PREPARATION),
        Item("Reduction of dimensions", "unknown", _PREPARATION),
        Item("Details of the algorithm", "extraction", _MODELLING),
        Item("Training and tuning", "no_model", _MODELLING),
        Item("Confounders", "covariates", _MODELLING),
        Item("How the model was selected", "selection", _MODELLING),
        Item("Technique of testing, internal or external", "no_model", _EVALUATION),
        Item("Measures of performance, and why these", "no_model", _EVALUATION),
        Item("Uncertainty and its measures", "uncertainty", _EVALUATION),
        Item("Statistical comparison of performance", "no_model", _EVALUATION),
        Item("Comparison with methods that are not radiomic, and combined ones", "no_model", _EVALUATION),
        Item("How the model is interpreted and explained", "no_model", _EVALUATION),
        Item("Baseline characteristics of patients", "patients", _RESULTS),
        Item("Flowchart of eligibility", "patients", _RESULTS),
        Item("Statistics of features", "feature_statistics", _RESULTS),
        Item("Performance of the model", "no_model", _RESULTS),
        Item("Results beside methods that are not radiomic, and combined ones", "no_model", _RESULTS),
        Item("Overview of important findings", "manuscript", _DISCUSSION),
        Item("Earlier works, and how this one differs", "manuscript", _DISCUSSION),
        Item("Practical implications", "manuscript", _DISCUSSION),
        Item("Strengths and limitations", "manuscript", _DISCUSSION),
        Item("Images shared with their segmentations", "data", _OPEN),
        Item("Feature data shared", "data", _OPEN),
        Item("Scripts or settings of preprocessing shared", "preprocessing", _OPEN),
        Item("Source code of the modelling shared", "code", _OPEN),
        Item("Files of the final model shared", "no_model", _OPEN),
        Item("System ready to be used shared", "no_model", _OPEN),
    ),
)
