"""SpatialData: a case goes in and out unchanged, in the patient's frame, and other programs see it at its place."""

import json

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from comould.errors import FrameMismatchError, InputError
from comould.io import Section, read_spatialdata, write_spatialdata
from comould.space import Frame, Grid, Transform

SECRET = "SECRETIVE^PATIENT"


def oblique(seed=1, size=(7, 6, 5)):
    from scipy.spatial.transform import Rotation

    direction = Rotation.random(random_state=np.random.default_rng(seed)).as_matrix()
    return Grid(size, (0.8, 0.6, 3.0), (-31.5, 12.25, 140.0), direction)


def volume(grid, dtype=np.float32, seed=0):
    image = sitk.GetImageFromArray(np.random.default_rng(seed).integers(0, 200, grid.shape).astype(dtype))
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(np.asarray(grid.axes).ravel().tolist())
    image.SetMetaData("0010|0010", SECRET)
    return image


def picture(name, height=90, width=120, seed=0, *, tissue=False):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), bool)
    mask[20:60, 30:100] = True
    return Section(name, image, 0.5, 3.7, "P1", "+", 0.25, mask if tissue else None)


def affine(angle=0.3):
    c, s = 0.0005 * np.cos(angle), 0.0005 * np.sin(angle)
    matrix = [[c, -s, 0, 12.0], [s, c, 0, -7.5], [2e-5, -1e-5, 1, 33.3], [0, 0, 0, 1]]
    return Transform.from_matrix(Frame.SECTION_PX, Frame.PATIENT, matrix)


def deformable():
    y, x = np.mgrid[:8, :8].astype(float)
    moved = np.stack([1.5 + np.sin(x), -2.5 + np.cos(y), 4.0 + 0.1 * x * y], axis=-1)
    field = sitk.GetImageFromArray(np.stack([moved, moved]), isVector=True)
    field.SetSpacing([60.0, 60.0, 1.0])
    return Transform(Frame.SECTION_PX, Frame.PATIENT, sitk.DisplacementFieldTransform(field))


def spots(sections=("S1",), per_section=12, seed=0):
    rng = np.random.default_rng(seed)
    n = per_section * len(sections)
    data = AnnData(sparse.csr_matrix(rng.poisson(2.0, (n, 4)).astype(np.float32)))
    data.obs_names = [f"s{k}" for k in range(n)]
    data.var_names = list("ABCD")
    data.obs["section"] = pd.Categorical(np.repeat(sections, per_section))
    data.obsm["spatial"] = rng.uniform(20, 300, (n, 2))
    data.uns["comould"] = {"pixel_size_um": 0.5, "pitch_um": 100.0, "source": "table"}
    return data


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """One store with everything in it, and what went in."""
    from types import SimpleNamespace

    grid = oblique()
    one, two = spots(("S1", "slide 2")), spots(("S3",), seed=5)
    transforms = {"S1": affine(), "S3": deformable()}
    two.obsm["spatial_patient"] = transforms["S3"].apply(two.obsm["spatial"])
    two.obsm["spatial_patient_sd"] = np.full((two.n_obs, 3), 0.2)
    given = {
        "volumes": {"t2": volume(grid), "ct": volume(oblique(2), np.int16)},
        "labels": {"habitats": volume(grid, np.uint8, 3)},
        "sections": [picture("S1", tissue=True), picture("slide 2", 1100, 700, 1), picture("S3", 64, 64, 2)],
        "patient_from_section_px": transforms,
        "spots": [one, two],
    }
    path = tmp_path_factory.mktemp("sd") / "case.zarr"
    write_spatialdata(path, **given)
    return SimpleNamespace(path=path, given=given, back=read_spatialdata(path))


def test_volumes_and_labels_come_back_on_their_grids(case):
    for kind in ("volumes", "labels"):
        back = getattr(case.back, kind)
        assert list(back) == list(case.given[kind])
        for name, image in case.given[kind].items():
            np.testing.assert_array_equal(sitk.GetArrayFromImage(back[name]), sitk.GetArrayFromImage(image))
            assert back[name].GetPixelIDValue() == image.GetPixelIDValue()
            np.testing.assert_allclose(back[name].GetOrigin(), image.GetOrigin(), rtol=0, atol=1e-12)
            np.testing.assert_allclose(back[name].GetSpacing(), image.GetSpacing(), rtol=1e-14)
            np.testing.assert_allclose(back[name].GetDirection(), image.GetDirection(), rtol=0, atol=1e-14)


