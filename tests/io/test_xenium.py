"""Xenium: cells and transcripts lie where they are in the morphology picture, or in an H&E picture."""

import gzip
import json

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import io as scipy_io
from scipy import sparse

from comould.errors import ComouldWarning, InputError
from comould.io import read_spots, read_transcripts
from comould.io._xenium import cell_names

PIXEL_UM = 0.2125
GENES = ["CD3E", "EPCAM", "MKI67", "NegControlProbe_00042", "UnassignedCodeword_0001"]
KINDS = ["Gene Expression"] * 3 + ["Negative Control Probe", "Unassigned Codeword"]
KINDS_IN_ZARR = ["gene"] * 3 + ["negative_control_probe", "unassigned_codeword"]
CELLS = 40
# H&E pixels → morphology pixels: a quarter turn and more, another scale, as Xenium Explorer writes it.
ALIGNMENT = np.array([[0.011, 1.2896, -1108.1], [-1.2896, 0.011, 26722.4], [0, 0, 1]])


def ids():
    return [f"aaaa{chr(97 + k // 16)}{chr(97 + k % 16)}aa-1" for k in range(CELLS)]


def bundle(folder, *, cells="cells.parquet", counts="h5", seed=0, pixel=PIXEL_UM):
    """A Xenium output folder with cells and counts; gives the table of cells and the counts too."""
    folder.mkdir(parents=True)
    specs = {"major_version": 5, "pixel_size": pixel, "analysis_sw_version": "xenium-3.0.0.15", "run_name": "x"}
    (folder / "experiment.xenium").write_text(json.dumps(specs))
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"cell_id": ids(), "x_centroid": rng.uniform(0, 900, CELLS)})
    table["y_centroid"] = rng.uniform(0, 600, CELLS)
    table["transcript_counts"], table["cell_area"] = rng.integers(5, 90, CELLS), rng.uniform(20, 90, CELLS)
    if cells.endswith("parquet"):
        table.to_parquet(folder / cells, index=False)
    elif cells:
        table.to_csv(folder / cells, index=False)
    matrix = rng.poisson(2.0, (CELLS, len(GENES))).astype(np.int32)
    write_counts(folder, matrix, counts)
    return table, matrix


def write_counts(folder, matrix, how):
    if how == "h5":
        csr = sparse.csr_matrix(matrix)
        with h5py.File(folder / "cell_feature_matrix.h5", "w") as file:
            group = file.create_group("matrix")
            group["barcodes"] = np.array(ids(), "S")
            group["data"], group["indices"], group["indptr"] = csr.data, csr.indices, csr.indptr
            group["shape"] = np.array(csr.shape[::-1], np.int32)
            features = group.create_group("features")
            features["id"], features["name"] = np.array(GENES, "S"), np.array(GENES, "S")
            features["feature_type"], features["genome"] = np.array(KINDS, "S"), np.array(["x"] * len(GENES), "S")
            features["_all_tag_keys"] = np.array(["genome"], "S")
    elif how == "mtx":
        inner = folder / "cell_feature_matrix"
        inner.mkdir()
        with gzip.open(inner / "matrix.mtx.gz", "wb") as file:
            scipy_io.mmwrite(file, sparse.csc_matrix(matrix).T)
        with gzip.open(inner / "barcodes.tsv.gz", "wt") as file:
            file.writelines(f"{name}\n" for name in ids())
        with gzip.open(inner / "features.tsv.gz", "wt") as file:
            file.writelines(f"{name}\t{name}\t{kind}\n" for name, kind in zip(GENES, KINDS, strict=True))
    elif how.startswith("zarr"):
        write_zarr(folder, matrix, turned=how == "zarr turned")


