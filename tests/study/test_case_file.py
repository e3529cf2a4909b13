"""case.yaml: read whole, mistakes told all at once with their lines, paths kept inside, folders taken as cases."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from comould.errors import InputError
from comould.study import CaseFolder
from comould.study.associate_options import AssociateOptions
from comould.study.case_file import Case, case_schema, merged, read_case
from comould.study.case_parts import HabitatsPart, MouldPart, RegistrationPart, SectionRow, TestsPart
from comould.study.examples import CASE_EXAMPLE
from comould.study.habitat_options import HabitatOptions
from comould.study.register_options import RegisterOptions

DOCS = Path(__file__).resolve().parents[2] / "docs" / "schema"
BASE = "pseudonym: P1\nimages: {T2: t2.nii}\nmask: mask.nii\n"


@pytest.fixture
def folder(tmp_path):
    case = tmp_path / "case"
    case.mkdir()
    for name in ("t2.nii", "mask.nii", "plan.json", "s1.png", "s1.h5ad", "model.json"):
        (case / name).touch()
    return case


def put(folder, text):
    (folder / "case.yaml").write_text(text)
    return folder / "case.yaml"


def problems(folder, text):
    with pytest.raises(InputError) as caught:
        read_case(put(folder, text))
    return str(caught.value)


def test_a_sound_case_is_read_with_its_paths(folder):
    case = read_case(
        put(
            folder,
            BASE + "slice_plan: plan.json\nsections:\n  - {id: S1, picture: s1.png, plane_id: P01, spots: s1.h5ad}\n",
        )
    )
    assert case.images == {"T2": folder / "t2.nii"}
    assert case.entries[0].files == {"picture": folder / "s1.png", "spots": folder / "s1.h5ad"}
    assert case.has_spots
    assert read_case(folder).pseudonym == "P1"


def test_all_mistakes_are_told_at_once_each_with_its_line(folder):
    text = """\
pseudonym: Jane Doe
images:
  T2: t2.nii
  ADC: ../adc.nii
mask: nothing.nii
mouldd: {}
habitats:
  n_habitat: 3
sections:
  - id: A
    picture: s1.png
    pixel_size_um: -1
  - id: 7
    picture: s1.png
    plane_id: P
