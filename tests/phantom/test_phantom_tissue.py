"""What the specimen is made of: labels, composition, appearance, and how they hang together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.phantom.options import SpecimenOptions
from comould.phantom.structures import Tube
from comould.phantom.tissue import CAPSULE_LOOK, HABITAT_LOOKS, STRUCTURE_LOOKS, Samples, Tissue, _balance


@pytest.fixture(scope="module")
def tissue() -> Tissue:
    return Tissue.draw(np.random.SeedSequence(8), SpecimenOptions())


@pytest.fixture(scope="module")
def inside(tissue) -> np.ndarray:
    return tissue.body.interior(np.random.default_rng(0), 3000, 1.5)


def samples(tissue: Tissue, points: np.ndarray) -> Samples:
    return Samples(
        points, tissue.body.level_mm(points), tissue.habitat_fields.at(points).T, tissue.texture.at(points)[:, 0]
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    targets=st.lists(st.floats(0.3, 1.0), min_size=3, max_size=4),
    smallest=st.floats(0.0, 0.2),
)
def test_balance_gives_every_habitat_its_share(seed, targets, smallest):
    values = np.random.default_rng(seed).normal(size=(3000, len(targets)))
    wanted = np.array(targets) / sum(targets)
    offsets = _balance(values, wanted, smallest)
    shares = np.bincount(np.argmax(values + offsets, axis=1), minlength=len(targets)) / len(values)
    raised = np.maximum(wanted, smallest)
    np.testing.assert_allclose(shares, raised / raised.sum(), atol=0.01)
    assert offsets.sum() == pytest.approx(0.0, abs=1e-9)


def test_composition_sums_to_one_and_agrees_with_the_label(tissue, inside):
    fields = tissue.habitat_fields.at(inside).T
    shares = tissue.shares(fields, 0)
    np.testing.assert_allclose(shares.sum(axis=0), 1.0)
    assert shares.min() >= 0.0
    assert np.array_equal(np.argmax(shares, axis=0) + 1, tissue.habitat_at(inside))
    assert np.mean(shares.max(axis=0) > 0.9) > 0.5


def test_labels_are_continuous_in_space(tissue, inside):
    """A hundredth of a millimetre changes few labels, ten millimetres many."""
    step = np.random.default_rng(1).standard_normal(inside.shape)
    step /= np.linalg.norm(step, axis=1, keepdims=True)
    labels = tissue.habitat_at(inside)
    for distance, low, high in ((0.01, 0.0, 0.01), (10.0, 0.3, 0.8)):
        moved = tissue.habitat_at(inside + distance * step)
        assert low <= np.mean(moved[moved > 0] != labels[moved > 0]) <= high


def test_habitats_are_not_mirror_symmetric(tissue, inside):
    centre = inside.mean(axis=0)
    for axis in range(3):
        mirrored = inside.copy()
        mirrored[:, axis] = 2 * centre[axis] - mirrored[:, axis]
        both = tissue.habitat_at(mirrored) > 0
        assert np.mean(tissue.habitat_at(mirrored)[both] == tissue.habitat_at(inside)[both]) < 0.5


def test_looks_of_pure_tissue_are_the_stated_means(tissue, inside):
    share = tissue.shares(tissue.habitat_fields.at(inside).T, 0)
    plain = (tissue.body.level_mm(inside) < -3.0) & (tissue.lumen_at(inside) == 0) & (tissue.necrosis_at(inside) == 0)
    for number, name in enumerate(tissue.names):
        pure = inside[plain & (share[number] > 0.99)]
        assert len(pure) > 20
        t2, adc, haematoxylin, eosin = np.median(
            tissue.looks(("t2", "adc", "haematoxylin", "eosin"), samples(tissue, pure)), axis=1
        )
        look = HABITAT_LOOKS[name]
        assert t2 == pytest.approx(look.t2, rel=0.12)
        assert adc == pytest.approx(look.adc, rel=0.12)
        assert haematoxylin == pytest.approx(look.haematoxylin, rel=0.25)
        assert eosin == pytest.approx(look.eosin, rel=0.12)


def test_rim_is_capsule(tissue):
    surface = tissue.body.surface_mm(400)
    rim = tissue.body.centre_mm + (surface - tissue.body.centre_mm) * 0.995
    rim = rim[tissue.lumen_at(rim) == 0]
    t2 = tissue.looks(("t2",), samples(tissue, rim))[0]
    assert np.median(t2) == pytest.approx(CAPSULE_LOOK.t2, rel=0.01)


def test_middle_of_every_cyst_is_lumen(tissue):
    cysts = [s for s in tissue.structures if isinstance(s, Tube) and s.kind == "cyst"]
    middles = np.array([cyst.nodes_mm.mean(axis=0) for cyst in cysts])
    np.testing.assert_allclose(tissue.lumen_at(middles), 1.0)
    assert not tissue.is_tissue(middles).any()
    # A vessel may run through a cyst and is seen first.
    adc = tissue.looks(("adc",), samples(tissue, middles))[0]
    assert set(np.round(adc)) <= {STRUCTURE_LOOKS["cyst"].adc, STRUCTURE_LOOKS["vessel"].adc}


def test_is_tissue_needs_the_outline(tissue):
    outside = tissue.body.centre_mm + np.array([[200.0, 0.0, 0.0]])
    assert tissue.is_tissue(outside).tolist() == [False]
    assert tissue.is_tissue(np.empty((0, 3))).shape == (0,)


def test_ingredients_have_their_own_streams():
    """Asking for other fine structure leaves outline and habitats as they were."""
    one = Tissue.draw(np.random.SeedSequence(8), SpecimenOptions())
    other = Tissue.draw(np.random.SeedSequence(8), SpecimenOptions(cysts=2, vessels=0))
    np.testing.assert_array_equal(one.body.surface_mm(50), other.body.surface_mm(50))
    np.testing.assert_array_equal(one.habitat_fields.weights, other.habitat_fields.weights)
    np.testing.assert_array_equal(one.offsets, other.offsets)
    assert len(one.structures) > len(other.structures)


@pytest.mark.parametrize("length", [3.0, 12.0])
def test_correlation_length_sets_patch_size(length):
    made = Tissue.draw(np.random.SeedSequence(3), SpecimenOptions(correlation_mm=length))
    points = made.body.interior(np.random.default_rng(0), 2000, 4.0)
    changed = np.mean(made.habitat_at(points) != made.habitat_at(points + np.array([3.0, 0.0, 0.0])))
    assert (changed > 0.45) if length == 3.0 else (changed < 0.3)
