"""A run in a process of its own that is killed from outside."""

import sys
import warnings

import anndata  # noqa: F401 - imported before the processes part, so that each begins at once
import pandas  # noqa: F401
import SimpleITK  # noqa: F401

import comould.associate
import comould.io
import comould.report  # noqa: F401
from comould.study.compute import Compute
from comould.study.study_run import RunOptions, run_study


def run_here(case, out):
    warnings.simplefilter("ignore")
    outcome = run_study(case, out, options=RunOptions(compute=Compute(workers=0)))
    sys.exit(0 if outcome.ok else 1)
