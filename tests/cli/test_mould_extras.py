"""What lies beside a mould: structures, habitats, cores, blocks, sheet, picture, several lesions."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from comould.cli._mould_options import parse_blocks, parse_lesion, parse_structures, parse_up, with_options
from comould.errors import InputError

SPACING = np.array([1.0, 1.0, 2.0])
RADII = np.array([20.0, 15.0, 15.0])
SHAPE = (26, 48, 60)


def run(*args):
    code = "from comould.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"COLUMNS": "80"},
    )


def ball(centre, radii, shape=SHAPE):
    z, y, x = np.indices(shape)
    offsets = (np.stack([x, y, z], axis=-1) * SPACING - centre) / radii
    return (offsets**2).sum(axis=-1) <= 1.0


def save(array, path, shift_mm=0.0):
    image = sitk.GetImageFromArray(np.ascontiguousarray(array, dtype=np.uint8))
    image.SetSpacing(SPACING.tolist())
    image.SetOrigin((-30.0 + shift_mm, -20.0, 100.0))
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extras")
    centre = SPACING * np.array(SHAPE[::-1]) / 2.0
    mask = ball(centre, RADII) | ball(centre + np.array([8.0, 6.0, 3.0]), (12.0, 10.0, 10.0))
    halves = np.where(np.arange(SHAPE[2]) < centre[0], 1, 2) * mask
    save(mask, folder / "mask.nii.gz")
    save(halves, folder / "habitats.nii.gz")
    save(halves, folder / "elsewhere.nii.gz", shift_mm=500.0)
    save(ball(centre + np.array([0.0, 0.0, 13.0]), (3.0, 3.0, 5.0)), folder / "vein.nii.gz")
    save(ball((3.0, 3.0, 3.0), (2.0, 2.0, 2.5)), folder / "far.nii.gz", shift_mm=300.0)
    wide = np.concatenate([mask, ball(centre, (11.0, 9.0, 12.0))], axis=2)
    save(wide, folder / "two.nii.gz")
    return folder


@pytest.fixture(scope="module")
def full(files):
    beside = ["--habitats", files / "habitats.nii.gz", "--cores", 1, "--core-mm", 5, "--blocks", "26x20"]
    done = run("mould", files / "mask.nii.gz", *beside, "--spacing-mm", 8, "--up", "anterior", "--out", files / "full")
    assert done.returncode == 0, done.stderr
    return files / "full", done


def test_everything_beside_the_mould_is_written_and_named(full):
    folder, done = full
    names = {"mould.stl", "mould.3mf", "specimen.stl", "manifest.json", "cutting_sheet.pdf", "preview.png"}
    names |= {"sampling.csv", "blocks.csv", "sampling"}
    assert {path.name for path in folder.iterdir()} == names
    assert all(name in done.stdout for name in names)
    assert list(folder.glob("sampling/plate_*.stl"))
    assert (folder / "cutting_sheet.pdf").read_bytes().startswith(b"%PDF")
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "preview.png"))).std() > 10
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_cores_keep_to_what_was_asked(full):
    import pandas as pd

    folder, done = full
    cores = pd.read_csv(folder / "sampling.csv")
    assert set(cores["diameter_mm"]) == {5.0}
    assert cores.groupby(["slab", "habitat"]).size().max() == 1
    assert f"{len(cores)} in {cores['slab'].nunique()} slabs" in done.stdout


def test_the_manifest_knows_printing_inputs_and_warnings_of_the_extras(full):
    folder, done = full
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["printing"]) == {"mould"}
    assert set(manifest["provenance"]["inputs"]) == {"segmentation", "habitats"}
    notes = [line.removeprefix("Note: ") for line in done.stderr.splitlines() if line.startswith("Note: ")]
    assert notes
    assert set(notes) <= {" ".join(note.split()) for note in manifest["warnings"]}
    assert manifest["letters"]["+z"] == "A"


def test_a_window_is_left_in_the_wall_and_the_sheet_left_out(files):
    out = files / "window"
    vein = f"vein={files / 'vein.nii.gz'}:window"
    done = run("mould", files / "mask.nii.gz", "--structure", vein, "--no-sheet", "--plane", "sagittal", "--out", out)
    assert done.returncode == 0, done.stderr
    assert not (out / "cutting_sheet.pdf").exists()
    manifest = json.loads((out / "manifest.json").read_text())
    assert [one["name"] for one in manifest["structures"]] == ["vein"]
    assert "structure vein" in manifest["provenance"]["inputs"]


def test_each_lesion_gets_a_folder_and_a_key(files):
    out = files / "each"
    done = run("mould", files / "two.nii.gz", "--lesion", "each", "--spacing-mm", 8, "--out", out)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} == {"1", "2", "key.json"}
    key = json.loads((out / "key.json").read_text())["moulds"]
    assert key[0]["volume_ml"] > key[1]["volume_ml"]
    assert all(row["mould_id"] in done.stdout for row in key)
    assert all((out / row["number"] / "cutting_sheet.pdf").exists() for row in key)


def test_a_mould_too_large_for_the_bed_is_told_with_the_remedy(files):
    large = sitk.ReadImage(str(files / "mask.nii.gz"))
    large.SetSpacing((5.5 * SPACING).tolist())
    sitk.WriteImage(large, str(files / "large.nii.gz"))
    plan = ["--spacing-mm", "55", "--printer", "prusa_mini", "--no-sheet"]
    done = run("mould", files / "large.nii.gz", *plan, "--out", files / "large")
    assert done.returncode == 0, done.stderr
    assert "comould check --split" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--structure", "vein"], ["--structure", "NAME=PATH"]),
        (["--structure", "vein=absent.nii.gz"], ["vein", "absent.nii.gz", "label 1"]),
        (["--structure", "vein={far}"], ["vein", "nowhere meets"]),
        (["--structure", "two={habitats}"], ["two", "one label"]),
        (["--cores", "2"], ["--cores", "--habitats"]),
        (["--core-mm", "3"], ["--core-mm", "--cores"]),
        (["--habitats", "{habitats}", "--cores", "0"], ["--cores", "1 to 50"]),
        (["--habitats", "{habitats}", "--cores", "1", "--core-mm", "99"], ["diameter_mm"]),
        (["--habitats", "{elsewhere}"], ["habitats", "same patient"]),
        (["--habitats", "absent.nii.gz"], ["absent.nii.gz"]),
        (["--blocks", "3by4"], ["--blocks", "cassette"]),
        (["--printer", "prussa_mk4"], ["prussa_mk4", "prusa_mk4"]),
        (["--blade", "spoon"], ["spoon"]),
        (["--material", "wood"], ["wood"]),
        (["--design", "bucket"], ["bucket", "open_block"]),
        (["--design", "shell", "--set", "design=two_part"], ["design", "both"]),
        (["--up", "sideways"], ["sideways", "anterior"]),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(options, words, files, tmp_path):
    names = {path.name.split(".")[0]: path for path in files.glob("*.nii.gz")}
    out = tmp_path / "out"
    done = run("mould", files / "mask.nii.gz", *(text.format(**names) for text in options), "--out", out)
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert (done.returncode, len(errors)) == (2, 1), done.stderr
    for word in words:
        assert word.lower() in errors[0].lower(), errors[0]
    assert list(tmp_path.iterdir()) == []


def test_structures_are_split():
    found = parse_structures(["vein = a:b.nii:window", "x=y.nii:inlay:#A0b1C2", "z=GTV 3"])
    assert [(one.name, one.source, one.role) for one in found] == [
        ("vein", "a:b.nii", "window"),
        ("x", "y.nii", "inlay"),
        ("z", "GTV 3", "inlay"),
    ]
    assert found[1].colour == "#A0b1C2"
    assert found[2].colour != parse_structures(["a=b", "c=d"])[0].colour


@pytest.mark.parametrize("bad", ["", "x=", "=y", "x=y:window:#aabbcc", "x=y:"])
def test_malformed_structures(bad):
    if bad == "x=y:":
        assert parse_structures([bad])[0].source == "y:"
        return
    with pytest.raises(InputError, match="NAME=PATH"):
        parse_structures([bad])


def test_blocks_up_and_lesion():
    assert [parse_blocks(x) for x in (None, "mega", "30x24", "30.5X24")] == [None, "mega", (30, 24), (30.5, 24)]
    assert [parse_up(x) for x in (None, "anterior", "-45")] == [None, "anterior", -45.0]
    assert parse_lesion("each") == "each"
    assert with_options({"slot_mm": "1"}, up=None, blade="x") == {"slot_mm": "1", "blade": "x"}