def test_sections_come_back_as_they_were(case):
    assert [s.id for s in case.back.sections] == ["S1", "slide 2", "S3"]
    for back, section in zip(case.back.sections, case.given["sections"], strict=True):
        np.testing.assert_array_equal(back.image, section.image)
        for name in ("pixel_size_um", "downsample", "plane_id", "face", "offset_mm"):
            assert getattr(back, name) == getattr(section, name)
        assert (back.tissue is None) == (section.tissue is None)
    np.testing.assert_array_equal(case.back.sections[0].tissue, case.given["sections"][0].tissue)


def test_linear_transforms_come_back_and_deformable_ones_are_named(case):
    assert list(case.back.patient_from_section_px) == ["S1"]
    assert case.back.deformable == ("S3",)
    given = case.given["patient_from_section_px"]["S1"].matrix
    np.testing.assert_array_equal(case.back.patient_from_section_px["S1"].matrix, given)


def test_spots_come_back_as_they_were(case):
    for back, data in zip(case.back.spots, case.given["spots"], strict=True):
        assert list(back.obs_names) == list(data.obs_names)
        assert list(back.obs.columns) == list(data.obs.columns)
        np.testing.assert_array_equal(back.X.toarray(), data.X.toarray())
        assert set(back.obsm) == set(data.obsm)
        for key in data.obsm:
            np.testing.assert_array_equal(back.obsm[key], data.obsm[key])
        assert back.uns["comould"] == data.uns["comould"]


def test_other_programs_see_everything_at_its_place_in_the_patient(case):
    """Read with spatialdata alone: element coordinates through its own transforms, against ours."""
    import spatialdata
    from spatialdata.transformations import get_transformation

    data = spatialdata.read_zarr(case.path)
    assert {"patient", "section:S1", "section:slide 2", "section:S3"} <= set(data.coordinate_systems)
    # A voxel's centre lies half a voxel from the corner SpatialData counts from.
    grid = oblique()
    matrix = get_transformation(data["t2"], "patient").to_affine_matrix(("x", "y", "z"), ("x", "y", "z"))
    np.testing.assert_allclose(
        matrix @ [3.5, 1.5, 4.5, 1], [*grid.patient_from_index([[3, 1, 4]])[0], 1], rtol=0, atol=1e-12
    )
    # The centre of working pixel (10, 20) of a section, by both.
    section, transform = case.given["sections"][0], case.given["patient_from_section_px"]["S1"]
    full = (np.array([10, 20]) + 0.5) * section.downsample - 0.5
    for system, axes, expected in (
        ("patient", ("x", "y", "z"), transform.apply([full])[0]),
        ("section:S1", ("x", "y"), full),
    ):
        matrix = get_transformation(data["section_S1"], system).to_affine_matrix(("x", "y"), axes)
        np.testing.assert_allclose(matrix[:-1] @ [10.5, 20.5, 1], expected, rtol=0, atol=1e-9)
    assert "patient" not in get_transformation(data["section_S3"], get_all=True)


def test_circles_points_and_table_belong_together(case):
    import spatialdata

    data = spatialdata.read_zarr(case.path)
    one, two = case.given["spots"]
    circles = data["spots_slide_2"]
    np.testing.assert_array_equal(
        np.column_stack([circles.geometry.x, circles.geometry.y]), one.obsm["spatial"][one.obs.section == "slide 2"]
    )
    assert set(circles.radius) == {50.0}
    points = data["spots_S3_patient"].compute()
    np.testing.assert_array_equal(points[["x", "y", "z"]], two.obsm["spatial_patient"])
    np.testing.assert_array_equal(points[["sd_x_mm", "sd_y_mm", "sd_z_mm"]], two.obsm["spatial_patient_sd"])
    # Without positions of its own, a registered section's spots are placed by the transform.
    expected = case.given["patient_from_section_px"]["S1"].apply(one.obsm["spatial"][one.obs.section == "S1"])
    np.testing.assert_array_equal(data["spots_S1_patient"].compute()[["x", "y", "z"]], expected)
    assert "spots_slide_2_patient" not in data
    matched = spatialdata.get_element_annotators(data, "spots_S1")
    assert matched == {"table_1"}
    elements, table = spatialdata.join_spatialelement_table(
        sdata=data, spatial_element_names="spots_S1", table_name="table_1", how="inner"
    )
    assert list(table.obs_names) == [f"s{k}" for k in range(12)]
    assert len(elements["spots_S1"]) == 12


def test_attributes_say_what_frames_are_and_hold_no_patient(case):
    attributes = json.loads((case.path / "zarr.json").read_text())["attributes"]
    assert "LPS" in json.dumps(attributes)
    assert "no NGFF affine" in json.dumps(attributes)
    for file in case.path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()
    assert [one.name for one in case.path.parent.iterdir()] == ["case.zarr"]


