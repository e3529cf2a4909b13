"""``comould templates``: what is listed and shown, at the width of the terminal."""

import pytest
from rich.console import Console
from typer.testing import CliRunner

from comould.cli import templates as command
from comould.cli.app import app
from comould.mould import load_template, templates
from comould.mould.equipment import blades, materials, printers
from comould.mould.parameters import DESIGNS


@pytest.fixture
def run(monkeypatch):
    """Run the command at a width; give back exit code, output and error output."""

    def at(*arguments, width=120):
        console = Console(width=width, record=True, force_terminal=False, soft_wrap=True, highlight=False)
        monkeypatch.setattr(command, "out", console)
        result = CliRunner().invoke(app, ["templates", *arguments])
        return result.exit_code, console.export_text(), result.stderr

    return at


def words(text):
    return " ".join(text.split())


@pytest.mark.parametrize("width", [80, 120])
def test_the_list_names_organs_and_designs(run, width):
    code, text, _ = run(width=width)
    assert code == 0
    for template in templates():
        line = next(line for line in text.splitlines() if line.startswith(f"{template.name} "))
        assert template.design in line
        assert f"{template.spacing_mm:g} mm" in line
    assert all(any(line.startswith(name) for line in text.splitlines()) for name in DESIGNS)
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(("shelf", "listed"), [("blades", blades), ("printers", printers), ("materials", materials)])
def test_equipment_is_listed(run, shelf, listed, width):
    code, text, _ = run(shelf, width=width)
    assert code == 0
    assert all(any(line.startswith(one.name) for line in text.splitlines()) for one in listed())
    assert max(map(len, text.splitlines())) <= width
    assert f"--set {shelf[:-1]}=NAME" in words(text)


def test_designs_are_listed(run):
    code, text, _ = run("designs")
    assert code == 0
    assert all(name in text for name in DESIGNS)
    assert "ovary" not in text


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("name", ["ovary", "kidney", "two_part"])
def test_a_template_shows_every_value_unit_meaning_and_source(run, name, width):
    code, text, _ = run(name, width=width)
    assert code == 0
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    for key, value, _, _ in load_template(name).rows():
        line = next(line for line in lines if line.startswith(f"{key} "))
        assert value in line
    if width == 200:
        for _, _, meaning, source in load_template(name).rows():
            assert meaning[:40] in text
            assert source[:40] in text


def test_equipment_is_shown_by_name(run):
    assert "250 × 210 × 220 mm" in run("prusa_mk4")[1]
    assert "1.27 g/cm³" in run("petg")[1]
    assert "0.25 mm" in run("microtome_low_profile")[1]


def test_settings_show_what_they_change_and_the_equipment_they_name(run):
    code, text, _ = run("ovary", "--set", "blade=trimming_130", "--set", "printer=prusa_mk4", "--set", "design=shell")
    assert code == 0
    assert "design shell" in text
    flat = words(text)
    for part in ("trimming_130 Trimming knife", "prusa_mk4 Original Prusa", "blade trimming_130 0.6 mm + printer"):
        assert part in flat


def test_own_file(run, tmp_path):
    path = tmp_path / "spleen.yaml"
    path.write_text("base: ovary\ntitle: Spleen [fresh]\nparameters: {spacing_mm: {value: 7, source: '[local]'}}")
    code, text, _ = run(str(path), width=200)
    assert code == 0
    assert "Spleen [fresh]" in text
    assert "[local]" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ovarry"], "'ovarry': expected a template (brain, kidney,"),
        (["prusa_mk5"], "Did you mean 'prusa_mk4'?"),
        (["printer"], "Did you mean 'printers'?"),
        (["gold"], "found none of that name."),
        (["none.yaml"], "template file none.yaml: expected a readable file"),
        (["--set", "slot_mm=1"], "--set: expected one template to show, found none. Name it first."),
        (["blades", "--set", "slot_mm=1"], "--set: expected one template to show, found blades."),
        (["ovary", "--set", "slot"], "--set slot: expected key=value"),
        (["ovary", "--set", "slot_mmm=1"], "unknown key 'slot_mmm' (nearest: 'slot_mm')"),
        (["ovary", "--set", "printer=generic_fdm_06"], "stroke_mm 0.8 is too small for FDM"),
        (["prusa_mk4", "--set", "bed_mm=3"], "'prusa_mk4': expected a template"),
    ],
)
def test_what_cannot_be_shown_is_one_line(run, arguments, message):
    code, text, error = run(*arguments)
    assert (code, text) == (2, "")
    assert message in error
    assert error.count("\n") == 1
