"""The validation report: what was asked and what was reached, read out of the benchmarks' own page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

WANTED = re.compile(r"\(?[Ww]anted:\s*(?P<asked>(?:[^)|;.]|\.(?=\d))+)[;).]?")
ELSEWHERE = "see the table"


@dataclass(frozen=True)
class Asked:
    """One figure.

    Parameters
    ----------
    heading
        Of the benchmark.
    what, asked, reached
        In the benchmark's own words.
    """

    heading: str
    what: str
    asked: str
    reached: str


def page(benchmarks: str) -> str:
    """Put a table of all figures that were asked for above the benchmarks."""
    rows = "\n".join(f"| {one.heading} | {one.what} | {one.asked} | {one.reached} |" for one in figures(benchmarks))
    body = re.sub(r"^# .*\n", "", benchmarks, count=1)
    return (
        "# Validation report\n\nMade from the benchmarks when this documentation is built. Figures that were not "
        "reached stand beside those that were.\n\n"
        "## Asked and reached\n\n| benchmark | what | asked | reached |\n| --- | --- | --- | --- |\n"
        f"{rows}\n\n## Every benchmark\n{re.sub(r'^## ', '### ', body, flags=re.MULTILINE)}"
    )


def figures(benchmarks: str) -> Iterator[Asked]:
    """Read all figures that something was wanted of, from tables and from sentences."""
    for part in re.split(r"^## ", benchmarks, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        heading = title.split(" – ")[0]
        for block in re.split(r"\n\s*\n", body):
            lines = block.strip().splitlines()
            if len(lines) > 2 and lines[0].startswith("|"):
                yield from _of_table(heading, [_cells(line) for line in lines if line.startswith("|")])
            else:
                yield from _of_text(heading, " ".join(lines))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _of_table(heading: str, rows: list[list[str]]) -> Iterator[Asked]:
    names, last = rows[0], ""
    column = names.index("wanted") if "wanted" in names else None
    for row in rows[2:]:
        last = row[0] or last
        if column is not None:
            if row[column]:
                what = " ".join(dict.fromkeys(filter(None, (last, row[1] if column > 1 else ""))))
                ours = [name for name in ("ours", "measured") if name in names]
                yield Asked(heading, what, row[column], row[names.index(ours[0])] if ours else "")
            continue
        for n, cell in enumerate(row):
            found = WANTED.search(cell)
            if found:
                yield _of_cell(heading, names, row, n, found["asked"].strip())


def _of_cell(heading: str, names: list[str], row: list[str], n: int, asked: str) -> Asked:
    """Take a cell as a value if a number is left of it, else as part of the row's name."""
    rest = WANTED.sub("", row[n]).strip(" ,")
    if n and re.search(r"\d", rest):
        return Asked(heading, f"{row[0].strip('*')}, {names[n]}", asked, rest)
    what = ", ".join(part for part in (WANTED.sub("", row[0]).strip(" ,*") if n else "", rest.strip("* ")) if part)
    others = [(name, cell) for k, (name, cell) in enumerate(zip(names, row, strict=True)) if k and k != n and cell]
    shown = [(name, cell) for name, cell in others if "**" in cell] or others
    return Asked(heading, what.replace("**", ""), asked, "; ".join(f"{name} {cell}" for name, cell in shown))


def _of_text(heading: str, text: str) -> Iterator[Asked]:
    for sentence in re.split(r"(?<=[a-z)])\.\s+|(?<=[a-z])\.\s+(?=[A-Z])|^- ", text):
        for found in WANTED.finditer(sentence):
            clause = re.split(r"[;:]\s|,\s(?=\d)", sentence[: found.start()].strip(" ,;-"))
            whole = clause[-1].count("(") == clause[-1].count(")")
            measured = len(clause) > 1 and whole and re.match(r"(peak )?\d", clause[-1].strip())
            what, reached = (clause[0], clause[-1]) if measured else (", ".join(clause), ELSEWHERE)
            yield Asked(heading, what.strip(), found["asked"].strip(), reached.strip())
