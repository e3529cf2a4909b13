"""``comould check`` from outside: marks, words, exit codes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import trimesh
from manifold3d import Manifold
from typer.testing import CliRunner

from comould.cli.app import app


def run(*args, **env):
    return subprocess.run(
        [sys.executable, "-c", "from comould.cli.app import main; main()", "check", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"COLUMNS": "60"} | env,
    )


def inside(*args):
    """The same command without starting an interpreter for it."""
    done = CliRunner().invoke(app, ["check", *map(str, args)])
    done.returncode = done.exit_code
    return done


def rows(done):
    """Marks and text by the line's name."""
    return {line.split()[1]: (line[0], line) for line in done.stdout.splitlines() if line[:1] in "✓✗–" and line.strip()}


def mesh_of(body):
    raw = body.to_mesh()
    return trimesh.Trimesh(raw.vert_properties[:, :3].astype(float), raw.tri_verts.astype(int), process=False)


@pytest.fixture(scope="module")
def slotted(tmp_path_factory):
    block = Manifold.cube((80, 60, 40)) - Manifold.cube((60, 30, 40)).translate((10, 15, 10))
    for n in range(6):
        block -= Manifold.cube((1, 50, 40)).translate((15 + 10 * n, 5, 8))
    path = tmp_path_factory.mktemp("meshes") / "slotted.stl"
    mesh_of(block).export(path)
    return path


def test_a_sound_mesh(slotted):
    done = run(slotted)
    assert done.returncode == 0, done.stderr
    found = rows(done)
    assert [found[name][0] for name in ("watertight", "walls", "ribs", "overhang", "bed")] == ["✓"] * 5
    assert "6 slots, thinnest rib 9.00 mm" in found["ribs"][1]
    assert found["fluid"][0] == found["print"][0] == "–"
    assert "drain_mm" in done.stdout
    assert done.stdout.strip().endswith("Printable")


def test_too_large_and_split(slotted, tmp_path):
    assert inside(slotted, "--printer", "formlabs_form4b").returncode == 0
    printer = tmp_path / "tiny.yaml"
    printer.write_text(
        "title: tiny\nsource: test\nprocess: FDM\nbed_mm: [50, 70, 60]\nmin_wall_mm: 1.2\nmin_stroke_mm: 0.8\n"
        "min_engrave_mm: 0.4\nmin_slot_mm: 0.5\nmin_hole_mm: 2\nslot_allowance_mm: 0.4\nclearance_mm: 0.4\n"
        "pin_clearance_mm: 0.2\nlayer_mm: 0.2\nnozzle_mm: 0.4\nmax_bridge_mm: 10\n"
    )
    done = inside(slotted, "--printer", printer)
    assert done.returncode == 1
    assert rows(done)["bed"][0] == "✗"
    assert "--split FOLDER" in done.stdout
    assert done.stdout.strip().endswith("Not printable")
    done = run(slotted, "--printer", printer, "--split", tmp_path / "parts")
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = json.loads((tmp_path / "parts" / "manifest.json").read_text())
    parts = [name for name in manifest["bodies"] if "_pin_" not in name]
    assert len(parts) >= 2
    for name in manifest["bodies"]:
        assert f"✓ {name}.stl" in done.stdout
        assert trimesh.load(tmp_path / "parts" / f"{name}.stl").is_watertight
    assert "slotted" not in json.dumps(manifest), "names of inputs may name a patient"
    again = inside(slotted, "--printer", printer, "--split", tmp_path / "parts")
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


def test_thin_walls(tmp_path):
    trimesh.creation.box((40, 0.5, 30)).export(tmp_path / "thin.stl")
    done = inside(tmp_path / "thin.stl")
    assert done.returncode == 1
    assert rows(done)["walls"][0] == "✗"
    assert "0.50 mm" in done.stdout
    assert "make them thicker" in done.stdout


def test_an_open_mesh(tmp_path):
    box = trimesh.creation.box((20, 20, 20))
    box.update_faces(np.arange(12) > 0)
    box.export(tmp_path / "open.stl")
    done = inside(tmp_path / "open.stl")
    assert done.returncode == 1
    assert rows(done)["watertight"][0] == "✗"
    assert "walls" not in rows(done)


def _empty(path):
    path.write_bytes(b"")


def _words(path):
    path.write_text("not a mesh at all")


@pytest.mark.parametrize(
    ("make", "command", "words"),
    [(None, inside, "no file"), (_empty, inside, "mesh"), (_words, run, "mesh")],
)
def test_bad_files(tmp_path, make, command, words):
    path = tmp_path / "bad.stl"
    if make:
        make(path)
    done = command(path)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert len(errors) == 1
    assert words in errors[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--printer", "prusa_mk44"), "Did you mean 'prusa_mk4'"),
        (("--material", "butter"), "material 'butter'"),
        (("--printer", "generic_sla", "--material", "pla"), "expected one that generic_sla prints"),
        (("--price", "-3"), "price per kg"),
    ],
)
def test_bad_options(slotted, options, words):
    done = inside(slotted, *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_slice_without_a_slicer(slotted, tmp_path):
    done = run(slotted, "--slice", PATH=str(tmp_path))
    assert done.returncode == 2
    assert "prusa-slicer on the PATH" in done.stderr
    assert "apt install" in done.stderr
