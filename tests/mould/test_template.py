"""Templates: shipped, the user's own, and what is refused."""

import pytest
from pydantic import ValidationError

from comould.errors import InputError
from comould.mould import Parameters, load_template, templates

NAMES = {"brain", "kidney", "liver", "omentum", "ovary", "prostate", "soft_tissue"}


def test_every_shipped_template_loads_and_says_what_it_is_for():
    shipped = templates()
    assert {template.name for template in shipped} == NAMES
    assert all(template.title and template.sources for template in shipped)
    assert all(load_template(template.name) == template for template in shipped)


def test_published_figures():
    spacing = {template.name: template.spacing_mm for template in templates()}
    assert (spacing["ovary"], spacing["kidney"], spacing["brain"], spacing["prostate"]) == (5, 10, 10, 6)
    for template in templates():
        size = template.parameters
        assert size.guide_mm >= 5
        assert 5 <= size.slot_overhang_mm <= 10
        assert size.slot_below_mm >= 1.5
        assert size.spacing_mm - size.slot_mm >= size.min_rib_mm


def test_rows_cover_every_parameter():
    rows = load_template("ovary").rows()
    assert [row[0] for row in rows] == list(Parameters.model_fields)
    assert all(len(row) == 4 and all(row) for row in rows)
    assert "doi" in {row[0]: row[3] for row in rows}["spacing_mm"]


def test_overrides_are_converted_and_marked():
    template = load_template("ovary", slot_mm="1.2", spacing_mm=None, wall_mm=6)
    assert (template.slot_mm, template.parameters.wall_mm, template.spacing_mm) == (1.2, 6.0, 5.0)
    assert template.sources["slot_mm"] == "user"
    assert "user" not in load_template("ovary").sources.values()


def test_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        load_template("ovary").parameters.slot_mm = 2.0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"slot_mmm": 1}, r"unknown key 'slot_mmm' \(nearest: 'slot_mm'\).*Known keys: spacing_mm"),
        ({"slot_mm": 9}, r"slot_mm = 9: input should be less than or equal to 5"),
        ({"slot_mm": "wide"}, r"slot_mm = 'wide': input should be a valid number"),
        ({"slot_mm": float("nan")}, "finite"),
        ({"slot_mm": -1, "wall_mm": 0}, "2 problems: .*slot_mm.*wall_mm"),
    ],
)
def test_bad_overrides(overrides, message):
    with pytest.raises(InputError, match=message):
        load_template("soft_tissue", **overrides)


def test_unknown_template_names_the_nearest():
    with pytest.raises(InputError, match=r"'ovarry'.*one of brain, kidney.*Did you mean 'ovary'"):
        load_template("ovarry")


def test_own_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("title: Spleen\nparameters:\n  spacing_mm: {value: 7, source: local}\n  slot_mm: 1.1\n")
    template = load_template(path, wall_mm=7)
    assert (template.name, template.title, template.design) == ("mine", "Spleen", "open_block")
    assert (template.spacing_mm, template.slot_mm) == (7.0, 1.1)
    assert template.sources == {"spacing_mm": "local", "wall_mm": "user"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parameters: {slot: 1}", "unknown key 'slot'"),
        ("parameter: {slot_mm: 1}", "unknown key 'parameter' .*nearest: 'parameters'"),
        ("parameters: [1, 2]", "parameters as keys and values, found list"),
        ("- 1", "keys and values, found list"),
        ("a: [1", "YAML"),
        ("design: clamshell", "design = 'clamshell'"),
        ("parameters: {slot_mm: {source: none}}", "slot_mm = None"),
        ("!!python/object/apply:os.getcwd []", "YAML"),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_template(path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"template file none.yaml: expected a readable file"):
        load_template(tmp_path / "none.yaml")