def write_zarr(folder, matrix, *, turned=False):
    import zarr

    stored = sparse.csr_matrix(matrix) if turned else sparse.csr_matrix(matrix.T)
    store = zarr.storage.ZipStore(folder / "cell_feature_matrix.zarr.zip", mode="w")
    facts = {"feature_keys": GENES, "feature_ids": GENES, "feature_types": KINDS_IN_ZARR, "number_cells": CELLS}
    group = zarr.create_group(store, zarr_format=2, path="cell_features", attributes=facts)
    for name in ("data", "indices", "indptr"):
        group.create_array(name, data=getattr(stored, name).astype(np.uint32))
    letters = {letter: n for n, letter in enumerate("abcdefghijklmnop")}
    numbers = [sum(letters[c] * 16 ** (7 - n) for n, c in enumerate(name[:8])) for name in ids()]
    group.create_array("cell_id", data=np.column_stack([numbers, np.ones(CELLS)]).astype(np.uint32))
    store.close()


@pytest.mark.parametrize("counts", ["h5", "mtx", "zarr", "zarr turned"])
@pytest.mark.parametrize("cells", ["cells.parquet", "cells.csv.gz"])
def test_every_layout_gives_the_same_cells(tmp_path, counts, cells):
    table, matrix = bundle(tmp_path / "x", counts=counts, cells=cells)
    data = read_spots(tmp_path / "x", section="S1")
    assert list(data.obs_names) == ids()
    # Controls measure the assay: they are left out, and that is no news.
    assert list(data.var_names) == GENES[:3]
    np.testing.assert_array_equal(data.X.toarray(), matrix[:, :3])
    np.testing.assert_allclose(data.obsm["spatial"], table[["x_centroid", "y_centroid"]].to_numpy() / PIXEL_UM)
    np.testing.assert_allclose(data.obs["cell_area"], table["cell_area"])
    assert set(data.obs["section"]) == {"S1"}
    assert data.uns["comould"]["pixel_size_um"] == PIXEL_UM
    assert data.uns["comould"]["source"] == "xenium"
    assert 5 < data.uns["comould"]["pitch_um"] < 150


def test_what_is_written_reads_back(tmp_path):
    bundle(tmp_path / "x")
    data = read_spots(tmp_path / "x", alignment=ALIGNMENT)
    data.write_h5ad(tmp_path / "cells.h5ad")
    back = read_spots(tmp_path / "cells.h5ad")
    np.testing.assert_array_equal(back.obsm["spatial"], data.obsm["spatial"])
    assert back.uns["comould"] == data.uns["comould"]


def test_outs_and_old_identifiers(tmp_path):
    bundle(tmp_path / "run" / "outs")
    assert read_spots(tmp_path / "run").n_obs == CELLS
    cells = tmp_path / "run" / "outs" / "cells.parquet"
    table = pd.read_parquet(cells)
    table["cell_id"] = [name.encode() for name in table["cell_id"]]
    table.to_parquet(cells, index=False)
    assert list(read_spots(tmp_path / "run").obs_names) == ids()


def test_cell_names_of_zarr():
    # 10x' own example of the format: 1437536272, 1 is ffkpbaba-1.
    assert list(cell_names(np.array([[1437536272, 1], [0, 2]], np.uint32))) == ["ffkpbaba-1", "aaaaaaaa-2"]
    assert list(cell_names(np.array([7, 8], np.uint32))) == ["7", "8"]


@pytest.mark.parametrize("how", ["matrix", "file"])
def test_positions_in_the_h_and_e_picture(tmp_path, how):
    table, _ = bundle(tmp_path / "x")
    path = tmp_path / "he_imagealignment.csv"
    np.savetxt(path, ALIGNMENT, delimiter=",")
    data = read_spots(tmp_path / "x", alignment=ALIGNMENT if how == "matrix" else path)
    scale = np.hypot(0.011, 1.2896)
    assert data.uns["comould"]["pixel_size_um"] == pytest.approx(PIXEL_UM * scale)
    # Back by the matrix' own direction: H&E pixels to morphology pixels.
    back = data.obsm["spatial"] @ ALIGNMENT[:2, :2].T + ALIGNMENT[:2, 2]
    np.testing.assert_allclose(back * PIXEL_UM, table[["x_centroid", "y_centroid"]], atol=1e-8)
    stated = read_spots(tmp_path / "x", alignment=path, pixel_size_um=0.275)
    assert stated.uns["comould"]["pixel_size_um"] == 0.275
    with pytest.raises(InputError, match=r"experiment.xenium and the alignment: expected 0.274 µm .* found 0.2125 µm"):
        read_spots(tmp_path / "x", alignment=path, pixel_size_um=PIXEL_UM)


