"""Lattices: what lies on a grid is placed exactly, what does not is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.errors import GeometryError, InputError
from comould.io.volume import LATTICE_TOLERANCE, Volume, flipped_rows, kind_of, oriented, place, suffix_of
from comould.space import Grid


def on_lattice(grid, order, flips, low, size):
    """Matrix of a sub-block of a grid, with its axes in another order and direction."""
    matrix = np.eye(4)
    start = np.array(low, float)
    for n, axis in enumerate(order):
        if flips[n]:
            start[axis] += size[n] - 1
        matrix[:3, n] = grid.matrix[:3, axis] * (-1 if flips[n] else 1)
    matrix[:3, 3] = grid.patient_from_index([start])[0]
    return matrix


@given(
    order=st.permutations(range(3)),
    flips=st.tuples(*[st.booleans()] * 3),
    low=st.tuples(*[st.integers(-3, 5)] * 3),
    size=st.tuples(*[st.integers(1, 6)] * 3),
    seed=st.integers(0, 1000),
)
def test_a_block_of_the_lattice_keeps_every_patient_position(make, order, flips, low, size, seed):
    grid = make.oblique(size=(7, 6, 5), seed=seed)
    matrix = on_lattice(grid, order, flips, low, size)
    block = (np.random.default_rng(seed).random(size[::-1]) > 0.6).astype(np.uint8)
    index = np.argwhere(block)[:, ::-1]
    points = index @ matrix[:3, :3].T + matrix[:3, 3]
    placed = place(block, matrix, grid)
    if not grid.contains(points).all():
        assert placed is None
        return
    expected = np.zeros(grid.shape, np.uint8)
    at = grid.index_from_patient(points).round().astype(int) if len(points) else np.empty((0, 3), int)
    expected[at[:, 2], at[:, 1], at[:, 0]] = 1
    np.testing.assert_array_equal(placed, expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_a_voxel_beside_is_another_lattice(make, axis):
    grid = make.oblique()
    block = np.ones(grid.shape, np.uint8)
    for shift, same in ((0.9 * LATTICE_TOLERANCE, True), (1.1 * LATTICE_TOLERANCE, False), (0.5, False)):
        matrix = grid.matrix
        matrix[:3, 3] += shift * grid.matrix[:3, axis]
        assert (place(block, matrix, grid) is not None) is same


def test_a_slow_drift_of_spacing_or_angle_counts_at_the_far_end(make):
    grid = Grid((101, 4, 3), (1.0, 1.0, 1.0))
    block = np.ones(grid.shape, np.uint8)
    for stretch, same in ((0.003, True), (0.006, False)):
        matrix = grid.matrix
        matrix[0, 0] += stretch
        matrix[0, 3] -= stretch * 50
        assert (place(block, matrix, grid) is not None) is same
    other = Grid(grid.size, direction=make.rotation(4))
    assert place(block, other.matrix, grid) is None
    double = np.diag([2.0, 1.0, 1.0, 1.0])
    assert place(block, double, grid) is None


def test_whole_means_every_voxel(make):
    grid = make.oblique()
    block = np.ones((grid.shape[0] - 1, *grid.shape[1:]), np.uint8)
    assert place(block, grid.matrix, grid) is not None
    assert place(block, grid.matrix, grid, whole=True) is None
    assert place(np.ones(grid.shape, np.uint8), grid.matrix, grid, whole=True) is not None


def test_float32_directions_become_exact_rotations(make):
    grid = make.oblique(seed=11)
    matrix = grid.matrix.astype(np.float32).astype(np.float64)
    found, _ = oriented(Volume(np.zeros(grid.shape), matrix), subject="x")
    np.testing.assert_allclose(found.axes.T @ found.axes, np.eye(3), atol=1e-14)
    assert not grid.difference(found, 1e-4)


def test_turning_rows_round_is_its_own_inverse(make):
    grid = make.oblique()
    array = make.chiral(grid)
    matrix, turned = flipped_rows(*flipped_rows(grid.matrix, array))
    np.testing.assert_allclose(matrix, grid.matrix, atol=1e-12)
    np.testing.assert_array_equal(turned, array)
    assert np.linalg.det(flipped_rows(grid.matrix, array)[0]) < 0


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda m: m.__setitem__((0, 3), np.inf), "NaN or infinity in its geometry"),
        (lambda m: m.__setitem__((slice(3), 1), 0.0), r"0.8 × 0 × 3 mm"),
        (lambda m: m.__setitem__((slice(3), 1), m[:3, 1] + 0.01 * m[:3, 0]), "a shear"),
    ],
)
def test_geometry_that_cannot_be_right(make, change, match):
    grid = make.oblique()
    matrix = grid.matrix
    change(matrix)
    with pytest.raises(GeometryError, match=match):
        oriented(Volume(np.zeros(grid.shape), matrix), subject="thing")


def test_kinds_of_files(tmp_path):
    assert suffix_of(tmp_path / "A.NII.GZ") == ".nii.gz"
    assert suffix_of(tmp_path / "a.b.Mha") == ".mha"
    (tmp_path / "IM0001").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 8)
    assert kind_of(tmp_path / "IM0001") == "dicom"
    assert kind_of(tmp_path) == "folder"
    (tmp_path / "x.hdr").write_bytes(b"\0" * 348)
    with pytest.raises(InputError, match=r"suffix \.hdr and no DICOM content"):
        kind_of(tmp_path / "x.hdr")
