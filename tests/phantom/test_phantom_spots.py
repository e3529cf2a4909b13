"""Spots: the array, what is kept, what the pipeline gets and what it must not get."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial import cKDTree

from comould.phantom.spots import hexagons


@given(width=st.floats(1.0, 60.0), height=st.floats(1.0, 60.0), pitch=st.floats(0.5, 5.0))
def test_hexagons_fill_the_rectangle_at_their_pitch(width, height, pitch):
    centres, array = hexagons(np.zeros(2), np.array([width, height]), pitch)
    assert centres.min() >= 0.0
    assert (centres <= [width + 1e-9, height + 1e-9]).all()
    assert ((array.sum(axis=1) % 2) == 0).all()
    assert len(np.unique(array, axis=0)) == len(array)
    if len(centres) > 1 and width > 2 * pitch:
        distance = cKDTree(centres).query(centres, k=2)[0][:, 1]
        np.testing.assert_allclose(distance, pitch, rtol=1e-9)
    if min(width, height) > 8 * pitch:
        assert len(centres) * pitch**2 * np.sqrt(0.75) == pytest.approx(width * height, rel=0.35)


def test_truth_is_the_transform_of_the_pixels(sections):
    for cut in sections:
        spatial = cut.spots.obsm["spatial"]
        assert spatial.shape == (cut.spots.n_obs, 2)
        np.testing.assert_allclose(cut.patient_from_section_px.apply(spatial), cut.spots_patient_mm, atol=1e-9)


def test_spots_lie_on_tissue_only(specimen, sections):
    for cut in sections:
        assert specimen.level_mm(cut.spots_patient_mm).max() <= 0.0
        assert specimen.tissue.lumen_at(cut.spots_patient_mm).max() < 0.5
        assert np.array_equal(specimen.habitat_at(cut.spots_patient_mm), cut.spots_habitat)
        assert cut.spots_habitat.min() >= 1
        assert (cut.spots.obs["in_tissue"] == 1).all()


def test_spots_cover_the_section(specimen, plan, sections):
    for cut in sections:
        area_mm2 = cut.spots.n_obs * 0.8**2 * np.sqrt(0.75)
        image = cut.section.image
        seen_mm2 = np.mean(image[..., 1] < 220) * image.shape[0] * image.shape[1] * cut.section.image_pixel_mm**2
        assert area_mm2 == pytest.approx(seen_mm2, rel=0.05)


def test_pitch_on_the_slide(sections):
    for cut in sections:
        mm = cut.section.section_mm_from_section_px.apply(cut.spots.obsm["spatial"])
        distance = cKDTree(mm).query(mm, k=2)[0][:, 1]
        assert np.median(distance) == pytest.approx(0.8, abs=1e-6)
        assert cut.spots.uns["comould"] == {"pixel_size_um": 10.0, "pitch_um": 800.0, "source": "phantom"}


def test_names_are_unique_over_sections(sections):
    names = [name for cut in sections for name in cut.spots.obs_names]
    assert len(set(names)) == len(names)
    assert all(name.startswith(f"{cut.section.id}_") for cut in sections for name in cut.spots.obs_names)
    assert [cut.spots.obs["section"].unique().tolist() for cut in sections] == [[cut.section.id] for cut in sections]


def test_counts_are_sparse_whole_numbers(specimen, sections):
    for cut in sections:
        assert sparse.issparse(cut.spots.X)
        assert cut.spots.X.format == "csr"
        assert cut.spots.X.dtype == np.float32
        assert np.array_equal(cut.spots.X.data, np.round(cut.spots.X.data))
        assert cut.spots.X.data.min() >= 1
        assert 0.2 < cut.spots.X.nnz / np.prod(cut.spots.shape) < 0.8
        assert cut.spots.var_names.tolist() == specimen.genes.index.tolist()


def test_nothing_of_the_truth_is_handed_out(sections):
    for cut in sections:
        assert set(cut.spots.obs) == {"in_tissue", "array_row", "array_col", "section"}
        assert set(cut.spots.obsm) == {"spatial"}
        assert cut.spots.var.shape[1] == 0
        assert set(cut.spots.uns) == {"comould"}
        assert not cut.spots.layers


def test_one_visium_area(specimen, make_plan):
    cut = specimen.cut(make_plan(specimen, (0.5,)), spot_pitch_um=100.0, capture_mm=6.5, image_pixel_um=200.0)[0]
    mm = cut.section.section_mm_from_section_px.apply(cut.spots.obsm["spatial"])
    extent = np.ptp(mm, axis=0)[:2]
    assert (extent <= 6.5 + 1e-9).all()
    assert (extent > 5.5).all()
    assert 3000 < cut.spots.n_obs <= 5000


def test_an_area_may_hold_no_spot_at_all(specimen, make_plan):
    cut = specimen.cut(make_plan(specimen, (0.5,)), spot_pitch_um=5000.0, capture_mm=0.001, image_pixel_um=200.0)[0]
    assert cut.spots.n_obs <= 1
    assert cut.spots.n_vars == 400
    assert cut.spots_patient_mm.shape == (cut.spots.n_obs, 3)
