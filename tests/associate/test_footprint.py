"""kernel.py and sampling.py: averages over disc, point spread and uncertainty, against thousands of random points."""

import anndata as ad
import numpy as np
import pytest

from comould import associate
from comould.associate.support.kernel import FWHM_PER_SD, N_NODES, nodes, section_planes
from comould.associate.support.sampling import linear
from comould.errors import InputError
from comould.space import Grid

TILT = np.deg2rad(30)
AXES = np.array([[np.cos(TILT), 0, np.sin(TILT)], [0, 1, 0], [-np.sin(TILT), 0, np.cos(TILT)]])
GRID = Grid((24, 22, 16), (0.8, 0.8, 1.5), (-9.0, -8.0, -11.0), AXES)


def at(points) -> ad.AnnData:
    spots = ad.AnnData(np.zeros((len(points), 1), dtype=np.float32))
    spots.obsm["spatial_patient"] = np.asarray(points, dtype=np.float64)
    return spots


def blocks(seed=0):
    """Blocks of 3×3×2 voxels of random habitats: sharp steps everywhere."""
    small = np.random.default_rng(seed).integers(1, 4, (8, 8, 8))
    return small.repeat(2, 0).repeat(3, 1)[:, :22].repeat(3, 2).astype(np.uint8)


def section(count=25, seed=1):
    """Spots of one oblique section through the middle of the grid."""
    rng = np.random.default_rng(seed)
    middle = GRID.patient_from_index([[11.5, 10.5, 7.5]])[0]
    u, v = np.linalg.qr(np.column_stack([[1, 0.2, 0.4], [0.1, 1, -0.3], [0, 0, 1.0]]))[0].T[:2]
    return middle + rng.uniform(-4, 4, (count, 1)) * u + rng.uniform(-4, 4, (count, 1)) * v, u, v


def brute(points, offsets):
    """Average of the indicators over drawn offsets ``(draws, 3)`` or one set a spot."""
    labels = blocks()
    values = (labels[..., None] == np.arange(1, 4)).astype(float)
    return np.array([linear(values, GRID, point + offsets).mean(axis=0) for point in points])


def drawn(u, v, *, radius=0.0, psf=(0, 0, 0), sd=(0, 0, 0), draws=20_000):
    rng = np.random.default_rng(5)
    angle, r = rng.uniform(0, 2 * np.pi, draws), radius * np.sqrt(rng.uniform(size=draws))
    disc = (r * np.cos(angle))[:, None] * u + (r * np.sin(angle))[:, None] * v
    spread = (rng.normal(size=(draws, 3)) * np.array(psf) / FWHM_PER_SD) @ AXES.T
    return disc + spread + rng.normal(size=(draws, 3)) * sd


@pytest.mark.parametrize(
    "what",
    [
        {"radius": 1.5},
        {"psf": (1.2, 1.2, 2.5)},
        {"sd": (0.6, 0.5, 0.9)},
        {"radius": 1.0, "psf": (1.0, 1.0, 1.8)},
        {"radius": 1.0, "psf": (1.0, 1.0, 1.8), "sd": (0.4, 0.4, 0.6)},
    ],
)
def test_probabilities_are_those_of_brute_force(what):
    points, u, v = section()
    spots = at(points)
    spots.obsm["spatial_patient_sd"] = np.broadcast_to(what.get("sd", (0, 0, 0)), points.shape).astype(float)
    associate.sample(
        spots,
        GRID.to_image(blocks()),
        footprint_um=2000 * what["radius"] if "radius" in what else None,
        psf_mm=what.get("psf"),
        blur="sd" in what,
    )
    error = spots.obsm["habitat_probability"] - brute(points, drawn(u, v, **what))
    assert np.sqrt((error**2).mean()) < 0.008
    assert np.abs(error).max() < 0.025


