"""A tiny simulated case, registered once without anything costly; one section is cut to a scrap and so rejected."""

import importlib
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from comould.errors import ComouldWarning


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    from comould import phantom
    from comould.phantom.planning import spread_over

    folder = tmp_path_factory.mktemp("tiny") / "case"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        made = phantom.specimen(3, volume_ml=6.0, margin_mm=4.0, subsamples=1, spacing_mm=(1.0, 1.0, 3.0))
        plan = made.plan(8.0)
        cuts = made.cut(spread_over(plan, 2), seed=3, difficulty="easy", image_pixel_um=200.0, spot_pitch_um=1500.0)
        made.write(folder, plan, cuts, overwrite=False)
    manifest = json.loads((folder / "manifest.json").read_text())
    row = manifest["sections"][-1]
    pixels = np.asarray(Image.open(folder / row["picture"]).convert("RGB")).copy()
    tissue = np.flatnonzero((pixels.min(axis=2) < 200).any(axis=0))
    pixels[:, : int(0.25 * tissue[0] + 0.75 * tissue[-1])] = pixels[1, 1]
    Image.fromarray(pixels).save(folder / row["picture"])
    return folder


@pytest.fixture(scope="session")
def worker():
    from comould.register.elastix import shared_worker

    yield shared_worker().start()
    shared_worker().close()


@pytest.fixture(scope="session")
def helpers():
    """Import a helper beside the tests by a name that processes begun from here know too."""
    here = str(Path(__file__).parent)
    sys.path.insert(0, here)
    yield importlib.import_module
    sys.path.remove(here)


@pytest.fixture(scope="session")
def quick(helpers):
    """Cases that run from file to report in seconds."""
    return helpers("quick")
