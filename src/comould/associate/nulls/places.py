"""Where the spots of a null lie: sections, their common plane, neighbours and the edge of the support."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from comould.errors import InputError
from comould.space import FloatArray

IntArray = npt.NDArray[np.intp]

SECTION_GAP = 20.0
"""Unrelated sections are laid this many supports apart where one field is drawn for all."""
_EDGE_NEIGHBOURS = 12
_EDGE_GAP_DEG = 150.0


@dataclass(frozen=True, eq=False)
class Places:
    """Positions of spots on sections.

    Parameters
    ----------
    positions
        ``(n, 3)`` patient mm, or ``(n, 2)`` in each section's own frame (sections unrelated).
    codes
        ``(n,)`` section of each spot, whole numbers from 0.
    """

    positions: FloatArray
    codes: IntArray

    @property
    def flat(self) -> bool:
        """Tell whether positions are two-dimensional, so that sections cannot be compared."""
        return self.positions.shape[1] == 2

    @property
    def groups(self) -> IntArray | None:
        """Sections whose pairs must not be mixed; ``None`` when all spots share one frame."""
        return self.codes if self.flat else None

    @cached_property
    def members(self) -> tuple[IntArray, ...]:
        """Indices of each section's spots."""
        return tuple(np.flatnonzero(self.codes == code) for code in np.unique(self.codes))

    @cached_property
    def axes(self) -> FloatArray:
        """``(3, 3)`` rows u, v and normal of the plane all sections are parallel to, in the patient.

        The normal is the direction in which spots spread least about their section's mean. u is the patient axis most
        nearly in the plane, brought into it: no choice hangs on the rounding of a symmetric support.
        """
        centred = np.concatenate([self.positions[spots] - self.positions[spots].mean(axis=0) for spots in self.members])
        normal = np.linalg.eigh(centred.T @ centred)[1][:, 0]
        normal = normal * np.sign(normal[np.abs(normal).argmax()])
        first = np.eye(3)[np.abs(normal).argmin()]
        u = first - normal * (normal @ first)
        u /= np.linalg.norm(u)
        return np.stack([u, np.cross(normal, u), normal])

    @cached_property
    def in_plane(self) -> FloatArray:
        """``(n, 2)`` coordinates in the sections' common plane, mm (two-dimensional positions as they are)."""
        return self.positions if self.flat else self.positions @ self.axes[:2].T

    @cached_property
    def height(self) -> FloatArray:
        """``(n,)`` coordinate along the common normal, mm; 0 for two-dimensional positions."""
        return np.zeros(len(self.positions)) if self.flat else self.positions @ self.axes[2]

    @cached_property
    def pitch(self) -> float:
        """Median distance of a spot to its nearest neighbour within the section, in the plane."""
        near = [cKDTree(self.in_plane[spots]).query(self.in_plane[spots], 2)[0][:, 1] for spots in self.members]
        distance = np.concatenate(near)
        apart = distance[np.isfinite(distance) & (distance > 0)]
        return float(np.median(apart)) if len(apart) else 0.0

    @cached_property
    def planar(self) -> bool:
        """Tell whether each section is a plane: tilted if need be, but no thicker than the pitch of its spots."""
        return self.flat or all(self._thickness(spots) <= self.pitch for spots in self.members)

    def _thickness(self, spots: IntArray) -> float:
        design = np.column_stack([np.ones(len(spots)), self.in_plane[spots]])
        rest = self.height[spots] - design @ np.linalg.lstsq(design, self.height[spots], rcond=None)[0]
        return float(np.abs(rest).max())

    def require_planes(self, kind: str) -> None:
        """Refuse spots that are no set of planes.

        Raises
        ------
        InputError
            If spots of one section lie further off its plane than the pitch, or all at one place.
        """
        if not self.planar or self.pitch == 0:
            raise InputError(
                subject=f"positions for the {kind!r} null",
                expected="sections that are planes, with spots side by side",
                found=f"{len(self.members)} section(s) of which one is thicker than a spot pitch of {self.pitch:.3g}",
                remedy="Give the section of each spot, or take kind='variogram', which needs no sections",
            )

    @cached_property
    def apart(self) -> FloatArray:
        """``(n, 2 or 3)`` coordinates in which unrelated sections are far from each other."""
        if not self.flat:
            return self.positions
        longest = float(np.linalg.norm(np.ptp(self.positions, axis=0)))
        return np.column_stack([self.positions, self.codes * SECTION_GAP * longest])

    def edge_distance(self) -> FloatArray:
        """Distance ``(n,)`` of each spot to the nearest spot at the edge of its section, outer or of a hole, mm.

        A spot is at the edge when its twelve nearest neighbours leave an angle of 150° or more free.
        """
        distance = np.zeros(len(self.positions))
        for spots in self.members:
            points = self.in_plane[spots]
            count = min(_EDGE_NEIGHBOURS, len(spots) - 1)
            if count < 3:
                continue
            tree = cKDTree(points)
            arms = points[tree.query(points, count + 1)[1][:, 1:]] - points[:, None]
            angle = np.sort(np.arctan2(arms[..., 1], arms[..., 0]), axis=1)
            free = np.diff(angle, axis=1, append=angle[:, :1] + 2 * np.pi).max(axis=1)
            edge = free >= np.deg2rad(_EDGE_GAP_DEG) - 1e-9
            if edge.any():
                distance[spots] = cKDTree(points[edge]).query(points)[0]
        return distance


def branch(seed: int | np.random.SeedSequence, number: int) -> np.random.SeedSequence:
    """Child of a seed by name, not by spawning: a sequence used twice must give the same maps twice."""
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, number))


def section_codes(sections: npt.ArrayLike | None, count: int) -> npt.NDArray[np.intp]:
    """Whole numbers from 0 for section labels ``(count,)``; one section when there are none.

    Raises
    ------
    InputError
        If there is not a label a spot.
    """
    if sections is None:
        return np.zeros(count, dtype=np.intp)
    labels = np.asarray(sections)
    if labels.shape != (count,):
        raise InputError(subject="sections", expected=f"{count} labels, one a spot", found=f"shape {labels.shape}")
    return np.unique(labels.astype(str), return_inverse=True)[1]
