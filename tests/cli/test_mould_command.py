"""``comould mould`` from outside: what it writes, and each bad input as one line, exit 2, nothing written."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from comould.space import SlicePlan

SPACING = (1.0, 1.0, 3.0)


def blob(shape=(16, 44, 48), centre=(24.0, 21.0, 23.0), radii=(15.0, 11.0, 13.0)):
    """An ellipsoid with a bump on its left: no mirror symmetry; centre and radii in mm, x y z."""
    z, y, x = np.indices(shape)
    points = np.stack([x * SPACING[0], y * SPACING[1], z * SPACING[2]])
    offset = points - np.reshape(centre, (3, 1, 1, 1))
    body = (offset / np.reshape(radii, (3, 1, 1, 1))) ** 2
    bump = (offset - np.reshape((10.0, -6.0, 3.0), (3, 1, 1, 1))) / 8.0
    return (body.sum(0) <= 1) | ((bump**2).sum(0) <= 1)


def image_of(array, spacing=SPACING, origin=(-20.0, 30.0, -100.0), direction=None):
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(np.ravel(direction).tolist())
    return image


def save(image, path):
    sitk.WriteImage(image, str(path))
    return path


def run(*args):
    code = "from comould.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"COLUMNS": "60"},
    )


def assert_one_line_error(done, out, *words, code=2):
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert done.returncode == code, done.stderr
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word.lower() in errors[0].lower(), errors[0]
    assert not out.exists()
    assert not [p for p in out.parent.iterdir() if p.name.startswith(".")], "half-written folder left"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mould")
    path = save(image_of(blob().astype(np.uint8)), folder / "mask.nii.gz")
    done = run("mould", path, "--plane", "image", "--spacing-mm", "6", "--set", "slot_mm=1.2", "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    return path, folder / "out", done


def test_writes_everything_with_the_promised_keys(good):
    path, out, done = good
    assert {"mould.stl", "mould.3mf", "specimen.stl", "manifest.json"} <= {p.name for p in out.iterdir()}
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["units"] == "mm"
    matrix = np.array(manifest["mould_from_patient"])
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1.0, abs=1e-9)
    assert np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-9)
    keys = {"id", "origin_mm", "normal", "u", "v", "image_index", "kerf_mm"}
    assert all(keys <= set(plane) for plane in manifest["planes"])
    assert {plane["kerf_mm"] for plane in manifest["planes"]} == {1.2}
    assert all(plane["image_index"] == round(plane["image_index"]) for plane in manifest["planes"])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest in (out / "manifest.json").read_text()
    assert path.name not in (out / "manifest.json").read_text()
    assert str(out) in done.stdout


def test_plan_reads_from_the_manifest(good):
    _, out, _ = good
    plan = SlicePlan.load(out / "manifest.json")
    spacing = plan.spacings_mm
    assert np.allclose(spacing, 6.0)


def test_second_run_needs_overwrite(good):
    path, out, _ = good
    before = (out / "mould.stl").read_bytes()
    refused = run("mould", path, "--out", out)
    assert refused.returncode == 2
    assert "overwrite" in refused.stderr
    assert (out / "mould.stl").read_bytes() == before


def test_check_accepts_the_mould_and_refuses_an_open_mesh(good, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    _, out, _ = good
    assert run("check", out / "mould.stl").returncode == 0
    mesh = trimesh.load(out / "mould.stl")
    mesh.update_faces(np.arange(len(mesh.faces)) > 40)
    mesh.export(tmp_path / "open.stl")
    done = run("check", tmp_path / "open.stl")
    assert done.returncode == 1
    assert "not printable" in done.stdout.lower()
    assert run("check", tmp_path / "absent.stl").returncode == 2


def test_templates_lists_and_shows():
    listed = run("templates")
    assert listed.returncode == 0
    for name in ("ovary", "kidney", "prostate", "brain", "soft_tissue"):
        assert name in listed.stdout
    shown = run("templates", "ovary")
    assert shown.returncode == 0
    assert "clearance_mm" in shown.stdout
    assert run("templates", "ovarry").returncode == 2


def _two_lesions(array):
    array[1:4, 3:9, 38:45] = 1
    return array


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("empty", ["empty"]),
        ("border", ["border"]),
        ("two", ["--lesion"]),
        ("nan", ["nan"]),
        ("left-handed", ["left-handed"]),
        ("geometry", ["spacing"]),
        ("labels", ["--roi"]),
        ("text", []),
    ],
)
def test_bad_masks(case, words, tmp_path):
    array = blob().astype(np.uint8)
    extra = []
    name = "mask.nii.gz"
    if case == "empty":
        image = image_of(array * 0)
    elif case == "border":
        image = image_of(array[:, :, 14:])
    elif case == "two":
        image = image_of(_two_lesions(array))
    elif case == "nan":
        floats = array.astype(np.float32)
        floats[8, 20, 20] = np.nan
        image = image_of(floats)
    elif case == "left-handed":
        name = "mask.nrrd"
        image = image_of(array, direction=np.diag([1, 1, -1]))
    elif case == "geometry":
        image = image_of(array)
        save(image_of(array.astype(np.float32), spacing=(1.0, 1.0, 2.5)), tmp_path / "image.nii.gz")
        extra = ["--image", tmp_path / "image.nii.gz"]
    elif case == "labels":
        array[array > 0] = np.where(np.arange(int(array.sum())) % 2, 1, 2)
        image = image_of(array)
    else:
        (tmp_path / name).write_text("not an image")
        image = None
    if image is not None:
        save(image, tmp_path / name)
    out = tmp_path / "out"
    assert_one_line_error(run("mould", tmp_path / name, *extra, "--out", out), out, *words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--template", "ovarry"], ["ovarry", "ovary"]),
        (["--set", "slot_mmm=1"], ["slot_mmm", "slot_mm"]),
        (["--set", "slot_mm=wide"], ["slot_mm"]),
        (["--set", "slot_mm=-1"], ["slot_mm"]),
        (["--spacing-mm", "0"], ["spacing"]),
        (["--spacing-mm", "nan"], ["spacing"]),
        (["--plane", "diagonal"], ["--plane"]),
        (["--plane", "0,0,0"], ["normal"]),
        (["--lesion", "7"], ["lesion"]),
        (["--lesion", "²"], ["--lesion"]),
        (["--roi", "²"], ["region"]),
        (["--set", "lesion=2"], ["--set lesion", "slot_mm"]),
        (["--set", "progress=x"], ["--set progress"]),
        (["--set", "seg=1"], ["--set seg"]),
        (["--spacing-mm", "6", "--set", "spacing_mm=5"], ["spacing", "both"]),
        (["--roi", "9"], ["9"]),
    ],
)
def test_bad_options(options, words, tmp_path):
    path = save(image_of(blob().astype(np.uint8)), tmp_path / "mask.nii.gz")
    out = tmp_path / "out"
    assert_one_line_error(run("mould", path, *options, "--out", out), out, *words)


def test_spacing_as_a_setting_and_a_single_cut(tmp_path):
    path = save(image_of(blob().astype(np.uint8)), tmp_path / "mask.nii.gz")
    done = run("mould", path, "--set", "spacing_mm=59", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "out" / "manifest.json").read_text())["planes"]) == 1


def test_specks_are_dropped_with_a_note(tmp_path):
    array = blob().astype(np.uint8)
    array[2, 4, 4] = array[13, 40, 45] = 1
    path = save(image_of(array), tmp_path / "mask.nii.gz")
    done = run("mould", path, "--plane", "image", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    notes = [line for line in done.stderr.splitlines() if line.startswith("Note:")]
    assert any("2" in note and "speck" in note for note in notes), done.stderr
