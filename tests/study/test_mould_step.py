"""The mould of a case file: what lies beside it, what it stands on, and what its habitats may change."""

import json
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from comould.errors import InputError
from comould.mould import CoreOptions
from comould.space import Grid
from comould.study.case_file import read_case
from comould.study.case_parts import CoresPart
from comould.study.pipeline import Choice, look_ahead, run_case

pytestmark = pytest.mark.filterwarnings("ignore")
SETTINGS = {"spacing_mm": 8, "up": "anterior"}
SHAPE = (16, 32, 32)


def write_case(quick, folder, mould, **changes):
    """Write an egg of two habitats, right and left of the middle; a vein leaves it to the left, a stalk backwards."""
    path = quick.without_tissue(folder, slice_plan=None, mould={"settings": SETTINGS} | mould, **changes)
    grid = Grid(SHAPE[::-1], (1.0, 1.0, 2.0), (-15.5, -15.5, -15.0))
    z, y, x = np.indices(SHAPE)
    at = grid.patient_from_index(np.column_stack([x.ravel(), y.ravel(), z.ravel()])).reshape(*SHAPE, 3)
    egg = ((at / (14.0, 12.0, 14.0)) ** 2).sum(axis=-1) <= 1.0
    vein = (np.hypot(at[..., 1], at[..., 2]) < 3.0) & (at[..., 0] > 11.0)
    stalk = (np.hypot(at[..., 0], at[..., 2]) < 3.0) & (at[..., 1] > 9.0) & ~egg
    halves = np.where(at[..., 0] < 0, 1, 2) * egg
    arrays = {"mask": egg, "labels": halves, "vein": vein, "regions": np.where(egg, 1, 2 * stalk)}
    for name, array in arrays.items():
        sitk.WriteImage(grid.to_image(array.astype(np.uint8)), str(folder / f"{name}.nii.gz"))
    noise = np.random.default_rng(0).normal(size=SHAPE)
    sitk.WriteImage(grid.to_image((100.0 * halves + noise).astype(np.float32)), str(folder / "t2.nii.gz"))
    return path


def mould_of(path, out):
    outcome = run_case(read_case(path), out, choice=Choice(only=("mould",)))
    assert outcome.ok, outcome.failed
    return out / path.parent.name / "mould"


