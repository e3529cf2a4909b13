"""Spots: every layout gives the same AnnData, scaled by the array's pitch, and what does not fit is told."""

import gzip
import json

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from hypothesis import given
from hypothesis import strategies as st
from scipy import io as scipy_io
from scipy import sparse

from comould.errors import ComouldWarning, InputError
from comould.io import read_spots
from comould.io._spots_grid import fit_array, hexagonal, is_doubled

PIXEL_UM = 0.4
ROWS, COLUMNS = 12, 10


def turn(angle_deg):
    a = np.deg2rad(angle_deg)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


def visium_positions(angle_deg=7.0, pixel_um=PIXEL_UM):
    """A small Visium array, turned, with off-tissue spots at its rim; Space Ranger rounds to whole pixels."""
    cells = [(row, 2 * column + row % 2) for row in range(ROWS) for column in range(COLUMNS)]
    rows, columns = np.array(cells).T
    um = np.column_stack([columns * 50.0, rows * 50.0 * np.sqrt(3.0)])
    px = np.rint(um @ turn(angle_deg).T / pixel_um + [900.0, 400.0]).astype(int)
    tissue = (rows > 1) & (rows < ROWS - 2)
    table = {
        "barcode": [f"{'ACGT'[n % 4]}{n:04d}-1" for n in range(len(cells))],
        "in_tissue": tissue.astype(int),
        "array_row": rows,
        "array_col": columns,
        "pxl_row_in_fullres": px[:, 1],
        "pxl_col_in_fullres": px[:, 0],
    }
    return pd.DataFrame(table)


def counts_of(barcodes, genes=5, seed=0):
    return sparse.csr_matrix(np.random.default_rng(seed).poisson(2.0, (len(barcodes), genes)).astype(np.int32))


def write_10x_h5(path, matrix, barcodes, names, kinds=None):
    kinds = kinds or ["Gene Expression"] * len(names)
    csr = sparse.csr_matrix(matrix)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(barcodes, "S")
        group["data"], group["indices"], group["indptr"] = csr.data, csr.indices, csr.indptr
        group["shape"] = np.array(csr.shape[::-1], np.int32)
        features = group.create_group("features")
        features["id"] = np.array([f"ENSG{n:03d}" for n in range(len(names))], "S")
        features["name"], features["feature_type"] = np.array(names, "S"), np.array(kinds, "S")
        features["genome"] = np.array(["GRCh38"] * len(names), "S")
        features["_all_tag_keys"] = np.array(["genome"], "S")


def write_mtx(folder, matrix, barcodes, names):
    folder.mkdir()
    with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
        scipy_io.mmwrite(file, sparse.csc_matrix(matrix).T)
    with gzip.open(folder / "barcodes.tsv.gz", "wt") as file:
        file.writelines(f"{name}\n" for name in barcodes)
    with gzip.open(folder / "features.tsv.gz", "wt") as file:
        file.writelines(f"ENSG{n:03d}\t{name}\tGene Expression\n" for n, name in enumerate(names))


def space_ranger(folder, *, layout="new", counts="h5", names=("A", "B", "C", "D", "E"), kinds=None, positions=None):
    table = visium_positions() if positions is None else positions
    (folder / "spatial").mkdir(parents=True)
    if layout == "new":
        table.to_csv(folder / "spatial" / "tissue_positions.csv", index=False)
    elif layout == "old":
        table.to_csv(folder / "spatial" / "tissue_positions_list.csv", index=False, header=False)
    factors = {"spot_diameter_fullres": 162.5, "tissue_hires_scalef": 0.1}
    (folder / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))
    barcodes = table.barcode[table.in_tissue == 1].tolist()
    matrix = counts_of(barcodes, len(names))
    if counts == "h5":
        write_10x_h5(folder / "filtered_feature_bc_matrix.h5", matrix, barcodes, names, kinds)
    else:
        write_mtx(folder / "filtered_feature_bc_matrix", matrix, barcodes, names)
    return folder, matrix


