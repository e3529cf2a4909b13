"""The language of the elastix worker: length-prefixed JSON heads with raw ``.npy`` arrays behind them, no pickle."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[np.generic]]

_LENGTH = struct.Struct("<Q")
LARGEST_HEAD = 64 * 1024 * 1024
LARGEST_BODY = 16 * 1024**3


def message_bytes(head: Mapping[str, Any], arrays: Arrays | None = None) -> bytes:
    """Put a message into bytes."""
    bodies = []
    for array in (arrays or {}).values():
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
        bodies.append(buffer.getvalue())
    parts = [[name, len(body)] for name, body in zip(arrays or {}, bodies, strict=True)]
    text = json.dumps({"head": dict(head), "arrays": parts}).encode()
    return b"".join([_LENGTH.pack(len(text)), text, *bodies])


def write_message(stream: BinaryIO, head: Mapping[str, Any], arrays: Arrays | None = None) -> None:
    """Write one message and flush it."""
    stream.write(message_bytes(head, arrays))
    stream.flush()


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.generic]]]:
    """Read one message.

    Raises
    ------
    EOFError
        If the other side is gone.
    ValueError
        If what comes is not a message.
    """
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > LARGEST_HEAD:
        msg = f"a message head of {length} bytes"
        raise ValueError(msg)
    text = json.loads(_exactly(stream, length))
    try:
        head, parts = text["head"], [(str(name), int(size)) for name, size in text["arrays"]]
    except (KeyError, TypeError) as error:
        msg = "a message without its parts"
        raise ValueError(msg) from error
    if not isinstance(head, dict) or any(not 0 <= size <= LARGEST_BODY for _, size in parts):
        msg = "a message whose parts cannot be right"
        raise ValueError(msg)
    arrays = {}
    for name, size in parts:
        arrays[name] = np.lib.format.read_array(io.BytesIO(_exactly(stream, size)), allow_pickle=False)
    return head, arrays


def _exactly(stream: BinaryIO, count: int) -> bytes:
    parts = []
    while count:
        part = stream.read(count)
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
