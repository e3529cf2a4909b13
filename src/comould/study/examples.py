"""Commented examples of ``case.yaml`` and ``study.yaml``, to fill in."""

from __future__ import annotations

from pathlib import Path

from comould.errors import InputError
from comould.study.case_file import CASE_FILE
from comould.study.study_file import STUDY_FILE

CASE_EXAMPLE = """\
# One case. Paths start at this file and stay in its folder. Keys behind a # are optional; with their # taken away
# they hold what is taken when they are left out, or an example. Then: comould run .
pseudonym: CASE-001          # names the results; never a patient's name
# centre: Leeds              # for a study of several centres

images:                      # DICOM folder, NIfTI, NRRD or MHA; the first is shown beneath pictures
  T2: images/t2.nii.gz
#  ADC: images/adc.nii.gz
mask: mask.nii.gz            # label map, DICOM SEG or RTSTRUCT of the specimen
# roi: Tumour                # its region, when it holds several

# Cutting planes: either a mould is built, or its plan is there already.
mould:
  template: soft_tissue      # comould templates lists them
  plane: axial               # axial, coronal, sagittal, image, or a normal [x, y, z]
  settings:                  # values in place of the template's
    spacing_mm: 5
#  structures:               # vessels and contacts: a coloured inlay, or an opening in the wall
#    - {name: vein, file: vein.nii.gz, role: window}
#    - {name: capsule, roi: Capsule, colour: "#d1495b"}
#  cores: {per_habitat: 2, diameter_mm: 4}   # of the habitats below; with plates to print
#  blocks: cassette          # split slabs to fit: cassette, mega or [width, height] in mm
# slice_plan: mould/manifest.json

habitats:
  features: [intensity.voxel]
#  n_habitats: 3             # chosen when left out
#  prepare: {T2: zscore}     # hu, adc, zscore, n4, joined by +
#  model: model.json         # apply a model, so that habitats mean the same in every patient
# Or a map that is there, and nothing else:
# habitats: {labels: habitats.nii.gz}

# registration:
#   n_samples: 8             # plausible registrations of each section
#   plane: fit               # fit, test or plan: what is done about the place of the cut
#   deformable: true

# sections:
#   - id: S1
#     picture: sections/s1.png
#     pixel_size_um: 0.5     # full resolution; a picture that was reduced says by how much in downsample
#     plane_id: P03          # a plane of the plan
#     face: "-"
#     spots: spots/s1.h5ad   # or a Space Ranger folder

# tests:
#   genesets: [immune]       # built-in collections, or GMT files
#   covariates: []
#   statistic: pearson
#   null: variogram
#   n_surrogates: 999
#   fdr: 0.1

# report:
#   title: A heading of your own     # Case and its pseudonym when left out

seed: 0
"""

STUDY_EXAMPLE = """\
# A study: many cases, what they share, and how they are pooled. Paths start at this file. Then: comould run .
name: My study
cases:                       # files or folders of cases; * stands for any name
  - cases/*/case.yaml

defaults:                    # what a case says itself goes before
  mould:
    template: soft_tissue
    settings: {spacing_mm: 5}
  habitats:
    features: [intensity.voxel]
#    prepare: {T2: zscore}   # hu, adc, zscore, n4, joined by +
#    model: model.json       # one model for all patients that is there already
  tests:                     # for cases that have spots
    genesets: [immune]
    null: variogram
  seed: 0

# One model of habitats, fitted over all cases before each applies it, so that they mean the same in every patient:
# population:
#   features: [intensity.voxel]
#   n_habitats: 3            # chosen when left out
#   scaling: stored          # stored: one scale for all (HU, ADC, normalised MR); case: each on its own

# cohort:
#   habitats: labels         # model: all apply one model, as with a population; labels: label 1 is label 1
#   method: REML             # REML, DL or PM
#   hartung_knapp: truncated
#   min_patients: 5
"""


def write_example(folder: str | Path, *, study: bool = False) -> Path:
    """Write an example.

    Parameters
    ----------
    folder
        Made if it is not there.
    study
        A study, in place of a case.

    Returns
    -------
    Path
        ``case.yaml`` or ``study.yaml``.

    Raises
    ------
    InputError
        If there is such a file, or it cannot be written.
    """
    path = Path(folder) / (STUDY_FILE if study else CASE_FILE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(STUDY_EXAMPLE if study else CASE_EXAMPLE)
    except FileExistsError as error:
        raise InputError(
            subject=str(path), expected="no file there yet", found="one", remedy="Choose another DIR, or edit that file"
        ) from error
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise InputError(subject=str(path), expected="a place that can be written to", found=found) from error
    return path