def test_large_pictures_are_multiscale(case):
    import spatialdata

    data = spatialdata.read_zarr(case.path)
    assert list(data["section_slide_2"].children) == ["scale0", "scale1", "scale2"]


@pytest.mark.slow
def test_squidpy_takes_the_tables(case):
    import squidpy as sq

    data = case.back.spots[1]
    sq.gr.spatial_neighbors_knn(data, n_neighs=4)
    assert data.obsp["spatial_connectivities"].nnz == 4 * data.n_obs


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning", "ignore:The table is annotating")
def test_spatialdata_plot_draws_a_section_with_its_spots(case, tmp_path):
    pytest.importorskip("spatialdata_plot")
    import matplotlib.pyplot as plt
    import spatialdata

    data = spatialdata.read_zarr(case.path)
    figure, axis = plt.subplots()
    data.pl.render_images("section_S1").pl.render_shapes("spots_S1", color="A", table_name="table_1").pl.show(
        ax=axis, coordinate_systems="section:S1"
    )
    figure.savefig(tmp_path / "s.png")
    plt.close(figure)
    assert (tmp_path / "s.png").stat().st_size > 1000


def test_napari_gets_affines_it_can_turn_round(case):
    """napari-spatialdata asks each element for its affine in y, x, or z, y, x where there is a z, and inverts it."""
    import spatialdata
    from spatialdata.models import get_axes_names
    from spatialdata.transformations import get_transformation

    data = spatialdata.read_zarr(case.path)
    seen = 0
    for _, name, element in data.gen_spatial_elements():
        axes = ("z", "y", "x") if "z" in get_axes_names(element) else ("y", "x")
        for transformation in get_transformation(element, get_all=True).values():
            matrix = transformation.to_affine_matrix(input_axes=axes, output_axes=axes)
            np.testing.assert_allclose(matrix @ np.linalg.inv(matrix), np.eye(len(axes) + 1), atol=1e-9, err_msg=name)
            seen += 1
    assert seen == 15


@settings(max_examples=12)
@given(
    st.integers(0, 10_000),
    st.tuples(*[st.integers(1, 5)] * 3),
    st.tuples(*[st.floats(0.05, 8.0)] * 3),
    st.tuples(*[st.floats(-500.0, 500.0)] * 3),
    st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64]),
)
def test_any_grid_comes_back(seed, size, spacing, origin, dtype):
    from scipy.spatial.transform import Rotation

    from comould.io import _sd_elements

    direction = Rotation.random(random_state=np.random.default_rng(seed)).as_matrix()
    grid = Grid(size, spacing, origin, direction)
    image = volume(grid, dtype, seed)
    makers = [_sd_elements.volume] if dtype().dtype.kind == "f" else [_sd_elements.volume, _sd_elements.labels]
    for maker in makers:
        back = _sd_elements.load_volume(maker(image, "v"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))
        assert back.GetPixelIDValue() == image.GetPixelIDValue()
        corners = np.array([[0, 0, 0], np.array(size) - 1, [size[0] - 1, 0, 0]])
        np.testing.assert_allclose(
            Grid.from_image(back).patient_from_index(corners), grid.patient_from_index(corners), rtol=0, atol=1e-9
        )


# --- bad input -----------------------------------------------------------------------------------------------------


