"""power.py and cohort/simulate.py: error rate, what makes power grow and shrink, chance held by the seed."""

import numpy as np
import pandas as pd
import pytest

from comould.associate.cohort.simulate import Bench, Scenario
from comould.associate.power import minimum_patients, power
from comould.errors import InputError

SMALL = Scenario(section_mm=6.0, pitch_mm=0.5, range_mm=3.0, gene_range_mm=3.0)


@pytest.fixture(scope="module")
def table():
    return power(
        (0.0, 0.5, 1.2), patients=(6, 12), sections=(2,), error_mm=(0.0, 1.5), scenario=SMALL, n_simulations=40, seed=2
    )


def cell(table, **where):
    rows = table[np.logical_and.reduce([table[name] == value for name, value in where.items()])]
    assert len(rows) == 1
    return rows.iloc[0]


def test_there_is_a_row_for_every_cell(table):
    assert len(table) == 3 * 2 * 2
    assert (table["n_sections"] == 2).all()
    assert (table["n_spots"] == len(SMALL.sections(2)[0])).all()
    assert ((table["low"] <= table["power"]) & (table["power"] <= table["high"])).all()
    assert table.attrs["parameters"]["range_mm"] == 3.0


def test_without_an_effect_little_is_found(table):
    rows = table[table["effect"] == 0]
    assert (rows["power"] <= 0.15).all()
    assert rows["power"].mean() < 0.09


def test_power_grows_with_effect_and_patients_and_falls_with_error(table):
    for error in (0.0, 1.5):
        for n in (6, 12):
            grows = table[(table["error_mm"] == error) & (table["n_patients"] == n)].sort_values("effect")["power"]
            assert grows.is_monotonic_increasing
    near = cell(table, effect=0.5, error_mm=0.0, n_patients=12)["power"]
    assert near > cell(table, effect=0.5, error_mm=1.5, n_patients=12)["power"]
    assert near >= cell(table, effect=0.5, error_mm=0.0, n_patients=6)["power"]
    assert cell(table, effect=1.2, error_mm=0.0, n_patients=12)["power"] > 0.9


def test_any_number_of_workers_gives_the_same_table(table):
    again = power(
        (0.5,), patients=(12,), sections=(2,), error_mm=(1.5,), scenario=SMALL, n_simulations=40, seed=2, workers=2
    )
    alone = cell(table, effect=0.5, error_mm=1.5, n_patients=12)
    assert again.iloc[0]["power"] == alone["power"]
    assert again.iloc[0]["n_effective"] == alone["n_effective"]


def test_a_real_support_is_taken_as_it_is():
    positions, codes = SMALL.sections(2)
    turned = positions @ np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]).T + 50.0
    found = power(
        1.0,
        patients=(6,),
        error_mm=(0.0,),
        scenario=SMALL,
        sections=[(turned, np.array(["a", "b"])[codes])],
        n_simulations=10,
    )
    assert found["n_spots"].iloc[0] == len(positions)
    assert found["n_sections"].iloc[0] == 2


def test_spots_lie_on_a_hexagonal_grid():
    positions, codes = SMALL.sections(3)
    one = positions[codes == 1]
    assert (one[:, 2] == SMALL.gap_mm).all()
    inner = one[np.argmin(np.abs(one[:, :2] - 3).sum(axis=1))]
    distance = np.sort(np.linalg.norm(one - inner, axis=1))
    assert distance[1:7] == pytest.approx(0.5)
    assert distance[7] > 0.8


def test_a_patient_without_effect_is_as_sure_as_it_says():
    positions, codes = SMALL.sections(2)
    bench = Bench.make(
        Scenario(section_mm=6, pitch_mm=0.5, range_mm=3, gene_range_mm=3, between_sd=0, gene_sd=1.5, mean_counts=10),
        positions, codes, 200, 0,
    )  # fmt: skip
    drawn = np.stack([bench.patient(np.zeros(1), 0.0, np.random.SeedSequence(k))[0] for k in range(300)])
    drawn = drawn[np.isfinite(drawn[:, 0])]
    assert len(drawn) > 250
    assert np.median(1 / drawn[:, 1] + 3) < 0.3 * len(positions)
    scaled = drawn[:, 0] / np.sqrt(drawn[:, 1])
    assert scaled.mean() == pytest.approx(0, abs=0.2)
    assert scaled.std() == pytest.approx(1, abs=0.2)


def test_the_smallest_cohort_is_read_off():
    table = pd.DataFrame(
        {
            "effect": 1.0, "n_sections": 2, "n_spots": 100, "error_mm": [0.0] * 4 + [2.0] * 2,
            "n_patients": [4, 6, 8, 10, 4, 6], "power": [0.82, 0.7, 0.85, 0.95, 0.1, 0.3],
            "low": [0.7, 0.6, 0.78, 0.9, 0.05, 0.2],
        }
    )  # fmt: skip
    found = minimum_patients(table).set_index("error_mm")
    assert found.loc[0.0, "n_patients"] == 8
    assert found.loc[0.0, "n_patients_sure"] == 10
    assert pd.isna(found.loc[2.0, "n_patients"])
    with pytest.raises(InputError, match="between 0 and 1"):
        minimum_patients(table, 80)
    with pytest.raises(InputError, match="no power"):
        minimum_patients(table.drop(columns="power"))


def test_wrong_input_is_told():
    with pytest.raises(InputError, match=r"3 problems: a cohort has fewer.*; an error is below 0; 5 simulations"):
        power(1.0, patients=(1,), error_mm=(-1,), n_simulations=5)
    with pytest.raises(InputError, match=r"2 problems: range_mm 0 is not above 0; fraction 1"):
        Scenario(range_mm=0, fraction=1)
    with pytest.raises(InputError, match="spots across a section is not 4 to 200"):
        Scenario(pitch_mm=6.0)
    with pytest.raises(InputError, match=r"shapes \(5, 2\)"):
        power(1.0, sections=[(np.zeros((5, 2)), np.zeros(5))])
