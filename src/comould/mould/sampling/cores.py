"""Cores: every habitat of every slab, from inside its borders, on the face that is photographed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import fft
from scipy import ndimage as ndi

from comould.errors import ComouldWarning, InputError
from comould.mould.sampling.options import CoreOptions
from comould.mould.sampling.place import Candidates, Placed, place
from comould.mould.sampling.raster import BoolArray, Raster, Volume, rasterise
from comould.mould.sampling.result import Core, SamplingPlan, Shortfall
from comould.mould.sampling.slab import Slab, slabs
from comould.space import FloatArray, SlicePlan

if TYPE_CHECKING:
    import SimpleITK as sitk


class HabitatsLike(Protocol):
    """Habitats: a label map, 0 outside, 1 … k inside."""

    @property
    def labels(self) -> sitk.Image:
        """Label map."""
        ...


def plan_cores(
    plan: SlicePlan,
    seg: sitk.Image,
    habitats: HabitatsLike | sitk.Image,
    *,
    names: Sequence[str] | None = None,
    options: CoreOptions | None = None,
) -> SamplingPlan:
    """Place cores so that every habitat of every slab is sampled.

    Parameters
    ----------
    plan
        The cutting planes.
    seg
        Label image of the specimen, patient LPS; everything that is not 0 counts.
    habitats
        Label image (0 outside, 1 … k), on any grid, or an object with ``labels`` (:class:`comould.habitats.Habitats`).
    names
        Of the habitats, label 1 first; ``H1``, ``H2``, … by default.
    options
        Diameter, number, distances, seed.

    Returns
    -------
    SamplingPlan
        Cores, and the habitats that got fewer than wanted with the reason.

    Raises
    ------
    InputError
        If an image is empty, the habitats are no labels, or they and the segmentation do not meet.
    GeometryError
        If plan and segmentation do not belong together.

    Warns
    -----
    ComouldWarning
        If some habitat of a slab got fewer cores than wanted.

    Notes
    -----
    On the face a core lies in one habitat with ``min_border_mm`` to spare; below it, the share of its tissue that
    stays in the habitat is its purity. Distances are those of the label images sampled at 0.25 mm (more for slabs
    beyond 100 mm); how well the labels show the habitats, and how true the knife cuts, is not part of them. Each slab
    has a random stream of its own: what happens in one changes nothing in another.

    Examples
    --------
    >>> import comould as cm
    >>> made = cm.phantom.specimen(seed=0)
    >>> mould = cm.mould.build(made.mask, plane="image")  # doctest: +SKIP
    >>> cm.mould.plan_cores(mould.plan, made.mask, made.habitats).table()  # doctest: +SKIP
    """
    options = options or CoreOptions()
    labels = _labels(habitats)
    pieces = slabs(plan, seg)
    tissue = Volume.of(seg)
    volume = Volume.of(labels, labels=True).spread(tissue)
    highest = int(volume.array.max())
    named = [str(name) for name in names] if names is not None else [f"H{n}" for n in range(1, highest + 1)]
    if len(named) < highest:
        raise InputError(subject="habitat names", expected=f"{highest}, one per label", found=f"{len(named)}")
    cores: list[Core] = []
    short: list[Shortfall] = []
    met = False
    for slab in pieces:
        work = _SlabWork(slab, rasterise(slab, tissue, volume), options, named)
        met |= bool(work.present)
        taken, gaps = work.run()
        cores += taken
        short += gaps
    if not met:
        raise InputError(
            subject="habitats",
            expected="labels inside the segmentation",
            found="none there",
            remedy="Give habitats and segmentation of one patient and one frame",
        )
    _warn(short, options)
    return SamplingPlan(pieces, tuple(cores), tuple(short), options)


def _labels(habitats: HabitatsLike | sitk.Image) -> sitk.Image:
    """Check a label image."""
    import SimpleITK as sitk

    image: Any = habitats if isinstance(habitats, sitk.Image) else habitats.labels
    found = ""
    if image.GetNumberOfComponentsPerPixel() != 1:
        found = f"{image.GetNumberOfComponentsPerPixel()} values per voxel"
    else:
        array = sitk.GetArrayViewFromImage(image)
        if not np.isfinite(array).all() or (array != np.round(array)).any():
            found = "values that are not whole numbers"
        elif array.min() < 0 or array.max() > 255:
            found = f"values from {array.min():g} to {array.max():g}"
        elif not array.any():
            found = "0 everywhere"
    if found:
        raise InputError(subject="habitats", expected="a label image, 0 outside and 1 to 255 inside", found=found)
    return image


def _warn(short: list[Shortfall], options: CoreOptions) -> None:
    if not short:
        return
    none = [gap for gap in short if not gap.placed]
    listed = ", ".join(f"{gap.slab} {gap.habitat}" for gap in none[:6]) + (", …" if len(none) > 6 else "")
    missed = f"; none at all: {listed}" if none else ""
    warnings.warn(
        f"sampling: fewer {options.diameter_mm:g} mm cores than wanted for {len(short)} habitat pieces "
        f"of a slab{missed}. The plan's `short` says why",
        ComouldWarning,
        stacklevel=3,
    )


@dataclass(frozen=True, eq=False)
class _Fields:
    """What is known about every pixel of one habitat on the face."""

    border_mm: FloatArray
    edge_mm: FloatArray
    purity: FloatArray


class _SlabWork:
    """The cores of one slab."""

    def __init__(self, slab: Slab, raster: Raster, options: CoreOptions, names: list[str]) -> None:
        self.slab, self.raster, self.options, self.names = slab, raster, options, names
        self.radius_mm = 0.5 * options.diameter_mm
        self.counts = np.bincount(raster.labels.ravel(), minlength=len(names) + 1)
        self.on_face = np.bincount(raster.face_labels.ravel(), minlength=len(names) + 1)
        self.present = [n for n in range(1, len(self.counts)) if self.counts[n] or self.on_face[n]]
        depth = slab.thickness_mm if options.depth_mm is None else min(options.depth_mm, slab.thickness_mm)
        self.layers = max(1, int(np.sum(raster.depths_mm < depth)))
        self.depth_mm = depth
        self.fields: dict[int, _Fields] = {}

    def run(self) -> tuple[list[Core], list[Shortfall]]:
        """Place the cores and say what is missing."""
        wanted = [label for label in self.present if self.options.wanted(label)]
        if not (self.slab.photographed or self.options.unphotographed):
            return [], [self._short(label, 0, "no photographed face") for label in wanted]
        edge = self._distance(self.raster.face_tissue)
        candidates = [self._candidates(label, edge) for label in wanted]
        # A stream by slab number: another plane elsewhere leaves it as it is.
        seed = np.random.SeedSequence([self.options.seed, self.slab.number])
        apart = self.options.diameter_mm + self.options.min_apart_mm
        looked, placed = place(candidates, apart_mm=apart, min_share=self.options.min_purity, seed=seed)
        by_label = {habitat.label: habitat for habitat in looked}
        placed.sort(key=lambda core: core.label)
        cores = [self._core(number, by_label[core.label], core) for number, core in enumerate(placed, 1)]
        short = []
        for label in wanted:
            got = sum(core.label == label for core in cores)
            if got < self.options.wanted(label):
                short.append(self._short(label, got, self._reason(label, got, candidates)))
        return cores, short

    def _distance(self, inside: BoolArray) -> FloatArray:
        """Distance of every pixel centre inside to the border, which runs half-way to the next pixel outside."""
        pixel = self.raster.window.pixel_mm
        found = ndi.distance_transform_edt(inside, sampling=pixel)
        return np.where(inside, found - 0.5 * pixel, 0.0)

    def _candidates(self, label: int, edge: FloatArray) -> Candidates:
        border = self._distance(self.raster.face_labels == label)
        valid = (border >= self.radius_mm + self.options.min_border_mm) & (
            edge >= self.radius_mm + self.options.min_edge_mm
        )
        purity, share = self._shares(label, valid)
        self.fields[label] = _Fields(border, edge, purity)
        rows, columns = np.nonzero(valid)
        return Candidates(
            label, self.options.wanted(label), self.raster.window.xy(rows, columns), border[valid], share[valid]
        )

    def _shares(self, label: int, valid: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Share of habitat in a core about each valid pixel: of its tissue, and of the whole core."""
        purity, share = np.zeros(valid.shape), np.zeros(valid.shape)
        if not valid.any():
            return purity, share
        disc = self._disc()
        reach = disc.shape[0] // 2
        rows, columns = (np.flatnonzero(valid.any(axis=axis)) for axis in (1, 0))
        box = tuple(slice(max(part[0] - reach, 0), part[-1] + reach + 1) for part in (rows, columns))
        own = _about((self.raster.labels[: self.layers, *box] == label).sum(axis=0).astype(np.float64), disc)
        tissue = _about(self.raster.tissue[: self.layers, *box].sum(axis=0).astype(np.float64), disc)
        # Counts are whole numbers: rounding takes the transform's noise away, so that ties are ties.
        purity[box] = np.clip(np.round(own / np.maximum(tissue, 1.0), 9), 0.0, 1.0)
        share[box] = np.clip(np.round(own / (disc.sum() * self.layers), 9), 0.0, 1.0)
        return purity, share

    def _disc(self) -> BoolArray:
        reach = int(np.ceil(self.radius_mm / self.raster.window.pixel_mm))
        row, column = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        return np.asarray(np.hypot(row, column) * self.raster.window.pixel_mm <= self.radius_mm)

    def _core(self, number: int, habitat: Candidates, placed: Placed) -> Core:
        window, options = self.raster.window, self.options
        x, y = habitat.xy_mm[placed.row]
        row, column = round((y - window.y_mm) / window.pixel_mm), round((x - window.x_mm) / window.pixel_mm)
        known = self.fields[placed.label]
        disc = self._disc()
        reach = disc.shape[0] // 2
        around = (slice(row - reach, row + reach + 1), slice(column - reach, column + reach + 1))
        layer = self.raster.layer_mm
        tissue = self.raster.tissue[: self.layers, *around][:, disc]
        below = self.raster.tissue[: self.layers, row, column]
        depth = min(self.depth_mm, layer * (len(below) if below.all() else max(int(np.argmin(below)), 1)))
        face, middle = self.slab.patient([(x, y, 0.0), (x, y, 0.5 * depth)])
        u, v = self.slab.uv((x, y))[0]
        return Core(
            id=f"{self.slab.id}-{number}",
            number=number,
            slab=self.slab.id,
            plane=self.slab.plane.id,
            face=self.slab.face,
            label=placed.label,
            habitat=self.names[placed.label - 1],
            uv_mm=(float(u), float(v)),
            face_mm=(float(face[0]), float(face[1]), float(face[2])),
            middle_mm=(float(middle[0]), float(middle[1]), float(middle[2])),
            depth_mm=float(depth),
            diameter_mm=float(options.diameter_mm),
            purity=float(known.purity[row, column]),
            volume_mm3=float(tissue.mean() * np.pi * self.radius_mm**2 * min(layer * self.layers, self.depth_mm)),
            to_border_mm=float(known.border_mm[row, column] - self.radius_mm),
            to_edge_mm=float(known.edge_mm[row, column] - self.radius_mm),
        )

    def _short(self, label: int, placed: int, reason: str) -> Shortfall:
        pixel = self.raster.window.pixel_mm**2
        return Shortfall(
            slab=self.slab.id,
            label=label,
            habitat=self.names[label - 1],
            wanted=self.options.wanted(label),
            placed=placed,
            face_mm2=float(self.on_face[label] * pixel),
            volume_ml=float(self.counts[label] * pixel * self.raster.layer_mm / 1000.0),
            reason=reason,
        )

    def _reason(self, label: int, placed: int, candidates: list[Candidates]) -> str:
        if not self.on_face[label]:
            return "not on the face, only below it"
        if not any(len(habitat.xy_mm) for habitat in candidates if habitat.label == label):
            known = self.fields[label]
            room = np.minimum(known.border_mm - self.options.min_border_mm, known.edge_mm - self.options.min_edge_mm)
            widest = 2.0 * float(room.max())
            fits = f"the widest place takes a core of {widest:.1f} mm" if widest > 0 else "narrower than its margins"
            return f"too small on the face: {fits}"
        return f"room for {placed}" if placed else "no room beside the cores of other habitats"


def _about(counts: FloatArray, disc: BoolArray) -> FloatArray:
    """Sum counts over a disc (a symmetric one) about every pixel."""
    # By hand: scipy.signal takes over a second to import.
    shape = [fft.next_fast_len(n + m - 1, real=True) for n, m in zip(counts.shape, disc.shape, strict=True)]
    product = fft.rfft2(counts, shape) * fft.rfft2(disc.astype(np.float64), shape)
    first = disc.shape[0] // 2
    rows, columns = (slice(first, first + n) for n in counts.shape)
    return np.asarray(fft.irfft2(product, shape)[rows, columns])
