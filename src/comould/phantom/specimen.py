"""A specimen in silico: imaging, cutting and expression of one tumour whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.phantom import imaging
from comould.phantom.cut import CutSection, make_section, mixed_up, prepare
from comould.phantom.cut_options import CutOptions
from comould.phantom.genes import GeneModel
from comould.phantom.options import SpecimenOptions, checked_seed, make
from comould.phantom.tissue import Tissue
from comould.space import FloatArray, SlicePlan, as_points

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk


@dataclass(frozen=True, eq=False)
class Phantom:
    """A simulated specimen; make one with :func:`specimen`.

    Parameters
    ----------
    seed
        What it was made from.
    options
        What it was made with.
    images
        ``"T2"`` (arbitrary units) and ``"ADC"`` (1e-6 mm²/s), float32, one grid, patient LPS mm.
    mask
        The specimen on the images' grid, uint8: voxels whose centre lies inside.
    habitats
        Truth labels at voxel centres, uint8: 0 outside, 1 to k inside.
    tissue
        The analytic specimen behind them.
    gene_model
        The analytic expression behind the counts.
    """

    seed: int
    options: SpecimenOptions
    images: dict[str, sitk.Image]
    mask: sitk.Image
    habitats: sitk.Image
    tissue: Tissue
    gene_model: GeneModel

    @property
    def habitat_names(self) -> tuple[str, ...]:
        """Names in label order: label 1 is the first."""
        return self.tissue.names

    @property
    def genes(self) -> pd.DataFrame:
        """Truth per gene: index gene; ``habitat`` ("" for none), ``log2_fold_change`` inside it, ``kind``.

        Kind is ``habitat`` (follows one), ``smooth`` (a field of its own, exactly as smooth) or ``flat`` (noise only).
        """
        return self.gene_model.table.copy()

    @property
    def volume_ml(self) -> float:
        """Volume of the analytic specimen."""
        return self.tissue.body.volume_ml

    def level_mm(self, points_mm: npt.ArrayLike) -> FloatArray:
        """Signed radial distance ``(n,)`` of patient points ``(n, 3)`` to the specimen's surface, negative inside."""
        return self.tissue.body.level_mm(as_points(points_mm))

    def habitat_at(self, points_mm: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Truth label ``(n,)`` at patient points ``(n, 3)``: 1 to k, 0 outside the specimen."""
        return self.tissue.habitat_at(as_points(points_mm))

    def cut(
        self,
        plan: SlicePlan,
        *,
        seed: int = 0,
        difficulty: str | None = None,
        progress: Callable[[float], None] | None = None,
        **options: Any,
    ) -> list[CutSection]:
        """Cut the specimen along a plan, deform, stain, photograph and measure the sections.

        A section depends on the phantom, the plane, the plane's id and the seed alone: leaving out or adding planes
        changes nothing about the others, unless some are to be swapped.

        Parameters
        ----------
        plan
            Planes in patient mm; those that meet less than 20 mm² of the specimen give no section.
        seed
            Another seed cuts the same specimen with other deformations and noise.
        difficulty
            ``"easy"`` (4 % shrinkage, 0.5 mm bending), ``"medium"`` (6 %, 1 mm, small cutting errors, some variation
            of stain and sharpness) or ``"hard"`` (15 %, 3 mm, each cut 1 mm and 5° off its plane, strong variation):
            see :data:`~comould.phantom.PRESETS`. ``None`` takes the defaults of the options.
        progress
            Called with the share of the work done, 0 to 1.
        **options
            Any field of :class:`~comould.phantom.CutOptions`; takes precedence over the difficulty.

        Returns
        -------
        list of CutSection
            In the plan's order.

        Raises
        ------
        InputError
            For an unknown difficulty, an unknown or impossible option, or when no plane meets the specimen.

        Examples
        --------
        >>> from comould.phantom import specimen
        >>> from comould.space import CutPlane, SlicePlan
        >>> phantom = specimen(seed=1)
        >>> plan = SlicePlan((CutPlane.from_normal("P01", (-35, 12, -140), (0, 0, 1)),))
        >>> [section.section.id for section in phantom.cut(plan)]
        ['S-P01']
        """
        chosen = CutOptions.preset(difficulty, options)
        seeds = (self.seed, checked_seed(seed))
        cuts = [one for one in (prepare(plane, self.tissue, chosen, seeds) for plane in plan) if one is not None]
        if not cuts:
            raise InputError(
                subject="slice plan",
                expected="a plane that meets the phantom",
                found=f"{len(plan)} that miss it",
                remedy="Plan the cuts on the phantom's own mask",
            )
        told = mixed_up([one.plane.id for one in cuts], chosen, seeds)
        sections = []
        for one, plane_id in zip(cuts, told, strict=True):
            sections.append(
                make_section(one, tissue=self.tissue, genes=self.gene_model, options=chosen, plane_id=plane_id)
            )
            if progress is not None:
                progress(len(sections) / len(cuts))
        return sections

    def plan(self, spacing_mm: float = 5.0) -> SlicePlan:
        """Plan cuts parallel to the image slices, for when no mould is made.

        Parameters
        ----------
        spacing_mm
            Distance between the planes.

        Returns
        -------
        SlicePlan
            ``P01`` upwards along the slice normal, evenly about the specimen's middle.

        Raises
        ------
        InputError
            If the spacing is under 0.5 mm.
        """
        from comould.phantom.planning import plan_slices

        return plan_slices(self.mask, spacing_mm)

    def write(
        self,
        directory: str | Path,
        plan: SlicePlan,
        sections: Sequence[CutSection] | None = None,
        *,
        overwrite: bool = False,
    ) -> Path:
        """Write the simulated case: images, mask, plan, sections and spots, and the truth in a folder of its own.

        Parameters
        ----------
        directory
            Made whole or not at all: ``images/*.nii.gz``, ``mask.nii.gz``, ``slice_plan.json``, ``sections/*.png`` with
            ``.json`` facts, ``spots/*.h5ad``, ``truth/``, ``manifest.json``, and a ``README.md`` that explains them.
            Pictures are the working images: a
            picture's pixel is ``pixel_size_um * downsample`` wide, while spots are in full-resolution pixels.
        plan
            The planes the sections were cut at.
        sections
            What :meth:`cut` gave; without it the specimen is cut along the plan with the default options.
        overwrite
            Replace a folder an earlier run wrote.

        Returns
        -------
        pathlib.Path
            The folder.

        Raises
        ------
        InputError
            If the folder exists and may not be replaced.
        """
        from comould.phantom.write import write_case

        chosen = self.cut(plan) if sections is None else sections
        return write_case(self, directory, plan, chosen, overwrite)


def specimen(seed: int = 0, **options: Any) -> Phantom:
    """Simulate a specimen: a lobulated tumour with habitats, its T2 and ADC images, and its gene expression.

    Parameters
    ----------
    seed
        0 or more; the same seed and options give the same bits.
    **options
        Any field of :class:`~comould.phantom.SpecimenOptions`.

    Returns
    -------
    Phantom

    Raises
    ------
    InputError
        For an unknown or impossible option.

    Notes
    -----
    The outline, habitats, fine structure and expression are analytic functions of patient position, so truth can be
    had at any point, not only on a grid. Habitats are the largest of independent Gaussian random fields; "smooth"
    genes are further fields of exactly the same covariance, which is what makes naive tests claim them. The contrast
    between habitats, and which genes follow them, are assumptions: a method that works here is not thereby shown to
    work on patients.

    Examples
    --------
    >>> phantom = specimen(seed=1)
    >>> phantom.habitat_names
    ('immune-hot', 'hypoxic', 'stromal', 'proliferative')
    >>> round(phantom.volume_ml)
    60
    """
    chosen = make(SpecimenOptions, options, "phantom.specimen")
    seed = checked_seed(seed)
    tissues, acquisition, expression = np.random.SeedSequence(seed).spawn(3)
    tissue = Tissue.draw(tissues, chosen)
    rendered = imaging.render(tissue, chosen, np.random.default_rng(acquisition))
    return Phantom(
        seed=seed,
        options=chosen,
        images=rendered.images,
        mask=rendered.mask,
        habitats=rendered.habitats,
        tissue=tissue,
        gene_model=GeneModel.draw(expression, chosen),
    )
