"""A registration over several pictures is saved and read back with its hops and its picture's size."""

import json

import numpy as np
import pytest

from comould.errors import InputError
from comould.register import Hop, RegistrationQuality, SectionRegistration, Uncertainty
from comould.register.pose import PlanePose
from comould.register.quality import LandmarkErrors
from comould.space import Transform


def quality(verdict):
    return RegistrationQuality(
        verdict=verdict, reasons=("one", "two"), dice=0.9, hd95_mm=1.0, information=0.1, flipped=True, angle_deg=30.0,
        scale=1.1, margin=0.2, ambiguous=False, second_best={"flipped": False}, stage="affine", stages=(),
        folding_fraction=0.0, jacobian_range=(0.9, 1.1), spread_mm=0.2, round_trip_mm=0.3,
        held_out=LandmarkErrors(("a",), (0.5,), True), plane_scores={"P1": 1.0}, pieces_mm2=(10.0,),
        pose=PlanePose(0.1, (1.0, 2.0), (0.0, 0.0), ((1.0, 0.0, 0.0),) * 3, (0.0, 1.0), (0.0, -1.0), 9.0),
    )  # fmt: skip


def shift(x, target="patient"):
    matrix = np.eye(4)
    matrix[0, 3] = x
    return Transform.from_matrix("section_px", target, matrix)


@pytest.fixture
def saved(tmp_path):
    hops = tuple(
        Hop(f"from{n}", f"to{n}", shift(n, "section_px"), tuple(shift(10 * n + k, "section_px") for k in range(n)),
            quality("review"), 0.1 * n)
        for n in (1, 2)
    )  # fmt: skip
    made = SectionRegistration(
        "S", "P1", shift(5.0), (shift(6.0),), quality("accept"), Uncertainty(0.1, 0.2, (0.0, 0.0, 1.0)), 3,
        (400.0, 300.0), hops,
    )  # fmt: skip
    return made, made.save(tmp_path / "S")


def test_hops_and_extent_come_back(saved):
    made, folder = saved
    again = SectionRegistration.load(folder)
    assert again.extent_px == (400.0, 300.0)
    assert again.quality == made.quality
    assert len(again.hops) == 2
    for mine, theirs in zip(made.hops, again.hops, strict=True):
        assert (mine.source_id, mine.target_id, mine.in_plane_mm) == (
            theirs.source_id,
            theirs.target_id,
            theirs.in_plane_mm,
        )
        assert mine.quality == theirs.quality
        assert len(mine.samples) == len(theirs.samples)
        for a, b in zip(
            (mine.target_px_from_source_px, *mine.samples),
            (theirs.target_px_from_source_px, *theirs.samples),
            strict=True,
        ):
            np.testing.assert_array_equal(a.matrix, b.matrix)
    np.testing.assert_array_equal(again.hops[1].apply(np.array([[1.0, 2.0]])), [[3.0, 2.0]])


def test_folders_of_before_hops_are_read_and_damaged_ones_refused(saved):
    _, folder = saved
    facts = json.loads((folder / "registration.json").read_text())
    (folder / "registration.json").write_text(
        json.dumps({k: v for k, v in facts.items() if k not in {"hops", "extent_px"}})
    )
    old = SectionRegistration.load(folder)
    assert (old.hops, old.extent_px) == ((), None)
    facts["hops"][0].pop("quality")
    (folder / "registration.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match=r"registration folder S: expected what SectionRegistration\.save wrote"):
        SectionRegistration.load(folder)
