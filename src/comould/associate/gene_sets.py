"""Gene sets: small, sourced, versioned ones of our own (``genesets/*.yaml``), and GMT files of the user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from comould.errors import InputError


@dataclass(frozen=True)
class GeneSet:
    """Genes that are read as one, and who says so. Iterates over its genes.

    Parameters
    ----------
    name
        Unique in its collection.
    genes
        Symbols, each once, in the source's order.
    doi, source, title, licence
        Where it comes from; empty for a user's own.
    version
        Of the collection it is part of.
    """

    name: str
    genes: tuple[str, ...]
    doi: str = ""
    source: str = ""
    title: str = ""
    licence: str = ""
    version: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "genes", tuple(dict.fromkeys(self.genes)))
        if not self.name or not self.genes or not all(isinstance(g, str) and g for g in self.genes):
            raise InputError(
                subject=f"gene set {self.name!r}", expected="a name and at least one gene", found=f"{self.genes!r}"
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self.genes)

    def __len__(self) -> int:
        return len(self.genes)


def genesets(name: str) -> dict[str, GeneSet]:
    """Load a built-in collection by name.

    Parameters
    ----------
    name
        ``"immune"``: the T-cell-inflamed profile of 18 genes and cytolytic activity.

    Returns
    -------
    dict of str to GeneSet
        Human symbols, with DOI, source and licence note.

    Raises
    ------
    InputError
        If there is no collection of that name; the message lists them.

    Examples
    --------
    >>> list(genesets("immune")["cytolytic_activity"])
    ['GZMA', 'PRF1']
    """
    known = _collections()
    if name not in known:
        raise InputError(
            subject=f"gene sets {name!r}",
            expected=f"one of {', '.join(sorted(known))}",
            found="none of that name",
            remedy="Use read_gmt for your own",
        )
    data = known[name]
    version = str(data["version"])
    return {
        entry["name"]: GeneSet(
            name=entry["name"],
            genes=tuple(entry["genes"]),
            version=version,
            **{key: str(entry[key]) for key in ("doi", "source", "title", "licence")},
        )
        for entry in data["sets"]
    }


@cache
def _collections() -> dict[str, dict[str, Any]]:
    folder = files("comould.associate") / "genesets"
    loaded = [yaml.safe_load(f.read_text(encoding="utf-8")) for f in folder.iterdir() if f.name.endswith(".yaml")]
    return {data["name"]: data for data in loaded}


def read_gmt(path: str | Path) -> dict[str, GeneSet]:
    """Read a GMT file: a set a line, tab-separated name, description, genes.

    Parameters
    ----------
    path
        Text file, UTF-8; blank lines are passed over. A description that is a link or DOI is kept as the source.

    Returns
    -------
    dict of str to GeneSet
        In the file's order; a gene listed twice in a set counts once.

    Raises
    ------
    InputError
        If the file cannot be read or lines are not sets; every bad line is named.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise InputError(subject=f"gene sets {path}", expected="a GMT text file", found=reason) from error
    found: dict[str, GeneSet] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, *rest = (part.strip() for part in line.split("\t"))
        genes = tuple(gene for gene in rest[1:] if gene)
        if not name or not genes:
            problems.append(f"line {number} is not name, description and genes separated by tabs")
        elif name in found:
            problems.append(f"line {number} names {name!r} a second time")
        else:
            found[name] = GeneSet(name, genes, source=rest[0])
    if not found and not problems:
        problems.append("it holds no set")
    if problems:
        raise InputError.collect(subject=f"gene sets {path}", problems=problems)
    return found
