"""The page inside a simulated case that says in plain words what each file is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comould.phantom.cut import CutSection
    from comould.phantom.specimen import Phantom

_TEXT = """\
# A simulated specimen with known truth

Everything here was computed; no patient is behind it. A tumour of {volume:.0f} ml was imaged and cut along {planes}
planned planes, and {count} made into sections. The task: say where in the patient each spot on each section
came from. The answer is in `truth/`; do not read it before you have one of your own.

## What a method may read

| file | what it is |
|---|---|
| `images/*.nii.gz` | {images}: what the scanner saw |
| `mask.nii.gz` | the tumour on the same grid: 1 inside, 0 outside |
| `slice_plan.json` | the planned cuts: a point, the normal, and the directions u and v of each; mm |
| `sections/*.png` | pictures of the sections; a pixel is `pixel_size_um` × `downsample` µm wide |
| `sections/*.json` | facts of each: the plane its label names, the pixel size, which face is up (null: nobody knows) |
| `spots/*.h5ad` | gene counts; `obsm["spatial"]` is (x, y) in full-resolution pixels |
{further}| `manifest.json` | the list of all this, and what made it |

## Units and frames

- **Patient**: millimetres, LPS (x to the patient's left, y to the back, z to the head), as in DICOM and ITK. NIfTI
  files state RAS, and readers turn them round.
- **Planes**: millimetres; u to the right, v downwards, as the image slices are shown; u × v is the normal.
- **Section pixels**: x to the right, y down, full resolution, pixel centres on whole numbers. Pixel i of the picture,
  across or down, lies at (i + 0.5) × downsample − 0.5.

Sections may have shrunk, stretched, bent, been turned by any angle, or lie face down; the knife need not have kept to
its plane. What was done to these is in `truth/truth.json`.

## Truth

| file | what it is |
|---|---|
| `truth/*_spots.csv` | each spot's x, y, z in patient mm, the habitat under it, and which part of a torn section |
| `truth/*.h5`, `*.frames.json` | ITK transforms from full-resolution pixels to patient mm, exact; one a part |
| `truth/*.json` | the plane really cut, its offset (mm) and tilt (°) from the plan's, shrinkage, face, angle |
| `truth/habitats.nii.gz`, `truth/genes.csv` | the habitats, and which genes follow them |

## How to score

Write one CSV with the columns `spot,x_mm,y_mm,z_mm`, in patient mm, a row for each spot of `spots/*.h5ad` (leave out
what you cannot place), then

```python
import comould as cm
score = cm.phantom.score("this/folder", "positions.csv")
print(score)        # median and 95th percentile of the distance to the truth, and the share of spots placed
score.table         # the same for each section, with the error along the plane and across it
```

The error is the straight distance in patient mm. Spots that are left out count against the share placed, not in the
median: report both.
"""


def readme(phantom: Phantom, planes: int, sections: Sequence[CutSection]) -> str:
    """Write the page for one case."""
    further = ""
    if any(cut.adjacent is not None for cut in sections):
        further += (
            "| `sections/*_adjacent.png` and `.json` | an H&E section taken within 50 µm of the one with spots |\n"
        )
    if any(cut.photo is not None for cut in sections):
        further += "| `sections/*_photo.png` and `.json` | the slab's face, photographed before processing |\n"
    count = f"{len(sections)} of them {'was' if len(sections) == 1 else 'were'}"
    return _TEXT.format(
        volume=phantom.volume_ml,
        planes=planes,
        count=count,
        images=" and ".join(phantom.images),
        further=further,
    )
