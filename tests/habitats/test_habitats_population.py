"""Habitats of a cohort, by supervoxels, by thresholds; models as files; names that match across cases."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from comould.errors import ComouldWarning, InputError
from comould.habitats import (
    CT_TISSUE,
    HabitatModel,
    classify,
    fit,
    fit_population,
    levels,
    match_cases,
    otsu_thresholds,
    population_model,
)
from comould.habitats.agreement import rand_index
from comould.space import Grid


def array(image):
    return sitk.GetArrayFromImage(image)


@pytest.fixture(scope="module")
def cohort(tumour):
    cases = {"a": tumour(1), "b": tumour(2, (1, 2)), "c": tumour(3, (1, 3))}
    found = fit_population({name: case[:2] for name, case in cases.items()}, n_habitats=3)
    return found, cases


def agreement(habitats, truth):
    return (array(habitats.labels)[truth > 0] == truth[truth > 0]).mean()


def test_a_label_means_the_same_in_every_case(cohort):
    found, cases = cohort
    for name, (_, _, truth) in cases.items():
        assert agreement(found.habitats[name], truth) > 0.93
    assert found.fractions.loc["b", "H3"] < 0.02
    assert found.fractions.loc["c", "H2"] < 0.02
    assert found.fractions.shape == (3, 3)
    np.testing.assert_allclose(found.fractions.sum(axis=1), 1.0)
    assert found.model.cases == 3


def test_the_number_is_chosen_on_the_cohort(tumour):
    cases = {str(n): tumour(n)[:2] for n in (4, 5)}
    assert len(fit_population(cases, max_habitats=4).model.names) == 3


def test_a_new_case_gets_the_same_habitats_from_the_file(tumour, cohort, tmp_path):
    found, _ = cohort
    path = found.model.save(tmp_path / "model.json")
    images, mask, truth = tumour(9, (2, 3))
    model = HabitatModel.load(path)
    applied = model.apply(images, mask)
    assert agreement(applied, truth) > 0.93
    assert list(applied.table.index) == ["H1", "H2", "H3"]
    again = found.model.apply(dict(reversed(images.items())), mask)
    np.testing.assert_array_equal(array(applied.probabilities), array(again.probabilities))
    assert applied.parameters["applied_model"]["cases"] == 3


@pytest.mark.parametrize("settings", [{"method": "fcm"}, {"method": "kmeans"}, {"supervoxel_mm": 3.0}])
def test_a_model_gives_its_own_case_its_own_habitats(tumour, settings, tmp_path):
    images, mask, truth = tumour(1)
    first = fit(images, mask, n_habitats=3, **settings)
    again = HabitatModel.load(first.model.save(tmp_path / "m.json")).apply(images, mask)
    inside = truth > 0
    assert rand_index(array(first.labels)[inside], array(again.labels)[inside]) > 0.95
    assert agreement(first, truth) > 0.85


def test_supervoxels_are_small_connected_and_all_of_the_mask(tumour):
    from scipy.ndimage import label

    images, mask, truth = tumour(1)
    habitats = fit(images, mask, n_habitats=3, supervoxel_mm=3.0)
    numbers = array(habitats.supervoxels)
    assert ((numbers > 0) == (truth > 0)).all()
    assert numbers.max() == habitats.parameters["n_supervoxels"]
    whole = np.mean([label(numbers == n, np.ones((3, 3, 3)))[1] == 1 for n in range(1, numbers.max() + 1)])
    assert whole > 0.98
    sizes = np.bincount(numbers.ravel())[1:] * 2.0
    assert 18 < np.median(sizes) < 36
    for n in range(1, numbers.max() + 1):
        assert len(np.unique(array(habitats.labels)[numbers == n])) == 1


def test_two_steps_over_a_cohort(tumour):
    cases = {str(n): tumour(n) for n in (1, 2)}
    found = fit_population({name: case[:2] for name, case in cases.items()}, n_habitats=3, supervoxel_mm=3.0)
    for name, (_, _, truth) in cases.items():
        assert agreement(found.habitats[name], truth) > 0.85


def test_scaling_by_case_forgives_a_shift_between_scanners(tumour):
    cases = {"a": tumour(1), "b": tumour(2, shift=300.0)}
    given = {name: case[:2] for name, case in cases.items()}
    own = fit_population(given, n_habitats=3, scaling="case")
    for name, (_, _, truth) in cases.items():
        assert agreement(own.habitats[name], truth) > 0.85
    with pytest.warns(ComouldWarning, match="levels of T2, ADC differ more between cases than inside them"):
        stored = fit_population(given, n_habitats=3)
    assert min(agreement(stored.habitats[name], case[2]) for name, case in cases.items()) < 0.7


def test_the_model_alone_is_that_of_the_fit(cohort):
    found, cases = cohort
    told = []
    alone = population_model(
        {name: lambda name=name: cases[name][:2] for name in cases},
        n_habitats=3,
        progress=lambda *one: told.append(one),
    )
    np.testing.assert_array_equal(alone.model.means, found.model.means)
    np.testing.assert_array_equal(alone.model.covariances, found.model.covariances)
    assert told == [(0, 3, "a"), (1, 3, "b"), (2, 3, "c"), (3, 3, "")]
    assert alone.cases["voxels"].to_dict() == {name: int((case[2] > 0).sum()) for name, case in cases.items()}
    t2 = array(cases["b"][0]["T2"])[cases["b"][2] > 0]
    assert alone.cases.loc["b", "T2/intensity.voxel median"] == pytest.approx(np.median(t2))


def test_a_case_that_cannot_be_used_is_named_and_stops_no_other(tumour, cohort):
    found, cases = cohort
    images, mask, truth = cases["a"]
    few = Grid.from_image(mask).to_image(
        ((truth > 0) & (np.cumsum(truth.ravel() > 0) <= 50).reshape(truth.shape)).astype(np.uint8)
    )

    def broken():
        raise OSError("no such file")

    readers = {name: lambda name=name: cases[name][:2] for name in cases}
    more = {"0": broken, "x": lambda: (images, few), "y": lambda: ({"T2": images["T2"]}, mask)}
    alone = population_model({"0": more.pop("0")} | readers | more, n_habitats=3)
    np.testing.assert_array_equal(alone.model.means, found.model.means)
    assert alone.model.cases == 3
    assert list(alone.cases.index) == ["a", "b", "c"]
    assert alone.left_out["0"] == "OSError: no such file"
    assert "case 'x', mask: expected at least 90 voxels" in alone.left_out["x"]
    assert "images: expected T2, ADC, found T2" in alone.left_out["y"]
    with pytest.raises(InputError, match=r"1 usable cases of 2 needed.*broken: OSError"):
        population_model({"a": readers["a"], "broken": broken})


def test_want_of_memory_is_no_fault_of_a_case(cohort):
    def large():
        raise MemoryError

    _, cases = cohort
    with pytest.raises(MemoryError):
        population_model({"a": large} | {name: lambda name=name: cases[name][:2] for name in "bc"}, n_habitats=3)


def test_cases_fitted_alone_get_matching_names(tumour):
    first, second = tumour(1), tumour(2, (1, 3))
    reference = fit(*first[:2], n_habitats=3)
    other = fit(*second[:2], n_habitats=2)
    matched = match_cases(reference, other)
    assert agreement(other, second[2]) < 0.7
    assert agreement(matched, second[2]) > 0.9
    assert matched.table.loc["H2", "voxels"] == 0
    assert matched.table.loc["H3", "voxels"] == other.table.loc["H2", "voxels"]
    inside = second[2] > 0
    np.testing.assert_array_equal(
        array(matched.probabilities)[inside].argmax(axis=1) + 1, array(matched.labels)[inside]
    )
    with pytest.raises(InputError, match="two of the same features"):
        match_cases(reference, classify(first[0], first[1], {"low": {"T2": (None, 130.0)}}))


# Thresholds


def test_classes_by_hand():
    values = np.array([[[-100.0, 40.0, 200.0, -300.0], [-30.0, 149.9, 150.0, -190.0]]])
    grid = Grid((4, 2, 1))
    found = classify({"CT": grid.to_image(values)}, grid.to_image(np.ones((1, 2, 4), np.uint8)), CT_TISSUE)
    np.testing.assert_array_equal(array(found.labels), [[[1, 2, 3, 4], [2, 2, 3, 1]]])
    assert found.names == ("fat", "soft tissue", "calcified", "rest")
    assert found.table["voxels"].tolist() == [2, 3, 2, 1]
    assert found.model is None
    np.testing.assert_array_equal(array(found.probabilities).argmax(axis=3) + 1, array(found.labels))


def test_classes_of_two_images_overlap_and_emptiness_are_told():
    grid = Grid((3, 1, 1))
    images = {"T2": grid.to_image(np.array([[[1.0, 2.0, 3.0]]])), "ADC": grid.to_image(np.array([[[9.0, 1.0, 9.0]]]))}
    mask = grid.to_image(np.ones((1, 1, 3), np.uint8))
    classes = {
        "both": {"T2": (2.0, None), "ADC": (5.0, None)},
        "bright": {"T2": (2.0, None)},
        "huge": {"T2": (9.0, None)},
    }
    with pytest.warns(ComouldWarning) as told:
        found = classify(images, mask, classes)
    np.testing.assert_array_equal(array(found.labels), [[[4, 2, 1]]])
    assert [str(w.message) for w in told] == [
        "1 of 3 voxels fit several classes and went to the first",
        "no voxel is huge",
    ]


def test_otsu_finds_the_valleys():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(m, 5, 500) for m in (0, 50, 100)])
    low, high = otsu_thresholds(values, 3)
    assert 12 < low < 38
    assert 62 < high < 88
    grid = Grid((30, 50, 1))
    found = levels(grid.to_image(values.reshape(1, 50, 30)), grid.to_image(np.ones((1, 50, 30), np.uint8)), 3)
    assert found.names == ("level 1", "level 2", "level 3")
    assert found.table["voxels"].tolist() == pytest.approx([500, 500, 500], abs=3)


# Bad input


def test_bad_cohorts_are_refused(tumour):
    images, mask, _ = tumour(1)
    with pytest.raises(InputError, match="at least two cases"):
        fit_population({"a": (images, mask)})
    with pytest.raises(InputError, match="case 'b' has images T2 in place of T2, ADC"):
        fit_population({"a": (images, mask), "b": ({"T2": images["T2"]}, mask)})
    with pytest.raises(InputError, match="'stored' or 'case', found 'none'"):
        fit_population({"a": (images, mask), "b": (images, mask)}, scaling="none")
    values = array(images["ADC"])
    values[5, 11, 12] = np.nan
    spoiled = images | {"ADC": Grid.from_image(mask).to_image(values)}
    with pytest.raises(InputError, match="case 'b', image 'ADC': expected finite intensities"):
        fit_population({"a": (images, mask), "b": (spoiled, mask)})


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({}, "0 classes, not 1 to 20"),
        ({"a": {}}, "class 'a' has no range"),
        ({"a": {"PET": (0, 1)}}, "class 'a' wants image 'PET', there are T2, ADC"),
        ({"a": {"T2": (3, 1)}, "b": {"T2": (None, None)}}, "2 problems: .*empty range 3 to 1 of 'T2'; .*None to None"),
    ],
)
def test_bad_classes_are_refused(tumour, classes, message):
    images, mask, _ = tumour(1)
    with pytest.raises(InputError, match=message):
        classify(images, mask, classes)


def test_bad_otsu_is_refused():
    with pytest.raises(InputError, match="2 to 5, found 9"):
        otsu_thresholds([1, 2, 3], 9)
    with pytest.raises(InputError, match="at least 3 different, found 2 different, 0 not finite"):
        otsu_thresholds([1, 2, 2], 3)


def test_bad_supervoxels_are_refused(tumour):
    images, mask, _ = tumour(1)
    with pytest.raises(InputError, match=r"at least 10 supervoxels .* Choose a smaller size"):
        fit(images, mask, supervoxel_mm=20.0)
    with pytest.raises(InputError, match=r"of 2 voxels or more, found .* cluster voxels"):
        fit(images, mask, supervoxel_mm=1.0)
    with pytest.raises(InputError, match="at least 30 supervoxels for up to 6 habitats"):
        fit(images, mask, supervoxel_mm=6.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "expected format 'comould.habitat_model', version 1, found 'other' 1"),
        ({"version": 99}, "found 'comould.habitat_model' 99"),
        ({"means": [[1.0]]}, "do not fit 1 habitats of 1 features"),
        ({"means": None}, "the parts a model has"),
        ({"scaling": {"centre": [0, 0], "spread": [0, 1]}}, "do not fit"),
        ({"settings": {}}, "the parts a model has"),
    ],
)
def test_bad_model_files_are_refused(cohort, tmp_path, change, message):
    path = cohort[0].model.save(tmp_path / "model.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        HabitatModel.load(path)


def test_no_model_file_and_no_json(tmp_path):
    with pytest.raises(InputError, match=r"habitat model none\.json: expected a file"):
        HabitatModel.load(tmp_path / "none.json")
    (tmp_path / "x.json").write_bytes(b"\x80\x04")
    with pytest.raises(InputError, match="expected JSON"):
        HabitatModel.load(tmp_path / "x.json")


def test_a_model_wants_its_own_images(tumour, cohort):
    images, mask, _ = tumour(9)
    with pytest.raises(InputError, match=r"image 'ADC' is missing; image 'PET' is unknown to the model\. Give T2, ADC"):
        cohort[0].model.apply({"T2": images["T2"], "PET": images["ADC"]}, mask)
    with pytest.raises(InputError, match="'stored' or 'case'"):
        cohort[0].model.apply(images, mask, scaling="none")