def st_files(folder, *, spots=60, pitch_px=290.0, seed=1):
    """An ST array in the spot detector's layout: names from array coordinates, measured positions beside them."""
    rng = np.random.default_rng(seed)
    cells = np.array([(x, y) for y in range(3, 11) for x in range(5, 15)])[:spots]
    measured = cells + rng.normal(0, 0.05, cells.shape)
    px = (measured - 1) * pitch_px + [100.0, -40.0]
    table = pd.DataFrame(
        {
            "x": cells[:, 0],
            "y": cells[:, 1],
            "new_x": measured[:, 0],
            "new_y": measured[:, 1],
            "pixel_x": px[:, 0],
            "pixel_y": px[:, 1],
            "selected": 1,
        }
    )
    table.to_csv(folder / "selection.tsv", sep="\t", index=False)
    names = [f"{x}x{y}" for x, y in cells]
    counts = pd.DataFrame(rng.poisson(3.0, (spots, 4)), index=names, columns=["ACTB", "CD3E", "NA", "MT-ND1"])
    counts.to_csv(folder / "counts.tsv.gz", sep="\t")
    return folder / "counts.tsv.gz", folder / "selection.tsv", counts, table


# --- the ruler -----------------------------------------------------------------------------------------------------


@given(st.floats(-180.0, 180.0), st.floats(0.1, 3.0), st.integers(0, 50))
def test_pitch_gives_the_scale_at_any_rotation_despite_strays(angle, pixel_um, seed):
    rng = np.random.default_rng(seed)
    cells = np.array([(2 * c + r % 2, r) for r in range(20) for c in range(15)], float)
    px = hexagonal(cells) * 100.0 @ turn(angle).T / pixel_um + rng.uniform(-999, 999, 2)
    px += rng.normal(0.0, 0.5, px.shape)
    strays = rng.choice(len(px), 15, replace=False)
    px[strays] += rng.normal(0.0, 400.0 / pixel_um, (15, 2))
    fit = fit_array(hexagonal(cells), px, "array")
    assert 100.0 / fit.px_per_unit == pytest.approx(pixel_um, rel=5e-3)
    assert not fit.mirrored
    assert fit_array(hexagonal(cells), px * [1, -1], "array").mirrored


