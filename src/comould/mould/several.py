"""Bilateral or multiple lesions: a mould for each, under one name, with a key that says which is which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import InputError
from comould.mould import marks
from comould.mould.assemble import build
from comould.mould.lesion import find_lesion
from comould.mould.result import Mould
from comould.space import anatomical_letter

if TYPE_CHECKING:
    import SimpleITK as sitk

KEY_FORMAT = "comould.mould_key"


@dataclass(frozen=True, eq=False)
class MouldSet:
    """Moulds of one patient's lesions.

    Parameters
    ----------
    name
        What all their names begin with.
    moulds
        By number, ``"1"`` for the largest lesion.
    """

    name: str
    moulds: dict[str, Mould]

    def key(self) -> list[dict[str, Any]]:
        """Say which mould is whose: number, engraved name, place relative to the others, volume; JSON-able."""
        middles = {n: _middle(mould) for n, mould in self.moulds.items()}
        centre = np.mean(list(middles.values()), axis=0)
        return [
            {
                "number": n,
                "mould_id": mould.report["mould_id"],
                "place": _place(middles[n] - centre),
                "volume_ml": mould.report["volumes_ml"]["specimen"],
                "centre_patient_mm": middles[n].tolist(),
                "planes": len(mould.plan),
            }
            for n, mould in self.moulds.items()
        ]

    def write(
        self,
        directory: str | Path,
        overwrite: bool = False,
        inputs: Mapping[str, str | Path] | None = None,
        extras: Callable[[str, Mould], Sequence[Callable[[Path], object]]] | None = None,
    ) -> Path:
        """Write ``key.json`` and a folder ``1``, ``2``, … for each mould, or nothing at all.

        Parameters
        ----------
        directory
            New or empty folder.
        overwrite
            Replace a folder an earlier run wrote.
        inputs
            Role to path of what the moulds were made from; only hashes are kept.
        extras
            Given a number and its mould, what :meth:`Mould.write` takes as ``extras``.

        Returns
        -------
        Path
            The folder.
        """
        from comould.io.output import atomic_directory, provenance, write_json

        target = Path(directory)
        with atomic_directory(target, overwrite=overwrite) as work:
            for n, mould in self.moulds.items():
                mould.write(work / n, inputs=inputs, extras=extras(n, mould) if extras else ())
            write_json(
                work / "key.json",
                {
                    "format": KEY_FORMAT,
                    "version": 1,
                    "name": self.name,
                    "frame": "patient",
                    "orientation": "LPS",
                    "units": "mm",
                    "moulds": self.key(),
                    "provenance": provenance(inputs=inputs, parameters={}, libraries=()),
                },
            )
        return target


def build_each(seg: sitk.Image, **options: Any) -> MouldSet:
    """Build a mould for every lesion of a mask.

    Parameters
    ----------
    seg
        Label image 0/1 with one or several separate lesions.
    **options
        As :func:`build` takes them, without ``lesion``; a ``mould_id`` is what all names begin with.

    Returns
    -------
    MouldSet
        Engraved ``NAME-1``, ``NAME-2``, … by falling volume.

    Raises
    ------
    InputError
        If ``lesion`` is given, or as :func:`build`.
    """
    if options.get("lesion") is not None:
        raise InputError(subject="lesion", expected="none: every lesion gets a mould", found=repr(options["lesion"]))
    options.pop("lesion", None)
    found = find_lesion(seg, "all")
    mask, _ = found.crop((0, 0, 0))
    name = options.pop("mould_id", None) or marks.make_id(np.packbits(mask).tobytes(), "each")
    numbers = [str(n + 1) for n in range(found.parts)]
    return MouldSet(name, {n: build(seg, lesion=int(n), mould_id=f"{name}-{n}", **options) for n in numbers})


def _middle(mould: Mould) -> np.ndarray:
    vertices = np.asarray(mould.specimen.vertices)
    centre = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    return np.asarray(mould.mould_from_patient.inverse().apply(centre[None])[0])


def _place(offset: np.ndarray) -> str:
    """Name the direction from the middle of all, at most two letters; empty for a single one."""
    if np.linalg.norm(offset) < 1.0:
        return ""
    order = np.argsort(-np.abs(offset))[:2]
    strong = [axis for axis in order if abs(offset[axis]) > 0.5 * abs(offset[order[0]])]
    return "".join(anatomical_letter(np.eye(3)[axis] * offset[axis]) for axis in strong)
