"""A case folder is checked as a whole: every mistake is named at once, and no path leads out of it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from comould.errors import InputError
from comould.space import CutPlane, Grid, SlicePlan
from comould.study import CaseFolder
from comould.study.case_folder import safe_stem
from comould.study.load_case import load_case, read_picture

ROW = {"id": "S1", "picture": "a.png", "pixel_size_um": 10.0, "plane_id": "P1"}
FILES = {"images": {"T2": "t2.nii.gz"}, "mask": "mask.nii.gz", "slice_plan": "plan.json"}


@pytest.fixture
def make(tmp_path):
    """A folder whose manifest the test has changed."""

    def made(**changes):
        folder = tmp_path / "case"
        folder.mkdir(exist_ok=True)
        for name in ("t2.nii.gz", "mask.nii.gz", "plan.json", "a.png", "b.csv", "c.csv"):
            (folder / name).write_bytes(b"x")
        data = FILES | {"sections": [dict(ROW)]} | changes
        (folder / "manifest.json").write_text(json.dumps(data))
        return folder

    return made


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Files that can be read: a box of tissue, two planes, a picture reduced four times, landmarks."""
    from comould.io import write_image

    folder = tmp_path_factory.mktemp("real") / "case"
    folder.mkdir()
    grid = Grid((20, 18, 10), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
    inside = np.zeros(grid.shape, np.uint8)
    inside[2:8, 4:14, 4:16] = 1
    noise = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    write_image(grid.to_image(noise), folder / "t2.nii.gz")
    write_image(grid.to_image(inside), folder / "mask.nii.gz")
    SlicePlan(tuple(CutPlane.from_normal(f"P{n}", (10, 9, 4.0 + 4 * n), (0, 0, 1)) for n in (1, 2))).save(
        folder / "plan.json"
    )
    picture = np.full((40, 50, 3), 240, np.uint8)
    picture[10:30, 10:40] = (180, 80, 140)
    Image.fromarray(picture).save(folder / "a.png")
    (folder / "px.csv").write_text("name,x,y\n" + "".join(f"L{n},{40 + 9 * n},{60 + 7 * n * n}\n" for n in range(6)))
    (folder / "mm.csv").write_text("name,x,y,z\n" + "".join(f"L{n},{5 + n},{6 + n % 3},8\n" for n in range(6)))
    return folder


def write(folder, *rows, **changes):
    (folder / "manifest.json").write_text(json.dumps(FILES | {"sections": list(rows)} | changes))
    return CaseFolder.read(folder)


def test_what_is_right_is_read(make):
    row = ROW | {"downsample": 4, "face": "+", "offset_mm": -0.3, "spots": "b.csv", "landmarks": "b.csv"}
    row |= {"landmarks_patient": "c.csv", "landmarks_use": "half", "via": [{"id": "H", "picture": "a.png"}]}
    row |= {"photo": ROW | {"id": "foto"}}
    case = CaseFolder.read(make(sections=[row], roi="Tumour", simulated=True, anything="else"))
    (section,) = case.sections
    assert (section.picture.downsample, section.picture.face, section.picture.offset_mm) == (4.0, "+", -0.3)
    assert section.landmarks_use == "half"
    assert [step.id for step in section.via] == ["H"]
    assert list(section.named) == ["photo"]
    assert case.roi == "Tumour"
    assert case.simulated
    assert set(case.inputs) == {
        "image T2", "mask", "slice_plan", "S1 picture", "S1 spots", "S1 landmarks", "S1 landmarks_patient",
        "S1 picture H", "S1 picture foto",
    }  # fmt: skip
    assert all(path.is_file() for path in case.inputs.values())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"picture": "../a.png"}, r"picture '\.\./a\.png' is no relative path inside the folder"),
        ({"picture": "/etc/passwd"}, r"'/etc/passwd' is no relative path"),
        ({"picture": "C:/a.png"}, r"'C:/a\.png' is no relative path"),
        ({"picture": "b\\a.png"}, r"is no relative path"),
        ({"picture": "nowhere.png"}, r"section 1 \(S1\): picture 'nowhere\.png' does not exist"),
        ({"picture": "a\0.png"}, r"is no path"),
        ({"picture": None}, r"section 1 \(S1\) has no picture"),
        ({"picture": 5}, r"picture 5 is no path"),
        ({"pixel_size_um": 0}, r"pixel_size_um 0 is no positive number"),
        ({"pixel_size_um": float("nan")}, r"pixel_size_um nan is no positive number"),
        ({"pixel_size_um": True}, r"pixel_size_um True is no positive number"),
        ({"downsample": "4"}, r"downsample '4' is no positive number"),
        ({"pixel_size_um": None, "downsample": 4}, r"a downsample but no pixel_size_um"),
        ({"offset_mm": float("inf")}, r"offset_mm inf is no number"),
        ({"face": "up"}, r"face 'up' is not '-', '\+' or null"),
        ({"plane_id": None}, r"has no plane_id"),
        ({"plane_id": 3}, r"plane_id 3 is no text"),
        ({"id": ""}, r"section 1 has no id of 1 to 64 printable characters"),
        ({"id": "a\nb"}, r"no id of 1 to 64 printable"),
        ({"plane": "P1"}, r"keys that mean nothing: plane"),
        ({"landmarks": "b.csv"}, r"landmarks and landmarks_patient go together"),
        ({"landmarks_use": "both"}, r"landmarks_use 'both' is none of held_out, fit, only, half"),
        ({"via": "a.png"}, r"via is no list of pictures"),
        ({"via": [3]}, r"via 1 is no object"),
        ({"via": [{"id": "H", "picture": "../x"}]}, r"via 1 \(H\): picture"),
        ({"photo": {"id": "F"}}, r"photo \(F\) has no picture"),
    ],
)
def test_each_mistake_in_a_section_has_its_line(make, change, match):
    with pytest.raises(InputError, match=match):
        CaseFolder.read(make(sections=[ROW | change]))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"images": {}}, r"images is no list of name: path"),
        ({"images": {"specimen": "t2.nii.gz"}}, r"image name 'specimen'"),
        ({"images": {"T2": "t2.nii.gz", "t2": "t2.nii.gz"}}, r"image name 't2'"),
        ({"images": {"a/b": "t2.nii.gz"}}, r"image name 'a/b'"),
        ({"mask": None}, r"manifest has no mask"),
        ({"slice_plan": "plan.yaml"}, r"slice_plan 'plan\.yaml' does not exist"),
        ({"sections": []}, r"sections is no list of sections"),
        ({"sections": {"S1": {}}}, r"sections is no list of sections"),
        ({"sections": ["S1"]}, r"section 1 is no object"),
        ({"roi": [1]}, r"roi \[1\] is no number or name"),
        ({"sections": [ROW, ROW]}, r"id 'S1' is used twice"),
        ({"sections": [ROW | {"id": "S/1"}, ROW | {"id": "s_1"}]}, r"ids 'S/1' and 's_1' give one file name"),
    ],
)
def test_each_mistake_of_the_manifest_has_its_line(make, change, match):
    with pytest.raises(InputError, match=match):
        CaseFolder.read(make(**change))


