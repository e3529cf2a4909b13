"""``comould phantom``: a whole case folder, one line for each mistake, nothing half done."""

import json
import subprocess
import sys

import anndata
import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from comould import phantom
from comould.cli.app import app
from comould.cli.phantom import parse_sections, sort_settings
from comould.errors import InputError
from comould.space import SlicePlan, Transform

QUICK = (
    *("--volume-ml", "12", "--spacing-mm", "6", "--sections", "2"),
    *("--set", "specimen.margin-mm=4", "--set", "subsamples=1", "--set", "spacing_mm=[1, 1, 3]"),
    *("--set", "image_pixel_um=200", "--set", "spot_pitch_um=1500"),
)


def run(*args):
    return CliRunner().invoke(app, ["phantom", *map(str, args)])


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "case"
    extra = ("--difficulty", "hard", "--seed", 3, "--set", "tears=1", "--set", "swapped=1", "--photo", "--adjacent")
    done = run("--out", folder, *QUICK, *extra)
    assert done.exit_code == 0, done.output
    return folder, done.output


def test_says_what_was_made(case):
    _, output = case
    assert "2 of 4 planes" in output or "2 of 5 planes" in output
    assert "15 %, bending 3 mm rms" in output
    assert "up to 1.00 mm and 5.0°" in output
    assert "README.md" in output


def test_every_file_is_there_and_holds_together(case):
    folder, _ = case
    manifest = json.loads((folder / "manifest.json").read_text())
    plan = SlicePlan.load(folder / "slice_plan.json")
    assert len(manifest["sections"]) == 2
    assert len(plan) > 2
    np.testing.assert_allclose(plan.spacings_mm, 6.0, atol=1e-9)
    for row in manifest["sections"]:
        assert row["plane_id"] in [plane.id for plane in plan]
        spots = anndata.read_h5ad(folder / row["spots"])
        assert len(spots) > 10
        for facts in (row, row["adjacent"], row["photo"]):
            stem = facts["picture"].removeprefix("sections/").removesuffix(".png")
            size = np.array(sitk.ReadImage(str(folder / facts["picture"])).GetSize()) * facts["downsample"]
            middle = Transform.load(folder / "truth" / f"{stem}.h5").apply([size / 2.0])
            assert np.linalg.norm(middle - [-35.0, 12.0, -140.0]) < 40.0
        stem = row["spots"].removeprefix("spots/").removesuffix(".h5ad")
        truth = json.loads((folder / "truth" / f"{stem}.json").read_text())
        assert truth["true_plane_id"] != row["plane_id"]
        assert abs(truth["plane_offset_mm"]) == pytest.approx(1.0)
        assert np.hypot(*truth["plane_tilt_deg"]) == pytest.approx(5.0)
        assert truth["parts"] == 2
        assert (folder / "truth" / f"{stem}_part1.h5").is_file()


def test_nothing_outside_the_truth_tells_it(case):
    folder, _ = case
    for path in folder.rglob("*.json"):
        if path.parent.name != "truth":
            text = path.read_text()
            assert not [word for word in ("true_plane", "flipped", "angle_deg", "swapped", "tilt") if word in text], (
                path
            )
    assert json.loads((folder / "truth" / "truth.json").read_text())["cutting"]["S-" + "P02"]["swapped"] == 1


def test_files_are_ordered_as_the_labels_say(case):
    folder, _ = case
    told = [row["plane_id"] for row in json.loads((folder / "manifest.json").read_text())["sections"]]
    assert told == sorted(told)


def test_readme_explains_and_its_recipe_works(case):
    folder, _ = case
    text = (folder / "README.md").read_text()
    for word in ("LPS", "spots/*.h5ad", "cm.phantom.score", "photographed", "slice_plan.json"):
        assert word in text
    answer = {}
    for row in json.loads((folder / "manifest.json").read_text())["sections"]:
        stem = row["spots"].removeprefix("spots/").removesuffix(".h5ad")
        answer[row["id"]] = np.loadtxt(
            folder / "truth" / f"{stem}_spots.csv", delimiter=",", skiprows=1, usecols=(1, 2, 3)
        )
    assert phantom.score(folder, answer).max_mm == 0.0


def test_same_seed_same_case(case, tmp_path):
    folder, _ = case
    extra = ("--difficulty", "hard", "--seed", 3, "--set", "tears=1", "--set", "swapped=1", "--photo", "--adjacent")
    assert run("--out", tmp_path / "again", *QUICK, *extra).exit_code == 0
    for pattern in ("sections/*.png", "truth/*_spots.csv", "sections/*.json", "truth/*.json"):
        for path in sorted(folder.glob(pattern)):
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(folder)).read_bytes(), path.name


def test_default_name_is_the_next_free_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "comould_phantom").mkdir()
    assert run(*QUICK, "--sections", "1").exit_code == 0
    assert (tmp_path / "comould_phantom-2" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--sections", "none"), "--sections: expected all or a whole number from 1"),
        (("--sections", "99"), "99 sections: expected 1 to"),
        (("--set", "tears"), "--set tears: expected key=value"),
        (("--set", "rips=1"), "--set rips: expected one of"),
        (("--set", "specimen.tears=1"), "--set specimen.tears: expected one of acquisition_deg"),
        (("--set", "tears=1", "--set", "tears=2"), "--set tears: expected each option once"),
        (("--set", "tears=9"), "tears 9 is outside 0 to 3"),
        (("--set", "tears=many"), "tears 'many' is not a whole number"),
        (("--set", "volume_ml=40"), "--set volume_ml: expected --volume-ml"),
        (("--seed", "-1"), "phantom seed: expected a whole number of 0 or more"),
        (("--volume-ml", "0.1"), "volume_ml 0.1 is outside 2 to 2000"),
        (("--spacing-mm", "0"), "spacing_mm: expected 0.5 mm or more"),
        (("--set", "swapped=5"), "swapped 5: expected at most as many pairs"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(tmp_path, args, message):
    done = run("--out", tmp_path / "case", *QUICK, *args)
    assert done.exit_code == 2
    line = next(line for line in done.output.splitlines() if line.startswith("Error:"))
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_occupied_output_is_refused_before_any_work(tmp_path):
    (tmp_path / "precious.txt").write_text("keep me")
    for extra in ((), ("--overwrite",)):
        done = run("--out", tmp_path, *QUICK, *extra)
        assert done.exit_code == 2
        assert "output folder" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_settings_are_sorted_into_specimen_and_cut():
    body, cutting = sort_settings(["margin-mm=3", "specimen.margin_mm=9", "flip=false", "t2_snr=15", "capture_mm=null"])
    assert body == {"margin_mm": 9, "t2_snr": 15}
    assert cutting == {"margin_mm": 3, "flip": False, "capture_mm": None}
    assert sort_settings(["tell_face=untold"])[1] == {"tell_face": "untold"}
    assert parse_sections(" All ") is None
    assert parse_sections("4") == 4
    with pytest.raises(InputError, match="--sections"):
        parse_sections("0")


def test_help_loads_nothing_heavy():
    heavy = ("SimpleITK", "itk", "scanpy", "squidpy", "anndata", "numba", "scipy", "pandas", "yaml", "numpy")
    code = (
        "import sys\nfrom comould.cli.app import app\n"
        "try:\n    app(['phantom', '--help'])\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"print('HEAVY', [m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--difficulty" in done.stdout
    assert "HEAVY []" in done.stdout
