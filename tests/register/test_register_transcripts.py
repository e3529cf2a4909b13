import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from comould.errors import ComouldWarning, InputError, RegistrationError
from comould.register import SectionRegistration, Uncertainty, map_transcripts
from comould.register.maps import PlanarMap, Spline, similarity
from comould.space import Transform


def verdict(word, *reasons):
    return SimpleNamespace(verdict=word, reasons=reasons)


@pytest.fixture(scope="module")
def registration():
    """One through an affine map and a B-spline, with an ensemble of three."""
    rng = np.random.default_rng(0)
    transforms = []
    for angle in (30.0, 30.4, 29.5, 30.1):
        linear = similarity(angle, 1.05, flipped=False, centre_from=np.zeros(2), centre_to=np.array([2.0, -1.0]))
        bend = Spline(rng.normal(0, 0.3, (2, 12, 12)), (5.0, 5.0), (-20.0, -15.0))
        home = Transform.from_matrix("plane", "patient", np.diag([1.0, -1.0, -1.0, 1.0]))
        mm = Transform.scaling("section_px", "section_mm", (0.01, 0.01, 1.0))
        transforms.append(home @ PlanarMap(linear, bend).to_transform(0.2) @ mm)
    floor = Uncertainty(0.1, 0.5, (0.0, 0.0, 1.0))
    return SectionRegistration("S7", "P01", transforms[0], tuple(transforms[1:]), verdict("accept"), floor)


def chunks(kind, sizes=(300, 1, 0, 20_000)):
    rng = np.random.default_rng(2)
    for n in sizes:
        points = rng.uniform(0, 3000, (n, 2)).astype(np.float32)
        yield (
            points if kind == "arrays" else pd.DataFrame({"gene": "ERBB2", "y_px": points[:, 1], "x_px": points[:, 0]})
        )


def test_chunks_are_mapped_as_the_whole(registration):
    whole = np.concatenate(list(chunks("arrays")))
    position, sd = registration.map_points(whole)
    found = list(map_transcripts(chunks("arrays"), registration))
    assert [len(p) for p, _ in found] == [300, 1, 0, 20_000]
    np.testing.assert_array_equal(np.concatenate([p for p, _ in found]), position)
    np.testing.assert_array_equal(np.concatenate([s for _, s in found]), sd)


def test_frames_keep_their_columns_and_get_six(registration):
    frames = list(chunks("frames"))
    kept = [frame.copy() for frame in frames]
    position, sd = registration.map_points(np.concatenate(list(chunks("arrays"))))
    found = pd.concat(map_transcripts(frames, registration))
    assert list(found.columns[:3]) == ["gene", "y_px", "x_px"]
    np.testing.assert_array_equal(found[[f"{a}_patient_mm" for a in "xyz"]], position)
    np.testing.assert_array_equal(found[[f"{a}_patient_sd_mm" for a in "xyz"]], sd)
    for frame, before in zip(frames, kept, strict=True):
        pd.testing.assert_frame_equal(frame, before)


def test_one_chunk_is_taken_at_a_time(registration):
    taken = []

    def source():
        for chunk in chunks("arrays"):
            taken.append(len(chunk))
            yield chunk

    mapped = map_transcripts(source(), registration)
    assert taken == []
    next(mapped)
    assert taken == [300]


def test_a_rejected_registration_is_refused_at_the_call(registration):
    refused = replace(registration, quality=verdict("reject", "folded"))
    with pytest.raises(RegistrationError, match="rejected: S7: folded"):
        map_transcripts(chunks("arrays"), refused)
    with pytest.warns(
        ComouldWarning, match="rejected registrations are used because force was given: S7: folded"
    ) as told:
        mapped = map_transcripts(chunks("arrays"), refused, force=True)
    assert told[0].filename == __file__
    assert len(list(mapped)) == 4


def test_bad_chunks_are_named(registration):
    good = next(chunks("arrays"))
    bad = good.copy()
    bad[[3, 7], 0] = np.nan
    mapped = map_transcripts([good, bad], registration)
    next(mapped)
    with pytest.raises(
        InputError, match="transcripts of S7, chunk 2: expected finite positions, found 2 transcripts wi"
    ):
        next(mapped)
    with pytest.raises(InputError, match=r"chunk 1: expected shape \(n, 2\): x, y, found \(300, 3\)"):
        next(map_transcripts([np.ones((300, 3))], registration))
    with pytest.raises(InputError, match=r"chunk 1: expected columns x_px and y_px .*, found no y_px"):
        next(map_transcripts([pd.DataFrame({"x_px": [1.0]})], registration))
    for one in (good, pd.DataFrame({"x_px": [1.0], "y_px": [1.0]})):
        with pytest.raises(InputError, match=r"expected an iterable of DataFrames .* Put it in a list"):
            map_transcripts(one, registration)


def test_transcripts_off_the_picture_are_told_at_the_end(registration):
    framed = replace(registration, extent_px=(3001.0, 3001.0))
    far = np.full((4, 2), 9000.0)
    said = "transcripts of S7: 4 of 20305 positions lie outside the section's picture of 3001 × 3001 px"
    with pytest.warns(ComouldWarning, match=said):
        found = list(map_transcripts([*chunks("arrays"), far], framed))
    np.testing.assert_array_equal(found[-1][0], registration.map_points(far)[0])
    with pytest.raises(InputError, match=r"transcripts of S7: .*, found all 8 outside"):
        list(map_transcripts([far, far], framed))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(map_transcripts(chunks("arrays"), framed))
