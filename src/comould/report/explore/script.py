"""The scripts of the page: our own, inline, and the only ones its security policy lets run."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

NAMES = ("data.js", "solid.js", "slices.js", "start.js")


def scripts() -> str:
    """Join the scripts, in their order, to the one that is written into the page."""
    folder = files("comould.report").joinpath("templates/explore")
    parts = [folder.joinpath(name).read_text(encoding="utf-8") for name in NAMES]
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"


def policy(script: str = "") -> str:
    """Write a content security policy: no network, no script but this one, pictures from the page itself.

    Parameters
    ----------
    script
        The script's exact text; none may run when it is empty.

    Returns
    -------
    str
        For ``<meta http-equiv="Content-Security-Policy">``.

    References
    ----------
    W3C Content Security Policy Level 3, hash-source: https://www.w3.org/TR/CSP3/
    """
    parts = [
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
        parts.insert(3, f"script-src 'sha256-{digest}'")
    return "; ".join(parts)


def json_text(data: Mapping[str, Any]) -> str:
    """Write data so that it can stand in a page: no character can end its element or begin another."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
