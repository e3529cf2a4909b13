"""Space Ranger's newer layouts: Visium HD's bins, names in front of files, matrices of probes."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from comould.errors import ComouldWarning, InputError
from comould.io import read_spots

PIXEL_UM = 0.2738
ANGLE = np.deg2rad(3.0)
TURN = np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])


def write_h5(path, matrix, barcodes, **features):
    """A 10x matrix: features ``id``, ``name``, ``feature_type`` and what else the pipeline writes."""
    csr = sparse.csr_matrix(matrix)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(barcodes, "S")
        group["data"], group["indices"], group["indptr"] = csr.data.astype(np.int32), csr.indices, csr.indptr
        group["shape"] = np.array(csr.shape[::-1], np.int32)
        inner = group.create_group("features")
        n = csr.shape[1]
        columns = {"id": [f"ENSG{k:03d}" for k in range(n)], "feature_type": ["Gene Expression"] * n}
        columns |= {"genome": ["GRCh38"] * n, "name": [f"G{k}" for k in range(n)]}
        for key, values in (columns | features).items():
            stored = np.asarray(values)
            inner[key] = stored if stored.dtype.kind == "b" else stored.astype("S")
        inner["_all_tag_keys"] = np.array(["genome"], "S")


def hd_bin(folder, bin_um, *, side_um=320, stated_um=None, microns=PIXEL_UM):
    """One bin's folder as Space Ranger 3 and 4 lay it out."""
    (folder / "spatial").mkdir(parents=True)
    n = side_um // bin_um
    rows, columns = (grid.ravel() for grid in np.mgrid[:n, :n])
    px = (np.column_stack([columns, rows]) + 0.5) * bin_um @ TURN.T / PIXEL_UM + [700.0, 150.0]
    barcodes = [f"s_{bin_um:03d}um_{r:05d}_{c:05d}-1" for r, c in zip(rows, columns, strict=True)]
    tissue = (columns > 1).astype(int)
    table = {"barcode": barcodes, "in_tissue": tissue, "array_row": rows, "array_col": columns}
    table |= {"pxl_row_in_fullres": px[:, 1], "pxl_col_in_fullres": px[:, 0]}
    pd.DataFrame(table).to_parquet(folder / "spatial" / "tissue_positions.parquet", index=False)
    factors = {"spot_diameter_fullres": bin_um / PIXEL_UM, "bin_size_um": float(stated_um or bin_um)}
    factors |= {"microns_per_pixel": microns, "tissue_hires_scalef": 0.05, "regist_target_img_scalef": 0.05}
    (folder / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))
    kept = np.flatnonzero(tissue)
    matrix = np.random.default_rng(bin_um).poisson(1.0, (len(kept), 3))
    write_h5(folder / "filtered_feature_bc_matrix.h5", matrix, [barcodes[k] for k in kept])
    return matrix, px[kept], [barcodes[k] for k in kept]


@pytest.fixture
def hd(tmp_path):
    """A Visium HD run with bins of 8 and 16 µm; the run's own spatial folder has no positions."""
    outs = tmp_path / "run" / "outs"
    (outs / "spatial").mkdir(parents=True)
    (outs / "spatial" / "scalefactors_json.json").write_text("{}")
    made = {um: hd_bin(outs / "binned_outputs" / f"square_{um:03d}um", um) for um in (8, 16)}
    return outs, made


@pytest.mark.parametrize("where", ["outs", "run", "binned_outputs"])
@pytest.mark.parametrize("bin_um", [None, 8, 16])
def test_the_top_folder_picks_the_bin(hd, where, bin_um):
    outs, made = hd
    folder = {"outs": outs, "run": outs.parent, "binned_outputs": outs / "binned_outputs"}[where]
    data = read_spots(folder, bin_um=bin_um, section="S1")
    matrix, px, barcodes = made[bin_um or 8]
    assert list(data.obs_names) == barcodes
    np.testing.assert_array_equal(data.X.toarray(), matrix)
    np.testing.assert_allclose(data.obsm["spatial"], px)
    assert data.uns["comould"] == {
        "pixel_size_um": pytest.approx(PIXEL_UM, rel=1e-6),
        "pitch_um": bin_um or 8,
        "source": "visium_hd",
    }
    assert data.uns["spatial"]["S1"]["scalefactors"]["bin_size_um"] == (bin_um or 8)


def test_a_bin_s_own_folder_is_read_as_it_is(hd):
    outs, made = hd
    folder = outs / "binned_outputs" / "square_016um"
    assert read_spots(folder).n_obs == len(made[16][2])
    assert read_spots(folder, bin_um=16).n_obs == len(made[16][2])
    with pytest.raises(InputError, match=r"expected bins of 8 µm, found the folder of 16 µm. Give the folder above"):
        read_spots(folder, bin_um=8)


def test_what_is_written_reads_back(hd, tmp_path):
    data = read_spots(hd[0])
    data.write_h5ad(tmp_path / "bins.h5ad")
    back = read_spots(tmp_path / "bins.h5ad")
    np.testing.assert_array_equal(back.obsm["spatial"], data.obsm["spatial"])
    assert back.uns["comould"]["pixel_size_um"] == pytest.approx(data.uns["comould"]["pixel_size_um"])


def test_bins_that_are_not_there_are_told_with_those_that_are(hd):
    outs, _ = hd
    with pytest.raises(InputError, match=r"expected bins of 2 µm, found bins of 8, 16 µm. Give bin_um= one of them"):
        read_spots(outs, bin_um=2)


