"""The outside of a mould: walls, the rim that carries the numbers, the stepped knife guide, the foot with its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from comould.mould.design.layout import Layout
from comould.mould.parameters import Parameters
from comould.space import FloatArray

if TYPE_CHECKING:
    from manifold3d import CrossSection, Manifold

RIM_MM = 2.5
"""Height of the rim's upright edge."""


_OVERLAP_MM = 0.3
"""Parts that are joined reach this far into each other: surfaces that only just touch leave slivers."""


def block(layout: Layout, size: Parameters) -> Manifold:
    """Make the solid mould on its foot plate, its top stepped to the guides' heights."""
    from manifold3d import Manifold, OpType

    walls = layout.core.section().extrude(float(layout.high[2]) + 2 * _OVERLAP_MM)
    body = Manifold.batch_boolean([walls, *_rim(layout)], OpType.Add) ^ under_guides(layout)
    return body + foot(layout, size).extrude(size.base_mm) if size.flange_mm > 0 else body


def rim_depth(layout: Layout) -> float:
    """How far below the guides' tops the rim and its 45° underside reach."""
    out = _rim_width(layout)
    return RIM_MM + out + 0.7 if out > 1e-6 else 0.0


def _rim_width(layout: Layout) -> float:
    return float(_apart(layout.rim.points, layout.core.points).max())


def _apart(points: FloatArray, polygon: FloatArray) -> FloatArray:
    """Distance of points ``(n, 2)`` from a polygon's edge; none for those on it."""
    a, b = polygon, np.roll(polygon, -1, axis=0)
    along = b - a
    share = np.einsum("nkj,kj->nk", points[:, None] - a, along) / np.maximum((along**2).sum(axis=1), 1e-12)
    foot = a + np.clip(share, 0.0, 1.0)[..., None] * along
    return np.asarray(np.linalg.norm(points[:, None] - foot, axis=2).min(axis=1))


def _rim(layout: Layout) -> list[Manifold]:
    """Make the wider top that carries numbers and letter: it grows out of the walls at 45°, which needs no support."""
    from manifold3d import Manifold

    if _rim_width(layout) < 1e-6:
        return []
    # No face of it coincides with one of the walls: that asks for slivers.
    root, edge = layout.core.shrunk(0.5), layout.rim.shrunk(0.02)
    made = []
    for back, lands in enumerate(layout.lands):
        for land in lands:
            x = (land.low_x - _OVERLAP_MM, land.high_x + _OVERLAP_MM)
            part = (x, _reach(layout, x, back=bool(back)))
            above, below = edge.within(*part), root.within(*part)
            if len(below) < 3:
                below = above
            # The sharpest corner decides: nowhere does it lean out further than 45°.
            drop = float(_apart(above, below).max()) + 0.2
            rows = [
                (above, land.top_z + _OVERLAP_MM),
                (above, land.top_z - RIM_MM),
                (below, max(land.top_z - RIM_MM - drop, 0.0)),
            ]
            points = [np.column_stack([xy, np.full(len(xy), z)]) for xy, z in rows if len(xy)]
            if points:
                made.append(Manifold.hull_points(np.concatenate(points)))
    return made


def _far(layout: Layout) -> float:
    return 20.0 + float(np.abs([layout.low[1], layout.high[1]]).max())


def _reach(layout: Layout, x: tuple[float, float], *, back: bool) -> tuple[float, float]:
    """How far in y the front or the back of the mould reaches over a part of x."""
    line = layout.divide
    within = line[(line[:, 0] > x[0]) & (line[:, 0] < x[1]), 1]
    y = [*np.interp(x, *line.T), *within]
    return (float(min(y)), _far(layout)) if back else (-_far(layout), float(max(y)) + _OVERLAP_MM)


def _side(layout: Layout, *, back: bool) -> CrossSection:
    """Front or back of the mould from above, a little into each other."""
    from manifold3d import CrossSection

    line, far = layout.divide + np.array([0.0, 0.0 if back else _OVERLAP_MM]), _far(layout) * (1.0 if back else -1.0)
    corners = np.array([*line, (line[-1, 0], far), (line[0, 0], far)])
    return CrossSection([corners if back else corners[::-1]])


def foot(layout: Layout, size: Parameters) -> CrossSection:
    """Draw the foot plate.

    Under a rectangular mould it is a flange all round. Under a trimmed one it is only what is of use: tabs at the front
    and at the back to write on and to hold it by, and one square corner, which is the key.
    """
    from manifold3d import CrossSection, OpType

    if size.outline == "block":
        return layout.core.section(size.flange_mm)
    low, high, flats = layout.core.low, layout.core.high, layout.core.flats
    # The tabs reach out from under the rim, so that they can be read from above.
    w, out = size.flange_mm, tab_depths(layout, size)
    plates = [layout.core.section()]
    for wall, near, far in (("-y", low[1] + w, low[1] - out[0]), ("+y", high[1] - w, high[1] + out[1])):
        a, b = flats[wall]
        rows = [(a - 2 * w, near), (b + 2 * w, near), (b, far), (a, far)]
        plates.append(CrossSection.hull_points(np.array(rows)))
    near = layout.core.towards((-1.0, 1.0)) + np.array([-size.flange_mm, size.flange_mm])
    side = 2 * size.key_mm
    plates.append(CrossSection.square((side, side)).translate((near[0], near[1] - side)))
    return CrossSection.batch_boolean(plates, OpType.Add)


def tab_depths(layout: Layout, size: Parameters) -> tuple[float, float]:
    """How far the tabs at the front and at the back stand out of the walls."""
    front, back = layout.core.low[1] - layout.rim.low[1], layout.rim.high[1] - layout.core.high[1]
    trimmed = 0.0 if size.outline == "block" else 1.0
    return size.flange_mm + trimmed * float(front), size.flange_mm + trimmed * float(back)


def under_guides(layout: Layout) -> Manifold:
    """Make everything below the guides' tops, whatever the outline."""
    from manifold3d import CrossSection, Manifold, OpType

    halves = []
    far, high = _far(layout), float(layout.high[2]) + 10.0
    for back, lands in enumerate(layout.lands):
        points = []
        for n, land in enumerate(lands):
            left = land.low_x - (10.0 if n == 0 else 0.0)
            right = land.high_x + (10.0 if n == len(lands) - 1 else 0.0)
            points += [(left, land.top_z), (right, land.top_z)]
        corners = [(points[0][0], 0.0), (points[-1][0], 0.0), *points[::-1]]
        # Drawn in x, z; extruded along z, which becomes −y.
        profile = CrossSection([np.array(corners)]).extrude(2 * far).rotate((90.0, 0.0, 0.0)).translate((0.0, far, 0.0))
        halves.append(profile ^ _side(layout, back=bool(back)).extrude(high))
    return Manifold.batch_boolean(halves, OpType.Add)
