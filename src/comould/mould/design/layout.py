"""Where everything of a mould lies: slots, guides and outline, worked out from the specimen's surface."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from comould.errors import ComouldWarning
from comould.mould import marks
from comould.mould.design import outline
from comould.mould.design.outline import Outline
from comould.mould.parameters import Parameters
from comould.space import FloatArray

TEXT_MARGIN_MM = 1.2
"""Solid strip left on each side of engraved text."""

_NEAR_MM = 1.0
"""Tissue this close to a slot decides its ends and its floor."""

_LEAD_MM = 2.0
"""Least length of wall beside a slot's end that guides the knife."""


@dataclass(frozen=True)
class Slot:
    """One gap for the knife, mould frame, mm.

    Parameters
    ----------
    x
        Its middle: the cutting plane.
    y
        Its two ends.
    floor_z
        Its bottom.
    top_z
        Height of the guide on both sides.
    cell
        Part of x whose guide has that height: half-way to the neighbouring slots, or to the mould's end.
    tissue_z
        Lowest tissue at the knife.
    free_y
        Beyond these its number stands clear of tissue and of neighbouring slots.
    """

    x: float
    y: tuple[float, float]
    floor_z: float
    top_z: float
    cell: tuple[float, float]
    tissue_z: float
    free_y: tuple[float, float]

    def moved(self, shift: FloatArray, ends: tuple[float, float]) -> Slot:
        """Move it by ``(3,)``; a cell without end ends at the mould's."""
        x, y, z = (float(by) for by in shift)
        cell = (max(self.cell[0], ends[0]) + x, min(self.cell[1], ends[1]) + x)
        ends, free = ((low + y, high + y) for low, high in (self.y, self.free_y))
        return Slot(self.x + x, ends, self.floor_z + z, self.top_z + z, cell, self.tissue_z + z, free)


@dataclass(frozen=True)
class Land:
    """A level part of the mould's top, on one side of the specimen: the guide for one slot or several.

    Parameters
    ----------
    low_x, high_x
        Its extent, mould frame, mm.
    top_z
        Its height: what the highest of its slots needs.
    """

    low_x: float
    high_x: float
    top_z: float


