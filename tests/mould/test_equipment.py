"""Blades, printers and materials: complete, sourced, and refused when they cannot be right."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from comould.errors import InputError
from comould.mould import _library, equipment
from comould.mould.equipment import load_blade, load_material, load_printer, misfits
from comould.mould.parameters import OpenBlock

KINDS = {
    "blades": (equipment.blades, load_blade),
    "printers": (equipment.printers, load_printer),
    "materials": (equipment.materials, load_material),
}

BLADE = {"title": "Knife", "source": "measured", "thickness_mm": 0.9, "length_mm": 200}
PRINTER = {
    "title": "Printer",
    "source": "measured",
    "process": "FDM",
    "bed_mm": [200, 200, 200],
    "min_wall_mm": 1.2,
    "min_stroke_mm": 0.8,
    "min_engrave_mm": 0.4,
    "min_slot_mm": 0.5,
    "min_hole_mm": 2,
    "slot_allowance_mm": 0.4,
    "clearance_mm": 0.4,
    "pin_clearance_mm": 0.2,
    "layer_mm": 0.2,
    "nozzle_mm": 0.4,
}
MATERIAL = {
    "title": "Plastic",
    "source": "measured",
    "processes": ["FDM"],
    "density_g_cm3": 1.2,
    "temperature_limit_c": 80,
    "sterilisation": "wipe",
}


def written(tmp_path, data, name="mine.yaml"):
    path = tmp_path / name
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.mark.parametrize("shelf", KINDS)
def test_every_shipped_one_loads_by_its_name_and_says_where_its_figures_come_from(shelf):
    listed, load = KINDS[shelf]
    found = listed()
    assert len(found) >= 8
    assert [one.name for one in found] == sorted(one.name for one in found)
    for one in found:
        assert load(one.name) == one
        assert load(one) is one
        rows = one.rows()
        assert [row[0] for row in rows] == [
            key for key in type(one).model_fields if key not in equipment.Equipment.model_fields
        ]
        assert all(len(row) == 4 and all(row) for row in rows)
        assert set(one.sources) <= set(type(one).model_fields)


def test_a_figure_names_a_document_or_owns_up_to_having_none():
    document = re.compile(r"doi:10\.\d{4,}/\S|\b[a-z0-9-]+\.(com|in|se|uk|za|tools|eu)\b|PrusaSlicer \d|Int J Bio")
    honest = re.compile("comould default|not verified here|no data sheet read")
    for listed, _ in KINDS.values():
        for one in listed():
            for key, *_, source in one.rows():
                assert document.search(source) or honest.search(source), (one.name, key, source)


def test_figures_people_look_up():
    assert load_printer("prusa_mk4").bed_mm == (250, 210, 220)
    assert load_printer("prusa_mini").bed_mm == (180, 180, 180)
    assert load_printer("bambu_x1c").bed_mm == (256, 256, 256)
    assert load_blade("microtome_low_profile").thickness_mm == 0.25
    assert (load_printer("generic_fdm").clearance_mm, load_printer("generic_sla").clearance_mm) == (0.4, 0.25)
    assert {printer.process for printer in equipment.printers()} == {"FDM", "SLA", "SLS"}


def test_a_material_that_takes_steam_stays_in_shape_at_that_heat():
    for material in equipment.materials():
        assert material.autoclave_c is None or material.autoclave_c <= material.temperature_limit_c
    assert load_material("pla").autoclave_c is None
    assert load_material("surgical_guide").autoclave_c == 121


def test_every_printer_has_a_material_and_default_text_prints_on_the_plain_ones():
    for printer in equipment.printers():
        assert any(printer.process in material.processes for material in equipment.materials())
        assert printer.min_stroke_mm <= 0.8 or printer.nozzle_mm > 0.4


@pytest.mark.parametrize(
    ("load", "name", "message"),
    [
        (load_blade, "microtome_low", r"blade 'microtome_low': .*one of autopsy_knife.*mean 'microtome_low_profile'"),
        (load_printer, "Prusa-MK4S", r"printer 'Prusa-MK4S': .*or the path of a .yaml.*mean 'prusa_mk4'"),
        (load_material, "PETG ", r"material 'PETG ': .*mean 'petg'"),
        (load_material, "gold", r"material 'gold': .*none of that name\.$"),
    ],
)
def test_an_unknown_name_names_the_nearest(load, name, message):
    with pytest.raises(InputError, match=message):
        load(name)


def test_own_file(tmp_path):
    data = BLADE | {"thickness_mm": {"value": 0.9, "source": "caliper"}}
    blade = load_blade(written(tmp_path, data))
    assert (blade.name, blade.thickness_mm, blade.length_mm) == ("mine", 0.9, 200.0)
    assert (blade.source_of("thickness_mm"), blade.source_of("length_mm")) == ("caliper", "measured")
    assert load_printer(written(tmp_path, PRINTER)).max_overhang_deg == 45
    assert load_material(written(tmp_path, MATERIAL)).autoclave_c is None


@pytest.mark.parametrize(
    ("load", "base", "change", "message"),
    [
        (load_blade, BLADE, {"thickness_mm": 0}, "thickness_mm = 0: input should be greater than or equal to 0.05"),
        (load_blade, BLADE, {"thickness_mm": 40}, "less than or equal to 4"),
        (load_blade, BLADE, {"thickness_mm": None}, "thickness_mm = None: input should be a valid number"),
        (load_blade, BLADE, {"length_mm": float("nan")}, "finite"),
        (load_blade, BLADE, {"thicknes_mm": 1}, r"unknown key 'thicknes_mm' \(nearest: 'thickness_mm'\).*Known keys"),
        (load_blade, BLADE, {"name": "a/b"}, "name = 'a/b'"),
        (load_blade, BLADE, {"length_mm": {"value": 3, "origin": "x"}}, "unknown key 'length_mm.origin'"),
        (load_printer, PRINTER, {"bed_mm": [200, 200]}, "bed_mm.2 is missing"),
        (load_printer, PRINTER, {"bed_mm": [200, 200, -1]}, "bed_mm.2 = -1"),
        (load_printer, PRINTER, {"process": "CNC"}, "process = 'CNC'"),
        (load_printer, PRINTER, {"process": "SLA"}, "nozzle_mm is needed for FDM and for nothing else, found 0.4"),
        (load_printer, PRINTER, {"nozzle_mm": None}, "nozzle_mm is needed for FDM"),
        (load_material, MATERIAL, {"processes": []}, "processes"),
        (load_material, MATERIAL, {"density_g_cm3": 1200}, "density_g_cm3 = 1200"),
        (load_material, MATERIAL, {"autoclave_c": 300}, "autoclave_c = 300"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path, load, base, change, message):
    with pytest.raises(InputError, match=message):
        load(written(tmp_path, base | change))


def test_everything_wrong_is_listed_at_once(tmp_path):
    with pytest.raises(InputError, match=r"file mine.yaml: found 3 problems: title is missing; .*source.*length_mm"):
        load_blade(written(tmp_path, {"thickness_mm": 1, "length_mm": 1}))


@pytest.mark.parametrize(("text", "message"), [("- 1", "keys and values, found list"), ("a: [1", "YAML")])
def test_what_is_no_list_of_figures(tmp_path, text, message):
    path = tmp_path / "bad.yml"
    path.write_text(text)
    with pytest.raises(InputError, match=f"printer file bad.yml: expected {message}"):
        load_printer(path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"material file none.yaml: expected a readable file"):
        load_material(tmp_path / "none.yaml")


def test_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        load_blade("brain_knife").thickness_mm = 2.0


def fitting(**changes):
    return OpenBlock(**{"spacing_mm": 5.0, **changes})


@given(
    st.sampled_from(["stroke_mm", "engrave_mm", "slot_mm", "wall_mm", "cell_wall_mm", "min_rib_mm"]),
    st.floats(0.3, 3.0),
    st.sampled_from(equipment.printers()),
)
def test_a_size_is_refused_exactly_when_it_is_below_the_printers_least(key, size, printer):
    field = OpenBlock.model_fields[key]
    low = next(bound.ge for bound in field.metadata if hasattr(bound, "ge"))
    high = next(bound.le for bound in field.metadata if hasattr(bound, "le"))
    size = min(max(size, low), high)
    least = {"stroke_mm": "min_stroke_mm", "engrave_mm": "min_engrave_mm", "slot_mm": "min_slot_mm"}.get(key)
    bound = getattr(printer, least or "min_wall_mm")
    problems = [one for one in misfits(fitting(**{key: size}), None, printer, None) if one.startswith(key)]
    assert bool(problems) == (size < bound - 1e-9)
    if problems:
        assert f"at least {bound:g}" in problems[0]
        assert printer.process in problems[0]


def test_nothing_named_nothing_refused():
    assert misfits(fitting(slot_mm=0.3), None, None, None) == []


@given(st.sampled_from(equipment.printers()), st.sampled_from(equipment.materials()))
def test_a_material_goes_with_the_printers_of_its_process_only(printer, material):
    problems = misfits(fitting(stroke_mm=1.0), None, printer, material)
    assert bool(problems) == (printer.process not in material.processes)


@given(st.sampled_from(equipment.blades()), st.floats(0.3, 3.0))
def test_a_blade_must_go_through_its_slot(blade, slot):
    assert bool(misfits(fitting(slot_mm=slot), blade, None, None)) == (slot <= blade.thickness_mm)


@pytest.mark.parametrize(
    ("value", "key", "words"),
    [
        (None, "nozzle_mm", "none"),
        (True, "snap", "yes"),
        (0.4, "slot_mm", "0.4 mm"),
        (45.0, "max_overhang_deg", "45°"),
        (121.0, "autoclave_c", "121 °C"),
        (1.27, "density_g_cm3", "1.27 g/cm³"),
        ((250.0, 210.0, 220.0), "bed_mm", "250 × 210 × 220 mm"),
        ((5.0, 10.5, 16.0), "positions_mm", "5, 10.5, 16 mm"),
        ((), "positions_mm", "none"),
        ("", "blade", "none"),
        ("hull", "outline", "hull"),
    ],
)
def test_values_in_words(value, key, words):
    assert equipment.shown(value, key) == words


@pytest.mark.parametrize(
    ("name", "near"),
    [("Ovary", "ovary"), ("soft-tissue", "soft_tissue"), ("prostat", "prostate"), ("zzz", ""), ("", "")],
)
def test_nearest_name(name, near):
    assert _library.nearest(name, ["ovary", "soft_tissue", "prostate"]) == near
