"""A mould for each of several lesions, told apart by number and side."""

import json

import numpy as np
import pytest

from comould.errors import InputError
from comould.mould import build_each, check

pytestmark = pytest.mark.filterwarnings("ignore::comould.errors.ComouldWarning")


@pytest.fixture(scope="module")
def ovaries(shapes):
    """Left 15 mm, right 11 mm, 70 mm apart."""

    def two(points):
        return np.minimum(shapes.ball(points, 15.0, (35, 0, 0)), shapes.ball(points, 11.0, (-35, 3, 0)))

    return shapes.sampled(two, (54, 18, 18), (1, 1, 2))


@pytest.fixture(scope="module")
def pair(ovaries):
    return build_each(ovaries, spacing_mm=8, mould_id="T17")


def test_one_mould_each_by_falling_volume(pair):
    assert list(pair.moulds) == ["1", "2"]
    volumes = [mould.report["volumes_ml"]["specimen"] for mould in pair.moulds.values()]
    assert volumes[0] > volumes[1]
    assert volumes == pytest.approx([14.1, 5.6], rel=0.03)
    for mould in pair.moulds.values():
        report = check(mould.bodies["mould"])
        assert (report.watertight, report.bodies) == (True, 1)


def test_engraved_names_tell_them_apart(pair):
    for number, mould in pair.moulds.items():
        assert mould.report["mould_id"] == f"T17-{number}"
        engraved = [mark["text"] for mark in mould.report["marks"] if mark["kind"] == "id"]
        assert engraved in ([f"T17-{number}"], [])


def test_key_says_the_side(pair):
    key = pair.key()
    assert [entry["place"] for entry in key] == ["L", "R"]
    assert [entry["mould_id"] for entry in key] == ["T17-1", "T17-2"]
    middles = np.array([entry["centre_patient_mm"] for entry in key])
    assert middles == pytest.approx(np.array([[46, -23, 47], [-24, -20, 47]]), abs=1.0)


def test_sides_come_from_the_patient_not_from_the_array(shapes):
    """The same lesions, stored with the first axis running to the right: sides stay."""
    import SimpleITK as sitk

    def two(points):
        return np.minimum(shapes.ball(points, 13.0, (30, 0, 0)), shapes.ball(points, 11.0, (-30, 0, 0)))

    image = sitk.Flip(shapes.sampled(two, (46, 15, 15), (1.2, 1.2, 2.4)), (True, True, False))
    assert image.GetDirection()[0] < 0
    assert [entry["place"] for entry in build_each(image, spacing_mm=12).key()] == ["L", "R"]


def test_files(pair, tmp_path):
    told = []
    out = pair.write(tmp_path / "moulds", extras=lambda n, mould: [lambda folder: told.append((n, folder.name))])
    assert {path.name for path in out.iterdir()} == {"1", "2", "key.json"}
    assert told == [("1", told[0][1]), ("2", told[1][1])]
    key = json.loads((out / "key.json").read_text())
    assert (key["format"], key["frame"], key["orientation"], key["units"]) == (
        "comould.mould_key",
        "patient",
        "LPS",
        "mm",
    )
    assert [entry["number"] for entry in key["moulds"]] == ["1", "2"]
    for entry in key["moulds"]:
        manifest = json.loads((out / entry["number"] / "manifest.json").read_text())
        assert manifest["mould_id"] == entry["mould_id"]
        assert (out / entry["number"] / "mould.stl").stat().st_size > 10_000
    with pytest.raises(InputError, match="overwrite"):
        pair.write(out)


def test_made_up_name_is_shared_and_repeats(ovaries):
    one, other = (build_each(ovaries, spacing_mm=20) for _ in range(2))
    assert one.name == other.name
    assert [m.report["mould_id"] for m in one.moulds.values()] == [f"{one.name}-1", f"{one.name}-2"]


def test_a_single_lesion_has_no_side(shapes):
    image = shapes.sampled(lambda p: shapes.ball(p, 12.0), 14.0, (1.2, 1.2, 2.4))
    alone = build_each(image, spacing_mm=10)
    assert [entry["place"] for entry in alone.key()] == [""]


def test_lesion_cannot_be_chosen(ovaries):
    with pytest.raises(InputError, match="lesion: expected none: every lesion gets a mould"):
        build_each(ovaries, lesion="largest")
