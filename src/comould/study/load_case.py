"""A case folder's files read: volumes, mask, plan, sections, clues and spots, with every trouble told at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from comould.errors import InputError
from comould.io.section import Section
from comould.space import SlicePlan
from comould.study._trouble import Trouble
from comould.study.case_folder import CaseFolder, PictureEntry, SectionEntry
from comould.study.preflight import check_pictures, check_planes

if TYPE_CHECKING:
    from pathlib import Path

    import SimpleITK as sitk
    from anndata import AnnData

    from comould.register import Clues, LandmarkPairs


@dataclass(frozen=True, eq=False)
class LoadedCase:
    """What a case folder holds, in memory.

    Parameters
    ----------
    plan
        The cutting planes.
    images
        Volumes by name, patient LPS mm.
    mask
        The specimen.
    sections
        Pictures at working resolution.
    clues
        By section id: landmarks and pictures on the way.
    spots
        By section id.
    """

    plan: SlicePlan
    images: Mapping[str, sitk.Image]
    mask: sitk.Image
    sections: tuple[Section, ...]
    clues: Mapping[str, Clues]
    spots: Mapping[str, AnnData]

    @property
    def first_image(self) -> sitk.Image:
        """The volume shown beneath pictures."""
        return next(iter(self.images.values()))


def load_case(case: CaseFolder, *, via: Sequence[str] = ()) -> LoadedCase:
    """Read everything a case folder names.

    Parameters
    ----------
    case
        The folder, checked.
    via
        Which of the further pictures beside each section (``adjacent``, ``photo``) to use on the way to the plane, in
        order, after those the manifest lists as ``via``. Sections without them go without.

    Raises
    ------
    InputError
        Naming every file that cannot be used; every section whose plane is not in the plan or misses the specimen;
        pictures without tissue; spots that do not count the pixels of their section's picture.
    """
    from comould.io import check_same_pixels

    trouble = Trouble(case.folder)
    plan = trouble.when(lambda: SlicePlan.load(case.slice_plan))
    images = {name: trouble.when(lambda path=path: _image(path)) for name, path in case.images.items()}  # type: ignore[misc]
    mask = trouble.when(lambda: _mask(case))
    sections, clues, spots = {}, {}, {}
    for entry in case.sections:
        section = trouble.when(lambda entry=entry: read_picture(entry.picture))  # type: ignore[misc]
        found = trouble.when(lambda entry=entry: _clues(entry, via))  # type: ignore[misc]
        counts = None if entry.spots is None else trouble.when(lambda entry=entry: _spots(entry))  # type: ignore[misc]
        sections[entry.id] = section
        if found is not None:
            clues[entry.id] = found
        if counts is not None:
            spots[entry.id] = counts
        if counts is not None and section is not None:
            trouble.when(lambda: check_same_pixels(section, counts))  # noqa: B023
        if plan is not None and entry.picture.plane_id not in [plane.id for plane in plan]:
            trouble.problems.append(f"section {entry.id!r} has plane_id {entry.picture.plane_id!r}, not in the plan")
    kept = tuple(section for section in sections.values() if section is not None)
    volumes = {name: image for name, image in images.items() if image is not None}
    check_pictures(kept, clues, trouble.when)
    if plan is not None and mask is not None and len(volumes) == len(images):
        check_planes(kept, clues, plan, volumes, mask, trouble.when)
    if trouble.problems or plan is None or mask is None:
        raise InputError.collect(subject=f"case folder {case.folder.name}", problems=trouble.problems)
    return LoadedCase(plan, volumes, mask, kept, clues, spots)


def _image(path: Path) -> sitk.Image:
    from comould.io import read_image

    return read_image(path)


def _mask(case: CaseFolder) -> sitk.Image:
    from comould.io import read_segmentation

    return read_segmentation(case.mask, roi=case.roi)


def read_picture(entry: PictureEntry) -> Section:
    """Read a section's picture; a picture that was reduced before it was written keeps its full-resolution pixels."""
    from comould.io import read_section
    from comould.io.regions import with_tissue

    stored = None if entry.pixel_size_um is None else entry.pixel_size_um * entry.downsample
    section = read_section(
        entry.picture, id=entry.id, pixel_size_um=stored, plane_id=entry.plane_id, face=entry.face,
        offset_mm=entry.offset_mm,
    )  # fmt: skip
    if entry.downsample != 1.0:
        size = section.pixel_size_um / entry.downsample
        section = replace(section, pixel_size_um=size, downsample=section.downsample * entry.downsample)
    return section if entry.tissue is None else with_tissue(section, entry.tissue)


def _clues(entry: SectionEntry, via: Sequence[str]) -> Clues | None:
    from comould.register import Clues

    steps = [*entry.via, *(entry.named[name] for name in via if name in entry.named)]
    pairs = _pairs(entry)
    if not steps and pairs is None:
        return None
    pictures = tuple(read_picture(step) for step in steps)
    if pairs is not None and pictures and entry.landmarks_use != "held_out":
        raise InputError(
            subject=f"section {entry.id!r}",
            expected="landmarks held out when it comes home over other pictures",
            found=f"landmarks_use {entry.landmarks_use!r} and {len(pictures)} pictures on the way",
        )
    if pairs is None or entry.landmarks_use == "held_out":
        return Clues(held_out=pairs, via=pictures)
    if entry.landmarks_use == "half":
        fitted, kept = pairs.split()
        return Clues(landmarks=fitted, held_out=kept, via=pictures)
    return Clues(landmarks=pairs, landmarks_only=entry.landmarks_use == "only", via=pictures)


def _pairs(entry: SectionEntry) -> LandmarkPairs | None:
    from comould.io import read_landmarks
    from comould.register import LandmarkPairs

    if entry.landmarks is None or entry.landmarks_patient is None:
        return None
    return LandmarkPairs.of(read_landmarks(entry.landmarks), read_landmarks(entry.landmarks_patient, space="patient"))


def _spots(entry: SectionEntry) -> AnnData:
    from comould.io import read_spots

    if entry.spots is None:
        raise InputError(subject=f"section {entry.id!r}", expected="spots", found="none")
    return read_spots(entry.spots, section=entry.id, pixel_size_um=entry.picture.pixel_size_um)
