"""METRICS: the quality of a radiomic study's method.

References
----------
Kocak B, et al. METhodological RadiomICs Score (METRICS): a quality scoring tool for radiomics research endorsed by
EuSoMII. Insights Imaging 2024;15:8. doi:10.1186/s13244-023-01572-w; weights: its Table 1.
"""

from __future__ import annotations

from comould.report.checklists._list import Checklist, Item

_STUDY, _IMAGING, _SEGMENTATION = "Study design", "Imaging data", "Segmentation"
_PROCESSING, _FEATURES = "Image processing and feature extraction", "Feature processing"
_MODELLING, _COMPARISON = "Preparation for modelling", "Metrics and comparison"
_TESTING, _OPEN = "Testing", "Open science"

METRICS = Checklist(
    "METRICS",
    "quality of method",
    "Kocak 2024, doi:10.1186/s13244-023-01572-w",
    "Items, order, conditions and weights as in Table 1 of the paper and in its authors' own calculator, version 1.0.",
    conditions=(
        Item("Is anything segmented?", "segmented"),
        Item("Fully automatically?", "automatic"),
        Item("Are features defined by hand?", "handcrafted"),
        Item("Are features kept as a table?", "tabular"),
        Item("Does deep learning go from image to result?", "deep"),
    ),
    items=(
        Item("A checklist or guideline of radiomics or machine learning is followed", "adherence", _STUDY, 0, 0.0368),
        Item("Criteria of eligibility that describe a representative population", "patients", _STUDY, 0, 0.0735),
        Item("Reference standard of high quality, clearly defined", "reference", _STUDY, 0, 0.0919),
        Item("More than one centre", "centres", _IMAGING, 0, 0.0438),
        Item("Imaging that can be carried over to the clinic", "protocol", _IMAGING, 0, 0.0292),
        Item("Imaging protocol with acquisition parameters", "protocol", _IMAGING, 0, 0.0438),
        Item("Time between imaging and reference standard", "interval", _IMAGING, 0, 0.0292),
        Item("How segmentation was done is described", "segmentation", _SEGMENTATION, 0, 0.0337),
        Item("Fully automated segmentation is formally evaluated", "segmentation", _SEGMENTATION, 0, 0.0225),
        Item("Masks of the test set from a single reader or an automated tool", "no_model", _SEGMENTATION, 0, 0.0112),
        Item("Image preprocessing is appropriate and described", "preprocessing", _PROCESSING, 0, 0.0622),
        Item("Standardised software extracts the features", "software", _PROCESSING, 0, 0.0311),
        Item("Parameters of extraction are told, or that they are defaults", "extraction", _PROCESSING, 0, 0.0415),
        Item("Features that are not robust are removed", "unknown", _FEATURES, 0, 0.0200),
        Item("Redundant features are removed", "unknown", _FEATURES, 0, 0.0200),
        Item("Number of features fits the amount of data", "unknown", _FEATURES, 0, 0.0300),
        Item("Robustness of an end-to-end deep-learning pipeline", "no_deep", _FEATURES, 0, 0.0200),
        Item("Data are properly partitioned", "no_model", _MODELLING, 0, 0.0599),
        Item("Confounders are handled", "covariates", _MODELLING, 0, 0.0300),
        Item("Measures of performance fit the task", "no_model", _COMPARISON, 0, 0.0352),
        Item("Uncertainty is considered", "uncertainty", _COMPARISON, 0, 0.0234),
        Item("Calibration of the model is assessed", "no_model", _COMPARISON, 0, 0.0176),
        Item("A single kind of imaging, or proof that it is inferior", "unknown", _COMPARISON, 0, 0.0117),
        Item("Comparison without radiomics, or proof of added clinical value", "no_model", _COMPARISON, 0, 0.0293),
        Item("Comparison with simple or classical statistical models", "no_model", _COMPARISON, 0, 0.0176),
        Item("Internal testing", "no_model", _TESTING, 0, 0.0375),
        Item("External testing", "no_model", _TESTING, 0, 0.0749),
        Item("Data available", "data", _OPEN, 0, 0.0075),
        Item("Code available", "code", _OPEN, 0, 0.0075),
        Item("Model available", "no_model", _OPEN, 0, 0.0075),
    ),
    counts="Weight",
)