def test_stores_are_replaced_only_when_ours_and_told(tmp_path):
    path = tmp_path / "a.zarr"
    write_spatialdata(path, labels={"a": volume(oblique(), np.uint8)})
    with pytest.raises(InputError, match=r"expected a new place, found files there. .* give overwrite=True"):
        write_spatialdata(path, labels={"b": volume(oblique(), np.uint8)})
    write_spatialdata(path, labels={"b": volume(oblique(), np.uint8)}, overwrite=True)
    assert list(read_spatialdata(path).labels) == ["b"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(InputError, match="expected a new place or a store that comould wrote"):
        write_spatialdata(tmp_path / "mine", labels={"b": volume(oblique(), np.uint8)}, overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_failed_write_leaves_the_old_store_and_nothing_else(tmp_path, monkeypatch):
    import spatialdata

    path = tmp_path / "a.zarr"
    write_spatialdata(path, labels={"a": volume(oblique(), np.uint8)})

    def fail(self, file, **_):
        file.mkdir()
        (file / "half").write_text("written")
        raise OSError("disk full")

    monkeypatch.setattr(spatialdata.SpatialData, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        write_spatialdata(path, labels={"b": volume(oblique(), np.uint8)}, overwrite=True)
    monkeypatch.undo()
    assert list(read_spatialdata(path).labels) == ["a"]
    assert [one.name for one in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "expected something to write, found nothing"),
        ({"volumes": {"a b": volume(oblique())}}, "'a b' is no name of letters"),
        ({"volumes": {"A": volume(oblique())}, "labels": {"a": volume(oblique(), np.uint8)}}, "used twice"),
        ({"labels": {"a": volume(oblique())}}, "label map 'a': expected whole numbers, found float32"),
        ({"volumes": {"a": sitk.Image(3, 3, sitk.sitkUInt8)}}, "expected 3 dimensions and one value a voxel, found 2"),
        ({"sections": [picture("S1"), picture("S1")]}, "expected every id once, found several of S1"),
        ({"sections": [picture("S 1"), picture("S-1"), picture("S_1")]}, None),
        ({"sections": [picture("S1")], "patient_from_section_px": {"S9": affine()}}, "sections that are given: S1"),
        ({"sections": [picture("S1")], "spots": [spots(), spots()]}, "one AnnData for a section"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, given, message):
    with pytest.raises(InputError, match=message or "section"):
        write_spatialdata(tmp_path / "a.zarr", **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.obsm.pop("spatial"), r'expected obsm\["spatial"\]'),
        (lambda d: d.obsm.__setitem__("spatial", np.full((d.n_obs, 2), np.nan)), r"24 values not finite"),
        (lambda d: d.obsm.__setitem__("spatial_patient", np.zeros((d.n_obs, 2))), r"of shape \(n, 3\)"),
        (lambda d: d.obs.pop("section"), "to tell the sections apart"),
        (lambda d: d.obs.__setitem__("spatialdata_region", "x"), "obs columns spatialdata_region"),
    ],
)
def test_spots_without_a_place_are_refused(tmp_path, change, message):
    data = spots()
    change(data)
    with pytest.raises(InputError, match=message):
        write_spatialdata(tmp_path / "a.zarr", sections=[picture("S1"), picture("S2")], spots=data)


def test_values_zarr_cannot_hold_are_told_and_leave_nothing(tmp_path):
    data = spots()
    data.uns["mine"] = object()
    with pytest.raises(InputError, match=r"expected values that zarr can hold, found .*object"):
        write_spatialdata(tmp_path / "a.zarr", spots=data)
    assert not list(tmp_path.iterdir())


def test_reading_and_writing_are_silent(tmp_path, caplog, recwarn):
    path = write_spatialdata(tmp_path / "a.zarr", labels={"a": volume(oblique(), np.uint8)}, spots=spots())
    read_spatialdata(path)
    assert not caplog.records
    assert not list(recwarn)


def test_transforms_of_other_frames_are_refused(tmp_path):
    wrong = Transform.identity(Frame.SECTION_MM, Frame.PATIENT)
    with pytest.raises(FrameMismatchError, match="expected patient_from_section_px, found patient_from_section_mm"):
        write_spatialdata(tmp_path / "a.zarr", sections=[picture("S1")], patient_from_section_px={"S1": wrong})


def test_a_plane_seen_edge_on_keeps_its_matrix_in_the_attributes(tmp_path):
    from spatialdata import read_zarr
    from spatialdata.transformations import get_transformation

    sagittal = [[0, 0, 1, 4.0], [5e-4, 0, 0, 1.0], [0, 5e-4, 0, 2.0], [0, 0, 0, 1]]
    transform = Transform.from_matrix(Frame.SECTION_PX, Frame.PATIENT, sagittal)
    path = write_spatialdata(
        tmp_path / "a.zarr", sections=[picture("S1")], patient_from_section_px={"S1": transform}, spots=spots()
    )
    back = read_spatialdata(path)
    np.testing.assert_array_equal(back.patient_from_section_px["S1"].matrix, sagittal)
    data = read_zarr(path)
    assert "patient" not in get_transformation(data["section_S1"], get_all=True)
    assert "patient" in get_transformation(data["spots_S1_patient"], get_all=True)


def test_what_is_no_store_of_ours_is_refused(tmp_path):
    from spatialdata import SpatialData

    with pytest.raises(InputError, match="expected a SpatialData zarr store, found none"):
        read_spatialdata(tmp_path / "none.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(InputError, match="expected a"):
        read_spatialdata(tmp_path / "empty.zarr")
    SpatialData().write(tmp_path / "other.zarr")
    with pytest.raises(InputError, match="found one of another program"):
        read_spatialdata(tmp_path / "other.zarr")