@dataclass(frozen=True)
class Labels:
    """How the slice numbers fit on the frame.

    Parameters
    ----------
    height_mm
        Digit height.
    rotated
        Whether the text runs along the slot instead of across it.
    both_sides
        Odd planes at the front, even ones at the back.
    every
        Number every n-th plane.
    depth_mm
        Strip of frame the text needs beyond the slot's end.
    width_mm
        Extent of the text across the slots.
    """

    height_mm: float
    rotated: bool
    both_sides: bool
    every: int
    depth_mm: float
    width_mm: float

    def at_back(self, n: int) -> bool:
        """Tell whether the n-th number stands at the back."""
        return self.both_sides and (n // self.every) % 2 == 1


@dataclass(frozen=True, eq=False)
class Layout:
    """Dimensions in the mould frame (mm; underside on z = 0, centred in x and y).

    Parameters
    ----------
    low, high
        ``(3,)`` corners of the mould without its foot plate.
    tissue_low, tissue_high
        ``(3,)`` bounds of the specimen, without clearance.
    slots
        In order along x.
    strips
        Frame beyond the slots' ends at the front (low y) and at the back.
    lands
        Level parts of the top, along x: at the front and at the back.
    core, rim
        Outline of the walls, and of the wider top that carries the numbers.
    labels
        How the numbers fit.
    shift
        ``(3,)`` from mould axes at the patient origin to the mould frame.
    """

    low: FloatArray
    high: FloatArray
    tissue_low: FloatArray
    tissue_high: FloatArray
    slots: tuple[Slot, ...]
    strips: tuple[float, float]
    lands: tuple[tuple[Land, ...], tuple[Land, ...]]
    core: Outline
    rim: Outline
    labels: Labels
    shift: FloatArray

    @property
    def slots_x(self) -> FloatArray:
        """Middle of each slot."""
        return np.array([slot.x for slot in self.slots])

    @property
    def floor_z(self) -> float:
        """Bottom of the deepest slot."""
        return min(slot.floor_z for slot in self.slots)

    @property
    def lowest_top(self) -> float:
        """Height of the lowest guide."""
        return min(slot.top_z for slot in self.slots)

    @property
    def divide(self) -> FloatArray:
        """Line ``(n, 2)`` where front meets back: through the middle of every slot, level beyond the last ones."""
        far = 20.0 + float(np.abs([self.low[0], self.high[0]]).max())
        points = [(slot.x, 0.5 * sum(slot.y)) for slot in self.slots]
        return np.array([(-far, points[0][1]), *points, (far, points[-1][1])])

    def top_at(self, x_low: float, x_high: float, *, back: bool) -> float:
        """Lowest land of a side over a part of x."""
        return min(land.top_z for land in self.lands[back] if land.low_x <= x_high and land.high_x >= x_low)


def plan_layout(
    vertices: FloatArray, slots_x: FloatArray, size: Parameters, *, up_letters: int = 1, bare_frame: bool = False
) -> Layout:
    """Work out a mould's dimensions.

    Parameters
    ----------
    vertices
        ``(n, 3)`` of the specimen's surface along the mould axes (patient origin).
    slots_x
        Positions of the cutting planes along x, same axes.
    size
        The template's parameters.
    up_letters
        How many letters name the direction that faces up.
    bare_frame
        The frame is only as wide as the wall: numbers and letters stand elsewhere.

    Warns
    -----
    ComouldWarning
        If the slots are too dense for every plane to be numbered.
    """
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    labels = fit_labels(slots_x, size)
    front = size.wall_mm if bare_frame else max(size.wall_mm, labels.depth_mm)
    strips = (front, front if labels.both_sides else size.wall_mm)
    slots = _with_free_ends(_slots(vertices, slots_x, size), vertices, labels, size)
    core = outline.around(_walls(vertices, slots, size), size)
    rim = core
    if not bare_frame:
        written = _texts(slots, strips, labels.width_mm + 2 * TEXT_MARGIN_MM)
        rim = outline.around(np.vstack([core.points, written, _letter_strip(core, size, up_letters)]), size)
    floor = min(slot.floor_z for slot in slots)
    block_low = np.array([*rim.low, floor - size.base_mm])
    block_high = np.array([*rim.high, max(slot.top_z for slot in slots)])
    shift = -np.array([*(0.5 * (block_low + block_high))[:2], block_low[2]])
    moved = tuple(slot.moved(shift, (float(rim.low[0]), float(rim.high[0]))) for slot in slots)
    core, rim = core.moved(shift[:2]), rim.moved(shift[:2])
    return Layout(
        block_low + shift,
        block_high + shift,
        low + shift,
        high + shift,
        moved,
        strips,
        _lands(moved, labels, bare_frame),
        core,
        rim,
        labels,
        shift,
    )


def _letter_strip(core: Outline, size: Parameters, letters: int) -> FloatArray:
    """Corners ``(2, 2)`` of the strip beyond the last slot that carries the letter for what faces up."""
    letter = top_letter_mm(size)
    x = core.high[0] - size.wall_mm + letter + 2 * TEXT_MARGIN_MM
    middle = 0.5 * sum(core.flats["+x"])
    # Room to stand beside the orientation slit, wherever that runs.
    half = marks.text_width("0" * letters, letter, size.stroke_mm) + 0.5 * size.slot_mm + 2 * TEXT_MARGIN_MM
    return np.array([(x, middle - half), (x, middle + half)])


def raised(layout: Layout, least_z: float) -> Layout:
    """Give every guide at least a height."""
    slots = tuple(replace(slot, top_z=max(slot.top_z, least_z)) for slot in layout.slots)
    front, back = (tuple(replace(land, top_z=max(land.top_z, least_z)) for land in side) for side in layout.lands)
    high = np.array([layout.high[0], layout.high[1], max(slot.top_z for slot in slots)])
    return replace(layout, slots=slots, lands=(front, back), high=high)


def deepened(layout: Layout, joint_z: float, least_mm: float) -> Layout:
    """Cut slots that would end shortly above a joint of two bodies down to it: what is left there would break."""
    slots = tuple(
        replace(slot, floor_z=joint_z - 0.2) if joint_z - 0.2 < slot.floor_z < joint_z + least_mm else slot
        for slot in layout.slots
    )
    return replace(layout, slots=slots)


def _lands(slots: Sequence[Slot], labels: Labels, bare_frame: bool) -> tuple[tuple[Land, ...], tuple[Land, ...]]:
    """Make the top level round every number, on the side where it stands."""
    if bare_frame:
        lands = tuple(Land(*slot.cell, slot.top_z) for slot in slots)
        return lands, lands
    sides = []
    for at_back in (False, True):
        numbered = [
            n for n in range(0, len(slots), labels.every) if labels.at_back(n) is at_back or not labels.both_sides
        ] or [0]
        edges = [0.5 * (slots[a].x + slots[b].x) for a, b in pairwise(numbered)]
        edges = [slots[0].cell[0], *edges, slots[-1].cell[1]]
        sides.append(
            tuple(
                Land(low, high, max(slot.top_z for slot in slots if slot.cell[0] < high and slot.cell[1] > low))
                for low, high in pairwise(edges)
            )
        )
    # The letter beyond the last slot stands on both sides.
    end = max(side[-1].top_z for side in sides)
    ends = [(*side[:-1], replace(side[-1], top_z=end)) for side in sides]
    return ends[0], ends[1]


def _slots(vertices: FloatArray, slots_x: FloatArray, size: Parameters) -> list[Slot]:
    order = np.argsort(vertices[:, 0], kind="stable")
    x, rest = vertices[order, 0], vertices[order, 1:]
    edges = [-np.inf, *(0.5 * (slots_x[1:] + slots_x[:-1])), np.inf]
    # The slots must end below the cavity too, however generous the clearance.
    below = max(size.slot_below_mm, size.clearance_mm + 0.5)
    near = 0.5 * size.slot_mm + _NEAR_MM
    slots = []
    for at, cell in zip(slots_x, pairwise(edges), strict=True):
        here = _between(x, rest, at - near, at + near)
        around = _between(x, rest, cell[0] - size.clearance_mm, cell[1] + size.clearance_mm)
        # The knife is guided by solid wall at both ends, however generous the clearance.
        beside = _between(x, rest, at - near - size.clearance_mm, at + near + size.clearance_mm)[:, 0]
        lead = size.clearance_mm + _LEAD_MM
        y = (
            min(float(here[:, 0].min()) - size.slot_overhang_mm, float(beside.min()) - lead),
            max(float(here[:, 0].max()) + size.slot_overhang_mm, float(beside.max()) + lead),
        )
        lowest = float(here[:, 1].min())
        # The guide rises above the tissue it cuts; beside the knife it need not.
        top = max(here[:, 1].max() + size.guide_mm, around[:, 1].max() + min(1.0, size.guide_mm))
        slots.append(Slot(float(at), y, lowest - below, float(top), cell, lowest, y))
    if size.top == "flat":
        top = max(slot.top_z for slot in slots)
        slots = [replace(slot, top_z=top) for slot in slots]
    return slots


def _with_free_ends(slots: Sequence[Slot], vertices: FloatArray, labels: Labels, size: Parameters) -> list[Slot]:
    """Find where each number stands clear of the cavity and of neighbouring slots, which may be longer than its own."""
    reach = 0.5 * labels.width_mm + TEXT_MARGIN_MM
    order = np.argsort(vertices[:, 0], kind="stable")
    x, y = vertices[order, 0], vertices[order, 1]
    found = []
    for slot in slots:
        beside = [other.y for other in slots if abs(other.x - slot.x) < reach + 0.5 * size.slot_mm]
        a, b = np.searchsorted(x, (slot.x - reach - size.clearance_mm, slot.x + reach + size.clearance_mm))
        if b > a:
            gap = size.clearance_mm + TEXT_MARGIN_MM
            beside.append((float(y[a:b].min()) - gap, float(y[a:b].max()) + gap))
        found.append(replace(slot, free_y=(min(low for low, _ in beside), max(high for _, high in beside))))
    return found


def _between(x: FloatArray, rest: FloatArray, low: float, high: float) -> FloatArray:
    """Rows with x in a window, widened until it holds tissue (planes between two separate lesions)."""
    while True:
        a, b = np.searchsorted(x, (low, high))
        if b > a:
            return rest[a:b]
        low, high = low - 1.0, high + 1.0


def _walls(vertices: FloatArray, slots: Sequence[Slot], size: Parameters) -> FloatArray:
    """Points ``(n, 2)`` the walls must hold: a wall's thickness round the cavity and round every slot's ends."""
    from scipy.spatial import ConvexHull

    hull = vertices[:, :2][ConvexHull(vertices[:, :2]).vertices]
    around = np.linspace(0.0, 2 * np.pi, 16, endpoint=False)
    circle = np.column_stack([np.cos(around), np.sin(around)]) / np.cos(np.pi / 16)
    half = 0.5 * size.slot_mm
    ends = np.array([(slot.x + side, y) for slot in slots for side in (-half, half) for y in slot.y])
    walls = ((hull, size.clearance_mm + size.wall_mm), (ends, size.wall_mm))
    return np.concatenate([(points[:, None] + reach * circle[None]).reshape(-1, 2) for points, reach in walls])


def _texts(slots: Sequence[Slot], strips: tuple[float, float], width: float) -> FloatArray:
    """Corners ``(n, 2)`` of the strips that carry the numbers."""
    return np.array(
        [
            (slot.x + side, y)
            for slot in slots
            for side in (-0.5 * width, 0.5 * width)
            for y in (slot.free_y[0] - strips[0], slot.free_y[1] + strips[1])
        ]
    )


def top_letter_mm(size: Parameters) -> float:
    """Height of the letter on the mould's top."""
    return min(6.0, size.letter_mm)


def fit_labels(slots_x: FloatArray, size: Parameters) -> Labels:
    """Find how the slice numbers can be engraved beside their slots.

    Warns
    -----
    ComouldWarning
        If there is no room for every number.
    """
    digits = len(str(len(slots_x)))
    wide = marks.text_width("0" * digits, size.digit_mm, size.stroke_mm)
    least = 5 * size.stroke_mm
    # Underlined numbers are a little taller.
    tall = 2.0 * size.stroke_mm
    if _gap(slots_x, 1) >= wide + 1.0:
        return Labels(size.digit_mm, False, False, 1, size.digit_mm + tall + 2 * TEXT_MARGIN_MM, wide)
    room = wide + 2 * TEXT_MARGIN_MM
    for every in range(1, len(slots_x) + 1):
        numbered = slots_x[::every]
        for both in (False, True):
            height = min(size.digit_mm, _gap(numbered, 2 if both else 1) - tall)
            if height >= least - 1e-9:
                if every > 1:
                    warnings.warn(
                        f"slice numbers: slots {_gap(slots_x, 1):.3g} mm apart leave no room for every number; "
                        f"every {every}. one is engraved, beginning with 1",
                        ComouldWarning,
                        stacklevel=4,
                    )
                return Labels(height, True, both, every, room, height + tall)
    return Labels(least, True, False, len(slots_x), room, least + tall)


def _gap(slots_x: FloatArray, step: int) -> float:
    return float((slots_x[step:] - slots_x[:-step]).min()) if len(slots_x) > step else np.inf
