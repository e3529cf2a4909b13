"""What was seen on a picture and in the clues, carried into the quality: findings call for a look, notes are told."""

from __future__ import annotations

from dataclasses import replace

from comould.io.section import Section
from comould.register.landmarks import doubts
from comould.register.match import Known
from comould.register.quality import RegistrationQuality
from comould.register.tissue import tissue_report
from comould.register.tissue.drawn import drawn_mask_against_picture


def with_findings(
    quality: RegistrationQuality, section: Section, known: Known, further: tuple[str, ...] = ()
) -> RegistrationQuality:
    """Add to a quality the pieces of tissue, and what is doubtful about picture, drawn mask and landmarks.

    Parameters
    ----------
    quality
        Its verdict is still open.
    section
        The picture that was laid on something.
    known
        What was known beforehand, in mm.
    further
        Findings from elsewhere.

    Raises
    ------
    RegistrationError
        For a blank slide, or one filled with tissue.
    """
    report = tissue_report(section)
    # A mask that somebody drew is one thing, in however many parts.
    pieces = report.areas_mm2 if section.tissue is None else (sum(report.areas_mm2),)
    mask_doubts, mask_notes = drawn_mask_against_picture(section)
    findings = [*quality.findings, *report.doubts(), *mask_doubts, *further]
    if known.landmarks is not None:
        names = known.names or tuple(str(row + 1) for row in range(len(known.landmarks[0])))
        findings += doubts(*known.landmarks, names, "landmarks")
        if known.flipped is not None and quality.flipped != known.flipped:
            findings.append("the landmarks show the other face than the one named")
    return replace(quality, pieces_mm2=pieces, findings=tuple(findings), notes=(*mask_notes, *report.notes()))
