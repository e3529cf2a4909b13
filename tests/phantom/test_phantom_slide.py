"""The pictures: coloured like H&E, and painted where the truth says."""

import numpy as np

from comould.phantom.slide import _bilinear, smooth_noise


def working_pixels(cut, step: int = 5):
    """Some working pixels, their colour and the patient position the truth gives them."""
    height, width = cut.section.image.shape[:2]
    y, x = (axis.ravel() for axis in np.meshgrid(np.arange(0, height, step), np.arange(0, width, step), indexing="ij"))
    full = (np.column_stack([x, y]) + 0.5) * cut.section.downsample - 0.5
    return cut.section.image[y, x].astype(float), cut.patient_from_section_px.apply(full)


def test_glass_is_white_and_tissue_coloured_exactly_where_the_truth_says(specimen, sections):
    for cut in sections:
        colour, patient = working_pixels(cut)
        level = specimen.level_mm(patient)
        glass, tissue = level > 0.3, level < -0.3
        lumen = specimen.tissue.lumen_at(patient) > 0.9
        solid = tissue & (specimen.tissue.lumen_at(patient) < 0.01)
        assert colour[glass].min() > 230
        assert colour[tissue & lumen].mean() > 230
        # Green is what both stains take away.
        assert np.mean(colour[solid, 1] < 220) > 0.99


def test_stains_are_purple_where_immune_and_pink_where_stromal(specimen, sections):
    colours = {name: [] for name in specimen.habitat_names}
    for cut in sections:
        colour, patient = working_pixels(cut)
        labels = specimen.habitat_at(patient)
        labels[(specimen.level_mm(patient) > -2.0) | (specimen.tissue.lumen_at(patient) > 0)] = 0
        for label, name in enumerate(specimen.habitat_names, start=1):
            colours[name].append(colour[labels == label])
    mean = {name: np.concatenate(found).mean(axis=0) for name, found in colours.items()}
    redness = {name: value[0] - value[2] for name, value in mean.items()}
    assert redness["immune-hot"] < -10 < redness["stromal"]
    assert mean["immune-hot"].sum() < mean["hypoxic"].sum()
    for value in mean.values():
        assert value[1] == value.min()


def test_texture_is_seen_in_picture_and_image_alike(specimen, sections):
    """Within one habitat, cellularity (texture) darkens haematoxylin and lowers ADC: shared information."""
    colour, patient = (np.concatenate(rows) for rows in zip(*(working_pixels(cut) for cut in sections), strict=True))
    pure = (specimen.habitat_at(patient) == 1) & (specimen.level_mm(patient) < -2.0)
    texture = specimen.tissue.texture.at(patient[pure])[:, 0]
    assert np.corrcoef(texture, colour[pure, 0])[0, 1] < -0.2


def test_working_resolution_and_facts(sections):
    for cut in sections:
        section = cut.section
        assert section.image.dtype == np.uint8
        assert section.image_pixel_mm == 0.1
        assert section.downsample == 10.0
        assert section.face is None
        assert section.offset_mm == 0.0


def test_noise_has_unit_variance_and_the_asked_shape():
    for sigma in ((0.0, 0.0), (1.5, 6.0), (20.0, 20.0)):
        found = smooth_noise(np.random.default_rng(0), (211, 305), sigma)
        assert found.shape == (211, 305)
        assert 0.6 < found.std() < 1.2


def test_bilinear():
    rows, columns = np.meshgrid(np.arange(4.0), np.arange(5.0), indexing="ij")
    layers = np.stack([columns.ravel(), rows.ravel(), (rows * columns).ravel()], axis=1)
    x, y = np.array([0.25, 3.5]), np.array([1.5, 0.75])
    np.testing.assert_allclose(_bilinear(layers, 5, x, y), [x, y, x * y])
