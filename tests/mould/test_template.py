"""Templates: shipped, the user's own, their levels and equipment, and what is refused."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from comould.errors import ComouldWarning, InputError
from comould.mould import equipment, load_template, templates
from comould.mould.parameters import DESIGNS, Shell, TwoPart
from comould.mould.template import Template, designs

NAMES = {"brain", "kidney", "liver", "omentum", "ovary", "prostate", "soft_tissue", "uterus"}


def written(tmp_path, text, name="mine.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_every_shipped_template_loads_and_says_what_it_is_for():
    shipped = templates()
    assert {template.name for template in shipped} == NAMES
    assert all(template.title and template.sources for template in shipped)
    assert all(load_template(template.name) == template for template in shipped)
    assert {template.design for template in shipped} == set(DESIGNS)


def test_every_design_stands_on_its_own():
    assert {design.name for design in designs()} == set(DESIGNS)
    for design in designs():
        assert design.title
        assert (design.design, type(design.parameters)) == (design.name, DESIGNS[design.name])
        assert load_template(design.name) == design


def test_published_figures():
    found = {template.name: template for template in templates()}
    spacing = {name: template.spacing_mm for name, template in found.items()}
    assert (spacing["ovary"], spacing["kidney"], spacing["brain"], spacing["prostate"]) == (5, 10, 10, 6)
    assert (found["ovary"].slot_mm, found["kidney"].slot_mm, found["brain"].slot_mm) == (1.0, 1.5, 1.6)
    made_for = {name: template.design for name, template in found.items()}
    assert (made_for["kidney"], made_for["brain"], made_for["uterus"]) == ("slab_and_guide", "shell", "two_part")
    for template in (*templates(), *designs()):
        size = template.parameters
        assert size.guide_mm >= 5
        assert 5 <= size.slot_overhang_mm <= 10
        assert size.slot_below_mm >= 1.5
        assert size.slit_depth_mm == 2
        assert size.spacing_mm - size.slot_mm >= size.min_rib_mm


def test_rows_cover_every_parameter_with_unit_and_source():
    for template in templates():
        rows = template.rows()
        assert [row[0] for row in rows] == list(DESIGNS[template.design].model_fields) == list(template.sources)
        assert all(len(row) == 4 and all(row) for row in rows)
        assert all(row[1].endswith(" mm") or row[1] == "none" for row in rows if row[0].endswith("_mm"))
    assert "doi" in {row[0]: row[3] for row in load_template("ovary").rows()}["spacing_mm"]


def test_citations_nobody_could_confirm_say_so():
    for template in templates():
        for source in template.sources.values():
            for doi in ("10.1200/CCI.20.00026", "10.1097/NEN.0000000000000096"):
                assert doi not in source or f"{doi}: citation not verified" in source


def test_overrides_are_converted_and_marked():
    template = load_template("ovary", slot_mm="1.2", spacing_mm=None, wall_mm=6)
    assert (template.slot_mm, template.parameters.wall_mm, template.spacing_mm) == (1.2, 6.0, 5.0)
    assert template.sources["slot_mm"] == "user"
    assert "user" not in load_template("ovary").sources.values()
    again = load_template(template, wall_mm="7")
    assert (again.slot_mm, again.parameters.wall_mm) == (1.2, 7.0)
    assert load_template(template) is template


def test_a_template_made_by_hand_takes_overrides():
    mine = Template(name="mine", parameters=DESIGNS["open_block"](spacing_mm=9.0, wall_mm=6.5))
    template = load_template(mine, slot_mm=1.3)
    assert (template.spacing_mm, template.parameters.wall_mm, template.slot_mm) == (9.0, 6.5, 1.3)


LEVELS = st.fixed_dictionaries(
    {},
    optional={
        "wall_mm": st.sampled_from([2.5, 4.5, 6.0]),
        "base_mm": st.sampled_from([2.5, 3.5, 5.5]),
        "guide_mm": st.sampled_from([5.5, 9.0]),
    },
)


@given(LEVELS, LEVELS)
def test_the_last_level_that_gives_a_value_has_it(first, second):
    bare = load_template("open_block")
    both = load_template(load_template("open_block", **first), **second)
    for key in ("wall_mm", "base_mm", "guide_mm"):
        wanted = {**first, **second}.get(key, getattr(bare.parameters, key))
        assert getattr(both.parameters, key) == wanted
        assert both.sources[key] == ("user" if key in first or key in second else bare.sources[key])
    assert both.parameters == load_template("open_block", **{**first, **second}).parameters


@pytest.mark.parametrize("organ", sorted(NAMES))
@pytest.mark.parametrize("design", sorted(DESIGNS))
@pytest.mark.filterwarnings("ignore::comould.errors.ComouldWarning")
def test_every_organ_goes_into_every_design(organ, design):
    template = load_template(organ, design=design)
    assert type(template.parameters) is DESIGNS[design]
    assert template.spacing_mm == load_template(organ).spacing_mm


def test_another_design_brings_its_own_values_and_drops_what_it_does_not_know(tmp_path):
    shell = load_template("ovary", design="shell")
    assert isinstance(shell.parameters, Shell)
    assert (shell.parameters.wall_mm, shell.spacing_mm, shell.slot_mm) == (3.0, 5.0, 1.0)
    assert isinstance(load_template("ovary", design="two_part", clamp_mm=0).parameters, TwoPart)
    path = written(tmp_path, "design: two_part\nparameters: {clamp_mm: 4, pin_mm: 6, wall_mm: 4}")
    with pytest.warns(ComouldWarning, match=r"template 'mine': design open_block has no clamp_mm, pin_mm; dropped"):
        block = load_template(path, design="open_block")
    assert block.parameters.wall_mm == 4
    with pytest.raises(InputError, match=r"unknown key 'clamp_mm'.*Known keys: design, spacing_mm"):
        load_template("ovary", clamp_mm=4)
    with pytest.raises(InputError, match=r"expected design to be one of open_block.*'two-part'.*mean 'two_part'"):
        load_template("ovary", design="two-part")


# Equipment


def test_a_blade_and_a_printer_make_the_slot():
    template = load_template("ovary", blade="microtome_low_profile", printer="generic_sla")
    assert template.slot_mm == pytest.approx(0.55)
    assert template.sources["slot_mm"] == "blade microtome_low_profile 0.25 mm + printer generic_sla allowance 0.3 mm"
    assert (template.blade.name, template.printer.process, template.material) == ("microtome_low_profile", "SLA", None)
    explicit = load_template("ovary", blade="microtome_low_profile", printer="generic_sla", slot_mm=0.9)
    assert (explicit.slot_mm, explicit.sources["slot_mm"]) == (0.9, "user")
    assert load_template(explicit, printer="generic_fdm").slot_mm == 0.9
    assert load_template(explicit, blade="trimming_130").slot_mm == pytest.approx(0.9)
    assert load_template(template, printer="generic_fdm").slot_mm == pytest.approx(0.65)
    assert load_template("ovary", printer="generic_sla").slot_mm == 1.0


@pytest.mark.parametrize(
    ("blade", "printer"), list(itertools.product(equipment.blades(), equipment.printers())), ids=lambda one: one.name
)
def test_every_pair_of_blade_and_printer(blade, printer):
    template = load_template("kidney", blade=blade, printer=printer, stroke_mm=1.0)
    assert template.slot_mm == pytest.approx(max(blade.thickness_mm + printer.slot_allowance_mm, printer.min_slot_mm))
    assert template.clearance_mm == printer.clearance_mm
    assert template.parameters.pin_clearance_mm == printer.pin_clearance_mm
    assert (template.parameters.blade, template.parameters.printer) == (blade.name, printer.name)


def test_a_blade_without_a_printer_is_told():
    with pytest.warns(ComouldWarning, match=r"slot_mm: 1 mm for blade trimming_130, with 0.4 mm allowance"):
        template = load_template("kidney", blade="trimming_130")
    assert template.slot_mm == 1.0
    assert "no printer named" in template.sources["slot_mm"]


def test_clearance_is_the_printers_unless_the_tissue_has_a_reason():
    assert load_template("ovary").clearance_mm == 0.4
    assert load_template("ovary", printer="generic_sla").clearance_mm == 0.25
    assert load_template("ovary", printer="generic_sla").sources["clearance_mm"].startswith("printer generic_sla: ")
    assert load_template("omentum", printer="generic_sla").clearance_mm == 0.8
    assert load_template("ovary", printer="generic_sla", clearance_mm=0.3).clearance_mm == 0.3
    assert load_template("kidney", printer="generic_sla").parameters.pin_clearance_mm == 0.15


def test_levels_of_files(tmp_path):
    """A slot given at the blade's own level holds; one given below it does not."""
    same = written(tmp_path, "base: ovary\nparameters: {blade: trimming_130, slot_mm: 1.4}", "same.yaml")
    assert load_template(same, printer="prusa_mk4").slot_mm == 1.4
    later = written(tmp_path, "base: ovary\nparameters: {blade: autopsy_knife, printer: prusa_mk4}", "later.yaml")
    assert load_template(later).slot_mm == pytest.approx(1.5)


