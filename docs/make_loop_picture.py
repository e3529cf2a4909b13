"""Draw the README's picture of the loop from a simulated specimen: ``python docs/make_loop_picture.py``."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
from matplotlib.figure import Figure

import comould as cm
from comould.pl.style import context

TARGET = Path(__file__).parent / "images" / "loop.png"
TITLES = (
    "1  Plan cuts on the scan",
    "2  Print the mould",
    "3  Bring the section home",
    "4  Map habitats",
    "5  Test the claim",
)


def main() -> None:
    """Run the loop once and write the picture."""
    with cm.register.ElastixWorker() as worker:
        worker.start()
        case = cm.phantom.specimen(seed=0)
        image, mask = case.images["T2"], case.mask
        mould = cm.mould.build(mask, image=image, template="ovary", plane="image")
        cuts = case.cut(mould.plan)
        sections = [cut.section for cut in cuts]
        found = cm.register.sections(sections, plan=mould.plan, image=case.images, mask=mask, workers=[worker])
    habitats = cm.habitats.fit(case.images, mask, seed=0)
    for cut in cuts:
        cm.register.map_spots(cut.spots, found[cut.section.id], force=True)
    spots = ad.concat([cut.spots for cut in cuts], merge="same", uns_merge="first")
    cm.associate.sample(spots, habitats)
    table = cm.associate.test(spots, seed=0)

    figure = Figure(figsize=(16.5, 3.7), facecolor="white")
    lefts, width = (0.005, 0.195, 0.385, 0.575, 0.8), 0.18
    with context():
        axes = [
            figure.add_axes((left, 0.14 if left > 0.7 else 0.02, width, 0.72 if left > 0.7 else 0.86)) for left in lefts
        ]
    shown = sections[len(sections) // 2]
    plane = mould.plan[found[shown.id].plane_id]
    cm.pl.plan_overview(image, mask, mould.plan, aspect=1.0, ax=axes[0])
    cm.pl.mould_view(mould, "cut", ax=axes[1])
    cm.pl.section(shown, found[shown.id], mould.plan, image, mask, show=("checker",), ax=axes[2])
    cm.pl.habitat_plane(habitats.labels, image, plane, ax=axes[3])
    cm.pl.volcano(table, ax=axes[4])
    for left, title in zip(lefts, TITLES, strict=True):
        figure.text(left, 0.93, title, fontsize=13, fontweight="bold", color="#12202f")
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET, dpi=110)


if __name__ == "__main__":
    main()
