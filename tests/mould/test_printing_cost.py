"""Plastic and time of simple shapes, printers and materials, and the slicer where it is installed."""

import numpy as np
import pytest
import trimesh
from manifold3d import Manifold

from comould.errors import InputError, PrintabilityError
from comould.mould.printing import slicer
from comould.mould.printing.columns import cast
from comould.mould.printing.cost import estimate, strand_volumes
from comould.mould.printing.limits import Limits, limits_of
from comould.mould.printing.slicer import PrintSettings, SliceReport, seconds_of, slice_mesh

needs_slicer = pytest.mark.skipif(not slicer.available(), reason="prusa-slicer is not installed")


def rays(body):
    raw = body.to_mesh()
    triangles = raw.vert_properties[:, :3].astype(np.float64)[raw.tri_verts]
    return triangles, (cast(triangles, 0, 1.0), cast(triangles, 1, 1.0), cast(triangles, 2, 0.5))


def test_strands_of_a_block():
    settings = PrintSettings(layer_mm=0.2, perimeters=2, infill=0.2)
    outer, inner, solid, infill = strand_volumes(*rays(Manifold.cube((100, 80, 60))), settings)
    around = 2 * (100 + 80) * 60
    assert outer == pytest.approx(0.45 * around, rel=0.02)
    assert inner == pytest.approx(0.45 * around, rel=0.02)
    shell = outer + inner
    assert solid == pytest.approx(9 * 0.2 * 8000 * (1 - shell / 480_000), rel=0.02)
    assert infill == pytest.approx(0.2 * (480_000 - shell - solid), rel=0.01)


def test_a_thin_plate_is_all_shell():
    parts = strand_volumes(*rays(Manifold.cube((60, 1.0, 40))), PrintSettings())
    assert parts[:2].sum() == pytest.approx(2400, rel=0.03)
    assert parts[3] < 20


def test_slanting_sides_count_once():
    straight = strand_volumes(*rays(Manifold.cube((50, 50, 30), True)), PrintSettings(perimeters=1))
    turned = strand_volumes(*rays(Manifold.cube((50, 50, 30), True).rotate((0, 0, 45))), PrintSettings(perimeters=1))
    assert turned == pytest.approx(straight, rel=0.04, abs=1.0)


def test_more_infill_thicker_layers():
    body = rays(Manifold.cube((60, 60, 40)))
    light = estimate(*body, settings=PrintSettings(infill=0.1))
    heavy = estimate(*body, settings=PrintSettings(infill=0.6))
    coarse = estimate(*body, settings=PrintSettings(infill=0.1, layer_mm=0.3))
    assert light.plastic_ml < heavy.plastic_ml < light.solid_ml == pytest.approx(144.0)
    assert coarse.time_h < light.time_h < heavy.time_h
    assert light.mass_g == pytest.approx(1.24 * light.plastic_ml)
    assert light.price is None
    assert estimate(*body, price_per_kg=20).price == pytest.approx(0.02 * estimate(*body).mass_g)


def test_resin_and_powder_are_solid():
    body = rays(Manifold.cube((60, 60, 40)))
    resin = estimate(*body, process="SLA", density_g_cm3=1.2, settings=PrintSettings(layer_mm=0.1))
    assert (resin.plastic_ml, resin.mass_g) == pytest.approx((144.0, 172.8))
    assert resin.time_h == pytest.approx(400 * 8 / 3600)
    assert not resin.calibrated
    assert estimate(*body, process="SLS").time_h == pytest.approx(4.0)


def test_known_slicer_figures():
    """PrusaSlicer 2.5.0 on a 100 × 90 × 60 mm block: 120.92 ml; a 40 mm cup's time 1.95 h (0.2 mm, 3, 15 %)."""
    assert estimate(*rays(Manifold.cube((100, 90, 60)))).plastic_ml == pytest.approx(120.9, rel=0.06)
    cup = Manifold.cylinder(40, 25, 25, 96) - Manifold.cylinder(40, 22, 22, 96).translate((0, 0, 3))
    assert estimate(*rays(cup)).time_h == pytest.approx(1.95, rel=0.05)


