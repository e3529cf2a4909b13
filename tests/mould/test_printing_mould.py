"""The measures on a mould of ours: what its settings promise, the mesh keeps."""

import json
import warnings

import numpy as np
import pytest

import comould as cm
from comould.errors import ComouldWarning
from comould.mould import check
from comould.mould.printing import slicer
from comould.mould.printing.columns import cast
from comould.mould.printing.split import split_for_bed


@pytest.fixture(scope="module")
def mould():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        return cm.mould.build(cm.phantom.specimen(seed=0).mask, plane="image", spacing_mm=6)


@pytest.fixture(scope="module")
def report(mould):
    return check(mould.bodies["mould"], price_per_kg=30.0)


def test_ribs_are_spacing_less_slot(mould, report):
    expected = mould.plan.spacings_mm.min() - mould.template.parameters.slot_mm
    assert report.printing.walls.rib_mm == pytest.approx(expected, abs=1e-3)
    assert report.printing.walls.slots <= len(mould.plan)


def test_no_wall_is_thinner_than_the_settings_allow(report):
    assert report.printing.walls_ok
    assert report.printing.walls.thin_area_cm2 < 0.1
    assert report.printable


def test_it_holds_the_specimen_as_fluid(mould, report):
    body = mould.bodies["mould"]
    held = report.printing.fluid.trapped_ml
    # Less than the specimen: a stepped top and the orientation slit let some of it out.
    assert 0.3 * mould.report["volumes_ml"]["specimen"] < held < (np.prod(body.extents) - body.volume) / 1000
    assert report.printing.fluid.drain_recommended
    assert any("drain" in note for note in report.notes)


def test_volume_along_the_rays_is_the_volume(mould):
    body = mould.bodies["mould"]
    for axis in range(3):
        columns = cast(np.asarray(body.triangles), axis, 0.5)
        assert (columns.leave - columns.enter).sum() * columns.step_mm**2 == pytest.approx(body.volume, rel=0.01)


def test_report_is_plain_data(report):
    data = json.loads(json.dumps(report.to_dict()))
    assert data["printable"] is True
    assert data["printing"]["bed"]["fits"] is True
    assert data["printing"]["cost"]["price"] == pytest.approx(data["printing"]["cost"]["mass_g"] * 0.03)
    assert {line.name for line in report.lines()} >= {"walls", "ribs", "overhang", "fluid", "bed", "print"}


def test_parts_of_a_mould_are_printable(mould):
    body = mould.bodies["mould"]
    bodies = split_for_bed(body, (70.0, 70.0, 100.0))
    assert len(bodies) > 2
    for part in bodies.values():
        assert check(part).problems == ()
    assert sum(part.volume for part in bodies.values()) == pytest.approx(body.volume, rel=5e-3)


@pytest.mark.slow
@pytest.mark.skipif(not slicer.available(), reason="prusa-slicer is not installed")
def test_estimate_is_near_the_slicers_own(mould, report):
    said = slicer.slice_mesh(mould.bodies["mould"])
    cost = report.printing.cost
    assert said.sound
    assert said.parts == 1
    assert cost.plastic_ml == pytest.approx(said.filament_cm3, rel=0.08)
    assert cost.time_h == pytest.approx(said.time_s / 3600, rel=0.15)
