"""The field's usual radiogenomics workflow, so that a study can show what habitats add to it.

``evaluate``      features of whole tumours → harmonised → selected → elastic net, in nested cross-validation
``compare``       several sets of features on the same folds: what does one add to another?
``harmonise``     ComBat that is fitted on some patients and applied to others
``minimum_sample_size``   Riley's criterion: how many patients so many candidate features ask for

Every name loads its module when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.baseline.compare import compare
    from comould.baseline.data import Columns
    from comould.baseline.evaluate import Evaluation, evaluate
    from comould.baseline.harmonise import Harmoniser, harmonise
    from comould.baseline.options import BaselineOptions
    from comould.baseline.predictions import Predictions
    from comould.baseline.sample_size import minimum_sample_size

_MODULE_OF = {
    "BaselineOptions": "options",
    "Columns": "data",
    "Evaluation": "evaluate",
    "Harmoniser": "harmonise",
    "Predictions": "predictions",
    "compare": "compare",
    "evaluate": "evaluate",
    "harmonise": "harmonise",
    "minimum_sample_size": "sample_size",
}

__all__ = [
    "BaselineOptions",
    "Columns",
    "Evaluation",
    "Harmoniser",
    "Predictions",
    "compare",
    "evaluate",
    "harmonise",
    "minimum_sample_size",
]

__getattr__, __dir__ = attach(__name__, _MODULE_OF)
