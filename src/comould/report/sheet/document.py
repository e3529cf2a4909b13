"""The cutting sheet as a PDF: pages drawn one by one, written all or nothing, the same bytes for the same input."""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould._version import __version__
from comould.errors import InputError
from comould.pl.kinds import MouldLike
from comould.pl.style import context
from comould.report.sheet import inks as ink
from comould.report.sheet.cover import cover
from comould.report.sheet.facts import Facts
from comould.report.sheet.layout import PAPERS, TEXT_PAPER, Paper, choose
from comould.report.sheet.lists import list_pages
from comould.report.sheet.page import Page, footer
from comould.report.sheet.plane_page import Kit, plane_pages
from comould.report.sheet.scene import Scene, cores_of, labels_of

if TYPE_CHECKING:
    import SimpleITK as sitk

NOTICE = "Research use only; not a medical device. No patient data."
LONGEST_TITLE = 60
_RC = {
    "pdf.fonttype": 42,
    "pdf.compression": 6,
    "pdf.use14corefonts": False,
    "savefig.dpi": 200,
    "path.simplify": False,
}


@dataclass(frozen=True, eq=False)
class CuttingSheet:
    """A cutting sheet, drawn and ready to write.

    Parameters
    ----------
    pdf
        The whole document.
    pages
        How many.
    paper
        ``"A4"``, ``"A3"``, …: what the cuts are printed on; cover and lists are A4 (or letter).
    one_to_one
        Whether every cut's photographed face is on one page at 1:1; else it is in tiles.
    """

    pdf: bytes = field(repr=False)
    pages: int
    paper: str
    one_to_one: bool

    def write(self, path: str | Path) -> Path:
        """Write the PDF; replaced if it exists, and only once the new one is complete.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        InputError
            If the path does not end in ``.pdf``, has no folder, or cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != ".pdf" or not path.parent.is_dir():
            raise InputError(
                subject=f"cutting sheet {path.name}", expected="a .pdf file in a folder that exists", found=str(path)
            )
        try:
            handle, work = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        except OSError as error:
            raise InputError(
                subject=f"cutting sheet {path.name}",
                expected="a folder that can be written to",
                found=error.strerror or type(error).__name__,
                remedy="Choose another place",
            ) from error
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(self.pdf)
            Path(work).chmod(0o644)
            Path(work).replace(path)
        except BaseException:
            Path(work).unlink(missing_ok=True)
            raise
        return path


def cutting_sheet(
    mould: MouldLike,
    *,
    image: sitk.Image | None = None,
    mask: sitk.Image | None = None,
    habitats: Any = None,
    cores: Any = None,
    inks: Mapping[str, str] | None = None,
    title: str | None = None,
    paper: Paper = "auto",
) -> CuttingSheet:
    """Draw what lies beside the mould at the bench: one page per cut, at exactly 1:1, and lists of slabs and cores.

    Parameters
    ----------
    mould
        From :func:`comould.mould.build`; anything with ``bodies``, ``specimen`` (mould frame, mm), ``plan`` (patient
        LPS, mm) and ``mould_from_patient`` will do.
    image
        Scalar volume shown beneath the outlines, on any grid; outlines only when left out.
    mask
        A segmentation, drawn dashed when it is smaller than the specimen (a tumour in an organ); one of the whole
        specimen would only repeat the outline.
    habitats
        Label map (0 outside, 1 … k) or an object with ``labels``.
    cores
        Object with ``cores`` (or a sequence): each with ``id``, ``plane_id`` (or ``plane``), ``uv_mm``,
        ``diameter_mm``, and if known ``habitat``, ``slab``, ``face``. A core is drawn on the face it is taken from.
    inks
        Ink per patient direction, ``{"R": "green"}``; what is left out keeps its default.
    title
        Heading of the cover; no patient data.
    paper
        ``"auto"`` is A4, or A3 for large specimens; ``"A4"``, ``"A3"``, ``"letter"`` or ``"tabloid"`` to insist.

    Returns
    -------
    CuttingSheet
        ``pages``, ``paper`` and :meth:`CuttingSheet.write`.

    Raises
    ------
    InputError
        For inks, cores, habitats, a paper or a title that cannot be used.
    GeometryError
        If no plane meets the specimen, or a volume lies elsewhere.

    Notes
    -----
    Every page with a picture at 1:1 carries a lying and a standing bar of 50 mm; a picture that is not says so. Each
    cut is shown as both of its faces: one as imaged (radiological convention), the other its mirror image; the
    photographed one comes first. The drawing shows the specimen as imaged: shrinkage and deformation are not in it.
    A specimen too large for the paper is shown reduced and then in overlapping 1:1 tiles.

    Examples
    --------
    >>> import comould as cm
    >>> made = cm.phantom.specimen(seed=0)
    >>> mould = cm.mould.build(made.mask, plane="image")  # doctest: +SKIP
    >>> sheet = cm.report.cutting_sheet(mould, image=made.images["T2"], mask=made.mask)  # doctest: +SKIP
    >>> sheet.write("cutting_sheet.pdf")  # doctest: +SKIP
    """
    if paper not in {"auto", *PAPERS}:
        raise InputError(subject=f"paper {paper!r}", expected=f"one of auto, {', '.join(PAPERS)}", found="another")
    colours = ink.scheme(inks)
    heading = _checked_title(title)
    placed = cores_of(cores, mould)
    names = _habitat_names(cores)
    scene = Scene(mould, image, mask, labels_of(habitats), placed, names)
    layout = choose(scene.size, paper)
    facts = Facts(mould, scene.specimen_mm)
    kit = Kit(scene, facts, layout, colours)
    every = [core for plane in mould.plan for core in placed.get(plane.id, [])]

    def drawn() -> Iterator[Page]:
        yield cover(facts, colours, heading, TEXT_PAPER[layout.paper])
        for cut in scene.cuts:
            yield from plane_pages(kit, cut)
        yield from lists

    with context():
        lists = list_pages(facts, every, TEXT_PAPER[layout.paper])
    total = 1 + len(scene.cuts) * (1 + len(layout.tiles)) + len(lists)
    pdf = _pdf(drawn(), facts, total)
    return CuttingSheet(pdf, total, layout.paper, not layout.tiles)


def _pdf(pages: Iterator[Page], facts: Facts, total: int) -> bytes:
    import matplotlib as mpl
    from matplotlib.backends.backend_pdf import PdfPages

    stream = io.BytesIO()
    metadata = {"Title": "Cutting sheet", "Creator": f"comould {__version__}", "Producer": None, "CreationDate": None}
    left = f"comould {__version__}" + (f" · mould {facts.mould_id}" if facts.mould_id else "") + f" · {NOTICE}"
    with context(), mpl.rc_context(_RC), PdfPages(stream, metadata=metadata) as book:
        for number, page in enumerate(pages, 1):
            footer(page, left, f"page {number} of {total}")
            book.savefig(page.figure)
    return actual_size(stream.getvalue())


def actual_size(pdf: bytes) -> bytes:
    """Tell the reader's print dialogue not to scale the pages: ``/PrintScaling /None``, as an appended update.

    Parameters
    ----------
    pdf
        With a plain cross-reference table, as matplotlib writes it; anything else is returned as it is.

    References
    ----------
    ISO 32000-1:2008, 7.5.6 (incremental updates) and 12.2 (viewer preferences).
    """
    trailer = re.search(rb"trailer\s*<<(.*?)>>\s*startxref\s+(\d+)\s+%%EOF\s*$", pdf, re.DOTALL)
    root = re.search(rb"/Root (\d+) 0 R", trailer[1]) if trailer else None
    found = re.search(rb"(?:^|\n)%b 0 obj\s*<<(.*?)>>\s*endobj" % root[1], pdf, re.DOTALL) if root else None
    if not trailer or not root or not found:
        return pdf
    at = len(pdf)
    number = root[1]
    body = b"%b 0 obj\n<<%b /ViewerPreferences << /PrintScaling /None >> >>\nendobj\n" % (number, found[1])
    table = b"xref\n%b 1\n%010d 00000 n \ntrailer\n<<%b /Prev %b >>\nstartxref\n%d\n%%%%EOF\n" % (
        number, at, trailer[1], trailer[2], at + len(body),
    )  # fmt: skip
    return pdf + body + table


def _checked_title(title: str | None) -> str:
    text = " ".join((title if title is not None else "Cutting sheet").split())
    if not text or len(text) > LONGEST_TITLE or not text.isprintable():
        raise InputError(
            subject="title of the cutting sheet",
            expected=f"1 to {LONGEST_TITLE} printable characters, no patient data",
            found=f"{len(text)} characters",
        )
    return text


def _habitat_names(cores: Any) -> dict[int, str]:
    """Names of habitats by label, as far as the cores know them."""
    return {
        int(core.label): str(core.habitat)
        for core in getattr(cores, "cores", cores or ())
        if hasattr(core, "label") and hasattr(core, "habitat")
    }
