"""symbols.py: how genes are named, on names as the platforms write them."""

import pytest

from comould.associate.sets.symbols import check_symbols, missing_hint, without_genome

HUMAN = ["CD8A", "C1orf43", "HLA-DRB1", "MT-CO1", "AC012345.2", "KRT8"]
MOUSE = ["Cd8a", "Krt8", "mt-Co1", "Gm1234", "H2-D1"]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (HUMAN, "symbols"),
        (MOUSE, "mouse"),
        (["ENSG00000153563", "ENSG00000170421.12"], "ensembl"),
        (["ENSMUSG00000053977"], "ensembl"),
        ([f"GRCh38_{gene}" for gene in HUMAN] + [f"mm10___{gene}" for gene in MOUSE], "mixed species"),
        ([f"GRCh38______{gene}" for gene in HUMAN], "prefixed"),
        (["GRCh38-2020-A_CD8A", "GRCm39_Cd8a"], "mixed species"),
        (["hg19_ENSG00000153563"], "prefixed"),
        ([], "symbols"),
    ],
)
def test_the_kind_of_names_is_told(names, kind):
    assert check_symbols(names).kind == kind


def test_a_second_genome_far_down_a_long_table_is_seen():
    names = [f"GRCh38_G{number}" for number in range(30_000)] + [f"mm10___g{number}" for number in range(20_000)]
    check = check_symbols(names)
    assert check.genomes == ("GRCh38", "mm10")
    assert check.n_genes == 50_000


def test_names_given_twice_are_listed_in_order():
    assert check_symbols(["B", "A", "B", "A", "B"]).repeated == ("B", "A")


def test_the_genome_comes_off_and_nothing_else():
    assert without_genome("GRCh38_CD8A") == "CD8A"
    assert without_genome("mm10___Cd8a") == "Cd8a"
    assert without_genome("Y_RNA") == "Y_RNA"
    assert without_genome("HLA-A") == "HLA-A"


def test_hints():
    assert "Ensembl id: use symbols" in missing_hint(["ENSG00000153563"], ["CD8A"])
    assert "another letter case" in missing_hint(["Cd8a"], ["CD8A"])
    assert "genome, GRCh38, mm10: keep one species" in missing_hint(["GRCh38_CD8A", "mm10___Cd8a"], ["CD8A"])
    assert missing_hint(HUMAN, ["FOO"]) == ""
