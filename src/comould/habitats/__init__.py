"""Volumes and a mask → feature maps → habitats.

``feature_maps``     a number per voxel and feature (IBSI definitions), masked, anisotropy-aware
``region_features``  the same features once, over the whole region
``fit``              habitats: clusters of voxels, with probabilities and the curve that chose their number
``edge_distance``    how deep each voxel lies, so that "habitat" can be told from "depth"
"""

from comould.habitats.catalogue import code as feature_code
from comould.habitats.catalogue import names as feature_names
from comould.habitats.cluster import Habitats, fit
from comould.habitats.features import FeatureMaps, feature_maps, region_features
from comould.habitats.metrics import interaction, interaction_features, ith_score, pieces, volume_fractions
from comould.habitats.rim import edge_distance, rim

__all__ = [
    "FeatureMaps",
    "Habitats",
    "edge_distance",
    "feature_code",
    "feature_maps",
    "feature_names",
    "fit",
    "interaction",
    "interaction_features",
    "ith_score",
    "pieces",
    "region_features",
    "rim",
    "volume_fractions",
]
