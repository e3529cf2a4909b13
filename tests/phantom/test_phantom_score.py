"""Scores of known errors, from every kind of answer; and answers that belong to something else."""

import anndata
import numpy as np
import pandas as pd
import pytest

from comould import phantom
from comould.errors import InputError


@pytest.fixture(scope="module")
def case(small, tmp_path_factory):
    plan = small.plan(9.0)
    cuts = small.cut(plan, image_pixel_um=200.0, spot_pitch_um=1500.0, tilt_deg=5.0)
    folder = small.write(tmp_path_factory.mktemp("score") / "case", plan, cuts)
    return folder, cuts


def frame(cuts, shift=(0.0, 0.0, 0.0)) -> pd.DataFrame:
    parts = [
        pd.DataFrame(cut.spots_patient_mm + shift, columns=["x_mm", "y_mm", "z_mm"], index=cut.spots.obs_names)
        for cut in cuts
    ]
    return pd.concat(parts).rename_axis("spot")


def test_the_truth_scores_nothing(case):
    folder, cuts = case
    score = phantom.score(folder, frame(cuts))
    assert score.max_mm < 1e-5
    assert score.placed == 1.0
    assert score.n_spots == sum(len(cut.spots) for cut in cuts)
    assert score.table.index.tolist() == [cut.section.id for cut in cuts]
    assert str(score).startswith("median 0.00 mm, 95 % within 0.00 mm")


def test_every_kind_of_answer_scores_the_same(case, tmp_path):
    folder, cuts = case
    table = frame(cuts, (0.3, -0.4, 1.2)).sample(frac=1.0, random_state=0)
    table.to_csv(tmp_path / "found.csv")
    spots = anndata.concat([cut.spots for cut in cuts])
    spots.obsm["spatial_patient"] = frame(cuts, (0.3, -0.4, 1.2)).to_numpy()
    spots.write_h5ad(tmp_path / "found.h5ad")
    arrays = {cut.section.id: cut.spots_patient_mm + np.array([0.3, -0.4, 1.2]) for cut in cuts}
    answers = (table, table.reset_index(), tmp_path / "found.csv", spots, str(tmp_path / "found.h5ad"), arrays)
    for score in (phantom.score(folder, answer) for answer in answers):
        assert score.median_mm == pytest.approx(1.3, abs=1e-5)
        assert score.p95_mm == pytest.approx(1.3, abs=1e-5)
        assert score.errors_mm.to_numpy() == pytest.approx(1.3, abs=1e-5)


def test_error_along_and_across_the_true_plane(case):
    folder, cuts = case
    arrays = {
        cut.section.id: cut.spots_patient_mm + 3.0 * np.array(cut.true_plane.normal) - 4.0 * np.array(cut.true_plane.u)
        for cut in cuts
    }
    table = phantom.score(folder, arrays).table
    np.testing.assert_allclose(table["through_plane_mm"], 3.0, atol=1e-5)
    np.testing.assert_allclose(table["in_plane_mm"], 4.0, atol=1e-5)
    np.testing.assert_allclose(table["median_mm"], 5.0, atol=1e-5)


def test_quantiles_and_spots_left_out(case):
    folder, cuts = case
    table = frame(cuts)
    errors = np.linspace(0.0, 2.0, len(table))
    table["x_mm"] += errors
    score = phantom.score(folder, table)
    assert score.median_mm == pytest.approx(1.0, abs=1e-5)
    assert score.p95_mm == pytest.approx(1.9, abs=1e-5)
    half = table.iloc[: len(table) // 2].copy()
    half.iloc[0] = np.nan
    score = phantom.score(folder, half)
    assert score.placed == pytest.approx((len(half) - 1) / len(table))
    assert np.isnan(score.errors_mm.iloc[0])
    nothing = phantom.score(folder, {})
    assert nothing.placed == 0.0
    assert np.isnan(nothing.median_mm)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda t: t.drop(columns="y_mm"), "positions: expected columns spot, x_mm, y_mm, z_mm, found no y_mm"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "expected each spot once, found S-P01_.* more than once"),
        (
            lambda t: t.rename(index=lambda name: f"x{name}"),
            "expected spots of this case, found .* others, such as xS-",
        ),
        (lambda t: t.assign(x_mm="far"), "positions: expected numbers in x_mm"),
        (lambda _: {"S-P99": np.zeros((3, 3))}, "positions of S-P99: expected one of S-P01"),
        (lambda _: {"S-P01": np.zeros((3, 3))}, r"positions of S-P01: expected shape \(\d+, 3\)"),
        (lambda _: 3.0, "expected a CSV or h5ad file, a data frame.*found float"),
        (lambda _: "nowhere.csv", r"nowhere.csv: expected a CSV or h5ad file, found none"),
    ],
)
def test_answers_to_something_else(case, answer, message):
    folder, cuts = case
    with pytest.raises(InputError, match=message):
        phantom.score(folder, answer(frame(cuts)))


def test_spots_that_were_never_mapped(case):
    folder, cuts = case
    with pytest.raises(InputError, match=r'expected obsm\["spatial_patient"\], found spatial'):
        phantom.score(folder, cuts[0].spots)


def test_folders_without_a_case(case, tmp_path):
    with pytest.raises(InputError, match="expected a folder that comould phantom wrote, with its truth, found FileNot"):
        phantom.score(tmp_path, {})
    (tmp_path / "manifest.json").write_text('{"format": "comould.mould"}')
    with pytest.raises(InputError, match=r"found a manifest of comould\.mould"):
        phantom.score(tmp_path, {})
    for text in ("[1]", "{", '{"format": "comould.phantom_case"}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(InputError, match="expected a folder that comould phantom wrote"):
            phantom.score(tmp_path, {})
