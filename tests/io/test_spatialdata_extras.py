"""What a store may hold besides: section label maps, outlines, tables, each where other programs look for it."""

import numpy as np
import pandas as pd
import pytest
import spatialdata
from spatialdata.transformations import get_transformation

from comould.errors import InputError
from comould.io import Extras, Section, SectionLabels, read_spatialdata, write_spatialdata
from comould.space import Frame, Transform

SQUARE = np.array([[0.0, 0], [40, 0], [40, 30], [0, 30]])
HOLE = np.array([[10.0, 10], [10, 20], [20, 20], [20, 10]])


def section(name="S1"):
    return Section(name, np.full((40, 60, 3), 240, np.uint8), 1.0, 4.0, "P1", "-", 0.0, None)


def home():
    matrix = np.diag([0.001, 0.001, 1.0, 1.0])
    matrix[:3, 3] = 5.0, -7.0, 2.0
    return Transform.from_matrix(Frame.SECTION_PX, Frame.PATIENT, matrix)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    labels = np.zeros((20, 30), np.uint8)
    labels[3, 7] = 2
    extras = Extras(
        section_labels=[SectionLabels("S1", "habitats", labels, 8.0)],
        outlines={"mould": [SQUARE, HOLE]},
        tables={
            "claims": pd.DataFrame({"feature": ["A", None], "q_spatial": [0.01, np.nan], "testable": [True, False]})
        },
    )
    path = tmp_path_factory.mktemp("extras") / "case.zarr"
    write_spatialdata(path, sections=[section()], patient_from_section_px={"S1": home()}, extras=extras)
    return path


def test_section_labels_lie_where_their_pixels_do(store):
    element = spatialdata.read_zarr(store).labels["section_S1_habitats"]
    at = np.argwhere(np.asarray(element.data) == 2)[0][::-1] + 0.5  # SpatialData counts from the corner
    full = np.array([7, 3]) * 8.0 + 3.5  # centre of 8 × 8 full-resolution pixels whose centres are whole numbers
    inside = get_transformation(element, to_coordinate_system="section:S1").to_affine_matrix(("x", "y"), ("x", "y"))
    np.testing.assert_allclose(inside @ [*at, 1], [*full, 1])
    there = get_transformation(element, to_coordinate_system="patient").to_affine_matrix(("x", "y"), ("x", "y", "z"))
    np.testing.assert_allclose((there @ [*at, 1])[:3], home().apply(full[None])[0])


def test_outlines_have_their_holes_and_tables_their_columns(store):
    data = spatialdata.read_zarr(store)
    shape = data.shapes["outline_mould"].geometry.iloc[0]
    assert shape.area == pytest.approx(40 * 30 - 10 * 10)
    assert shape.bounds == (0, 0, 40, 30)
    assert data.tables["claims"].obs["feature"].tolist() == ["A", ""]
    np.testing.assert_array_equal(data.tables["claims"].obs["q_spatial"], [0.01, np.nan])


def test_the_reader_gives_the_case_without_them(store):
    case = read_spatialdata(store)
    assert [one.id for one in case.sections] == ["S1"]
    assert not case.labels
    assert not case.spots


@pytest.mark.parametrize(
    ("extras", "match"),
    [
        (Extras(section_labels=[SectionLabels("S2", "h", np.zeros((2, 2), int), 1.0)]), "section 'S2'"),
        (Extras(section_labels=[SectionLabels("S1", "h", np.zeros((2, 2)), 1.0)]), "whole numbers"),
        (Extras(outlines={"body": [SQUARE[::-1]]}), "counter-clockwise"),
        (Extras(outlines={"a/b": [SQUARE]}), "no name of letters"),
    ],
)
def test_what_has_no_place_is_refused(extras, match, tmp_path):
    with pytest.raises(InputError, match=match):
        write_spatialdata(tmp_path / "x.zarr", sections=[section()], extras=extras)
    assert not list(tmp_path.iterdir())
