"""The command line as a user meets it: real processes, real exit codes."""

import subprocess
import sys

import pytest

from comould.cli.mould import parse_lesion, parse_plane, parse_roi, parse_settings
from comould.errors import InputError

HEAVY = ("SimpleITK", "itk", "scanpy", "squidpy", "anndata", "numba", "trimesh", "matplotlib", "sklearn", "scipy")


def run(*args, cwd=None):
    return subprocess.run(
        [sys.executable, "-c", "from comould.cli.app import main; main()", *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=300,
    )


@pytest.mark.parametrize("args", [[], ["demo"], ["mould"], ["check"], ["templates"]])
def test_help_names_the_command_and_loads_nothing_heavy(args):
    code = (
        "import sys\nfrom comould.cli.app import app\n"
        f"try:\n    app({[*args, '--help']!r})\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert "HEAVY []" in done.stdout


def test_version():
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("comould ")


def test_importing_comould_is_light():
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, comould; print([m for m in {(*HEAVY, 'numpy')!r} if m in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_missing_file_is_one_line_and_exit_2(tmp_path):
    done = run("mould", str(tmp_path / "absent.nii.gz"), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert "absent.nii.gz" in lines[0]
    assert not (tmp_path / "out").exists()


def test_occupied_output_is_refused_before_any_work(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("keep me")
    for extra in ([], ["--overwrite"]):
        done = run("mould", str(tmp_path / "absent.nii.gz"), "--out", str(tmp_path / "out"), *extra)
        assert done.returncode == 2
        assert "output folder" in done.stderr
    assert (tmp_path / "out" / "precious.txt").read_text() == "keep me"


def test_output_inside_a_file_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("x")
    done = run("mould", str(tmp_path / "absent.nii.gz"), "--out", str(tmp_path / "file" / "out"))
    assert done.returncode == 2
    assert "which is a file" in done.stderr


def test_settings_are_split_once():
    assert parse_settings(["slot-mm = 1.2", "note=a=b"]) == {"slot_mm": "1.2", "note": "a=b"}


@pytest.mark.parametrize("bad", ["slot_mm", "=3", "slot_mm="])
def test_malformed_settings(bad):
    with pytest.raises(InputError, match="key=value"):
        parse_settings([bad])


def test_planes_by_name_or_normal():
    assert parse_plane("Axial") == "axial"
    assert parse_plane("0, 0.2, 1") == (0.0, 0.2, 1.0)
    for bad in ("diagonal", "1,2", "a,b,c", ""):
        with pytest.raises(InputError, match="--plane"):
            parse_plane(bad)


def test_lesion_and_roi():
    assert [parse_lesion(x) for x in (None, "largest", "all", "2")] == [None, "largest", "all", 2]
    for bad in ("0", "-1", "second"):
        with pytest.raises(InputError, match="--lesion"):
            parse_lesion(bad)
    assert [parse_roi(x) for x in (None, "3", "GTV 3")] == [None, 3, "GTV 3"]
