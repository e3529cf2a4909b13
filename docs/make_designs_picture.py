"""Draw the README's picture of the four designs for one specimen: ``python docs/make_designs_picture.py``."""

from __future__ import annotations

import warnings
from pathlib import Path

from matplotlib.figure import Figure

import comould as cm
from comould.pl.style import context

TARGET = Path(__file__).parent / "images" / "designs.png"


def main() -> None:
    """Build a mould of every design and write the picture."""
    case = cm.phantom.specimen(seed=0)
    chosen = cm.mould.designs()
    figure = Figure(figsize=(16.5, 4.9), facecolor="white")
    width = 1.0 / len(chosen)
    with context():
        for n, design in enumerate(chosen):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", cm.ComouldWarning)
                mould = cm.mould.build(case.mask, template="soft_tissue", design=design.name, plane="image")
            cm.pl.mould_view(mould, "lifted", ax=figure.add_axes((n * width + 0.01, 0.01, width - 0.02, 0.85)))
            figure.text(n * width + 0.015, 0.93, design.name, fontsize=13, fontweight="bold", color="#12202f")
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET, dpi=100)


if __name__ == "__main__":
    main()