def test_limits_of_printers_and_materials():
    assert limits_of() == Limits()
    petg = limits_of("prusa_mini", "petg")
    assert (petg.process, petg.material, petg.bed_mm[0]) == ("FDM", "petg", 180.0)
    assert limits_of(material="petg").density_g_cm3 == petg.density_g_cm3
    assert limits_of("generic_sla").material == "standard_resin"
    assert limits_of(material="pa12").process == "SLS"
    assert limits_of(material="pa12").max_overhang_deg is None


def test_limits_that_do_not_go_together():
    with pytest.raises(InputError, match="'petg': expected one that generic_sla prints"):
        limits_of("generic_sla", "petg")
    with pytest.raises(InputError, match="Did you mean 'prusa_mini'"):
        limits_of("prusa_mimi")
    with pytest.raises(InputError, match="material 'wood'"):
        limits_of(material="wood")


def test_times_are_read():
    assert seconds_of("1d 13h 9m 29s") == 86400 + 13 * 3600 + 9 * 60 + 29
    assert seconds_of("35s") == 35


def test_no_slicer(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not slicer.available()
    with pytest.raises(InputError, match=r"expected prusa-slicer on the PATH, found none\. Install PrusaSlicer"):
        slice_mesh(trimesh.creation.box((10, 10, 10)))


def program(tmp_path, monkeypatch, script):
    path = tmp_path / "prusa-slicer"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")


def test_a_program_that_says_nothing_useful_or_hangs(monkeypatch, tmp_path):
    box = trimesh.creation.box((10, 10, 10))
    program(tmp_path, monkeypatch, "echo a wild error; exit 0\n")
    with pytest.raises(InputError, match="expected facts about the mesh, found a wild error"):
        slice_mesh(box)
    program(tmp_path, monkeypatch, "exec sleep 30\n")
    with pytest.raises(PrintabilityError, match=r"an answer within 0\.3 s"):
        slice_mesh(box, timeout_s=0.3)
    program(tmp_path, monkeypatch, 'case "$*" in *--info*) printf "manifold = yes\\nvolume = 1000\\n";; esac\n')
    with pytest.raises(PrintabilityError, match="expected G-code, found no word"):
        slice_mesh(box)


@needs_slicer
def test_slices_a_box():
    said = slice_mesh(trimesh.creation.box((20, 20, 10)), density_g_cm3=1.27)
    assert said.sound
    assert said.program.startswith("PrusaSlicer")
    assert said.volume_ml == pytest.approx(4.0)
    assert said.filament_g == pytest.approx(1.27 * said.filament_cm3, abs=0.02)
    assert said.filament_mm == pytest.approx(said.filament_cm3 * 1000 / (np.pi * 0.875**2), rel=1e-2)
    assert 300 < said.time_s < 3600
    assert said.to_dict()["sound"] is True


@needs_slicer
def test_faults_the_exit_code_hides():
    box = trimesh.creation.box((20, 30, 40))
    box.update_faces(np.arange(12) > 0)
    said = slice_mesh(box, export=False)
    assert (said.manifold, said.open_edges, said.sound, said.time_s) == (False, 3, False, None)
    mended = trimesh.creation.box((20, 20, 10))
    mended.update_faces(np.arange(12) > 0)
    said = slice_mesh(mended, export=False)
    assert said.manifold, "PrusaSlicer 2.5 takes a facet away and calls what is left closed"
    assert not said.sound
    turned = trimesh.creation.box((20, 20, 10))
    turned.invert()
    assert slice_mesh(turned, export=False).facets_reversed == 12


@needs_slicer
def test_too_large_for_the_bed():
    with pytest.raises(PrintabilityError, match=r"fits a bed of 180 × 180 × 180 mm, found a larger one"):
        slice_mesh(trimesh.creation.box((300, 20, 10)), bed_mm=(180, 180, 180))


def test_never_centred():
    arguments = PrintSettings().arguments((250.0, 210.0, 210.0), 1.24)
    assert "--center" not in arguments
    assert arguments[arguments.index("--bed-shape") + 1] == "0x0,250x0,250x210,0x210"


def test_report_without_slicing():
    report = SliceReport("PrusaSlicer", True, 0, 0, 0, 1, 1.0)
    assert report.sound
    assert report.to_dict()["settings"]["layer_mm"] == 0.2
