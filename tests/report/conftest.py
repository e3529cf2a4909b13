"""A page read back: tags balanced, and everything a test asks about."""

import importlib.util
from html.parser import HTMLParser
from pathlib import Path

import pytest

VOID = {"meta", "img", "source", "br", "link", "input", "hr", "rect"}


class Page(HTMLParser):
    """Tags balanced, and everything a test asks about."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.ids, self.links, self.words = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [v for k, v in attrs if k == "id"]
        self.links += [v for k, v in attrs if k in {"href", "src", "srcset", "action", "data"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="session")
def read_page():
    """Parse a page; unbalanced tags fail."""
    return Page


@pytest.fixture(scope="session")
def browser():
    """Helpers that look at a page with Chromium; skips when there is none."""
    spec = importlib.util.spec_from_file_location("browser", Path(__file__).with_name("browser.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.chromium()
    return module