def test_mirrored_pictures_are_told(tmp_path):
    bundle(tmp_path / "x")
    with pytest.warns(ComouldWarning, match="the H&E picture is a mirror image"):
        read_spots(tmp_path / "x", alignment=np.diag([-1.2, 1.2, 1.0]))


@pytest.mark.parametrize(
    ("alignment", "message"),
    [
        (np.eye(2), "expected a 3 × 3 affine matrix"),
        (np.ones((3, 3)), "expected a 3 × 3 affine matrix"),
        (np.diag([1, 1.5, 1]), r"expected the same scale along x and y .* found 1.5 and 1"),
        (np.diag([1, 0, 1]), "expected the same scale"),
        ("fixedX,fixedY,alignmentX,alignmentY\n1,2,3,4\n", "its table of keypoints is another file"),
        ("1,0,0\n0,1,nan\n0,0,1\n", "expected a 3 × 3 affine matrix"),
    ],
)
def test_alignments_that_cannot_be_right_are_refused(tmp_path, alignment, message):
    bundle(tmp_path / "x")
    if isinstance(alignment, str):
        (tmp_path / "a.csv").write_text(alignment)
        alignment = tmp_path / "a.csv"
    with pytest.raises(InputError, match=message):
        read_spots(tmp_path / "x", alignment=alignment)


def test_missing_and_broken_files_are_told(tmp_path):
    table, _ = bundle(tmp_path / "x")
    folder = tmp_path / "x"
    with pytest.raises(InputError, match=r"pixel size in experiment.xenium: expected 0.2125 µm .*, found 2.125 µm"):
        read_spots(folder, pixel_size_um=2.125)
    with pytest.raises(InputError, match="expected no positions or pitch_um for a Xenium folder, which has its own"):
        read_spots(folder, positions="p.csv", pitch_um=3)
    table.assign(x_centroid=np.nan).to_parquet(folder / "cells.parquet", index=False)
    with pytest.raises(InputError, match=r"found 40 without, first in data row 1 \(aaaaaaaa-1\)"):
        read_spots(folder)
    table.assign(cell_id="one").to_parquet(folder / "cells.parquet", index=False)
    with pytest.raises(InputError, match="expected every cell once, found 'one' more than once"):
        read_spots(folder)
    table.drop(columns="y_centroid").to_parquet(folder / "cells.parquet", index=False)
    with pytest.raises(InputError, match="expected columns cell_id, x_centroid, y_centroid, found no y_centroid"):
        read_spots(folder)
    (folder / "cells.parquet").unlink()
    with pytest.raises(InputError, match=r"expected cells.parquet or cells.csv.gz or cells.csv, found none of them"):
        read_spots(folder)
    table.to_parquet(folder / "cells.parquet", index=False)
    (folder / "cell_feature_matrix.h5").unlink()
    with pytest.raises(InputError, match=r"expected cell_feature_matrix.h5 or cell_feature_matrix or"):
        read_spots(folder)
    (folder / "cell_feature_matrix.zarr.zip").write_bytes(b"PK no zip")
    with pytest.raises(InputError, match="expected Xenium's cell_features in zarr"):
        read_spots(folder)
    for text in ("{}", "[1]", '{"pixel_size": 0}', "no json"):
        (folder / "experiment.xenium").write_text(text)
        with pytest.raises(InputError, match="expected JSON with a positive pixel_size in µm"):
            read_spots(folder)


# --- transcripts ---------------------------------------------------------------------------------------------------


def transcripts(folder, n=5000, *, how="parquet", binary=False, seed=1):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"transcript_id": np.arange(n), "cell_id": "UNASSIGNED", "overlaps_nucleus": 0})
    table["feature_name"] = rng.choice(GENES, n)
    table["x_location"], table["y_location"] = rng.uniform(0, 900, (2, n)).astype(np.float32)
    table["z_location"], table["qv"] = np.float32(12), rng.uniform(0, 40, n).astype(np.float32)
    written = table.assign(feature_name=[g.encode() for g in table.feature_name]) if binary else table
    if how == "parquet":
        written.to_parquet(folder / "transcripts.parquet", index=False, row_group_size=700)
    else:
        written.to_csv(folder / how, index=False)
    return table


