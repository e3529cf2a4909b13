"""The habitats report: complete, self-contained, every text escaped; what is not known is left out."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from comould.errors import InputError
from comould.habitats import interaction
from comould.report import HabitatReport, write_habitats
from comould.report.habitats import plane_files
from comould.space import Grid


@pytest.fixture
def parts():
    grid = Grid((14, 12, 4), (1.0, 1.0, 3.0))
    array = np.zeros(grid.shape, np.uint8)
    array[1:3, 2:10, 2:7], array[1:3, 2:10, 7:12] = 1, 2
    labels = grid.to_image(array)
    table = pd.DataFrame(
        {"label": [1, 2], "voxels": [80, 80], "volume_ml": [0.24, 0.24], "fraction": [0.5, 0.5],
         "mean_probability": [0.9, 0.8], "T2<b>_mean": [1.0, 2.0]}, index=["H1", "H2"],
    )  # fmt: skip
    selection = pd.DataFrame({"n_habitats": [2, 3], "excess": [0.2, 0.1], "bic": [5.0, 6.0], "chosen": [True, False]})
    habitats = SimpleNamespace(
        labels=labels, table=table, selection=selection, parameters={"selection_rule": "largest excess"}
    )
    features = SimpleNamespace(
        table=pd.DataFrame(
            {"icc": [0.9, 0.2], "icc_low": [0.8, 0.1], "icc_high": [0.95, 0.3], "kept": [True, False]},
            index=["T2/intensity.voxel", "T2/<script>"],
        ),
        least_icc=0.75,
    )
    stability = SimpleNamespace(
        table=pd.DataFrame(
            {"perturbation": ["noise 1"], "kind": ["noise"], "amount": [1.0], "rand_index": [0.55],
             "dice_H1": [0.8], "dice_H2": [0.7]}
        ),
        habitats=pd.DataFrame({"dice_mean": [0.8, 0.7]}, index=["H1", "H2"]),
        kept=grid.to_image((array > 0).astype(np.float32) * 0.5),
    )  # fmt: skip
    image = grid.to_image(np.random.default_rng(0).normal(size=grid.shape))
    return {
        "habitats": habitats, "image": image, "measures": pd.Series({"volume_ml": 0.48, "ith_score": 0.25}),
        "interaction": interaction(labels), "features": features, "stability": stability,
        "provenance": {"seed": 3, "note": "<img src=x>"}, "seconds": {"Find habitats": 1.5},
    }  # fmt: skip


def test_all_chapters_and_what_they_say(parts, tmp_path):
    text = write_habitats(HabitatReport(**parts), tmp_path / "r.html").read_text()
    assert re.findall(r'<section class="chapter[^"]*" id="(\w+)"', text) == [
        "map", "choice", "stability", "neighbours", "limits", "provenance"
    ]  # fmt: skip
    assert "2 habitats in 0.48 ml." in text
    assert "the map holds badly: Rand index 0.55" in text
    assert "1 of 2 feature maps did not hold still and were left out." in text
    assert "2 were chosen by the largest excess." in text
    assert text.count('<tr class="claimed">') == 1
    assert "time · Find habitats" in text


def test_it_is_one_file_and_text_stays_text(parts, tmp_path):
    text = write_habitats(HabitatReport(**parts), tmp_path / "r.html").read_text()
    assert "<script" not in text
    assert "<img src=x>" not in text
    assert "T2&lt;b&gt;" in text
    assert not re.search(r'(?:src|href|srcset)="(?!data:|#)', text)


def test_what_is_not_known_is_left_out(parts, tmp_path):
    few = HabitatReport(parts["habitats"], parts["image"])
    parts["habitats"].selection = parts["habitats"].selection.iloc[:1]
    text = write_habitats(few, tmp_path / "r.html").read_text()
    assert re.findall(r'<section class="chapter[^"]*" id="(\w+)"', text) == ["map", "limits"]


def test_a_picture_of_every_slice(parts, tmp_path):
    from PIL import Image

    names = plane_files(parts["habitats"].labels, parts["image"], tmp_path, width_px=300)
    assert names == ["slice_001.png", "slice_002.png"]
    with Image.open(tmp_path / names[0]) as picture:
        assert picture.width == 300


def test_a_report_is_an_html_file_in_a_folder(parts, tmp_path):
    for path in ("r.txt", "nowhere/r.html"):
        with pytest.raises(InputError, match=r"an \.html file in a folder that exists"):
            write_habitats(HabitatReport(**parts), tmp_path / path)
    assert not list(tmp_path.iterdir())
