"""cli/cohort.py, cli/power.py, study/cohort_case.py: files in, table and pictures out, one line for every mistake."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from comould.associate import cohort as pool_patients
from comould.cli.app import app
from comould.errors import InputError
from comould.study.cohort_case import find_results, read_associations


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def folders(patient_tables, tmp_path_factory):
    """Two centres of six patients, as comould associate leaves them."""
    base = tmp_path_factory.mktemp("study")
    for centre, seed in (("north", 1), ("south", 2)):
        for name, table in patient_tables(6, 8, seed=seed).items():
            (base / centre / f"{centre}-{name}").mkdir(parents=True)
            table.to_csv(base / centre / f"{centre}-{name}" / "associations.csv", index=False)
    return base


def test_patients_are_pooled_into_a_folder(folders, tmp_path):
    done = run(
        "cohort", "--centre", f"N={folders / 'north'}", "--centre", f"S={folders / 'south'}", "--out", tmp_path / "o"
    )
    assert done.exit_code == 0, done.output
    assert "12 of 2 centres" in done.output
    assert "hit_H1 in H1" in done.output
    table = pd.read_csv(tmp_path / "o" / "cohort.csv")
    tables = {p.parent.name: read_associations(p) for p in sorted(folders.glob("*/*/associations.csv"))}
    assert table["p"].to_numpy() == pytest.approx(pool_patients(tables)["p"].to_numpy())
    assert table["n_centres"].iloc[0] == 2
    for name in ("report.html", "forest.png", "patients.png", "manifest.json"):
        assert (tmp_path / "o" / name).stat().st_size > 500
    assert "P01" not in (tmp_path / "o" / "manifest.json").read_text()


def test_summaries_combine_to_the_same_table(folders, tmp_path):
    for centre in ("north", "south"):
        done = run("cohort", *sorted((folders / centre).iterdir()), "--out", tmp_path / centre,
                   "--export", f"{centre}={tmp_path / centre}.json")  # fmt: skip
        assert done.exit_code == 0, done.output
    files = [tmp_path / "north.json", tmp_path / "south.json"]
    done = run("combine", *files, "--out", tmp_path / "both")
    assert done.exit_code == 0, done.output
    both = pd.read_csv(tmp_path / "both" / "cohort.csv")
    run("cohort", *sorted(folders.glob("*/*")), "--out", tmp_path / "all")
    everyone = pd.read_csv(tmp_path / "all" / "cohort.csv")
    assert both["p"].to_numpy() == pytest.approx(everyone["p"].to_numpy(), abs=1e-8)
    left = pd.read_csv(tmp_path / "both" / "centres_left_out.csv")
    assert left["left_out"].value_counts().to_dict() == {"north": 16, "south": 16}
    content = json.loads(files[0].read_text())
    content["n"][0] = 7
    files[0].write_text(json.dumps(content))
    bad = run("combine", *files, "--out", tmp_path / "never")
    assert bad.exit_code == 2
    assert "changed after it was written" in bad.output
    assert not (tmp_path / "never").exists()


def test_a_list_names_patients_and_centres(folders, tmp_path):
    rows = [
        {"id": f"pt{k}", "result": str(path), "centre": path.parent.name}
        for k, path in enumerate(sorted(folders.glob("*/*")))
    ]
    (tmp_path / "list.yaml").write_text(json.dumps({"patients": rows}))
    found, homes = find_results([], listing=tmp_path / "list.yaml")
    assert list(found) == [f"pt{k}" for k in range(12)]
    assert set(homes.values()) == {"north", "south"}
    (tmp_path / "list.yaml").write_text(json.dumps({"patients": [rows[0] | {"age": 60}]}))
    with pytest.raises(InputError, match="found age"):
        find_results([], listing=tmp_path / "list.yaml")
    (tmp_path / "list.yaml").write_text("patients: 3")
    with pytest.raises(InputError, match="a list of"):
        find_results([], listing=tmp_path / "list.yaml")


def test_a_gene_called_na_stays_a_gene(tmp_path):
    (tmp_path / "p.csv").write_text(
        "feature,kind,habitat,statistic,n_effective,testable,reason\n"
        "NA,gene,H1,0.2,50,True,\nnan,gene,H1,,,False,no counts\n"
    )
    table = read_associations(tmp_path / "p.csv")
    assert table["feature"].tolist() == ["NA", "nan"]
    assert np.isnan(table["statistic"].iloc[1])
    assert table["testable"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "no result is given"),
        (["{absent}"], "no such file"),
        (["{base}"], "a folder with associations.csv"),
        (["{one}", "{one}"], "comes twice"),
        (["{one}", "--centre", "S={base}/south"], "no centre is told of"),
        (["{one}", "--centre", "south"], "NAME=PATH"),
        (["{text}"], "lacks the columns"),
        (["{one}", "--min-patients", "1"], "2 or more"),
        (["{one}", "--export", "A={base}/s.json"], "found 1 at most"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(folders, tmp_path, args, message):
    (tmp_path / "text.csv").write_text("a,b\n1,2\n")
    places = {
        "absent": tmp_path / "absent.csv", "base": folders, "one": folders / "north" / "north-P01",
        "text": tmp_path / "text.csv",
    }  # fmt: skip
    done = run("cohort", *[arg.format(**places) for arg in args], "--out", tmp_path / "out")
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert len([line for line in done.output.splitlines() if line.startswith("Error")]) == 1
    assert not (tmp_path / "out").exists()
    assert not (folders / "s.json").exists()


def test_an_occupied_folder_is_kept(folders, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("x")
    done = run("cohort", *sorted((folders / "north").iterdir()), "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert (tmp_path / "out" / "precious.txt").exists()


def test_power_says_how_many_patients(tmp_path):
    done = run("power", "--effect", "0,2", "--patients", "4,6", "--sections", "2", "--error-mm", "0",
               "--simulations", "10", "--set", "pitch_mm=0.8", "--set", "mean_counts=6",
               "--out", tmp_path / "p")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "log2 FC 2, 2 sections, 0 mm" in done.output
    assert "more than simulated" in done.output
    assert len(pd.read_csv(tmp_path / "p" / "power.csv")) == 4
    assert pd.read_csv(tmp_path / "p" / "minimum_patients.csv")["n_patients"].notna().tolist() == [False, True]
    assert (tmp_path / "p" / "power.png").exists()
    assert json.loads((tmp_path / "p" / "manifest.json").read_text())["parameters"]["mean_counts"] == 6


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--effect", "big"], "--effect: expected numbers"),
        (["--patients", "6.5"], "whole numbers"),
        (["--set", "colour=3"], "some of section_mm"),
        (["--set", "pitch"], "KEY=NUMBER"),
        (["--set", "fraction=2"], "not 0.02 to 0.98"),
        (["--simulations", "3"], "fewer than 10"),
    ],
)
def test_wrong_numbers_are_one_line(tmp_path, args, message):
    done = run("power", *args, "--out", tmp_path / "p")
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert not (tmp_path / "p").exists()


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom comould.cli.app import app\n"
        "for command in ('cohort', 'combine', 'power'):\n"
        "    try:\n        app([command, '--help'])\n    except SystemExit as stop:\n        assert not stop.code\n"
        "print('HEAVY', [m for m in ('numpy', 'pandas', 'scipy', 'matplotlib', 'SimpleITK') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