def test_all_mistakes_are_told_at_once_in_one_line(make):
    rows = [ROW | {"face": "x"}, ROW | {"id": "S2", "picture": "no.png"}, {"id": "S3"}]
    with pytest.raises(InputError, match=r"6 problems") as told:
        CaseFolder.read(make(sections=rows, mask="gone.nii", images=None))
    assert "\n" not in str(told.value)
    assert told.value.exit_code == 2


def test_links_may_stay_inside_but_not_leave(make, tmp_path):
    folder = make()
    (tmp_path / "secret.png").write_bytes(b"x")
    (folder / "in.png").symlink_to(folder / "a.png")
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    assert CaseFolder.read(make(sections=[ROW | {"picture": "in.png"}])).sections[0].id == "S1"
    with pytest.raises(InputError, match=r"'out\.png' is a link that leaves the folder"):
        CaseFolder.read(make(sections=[ROW | {"picture": "out.png"}]))


@pytest.mark.parametrize(("text", "match"), [("{", "can be read"), ("[1]", "JSON object"), ("\xff", "can be read")])
def test_manifests_that_are_none(tmp_path, text, match):
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=match):
        CaseFolder.read(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        CaseFolder.read(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no manifest\.json in it"):
        CaseFolder.read(tmp_path / "empty")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(JSON, st.sampled_from([*ROW, "via", "face", "spots", "photo", "downsample"]))
def test_no_value_breaks_the_check(tmp_path_factory, value, key):
    folder = tmp_path_factory.mktemp("any")
    data = {"images": value, "sections": [ROW | {key: value}], "mask": value}
    (folder / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="problem"):
        CaseFolder.read(folder)


def test_ids_become_file_names():
    assert [safe_stem(text) for text in ("S-P01", "a/b c", "..", "é")] == ["S-P01", "a_b_c", "_", "_"]


def test_reduced_pictures_keep_full_resolution_pixels(real):
    case = write(real, ROW | {"downsample": 4.0, "plane_id": "P1"})
    section = read_picture(case.sections[0].picture)
    assert section.pixel_size_um == pytest.approx(10.0)
    assert section.extent_px == pytest.approx((200.0, 160.0))
    # The centre of the picture's last pixel, at full resolution.
    at = section.section_mm_from_section_px.apply([[49.5 * 4 - 0.5, 0.0]])
    assert at[0, 0] == pytest.approx((49.5 * 4 - 0.5) * 0.01)


def test_files_are_read_with_their_clues(real):
    marks = {"landmarks": "px.csv", "landmarks_patient": "mm.csv"}
    rows = [
        ROW | marks | {"id": use, "plane_id": "P1", "landmarks_use": use} for use in ("held_out", "fit", "only", "half")
    ]
    rows.append(ROW | {"id": "by", "photo": {"id": "F", "picture": "a.png", "pixel_size_um": 10}})
    loaded = load_case(write(real, *rows), via=("photo",))
    clues = loaded.clues
    assert [one.id for one in loaded.sections] == ["held_out", "fit", "only", "half", "by"]
    assert (clues["held_out"].landmarks, len(clues["held_out"].held_out)) == (None, 6)
    assert (len(clues["fit"].landmarks), clues["fit"].held_out, clues["fit"].landmarks_only) == (6, None, False)
    assert clues["only"].landmarks_only
    assert sorted(clues["half"].landmarks.names + clues["half"].held_out.names) == [f"L{n}" for n in range(6)]
    assert [one.id for one in clues["by"].via] == ["F"]
    assert set(loaded.images) == {"T2"}
    assert "by" not in load_case(write(real, *rows)).clues


def test_everything_that_cannot_be_read_is_told_at_once(real):
    rows = [
        ROW | {"id": "A", "plane_id": "P9"},
        ROW | {"id": "B", "picture": "px.csv"},
        ROW | {"id": "C", "spots": "plan.json"},
        ROW | {"id": "D", "landmarks": "plan.json", "landmarks_patient": "mm.csv"},
        ROW | {"id": "E", "landmarks": "px.csv", "landmarks_patient": "mm.csv", "landmarks_use": "fit",
               "via": [{"id": "F", "picture": "a.png", "pixel_size_um": 10}]},
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"section 'A' has plane_id 'P9', not in the plan") as told:
        load_case(write(real, *rows, images={"T2": "a.png"}))
    text = str(told.value)
    assert "6 problems" in text
    assert "\n" not in text
    assert str(real) not in text
    for said in ("px.csv", "plan.json", "held out when it comes home over other pictures"):
        assert said in text
