"""``comould export``: the folders are handed on, what was written is told, mistakes take one line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from comould.cli.app import app
from comould.study import export_case
from comould.study.export_case import ExportResult


@pytest.fixture
def called(monkeypatch):
    kept = {}

    def stand_in(folders, out, *, force, overwrite, progress):
        kept.update(folders=folders, out=out, force=force, overwrite=overwrite)
        for step in export_case.STEPS:
            progress(step, 0.0, "")
            progress(step, 1.0, "")
        Path(out).mkdir()
        return ExportResult(Path(out).resolve(), {"images": ("T2",), "shapes": ("spots_S1",)}, 120)

    monkeypatch.setattr(export_case, "run_export", stand_in)
    return kept


def test_options_reach_the_export_and_the_elements_are_told(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["export", "home", "claims", "--out", "x.zarr", "--force"])
    assert done.exit_code == 0, done.output
    assert called == {
        "folders": [Path("home"), Path("claims")],
        "out": Path("x.zarr"),
        "force": True,
        "overwrite": False,
    }
    assert "spots_S1" in done.stdout
    assert "120" in done.stdout


def test_a_free_name_is_found(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "case.zarr").mkdir()
    assert CliRunner().invoke(app, ["export", "home"]).exit_code == 0
    assert called["out"] == Path("case.zarr-2")


def test_a_folder_of_something_else_is_one_line_and_exit_2(tmp_path):
    done = CliRunner().invoke(app, ["export", str(tmp_path), "--out", str(tmp_path / "x.zarr")])
    assert done.exit_code == 2
    assert "none of their files" in done.output
    assert not (tmp_path / "x.zarr").exists()