@pytest.fixture(scope="module")
def full(quick, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mould")
    rows = [
        {"name": "vein", "file": "vein.nii.gz", "role": "window"},
        {"name": "stalk", "roi": 2, "colour": "#123456"},
    ]
    mould = {"cores": {"per_habitat": 1, "diameter_mm": 3.0}, "blocks": [20.0, 16.0], "structures": rows}
    path = write_case(quick, folder / "P1", mould, mask="regions.nii.gz", roi=1)
    return path, mould_of(path, folder / "out"), folder / "out"


def test_all_that_comould_mould_writes_is_there(full):
    _, folder, _ = full
    names = {one.name for one in folder.iterdir()}
    assert names >= {
        "mould.3mf", "specimen.stl", "manifest.json", "slice_plan.json", "cutting_sheet.pdf", "preview.png",
        "sampling.csv", "blocks.csv", "sampling", "step.json",
    }  # fmt: skip
    assert list(folder.glob("sampling/plate_*.stl"))
    assert (folder / "cutting_sheet.pdf").read_bytes().startswith(b"%PDF")


def test_cores_lie_in_the_habitat_they_are_taken_from(full):
    _, folder, _ = full
    table = pd.read_csv(folder / "sampling.csv")
    assert set(table["label"]) == {1, 2}
    assert (np.sign(table["middle_x_mm"]) == np.where(table["label"] == 1, -1, 1)).all()
    assert (np.abs(table["middle_x_mm"]) > 1.5).all()
    assert (table["diameter_mm"] == 3.0).all()


def test_structures_from_a_file_and_from_the_mask_are_in_the_mould(full):
    _, folder, _ = full
    rows = {row["name"]: row for row in json.loads((folder / "manifest.json").read_text())["structures"]}
    assert rows["vein"]["role"] == "window"
    assert rows["stalk"]["volume_ml"] > 0.01
    assert (rows["stalk"]["role"], rows["stalk"]["colour"]) == ("inlay", "#123456")


def test_a_mould_with_cores_stands_on_the_habitats_and_one_without_does_not(full, quick, tmp_path):
    path, _, out = full
    assert all(not one.why for one in look_ahead(read_case(path), out, Choice(only=("mould",))))
    labels = sitk.ReadImage(str(path.parent / "labels.nii.gz"))
    sitk.WriteImage(3 - labels, str(path.parent / "labels.nii.gz"))
    found = {one.step: one.why for one in look_ahead(read_case(path), out, Choice())}
    assert found["mould"] == ("step habitats is made anew",)
    sitk.WriteImage(labels, str(path.parent / "labels.nii.gz"))
    (path.parent / "vein.nii.gz").write_bytes(b"another")
    found = {one.step: one.why for one in look_ahead(read_case(path), out, Choice())}
    assert found["mould"] == ("structure vein changed",)
    plain = write_case(quick, tmp_path / "P2", {"sheet": False})
    folder = mould_of(plain, tmp_path / "out")
    assert not (folder / "cutting_sheet.pdf").exists()
    ahead = look_ahead(read_case(plain), tmp_path / "out", Choice(force=("habitats",)))
    assert {one.step: one.why for one in ahead}["mould"] == ()


def test_a_map_beside_the_case_stands_for_its_habitats(quick, tmp_path):
    path = write_case(quick, tmp_path / "P1", {"cores": {}, "habitats": "labels.nii.gz"}, habitats=None)
    case = read_case(path)
    assert [one.step for one in look_ahead(case, tmp_path / "out", Choice(only=("mould",)))] == ["read", "mould"]
    assert "habitats of the mould" in look_ahead(case, tmp_path / "out", Choice())[1].made_of.inputs


@pytest.mark.parametrize(
    ("mould", "said"),
    [
        ({"cores": {}}, "mould.cores need habitats; add habitats, or a label map as mould.habitats"),
        ({"settings": {"centre_on": "most_habitats"}}, "mould.settings need habitats"),
        ({"cores": {"per_habitat": 0}}, "mould.cores.per_habitat expected greater than or equal to 1"),
        ({"structures": [{"name": "a"}]}, "needs a file, or a roi of the mask"),
        ({"structures": [{"name": "a b", "roi": 1}]}, "mould.structures.0.name"),
        ({"structures": [{"name": "a", "roi": 1, "role": "window", "colour": "#000000"}]}, "colour would do nothing"),
        ({"structures": [{"name": "a", "roi": 1}, {"name": "A", "roi": 2}]}, "names structure a twice"),
        ({"structures": [{"name": "a", "file": "no.nii"}]}, "'no.nii' does not exist"),
        ({"blocks": "large"}, "mould.blocks"),
    ],
)  # fmt: skip
def test_mistakes_are_told(quick, tmp_path, mould, said):
    path = write_case(quick, tmp_path / "P1", mould, habitats=None)
    with pytest.raises(InputError, match=said):
        read_case(path)


def test_a_region_that_is_not_in_the_mask_is_told(quick, tmp_path):
    path = write_case(quick, tmp_path / "P1", {"structures": [{"name": "a", "roi": 7}]}, habitats=None)
    outcome = run_case(read_case(path), tmp_path / "out", choice=Choice(only=("mould",)))
    assert "structure 'a': expected a file, or one of" in outcome.failed["mould"]


def test_cores_have_the_defaults_of_the_command():
    own = {one.name: one.default for one in fields(CoreOptions)}
    assert CoresPart.model_validate({}).model_dump() == {name: own[name] for name in CoresPart.model_fields}
    assert set(own) - set(CoresPart.model_fields) == {"seed"}
