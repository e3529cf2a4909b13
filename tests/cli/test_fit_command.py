"""``comould fit`` from outside: one table, exit 0, 3 or 2, and nothing written unless asked for."""

import json

import numpy as np
import pytest
import trimesh
from PIL import Image
from skimage.draw import polygon2mask
from typer.testing import CliRunner

from comould.cli.app import app
from comould.mould.fit.planned import Planned
from comould.space import CutPlane, SlicePlan, Transform

PIXEL_MM = 0.25


def body():
    """A ball with lumps, no two directions alike."""
    ball = trimesh.creation.icosphere(subdivisions=4)
    directions = np.asarray(ball.vertices)
    reach = np.full(len(directions), 12.0)
    for lump, height in (((0.2, 1, 0.3), 7), ((0.1, -0.7, 1), 5), ((1, 0.3, -0.5), 6), ((-1, -0.6, -0.4), 4)):
        away = np.arccos(np.clip(directions @ (np.array(lump) / np.linalg.norm(lump)), -1, 1))
        reach += height * np.exp(-0.5 * (away / 0.45) ** 2)
    return directions * reach[:, None] + (0, 0, 25.0), np.asarray(ball.faces)


@pytest.fixture(scope="module")
def planned():
    planes = tuple(
        CutPlane(f"P{n:02d}", (at, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), kerf_mm=1.0)
        for n, at in enumerate((-5.0, 0.0, 5.0), 1)
    )
    return Planned(*body(), SlicePlan(planes), Transform.identity("patient", "mould"))


@pytest.fixture(scope="module")
def folder(planned, tmp_path_factory):
    """What ``comould mould`` leaves behind, as far as a fit needs it."""
    path = tmp_path_factory.mktemp("case") / "mould"
    path.mkdir()
    trimesh.Trimesh(planned.vertices, planned.faces, process=False).export(path / "specimen.stl")
    plan = planned.plan.to_dict()
    manifest = {"format": "comould.mould", "mould_from_patient": np.eye(4).tolist(), "slice_plan": plan}
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def picture(planned, path, plane_id="P02", mirror=False):
    """Mask of a plane's cut face with the mould's up at the top."""
    lines = [line * ((-1, 1) if mirror else (1, 1)) for line in planned.cutter(planned.plan[plane_id]).at(0.0)]
    # The mould's z is v here, which runs down in the picture as imaged.
    lines = [line * (-1, -1) for line in lines]
    low = np.concatenate(lines).min(axis=0) - 4.0
    shape = tuple(np.ceil((np.concatenate(lines).max(axis=0) + 4.0 - low) / PIXEL_MM).astype(int)[::-1])
    mask = np.zeros(shape, dtype=bool)
    for line in lines:
        mask ^= polygon2mask(shape, ((line - low) / PIXEL_MM)[:, ::-1])
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    return path


def run(*args):
    return CliRunner().invoke(app, ["fit", *map(str, args)])


def assert_one_line_error(done, *words):
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert done.exit_code == 2, done.stderr + done.stdout
    assert len(errors) == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in errors[0]


def test_a_good_slab_exits_0_and_writes_nothing(planned, folder, tmp_path):
    mask = picture(planned, tmp_path / "slab.png")
    before = sorted(tmp_path.iterdir()), sorted(folder.iterdir())
    done = run(folder, "--slab", f"P02={mask}", "--pixel-size-um", 250, "--up", "mould")
    assert done.exit_code == 0, done.stderr
    assert "slab P02" in done.stdout
    assert "as planned" in done.stdout
    assert (sorted(tmp_path.iterdir()), sorted(folder.iterdir())) == before


def test_slabs_and_scan_in_one_table_with_report_and_figure(planned, folder, tmp_path):
    good, bad = picture(planned, tmp_path / "good.png"), picture(planned, tmp_path / "JaneDoe.png", "P01", mirror=True)
    scan = trimesh.Trimesh(planned.vertices * (-1, -1, 1), planned.faces, process=False)
    scan.export(tmp_path / "scan.ply")
    out = tmp_path / "out"
    slabs = ("--slab", f"P02={good}", "--slab", f"P01={bad}", "--pixel-size-um", 250)
    done = run(folder, *slabs, "--scan", tmp_path / "scan.ply", "--scan-frame", "mould", "--out", out)
    assert done.exit_code == 3, done.stderr
    rows = {line.split("  ")[1].strip(): line for line in done.stdout.splitlines() if line[:1] in "✓✗" and line}
    assert "✓" in rows["slab P02"]
    assert "wrong face" in rows["slab P01"]
    assert "turned by 180°" in rows["scan"]
    assert sorted(path.name for path in out.iterdir()) == ["fit.png", "manifest.json"]
    text = (out / "manifest.json").read_text()
    report = json.loads(text)
    assert [slab["verdict"] for slab in report["slabs"]] == ["as planned", "wrong face"]
    assert abs(report["scan"]["attitude"]["turn_deg"]) == pytest.approx(180, abs=1)
    assert set(report["provenance"]["inputs"]) == {"mould", "slab P02", "slab P01", "scan"}
    assert "JaneDoe" not in text
    with Image.open(out / "fit.png") as figure:
        assert min(figure.size) > 300
        assert len(np.unique(np.asarray(figure.convert("L")))) > 20
    assert_one_line_error(run(folder, *slabs, "--out", out), "new or empty")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), ("--slab", "--scan")),
        (("--slab", "P02"), ("P03=slab3.png",)),
        (("--slab", "P02=x.png"), ("--pixel-size-um", "ruler")),
        (("--slab", "P02=x.png", "--pixel-size-um", "250"), ("x.png", "no file")),
        (("--slab", "P02=x.png", "--slab", "P02=y.png", "--pixel-size-um", "250"), ("P02", "more than once")),
        (("--slab", "P02=x.png", "--pixel-size-um", "250", "--face", "left"), ("- or +",)),
        (("--scan", "none.stl"), ("none.stl",)),
    ],
    ids=["nothing", "no path", "no pixel size", "no file", "twice", "face", "no scan"],
)
def test_bad_input(folder, args, words):
    assert_one_line_error(run(folder, *args), *words)


def test_not_a_mould(tmp_path, folder):
    assert_one_line_error(run(tmp_path / "none", "--scan", "x.stl"), "no folder")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert_one_line_error(run(empty, "--scan", "x.stl"), "manifest")
    (empty / "manifest.json").write_text((folder / "manifest.json").read_text().replace("comould.mould", "another"))
    assert_one_line_error(run(empty, "--scan", "x.stl"), "a mould's manifest")


def test_scan_in_metres(planned, folder, tmp_path):
    trimesh.Trimesh(planned.vertices / 1000, planned.faces, process=False).export(tmp_path / "m.stl")
    assert_one_line_error(run(folder, "--scan", tmp_path / "m.stl"), "metres", "1000")