def test_a_disc_lies_in_its_own_section_s_plane():
    """A map that changes across the section only is not averaged by a disc in it."""
    grid = Grid((30, 30, 30), (0.5, 0.5, 0.5))
    across, along = (
        grid.to_image(np.moveaxis(np.broadcast_to(np.arange(30.0) ** 2, (30,) * 3), 2, axis)) for axis in (0, 2)
    )
    x, y = np.meshgrid(np.linspace(4, 10, 7), np.linspace(4, 10, 7))
    spots = at(np.column_stack([x.ravel(), y.ravel(), np.full(49, 7.0)]))
    for key, image in (("across", across), ("along", along)):
        associate.sample_map(spots, image, key_added=key)
        associate.sample_map(spots, image, key_added=f"{key}_disc", footprint_um=2000)
    np.testing.assert_allclose(spots.obs["across_disc"], spots.obs["across"])
    # (x / 0.5)² over a disc of radius 1 mm: its mean square along x is r²/4 = 1 voxel²; interpolation adds under 0.2.
    gain = spots.obs["along_disc"] - spots.obs["along"]
    assert (gain > 0.8).all()
    assert (gain < 1.3).all()


def test_the_nodes_have_the_kernel_s_moments():
    disc, steps = nodes()
    assert len(disc) == len(steps) == N_NODES
    both = np.column_stack([disc, steps])
    np.testing.assert_allclose(both.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(both.T @ both / N_NODES, np.diag([0.25, 0.25, 1, 1, 1]), atol=1e-12)
    assert np.linalg.norm(disc, axis=1).max() < 1.1


def test_a_linear_map_is_unchanged_by_any_kernel():
    points, *_ = section()
    index = np.stack(np.meshgrid(*(np.arange(n) for n in GRID.shape), indexing="ij"), -1)[..., ::-1].reshape(-1, 3)
    values = (GRID.patient_from_index(index) @ [0.3, -0.7, 0.2]).reshape(GRID.shape)
    spots = at(points)
    spots.obsm["spatial_patient_sd"] = np.full(points.shape, 0.3)
    associate.sample_map(spots, GRID.to_image(values), key_added="m", footprint_um=900, psf_mm=1.0, blur=True)
    np.testing.assert_allclose(spots.obs["m"], points @ [0.3, -0.7, 0.2], atol=1e-6)


def test_the_footprint_is_taken_where_it_is_stated_and_never_guessed():
    points, *_ = section()
    image = GRID.to_image(blocks())
    spots = at(points)
    spots.uns["comould"] = {"pitch_um": 2000.0, "source": "h5ad"}
    with pytest.raises(InputError, match=r"footprint of a spot: expected uns\[.*Give footprint_um= in µm"):
        associate.sample(spots, image, footprint_um="stated")
    spots.uns["comould"]["spot_diameter_um"] = 1100.0
    associate.sample(spots, image, footprint_um="stated")
    assert spots.uns["comould"]["habitat"]["footprint_um"] == pytest.approx(1100)
    bins = at(points)
    bins.uns["comould"] = {"pitch_um": 8.0, "source": "visium_hd"}
    associate.sample(bins, image, footprint_um="stated")
    assert bins.uns["comould"]["habitat"]["footprint_um"] ** 2 * np.pi / 4 == pytest.approx(64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"footprint_um": -1.0}, "footprint_um: expected a diameter"),
        ({"psf_mm": (1.0, 2.0)}, "point spread psf_mm: expected a width"),
        ({"psf_mm": -2.0}, "point spread psf_mm: expected a width"),
        ({"blur": True}, "position uncertainty"),
    ],
)
def test_sizes_that_are_none_are_errors(options, message):
    spots = at(section()[0])
    with pytest.raises(InputError, match=message):
        associate.sample(spots, GRID.to_image(blocks()), **options)


def test_a_section_on_one_line_has_no_plane():
    with pytest.raises(InputError, match="section's plane: expected three spots or more, not on one line"):
        section_planes(np.outer(np.arange(5.0), [1, 1, 0]), np.zeros(5, np.intp))
