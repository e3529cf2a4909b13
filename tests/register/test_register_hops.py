"""Picture to picture, and home over several pictures, on pictures whose true maps are known."""

from dataclasses import replace

import numpy as np
import pytest

import comould.register
from comould.errors import InputError
from comould.register import Clues, LandmarkPairs, RegisterSettings
from comould.register.hops import NEIGHBOUR_SHRINKAGE

QUICK = RegisterSettings(shrinkage=NEIGHBOUR_SHRINKAGE, deformable=False, plane="plan", round_trip=False)


def turned(section, angle_deg=40.0, scale=1.06, id="H&E"):
    """The same tissue as another slide shows it: turned, larger pixels, another stain strength."""
    from scipy import ndimage

    t = np.deg2rad(angle_deg)
    size = np.array(section.image.shape[:2])
    matrix = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]) / scale
    shift = size / 2 - matrix @ (size / 2 + [4.0, -7.0])
    planes = [
        ndimage.affine_transform(section.image[..., c], matrix, shift, order=1, cval=244, mode="constant")
        for c in range(3)
    ]
    image = np.stack(planes, axis=-1).astype(float)
    image = np.clip(244 * (image / 244) ** 1.15, 0, 255).astype(np.uint8)
    back = np.linalg.inv(matrix)

    def to_full(px):
        """True position in the new slide's full-resolution px of the old one's."""
        working = (px + 0.5) / section.downsample - 0.5
        rc = (working[:, ::-1] - shift) @ back.T
        return (rc[:, ::-1] + 0.5) * section.downsample - 0.5

    return replace(section, id=id, image=image), to_full


@pytest.fixture(scope="module")
def neighbours(pair):
    """The slide laid on its neighbour, measured at landmarks that nothing was fitted to."""
    other, truth = turned(pair.section)
    px = pair.spots_px[::60].astype(float)
    held = LandmarkPairs(tuple(f"L{n}" for n in range(len(px))), px, truth(px))
    clues = Clues(held_out=held)
    return comould.register.pair(pair.section, other, n_samples=1, seed=2, settings=QUICK, clues=clues), held


def test_a_slide_finds_its_neighbour(pair, neighbours):
    _, truth = turned(pair.section)
    found, _ = neighbours
    away = np.linalg.norm(found.apply(pair.spots_px) - truth(pair.spots_px), axis=1) * pair.section.pixel_size_um / 1e3
    assert np.median(away) < 0.15
    assert found.quality.verdict == "accept"
    assert not found.quality.flipped
    assert (found.source_id, found.target_id, len(found.samples)) == ("S1", "H&E", 1)


def test_home_over_another_picture(pair, plain):
    other, _ = turned(pair.section)
    found = comould.register.section(
        pair.section,
        plan=pair.plan,
        image=pair.images,
        mask=pair.mask,
        n_samples=1,
        clues=Clues(via=(replace(other, plane_id=None, face=None),)),
        settings=QUICK,
    )
    away = np.linalg.norm(found.map_points(pair.spots_px)[0] - pair.spots_patient_mm, axis=1)
    assert np.median(away) < 1.0
    assert [hop.target_id for hop in found.hops] == ["H&E"]
    assert found.plane_id == "P02"
    assert found.quality.flipped == pair.flipped
    assert found.uncertainty.in_plane_mm > plain.uncertainty.in_plane_mm
    assert len(found.samples) == 1


def test_pictures_on_the_way_must_be_of_the_plane_and_differ(pair):
    elsewhere = replace(pair.section, id="H&E", plane_id="P01")
    given = {"plan": pair.plan, "image": pair.images, "mask": pair.mask, "n_samples": 0, "settings": QUICK}
    with pytest.raises(InputError, match="expected a last picture of plane P02, found 'H&E' of plane P01"):
        comould.register.section(pair.section, clues=Clues(via=(elsewhere,)), **given)
    with pytest.raises(InputError, match="expected different ids, found S1, S1"):
        comould.register.section(pair.section, clues=Clues(via=(pair.section,)), **given)


def test_landmarks_held_out_measure_a_pair(pair, neighbours):
    other, _ = turned(pair.section)
    found, held = neighbours
    px, names = held.section_px, held.names
    assert found.quality.held_out.held_out
    assert found.quality.held_out.mean_mm < 0.2
    assert found.quality.held_out.names == names
    wrong = LandmarkPairs(names, px, np.column_stack([px, px[:, 0]]))
    with pytest.raises(InputError, match=r"landmarks of 'S1' and 'H&E': expected targets in pixels \(n, 2\)"):
        comould.register.pair(pair.section, other, n_samples=0, settings=QUICK, clues=Clues(held_out=wrong))
