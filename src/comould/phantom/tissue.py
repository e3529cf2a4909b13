"""What the specimen is made of at a patient point: habitats, fine structure, and their appearance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comould.phantom import structures
from comould.phantom.fields import RandomFields
from comould.phantom.options import SpecimenOptions
from comould.phantom.shape import Body
from comould.phantom.structures import Kind, Structure
from comould.space import FloatArray

TEXTURE_MM = 2.2
BACKGROUND_MM = 13.0
CAPSULE_MM = 0.9
_SOFTNESS = 0.12


@dataclass(frozen=True)
class Look:
    """Appearance of one tissue: T2 (arbitrary units), ADC (1e-6 mm²/s), haematoxylin and eosin (optical density)."""

    t2: float
    adc: float
    haematoxylin: float
    eosin: float


HABITAT_LOOKS: dict[str, Look] = {
    "immune-hot": Look(330.0, 1080.0, 0.80, 0.24),
    "hypoxic": Look(430.0, 1520.0, 0.30, 0.36),
    "stromal": Look(185.0, 1300.0, 0.16, 0.62),
    "proliferative": Look(265.0, 760.0, 0.58, 0.46),
}
"""Means of each habitat: overlapping in any one channel, apart in both images together."""

STRUCTURE_LOOKS: dict[Kind, Look] = {
    "septum": Look(110.0, 950.0, 0.08, 0.72),
    "necrosis": Look(540.0, 2050.0, 0.06, 0.26),
    "wall": Look(150.0, 1000.0, 0.25, 0.66),
    "cyst": Look(820.0, 2700.0, 0.0, 0.0),
    "vessel": Look(70.0, 450.0, 0.0, 0.0),
}
CAPSULE_LOOK = Look(100.0, 900.0, 0.12, 0.75)


@dataclass(frozen=True, eq=False)
class Samples:
    """Patient points and what the smooth functions are there.

    Parameters
    ----------
    points_mm
        ``(n, 3)``.
    level_mm
        ``(n,)`` radial distance to the outline, negative inside.
    fields
        ``(k, n)`` habitat fields.
    texture
        ``(n,)`` texture field.
    """

    points_mm: FloatArray
    level_mm: FloatArray
    fields: FloatArray
    texture: FloatArray


@dataclass(frozen=True, eq=False)
class Tissue:
    """The specimen as functions of patient position.

    Parameters
    ----------
    body
        Outline.
    habitat_fields
        One field a habitat; the label is the largest after the offsets.
    offsets
        ``(k,)``.
    texture
        One field of short range: cellularity that varies within habitats, seen in imaging and histology.
    background
        Four fields of long range: surrounding anatomy.
    structures
        Vessels, cysts, necrosis, septa.
    names
        Habitat names in label order.
    """

    body: Body
    habitat_fields: RandomFields
    offsets: FloatArray
    texture: RandomFields
    background: RandomFields
    structures: tuple[Structure, ...]
    names: tuple[str, ...]

    @classmethod
    def draw(cls, seeds: np.random.SeedSequence, options: SpecimenOptions) -> Tissue:
        """Draw a specimen; each ingredient has its own stream."""
        shape, habitat, fine, around, placing, sampling = (np.random.default_rng(s) for s in seeds.spawn(6))
        body = Body.draw(shape, options.volume_ml, np.array(options.extent_ratio), np.array(options.centre_mm))
        fields = RandomFields.draw(habitat, len(options.habitats), options.correlation_mm)
        targets = habitat.uniform(0.6, 1.4, len(options.habitats))
        values = fields.at(body.interior(sampling, 6000))
        return cls(
            body=body,
            habitat_fields=fields,
            offsets=_balance(values, targets / targets.sum(), options.min_fraction),
            texture=RandomFields.draw(fine, 1, TEXTURE_MM, 256),
            background=RandomFields.draw(around, 4, BACKGROUND_MM, 128),
            structures=structures.draw(placing, body, options),
            names=options.habitats,
        )

    def habitat_at(self, points_mm: FloatArray) -> npt.NDArray[np.int64]:
        """Truth label ``(n,)``: 1 to k inside the specimen, 0 outside."""
        labels = np.zeros(len(points_mm), dtype=np.int64)
        inside = self.body.level_mm(points_mm) <= 0.0
        labels[inside] = self.label(self.habitat_fields.at(points_mm[inside]), axis=1)
        return labels

    def label(self, values: FloatArray, axis: int) -> npt.NDArray[np.int64]:
        """Label of field values whose ``axis`` runs over the habitats."""
        return np.argmax(self._shifted(values, axis), axis=axis) + 1

    def shares(self, values: FloatArray, axis: int) -> FloatArray:
        """Soft composition of the tissue: the labels, blurred over a millimetre or two at their borders."""
        shifted = self._shifted(values, axis)
        powers = np.exp((shifted - shifted.max(axis=axis, keepdims=True)) / _SOFTNESS)
        return powers / powers.sum(axis=axis, keepdims=True)

    def _shifted(self, values: FloatArray, axis: int) -> FloatArray:
        shape = [1] * values.ndim
        shape[axis] = len(self.offsets)
        return values + self.offsets.reshape(shape)

    def lumen_at(self, points_mm: FloatArray) -> FloatArray:
        """Share of empty space, ``(n,)``: vessels and cysts hold no tissue."""
        found = structures.membership(self.structures, points_mm)
        return np.maximum(found["cyst"], found["vessel"])

    def necrosis_at(self, points_mm: FloatArray) -> FloatArray:
        """Share of necrosis, ``(n,)``."""
        return structures.membership(self.structures, points_mm)["necrosis"]

    def is_tissue(self, points_mm: FloatArray) -> npt.NDArray[np.bool_]:
        """Whether there is tissue ``(n,)``: inside the outline, outside every lumen."""
        found = self.body.level_mm(points_mm) <= 0.0
        found[found] = self.lumen_at(points_mm[found]) < 0.5
        return found

    def looks(self, channels: tuple[str, ...], samples: Samples) -> FloatArray:
        """Noise-free appearance of points inside the specimen, ``(c, n)``; channels are field names of `Look`."""
        means = np.array([[getattr(HABITAT_LOOKS[name], channel) for name in self.names] for channel in channels])
        gain = np.array([_TEXTURE_GAIN[channel] for channel in channels])
        values = (means @ self.shares(samples.fields, 0)) * (1.0 + gain[:, None] * samples.texture)
        rim = np.clip((samples.level_mm + CAPSULE_MM) / 0.4, 0.0, 1.0)
        _blend(values, CAPSULE_LOOK, channels, rim)
        for kind, share in structures.membership(self.structures, samples.points_mm).items():
            _blend(values, STRUCTURE_LOOKS[kind], channels, share)
        return values


_TEXTURE_GAIN = {"t2": -0.08, "adc": -0.08, "haematoxylin": 0.22, "eosin": -0.06}


def _blend(values: FloatArray, look: Look, channels: tuple[str, ...], share: FloatArray) -> None:
    if not share.any():
        return
    target = np.array([getattr(look, channel) for channel in channels])
    values += share * (target[:, None] - values)


def _balance(values: FloatArray, targets: FloatArray, min_fraction: float) -> FloatArray:
    """Find offsets that give every field its share of the largest, never less than the smallest allowed."""
    targets = np.maximum(targets, min_fraction)
    targets = targets / targets.sum()
    offsets = np.zeros(len(targets))
    for _ in range(200):
        winners = np.argmax(values + offsets, axis=1)
        shares = np.bincount(winners, minlength=len(targets)) / len(values)
        if np.abs(shares - targets).max() < 0.003:
            break
        offsets += 0.5 * (targets - shares)
    return offsets - offsets.mean()
