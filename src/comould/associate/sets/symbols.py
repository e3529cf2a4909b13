"""What gene names look like, and why the genes of a set may not be among them. No AnnData here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

ENSEMBL = re.compile(r"^ENS[A-Z]*G\d{6,}(\.\d+)?$")
_GENOME = re.compile(r"^(GRC[a-z]\d+|hg\d+|mm\d+|rn\d+|mRatBN[\d.]+)(-[A-Za-z0-9.-]+)?_+(?=[^_])")
_MOUSE_STYLE = re.compile(r"^(?=.*[a-z])[A-Z][a-z0-9.-]+$")
_LOOKED_AT = 2000


@dataclass(frozen=True)
class SymbolCheck:
    """How a table's genes are named.

    Parameters
    ----------
    n_genes
        Names in all.
    ensembl, mouse_style, prefixed
        Share (0 to 1) of the names looked at (about 2,000, evenly spread) that are Ensembl gene ids, that are written
        as mouse and rat symbols are (``Cd8a``), and that carry a genome's name (``GRCh38_CD8A``, ``mm10___Cd8a``).
    genomes
        The genomes named.
    repeated
        Names that occur more than once, in order.
    """

    n_genes: int
    ensembl: float
    mouse_style: float
    prefixed: float
    genomes: tuple[str, ...]
    repeated: tuple[str, ...]

    @property
    def kind(self) -> str:
        """``"mixed species"`` (two genomes), ``"prefixed"`` (one), ``"ensembl"``, ``"mouse"`` or ``"symbols"``."""
        if self.prefixed > 0.5:
            return "mixed species" if len(self.genomes) > 1 else "prefixed"
        if self.ensembl > 0.5:
            return "ensembl"
        return "mouse" if self.mouse_style > 0.5 else "symbols"


def check_symbols(names: Iterable[object]) -> SymbolCheck:
    """Look at the names of a table's genes.

    Parameters
    ----------
    names
        ``(n_genes,)``, in the table's order.

    Returns
    -------
    SymbolCheck
        Kinds by share, genomes named, and names given twice.

    Examples
    --------
    >>> check_symbols(["GRCh38_CD8A", "mm10___Cd8a"]).kind
    'mixed species'
    """
    listed = [str(name) for name in names]
    seen: set[str] = set()
    repeated = dict.fromkeys(name for name in listed if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    # Mixed tables list one genome after the other: a stride sees both.
    some = list(islice(listed, 0, None, max(1, -(-len(listed) // _LOOKED_AT))))
    found = [_GENOME.match(name) for name in some]
    bare = [without_genome(name) for name in some]
    share = 1 / max(len(some), 1)
    return SymbolCheck(
        n_genes=len(listed),
        ensembl=share * sum(bool(ENSEMBL.match(name)) for name in bare),
        mouse_style=share * sum(bool(_MOUSE_STYLE.match(name)) for name in bare),
        prefixed=share * sum(match is not None for match in found),
        genomes=tuple(dict.fromkeys(match.group(1) for match in found if match)),
        repeated=tuple(repeated),
    )


def without_genome(name: str) -> str:
    """Take a genome's name off a gene's: ``GRCh38_CD8A`` and ``mm10___Cd8a`` become ``CD8A`` and ``Cd8a``."""
    return _GENOME.sub("", name)


def missing_hint(names: Iterable[object], missing: Iterable[str]) -> str:
    """Say why genes may be missing altogether, as a clause in brackets to end a sentence with.

    Parameters
    ----------
    names
        Names of the table's genes.
    missing
        Symbols that are not among them.

    Returns
    -------
    str
        Empty where nothing explains it; it starts with a space otherwise.
    """
    listed = [str(name) for name in names]
    check = check_symbols(listed)
    if check.kind in {"mixed species", "prefixed"}:
        genomes = ", ".join(check.genomes)
        return f" (genes here carry the name of their genome, {genomes}: keep one species and take the prefix off)"
    if check.kind == "ensembl":
        return " (genes here are named by Ensembl id: use symbols)"
    lower = {name.lower() for name in listed}
    if any(gene.lower() in lower for gene in missing):
        return " (they are there in another letter case: another species?)"
    return ""
