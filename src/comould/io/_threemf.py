"""3MF, written fast: numbers become text in whole arrays, the same bodies give the same bytes.

References
----------
3D Manufacturing Format, Core Specification 1.3. https://github.com/3MFConsortium/spec_core
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import trimesh

Text = npt.NDArray[np.uint8]
"""ASCII ``(n, width)``, one number a row; zero bytes are left out when it is written."""

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_DECIMALS = 10
_LARGEST = 1e8
_ROWS = 200_000
_LEVEL = 2
"""Digits hardly compress: level 6 takes four times as long for files a fifth smaller."""

_CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
_TYPES = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>'
)
_RELATIONS = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Target="/3D/3dmodel.model" Id="rel0" '
    'Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>'
)


def write(bodies: Mapping[str, trimesh.Trimesh], colours: Mapping[str, str], path: Path) -> None:
    """Write checked bodies to a package: millimetres, coordinates at float32 precision, colours by body."""
    with zipfile.ZipFile(path, "w") as package:
        package.writestr(_entry("[Content_Types].xml"), _TYPES, compresslevel=_LEVEL)
        package.writestr(_entry("_rels/.rels"), _RELATIONS, compresslevel=_LEVEL)
        model = _entry("3D/3dmodel.model")
        # ZipFile.open takes the level from the entry; it has no argument for it.
        setattr(model, "compress_level" if hasattr(model, "compress_level") else "_compresslevel", _LEVEL)
        with package.open(model, "w") as stream:
            for chunk in _model(bodies, colours):
                stream.write(chunk)


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _ZIP_DATE)
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return info


def _model(bodies: Mapping[str, trimesh.Trimesh], colours: Mapping[str, str]) -> Iterator[bytes]:
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n<model unit="millimeter" xmlns="{_CORE}">\n<resources>\n'.encode()
    painted = [name for name in bodies if name in colours]
    if painted:
        bases = "".join(f"<base name={quoteattr(name)} displaycolor={quoteattr(colours[name])}/>" for name in painted)
        yield f'<basematerials id="{len(bodies) + 1}">{bases}</basematerials>\n'.encode()
    for number, (name, mesh) in enumerate(bodies.items(), 1):
        colour = f' pid="{len(bodies) + 1}" pindex="{painted.index(name)}"' if name in colours else ""
        quoted = quoteattr(name)
        yield f'<object id="{number}" name={quoted} partnumber={quoted} type="model"{colour}><mesh>\n'.encode()
        yield b"<vertices>\n"
        corners = np.asarray(mesh.vertices)
        for start in range(0, len(corners), _ROWS):
            part = corners[start : start + _ROWS]
            yield _rows(b'<vertex x="|" y="|" z="|"/>\n', [decimals(part[:, axis]) for axis in range(3)])
        yield b"</vertices>\n<triangles>\n"
        names = whole_numbers(np.arange(len(corners)))
        faces = np.asarray(mesh.faces)
        for start in range(0, len(faces), _ROWS):
            part = faces[start : start + _ROWS]
            yield _rows(b'<triangle v1="|" v2="|" v3="|"/>\n', [names[part[:, corner]] for corner in range(3)])
        yield b"</triangles>\n</mesh></object>\n"
    items = "".join(
        f'<item objectid="{number}" partnumber={quoteattr(name)}/>' for number, name in enumerate(bodies, 1)
    )
    yield f"</resources>\n<build>{items}</build>\n</model>\n".encode()


def _rows(form: bytes, columns: list[Text]) -> bytes:
    """Put columns of numbers where the form has bars, a row for each."""
    parts = form.split(b"|")
    width = sum(map(len, parts)) + sum(column.shape[1] for column in columns)
    table = np.zeros((len(columns[0]), width), dtype=np.uint8)
    at = 0
    for n, part in enumerate(parts):
        table[:, at : at + len(part)] = np.frombuffer(part, dtype=np.uint8)
        at += len(part)
        if n < len(columns):
            table[:, at : at + columns[n].shape[1]] = columns[n]
            at += columns[n].shape[1]
    return table.tobytes().translate(None, b"\0")


def whole_numbers(values: npt.NDArray[np.int64]) -> Text:
    """Write numbers from 0 without leading zeros."""
    width = len(str(int(values.max(initial=0))))
    digits = _digits(values, width)
    _blank_zeros(digits, range(width - 1))
    return digits


def _blank_zeros(digits: Text, columns: range) -> None:
    """Take out zeros up to the first other digit, going through the columns in order."""
    only_zeros = np.ones(len(digits), dtype=bool)
    for column in columns:
        only_zeros &= digits[:, column] == ord("0")
        digits[:, column] *= ~only_zeros


def decimals(values: npt.NDArray[np.float64]) -> Text:
    """Write numbers with enough decimals (at most 10) to give the same float32 when read, without trailing zeros."""
    single = np.abs(values).astype(np.float32)
    exact = single.astype(np.float64)
    if exact.max(initial=0.0) > _LARGEST:
        return _long(values)
    whole = np.floor(exact)
    share = exact - whole
    # One unit of the last decimal must be finer than the step to the next float32; round numbers need fewer.
    steps = 24 - np.frexp(single)[1]
    places = np.clip(np.ceil(steps * np.log10(2.0)), 0, _DECIMALS).astype(np.intp)
    powers = 10.0 ** np.arange(_DECIMALS + 1)
    parts = np.rint(share * powers[places]) * powers[_DECIMALS - places]
    short = np.rint(share * 1e4)
    parts = np.where((whole + short / 1e4).astype(np.float32) == single, short * powers[_DECIMALS - 4], parts)
    # Rounding up may reach the next whole number.
    whole += parts == powers[-1]
    behind = _digits(np.where(parts == powers[-1], 0.0, parts).astype(np.int64), _DECIMALS)
    _blank_zeros(behind, range(_DECIMALS - 1, -1, -1))
    point = np.where(behind[:, :1] == 0, 0, ord(".")).astype(np.uint8)
    sign = np.where((values < 0) & (exact > 0), ord("-"), 0).astype(np.uint8)[:, None]
    return np.hstack([sign, whole_numbers(whole.astype(np.int64)), point, behind])


def _digits(values: npt.NDArray[np.int64], width: int) -> Text:
    """Decimal digits with leading zeros, three at a time out of a table."""
    groups = []
    for _ in range(-(-width // 3)):
        rest = values // 1000
        groups.append(_thousand()[values - 1000 * rest])
        values = rest
    return np.hstack(groups[::-1])[:, -width:]


@cache
def _thousand() -> Text:
    return np.array([f"{n:03d}".encode() for n in range(1000)]).view(np.uint8).reshape(1000, 3)


def _long(values: npt.NDArray[np.float64]) -> Text:
    texts = np.array([f"{float(value):.17g}".encode() for value in values])
    return texts.view(np.uint8).reshape(len(texts), -1)
