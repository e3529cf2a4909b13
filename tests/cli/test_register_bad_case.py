"""``comould register`` with cases that cannot be registered: one line, a non-zero exit code, nothing written."""

import pytest
from typer.testing import CliRunner

import comould.register
from comould.cli.app import app
from comould.study.case_folder import CaseFolder
from comould.study.load_case import load_case


@pytest.fixture
def refused(small_case, tmp_path, monkeypatch):
    """Run the command on the case; nothing may be registered, and nothing may be left."""

    def stack(*_args, **_options):
        pytest.fail("sections were registered")

    monkeypatch.setattr(comould.register, "stack", stack)

    def run(*args):
        before = sorted(tmp_path.rglob("*"))
        done = CliRunner().invoke(app, ["register", str(small_case.folder), "--out", str(tmp_path / "out"), *args])
        assert done.exit_code == 2, done.output
        (line,) = [text for text in done.stderr.splitlines() if "Error:" in text]
        assert "Traceback" not in done.output
        assert sorted(tmp_path.rglob("*")) == before
        return line

    return run


def test_the_sound_case_is_read(sound_case):
    loaded = load_case(CaseFolder.read(sound_case))
    assert [len(spots) for spots in loaded.spots.values()] == [121, 121]
    assert set(loaded.clues) == {"S1", "S2"}


def test_a_plane_that_is_not_in_the_plan(small_case, refused):
    small_case.section(1, plane_id="P07")
    assert "section 'S2' has plane_id 'P07', not in the plan" in refused()


def test_a_plane_beside_the_specimen(small_case, refused):
    small_case.section(1, plane_id="P99")
    assert "1 problem: cut plane 'P99': expected a plane through the specimen" in refused()
    small_case.section(1, plane_id="P03", offset_mm=9.0)
    assert "cut plane 'P03' at offset 9 mm" in refused()


def test_a_blank_slide(small_case, refused):
    small_case.blank("S2")
    line = refused()
    assert "1 problem: section 'S2': expected tissue on an empty background, found a blank slide" in line


def test_a_blank_picture_on_the_way(small_case, refused):
    small_case.blank("S2")
    step = {"id": "HE", "picture": "S2.png", "pixel_size_um": 100.0}
    small_case.manifest(lambda data: data.update(sections=[data["sections"][0] | {"adjacent": step}]))
    assert "section 'HE': expected tissue on an empty background, found a blank slide" in refused("--via", "adjacent")


def test_spots_and_landmarks_that_are_no_numbers(small_case, refused):
    small_case.spots("S1", lambda spots: spots.obsm["spatial"].__setitem__(7, float("nan")))
    small_case.table("S2_px.csv", lambda table: table.__setitem__("x", [80.0, float("nan"), 90, 150]))
    small_case.table("S1_mm.csv", lambda table: table.__setitem__("z", [0.0, 0, float("inf"), 0]))
    line = refused()
    assert "3 problems" in line
    assert "S1.h5ad: found 1 problem: 1 spots have a position that is not a number" in line
    assert "S2_px.csv" in line
    assert "S1_mm.csv" in line


def test_spots_outside_the_picture(small_case, refused):
    small_case.spots("S2", lambda spots: spots.obsm.update(spatial=spots.obsm["spatial"] + 150.0))
    line = refused()
    assert "picture and spots of section 'S2': expected spots on the picture (240 × 240 full-resolution px)" in line
    assert "of 121 outside, up to x 320, y 320" in line


@pytest.mark.parametrize(("size", "good"), [(102.0, True), (104.0, False), (1000.0, False)])
def test_spots_that_count_other_pixels(size, good, small_case, refused):
    # Once the manifest states the size, once the picture itself does.
    small_case.spots("S2", lambda spots: spots.uns["comould"].update(pixel_size_um=size))
    if good:
        assert len(load_case(CaseFolder.read(small_case.folder)).spots["S2"]) == 121
        return
    line = refused()
    assert f"{size:.4g} µm" in line
    assert "100 µm" in line


@pytest.mark.parametrize("size", [0.52, 5.0])
def test_spots_that_count_other_pixels_than_the_slide_says(size, small_case, refused):
    import numpy as np
    import tifffile
    from PIL import Image

    pixels = np.asarray(Image.open(small_case.folder / "S1.png"))
    tifffile.imwrite(
        small_case.folder / "S1.ome.tiff", pixels, photometric="rgb",
        metadata={"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeXUnit": "µm",
                  "PhysicalSizeYUnit": "µm"},
    )  # fmt: skip
    small_case.section(0, picture="S1.ome.tiff", pixel_size_um=None)
    small_case.spots("S1", lambda spots: spots.uns["comould"].update(pixel_size_um=size))
    assert f"found 0.5 µm in the picture and {size:g} µm for the spots" in refused()


def test_everything_that_is_wrong_is_told_at_once(small_case, refused):
    small_case.blank("S1")
    small_case.section(1, plane_id="P99")
    small_case.table("S2_px.csv", lambda table: table.__setitem__("name", list("aacd")))
    line = refused()
    assert "3 problems" in line
    assert all(text in line for text in ("found a blank slide", "'P99'", "names used more than once: a"))


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_a_folder_that_somebody_else_filled_stays_as_it_is(overwrite, refused, tmp_path):
    # What a run that was broken off by hand may look like: results, but no manifest.
    (tmp_path / "out" / "registrations").mkdir(parents=True)
    (tmp_path / "out" / "registration.csv").write_text("section\n")
    line = refused(*overwrite)
    assert "which overwriting would delete" in line if overwrite else "found files in it" in line
    assert (tmp_path / "out" / "registration.csv").read_text() == "section\n"


def test_a_file_in_place_of_the_folder(refused, tmp_path):
    (tmp_path / "out").write_text("notes")
    assert "expected a folder name, found a file" in refused()


def test_a_failed_run_leaves_an_earlier_result_alone(small_case, refused, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text("{}")
    small_case.blank("S1")
    assert "a blank slide" in refused("--overwrite")
    assert (tmp_path / "out" / "manifest.json").read_text() == "{}"
