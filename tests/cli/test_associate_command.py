"""``comould associate`` and ``comould calibrate``: options reach the run, mistakes take one line, help is light."""

import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from comould.associate.nulls import KINDS
from comould.cli._associate_options import NullName, StatisticName
from comould.cli.app import app
from comould.cli.associate import lost_at, parse_others, summary
from comould.errors import ComouldWarning, InputError

HEAVY = ("SimpleITK", "anndata", "numba", "matplotlib", "scipy", "pandas", "numpy")


@pytest.fixture
def called(monkeypatch):
    """Catch what the commands would run."""
    from comould.study import associate_case, calibrate_case

    found = {}

    def caught(name):
        def run(case, out, **rest):
            found[name] = (case, out, rest)
            raise InputError(subject="stop", expected="nothing", found="a test")

        return run

    monkeypatch.setattr(associate_case, "run_associations", caught("associate"))
    monkeypatch.setattr(calibrate_case, "run_calibration", caught("calibrate"))
    return found


@pytest.mark.parametrize("command", ["associate", "calibrate"])
def test_help_loads_nothing_heavy(command):
    code = (
        "import sys\nfrom comould.cli.app import app\n"
        f"try:\n    app([{command!r}, '--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        f"print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "HEAVY []" in done.stdout


def test_names_on_the_command_line_are_those_of_the_test():
    from comould.associate.claims.correlation import STATISTICS

    assert tuple(name.value for name in NullName) == KINDS
    assert {name.value for name in StatisticName} == set(STATISTICS)


def test_every_option_reaches_the_run(called, tmp_path):
    CliRunner().invoke(
        app,
        ["associate", "case", "--habitats", "h.nii.gz", "--out", str(tmp_path / "o"), "--genesets", "hypoxia",
         "--genesets", "own.gmt", "--covariate", "edge_mm", "--covariate", "log_counts", "--mask", "m.nii.gz",
         "--statistic", "spearman", "--null", "shift", "--surrogates", "199", "--fdr", "0.05", "--other", "B=b.nii.gz",
         "--calibrate", "20", "--seed", "7", "--layer", "raw", "--force", "--overwrite"],
    )  # fmt: skip
    case, out, rest = called["associate"]
    options = rest["options"]
    assert (str(case), out, rest["overwrite"]) == ("case", tmp_path / "o", True)
    assert (str(options.habitats), str(options.mask), options.layer) == ("h.nii.gz", "m.nii.gz", "raw")
    assert options.genesets == ("hypoxia", "own.gmt")
    assert options.covariates == ("edge_mm", "log_counts")
    assert (options.statistic, options.null, options.n_surrogates) == ("spearman", "shift", 199)
    assert (options.fdr, options.calibrate, options.seed, options.force) == (0.05, 20, 7, True)
    assert {name: str(path) for name, path in options.others.items()} == {"B": "b.nii.gz"}


def test_calibration_judges_three_nulls_unless_told(called):
    CliRunner().invoke(app, ["calibrate", "case", "--maps", "40", "--genes", "30"])
    rest = called["calibrate"][2]
    assert (rest["maps"], rest["genes"], tuple(rest["kinds"])) == (40, 30, ("variogram", "shift", "dutilleul"))
    CliRunner().invoke(app, ["calibrate", "case", "--null", "moran", "--covariate", "log_counts"])
    rest = called["calibrate"][2]
    assert (rest["kinds"], rest["options"].covariates) == (["moran"], ("log_counts",))


def test_others_are_named_once():
    assert parse_others(["A=x/y", "B = z"]) == {"A": "x/y", "B": "z"}
    for items in (["x"], ["=x"], ["A="], ["A=x", "A=y"]):
        with pytest.raises(InputError, match="NAME=LABELS, each name once"):
            parse_others(items)


@pytest.mark.parametrize("command", ["associate", "calibrate"])
def test_mistakes_take_one_line_and_exit_2(command, tmp_path):
    done = CliRunner().invoke(app, [command, str(tmp_path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "Run comould register first" in done.output
    assert "a folder habitats in the case" in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_summary_names_a_control_that_fails_and_what_was_left_out():
    table = pd.DataFrame({"feature": ["immune"], "kind": ["geneset"], "q_spatial": [0.01]})
    genes = pd.DataFrame({"q_spatial": [0.01, 0.5, np.nan], "q_naive": [0.01, 0.02, 0.5]}, index=list("abc"))
    result = SimpleNamespace(
        table=table, genes=genes, coverage=pd.DataFrame({"n_spots": [10, 20], "n_outside": [0, 3]}),
        left_out={"S4": "its registration was rejected"},
        controls=pd.DataFrame({"control": ["wrong plane", "mirrored map"], "verdict": ["not null", "null"]}),
        calibration=pd.DataFrame(
            {"test": ["variogram"], "habitat": ["all"], "rate_05": [0.049], "verdict": ["holds"]}
        ),
        shift=None,
    )  # fmt: skip
    rows = dict(summary(result, 0.1))
    assert rows["Genes claimed"] == "1 of 3 by the spatial test, 2 by the naive one"
    assert rows["Gene sets"] == "1 of 1 claimed"
    assert rows["Spots"] == "30 in 2 sections; 3 lie outside the habitats"
    assert rows["Left out"] == "S4: its registration was rejected"
    assert rows["Shortcut!"].startswith("not null: wrong plane;")
    assert rows["Calibration"] == "false positives at 0.05: variogram 0.049 (holds)"
    assert lost_at(result) == {}


def test_a_run_prints_the_strongest_genes_and_the_controls(spots_case, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        done = CliRunner().invoke(
            app, ["associate", str(spots_case), "--out", str(tmp_path / "out"), "--surrogates", "49"]
        )
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.output.splitlines()]
    top = {line[0]: line for line in lines if line and line[0].startswith("hit")}
    assert len(top) >= 2
    assert all(line[-1] == "mm" for line in top.values())
    assert ["wrong", "plane", "null"] in [line[:3] for line in lines]
    assert ["housekeeping", "genes", "not", "run"] in [line[:4] for line in lines]
    assert any(line[:2] == ["Genes", "claimed"] for line in lines)
    assert (tmp_path / "out" / "report.html").is_file()
