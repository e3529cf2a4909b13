"""surrogate_effects.py: what is handed to another centre is what the test itself used."""

import numpy as np
import pytest

from comould import associate
from comould.associate.claims.chance import chance
from comould.errors import InputError

SETS = {"set": ["own_H1", "smooth_0"]}


def test_they_give_the_test_s_own_p_values(make_spots):
    spots = make_spots(0)
    table = associate.test(spots, genesets=SETS, n_surrogates=99, seed=4).set_index(["kind", "feature", "habitat"])
    found = associate.surrogate_effects(spots, ["own_H2", "smooth_3"], genesets=SETS, n_surrogates=99, seed=4)
    assert found.shape == (3 * 3, 99)
    for name, random in found.iterrows():
        row = table.loc[name]
        p, _ = chance(np.array([row["statistic"]]), random.to_numpy()[:, None], spots.n_obs)
        assert p[0] == pytest.approx(row["p_spatial"], rel=1e-2)


def test_what_cannot_be_is_an_error(make_spots):
    spots = make_spots(0)
    with pytest.raises(InputError, match="genes or gene sets, and surrogate maps, found none"):
        associate.surrogate_effects(spots)
    with pytest.raises(InputError, match="found an analytic null"):
        associate.surrogate_effects(spots, ["own_H1"], null="dutilleul")
    with pytest.raises(InputError, match="gene NOBODY: expected a feature of these spots"):
        associate.surrogate_effects(spots, ["NOBODY"])
    with pytest.raises(InputError, match="geneset empty"):
        associate.surrogate_effects(spots, genesets={"empty": ["A"]})