def test_an_array_with_rows_and_columns_exchanged_does_not_fit():
    table = visium_positions(0.0)
    exchanged = table[["array_row", "array_col"]].to_numpy(float)
    px = table[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(float)
    with pytest.raises(InputError, match="expected pixel positions that follow the array, found a fit stretched by"):
        fit_array(hexagonal(exchanged), px, "array")


@pytest.mark.parametrize("count", [0, 2, 9])
def test_spots_in_a_line_are_no_ruler(count):
    line = np.column_stack([np.arange(count), np.zeros(count)]).astype(float)
    with pytest.raises(InputError, match="expected array positions that span the plane"):
        fit_array(line, line * 100, "array")


def test_hexagonal_arrays_are_told_by_their_doubled_columns():
    assert is_doubled(visium_positions()[["array_col", "array_row"]].to_numpy())
    assert not is_doubled(np.array([(x, y) for x in range(4) for y in range(4)], float))
    assert not is_doubled(np.array([(0.0, 0.0), (1.0, 1.0)]))


# --- Space Ranger --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["old", "new"])
@pytest.mark.parametrize("counts", ["h5", "mtx"])
def test_space_ranger_layouts_give_the_same_spots(tmp_path, layout, counts):
    folder, matrix = space_ranger(tmp_path / "outs", layout=layout, counts=counts)
    table = visium_positions()
    tissue = table[table.in_tissue == 1]
    data = read_spots(folder, section="S1")
    assert isinstance(data, AnnData)
    assert sparse.isspmatrix_csr(data.X)
    np.testing.assert_array_equal(data.X.toarray(), matrix.toarray())
    assert list(data.obs_names) == tissue.barcode.tolist()
    assert list(data.var_names) == list("ABCDE")
    expected = tissue[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(float)
    np.testing.assert_array_equal(data.obsm["spatial"], expected)
    assert data.obsm["spatial"].dtype == np.float64
    np.testing.assert_array_equal(data.obs["array_row"], tissue.array_row)
    np.testing.assert_array_equal(data.obs["array_col"], tissue.array_col)
    assert (data.obs["in_tissue"] == 1).all()
    assert set(data.obs["section"]) == {"S1"}
    assert data.uns["comould"]["pixel_size_um"] == pytest.approx(PIXEL_UM, rel=2e-3)
    assert data.uns["comould"]["pitch_um"] == 100.0
    assert data.uns["comould"]["source"] == "space_ranger"
    assert data.uns["spatial"]["S1"]["scalefactors"]["spot_diameter_fullres"] == 162.5
    # The parent of outs will do as well.
    np.testing.assert_array_equal(read_spots(tmp_path).obsm["spatial"], expected)


def test_parquet_positions(tmp_path):
    pytest.importorskip("pyarrow")
    folder, _ = space_ranger(tmp_path / "outs", layout="none")
    visium_positions().to_parquet(folder / "spatial" / "tissue_positions.parquet", index=False)
    assert read_spots(folder).uns["comould"]["pixel_size_um"] == pytest.approx(PIXEL_UM, rel=2e-3)


def test_binned_square_arrays_take_their_size_from_the_scale_factors(tmp_path):
    table = visium_positions(0.0)
    table[["array_row", "array_col"]] = [(n // 12, n % 12) for n in range(len(table))]
    um = table[["array_col", "array_row"]].to_numpy() * 8.0
    table[["pxl_col_in_fullres", "pxl_row_in_fullres"]] = um / 0.25
    folder, _ = space_ranger(tmp_path / "outs", positions=table)
    for microns, fine in ((0.25, True), (0.3, False)):
        factors = {"bin_size_um": 8.0, "microns_per_pixel": microns}
        (folder / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))
        if fine:
            assert read_spots(folder).uns["comould"]["pixel_size_um"] == pytest.approx(0.25)
        else:
            with pytest.raises(InputError, match=r"scalefactors_json.json: expected 0.3 µm .within 3 %., found 0.25"):
                read_spots(folder)


def test_stated_pixel_size_must_agree_with_the_array(tmp_path):
    folder, _ = space_ranger(tmp_path / "outs")
    assert read_spots(folder, pixel_size_um=0.405).uns["comould"]["pixel_size_um"] == 0.405
    with pytest.raises(InputError, match=r"expected 0.4 µm from a pitch of 100 µm .within 3 %., found 0.46 µm"):
        # 0.46 is what taking the stated spot diameter for 55 µm of a 65 µm spot would give.
        read_spots(folder, pixel_size_um=0.46)


def test_mirrored_arrays_are_told(tmp_path):
    table = visium_positions()
    table["pxl_col_in_fullres"] = 3000 - table["pxl_col_in_fullres"]
    folder, _ = space_ranger(tmp_path / "outs", positions=table)
    with pytest.warns(ComouldWarning, match="appears mirrored in the picture"):
        read_spots(folder)


def test_repeated_symbols_are_numbered_and_other_features_left_out(tmp_path):
    names = ("TBCE", "ACTB", "TBCE", "CD3", "IgG")
    kinds = ["Gene Expression"] * 4 + ["Antibody Capture"]
    folder, matrix = space_ranger(tmp_path / "outs", names=names, kinds=kinds)
    with pytest.warns(ComouldWarning) as warned:
        data = read_spots(folder)
    texts = " | ".join(str(w.message) for w in warned)
    assert "1 gene symbols occur more than once" in texts
    assert "1 features that are not gene expression are left out" in texts
    assert list(data.var_names) == ["TBCE", "ACTB", "TBCE-1", "CD3"]
    assert list(data.var["gene_ids"]) == ["ENSG000", "ENSG001", "ENSG002", "ENSG003"]
    np.testing.assert_array_equal(data.X.toarray(), matrix.toarray()[:, :4])


def test_spots_on_one_side_only_are_counted_and_left_out(tmp_path):
    table = visium_positions()
    folder, _ = space_ranger(tmp_path / "outs", positions=table)
    tissue = table.index[table.in_tissue == 1]
    table.drop(tissue[:3]).to_csv(folder / "spatial" / "tissue_positions.csv", index=False)
    with pytest.warns(ComouldWarning, match=r"3 of \d+ spots with counts have no position: left out"):
        data = read_spots(folder)
    assert data.n_obs == len(tissue) - 3
    table.loc[table.index[:2], "in_tissue"] = 1
    table.to_csv(folder / "spatial" / "tissue_positions.csv", index=False)
    with pytest.warns(ComouldWarning, match="2 positions on tissue have no counts: left out"):
        assert read_spots(folder).n_obs == len(tissue)


def test_what_is_written_reads_back(tmp_path):
    folder, _ = space_ranger(tmp_path / "outs")
    data = read_spots(folder, section="S1")
    data.write_h5ad(tmp_path / "spots.h5ad")
    plain = read_h5ad(tmp_path / "spots.h5ad")
    assert plain.uns["comould"]["pixel_size_um"] == data.uns["comould"]["pixel_size_um"]
    back = read_spots(tmp_path / "spots.h5ad")
    assert back.uns["comould"] == data.uns["comould"]
    np.testing.assert_array_equal(back.obsm["spatial"], data.obsm["spatial"])
    np.testing.assert_array_equal(back.X.toarray(), data.X.toarray())
    with pytest.raises(InputError, match=r"uns\['comould'\]\['pixel_size_um'\] of spots.h5ad: expected 0.4"):
        read_spots(tmp_path / "spots.h5ad", pixel_size_um=0.5)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda t: t.assign(barcode="same"), "expected every spot once, found 1 names more than once"),
        (lambda t: t.assign(pxl_row_in_fullres=np.nan), r"found 120 rows without, first data row 1 \(pxl_col"),
        (lambda t: t.assign(pxl_col_in_fullres="west"), "found 120 rows without, first data row 1 .*'west'"),
        (lambda t: t.rename(columns={"pxl_row_in_fullres": "rows"}), "expected pixel positions in columns"),
        (lambda t: t.assign(barcode=[f"X{n}" for n in range(len(t))]), "none in common"),
    ],
)
def test_broken_positions_are_refused(tmp_path, break_it, message):
    folder, _ = space_ranger(tmp_path / "outs")
    break_it(visium_positions()).to_csv(folder / "spatial" / "tissue_positions.csv", index=False)
    with pytest.raises(InputError, match=message):
        read_spots(folder)


