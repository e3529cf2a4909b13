"""Volumes and a mask → feature maps → habitats.

``feature_maps``     a number per voxel and feature (IBSI definitions), masked, anisotropy-aware
``region_features``  the classical vector of the whole region: shape, intensity, texture, as a table
``fit``              habitats: clusters of voxels, with probabilities and the curve that chose their number
``fit_population``   the same habitats in every case of a cohort; ``HabitatModel`` takes them to new ones
``population_model`` the model alone, of cases read one at a time
``classify``         tissue classes by thresholds; ``levels`` by Otsu's
``feature_stability``, ``habitat_stability``   what is found again when a tumour is measured another time
``ith_score``, ``interaction_features``, ``pieces``   how scattered, what beside what, in which pieces
``to_anndata``       supervoxels for scanpy and squidpy
``edge_distance``    how deep each voxel lies, so that "habitat" can be told from "depth"
``zones``            core, rim, invasive margin and rings
``delta_maps``       what changed between two registered time points; ``transitions``: which habitat became which
``filters``          response maps (IBSI-2) that enter beside the images
``prepare``          shading, intensity scale, windows, units, one grid
"""

from comould.habitats import filters, prepare
from comould.habitats.catalogue import code as feature_code
from comould.habitats.catalogue import names as feature_names
from comould.habitats.classes import CT_TISSUE, classify, levels, otsu_thresholds
from comould.habitats.cluster import Habitats, fit
from comould.habitats.delta import DeltaMaps, delta_habitats, delta_maps, outline_of, transitions
from comould.habitats.features import FeatureMaps, feature_maps
from comould.habitats.metrics import interaction, interaction_features, ith_score, pieces, volume_fractions
from comould.habitats.model import HabitatModel
from comould.habitats.observations import to_anndata
from comould.habitats.perturb import Perturbation
from comould.habitats.population import Population, PopulationModel, fit_population, match_cases, population_model
from comould.habitats.processing import Processing, process
from comould.habitats.region import region_features
from comould.habitats.rim import Zones, depth_by_label, edge_distance, rim, zones
from comould.habitats.stability import FeatureStability, HabitatStability, feature_stability, habitat_stability

__all__ = [
    "CT_TISSUE",
    "DeltaMaps",
    "FeatureMaps",
    "FeatureStability",
    "HabitatModel",
    "HabitatStability",
    "Habitats",
    "Perturbation",
    "Population",
    "PopulationModel",
    "Processing",
    "Zones",
    "classify",
    "delta_habitats",
    "delta_maps",
    "depth_by_label",
    "edge_distance",
    "feature_code",
    "feature_maps",
    "feature_names",
    "feature_stability",
    "filters",
    "fit",
    "fit_population",
    "habitat_stability",
    "interaction",
    "interaction_features",
    "ith_score",
    "levels",
    "match_cases",
    "otsu_thresholds",
    "outline_of",
    "pieces",
    "population_model",
    "prepare",
    "process",
    "region_features",
    "rim",
    "to_anndata",
    "transitions",
    "volume_fractions",
    "zones",
]
