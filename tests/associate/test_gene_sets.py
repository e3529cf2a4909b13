"""gene_sets.py: ours are sourced, the user's are read or refused line by line."""

import re

import pytest

from comould import associate
from comould.errors import InputError


def test_built_in_sets_say_where_they_come_from():
    sets = associate.genesets("immune")
    assert {name: len(each) for name, each in sets.items()} == {"T_cell_inflamed_18": 18, "cytolytic_activity": 2}
    assert tuple(sets["cytolytic_activity"]) == ("GZMA", "PRF1")
    assert {"TIGIT", "PSMB10", "HLA-DQA1", "CD8A"} <= set(sets["T_cell_inflamed_18"])
    for each in sets.values():
        assert re.fullmatch(r"10\.\d{4,}/\S+", each.doi)
        assert each.version == "1"
        assert each.source
        assert "facts" in each.licence


def test_an_unknown_collection_lists_the_known():
    with pytest.raises(InputError, match=r"gene sets 'imune': expected one of housekeeping, .*immune, .*read_gmt"):
        associate.genesets("imune")
    with pytest.raises(InputError, match="gene sets 'a', 'b': expected"):
        associate.genesets(("a", "immune", "b"))


def test_every_collection_is_listed_sourced_and_named_apart():
    names = associate.genesets()
    assert {"immune", "hypoxia", "microenvironment", "proliferation", "stroma", "housekeeping"} <= set(names)
    every = associate.genesets("all")
    assert len(every) == sum(len(associate.genesets(name)) for name in names)
    for each in every.values():
        assert re.fullmatch(r"10\.\d{4,}/\S+", each.doi)
        assert re.search(r"\(\d{4}\)", each.source)
        assert each.licence
        assert each.title
        assert hash(each) is not None


@pytest.mark.parametrize(
    ("name", "size", "some"),
    [
        ("Buffa_hypoxia_15", 15, {"ADM", "NDRG1", "VEGFA", "ACOT7"}),
        ("PAM50_proliferation_11", 11, {"MKI67", "CDCA1", "KNTC2"}),
        ("pan_F_TBRS_19", 19, {"ACTA2", "TAGLN", "CTGF"}),
        ("housekeeping_11", 11, {"C1orf43", "VPS29"}),
        ("MCP_T_cells", 16, {"CD3D", "TRAT1"}),
        ("MCP_CD8_T_cells", 1, {"CD8B"}),
        ("MCP_Endothelial_cells", 33, {"VWF", "PEAR1", "CAVIN2"}),
        ("MCP_Fibroblasts", 8, {"DCN", "PAMR1"}),
    ],
)
def test_sets_are_as_published(name, size, some):
    found = associate.genesets("all")[name]
    assert len(found) == size
    assert some <= set(found)


def test_mcp_counter_has_its_ten_populations():
    assert len(associate.genesets("microenvironment")) == 10
    assert sum(map(len, associate.genesets("microenvironment").values())) == 111


def test_several_collections_at_a_time():
    both = associate.genesets(("immune", "hypoxia"))
    assert list(both) == ["T_cell_inflamed_18", "cytolytic_activity", "Buffa_hypoxia_15"]


def test_a_gene_is_found_under_an_alias_only_when_its_own_symbol_is_not_there():
    mine = associate.GeneSet("x", ("CTGF", "MKI67", "CDCA1", "NONE"), aliases={"CTGF": ["CCN2"], "CDCA1": ("NUF2",)})
    assert mine.resolved(["CCN2", "NUF2", "MKI67", "OTHER"]) == (("CCN2", "MKI67", "NUF2"), ("NONE",))
    assert mine.resolved(["CCN2", "CTGF"]).found == ("CTGF",)
    assert mine.resolved([]).missing == mine.genes


def test_two_genes_that_are_one_today_count_once():
    mine = associate.GeneSet("x", ("OLD1", "OLD2"), aliases={"OLD1": ["NEW"], "OLD2": ["NEW"]})
    assert mine.resolved(["NEW"]) == (("NEW",), ())


def test_an_alias_of_a_gene_that_is_not_in_the_set_is_an_error():
    with pytest.raises(InputError, match="aliases of gene set 'x': expected genes of the set, found C"):
        associate.GeneSet("x", ("A",), aliases={"C": ["D"]})


def test_a_gene_counts_once():
    assert associate.GeneSet("x", ("A", "B", "A")).genes == ("A", "B")


@pytest.mark.parametrize(("name", "genes"), [("", ("A",)), ("x", ()), ("x", ("",))])
def test_a_set_without_name_or_genes_is_an_error(name, genes):
    with pytest.raises(InputError, match="expected a name and at least one gene"):
        associate.GeneSet(name, genes)


def test_gmt_files_are_read_in_order(tmp_path):
    path = tmp_path / "mine.gmt"
    path.write_text("\ufeffZ set\thttp://example.org\tCD3E\tCD8A\tCD3E\t\n\nA set\tna\tKRT8\n", encoding="utf-8")
    sets = associate.read_gmt(path)
    assert list(sets) == ["Z set", "A set"]
    assert sets["Z set"].genes == ("CD3E", "CD8A")
    assert sets["Z set"].source == "http://example.org"
    assert associate.read_gmt(str(path)).keys() == sets.keys()


def test_every_bad_line_of_a_gmt_file_is_named(tmp_path):
    path = tmp_path / "bad.gmt"
    path.write_text("one\tna\tA\nno tabs here\none\tna\tB\n\tna\tC\nempty\tna\t\n", encoding="utf-8")
    with pytest.raises(
        InputError, match=r"4 problems: line 2 is not .*line 3 names 'one' a second time.*line 4.*line 5"
    ):
        associate.read_gmt(path)


@pytest.mark.parametrize(("content", "message"), [(b"\n\n", "holds no set"), (b"\xff\xfe\x00", "GMT text file")])
def test_files_that_are_no_gmt_are_an_error(tmp_path, content, message):
    path = tmp_path / "file.gmt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        associate.read_gmt(path)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        associate.read_gmt(tmp_path / "none.gmt")