def test_incomplete_folders_say_what_is_missing(tmp_path):
    folder, _ = space_ranger(tmp_path / "outs")
    (folder / "spatial" / "scalefactors_json.json").write_text("[1]")
    with pytest.raises(InputError, match="expected JSON scale factors"):
        read_spots(folder)
    (folder / "spatial" / "scalefactors_json.json").unlink()
    read_spots(folder)
    (folder / "spatial" / "tissue_positions.csv").unlink()
    with pytest.raises(InputError, match=r"expected spatial/tissue_positions.csv or .*Give positions="):
        read_spots(folder)
    (folder / "filtered_feature_bc_matrix.h5").write_bytes(b"\x89HDF not")
    visium_positions().to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(InputError, match="expected a 10x feature-barcode matrix"):
        read_spots(folder, positions=tmp_path / "p.csv")
    (folder / "filtered_feature_bc_matrix.h5").unlink()
    with pytest.raises(InputError, match=r"expected filtered_feature_bc_matrix.h5 or a folder"):
        read_spots(folder)
    with pytest.raises(InputError, match="expected a Space Ranger folder, h5ad or table of counts, found nothing"):
        read_spots(tmp_path / "nowhere")


# --- tables --------------------------------------------------------------------------------------------------------


def test_st_layout(tmp_path):
    counts_path, positions, counts, table = st_files(tmp_path)
    data = read_spots(counts_path, positions=positions, pitch_um=200, section="C2")
    assert list(data.obs_names) == list(counts.index)
    # A gene may be called NA.
    assert list(data.var_names) == ["ACTB", "CD3E", "NA", "MT-ND1"]
    np.testing.assert_array_equal(data.X.toarray(), counts.to_numpy())
    np.testing.assert_allclose(data.obsm["spatial"], table[["pixel_x", "pixel_y"]])
    np.testing.assert_array_equal(data.obs["array_col"], table.x)
    assert data.uns["comould"]["pixel_size_um"] == pytest.approx(200 / 290.0, rel=1e-6)
    assert data.uns["comould"]["source"] == "table"
    stated = read_spots(counts_path, positions=positions, pixel_size_um=0.7)
    assert stated.uns["comould"] == {"pixel_size_um": 0.7, "pitch_um": pytest.approx(203.0), "source": "table"}
    data.write_h5ad(tmp_path / "st.h5ad")
    assert read_spots(tmp_path / "st.h5ad").uns["comould"] == data.uns["comould"]


