"""Links that lead out of ``docs`` on a code host, turned to the pages that stand for them here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

STANDS_FOR = {"benchmarks/README.md": "validation.md", "notebooks": "notebooks.md", "CHANGELOG.md": "changelog.md"}
OUTWARD = re.compile(r"\[(?P<text>[^\]]*)\]\((?:\.\./)+(?P<path>[^)#\s]+)(?P<anchor>#[^)]*)?\)")


def inward(_app: Sphinx, page: str, source: list[str]) -> None:
    """Replace links out of the folder by the page that stands for them; others become their text."""
    up = "../" * page.count("/")

    def replaced(found: re.Match[str]) -> str:
        target = STANDS_FOR.get(found["path"].rstrip("/"))
        return f"[{found['text']}]({up}{target}{found['anchor'] or ''})" if target else found["text"]

    source[0] = OUTWARD.sub(replaced, source[0])
