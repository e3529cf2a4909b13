"""The pages that are made when the documentation is built: figures asked and reached, links, namespaces."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

BENCHMARKS = """# Benchmarks

## Speed – `python benchmarks/speed.py`

| case | CPU s | MB |
| --- | --- | --- |
| first | 5.5 | 90 |
| **whole** | **1.9** (wanted: 1.5) | 80 |
| **many** (wanted: ≤ 5 s) | **0.8** | 190 |

Ten points: 2.5 s at first, 0.8 s later (wanted: ≤ .5 s).

## Pairs – `python benchmarks/pairs.py`

Wanted: ≤ .08. The last column is something else.

| data | measure | theirs | ours | wanted |
| --- | --- | --- | --- | --- |
| Brain | Dice | .8 | **.82** | .86 |
| | nothing asked | .1 | .2 | |
"""


@pytest.fixture
def docs(monkeypatch):
    """Import a module of the documentation's folder, which is no package."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    names = ("asked", "links", "pages")
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


def test_figures_are_read_from_cells_columns_and_sentences(docs):
    found = [(one.heading, one.what, one.asked, one.reached) for one in docs("asked").figures(BENCHMARKS)]
    assert found == [
        ("Speed", "whole, CPU s", "1.5", "**1.9**"),
        ("Speed", "many", "≤ 5 s", "CPU s **0.8**"),
        ("Speed", "Ten points", "≤ .5 s", "0.8 s later"),
        ("Pairs", "", "≤ .08", "see the table"),
        ("Pairs", "Brain Dice", ".86", "**.82**"),
    ]


def test_every_figure_of_the_real_page_is_in_the_report(docs):
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    found = list(docs("asked").figures(text))
    assert len(found) >= text.lower().count("wanted:")
    assert all(one.asked and one.reached for one in found)
    page = docs("asked").page(text)
    assert page.count("\n# ") == 0
    assert all(heading in page for heading in ("## Asked and reached", "### Points"))


def test_links_out_of_the_folder_lead_to_what_stands_for_them(docs):
    source = ["[a](../benchmarks/README.md#x) [b](images/b.png) [c](../src/comould/errors.py) [d](../../notebooks)"]
    docs("links").inward(None, "decisions/0001", source)
    assert source == ["[a](../validation.md#x) [b](images/b.png) c [d](../notebooks.md)"]


def test_every_public_name_of_a_namespace_is_on_its_page(docs):
    import comould.register

    page = docs("pages").namespace("register", "Sections")
    assert all(f"comould.register.{name}\n" in page for name in comould.register.__all__)


def test_every_command_is_on_its_page(docs):
    page = docs("pages").commands()
    for command in ("demo", "mould", "register", "associate", "export", "power"):
        assert f"\n## comould {command}\n" in page
    assert "`--out`" in page


@pytest.mark.parametrize(
    "path", ["README.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md"))]
)
def test_python_on_a_page_can_be_read(path):
    """Sphinx warns of a block it cannot colour, and a reader cannot paste it."""
    for block in re.findall(r"```python\n(.*?)```", (ROOT / path).read_text(encoding="utf-8"), flags=re.DOTALL):
        ast.parse(block)