@pytest.mark.parametrize("how", ["parquet", "binary", "transcripts.csv.gz", "transcripts.csv"])
@pytest.mark.parametrize("genes", [None, ["EPCAM", "MKI67"]])
def test_transcripts_are_those_of_quality_and_gene(tmp_path, how, genes):
    bundle(tmp_path / "x")
    table = transcripts(tmp_path / "x", how="parquet" if how == "binary" else how, binary=how == "binary")
    kept = table[(table.qv >= 20) & table.feature_name.isin(genes or GENES)]
    found = read_transcripts(tmp_path / "x", genes=genes)
    assert found.pixel_size_um == PIXEL_UM
    frame = found.to_frame()
    assert list(frame.columns) == ["x_px", "y_px", "gene", "quality"]
    assert list(frame["gene"].astype(str)) == list(kept.feature_name)
    assert frame["gene"].dtype == "category"
    np.testing.assert_allclose(frame[["x_px", "y_px"]], kept[["x_location", "y_location"]] / PIXEL_UM, rtol=1e-6)
    np.testing.assert_allclose(frame["quality"], kept["qv"], rtol=1e-6)
    # As often as needed.
    assert sum(len(piece) for piece in found) == len(kept)


def test_transcripts_in_the_h_and_e_picture(tmp_path):
    bundle(tmp_path / "x")
    table = transcripts(tmp_path / "x")
    frame = read_transcripts(tmp_path / "x", min_quality=0, alignment=ALIGNMENT).to_frame()
    back = frame[["x_px", "y_px"]].to_numpy() @ ALIGNMENT[:2, :2].T + ALIGNMENT[:2, 2]
    np.testing.assert_allclose(back * PIXEL_UM, table[["x_location", "y_location"]], atol=1e-6)


def test_nothing_found_is_an_empty_table(tmp_path):
    bundle(tmp_path / "x")
    transcripts(tmp_path / "x", 50)
    found = read_transcripts(tmp_path / "x", genes=["NONE"])
    assert list(found) == []
    assert list(found.to_frame().columns) == ["x_px", "y_px", "gene", "quality"]


def test_many_transcripts_pass_through_little_memory(tmp_path, monkeypatch):
    import pyarrow as pa

    from comould.io import transcripts as module

    monkeypatch.setattr(module, "BATCH_ROWS", 10_000)
    bundle(tmp_path / "x")
    table = transcripts(tmp_path / "x", 200_000)
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for piece in read_transcripts(tmp_path / "x"):
        assert len(piece) <= 10_000
        rows += len(piece)
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == (table.qv >= 20).sum()
    # Four columns of the whole table are 4.4 MB; held are one batch and its filtered copy.
    assert most < 1_500_000


def test_broken_transcripts_are_told(tmp_path):
    bundle(tmp_path / "x")
    folder = tmp_path / "x"
    with pytest.raises(InputError, match=r"expected transcripts.parquet or transcripts.csv.gz, found none of them"):
        read_transcripts(folder)
    table = transcripts(folder, 50)
    for genes in ("CD3E", []):
        with pytest.raises(InputError, match="genes: expected a list of names, or None for all"):
            read_transcripts(folder, genes=genes)
    with pytest.raises(InputError, match="min_quality: expected a number, found nan"):
        read_transcripts(folder, min_quality=float("nan"))
    table.drop(columns="qv").to_parquet(folder / "transcripts.parquet")
    with pytest.raises(InputError, match="found no qv"):
        read_transcripts(folder)
    table.assign(x_location=np.float32("nan"), qv=np.float32(40)).to_parquet(folder / "transcripts.parquet")
    with pytest.raises(InputError, match="expected a finite position for every transcript, found 50 without among 50"):
        list(read_transcripts(folder))
    (folder / "transcripts.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match="expected a table of transcripts"):
        read_transcripts(folder)
    with pytest.raises(InputError, match=r"expected a Xenium output folder with experiment.xenium, found none"):
        read_transcripts(tmp_path)
