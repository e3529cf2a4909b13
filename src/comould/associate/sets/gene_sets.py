"""Gene sets: small, sourced, versioned ones of our own (``genesets/*.yaml``), and GMT files of the user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, overload

import yaml

from comould.errors import InputError


class Resolved(NamedTuple):
    """What of a gene set a table holds.

    Parameters
    ----------
    found
        Names as the table writes them, each once, in the set's order.
    missing
        Symbols of the set, as published, that the table has under no name.
    """

    found: tuple[str, ...]
    missing: tuple[str, ...]


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
    aliases
        Gene to its other symbols (today's for an old one, and the other way about), kept as pairs. They do not count as
        genes of the set; :meth:`resolved` looks for them where the published symbol is not there.
    """

    name: str
    genes: tuple[str, ...]
    doi: str = ""
    source: str = ""
    title: str = ""
    licence: str = ""
    version: str = ""
    aliases: Mapping[str, Iterable[str]] | tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "genes", tuple(dict.fromkeys(self.genes)))
        pairs = self.aliases
        if isinstance(pairs, Mapping):
            pairs = tuple((gene, other) for gene, others in pairs.items() for other in others)
            object.__setattr__(self, "aliases", pairs)
        if not self.name or not self.genes or not all(isinstance(g, str) and g for g in self.genes):
            raise InputError(
                subject=f"gene set {self.name!r}", expected="a name and at least one gene", found=f"{self.genes!r}"
            )
        if strangers := sorted({gene for gene, _ in pairs} - set(self.genes)):
            raise InputError(
                subject=f"aliases of gene set {self.name!r}", expected="genes of the set", found=", ".join(strangers)
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self.genes)

    def __len__(self) -> int:
        return len(self.genes)

    def resolved(self, names: Iterable[object]) -> Resolved:
        """Find the set's genes among the names of a table, by their published symbol or else by an alias.

        Parameters
        ----------
        names
            Names of the table's genes, matched letter by letter.
        """
        return resolve(self, names)


def resolve(geneset: Iterable[str], names: Iterable[object]) -> Resolved:
    """As :meth:`GeneSet.resolved`, for any list of genes: those that are no :class:`GeneSet` have no aliases."""
    there = set(map(str, names))
    others: dict[str, list[str]] = {}
    for gene, other in getattr(geneset, "aliases", ()):
        others.setdefault(gene, []).append(other)
    found: dict[str, None] = {}
    missing = []
    for gene in dict.fromkeys(map(str, geneset)):
        name = next((each for each in (gene, *others.get(gene, ())) if each in there), None)
        if name is None:
            missing.append(gene)
        else:
            found[name] = None
    return Resolved(tuple(found), tuple(missing))


@overload
def genesets(name: None = None) -> tuple[str, ...]: ...


@overload
def genesets(name: str | Iterable[str]) -> dict[str, GeneSet]: ...


def genesets(name: str | Iterable[str] | None = None) -> dict[str, GeneSet] | tuple[str, ...]:
    """Load built-in collections by name, or list them.

    Parameters
    ----------
    name
        ``"immune"``: the T-cell-inflamed profile of 18 genes and cytolytic activity. ``"microenvironment"``: the ten
        cell populations of MCP-counter. ``"hypoxia"``, ``"proliferation"``, ``"stroma"`` (fibroblasts' response to
        TGF-β), ``"housekeeping"`` (genes meant to differ nowhere: a negative control). Several names at a time, or
        ``"all"``. Without a name the names are listed.

    Returns
    -------
    dict of str to GeneSet, or tuple of str
        Human symbols as published, with aliases, DOI, source and licence note; or the names of the collections.

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
    if name is None:
        return tuple(sorted(known))
    wanted = [name] if isinstance(name, str) else list(name)
    if wanted == ["all"]:
        wanted = sorted(known)
    if unknown := [each for each in wanted if each not in known]:
        raise InputError(
            subject=f"gene sets {', '.join(map(repr, unknown))}",
            expected=f"one of {', '.join(sorted(known))}",
            found="none of that name",
            remedy="Use read_gmt for your own",
        )
    return {
        entry["name"]: _made(entry, str(known[each]["version"])) for each in wanted for entry in known[each]["sets"]
    }


def _made(entry: Mapping[str, Any], version: str) -> GeneSet:
    return GeneSet(
        name=entry["name"],
        genes=tuple(entry["genes"]),
        version=version,
        aliases=entry.get("aliases", ()),
        **{key: str(entry[key]) for key in ("doi", "source", "title", "licence")},
    )


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
