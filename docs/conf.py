"""Settings of the documentation; ``python -m sphinx -W -b html docs out`` builds it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

import links
import pages

from comould import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "comould"
author = "The comould developers"
project_copyright = "The comould developers; BSD-3-Clause"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["README.md"]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 100
smartquotes = False

html_theme = "furo"
html_title = "comould"
html_static_path: list[str] = []
html_show_sourcelink = False


def setup(app: Sphinx) -> None:
    """Write the pages that are made from other files, and let links out of this folder lead somewhere."""
    pages.write_all(Path(__file__).parent)
    app.connect("source-read", links.inward)
