"""Habitats of one tumour from image files to folder and report: what ``comould habitats`` runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould.errors import InputError
from comould.io.output import atomic_directory, check_target, provenance, write_json
from comould.study._steps import Progress, Steps
from comould.study.habitat_options import HabitatOptions
from comould.study.load_habitats import LoadedImages, load_images

if TYPE_CHECKING:
    import pandas as pd

    from comould.habitats import FeatureStability, Habitats, HabitatStability

FORMAT = "comould.habitats"
STEPS = (
    "Read the images",
    "Test the features",
    "Find habitats",
    "Test the habitats",
    "Write results",
    "Write the report",
)
LEAST_PIECE_ML = 0.01


@dataclass(frozen=True, eq=False)
class HabitatsResult:
    """What was made.

    Parameters
    ----------
    folder
        Where everything was written.
    habitats
        The map and all about it.
    measures
        One number each: see :func:`measures_of`.
    left_out
        Feature maps that did not hold still.
    features, stability
        What held still; None where it was not tested.
    """

    folder: Path
    habitats: Habitats
    measures: pd.Series
    left_out: tuple[str, ...]
    features: FeatureStability | None
    stability: HabitatStability | None


@dataclass(kw_only=True)
class _Run(Steps):
    """What the steps hand to one another."""

    options: HabitatOptions


def run_habitats(
    images: Mapping[str, str | Path],
    mask: str | Path,
    out: str | Path,
    *,
    roi: str | None = None,
    options: HabitatOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> HabitatsResult:
    """Find the habitats of a tumour, test whether they hold still, and write everything with a report.

    Parameters
    ----------
    images
        Name to DICOM folder or image file; the first orders the habitats and lies beneath the pictures.
    mask
        Segmentation of the tumour.
    out
        Folder to write; new or empty unless ``overwrite``.
    roi
        Region of the segmentation, when it holds several.
    options
        How.
    overwrite
        Replace an earlier result in ``out``.
    progress
        Called with (step, fraction, note).

    Returns
    -------
    HabitatsResult

    Raises
    ------
    InputError
        Before any work for options, model and output folder; for files that are no image or no mask of it; and what
        :func:`comould.habitats.fit` refuses. Nothing is written then.

    Notes
    -----
    Written: ``habitats.nii.gz``, ``probabilities.nii.gz``, ``stability.nii.gz`` (how often a voxel stayed in its
    habitat), ``habitats.dcm`` and ``probabilities.dcm`` (DICOM SEG, when an image on the mask's grid is DICOM),
    ``supervoxels.h5ad``, ``habitats.csv``, ``selection.csv``, ``measures.csv``, ``interaction.csv``, ``pieces.csv``,
    ``borders.csv``, ``feature_stability.csv``, ``habitat_stability.csv``, ``model.json``, ``planes/``, ``report.html``
    and ``manifest.json``.
    """
    from comould.habitats import habitat_stability

    run = _Run(options=options or HabitatOptions(), progress=progress)
    check_target(out, overwrite=overwrite)
    model = run.options.read_model()
    with run.step(STEPS[0]):
        paths = {name: Path(path) for name, path in images.items()}
        loaded = load_images(paths, Path(mask), roi=roi, prepare=run.options.prepare)
    features = _tested_features(run, loaded) if model is None else None
    left_out = features.unstable if features is not None else ()
    with run.step(STEPS[2]):
        habitats = model.apply(loaded.images, loaded.mask) if model else _found(run, loaded, left_out)
    stability = None
    if run.options.stability:
        with run.step(STEPS[3]) as done:
            stability = habitat_stability(
                loaded.images, loaded.mask, habitats, refit=model is None, seed=run.options.seed,
                progress=lambda n, total, note: done(n / (total + 1), note),
            )  # fmt: skip
    inputs = {f"image {name}": path for name, path in paths.items()} | {"mask": Path(mask)}
    result = HabitatsResult(Path(out).resolve(), habitats, measures_of(habitats), left_out, features, stability)
    with atomic_directory(out, overwrite=overwrite) as folder:
        _write(run, result, loaded, inputs, folder)
    return result


def measures_of(habitats: Habitats) -> pd.Series:
    """Measure a habitat map: volume, ITH score, number of pieces, features of the interaction matrix."""
    import pandas as pd

    from comould import habitats as rooms

    nodes, _ = rooms.pieces(habitats.labels)
    first = {
        "volume_ml": float(habitats.table["volume_ml"].sum()),
        "n_habitats": float((habitats.table["voxels"] > 0).sum()),
        "ith_score": rooms.ith_score(habitats.labels),
        "pieces": float(len(nodes)),
        "mean_probability": float((habitats.table["mean_probability"] * habitats.table["fraction"]).sum()),
    }
    found = rooms.interaction_features(habitats.labels)
    return pd.concat([pd.Series(first), found]).rename("value")


def _tested_features(run: _Run, loaded: LoadedImages) -> FeatureStability | None:
    from comould.habitats import feature_stability

    if not run.options.stability:
        return None
    with run.step(STEPS[1]) as done:
        o = run.options
        return feature_stability(
            loaded.images, loaded.mask, features=o.features, radius_mm=o.radius_mm, bins=o.bins,
            least_icc=o.least_icc, seed=o.seed, progress=lambda n, total, note: done(n / (total + 1), note),
        )  # fmt: skip


def _found(run: _Run, loaded: LoadedImages, left_out: tuple[str, ...]) -> Habitats:
    """Group what holds still.

    Raises
    ------
    InputError
        If nothing does.
    """
    from comould import habitats as rooms

    o = run.options
    request = o.request(left_out)
    try:
        return rooms.fit(
            loaded.images, loaded.mask, n_habitats=o.n_habitats, method=request.method, features=o.features,
            radius_mm=o.radius_mm, seed=o.seed, max_habitats=o.max_habitats, rule=request.rule,
            supervoxel_mm=o.supervoxel_mm, spatial_weight=o.spatial_weight, bins=o.bins, without=left_out,
        )  # fmt: skip
    except InputError as error:
        if left_out and "left out" in error.found:
            raise InputError(
                subject="feature maps",
                expected=f"at least one that holds still (ICC {o.least_icc:g} or more)",
                found=f"none of {len(left_out)}",
                remedy="Choose other features, a larger radius or a lower threshold, or do without the test",
            ) from error
        raise


def _write(run: _Run, result: HabitatsResult, loaded: LoadedImages, inputs: Mapping[str, Path], folder: Path) -> None:
    """Write all results to a folder."""
    from comould.habitats.result import LIBRARIES

    o = run.options
    made = provenance(
        inputs=dict(inputs) | ({"model": o.model} if o.model else {}),
        parameters={"options": o.said(), "found": result.habitats.parameters, "left_out": list(result.left_out)},
        seed=o.seed,
        libraries=(*LIBRARIES, "highdicom", "anndata"),
    )
    with run.step(STEPS[4]) as done:
        files = result.habitats.write_files(folder)
        files |= _write_tables(result, folder)
        files |= _write_exchange(run, result, loaded, folder)
        done(0.6, "pictures")
        files |= _write_planes(result, loaded, folder)
    with run.step(STEPS[5]):
        _write_report(run, result, loaded, made, folder)
        files["report.html"] = "all of it, to look at"
    write_json(
        folder / "manifest.json",
        {
            "format": FORMAT,
            "version": 1,
            "units": "mm",
            "habitats": list(result.habitats.names),
            "measures": result.measures.to_dict(),
            "files": files,
            "seconds": run.seconds,
            "provenance": made,
        },
    )


def _write_tables(result: HabitatsResult, folder: Path) -> dict[str, str]:
    from comould import habitats as rooms

    labels = result.habitats.labels
    nodes, edges = rooms.pieces(labels, least_ml=min(LEAST_PIECE_ML, float(result.measures["volume_ml"]) / 100.0))
    tables = {
        "measures.csv": (result.measures, "one number each: volume, ITH score, interaction features"),
        "interaction.csv": (rooms.interaction(labels), "mm² of border between labels, 0 is outside"),
        "pieces.csv": (nodes, f"connected pieces of {LEAST_PIECE_ML:g} ml or more, centres in patient LPS mm"),
        "borders.csv": (edges.set_index("first"), "which of the pieces touch, and over how many mm²"),
    }
    if result.features is not None:
        tables["feature_stability.csv"] = (result.features.table, "intraclass correlation of every feature map")
    if result.stability is not None:
        from comould.io.image import write_image

        tables["habitat_stability.csv"] = (
            result.stability.table.set_index("perturbation"), "overlap of habitats found again",
        )  # fmt: skip
        write_image(result.stability.kept, folder / "stability.nii.gz")
    for name, (table, _) in tables.items():
        table.to_csv(folder / name)
    said = {name: text for name, (_, text) in tables.items()}
    if result.stability is not None:
        said["stability.nii.gz"] = "share of measurements in which a voxel stayed in its habitat"
    return said


def _write_exchange(run: _Run, result: HabitatsResult, loaded: LoadedImages, folder: Path) -> dict[str, str]:
    """Write for other programs: DICOM SEG and AnnData."""
    from comould import habitats as rooms
    from comould.io import SegmentTerms, write_seg
    from comould.pl.style import habitat_colour

    said = {}
    habitats, o = result.habitats, run.options
    series = o.dicom_seg or loaded.series_of_mask
    if series is not None:
        terms = SegmentTerms(
            names=dict(enumerate(habitats.names, start=1)),
            parameters=_short(habitats) | {"seed": o.seed},
            colours={n: habitat_colour(n) for n in range(1, len(habitats.names) + 1)},
        )
        write_seg(habitats.labels, folder / "habitats.dcm", source=series, terms=terms)
        write_seg(habitats.probabilities, folder / "probabilities.dcm", source=series, terms=terms)
        said["habitats.dcm"] = "DICOM SEG, one segment a habitat"
        said["probabilities.dcm"] = "DICOM SEG of probabilities"
    try:
        cells = rooms.to_anndata(habitats)
    except InputError:
        # The tumour is too small for supervoxels of the usual size: an optional file less.
        return said
    cells.write_h5ad(folder / "supervoxels.h5ad")
    return said | {"supervoxels.h5ad": "AnnData of supervoxels, for scanpy and squidpy"}


def _short(habitats: Habitats) -> dict[str, Any]:
    """Say in a few words how habitats were found."""
    settings = None if habitats.model is None else habitats.model.settings
    said: dict[str, Any] = {"habitats": len(habitats.names)}
    return said if settings is None else said | {"method": settings.method, "radius_mm": settings.radius_mm}


def _write_planes(result: HabitatsResult, loaded: LoadedImages, folder: Path) -> dict[str, str]:
    from comould.report.habitats import plane_files

    (folder / "planes").mkdir()
    names = plane_files(result.habitats.labels, loaded.shown, folder / "planes")
    return {"planes": f"{len(names)} pictures, one a slice of the mask"}


def _write_report(
    run: _Run, result: HabitatsResult, loaded: LoadedImages, made: Mapping[str, Any], folder: Path
) -> None:
    from comould import habitats as rooms
    from comould import report

    report.write_habitats(
        report.HabitatReport(
            habitats=result.habitats,
            image=loaded.shown,
            measures=result.measures,
            interaction=rooms.interaction(result.habitats.labels),
            features=result.features,
            stability=result.stability,
            provenance=made,
            seconds=dict(run.seconds),
        ),
        folder / "report.html",
    )