tests: {fdr: 3, null: moran}
"""
    said = problems(folder, text)
    assert "found 9 problems" in said
    for part in (
        "line 1: pseudonym 'Jane Doe' is no name for a folder",
        "line 4: images.ADC '../adc.nii' is no relative path inside the folder; move it there, or set allow_outside",
        "line 5: mask 'nothing.nii' does not exist",
        "line 6: mouldd is no key here; did you mean mould?",
        "line 8: habitats.n_habitat is no key here; did you mean n_habitats?",
        "line 10: sections.0.plane_id is missing",
        "line 12: sections.0.pixel_size_um expected greater than 0, found -1",
        "line 13: sections.1.id expected text (in quotes), found 7",
        "line 16: tests.fdr expected less than 1, found 3",
    ):
        assert part in said
    assert said.startswith(f"case {folder / 'case.yaml'}: ")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("slice_plan: plan.json\nmould: {}\n", "line 4: slice_plan stands beside a mould"),
        ("sections: [{id: S, picture: s1.png, plane_id: P}]\n", "line 4: sections need cutting planes"),
        ("tests: {}\n", "line 4: tests need habitats; add habitats; line 4: tests need spots"),
        ("mould: {image: PET}\n", "line 4: mould.image 'PET' is none of T2"),
        ("habitats: {prepare: {PET: zscore}}\n", "line 4: habitats.prepare.PET is none of the images T2"),
        ("habitats: {bins: 1}\n", "bins 1 is not between 2 and 1024"),
        ("habitats: {labels: s1.png, bins: 8}\n", "has labels, so bins would do nothing"),
        ("mould: {settings: {spacing: 3}}\n", "spacing is no setting of a mould"),
        ("tests: {null: made_up}\n", "has null 'made_up', which is none of"),
        ("seed: -1\n", "line 4: seed expected greater than or equal to 0, found -1"),
        ("seed: .nan\n", "line 4: seed expected a whole number, found nan"),
        ("roi: true\n", "line 4: roi"),
        ("habitats: [1, 2]\n", "line 4: habitats expected name: value lines, found [1, 2]"),
        ("slice_plan: plan.json\nsections:\n- &a {id: S, picture: s1.png, plane_id: P}\n- *a\n",
         "sections.1.id 'S' is used twice"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_line(folder, more, said):
    assert said in problems(folder, BASE + more)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected name: value lines, found nothing"),
        ("- 1\n", "expected name: value lines, found something else"),
        ("a: [1,\nb: }\n", "expected YAML, found line 2"),
        ("a: 1\nb: 2\na: 3\n", "line 3: a stands there a second time"),
        ("a: {b: 1, b: 2}\n", "line 1: b stands there a second time"),
        ("a: !!python/object/apply:os.system [ls]\n", "expected YAML, found line 1"),
        ("? [1, 2]\n: 3\n", "expected YAML, found line 1: a key that is no word"),
        ("a: \x01\n", "expected YAML"),
        ("a: " + "[" * 3000, "expected YAML"),
        ("#" * (1 << 20) + "\n", "expected a YAML file of at most 1 MiB"),
    ],
)
def test_what_is_no_yaml_is_one_line(folder, text, said):
    found = problems(folder, text)
    assert said in found
    assert "\n" not in found


def test_bytes_that_are_no_text_and_no_file_at_all(folder, tmp_path):
    (folder / "case.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="bytes that are no UTF-8 text"):
        read_case(folder)
    with pytest.raises(InputError, match=r"no such file\. comould init"):
        read_case(tmp_path / "nowhere")
    with pytest.raises(InputError, match="neither in the folder"):
        read_case(tmp_path)


def test_paths_leave_the_folder_only_when_that_is_allowed(folder, tmp_path):
    (tmp_path / "far.nii").touch()
    (folder / "link.nii").symlink_to(tmp_path / "far.nii")
    for name, why in (("../far.nii", "is no relative path"), (str(tmp_path / "far.nii"), "is no relative path"),
                      ("link.nii", "is a link that leaves"), ("C:\\far.nii", "is no relative path")):  # fmt: skip
        text = f"pseudonym: P1\nimages: {{T2: '{name}'}}\nmask: mask.nii\n"
        assert why in problems(folder, text)
        if "C:" not in name:
            assert read_case(put(folder, text + "allow_outside: true\n")).images["T2"].exists()
    assert "does not exist" in problems(folder, BASE.replace("t2.nii", "../no.nii") + "allow_outside: true\n")


def test_a_case_folder_with_a_manifest_is_the_same_case(folder):
    row = {
        "id": "S1", "picture": "s1.png", "pixel_size_um": 2.0, "downsample": 4.0, "plane_id": "P01", "face": "-",
        "offset_mm": 0.5, "spots": "s1.h5ad", "landmarks": "t2.nii", "landmarks_patient": "mask.nii",
        "landmarks_use": "half", "via": [{"id": "V", "picture": "s1.png"}], "photo": {"id": "F", "picture": "s1.png"},
    }  # fmt: skip
    manifest = {"images": {"T2": "t2.nii"}, "mask": "mask.nii", "slice_plan": "plan.json", "sections": [row], "roi": 2}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    case, found = read_case(folder), CaseFolder.read(folder)
    assert (case.pseudonym, case.roi) == ("case", 2)
    assert case.as_folder(found.mask, found.slice_plan).sections == found.sections
    assert case.images == found.images


def test_parts_have_the_defaults_of_the_commands():
    habitats = HabitatsPart.model_validate({}).options(7)
    assert habitats == HabitatOptions(seed=7)
    told = RegistrationPart.model_validate({}).model_dump()
    assert set(told) | {"seed", "workers"} == {one.name for one in fields(RegisterOptions)}
    own = RegisterOptions()
    assert all(list(getattr(own, k)) == v if isinstance(v, list) else getattr(own, k) == v for k, v in told.items())
    tests = TestsPart.model_validate({}).model_dump()
    options = AssociateOptions()
    assert set(tests) | {"habitats", "mask", "others", "seed", "force"} == {
        one.name for one in fields(AssociateOptions)
    }
    for name, value in tests.items():
        found = getattr(options, name)
        assert (list(found) if isinstance(found, tuple) else found) == value


def test_sections_have_the_keys_of_the_manifest():
    from comould.study.case_folder import NAMED_PICTURES, SECTION_KEYS

    assert set(SectionRow.model_fields) == {*SECTION_KEYS, *NAMED_PICTURES}


def test_a_case_goes_before_its_studys_defaults():
    below = {"mould": {"template": "ovary", "settings": {"wall_mm": 5, "base_mm": 4}}, "habitats": {"bins": 8}}
    above = {"mould": {"settings": {"wall_mm": 6}}, "habitats": {"labels": "x"}}
    assert merged(below, above) == {
        "mould": {"template": "ovary", "settings": {"wall_mm": 6, "base_mm": 4}}, "habitats": {"labels": "x"},
    }  # fmt: skip
    assert "mould" not in merged(below, {"slice_plan": "p"})


def test_the_example_is_a_case_and_names_only_keys_there_are(folder):
    data = yaml.safe_load(CASE_EXAMPLE)
    assert set(data) <= set(Case.model_fields)
    (folder / "images").mkdir()
    for name in ("images/t2.nii.gz", "mask.nii.gz"):
        (folder / name).touch()
    assert read_case(put(folder, CASE_EXAMPLE)).mould == MouldPart.model_validate({"settings": {"spacing_mm": 5}})


def test_the_schema_is_published_as_it_is_now():
    assert json.loads((DOCS / "case.schema.json").read_text()) == case_schema()


def test_the_schema_takes_what_the_models_take(folder):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(yaml.safe_load(CASE_EXAMPLE), case_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"pseudonym": "P", "images": {}, "mask": "m"}, case_schema())
