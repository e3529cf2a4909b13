"""All or nothing on disk, and provenance without names."""

import json
from enum import StrEnum
from pathlib import Path

import numpy as np
import pytest

from comould.errors import InputError
from comould.io import atomic_directory, provenance, sha256_of, write_json
from comould.io.output import plain


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def fill(folder, text="new"):
    (folder / "manifest.json").write_text("{}")
    (folder / "result.txt").write_text(text)


def test_a_block_that_ends_well_leaves_the_folder(tmp_path):
    with atomic_directory(tmp_path / "deep" / "out") as work:
        fill(work)
        assert not (tmp_path / "deep" / "out").exists()
    assert listing(tmp_path / "deep") == ["out", "out/manifest.json", "out/result.txt"]
    assert (tmp_path / "deep" / "out").stat().st_mode & 0o444 == 0o444


@pytest.mark.parametrize("crash", [RuntimeError, KeyboardInterrupt])
def test_a_crash_inside_leaves_nothing(tmp_path, crash):
    with pytest.raises(crash, match="power cut"), atomic_directory(tmp_path / "out") as work:  # noqa: PT012
        fill(work)
        raise crash("power cut")
    assert listing(tmp_path) == []


def test_a_crash_while_overwriting_keeps_the_old(tmp_path):
    with atomic_directory(tmp_path / "out") as work:
        fill(work, "old")
    with pytest.raises(RuntimeError, match="no"), atomic_directory(tmp_path / "out", overwrite=True) as work:  # noqa: PT012
        fill(work)
        raise RuntimeError("no")
    assert (tmp_path / "out" / "result.txt").read_text() == "old"
    assert listing(tmp_path) == ["out", "out/manifest.json", "out/result.txt"]


def test_overwriting_replaces_all_of_an_earlier_run(tmp_path):
    with atomic_directory(tmp_path / "out") as work:
        fill(work, "old")
        (work / "stale.txt").write_text("old")
    with atomic_directory(tmp_path / "out", overwrite=True) as work:
        fill(work)
    assert listing(tmp_path) == ["out", "out/manifest.json", "out/result.txt"]
    assert (tmp_path / "out" / "result.txt").read_text() == "new"


def test_an_earlier_run_is_not_overwritten_unasked(tmp_path):
    with atomic_directory(tmp_path / "out") as work:
        fill(work, "old")
    with (
        pytest.raises(InputError, match="expected a new or empty folder, found files in it"),
        atomic_directory(tmp_path / "out"),
    ):
        pytest.fail("the block must not run")
    assert (tmp_path / "out" / "result.txt").read_text() == "old"


def test_other_peoples_folders_are_never_overwritten(tmp_path):
    (tmp_path / "thesis.docx").write_text("five years")
    with (
        pytest.raises(InputError, match="other files, which overwriting would delete"),
        atomic_directory(tmp_path, overwrite=True),
    ):
        pytest.fail("the block must not run")
    assert (tmp_path / "thesis.docx").read_text() == "five years"


def test_an_empty_folder_may_be_filled_and_a_file_may_not(tmp_path):
    (tmp_path / "out").mkdir()
    with atomic_directory(tmp_path / "out") as work:
        fill(work)
    assert (tmp_path / "out" / "result.txt").exists()
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "file", tmp_path / "file" / "out"):
        with (
            pytest.raises(InputError, match=r"output .*(found a file|which is a file)"),
            atomic_directory(target),
        ):
            pytest.fail("the block must not run")


def test_hashes_depend_on_content_not_on_names(tmp_path):
    for folder, name in (("a", "JaneDoe.dcm"), ("b", "0001.dcm")):
        (tmp_path / folder / "series").mkdir(parents=True)
        (tmp_path / folder / "series" / name).write_bytes(b"voxels")
        (tmp_path / folder / "other").write_bytes(b"more")
    assert sha256_of(tmp_path / "a") == sha256_of(tmp_path / "b")
    (tmp_path / "b" / "other").write_bytes(b"less")
    assert sha256_of(tmp_path / "a") != sha256_of(tmp_path / "b")
    assert len(sha256_of(tmp_path / "a" / "other")) == 64


def test_provenance_keeps_no_file_names(tmp_path):
    path = tmp_path / "DOE^JANE 1970.nii.gz"
    path.write_bytes(b"image")
    record = provenance(
        inputs={"image": path},
        parameters={"mask": path, "folder": Path("Jane.Doe"), "spacing_mm": np.float64(5.0)},
        seed=3,
        libraries=("scipy", "no-such-library"),
    )
    text = json.dumps(record)
    assert "DOE" not in text.upper()
    assert "JANE" not in text.upper()
    assert record["inputs"] == {"image": {"sha256": sha256_of(path)}}
    assert record["parameters"] == {"mask": "*.gz", "folder": "*", "spacing_mm": 5.0}
    assert set(record["versions"]) == {"comould", "python", "numpy", "scipy"}
    assert record["seed"] == 3
    assert record["created"].endswith("+00:00")


def test_plain_reduces_everything_to_json(tmp_path):
    class Colour(StrEnum):
        RED = "red"

    data = {
        "array": np.arange(3),
        "flag": np.True_,
        "nan": float("nan"),
        "numpy_nan": np.float32("inf"),
        "tuple": (1, 2.5),
        "set": {"b", "a", "c"},
        "enum": Colour.RED,
        3: None,
        "other": 1j,
    }
    expected = {
        "array": [0, 1, 2],
        "flag": True,
        "nan": None,
        "numpy_nan": None,
        "tuple": [1, 2.5],
        "set": ["a", "b", "c"],
        "enum": "red",
        "3": None,
        "other": "1j",
    }
    assert plain(data) == expected
    assert json.loads(write_json(tmp_path / "x.json", data).read_text()) == expected
