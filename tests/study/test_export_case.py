"""A case exported whole: every element at its place, habitats under the spots, open to other programs."""

import json
import shutil
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from comould.errors import ComouldWarning, InputError
from comould.io import Section, read_spatialdata, write_spatialdata
from comould.space import Frame, Grid, Transform
from comould.study.export_case import STEPS, run_export

MM_PER_PX = 0.02
SIZE_PX = 2000
Z = {"S1": -7.5, "S2": -2.5, "S3": 2.5, "S4": 7.5}


def quiet(*args, **rest):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        return run_export(*args, **rest)


def home(name):
    matrix = np.diag([MM_PER_PX, MM_PER_PX, 1.0, 1.0])
    matrix[:3, 3] = -20.0, -20.0, Z[name]
    return Transform.from_matrix(Frame.SECTION_PX, Frame.PATIENT, matrix)


@pytest.fixture(scope="module")
def registered(spots_case, tmp_path_factory):
    """The registered case with what ``comould register`` writes besides: a store with pictures, pixels of the spots."""
    folder = shutil.copytree(spots_case, tmp_path_factory.mktemp("export") / "home")
    pictures = []
    for name in Z:
        path = folder / "spots" / f"{name}.h5ad"
        spots = ad.read_h5ad(path)
        spots.obsm["spatial"] = (spots.obsm["spatial_patient"][:, :2] + 20.0) / MM_PER_PX
        spots.uns["comould"] = {"pixel_size_um": 1000 * MM_PER_PX, "pitch_um": 2000.0}
        spots.write_h5ad(path)
        image = np.full((SIZE_PX // 4, SIZE_PX // 4, 3), 235, np.uint8)
        pictures.append(Section(name, image, 1000 * MM_PER_PX, 4.0, f"P{name[1:]}", "-", 0.0, None))
    mask = sitk.ReadImage(str(folder / "mask.nii.gz"))
    write_spatialdata(
        folder / "case.zarr", volumes={"T2": sitk.Cast(mask, sitk.sitkFloat32)}, labels={"specimen": mask},
        sections=pictures, patient_from_section_px={name: home(name) for name in ("S1", "S2", "S3")},
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def exported(registered, tmp_path_factory):
    out, steps = tmp_path_factory.mktemp("out") / "case.zarr", []
    return quiet([registered], out, progress=lambda *told: steps.append(told[0])), steps


def test_everything_is_there_and_rejected_sections_only_as_pictures(exported):
    result, steps = exported
    kept = ("S1", "S2", "S3")
    assert result.elements["images"] == ("T2", *(f"section_{name}" for name in Z))
    assert result.elements["labels"] == (
        "habitats", *(f"section_{name}_habitats" for name in kept), "specimen",
    )  # fmt: skip
    assert result.elements["shapes"] == tuple(f"spots_{name}" for name in kept)
    assert result.elements["points"] == tuple(f"spots_{name}_patient" for name in kept)
    assert result.n_spots == 1200
    assert list(dict.fromkeys(steps)) == list(STEPS)
    assert [path.name for path in result.path.parent.iterdir()] == ["case.zarr"]


def test_habitats_lie_on_a_section_where_they_lie_in_the_patient(exported, registered):
    """Seen with spatialdata and SimpleITK alone: a pixel's label is that of the voxel its centre comes from."""
    import spatialdata
    from spatialdata.transformations import get_transformation

    data = spatialdata.read_zarr(exported[0].path)
    habitats = sitk.ReadImage(str(registered / "habitats" / "habitats.nii.gz"))
    rng = np.random.default_rng(0)
    for name in ("S1", "S3"):
        element = data.labels[f"section_{name}_habitats"]
        labels = np.asarray(element.data)
        to_px = get_transformation(element, to_coordinate_system=f"section:{name}").to_affine_matrix("xy", "xy")
        for row, column in rng.integers(0, labels.shape[0], (300, 2)):
            px = (to_px @ [column + 0.5, row + 0.5, 1.0])[:2]
            there = home(name).apply(px[None])[0]
            assert labels[row, column] == habitats[habitats.TransformPhysicalPointToIndex(there.tolist())]


def test_spots_carry_the_size_of_their_uncertainty_and_keep_their_positions(exported, registered):
    (spots,) = read_spatialdata(exported[0].path).spots
    np.testing.assert_allclose(spots.obs["uncertainty_mm"], 0.3 * np.sqrt(3))
    one = ad.read_h5ad(registered / "spots" / "S2.h5ad")
    here = spots[spots.obs["section"].astype(str) == "S2"]
    np.testing.assert_array_equal(here.obsm["spatial_patient"], one.obsm["spatial_patient"])
    assert spots.obsm["spatial_patient_samples"].shape == (1200, 4, 3)


def test_points_in_the_patient_carry_habitats(exported):
    import spatialdata

    points = spatialdata.read_zarr(exported[0].path).points["spots_S1_patient"].compute()
    assert set(points["habitat"].astype(str)) == {"H1", "H2"}
    np.testing.assert_allclose(points["z"], -7.5)


def test_force_places_what_was_rejected(registered, tmp_path):
    result = quiet([registered], tmp_path / "all.zarr", force=True)
    assert "spots_S4" in result.elements["shapes"]
    assert result.n_spots == 1600


def test_a_later_folders_spots_and_tables_count(registered, tmp_path):
    claims = tmp_path / "claims"
    claims.mkdir()
    spots = ad.read_h5ad(registered / "spots" / "S1.h5ad")
    spots.obs["habitat"] = pd.Categorical(["H2"] * spots.n_obs)
    spots.write_h5ad(claims / "spots.h5ad")
    pd.DataFrame({"feature": ["hit0"], "q_spatial": [0.01]}).to_csv(claims / "associations.csv", index=False)
    result = quiet([registered, claims], tmp_path / "two.zarr")
    assert result.n_spots == 400
    assert result.elements["tables"] == ("claims", "table")
    assert set(read_spatialdata(result.path).spots[0].obs["habitat"]) == {"H2"}


def test_a_mould_is_outlined(registered, tmp_path):
    mould = tmp_path / "mould"
    mould.mkdir()
    import trimesh

    from comould.io import write_stl

    for name, size in (("mould", (30.0, 20.0, 10.0)), ("specimen", (8.0, 8.0, 8.0))):
        write_stl(trimesh.creation.box(size), mould / f"{name}.stl")
    shift = np.eye(4)
    shift[:3, 3] = -5.0, 3.0, 0.0
    facts = {
        "format": "comould.mould", "mould_from_patient": shift.tolist(),
        "bodies": {"mould": {"print_from_mould": np.eye(4).tolist()}},
    }  # fmt: skip
    (mould / "manifest.json").write_text(json.dumps(facts))
    import spatialdata

    result = quiet([registered, mould], tmp_path / "with.zarr")
    shape = spatialdata.read_zarr(result.path).shapes["outline_mould"].geometry.iloc[0]
    np.testing.assert_allclose(shape.bounds, (-10, -13, 20, 7), atol=1e-5)
    assert "outline_specimen" in result.elements["shapes"]


def test_every_wrong_folder_is_named_and_nothing_is_written(registered, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="none of their files") as error:
        run_export([registered, tmp_path / "empty", tmp_path / "absent"], tmp_path / "x.zarr")
    assert "nothing there" in str(error.value)
    assert not (tmp_path / "x.zarr").exists()
    with pytest.raises(InputError, match="a folder of a case"):
        run_export([], tmp_path / "x.zarr")


@pytest.mark.slow
def test_squidpy_takes_the_table(exported):
    import spatialdata
    import squidpy as sq

    table = spatialdata.read_zarr(exported[0].path).tables["table"]
    sq.gr.spatial_neighbors_knn(table, n_neighs=6, library_key="section")
    sq.gr.nhood_enrichment(table, cluster_key="habitat", n_perms=20, seed=0, show_progress_bar=False, n_jobs=1)
    z = table.uns["habitat_nhood_enrichment"]["zscore"]
    assert z[0, 0] > 2
    assert z[0, 1] < -2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning", "ignore:The table is annotating")
def test_spatialdata_plot_draws_a_section_and_its_habitats(exported):
    pytest.importorskip("spatialdata_plot")
    import matplotlib as mpl

    mpl.use("Agg")
    import spatialdata
    from matplotlib import pyplot as plt

    data = spatialdata.read_zarr(exported[0].path)
    picture = data.pl.render_images("section_S1").pl.render_labels("section_S1_habitats")
    picture.pl.render_shapes("spots_S1", color="habitat").pl.show(coordinate_systems="section:S1")
    figure = plt.gcf()
    figure.canvas.draw()
    shown = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 20
    plt.close(figure)


def test_a_grid_without_pictures_is_exported_too(spots_case, tmp_path):
    result = quiet([spots_case / "habitats"], tmp_path / "map.zarr")
    assert result.elements == {"labels": ("habitats",)}
    back = read_spatialdata(result.path).labels["habitats"]
    assert not Grid.from_image(back).difference(
        Grid.from_image(sitk.ReadImage(str(spots_case / "habitats" / "habitats.nii.gz")))
    )
