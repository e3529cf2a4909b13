"""Landmarks: every program's file gives the same points in the same frame, and pairs are made by name."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.errors import ComouldWarning, InputError
from comould.io import Landmarks, pair_landmarks, read_landmarks
from comould.space import Frame

XY = np.array([[10.0, 20.5], [300.25, 4.0], [7.0, 88.0]])
XYZ = np.column_stack([XY, [-5.0, 0.0, 12.5]])


def point(coordinates, kind="Point", **properties):
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}


def write(path, text):
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return path


# --- tables --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("name,x,y\nA,10,20.5\nB,300.25,4\nC,7,88\n", ("A", "B", "C")),
        ("A,10,20.5\nB,300.25,4\nC,7,88\n", ("A", "B", "C")),
        ("10,20.5\n300.25,4\n7,88\n", ("", "", "")),
        (",X,Y\n1,10,20.5\n2,300.25,4\n3,7,88\n", ("1", "2", "3")),
        ("index,axis-0,axis-1\n0.0,20.5,10\n1.0,4,300.25\n2.0,88,7\n", ("", "", "")),
        ("y, x, label\n20.5, 10, A\n4, 300.25, B\n88, 7, C\n", ("A", "B", "C")),
        ("\ufeffname,x,y\r\nA,10,20.5\r\nB,300.25,4\r\nC,7,88\r\n", ("A", "B", "C")),
    ],
)
def test_tables_of_a_picture(tmp_path, text, names):
    found = read_landmarks(write(tmp_path / "p.csv", text))
    assert found.names == names
    assert found.frame is Frame.SECTION_PX
    assert len(found) == 3
    np.testing.assert_array_equal(found.points, XY)
    assert not found.points.flags.writeable


@pytest.mark.parametrize(
    "text",
    [
        "name,x,y,z\nA,10,20.5,-5\nB,300.25,4,0\nC,7,88,12.5\n",
        "A,10,20.5,-5\nB,300.25,4,0\nC,7,88,12.5\n",
        "10,20.5,-5\n300.25,4,0\n7,88,12.5\n",
        "index,axis-0,axis-1,axis-2\n0,-5,20.5,10\n1,0,4,300.25\n2,12.5,88,7\n",
    ],
)
def test_tables_of_the_patient(tmp_path, text):
    found = read_landmarks(write(tmp_path / "p.csv", text), space="patient")
    assert found.frame is Frame.PATIENT
    np.testing.assert_array_equal(found.points, XYZ)


def test_tabs_separate_in_tsv(tmp_path):
    found = read_landmarks(write(tmp_path / "p.tsv", "name\tx\ty\nA, left\t1\t2\n"))
    assert found.names == ("A, left",)


def test_points_placed_on_a_reduced_picture_or_in_micrometres(tmp_path):
    path = write(tmp_path / "p.csv", "x,y\n10,20.5\n300.25,4\n7,88\n")
    np.testing.assert_allclose(read_landmarks(path, downsample=4).points, (XY + 0.5) * 4 - 0.5)
    np.testing.assert_allclose(read_landmarks(path, pixel_size_um=0.25).points, XY * 4)
    path = write(tmp_path / "p.geojson", [point(xy.tolist()) for xy in XY])
    np.testing.assert_allclose(read_landmarks(path, downsample=4).points, XY * 4 - 0.5)
    np.testing.assert_allclose(read_landmarks(path, pixel_size_um=0.25).points, XY * 4 - 0.5)


@given(
    st.lists(st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5)), min_size=1, max_size=8),
    st.sampled_from([("{n},{x!r},{y!r}", "name,x,y"), ("{y!r},{n},{x!r}", "y,name,x"), ("{n},{x!r},{y!r}", "")]),
)
def test_any_numbers_come_back_bit_for_bit(tmp_path_factory, points, layout):
    row, header = layout
    lines = ([header] if header else []) + [row.format(n=f"L{k}", x=x, y=y) for k, (x, y) in enumerate(points)]
    path = write(tmp_path_factory.mktemp("l") / "p.csv", "\n".join(lines) + "\n")
    np.testing.assert_array_equal(read_landmarks(path).points, np.array(points))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,x,y\nA,1,2\nB,nan,4\n", r"found 1 rows without, first data row 2 \(B: 'nan', '4'\)"),
        ("name,x,y\nA,1,2\nB,,4\n", r"first data row 2 \(B: '', '4'\)"),
        ("name,x,y\nA,1,2\nB,west,4\n", r"first data row 2 \(B: 'west', '4'\)"),
        ("name,x,y\nA,1,inf\n", r"first data row 1 \(A: '1', 'inf'\)"),
        ("name,x,y\nA,1,2\nA,3,4\n", "names used more than once: A"),
        ("name,x,y\n", "expected at least one landmark, found none"),
        ("name,u,v\nA,1,2\n", r"expected columns x, y .*found name, u, v"),
        ("name,x,y,z\nA,1,2,3\n", "Read points of the patient with space='patient'"),
        ("A,1,2,3\n", "found 4 columns. Read points of the patient with space='patient'"),
        ("x,y,y\n1,2,3\n", "each once"),
        ("", "expected a CSV"),
    ],
)
def test_broken_tables_are_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_landmarks(write(tmp_path / "p.csv", text))


def test_wrong_arguments_are_refused(tmp_path):
    path = write(tmp_path / "p.csv", "1,2\n")
    with pytest.raises(InputError, match="expected space 'section_px' or 'patient', found 'plane'"):
        read_landmarks(path, space="plane")
    with pytest.raises(InputError, match="expected no pixel_size_um or downsample for mm in the patient"):
        read_landmarks(path, space="patient", downsample=2)
    with pytest.raises(InputError, match=r"pixel_size_um .* expected a positive number, found -1"):
        read_landmarks(path, pixel_size_um=-1)
    with pytest.raises(InputError, match="found both"):
        read_landmarks(path, pixel_size_um=1, downsample=2)
    with pytest.raises(InputError, match="expected a table, found no file"):
        read_landmarks(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"expected x, y, z, .* found 2 columns"):
        read_landmarks(path, space="patient")


# --- GeoJSON -------------------------------------------------------------------------------------------------------


def test_qupath_points_count_from_the_pixel_corner(tmp_path):
    features = [point(xy.tolist(), objectType="annotation", name=name) for xy, name in zip(XY, "ABC", strict=True)]
    for layout in ({"type": "FeatureCollection", "features": features}, features):
        found = read_landmarks(write(tmp_path / "p.geojson", layout))
        assert found.names == ("A", "B", "C")
        np.testing.assert_array_equal(found.points, XY - 0.5)
    single = read_landmarks(write(tmp_path / "p.json", features[0]))
    np.testing.assert_array_equal(single.points, XY[:1] - 0.5)


def test_multipoints_number_their_points_and_classes_name_where_they_single_out(tmp_path):
    features = [
        point(XY.tolist(), "MultiPoint", name="vessel"),
        point([1, 2], classification={"name": "Duct", "color": [1, 2, 3]}),
        point([3, 4], classification={"name": "Tumor"}),
        point([5, 6], classification={"name": "Tumor"}),
        point([[7, 8]], "MultiPoint", name="fold"),
        point([[[0, 0], [1, 0], [1, 1], [0, 0]]], "Polygon", name="tissue"),
    ]
    found = read_landmarks(write(tmp_path / "p.geojson", {"type": "FeatureCollection", "features": features}))
    assert found.names == ("vessel-1", "vessel-2", "vessel-3", "Duct", "", "", "fold")
    assert len(found.points) == 7


def test_geojson_of_the_patient_is_in_millimetres(tmp_path):
    path = write(tmp_path / "p.geojson", [point(xyz.tolist(), name=f"{n}") for n, xyz in enumerate(XYZ)])
    np.testing.assert_array_equal(read_landmarks(path, space="patient").points, XYZ)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "expected GeoJSON, found Expecting"),
        ({"type": "FeatureCollection", "features": []}, "found no geometry in it"),
        ([point([[0, 0], [1, 1]], "LineString")], "expected at least one landmark"),
        ([point([1, 2, 3], name="A")], r"expected 2 coordinates for each point, found \[1, 2, 3\] at point 1 \(A\)"),
        ([point([1, "east"], name="A")], "at point 1 .A."),
        ([point([1, None], name="A")], r"row 1 \(A\) has a coordinate that is no finite number"),
        ([point([1, 2], name="A"), point([3, 4], name="A")], "names used more than once: A"),
    ],
)
def test_broken_geojson_is_refused(tmp_path, data, message):
    with pytest.raises(InputError, match=message):
        read_landmarks(write(tmp_path / "p.geojson", data))


# --- pairs ---------------------------------------------------------------------------------------------------------


def px(names, points=None):
    return Landmarks(tuple(names), np.arange(2 * len(names)).reshape(-1, 2) if points is None else points, "section_px")


@given(st.permutations(list("ABCDEF")), st.integers(1, 6), st.integers(1, 6))
@pytest.mark.filterwarnings("ignore::comould.errors.ComouldWarning")
def test_pairs_are_the_shared_names_whatever_the_order(order, first, second):
    a, b = px("ABCDEF"[:first]), px(order[:second])
    shared = [name for name in a.names if name in b.names]
    if not shared:
        with pytest.raises(InputError, match="none in common"):
            pair_landmarks(a, b)
        return
    one, other = pair_landmarks(a, b)
    assert one.names == other.names == tuple(shared)
    for name, mine, theirs in zip(shared, one.points, other.points, strict=True):
        np.testing.assert_array_equal(mine, a.points[a.names.index(name)])
        np.testing.assert_array_equal(theirs, b.points[b.names.index(name)])


def test_names_on_one_side_are_told(recwarn):
    one, _ = pair_landmarks(px("ABC"), px("BCD"))
    assert one.names == ("B", "C")
    assert [str(w.message) for w in recwarn] == [
        "1 landmarks are only in the first set and are left out: A",
        "1 landmarks are only in the second set and are left out: D",
    ]


def test_unnamed_landmarks_pair_by_order_with_a_warning():
    patient = Landmarks(("", "A", ""), XYZ, Frame.PATIENT)
    with pytest.warns(ComouldWarning, match="2 landmarks have no name and are paired by order"):
        one, other = pair_landmarks(px(["A", "", ""]), patient)
    np.testing.assert_array_equal(one.points, [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(other.points, XYZ[[1, 0, 2]])
    with pytest.raises(InputError, match=r"found 1 and 2. Name the landmarks on both sides"):
        pair_landmarks(px([""]), px(["", ""]))


def test_impossible_landmarks_are_refused():
    with pytest.raises(InputError, match="names used more than once: A"):
        px("AA")
    with pytest.raises(InputError, match=r"points of shape \(3, 3\) for 3 names in section_px, not \(n, 2\)"):
        px("ABC", XYZ)
    with pytest.raises(InputError, match=r"row 2 \(B\) has a coordinate that is no finite number"):
        px("AB", [[0, 1], [np.nan, 2]])
    with pytest.raises(InputError, match="frame mould, not section_px or patient"):
        Landmarks(("A",), XYZ[:1], Frame.MOULD)


def test_real_pair(test_data):
    folder = test_data / "birl_landmarks" / "lesions_" / "scale-5pc"
    one, other = (read_landmarks(folder / f"Izd2-29-041-w35_{name}.csv") for name in ("HE", "proSPC"))
    assert len(one) == len(other) == 78
    np.testing.assert_array_equal(one.points[0], [59, 72])
    expected = np.loadtxt(folder / "Izd2-29-041-w35_HE.pts", skiprows=2)
    np.testing.assert_array_equal(one.points, expected)
    assert pair_landmarks(one, other)[1].names == other.names
