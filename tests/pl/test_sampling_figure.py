"""Pictures of sampled slabs: every core where it is, seen as the face is seen."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from comould.errors import ComouldWarning, InputError
from comould.mould import SamplingPlan, plan_blocks, plan_cores
from comould.pl.sampling_figure import face_view, sampling, slab_face
from comould.pl.view import mask_points
from comould.space import SlicePlan


@pytest.fixture(scope="module")
def planned(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        return {
            face: plan_cores(
                SlicePlan(tuple(replace(plane, face=face) for plane in case.plan)), case.mask, case.phantom.habitats
            )
            for face in "-+"
        }


def test_every_slab_has_a_panel_with_its_cores_and_blocks(case, planned):
    blocks = plan_blocks(case.plan, case.mask)
    figure = sampling(planned["-"], case.phantom.habitats, case.mask, blocks=blocks)
    assert len(figure.axes) >= len(planned["-"].slabs) == 3
    drawn = {patch.get_gid() for ax in figure.axes for patch in ax.patches}
    assert drawn >= {f"core-{core.slab}-{core.number}" for core in planned["-"].cores}
    lines = {line.get_gid() for ax in figure.axes for line in ax.lines}
    assert lines >= {f"block-{block.id}" for block in blocks.blocks}


@pytest.mark.parametrize("face", ["-", "+"])
def test_cores_lie_where_they_are_on_the_face(case, planned, face):
    made = planned[face]
    slab = next(slab for slab in made.slabs if slab.photographed)
    cores = made.of(slab)
    assert cores
    ax = slab_face(slab, case.phantom.habitats, case.mask, cores=cores)
    at = {patch.get_gid(): patch.center for patch in ax.patches}
    for core in cores:
        u, v = core.uv_mm
        assert np.allclose(at[f"core-{core.slab}-{core.number}"], (u if face == "-" else -u, v), atol=1e-6)


def test_plus_face_is_drawn_mirrored(case, planned):
    letters = {}
    for face, made in planned.items():
        slab = next(slab for slab in made.slabs if slab.photographed)
        letters[face] = face_view(slab, mask_points(case.mask)).edge_letters
    assert letters["-"]["left"] == letters["+"]["right"]
    assert letters["-"]["right"] == letters["+"]["left"]
    assert letters["-"]["top"] == letters["+"]["top"]


def test_nothing_to_draw(case, planned):
    empty = SamplingPlan((), (), (), planned["-"].options)
    with pytest.raises(InputError, match="sampling plan: expected a slab at least"):
        sampling(empty, case.phantom.habitats, case.mask)
