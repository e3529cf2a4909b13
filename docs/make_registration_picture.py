"""Draw the picture of registration from a simulated section: ``python docs/make_registration_picture.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import comould as cm
from comould.pl.style import context

TARGET = Path(__file__).parent / "images" / "registration.png"
TITLES = (
    "1  Slide as scanned",
    "2  Nothing done",
    "3  Registered",
    "4  How sure (SD)",
    "5  How far off (error)",
)


def main() -> None:
    """Register one section and write the picture."""
    with cm.register.ElastixWorker() as worker:
        worker.start()
        case = cm.phantom.specimen(seed=3)
        image, mask = case.images["T2"], case.mask
        plan = cm.mould.build(mask, image=image, template="ovary", plane="image").plan
        cut = case.cut(cm.space.SlicePlan((plan.planes[len(plan) // 2],)), difficulty="medium", seed=4)[0]
        found = cm.register.sections([cut.section], plan=plan, image=case.images, mask=mask, workers=[worker])
    home = found[cut.section.id]
    cm.register.map_spots(cut.spots, home)
    place = cut.spots.obsm["spatial_patient"]
    sd = np.linalg.norm(cut.spots.obsm["spatial_patient_sd"], axis=1)
    error = np.linalg.norm(place - cut.spots_patient_mm, axis=1)

    scene = cm.pl.SectionScene.of(cut.section, home, plan, image, mask)
    figure = Figure(figsize=(16.5, 3.8), facecolor="white")
    with context():
        axes = [figure.add_axes((left, 0.1, 0.185, 0.78)) for left in (0.005, 0.195, 0.385, 0.575, 0.765)]
        for name, ax in zip(("slide", "before", "overlay", "plane", "plane"), axes, strict=True):
            scene.draw(name, ax=ax)
        top = float(np.quantile(np.concatenate([sd, error]), 0.99))
        for values, ax in ((sd, axes[3]), (error, axes[4])):
            dots = _spots(ax, scene.view.from_patient(place), values, top)
        bar = figure.colorbar(dots, cax=figure.add_axes((0.957, 0.18, 0.006, 0.6)))
        bar.outline.set_visible(False)
        bar.set_label("mm, in space")
    for ax, title in zip(axes, TITLES, strict=True):
        figure.text(ax.get_position().x0, 0.93, title, fontsize=13, fontweight="bold", color="#12202f")
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET, dpi=110)


def _spots(ax: Axes, place: np.ndarray, values: np.ndarray, top: float):  # noqa: ANN202
    return ax.scatter(*place.T, c=values, cmap="viridis", vmin=0.0, vmax=top, s=7.0, lw=0.0)


if __name__ == "__main__":
    main()
