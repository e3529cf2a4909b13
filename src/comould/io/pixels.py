"""Stored pixel values of a DICOM file, native or compressed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from comould.errors import InputError
from comould.io.frames import PIXEL_TAGS, quiet, read_tags, value
from comould.io.volume import Array

_DECODERS = {
    "1.2.840.10008.1.2.4.50": "jpeg8_decode",
    "1.2.840.10008.1.2.4.51": "jpeg8_decode",
    "1.2.840.10008.1.2.4.57": "ljpeg_decode",
    "1.2.840.10008.1.2.4.70": "ljpeg_decode",
    "1.2.840.10008.1.2.4.80": "jpegls_decode",
    "1.2.840.10008.1.2.4.81": "jpegls_decode",
    "1.2.840.10008.1.2.4.90": "jpeg2k_decode",
    "1.2.840.10008.1.2.4.91": "jpeg2k_decode",
}
"""Transfer syntaxes decoded with imagecodecs (already needed for slides); RLE and native ones are pydicom's own."""


def stored_pixels(path: Path) -> Array:
    """Read the stored values of all frames, ``(frames, rows, columns)``.

    Raises
    ------
    InputError
        If there are no pixels, they are cut off, or their compression has no decoder here.
    """
    dataset = read_tags(path, PIXEL_TAGS, pixels=True)
    syntax = str(getattr(dataset.file_meta, "TransferSyntaxUID", ""))
    frames = int(value(dataset, "NumberOfFrames", 1) or 1)
    shape = (frames, int(value(dataset, "Rows", 0)), int(value(dataset, "Columns", 0)))
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise InputError(subject=str(path), expected="DICOM pixel data", found="none")
    try:
        with quiet():
            array = _decode(dataset, syntax, frames) if syntax in _DECODERS else np.asarray(dataset.pixel_array)
        return array.reshape(shape)
    except Exception as error:
        # Whatever a decoder raises, the user needs one line: what the compression is and how to get rid of it.
        raise InputError(
            subject=str(path),
            expected=f"{' × '.join(map(str, shape))} decodable pixels",
            found=f"{_syntax_name(syntax)} that could not be decoded ({type(error).__name__})",
            remedy="Decompress the files first, e.g. gdcmconv --raw or dcmdjpeg, or copy them again if cut off",
        ) from error


def _syntax_name(syntax: str) -> str:
    from pydicom.uid import UID

    return UID(syntax).name if syntax else "an unnamed transfer syntax"


def _decode(dataset: Any, syntax: str, frames: int) -> Array:
    import imagecodecs
    from pydicom.encaps import generate_frames

    decoder: Callable[[bytes], Array] = getattr(imagecodecs, _DECODERS[syntax])
    decoded = np.stack(
        [np.asarray(decoder(frame)) for frame in generate_frames(dataset.PixelData, number_of_frames=frames)]
    )
    return _signed(decoded, dataset) if value(dataset, "PixelRepresentation", 0) == 1 else decoded


def _signed(array: Array, dataset: Any) -> Array:
    """Give two's-complement pixels their sign back: codestreams may call them unsigned."""
    if array.dtype.kind == "i":
        return array
    bits = int(dataset.BitsStored)
    wide = array.astype(np.int32) & ((1 << bits) - 1)
    return (wide - ((wide >> (bits - 1)) << bits)).astype(np.int16 if bits <= 16 else np.int32)