def test_genes_in_rows_are_turned_when_the_names_say_so(tmp_path):
    _, positions, counts, _ = st_files(tmp_path)
    counts.T.to_csv(tmp_path / "turned.csv")
    data = read_spots(tmp_path / "turned.csv", positions=positions, pitch_um=200)
    np.testing.assert_array_equal(data.X.toarray(), counts.to_numpy())


def test_header_without_a_name_for_the_spots(tmp_path):
    counts_path, positions, counts, _ = st_files(tmp_path)
    lines = gzip.decompress(counts_path.read_bytes()).decode().splitlines()
    (tmp_path / "r.tsv").write_text("\n".join([lines[0].lstrip("\t"), *lines[1:]]))
    data = read_spots(tmp_path / "r.tsv", positions=positions, pitch_um=200)
    assert list(data.var_names) == list(counts.columns)


def test_plain_tables_with_a_stated_pixel_size(tmp_path):
    counts_path, _, counts, table = st_files(tmp_path)
    plain = pd.DataFrame({"spot": counts.index, "x": table.pixel_x, "y": table.pixel_y})
    plain.to_csv(tmp_path / "named.csv", index=False)
    plain.to_csv(tmp_path / "bare.csv", index=False, header=False)
    for name in ("named.csv", "bare.csv"):
        data = read_spots(counts_path, positions=tmp_path / name, pixel_size_um=0.7)
        np.testing.assert_allclose(data.obsm["spatial"], plain[["x", "y"]])
        assert data.uns["comould"]["pitch_um"] == pytest.approx(200, rel=0.1)
        with pytest.raises(InputError, match="found none, and no array coordinates to measure it by"):
            read_spots(counts_path, positions=tmp_path / name)


def test_unnamed_positions_pair_by_order(tmp_path):
    counts_path, _, counts, table = st_files(tmp_path)
    # Names that are array coordinates check the order: a shuffled file does not fit the array.
    bare = table[["pixel_x", "pixel_y"]]
    bare.to_csv(tmp_path / "xy.csv", index=False, header=False)
    data = read_spots(counts_path, positions=tmp_path / "xy.csv", pitch_um=200)
    np.testing.assert_allclose(data.obsm["spatial"], bare)
    bare.sample(frac=1.0, random_state=1).to_csv(tmp_path / "shuffled.csv", index=False, header=False)
    with pytest.raises(InputError, match="expected pixel positions that follow the array"):
        read_spots(counts_path, positions=tmp_path / "shuffled.csv", pitch_um=200)
    bare[:-1].to_csv(tmp_path / "short.csv", index=False, header=False)
    with pytest.raises(InputError, match=r"expected 60 positions, one for each row of counts, found 59"):
        read_spots(counts_path, positions=tmp_path / "short.csv", pitch_um=200)
    counts.set_axis([f"s{n}" for n in range(60)], axis=0).to_csv(tmp_path / "named.csv")
    with pytest.warns(ComouldWarning, match="paired with the counts by order"):
        read_spots(tmp_path / "named.csv", positions=tmp_path / "xy.csv", pixel_size_um=0.7)