def test_visium_without_bins_refuses_bin_um(tmp_path):
    (tmp_path / "spatial").mkdir()
    with pytest.raises(InputError, match=r"found no binned_outputs. Leave bin_um out for Visium"):
        read_spots(tmp_path, bin_um=8)
    (tmp_path / "a.csv").write_text("x\n")
    with pytest.raises(InputError, match="expected no bin_um for other data"):
        read_spots(tmp_path / "a.csv", bin_um=8)
    with pytest.raises(InputError, match="expected no alignment for other data"):
        read_spots(tmp_path, alignment=np.eye(3))


def test_pixel_sizes_of_bins_must_agree(tmp_path):
    folder = tmp_path / "square_008um"
    hd_bin(folder, 8, microns=PIXEL_UM * 1.1)
    with pytest.raises(InputError, match=r"scalefactors_json.json: expected 0.3012 µm .within 3 %., found 0.2738"):
        read_spots(folder)
    hd_bin(tmp_path / "a" / "square_008um", 8)
    with pytest.raises(InputError, match=r"expected 0.2738 µm from a pitch of 8 µm .within 3 %., found 0.5 µm"):
        read_spots(tmp_path / "a" / "square_008um", pixel_size_um=0.5)
    hd_bin(tmp_path / "b" / "square_008um", 8, stated_um=16)
    with pytest.raises(InputError, match="expected bins of 8 µm as the folder's name says, found 16 µm"):
        read_spots(tmp_path / "b" / "square_008um")
    (tmp_path / "b" / "square_008um" / "spatial" / "scalefactors_json.json").unlink()
    with pytest.raises(InputError, match="expected bin_size_um, as Visium HD writes it, found none"):
        read_spots(tmp_path / "b" / "square_008um")


def visium(folder, matrix, file="filtered_feature_bc_matrix.h5", prefix="", **features):
    """Visium of Space Ranger 2 to 4: a header, and positions that are not rounded."""
    (folder / "spatial").mkdir(parents=True)
    cells = np.array([(row, 2 * column + row % 2) for row in range(8) for column in range(8)])
    um = np.column_stack([cells[:, 1] * 50.0, cells[:, 0] * 50.0 * np.sqrt(3.0)])
    px = um @ TURN.T / PIXEL_UM + 500.0
    barcodes = [f"ACGT{k:04d}-1" for k in range(64)]
    table = {"barcode": barcodes, "in_tissue": 1, "array_row": cells[:, 0], "array_col": cells[:, 1]}
    table |= {"pxl_row_in_fullres": px[:, 1], "pxl_col_in_fullres": px[:, 0]}
    pd.DataFrame(table).to_csv(folder / "spatial" / f"{prefix}tissue_positions.csv", index=False)
    factors = {"spot_diameter_fullres": 65 / PIXEL_UM, "tissue_hires_scalef": 0.1, "fiducial_diameter_fullres": 9.9}
    (folder / "spatial" / f"{prefix}scalefactors_json.json").write_text(json.dumps(factors))
    write_h5(folder / f"{prefix}{file}", matrix, barcodes, **features)
    return folder


def test_files_with_the_sample_s_name_in_front(tmp_path):
    matrix = np.random.default_rng(0).poisson(1.0, (64, 3))
    data = read_spots(visium(tmp_path / "outs", matrix, prefix="Ovary_1_"))
    np.testing.assert_array_equal(data.X.toarray(), matrix)
    assert data.uns["comould"]["pixel_size_um"] == pytest.approx(PIXEL_UM, rel=1e-6)
    assert data.uns["spatial"]["section"]["scalefactors"]["tissue_hires_scalef"] == 0.1


def test_probes_are_added_up_to_their_genes(tmp_path):
    """Space Ranger's own gene counts are the sums of the probes it does not filter out."""
    matrix = np.random.default_rng(0).poisson(1.0, (64, 5)) + 1
    probes = {
        "id": ["ENSG1|CD3E|a", "ENSG1|CD3E|b", "ENSG2|CD8A|a", "ENSG3|CD4|a", "ENSG3|CD4|b"],
        "name": ["CD3E", "CD3E", "CD8A", "CD4", "CD4"],
        "gene_id": ["ENSG1", "ENSG1", "ENSG2", "ENSG3", "ENSG3"],
        "filtered_probes": np.array([True, True, True, False, True]),
        "probe_region": ["spliced"] * 5,
    }
    outs = visium(tmp_path / "outs", matrix, "raw_probe_bc_matrix.h5", **probes)
    with pytest.warns(ComouldWarning, match="4 probes are added up to 3 genes"):
        data = read_spots(outs / "raw_probe_bc_matrix.h5", positions=outs / "spatial" / "tissue_positions.csv")
    assert list(data.var_names) == ["CD3E", "CD8A", "CD4"]
    assert list(data.var["gene_ids"]) == ["ENSG1", "ENSG2", "ENSG3"]
    expected = np.column_stack([matrix[:, 0] + matrix[:, 1], matrix[:, 2], matrix[:, 4]])
    np.testing.assert_array_equal(data.X.toarray(), expected)


def test_proteins_of_newer_runs_are_left_out_and_told(tmp_path):
    matrix = np.random.default_rng(0).poisson(1.0, (64, 3))
    outs = visium(tmp_path / "outs", matrix, feature_type=["Gene Expression", "Antibody Capture", "Gene Expression"])
    with pytest.warns(ComouldWarning, match="1 features that are not gene expression are left out"):
        assert read_spots(outs).n_vars == 2


@pytest.mark.slow
def test_a_whole_visium_hd_slide_is_read_in_seconds(tmp_path):
    """6.5 mm at 8 µm: 660 thousand bins."""
    import time

    hd_bin(tmp_path / "square_008um", 8, side_um=6500)
    start = time.perf_counter()
    data = read_spots(tmp_path)
    assert time.perf_counter() - start < 30
    assert data.n_obs == 812 * 810
    assert data.uns["comould"]["pixel_size_um"] == pytest.approx(PIXEL_UM, rel=1e-6)
