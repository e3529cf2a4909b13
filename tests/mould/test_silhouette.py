"""Outlines of a written mould lie where the specimen lies in the patient."""

import warnings

import numpy as np
import pytest

from comould.errors import ComouldWarning, InputError


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    from comould import mould, phantom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        case = phantom.specimen(3, volume_ml=6.0, margin_mm=4.0, subsamples=1, spacing_mm=(1.0, 1.0, 2.0))
        built = mould.build(case.mask, image=case.images["T2"], design="slab_and_guide", plane="image", spacing_mm=8)
    return case, built, built.write(tmp_path_factory.mktemp("mould") / "mould")


def rings_box(rings):
    points = np.concatenate(rings)
    return points.min(axis=0), points.max(axis=0)


def test_the_specimen_is_outlined_where_it_was_segmented(written):
    import SimpleITK as sitk
    from shapely import Polygon

    from comould.mould import silhouettes
    from comould.space import Grid

    case, _, folder = written
    (ring,) = silhouettes(folder)["specimen"]
    grid = Grid.from_image(case.mask)
    k, j, i = np.nonzero(sitk.GetArrayViewFromImage(case.mask))
    columns = {(a, b) for a, b in zip(i, j, strict=True)}
    low, high = rings_box([ring])
    voxels = grid.patient_from_index(np.column_stack([i, j, k]))[:, :2]
    np.testing.assert_allclose(low, voxels.min(axis=0) - 0.5, atol=0.6)
    np.testing.assert_allclose(high, voxels.max(axis=0) + 0.5, atol=0.6)
    assert Polygon(ring).area == pytest.approx(len(columns) * grid.spacing_mm[0] * grid.spacing_mm[1], rel=0.05)


def test_every_body_is_outlined_as_it_lies_about_the_specimen(written):
    from comould.mould import silhouettes

    _, built, folder = written
    found = silhouettes(folder)
    assert set(found) == {*built.bodies, "specimen"}
    low, high = rings_box(found["specimen"])
    patient_from_mould = np.linalg.inv(built.mould_from_patient.matrix)
    for name, mesh in built.bodies.items():
        points = np.asarray(mesh.vertices) @ patient_from_mould[:3, :3].T + patient_from_mould[:3, 3]
        body = rings_box(found[name])
        np.testing.assert_allclose(body[0], points.min(axis=0)[:2], atol=0.1)
        np.testing.assert_allclose(body[1], points.max(axis=0)[:2], atol=0.1)
    reach = np.array([rings_box(rings) for name, rings in found.items() if name != "specimen"])
    assert (reach[:, 0].min(axis=0) < low).all()
    assert (reach[:, 1].max(axis=0) > high).all()


def test_other_folders_are_refused(tmp_path):
    from comould.mould import silhouettes

    with pytest.raises(InputError, match="comould mould wrote"):
        silhouettes(tmp_path)
