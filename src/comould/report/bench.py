"""What goes beside a mould: cores, plates, blocks, cutting sheet, picture; all made before writing."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould.errors import ComouldWarning

if TYPE_CHECKING:
    import SimpleITK as sitk

    from comould.mould import CoreOptions, Mould, MouldSet, SamplingPlan
    from comould.mould.printing.inspect import Printing

Progress = Callable[[str], None]
Extra = Callable[[Path], object]

PREVIEW_DPI = 130


@dataclass(frozen=True, eq=False)
class Asked:
    """What is wanted beside the mould.

    Parameters
    ----------
    image, habitats
        As read, or ``None``.
    cores
        Core options, when cores are wanted.
    blocks
        A block format, when slabs are to be split.
    sheet
        Whether a cutting sheet is wanted.
    """

    image: sitk.Image | None = None
    habitats: sitk.Image | None = None
    cores: CoreOptions | None = None
    blocks: str | tuple[float, float] | None = None
    sheet: bool = True


@dataclass(frozen=True, eq=False)
class Ready:
    """A mould with everything that goes beside it, made and waiting to be written.

    Parameters
    ----------
    mould
        With the warnings of what was added.
    extras
        Writers for :meth:`Mould.write`.
    printing
        By body.
    sampling
        Where there are cores.
    n_blocks
        Pieces for cassettes.
    """

    mould: Mould
    extras: Sequence[Extra]
    printing: dict[str, Printing]
    sampling: SamplingPlan | None = None
    n_blocks: int = 0


def prepare(mould: Mould, mask: sitk.Image, asked: Asked, say: Progress) -> Ready:
    """Make everything that goes beside a mould, so that nothing can fail once writing has begun."""
    with _collected() as notes:
        say("Measuring what the printer makes of it")
        printing = mould.printing()
        _warn_of(printing)
        sampling, blocks, extras = None, None, []
        if asked.cores or asked.blocks:
            say("Placing cores and blocks")
            sampling, blocks, write = _sampling(mould, mask, asked)
            extras.append(write)
        if asked.sheet:
            say("Drawing the cutting sheet")
            extras.append(_sheet(mould, asked, sampling))
        say("Drawing the picture")
        extras.append(_preview(mould))
    known = mould.report["warnings"]
    report = mould.report | {"warnings": [*known, *(note for note in notes if note not in known)]}
    count = 0 if blocks is None else len(blocks.blocks)
    return Ready(replace(mould, report=report), extras, printing, sampling, count)


def prepare_each(made: MouldSet, mask: sitk.Image, asked: Asked, say: Progress) -> dict[str, Ready]:
    """Prepare every mould of a set, each with its own lesion."""
    from comould.mould import select_lesion

    ready = {}
    for number, mould in made.moulds.items():

        def tell(text: str, number: str = number) -> None:
            say(f"Lesion {number}: {text[0].lower()}{text[1:]}")

        ready[number] = prepare(mould, select_lesion(mask, int(number)), asked, tell)
    return ready


def _warn_of(printing: dict[str, Printing]) -> None:
    for name, found in printing.items():
        for text in found.problems():
            warnings.warn(f"{name}: {text}", ComouldWarning, stacklevel=3)


def _sampling(mould: Mould, mask: sitk.Image, asked: Asked) -> tuple[SamplingPlan | None, Any, Extra]:
    from comould import mould as moulds

    cores = blocks = None
    plates: dict[str, Any] = {}
    if asked.cores is not None and asked.habitats is not None:
        cores = moulds.plan_cores(mould.plan, mask, asked.habitats, options=asked.cores)
        plates = moulds.plates(cores, mask)
    if asked.blocks is not None:
        blocks = moulds.plan_blocks(mould.plan, mask, format=asked.blocks)
    return cores, blocks, lambda folder: moulds.write_sampling(folder, cores, plates, blocks)


def _sheet(mould: Mould, asked: Asked, cores: SamplingPlan | None) -> Extra:
    from comould.report import cutting_sheet

    sheet = cutting_sheet(mould, image=asked.image, habitats=asked.habitats, cores=cores)
    return lambda folder: sheet.write(folder / "cutting_sheet.pdf")


def _preview(mould: Mould) -> Extra:
    from comould.pl import mould as draw

    picture = io.BytesIO()
    draw(mould, views=("lifted", "cut"), width_px=760).savefig(picture, dpi=PREVIEW_DPI)  # type: ignore[union-attr]
    return lambda folder: (folder / "preview.png").write_bytes(picture.getvalue())


@contextmanager
def _collected() -> Iterator[list[str]]:
    """Keep comould's warnings for the manifest while they go their usual way."""
    notes: list[str] = []
    show = warnings.showwarning

    def keep(message: Warning | str, category: type[Warning], *rest: Any, **options: Any) -> None:
        if issubclass(category, ComouldWarning) and str(message) not in notes:
            notes.append(str(message))
        show(message, category, *rest, **options)

    warnings.showwarning = keep
    try:
        yield notes
    finally:
        warnings.showwarning = show