def test_equipment_of_ones_own_leaves_no_path(tmp_path):
    knife = written(tmp_path, "title: Knife\nsource: caliper\nthickness_mm: 0.9\nlength_mm: 200", "my_knife.yaml")
    template = load_template("ovary", blade=knife, printer="prusa_mk4", material="petg")
    assert (template.parameters.blade, template.slot_mm) == ("my_knife", pytest.approx(1.3))
    assert str(tmp_path) not in str(template.parameters) + str(template.sources)
    assert template.material.density_g_cm3 == 1.27


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"printer": "generic_fdm_06"}, r"stroke_mm 0.8 is too small for FDM on printer generic_fdm_06: at least 1 "),
        ({"printer": "prusa_mk4", "min_rib_mm": 1.0}, "min_rib_mm 1 is too small for FDM on printer prusa_mk4"),
        ({"printer": "prusa_mk4", "cell_wall_mm": 1.1}, "cell_wall_mm 1.1 is too small for FDM .*at least 1.2"),
        ({"printer": "prusa_mk4", "slot_mm": 0.4}, "slot_mm 0.4 is too small for FDM"),
        ({"printer": "prusa_mk4", "drain_mm": 1.5}, "drain_mm 1.5 is too small for FDM"),
        ({"printer": "prusa_mk4", "bridge_mm": 14}, "bridge_mm 14 is too wide for FDM .*at most 10"),
        ({"printer": "formlabs_fuse1", "engrave_mm": 0.4}, "engrave_mm 0.4 is too small for SLS"),
        ({"blade": "autopsy_knife", "slot_mm": 1.0}, "slot_mm 1 is too narrow for blade autopsy_knife, 1.1 mm thick"),
        ({"printer": "prusa_mk4", "material": "surgical_guide"}, "surgical_guide is printed by SLA, printer .* is FDM"),
        ({"stroke_mm": 1.2}, "digit_mm 5 is too low to be read with strokes of 1.2 mm: at least 6"),
        ({"printer": "generic_fdm_06", "cell_wall_mm": 1}, "2 problems: stroke_mm 0.8 .*; cell_wall_mm 1 "),
        ({"printer": "prusa"}, "printer 'prusa': .*Did you mean 'prusa_mk4'"),
        ({"material": 7}, "material '7': .*none of that name"),
    ],
)
def test_what_the_process_or_the_blade_cannot_do_is_refused(overrides, message):
    with pytest.raises(InputError, match=message):
        load_template("ovary", **overrides)


