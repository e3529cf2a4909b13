"""How well a section lies on its plane: overlap, mutual information of tissue classes, folding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.cluster.vq import kmeans2
from scipy.spatial import cKDTree

from comould.register.dense.describe import describe, likeness, ranked
from comould.register.dense.warp import lay, onto, warped
from comould.register.maps import PlanarMap
from comould.register.raster import BoolArray, Raster, smooth_inside
from comould.space import FloatArray

OUTLINE_WEIGHT = 1.0
"""How much a full overlap counts beside one nat of mutual information."""

LIKENESS_WEIGHT = 2.0
"""How much perfectly alike pictures count beside one nat of mutual information."""

WORKING_PX = 160.0
"""Pixels along the specimen's radius at which pictures are matched, where they have as many."""


@dataclass(frozen=True)
class Fit:
    """What a map achieves.

    Parameters
    ----------
    dice
        Overlap of the mapped tissue with the specimen.
    information
        Mutual information (nats) of tissue classes and imaging classes where both are.
    score
        ``(information + LIKENESS_WEIGHT * likeness) * overlap + OUTLINE_WEIGHT * dice``: what the search and the
        stages are judged by.
    likeness
        Agreement of the two pictures' self-similarity where both are: 1 if equal, about 0 if unrelated; 0 where it
        was not measured.
    """

    dice: float
    information: float
    score: float
    likeness: float = 0.0


@dataclass(frozen=True, eq=False)
class Judge:
    """Judges maps of one section onto one plane at one resolution.

    Parameters
    ----------
    section, plane
        The two pictures.
    n_classes
        Tissue classes on either side.
    smooth_mm
        Scale at which the pictures are compared.
    """

    section: Raster
    plane: Raster
    n_classes: int = 6
    smooth_mm: float = 0.8

    @cached_property
    def points(self) -> FloatArray:
        """Slide positions of the tissue's pixels."""
        return self.section.points_mm(self.section.mask)

    @cached_property
    def section_classes(self) -> FloatArray:
        """One-hot classes ``(n, k)`` of the tissue's pixels."""
        labels = classes(ranked(self.section), self.n_classes, self.smooth_mm)[self.section.mask]
        return np.eye(self.n_classes)[labels - 1]

    @cached_property
    def plane_memberships(self) -> FloatArray:
        """Soft classes ``(h, w, k)`` of the plane's pixels, zero outside the specimen, with a border of zeros."""
        labels = classes(ranked(self.plane), self.n_classes, self.smooth_mm)
        soft = [ndimage.gaussian_filter((labels == k + 1).astype(np.float64), 0.7) for k in range(self.n_classes)]
        return np.pad(np.stack(soft, axis=-1), ((1, 1), (1, 1), (0, 0)))

    @cached_property
    def seen(self) -> tuple[Raster, Raster]:
        """Section and plane as they are matched: normal scores, at the working pixel size."""
        spacing = self.plane.radius_mm / WORKING_PX
        return ranked(self.section.coarser(spacing)), ranked(self.plane.coarser(spacing))

    def fit(self, mapped: FloatArray, weights: FloatArray | float) -> Fit:
        """Judge mapped tissue points ``(n, 2)``, each standing for ``weights`` times a slide pixel's area."""
        soft = bilinear(self.plane_memberships, self.plane.index(mapped) + 1.0)
        weighted = soft * np.asarray(weights)[..., None] if np.ndim(weights) else soft * weights
        table = self.section_classes.T @ weighted
        shared = float(table.sum()) * self.section.spacing_mm**2
        mine = float(np.sum(weights) if np.ndim(weights) else weights * len(mapped)) * self.section.spacing_mm**2
        dice = 2.0 * shared / (mine + self.plane.area_mm2)
        information = mutual_information(table)
        overlap = min(1.0, shared / mine)
        return Fit(dice, information, information * overlap + OUTLINE_WEIGHT * dice)

    def judge(self, planar: PlanarMap) -> Fit:
        """Judge a map, with its area change and the likeness of the pictures."""
        determinant = np.abs(np.linalg.det(planar.jacobians(self.points)))
        fit = self.fit(planar.apply(self.points), determinant)
        alike, both = self.likeness(planar)
        return replace(fit, likeness=alike, score=fit.score + LIKENESS_WEIGHT * alike * both)

    def likeness(self, planar: PlanarMap) -> tuple[float, float]:
        """Agreement of the pictures under a map, and the share of the tissue on which it could be measured."""
        section, plane = self.seen
        spacing = min(2.0 * plane.spacing_mm, max(plane.spacing_mm, 2.0 * plane.radius_mm / WORKING_PX))
        plane = plane.coarser(spacing)
        laid = lay(section.coarser(spacing), plane, planar.linear, 2.0 * plane.spacing_mm)
        target = onto(plane, laid)
        if planar.spline is not None:
            field = planar.spline.displacement(laid.points_mm()).T.reshape(2, *laid.mask.shape)
            target = warped(target, field / laid.spacing_mm)
        mine, theirs = describe(laid), describe(target)
        both = mine.weight * theirs.weight
        share = float(both.sum() / max(float(mine.weight.sum()), 1.0))
        return likeness(mine.features, theirs.features, both.astype(np.float64)), share