def test_10x_h5_with_positions_beside_it(tmp_path):
    table = visium_positions()
    table.to_csv(tmp_path / "p.csv", index=False)
    write_10x_h5(tmp_path / "m.h5", counts_of(table.barcode), table.barcode.tolist(), list("ABCDE"))
    data = read_spots(tmp_path / "m.h5", positions=tmp_path / "p.csv")
    assert data.uns["comould"]["source"] == "10x_h5"
    assert data.uns["comould"]["pixel_size_um"] == pytest.approx(PIXEL_UM, rel=2e-3)


def _with(counts, row, column, value):
    changed = counts.astype(object)
    changed.iloc[row, column] = value
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: _with(c, 2, 1, -3), "found 1 problem: 1 negative values"),
        (lambda c: _with(c, 2, 1, 0.5), "1 values that are not whole numbers. Give the raw counts"),
        (lambda c: _with(c, 2, 1, np.nan), "1 values that are not numbers"),
        (lambda c: _with(c, 2, 1, "many"), "expected counts, found 'many' in data row 3, column 3"),
        (lambda c: c.set_axis([c.index[0], *c.index[:-1]], axis=0), "1 spots named more than once, first '5x3'"),
        (lambda c: c.set_axis(["A", "B", "B", "C"], axis=1), "expected every gene once, found 1 names .* first 'B'"),
        (lambda c: c.set_axis([f"s{n}" for n in range(60)], axis=0), "none in common .counts 's0' "),
        (lambda c: c.iloc[:0], "expected a table of counts, spots in rows"),
    ],
)
def test_tables_that_hold_no_counts_are_refused(tmp_path, change, message):
    _, positions, counts, _ = st_files(tmp_path)
    change(counts).to_csv(tmp_path / "bad.csv")
    with pytest.raises(InputError, match=message):
        read_spots(tmp_path / "bad.csv", positions=positions, pitch_um=200)


def test_what_is_missing_is_asked_for(tmp_path):
    counts_path, positions, _, _ = st_files(tmp_path)
    with pytest.raises(InputError, match=r"expected counts and their positions, found counts only. Give positions="):
        read_spots(counts_path, pitch_um=200)
    with pytest.raises(InputError, match=r"or the pitch of the array, found neither. Give pixel_size_um=.* pitch_um="):
        read_spots(counts_path, positions=positions)
    with pytest.raises(InputError, match="expected a table, found no file"):
        read_spots(counts_path, positions=tmp_path / "none.csv", pitch_um=200)
    for name in ("pixel_size_um", "pitch_um"):
        with pytest.raises(InputError, match=f"{name} of counts.tsv.gz: expected a positive number, found -1"):
            read_spots(counts_path, positions=positions, **{name: -1})


# --- h5ad ----------------------------------------------------------------------------------------------------------


def visium_adata():
    table = visium_positions().set_index("barcode")
    data = AnnData(counts_of(table.index).astype(np.float32), obs=table[["in_tissue", "array_row", "array_col"]])
    data.obsm["spatial"] = table[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    return data


def test_h5ad_takes_its_scale_from_the_array_or_from_what_is_stated(tmp_path):
    data = visium_adata()
    data.write_h5ad(tmp_path / "a.h5ad")
    assert read_spots(tmp_path / "a.h5ad").uns["comould"]["pixel_size_um"] == pytest.approx(PIXEL_UM, rel=2e-3)
    del data.obs["array_row"]
    data.X = data.X.toarray()
    data.write_h5ad(tmp_path / "b.h5ad")
    with pytest.raises(InputError, match=r"no array coordinates to measure it by. Give pixel_size_um="):
        read_spots(tmp_path / "b.h5ad")
    back = read_spots(tmp_path / "b.h5ad", pixel_size_um=0.4)
    assert sparse.isspmatrix_csr(back.X)
    assert back.uns["comould"]["pitch_um"] == pytest.approx(100, rel=0.02)
    with pytest.raises(InputError, match="expected none: an h5ad has its own, found a table"):
        read_spots(tmp_path / "b.h5ad", positions=tmp_path / "b.csv")


def test_h5ad_without_raw_counts_is_kept_and_told(tmp_path):
    data = visium_adata()
    data.X = np.log1p(data.X.toarray())
    data.write_h5ad(tmp_path / "a.h5ad")
    with pytest.warns(ComouldWarning, match=r"X holds no raw counts .* kept as it is"):
        back = read_spots(tmp_path / "a.h5ad")
    np.testing.assert_allclose(back.X.toarray(), data.X)


def test_broken_h5ad_lists_its_problems(tmp_path):
    data = visium_adata()
    data.obsm["spatial"] = data.obsm["spatial"].astype(float)
    data.obsm["spatial"][3] = np.nan
    data.X[0, 0] = np.nan
    data.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match="2 problems: 1 spots have a position that is not a number; 1 values that"):
        read_spots(tmp_path / "a.h5ad")
    del data.obsm["spatial"]
    data.obsm["X_umap"] = np.zeros((data.n_obs, 2))
    data.write_h5ad(tmp_path / "b.h5ad")
    with pytest.raises(InputError, match="obsm holds X_umap, not 'spatial'"):
        read_spots(tmp_path / "b.h5ad")
    (tmp_path / "c.h5ad").write_bytes(b"nothing")
    with pytest.raises(InputError, match="expected an HDF5 file"):
        read_spots(tmp_path / "c.h5ad")


