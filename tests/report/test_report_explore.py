"""What can be turned and paged through lies where the patient's millimetres say, and a real browser draws it."""

import base64
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from comould.io.section import Section
from comould.mould.lighten import lighten
from comould.pl.style import habitat_colour
from comould.report import CaseReport
from comould.report.explore.bodies import mask_surface
from comould.report.explore.layers import mask_outline
from comould.report.explore.pack import packed_mesh
from comould.report.explore.script import json_text, policy, scripts
from comould.report.write import render_case
from comould.space import CutPlane, Grid, SlicePlan, Transform

HOSTILE = "</script><script>alert(1)</script>"
PITCH = 1.5


def unpacked(text, kind):
    return np.frombuffer(base64.b64decode(text), dtype=kind)


def data_of(page):
    return json.loads(re.search(r'id="explore-data">(.*?)</script>', page, re.DOTALL)[1])


def corners_of(body):
    steps = unpacked(body["xyz"], "<u2").reshape(-1, 3)
    return steps * np.asarray(body["step"]) + np.asarray(body["low"])


def volume(vertices, faces):
    a, b, c = (vertices[faces[:, n]] for n in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def section(name, plane):
    y, x = np.mgrid[:60, :70]
    tissue = ((x - 35) / 26) ** 2 + ((y - 30) / 23) ** 2 < 1
    picture = np.where(tissue[..., None], (180, 90, 150), (244, 243, 245)).astype(np.uint8)
    return Section(name, picture, 30.0, 10.0, plane)


@pytest.fixture(scope="module")
def made():
    """An ellipsoid at a place of its own, three planes along z; sections on P0 and P2, spots in both."""
    import anndata as ad

    middle = np.array([31.0, -22.0, 140.0])
    grid = Grid((26, 24, 16), (1.0, 1.0, 1.5), tuple(middle - [12.5, 11.5, 11.25]))
    k, j, i = np.indices(grid.shape)
    points = grid.patient_from_index(np.column_stack([i.ravel(), j.ravel(), k.ravel()]))
    inside = ((((points - middle) / [9, 8, 9]) ** 2).sum(axis=1) < 1).reshape(grid.shape)
    values = (points[:, 0] + 50 * inside.ravel()).reshape(grid.shape).astype(np.float32)
    labels = np.where(inside, 1 + (points[:, 0] > middle[0]).reshape(grid.shape), 0).astype(np.uint8)
    plan = SlicePlan(
        tuple(CutPlane.from_normal(f"P{n}", np.add(middle, [0, 0, 4.0 * (n - 1)]), (0, 0, 1)) for n in range(3))
    )
    matrix = np.diag([0.03, 0.03, 0.03, 1.0])
    matrix[:2, 3] = -0.03 * 350, -0.03 * 300
    sections, homes, spots = [], [], []
    for name, plane, verdict in ((HOSTILE, "P0", "accept"), ("S2", "P2", "reject")):
        home = plan[plane].patient_from_plane @ Transform.from_matrix("section_px", "plane", matrix)
        quality = SimpleNamespace(verdict=verdict, dice=0.9, reasons=[])
        sections.append(section(name, plane))
        homes.append(SimpleNamespace(section_id=name, plane_id=plane, patient_from_section_px=home, quality=quality))
        xy = np.array([[x, y] for x in range(200, 501, 50) for y in range(150, 451, 50)], dtype=float)
        place = home.apply(xy)
        one = ad.AnnData(
            np.ones((len(xy), 2), np.float32) * [1.0, 0.5],
            obs=pd.DataFrame(
                {"section": name, "habitat": np.where(place[:, 0] > middle[0], "H2", "H1"), "score_hot": place[:, 0]},
                index=[f"{plane}-{n}" for n in range(len(xy))],
            ),
            var=pd.DataFrame(index=["A", "B"]),
        )
        one.obsm["spatial"], one.obsm["spatial_patient"] = xy, place
        spots.append(one)
    return SimpleNamespace(
        middle=middle, grid=grid, image=grid.to_image(values), mask=grid.to_image(inside.astype(np.uint8)), plan=plan,
        labels=grid.to_image(labels), sections=sections, homes=homes, spots=spots, inside=inside,
    )  # fmt: skip


@pytest.fixture(scope="module")
def mould(made):
    """A grey block to the patient's left of the specimen, in a mould frame turned by a proper rotation."""
    from trimesh.creation import box, icosphere

    turn = np.eye(4)
    turn[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    home = Transform.from_matrix("patient", "mould", turn)
    block = box(bounds=np.add(made.middle, [[10, -6, -6], [16, 6, 6]]))
    ball = icosphere(subdivisions=3, radius=8.0)
    ball.apply_translation(made.middle)
    block.apply_transform(turn)
    ball.apply_transform(turn)
    return SimpleNamespace(bodies={"block": block}, specimen=ball, plan=made.plan, mould_from_patient=home)


@pytest.fixture(scope="module")
def case(made, mould):
    return CaseReport(
        mould=mould, image=made.image, mask=made.mask, sections=made.sections, registrations=made.homes,
        spots=made.spots, habitats=SimpleNamespace(labels=made.labels, table=None, selection=None),
        habitat_names={1: HOSTILE},
    )  # fmt: skip


@pytest.fixture(scope="module")
def text(case):
    """The page, with its own chapter only: what else is in a report has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("comould.report.write._chapters", lambda case, shots: [])
        return render_case(case)


def test_meshes_are_packed_to_micrometres():
    rng = np.random.default_rng(0)
    points = np.add(rng.uniform(-100, 100, (500, 3)), [900.0, -400.0, 1200.0])
    faces = rng.integers(0, 500, (300, 3))
    made = json.loads(json.dumps(packed_mesh(points, faces)))
    assert np.abs(corners_of(made) - points).max() < 0.002
    assert not made["wide"]
    assert np.array_equal(unpacked(made["faces"], "<u2").reshape(-1, 3), faces)
    wide = packed_mesh(rng.uniform(0, 1, (70_000, 3)), [[0, 1, 69_999]])
    assert wide["wide"]
    assert list(unpacked(wide["faces"], "<u4")) == [0, 1, 69_999]


def test_lightened_surfaces_keep_their_shape():
    from scipy.spatial import cKDTree
    from trimesh.creation import box, icosphere

    ball = icosphere(subdivisions=6, radius=30.0)
    ball.apply_translation([500.0, 0, -800.0])
    vertices, faces, tolerance = lighten(ball.vertices, ball.faces, 9000)
    assert len(faces) <= 9000 < len(ball.faces)
    assert 0 < tolerance <= 0.4
    assert volume(vertices - [500, 0, -800], faces) == pytest.approx(ball.volume, rel=0.01)
    assert np.abs(np.linalg.norm(vertices - [500, 0, -800], axis=1) - 30).max() < tolerance + 0.02
    assert cKDTree(vertices).query(ball.vertices)[0].max() < 3.0
    cube = box()
    same = lighten(cube.vertices, cube.faces[:-1], 3)
    assert same[2] == 0
    assert np.array_equal(same[1], cube.faces[:-1])


def test_a_masks_surface_lies_on_it(made):
    vertices, faces = mask_surface(made.mask)
    true = made.inside.sum() * 1.5
    assert volume(vertices - made.middle, faces) == pytest.approx(true, rel=0.06)
    assert np.abs(0.5 * (vertices.min(axis=0) + vertices.max(axis=0)) - made.middle).max() < 0.1


def test_bodies_lie_in_the_patient(text, made):
    block, ball = data_of(text)["bodies"]
    assert [block["name"], ball["name"]] == ["block", "specimen"]
    corners = corners_of(block)
    assert np.allclose(corners.min(axis=0), np.add(made.middle, [10, -6, -6]), atol=0.01)
    assert np.allclose(corners.max(axis=0), np.add(made.middle, [16, 6, 6]), atol=0.01)
    assert np.allclose(np.linalg.norm(corners_of(ball) - made.middle, axis=1), 8.0, atol=0.02)


def test_planes_and_layers_are_those_of_the_plan(text, made):
    data = data_of(text)
    assert [one["plane"] for one in data["stops"]] == ["P0", "P1", "P2"]
    assert [one["section"] for one in data["stops"]] == [HOSTILE, "", "S2"]
    assert [one["word"] for one in data["stops"]] == ["Accepted", "", "Rejected"]
    assert all({"grey", "outline", "habitats"} <= set(one) for one in data["stops"])
    for plane, given in zip(made.plan, data["planes"], strict=True):
        assert np.allclose(given["origin"], plane.origin_mm, atol=1e-3)
        assert np.allclose(np.cross(given["right"], given["down"]), plane.normal) or np.allclose(
            np.cross(given["right"], given["down"]), -np.asarray(plane.normal)
        )
        # Axial, as a radiologist sees it: the patient's left at the right, posterior at the bottom.
        assert np.allclose([given["right"], given["down"]], [[1, 0, 0], [0, 1, 0]])
        assert given["letters"] == {"left": "R", "right": "L", "top": "A", "bottom": "P"}


def test_outlines_are_millimetres_of_the_view(made):
    from comould.pl.view import View, mask_points

    view = View.of_plane(made.plan["P1"], mask_points(made.mask))
    (line,) = mask_outline(view, made.mask, 0.25)
    patient = view.origin_mm + line[:, :1] * view.right + line[:, 1:] * view.down
    radius = np.linalg.norm((patient - made.middle)[:, :2] / [9, 8], axis=1)
    assert radius.min() > 0.88
    assert radius.max() < 1.1
    assert np.array_equal(line[0], line[-1])


def test_spots_lie_where_they_were_mapped(text, made):
    data = data_of(text)
    assert [one["label"] for one in data["colourings"]] == ["Habitat", "set hot", "A", "B"]
    habitat, hot = data["colourings"][:2]
    assert habitat["names"] == ["H1", "H2"]
    assert habitat["colours"] == [habitat_colour(1), habitat_colour(2)]
    for group, truth in zip(data["spots"], made.spots, strict=True):
        place = unpacked(group["xyz"], "<f4").reshape(-1, 3)
        assert np.allclose(place, truth.obsm["spatial_patient"], atol=1e-4)
        assert group["pitch"] == pytest.approx(PITCH, abs=1e-3)
        assert list(unpacked(group["values"]["habitat"], "u1")) == [
            ["H1", "H2"].index(name) for name in truth.obs["habitat"]
        ]
        told = hot["low"] + unpacked(group["values"]["score_hot"], "u1") / 254 * (hot["high"] - hot["low"])
        assert np.abs(told - truth.obs["score_hot"]).max() < 0.1
    # A gene that is the same everywhere is still a number, and what is missing is said to be.
    assert {one["kind"] for one in data["colourings"][1:]} == {"number"}


def test_nothing_ends_its_element(text, read_page):
    assert HOSTILE not in text
    page = read_page(text)
    assert page.all("script") == [{"type": "application/json", "id": "explore-data"}, {}]
    assert data_of(text)["stops"][0]["section"] == HOSTILE
    assert "<" not in json_text({"a": "</script><!--", "b": "&"})
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"a": float("nan")})


def test_policies_name_the_script():
    assert "script-src" not in policy()
    assert policy("1").startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-")
    assert "</script" not in scripts()


def test_controls_have_names(text, read_page):
    page = read_page(text)
    named = {attrs["for"] for attrs in page.all("label")}
    for attrs in [*page.all("input"), *page.all("select")]:
        assert attrs["id"] in named or attrs.get("aria-label")
    for attrs in page.all("canvas"):
        assert attrs.get("aria-hidden") or (attrs["aria-label"] and attrs["tabindex"] == "0")
        assert attrs.get("aria-describedby", "solid-keys") in page.ids
    assert len(page.all("button")) == 9


MODEL = """
const red = (r, g, b, a) => a > 60 && r > 1.3 * b;
const grey = (r, g, b, a) => a > 60 && b >= r;
await settle();
const found = { drawn: ["solid", "slice"].map((id) => Number(at(id).dataset.drawn)) };
found.start = at("explore-which").textContent;
await put("show-cut", false);
for (const id of ["show-planes", "show-spots"]) await put(id, 0);
await put("show-pictures", "none");
await put("body-0", 100);
for (const letter of ["L", "S", "A"]) {
  await click(`[data-from="${letter}"]`);
  found[letter] = { block: look("solid", grey), ball: look("solid", red) };
}
const before = pixels("solid");
await click("#body-on-0");
found.hidden = [differ(before, pixels("solid")), look("solid", grey).share];
for (const key of ["ArrowLeft", "+", "+"]) await press("solid", key);
found.near = look("solid", red).share;
await press("solid", "PageDown");
found.paged = at("explore-which").textContent;
await put("show-pictures", "one");
await put("show-cut", true);
await put("body-1", 100);
await press("solid", "0");
found.cut = differ(before, pixels("solid"));
const rect = at("solid").getBoundingClientRect();
const point = { clientX: rect.left + rect.width / 2, clientY: rect.top + rect.height / 2, pointerId: 1, bubbles: true };
await click('[data-from="S"]');
at("solid").setPointerCapture = () => {};
for (const what of ["pointerdown", "pointerup"]) at("solid").dispatchEvent(new PointerEvent(what, point));
await settle();
found.picked = [at("explore-which").textContent];
await click('[data-from="I"]');
for (const what of ["pointerdown", "pointerup"]) at("solid").dispatchEvent(new PointerEvent(what, point));
await settle();
found.picked.push(at("explore-which").textContent);
return found;
"""
SLICES = """
const found = {};
await put("explore-stop", 0);
found.which = at("explore-which").textContent;
found.verdict = at("explore-verdict").textContent;
const layers = ["grey", "habitats", "section", "outline", "spots"].map((name) => `layer-${name}`);
for (const id of layers) await put(id, 0);
const dark = pixels("slice");
found.bright = look("slice", (r, g, b) => r + g + b > 90).share;
for (const id of layers) {
  await put(id, 100);
  found[id] = differ(dark, pixels("slice"));
  await put(id, 0);
}
await put("layer-habitats", 100);
const parts = (hex) => [1, 3, 5].map((from) => parseInt(hex.slice(from, from + 2), 16));
const near = (hex) => (...rgb) => parts(hex).every((value, n) => Math.abs(rgb[n] - value) < 12);
found.H1 = look("slice", near("H1_COLOUR"));
found.H2 = look("slice", near("H2_COLOUR"));
await put("layer-habitats", 0);
await put("layer-spots", 100);
await put("explore-colour", "set hot");
found.legend = at("explore-legend").textContent;
const rect = at("slice").getBoundingClientRect();
const middle = { clientX: rect.left + rect.width / 2, clientY: rect.top + rect.height / 2 };
at("slice").dispatchEvent(new PointerEvent("pointermove", middle));
found.where = at("slice-where").textContent;
await press("slice", "ArrowRight", { shiftKey: true });
found.moved = at("slice-where").textContent;
await press("slice", "ArrowRight");
await press("slice", "End");
found.end = at("explore-which").textContent;
found.last = at("explore-on").disabled;
found.wide = document.documentElement.scrollWidth - window.innerWidth;
return found;
"""


@pytest.fixture(scope="module")
def browsed(browser, text, tmp_path_factory):
    """The real page, its own policy in force: no complaint, and what its controls do."""
    page = tmp_path_factory.mktemp("browsed") / "page.html"
    page.write_text(text, encoding="utf-8")
    slices = SLICES.replace("H1_COLOUR", habitat_colour(1)).replace("H2_COLOUR", habitat_colour(2))
    with browser.Tab(page) as tab:
        found = tab.run(MODEL) | tab.run(slices)
        found["said"] = tab.said
    return found


def test_both_views_are_drawn_without_complaint(browsed):
    assert browsed["said"] == []
    assert min(browsed["drawn"]) > 0
    assert browsed["start"] == "P1 · no section"
    for letter in "AS":
        assert browsed[letter]["ball"]["share"] > 0.05


def test_the_model_is_not_a_mirror_image(browsed):
    """The block lies to the patient's left: at the right from the front, and from above with the back at the top."""
    for letter in "AS":
        block, ball = browsed[letter]["block"], browsed[letter]["ball"]
        assert block["x"] > ball["x"] + 0.1
        assert abs(block["y"] - ball["y"]) < 0.05
    # From the left it hides the middle of the ball.
    block, ball = browsed["L"]["block"], browsed["L"]["ball"]
    assert np.allclose([block["x"], block["y"]], [ball["x"], ball["y"]], atol=0.05)


def test_bodies_can_be_hidden_and_approached(browsed):
    changed, left = browsed["hidden"]
    assert changed > 0.02
    assert left < 0.005
    assert browsed["near"] > 1.2 * browsed["A"]["ball"]["share"]


def test_planes_are_chosen_on_the_model(browsed):
    assert browsed["paged"] == "P2 · section S2"
    assert browsed["cut"] > 0.05
    # From above the uppermost plane is met first, from below the lowest.
    assert browsed["picked"] == ["P2 · section S2", f"P0 · section {HOSTILE}"]


def test_every_layer_answers_to_its_slider(browsed):
    assert browsed["which"] == f"P0 · section {HOSTILE}"
    assert browsed["verdict"] == "Accepted"
    assert browsed["bright"] < 0.02
    assert browsed["layer-grey"] > 0.3
    for name in ("habitats", "section", "spots"):
        assert browsed[f"layer-{name}"] > 0.08
    assert browsed["layer-outline"] > 0.003


def test_slices_are_as_a_radiologist_sees_them(browsed):
    """Habitat 2 lies on the patient's left: on the right of the picture."""
    assert browsed["H1"]["x"] + 0.1 < browsed["H2"]["x"]


def test_coordinates_are_the_patients(browsed, made):
    told, moved = (
        [float(v.replace("−", "-")) for v in re.findall(r"[xyz] (−?[\d.]+)", browsed[name])]
        for name in ("where", "moved")
    )
    assert np.allclose(told, made.middle - [0, 0, 4.0], atol=0.6)
    assert np.allclose(np.subtract(moved, told), [1, 0, 0], atol=0.11)
    assert "set hot" in browsed["where"]
    assert "set hot" in browsed["legend"]


def test_keys_page_to_the_end(browsed):
    assert browsed["end"] == "P2 · section S2"
    assert browsed["last"]
    assert browsed["wide"] <= 0


def test_without_webgl_there_is_a_picture_and_a_narrow_screen_holds_it(browser, text, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(text, encoding="utf-8")
    with browser.Tab(page, (400, 900), webgl=False) as tab:
        model, told, still, drawn, wide = tab.run(
            """await settle(); return [
              at("solid-figure").hidden, at("solid-without").textContent, at("solid-still").offsetHeight,
              Number(at("slice").dataset.drawn), document.documentElement.scrollWidth - window.innerWidth];"""
        )
        assert [line for line in tab.said if "WebGL" not in line] == []
    assert model
    assert "cannot draw" in told
    assert still > 50
    assert drawn > 0
    assert wide <= 0
