"""Steps on disk: keys, reasons in words, damage seen, leftovers swept, hashes kept."""

import json
import os

import pytest

from comould.study.fingerprint import HashCache, code_of, digest
from comould.study.step_store import Ingredients, StepStore


def made_of(**changes):
    base = {
        "step": "habitats", "parameters": {"k": 3, "of": {"deep": [1.0, 2.0]}},
        "inputs": {"mask": "a", "image T2": "b"}, "upstream": {"read": "r"}, "code": {"habitats": "h"},
    }  # fmt: skip
    return Ingredients(**(base | changes))


@pytest.fixture
def store(tmp_path):
    return StepStore(tmp_path / "case", HashCache())


def make(store, ingredients=None, text="result"):
    with store.making(ingredients or made_of(), {"seconds": 1.5}) as work:
        (work / "deep").mkdir()
        (work / "deep" / "a.txt").write_text(text)
        (work / "b.txt").write_text(text)


def test_equal_ingredients_give_equal_keys_and_any_change_another():
    first = made_of().key
    assert made_of(parameters={"of": {"deep": [1, 2]}, "k": 3}).key != first
    assert made_of(parameters={"of": {"deep": [1.0, 2.0]}, "k": 3}).key == first
    changes = ({"step": "x"}, {"parameters": {}}, {"inputs": {}}, {"upstream": {}}, {"code": {}})
    assert len({first, *(made_of(**change).key for change in changes)}) == 6


def test_a_finished_step_needs_nothing(store):
    assert store.why(made_of()) == ["never run"]
    make(store)
    assert store.why(made_of()) == []
    record = store.record("habitats")
    assert record["seconds"] == 1.5
    assert set(record["files"]) == {"deep/a.txt", "b.txt"}
    assert record["key"] == made_of().key


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parameters": {"k": 4, "of": {"deep": [1.0, 2.0]}}}, ["parameter k changed from 3 to 4"]),
        ({"parameters": {"k": 3, "of": {"deep": [1.0]}}}, ["parameter of.deep changed from [1.0, 2.0] to [1.0]"]),
        ({"parameters": {"k": 3}}, ["parameter of.deep changed from [1.0, 2.0] to nothing"]),
        ({"inputs": {"mask": "z", "image T2": "b"}}, ["mask changed"]),
        ({"inputs": {"mask": "a", "image ADC": "b"}}, ["image ADC is new", "image T2 is gone"]),
        ({"upstream": {"read": "z"}}, ["step read is made anew"]),
        ({"code": {"habitats": "z"}}, ["code of habitats changed"]),
    ],
)
def test_the_reason_is_said_in_words(store, changes, said):
    make(store)
    assert store.why(made_of(**changes)) == said


def test_a_result_that_is_not_what_was_written_is_made_again(store):
    make(store)
    (store.at("habitats") / "b.txt").write_text("RESULT")
    (store.at("habitats") / "deep" / "a.txt").unlink()
    assert store.why(made_of()) == ["result b.txt changed", "result deep/a.txt is missing"]
    (store.at("habitats") / "step.json").write_text('{"format": "comould.step", "fil')
    assert store.why(made_of()) == ["no record of how it was made"]


def test_a_block_that_fails_leaves_the_earlier_result(store):
    make(store)

    def fail():
        with store.making(made_of(parameters={}), {}) as work:
            (work / "b.txt").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.why(made_of()) == []
    assert [path.name for path in store.folder.iterdir()] == ["habitats"]


def test_leftovers_are_swept_and_nothing_else(store):
    make(store)
    for name in (".habitats.ab12", "..habitats.ab12.zz", ".habitats.old.x"):
        (store.folder / name).mkdir()
        (store.folder / name / "half").touch()
    for name in (".git", "habitats_of_mine"):
        (store.folder / name).mkdir()
    (store.folder / ".lock").touch()
    (store.folder / ".hashes.json").touch()
    (store.folder / "..hashes.json.77").touch()
    assert len(store.sweep(["habitats"])) == 4
    left = {path.name for path in store.folder.iterdir()}
    assert left == {"habitats", ".git", "habitats_of_mine", ".lock", ".hashes.json"}


def test_hashes_are_kept_until_size_or_time_changes(tmp_path, monkeypatch):
    file = tmp_path / "Jane_Doe.nii"
    file.write_bytes(b"one")
    os.utime(file, ns=(10**18, 10**18))
    cache = HashCache(tmp_path / "h" / "hashes.json")
    first = cache.of(file)
    cache.save()
    assert "Jane" not in (tmp_path / "h" / "hashes.json").read_text()
    monkeypatch.setattr("comould.study.fingerprint.sha256_of", lambda path: pytest.fail("hashed again"))
    assert HashCache(tmp_path / "h" / "hashes.json").of(file) == first
    monkeypatch.undo()
    file.write_bytes(b"two")
    assert HashCache(tmp_path / "h" / "hashes.json").of(file) != first


def test_a_file_written_just_now_is_never_taken_from_the_cache(tmp_path):
    file, cache = tmp_path / "a", HashCache()
    file.write_bytes(b"one")
    facts = file.stat()
    first = cache.of(file)
    file.write_bytes(b"two")
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert cache.of(file) != first


def test_folders_hash_names_and_content_and_headers_hash_their_voxels(tmp_path):
    folder = tmp_path / "dicom"
    folder.mkdir()
    (folder / "1").write_bytes(b"x")
    first = HashCache().of(folder)
    (folder / "1").rename(folder / "2")
    assert HashCache().of(folder) != first
    header, voxels = tmp_path / "a.mhd", tmp_path / "a.raw"
    header.write_text("NDims = 3\nElementDataFile = a.raw\n")
    voxels.write_bytes(b"1")
    before = HashCache().of(header)
    voxels.write_bytes(b"2")
    assert HashCache().of(header) != before


def test_a_broken_cache_is_an_empty_one(tmp_path):
    for text in ("{", "[]", json.dumps({"x": [1]})):
        (tmp_path / "h").write_text(text)
        (tmp_path / "f").write_text("f")
        assert HashCache(tmp_path / "h").of(tmp_path / "f") == HashCache().of(tmp_path / "f")


def test_code_is_hashed_by_part():
    found = code_of(["habitats", "study/habitats_case"])
    assert set(found) == {"habitats", "study/habitats_case"}
    assert found["habitats"] != found["study/habitats_case"] != digest({})


def test_every_part_of_the_code_a_step_names_is_there():
    from comould.study.case_steps import STEPS

    empty = digest({})
    for step in STEPS:
        assert not [name for name, value in code_of(step.code).items() if value == empty]