def classes(raster: Raster, n_classes: int, smooth_mm: float) -> npt.NDArray[np.intp]:
    """Sort a raster's tissue into classes ``(h, w)``: 1 … n by k-means of its smoothed channels, 0 outside."""
    sigma = smooth_mm / raster.spacing_mm
    smooth = np.stack([smooth_inside(c, raster.mask, sigma)[raster.mask] for c in raster.channels], axis=-1)
    smooth = (smooth - smooth.mean(axis=0)) / (smooth.std(axis=0) + 1e-9)
    # Started from quantiles of the first channel: no chance enters.
    order = np.argsort(smooth[:, 0], kind="stable")
    start = np.array([smooth[part].mean(axis=0) for part in np.array_split(order, n_classes)])
    _, labels = (
        kmeans2(smooth, start, iter=15, minit="matrix", missing="warn")
        if len(smooth) > n_classes
        else (0, np.zeros(len(smooth), int))
    )
    result = np.zeros(raster.mask.shape, dtype=np.intp)
    result[raster.mask] = labels + 1
    return result


def bilinear(image: FloatArray, index: FloatArray) -> FloatArray:
    """Sample ``(h, w, k)`` at row, column ``(2, n)``; positions are held at the border."""
    height, width = image.shape[:2]
    row = np.clip(index[0], 0, height - 1.000001)
    column = np.clip(index[1], 0, width - 1.000001)
    r, c = row.astype(np.intp), column.astype(np.intp)
    fr, fc = (row - r)[:, None], (column - c)[:, None]
    flat = image.reshape(height * width, -1)
    at = r * width + c
    top = flat[at] * (1 - fc) + flat[at + 1] * fc
    bottom = flat[at + width] * (1 - fc) + flat[at + width + 1] * fc
    return top * (1 - fr) + bottom * fr


def mutual_information(table: FloatArray) -> float:
    """Mutual information (nats) of a table of counts."""
    total = table.sum()
    if total <= 0:
        return 0.0
    joint = table / total
    expected = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    positive = joint > 1e-15
    return float(np.sum(joint[positive] * np.log(joint[positive] / expected[positive])))


def hd95_mm(section: Raster, plane: Raster, planar: PlanarMap) -> float:
    """95th percentile of the distances between the two outlines, both ways, in plane mm."""
    mine = planar.apply(section.points_mm(_border(section.mask)))
    theirs = plane.points_mm(_border(plane.mask))
    there, back = cKDTree(theirs).query(mine)[0], cKDTree(mine).query(theirs)[0]
    return float(np.quantile(np.concatenate([there, back]), 0.95))


def _border(mask: BoolArray) -> BoolArray:
    padded = np.pad(mask, 1)
    return np.asarray((padded & ~ndimage.binary_erosion(padded))[1:-1, 1:-1])
