"""Figures: every one a function that takes ``ax`` and returns the axes or figure it drew; nothing touches pyplot.

Image views are radiological (patient right on the left), carry orientation letters and a scale bar in mm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.pl.associations_figure import associations, claims, ranked, volcano
    from comould.pl.baseline_figure import baseline
    from comould.pl.calibration_figure import calibration
    from comould.pl.error_figure import error_by_section, error_ecdf, error_table, registration_error
    from comould.pl.fit_figure import fit
    from comould.pl.forest_figure import forest
    from comould.pl.gene_sets_figure import gene_sets
    from comould.pl.habitat_choice_figure import selection_curves
    from comould.pl.habitat_stability_figure import feature_stability, habitat_stability
    from comould.pl.habitats_figure import habitat_plane, habitats, selection_curve
    from comould.pl.interaction_figure import interaction
    from comould.pl.mould_figure import mould, mould_view
    from comould.pl.null_fit_figure import null_fit
    from comould.pl.plane_test_figure import plane_likelihood, plane_scores
    from comould.pl.planes_figure import plan_overview, plane, planes
    from comould.pl.plausible_figure import plausible
    from comould.pl.pose_figure import pose
    from comould.pl.power_figure import power_curves
    from comould.pl.registration_figure import displacement, landmark_residuals, sd_map
    from comould.pl.sampling_figure import sampling, slab_face
    from comould.pl.scale_figure import scale_curve
    from comould.pl.section_figure import SectionScene, section
    from comould.pl.shift_figure import shift_curve
    from comould.pl.spots_figure import spots
    from comould.pl.stack_figure import stack, stack_offsets, stack_shrinkage, stack_tilts

_HOME = {
    "associations_figure": ("associations", "claims", "ranked", "volcano"),
    "baseline_figure": ("baseline",),
    "calibration_figure": ("calibration",),
    "error_figure": ("error_by_section", "error_ecdf", "error_table", "registration_error"),
    "fit_figure": ("fit",),
    "gene_sets_figure": ("gene_sets",),
    "forest_figure": ("forest",),
    "habitat_choice_figure": ("selection_curves",),
    "habitat_stability_figure": ("feature_stability", "habitat_stability"),
    "habitats_figure": ("habitat_plane", "habitats", "selection_curve"),
    "interaction_figure": ("interaction",),
    "mould_figure": ("mould", "mould_view"),
    "null_fit_figure": ("null_fit",),
    "plane_test_figure": ("plane_likelihood", "plane_scores"),
    "planes_figure": ("plan_overview", "plane", "planes"),
    "plausible_figure": ("plausible",),
    "pose_figure": ("pose",),
    "power_figure": ("power_curves",),
    "registration_figure": ("displacement", "landmark_residuals", "sd_map"),
    "sampling_figure": ("sampling", "slab_face"),
    "scale_figure": ("scale_curve",),
    "section_figure": ("SectionScene", "section"),
    "shift_figure": ("shift_curve",),
    "spots_figure": ("spots",),
    "stack_figure": ("stack", "stack_offsets", "stack_shrinkage", "stack_tilts"),
}

__all__ = [
    "SectionScene",
    "associations",
    "baseline",
    "calibration",
    "claims",
    "displacement",
    "error_by_section",
    "error_ecdf",
    "error_table",
    "feature_stability",
    "fit",
    "forest",
    "gene_sets",
    "habitat_plane",
    "habitat_stability",
    "habitats",
    "interaction",
    "landmark_residuals",
    "mould",
    "mould_view",
    "null_fit",
    "plan_overview",
    "plane",
    "plane_likelihood",
    "plane_scores",
    "planes",
    "plausible",
    "pose",
    "power_curves",
    "ranked",
    "registration_error",
    "sampling",
    "scale_curve",
    "sd_map",
    "section",
    "selection_curve",
    "selection_curves",
    "shift_curve",
    "slab_face",
    "spots",
    "stack",
    "stack_offsets",
    "stack_shrinkage",
    "stack_tilts",
    "volcano",
]

__getattr__, __dir__ = attach(__name__, {name: module for module, names in _HOME.items() for name in names})
