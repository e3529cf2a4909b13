"""The parts of ``case.yaml``: what each may say, and the options it becomes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from comould.study.case_folder import LandmarkUse, PictureEntry, SectionEntry
from comould.study.habitat_options import HabitatOptions
from comould.study.inside import GenesetName, InsidePath, TemplateName


class Part(BaseModel):
    """Something a file says: no unknown keys, nothing turned into another type, no infinite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class StructureRow(Part):
    """A vessel, tube or contact that the mould shows or makes room for."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$", description="What it is called in the mould")
    file: InsidePath | None = Field(None, description="A label map of its own, on any grid")
    roi: int | str | None = Field(None, description="Or a region of the case's mask")
    role: Literal["inlay", "window"] = Field("inlay", description="A coloured part, or an opening in the wall")
    colour: str | None = Field(None, pattern=r"^#[0-9A-Fa-f]{6}$", description="Of an inlay; one of ours when left out")

    @model_validator(mode="after")
    def _sound(self) -> StructureRow:
        if (self.file is None) == (self.roi is None):
            msg = "needs a file, or a roi of the mask; one of them"
            raise ValueError(msg)
        if self.role == "window" and self.colour is not None:
            msg = "is a window, so its colour would do nothing"
            raise ValueError(msg)
        return self


class CoresPart(Part):
    """Cores to punch from the habitats of each slab, with printable plates."""

    per_habitat: int = Field(2, ge=1, le=50, description="For each habitat and slab")
    diameter_mm: float = Field(4.0, ge=0.5, le=30, description="Of the punch")
    depth_mm: float | None = Field(None, gt=0, description="How deep; through the slab when left out")
    min_border_mm: float = Field(0.5, ge=0, le=20, description="Least distance to the habitat's border")
    min_edge_mm: float = Field(1.0, ge=0, le=20, description="Least distance to the specimen's edge")
    min_apart_mm: float = Field(2.0, ge=0, le=50, description="Least tissue between two cores")
    min_purity: float = Field(0.8, ge=0, le=1, description="Share of its habitat that a core had better have")
    unphotographed: bool = Field(False, description="Take cores also from slabs without a photographed face")


class MouldPart(Part):
    """How the mould is built, as ``comould mould`` takes it."""

    template: TemplateName = Field("soft_tissue", description="Name of a template (comould templates) or a YAML file")
    plane: (
        Literal["axial", "coronal", "sagittal", "image"] | Annotated[list[float], Field(min_length=3, max_length=3)]
    ) = Field("axial", description="Cutting direction, or a normal [x, y, z] in patient LPS")
    image: str | None = Field(None, description="Image the mask was drawn on, by name; its grid is compared")
    lesion: Literal["largest", "all"] | Annotated[int, Field(ge=1)] | None = Field(
        None, description="Which, when the mask holds several: largest, all, or a rank by size"
    )
    settings: dict[str, Any] = Field(
        default_factory=dict, description="Values in place of the template's, as spacing_mm: 5"
    )
    structures: list[StructureRow] = Field(default_factory=list, description="Vessels, tubes, contacts")
    habitats: InsidePath | None = Field(
        None, description="Label map for cores, the sheet and centre_on; those of the case when left out and needed"
    )
    cores: CoresPart | None = Field(None, description="Cores to punch from each habitat and slab")
    blocks: Literal["cassette", "mega"] | Annotated[list[float], Field(min_length=2, max_length=2)] | None = Field(
        None, description="Split slabs to fit: cassette, mega or [width, height] in mm"
    )
    sheet: bool = Field(True, description="Write the cutting sheet")

    @property
    def needs_habitats(self) -> bool:
        """Whether a label map of habitats shapes what is made."""
        return self.cores is not None or self.settings.get("centre_on") == "most_habitats"

    @model_validator(mode="after")
    def _told_apart(self) -> MouldPart:
        names = [one.name.casefold() for one in self.structures]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            msg = f"names structure {twice[0]} twice"
            raise ValueError(msg)
        return self

    @field_validator("settings")
    @classmethod
    def _known(cls, value: dict[str, Any]) -> dict[str, Any]:
        from comould.mould.parameters import Parameters

        known = [*Parameters.model_fields, "design", "up"]
        if unknown := sorted(set(value) - set(known)):
            msg = f"{', '.join(unknown)} is no setting of a mould; there are {', '.join(known)}"
            raise ValueError(msg)
        return value


_Q: dict[str, Any] = {name: one.default for name, one in HabitatOptions.__dataclass_fields__.items()}


class GroupingPart(Part):
    """What is grouped, and how."""

    n_habitats: int | None = Field(_Q["n_habitats"], ge=1, description="How many; chosen when left out")
    max_habitats: int = Field(_Q["max_habitats"], ge=1, description="Most that are tried")
    method: str = Field(_Q["method"], description="gmm or another of comould habitats")
    rule: str = Field(_Q["rule"], description="How their number is chosen")
    features: list[str] = Field(list(_Q["features"]), min_length=1, description="Feature maps")
    radius_mm: float = Field(_Q["radius_mm"], gt=0, description="Of the textures' neighbourhood")
    bins: int = Field(_Q["bins"], description="Grey levels of textures")
    supervoxel_mm: float | None = Field(
        _Q["supervoxel_mm"], gt=0, description="Size of supervoxels, in place of voxels"
    )
    spatial_weight: float = Field(_Q["spatial_weight"], ge=0, description="How strongly neighbours hold together")


class HabitatsPart(GroupingPart):
    """How habitats are found, as ``comould habitats`` takes it; or ``labels``, a map that is there."""

    labels: InsidePath | None = Field(None, description="A label map, or a folder of comould habitats, in place of all")
    prepare: dict[str, str] = Field(default_factory=dict, description="Image to hu, adc, zscore, n4, joined by +")
    stability: bool = Field(_Q["stability"], description="Test whether features and habitats hold still")
    least_icc: float = Field(_Q["least_icc"], description="What a stable feature reaches")
    model: InsidePath | None = Field(None, description="A model to apply in place of finding habitats")
    dicom_seg: InsidePath | None = Field(None, description="Folder of the DICOM series a SEG is written for")

    def options(self, seed: int) -> HabitatOptions:
        """Make the options of :func:`comould.study.run_habitats`."""
        told = self.model_dump(exclude={"labels"})
        return HabitatOptions(**(told | {"features": tuple(self.features), "seed": seed}))

    @model_validator(mode="after")
    def _sound(self) -> HabitatsPart:
        if self.labels is not None and (more := sorted(self.model_fields_set - {"labels"})):
            msg = f"has labels, so {', '.join(more)} would do nothing; keep one of the two"
            raise ValueError(msg)
        self.options(0)
        return self


class PopulationPart(GroupingPart):
    """One model of habitats for all cases of a study, fitted on their images before each case applies it."""

    scaling: Literal["stored", "case"] = Field(
        "stored",
        description="stored: all cases on one scale, for quantities that mean the same in every case (HU, ADC, "
        "normalised MR); case: each on its own, which takes scanners' differences of level away, and tumours' too",
    )
    seed: int = Field(0, ge=0, description="Same seed, same model")

    @model_validator(mode="after")
    def _sound(self) -> PopulationPart:
        self.options()
        return self

    def options(self) -> HabitatOptions:
        """Make what a grouping is asked for, checked as a whole."""
        told = self.model_dump(exclude={"scaling", "features"})
        return HabitatOptions(features=tuple(self.features), **told)


class RegistrationPart(Part):
    """How sections are registered, as ``comould register`` takes it."""

    n_samples: int = Field(8, ge=0, description="Plausible registrations of each section; 0 for none")
    shrinkage: Annotated[list[float], Field(min_length=2, max_length=2)] = Field(
        [0.75, 1.1], description="Bounds of the size on the slide over the size in the patient"
    )
    plane: Literal["fit", "test", "plan"] = Field("fit", description="What is done about the place of the cut")
    deformable: bool = Field(True, description="Whether the B-spline is tried")
    thresholds: InsidePath | None = Field(None, description="YAML of thresholds for the verdict, in place of ours")
    via: list[Literal["adjacent", "photo"]] = Field(
        default_factory=list, description="Which further pictures beside a section to go home over"
    )
    force: bool = Field(False, description="Map the spots of rejected sections as well")


class PictureRow(Part):
    """A picture on the way."""

    id: str = Field(min_length=1, max_length=64, description="Name of the picture")
    picture: InsidePath = Field(description="PNG, TIFF, whole-slide image …")
    pixel_size_um: float | None = Field(None, gt=0, description="Full resolution; needed when the file does not say")
    downsample: float = Field(1.0, gt=0, description="Full-resolution pixels per pixel of the picture")
    plane_id: str | None = Field(None, description="Plane of the plan")
    face: Literal["-", "+"] | None = Field(None, description="Which face of the cut is seen")
    offset_mm: float = Field(0.0, description="Distance from the plane along its normal")
    tissue: InsidePath | None = Field(None, description="Mask or GeoJSON of the tissue")

    @model_validator(mode="after")
    def _sound(self) -> PictureRow:
        if "downsample" in self.model_fields_set and self.pixel_size_um is None:
            msg = "has a downsample but no pixel_size_um"
            raise ValueError(msg)
        if not self.id.strip() or not self.id.isprintable():
            msg = f"has an id {self.id!r} that is not printable"
            raise ValueError(msg)
        return self

    def entry(self) -> PictureEntry:
        """Make what the registration reads."""
        return PictureEntry(**{name: getattr(self, name) for name in PictureRow.model_fields})


class SectionRow(PictureRow):
    """A section: its picture and what belongs to it."""

    plane_id: str = Field(description="Plane of the plan it was cut at")
    spots: InsidePath | None = Field(None, description="h5ad or a Space Ranger folder")
    landmarks: InsidePath | None = Field(None, description="CSV: name, x, y in full-resolution pixels")
    landmarks_patient: InsidePath | None = Field(None, description="CSV: name, x, y, z in patient mm")
    landmarks_use: LandmarkUse = Field("held_out", description="Judge by them, fit to them, or both")
    via: list[PictureRow] = Field(default_factory=list, description="Pictures on the way, in order")
    adjacent: PictureRow | None = Field(None, description="An adjacent section")
    photo: PictureRow | None = Field(None, description="A photograph of the slab's face")

    @model_validator(mode="after")
    def _pairs(self) -> SectionRow:
        if (self.landmarks is None) != (self.landmarks_patient is None):
            msg = "has landmarks without landmarks_patient, or these without those; they go together"
            raise ValueError(msg)
        return self

    def section(self) -> SectionEntry:
        """Make what the registration reads."""
        named = {name: row.entry() for name, row in (("adjacent", self.adjacent), ("photo", self.photo)) if row}
        return SectionEntry(
            self.entry(), self.spots, self.landmarks, self.landmarks_patient, self.landmarks_use,
            tuple(row.entry() for row in self.via), named,
        )  # fmt: skip


class TestsPart(Part):
    """What is tested, as ``comould associate`` takes it."""

    __test__ = False

    genesets: list[GenesetName] = Field(["immune"], description="Built-in collections and GMT files")
    covariates: list[str] = Field(default_factory=list, description="Columns of the spots; edge_mm is made of the mask")
    statistic: Literal["pearson", "spearman", "lee"] = Field("pearson", description="How habitat and gene are compared")
    layer: str = Field("", description="Layer of the counts; the matrix itself when empty")
    null: str = Field("variogram", description="What habitats are held against")
    n_surrogates: int = Field(999, ge=19, description="Random maps")
    fdr: float = Field(0.1, gt=0, lt=1, description="Rate at which a gene counts as claimed")
    calibrate: int = Field(0, ge=0, description="Chance maps on which the test is judged; 0 for none")

    @model_validator(mode="after")
    def _sound(self) -> TestsPart:
        from comould.associate.nulls import KINDS

        if self.null not in KINDS:
            msg = f"has null {self.null!r}, which is none of {', '.join(KINDS)}"
            raise ValueError(msg)
        if self.calibrate == 1:
            msg = "has calibrate 1; give 0, or two maps or more"
            raise ValueError(msg)
        if len(set(self.covariates)) < len(self.covariates):
            msg = "names a covariate twice"
            raise ValueError(msg)
        return self


class ReportPart(Part):
    """The report."""

    title: str | None = Field(
        None, min_length=1, max_length=120, description="Heading; no patient data. Case and its pseudonym when left out"
    )