# --- real data -----------------------------------------------------------------------------------------------------


def test_real_space_ranger_folder(test_data):
    with pytest.warns(ComouldWarning, match="4135 positions on tissue have no counts"):
        data = read_spots(test_data / "visium_geometry" / "scanpy_1.0.0")
    assert data.shape == (100, 100)
    assert data.X.sum() == 932
    size = data.uns["comould"]["pixel_size_um"]
    assert size == pytest.approx(0.7252, abs=2e-4)
    # Space Ranger's "spot diameter" is 65 µm by the pitch, not the 55 µm of a spot.
    diameter = data.uns["spatial"]["section"]["scalefactors"]["spot_diameter_fullres"]
    assert diameter * size == pytest.approx(65, abs=0.5)


def test_real_h5ad(test_data):
    path = test_data / "visium_geometry" / "squidpy_test_data.h5ad"
    with pytest.warns(ComouldWarning, match="no raw counts"):
        data = read_spots(path, pixel_size_um=0.7)
    assert data.shape == (49, 1999)
    annotated = test_data / "visium_breast_blockA_annot" / "test_data.h5"
    with pytest.warns(ComouldWarning, match="no raw counts"):
        data = read_spots(annotated)
    assert data.uns["comould"]["pixel_size_um"] == pytest.approx(0.3654, abs=2e-4)
    table = pd.read_csv(test_data / "visium_breast_blockA_annot" / "v1_human_breast_cancer_block_a_section_1.csv")
    # One of the barcodes has no annotation.
    assert len(set(data.obs_names) & set(table["ID"])) == 315


@pytest.mark.parametrize(
    ("section", "spots", "genes", "total", "size"),
    [("C2", 187, 15706, 1926633, 0.6881), ("C3", 180, 15821, 2033498, 0.6874)],
)
def test_real_st_sections(test_data, section, spots, genes, total, size, recwarn):
    root = test_data / "her2st"
    positions = root / "spots" / f"{section}_selection.tsv"
    data = read_spots(root / "counts" / f"{section}.tsv.gz", positions=positions, pitch_um=200, section=section)
    assert data.shape == (spots, genes)
    assert data.X.sum() == pytest.approx(total)
    assert data.uns["comould"]["pixel_size_um"] == pytest.approx(size, abs=1e-4)
    told = [str(w.message) for w in recwarn if w.category is ComouldWarning]
    assert told == (["2 positions on tissue have no counts: left out"] if section == "C3" else [])


def test_real_stack_in_array_units(test_data):
    root = test_data / "paste_breast"
    data = read_spots(root / "slice1.csv.gz", positions=root / "slice1_coor.csv", pitch_um=200)
    assert data.shape == (254, 7998)
    assert data.uns["comould"]["pixel_size_um"] == pytest.approx(200)
    expected = np.loadtxt(root / "slice1_coor.csv", delimiter=",")
    np.testing.assert_allclose(data.obsm["spatial"], expected)