def test_a_size_of_nought_is_no_size():
    assert load_template("ovary", printer="prusa_mk4", drain_mm=0).parameters.drain_mm == 0
    assert load_template("ovary", printer="formlabs_fuse1", bridge_mm=18).parameters.bridge_mm == 18
    assert load_template("ovary", printer="prusa_mk4", bridge_mm=18, hollow="false").parameters.hollow is False


def test_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        load_template("ovary").parameters.slot_mm = 2.0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"slot_mmm": 1}, r"unknown key 'slot_mmm' \(nearest: 'slot_mm'\).*Known keys: design, spacing_mm"),
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
    with pytest.raises(InputError, match=r"'ovarry'.*one of brain, kidney.*a design \(open_block.*mean 'ovary'"):
        load_template("ovarry")
    with pytest.raises(InputError, match=r"Did you mean 'soft_tissue'"):
        load_template("Soft-Tissue")


def test_own_file(tmp_path):
    path = written(tmp_path, "title: Spleen\nparameters:\n  spacing_mm: {value: 7, source: local}\n  slot_mm: 1.1\n")
    template = load_template(path, wall_mm=7)
    assert (template.name, template.title, template.design) == ("mine", "Spleen", "open_block")
    assert (template.spacing_mm, template.slot_mm) == (7.0, 1.1)
    sources = template.sources
    assert (sources["spacing_mm"], sources["slot_mm"], sources["wall_mm"]) == ("local", "template mine", "user")
    assert "doi" in sources["base_mm"]
    assert sources["snap"] == "comould default"


def test_own_file_on_a_base(tmp_path):
    written(tmp_path, "base: omentum\ntitle: Thick fat\nparameters: {clearance_mm: 1.2}", "fat.yaml")
    path = written(tmp_path, "base: fat.yaml\nparameters: {spacing_mm: 8}", "thicker.yaml")
    template = load_template(path)
    assert (template.name, template.title, template.design) == ("thicker", "Thick fat", "shell")
    assert (template.spacing_mm, template.clearance_mm, template.parameters.slot_overhang_mm) == (8, 1.2, 10)
    bare = load_template(written(tmp_path, "base: two_part", "bare.yaml"))
    assert (bare.design, bare.parameters) == ("two_part", load_template("two_part").parameters)


def test_a_base_that_leads_back(tmp_path):
    written(tmp_path, "base: b.yaml", "a.yaml")
    path = written(tmp_path, "base: a.yaml", "b.yaml")
    with pytest.raises(InputError, match=r"expected another template as its base, found 'b.yaml', which leads back"):
        load_template(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parameters: {slot: 1}", "unknown key 'slot'"),
        ("parameter: {slot_mm: 1}", "unknown key 'parameter' .*nearest: 'parameters'"),
        ("parameters: [1, 2]", "parameters as keys and values, found list"),
        ("- 1", "keys and values, found list"),
        ("a: [1", "YAML"),
        ("design: clamshell", "design = 'clamshell'"),
        ("design: shell\nparameters: {pin_mm: 4}", "unknown key 'pin_mm'"),
        ("design: shell\nparameters: {wall_mm: 20}", "template file bad.yaml: .*wall_mm = 20"),
        ("base: ovarry", "template 'ovarry'.*mean 'ovary'"),
        ("parameters: {slot_mm: {value: 1, origin: x}}", "unknown key 'slot_mm.origin'"),
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
