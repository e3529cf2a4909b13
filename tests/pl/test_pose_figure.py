"""Cost against the direction that faces up: the curve, the mark, the letters, and what is refused."""

from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from scipy.ndimage import gaussian_filter

from comould import pl
from comould.errors import InputError
from comould.mould.lesion import Lesion
from comould.mould.planes import resolve_view
from comould.mould.pose import choose_pose
from comould.pl.style import DARK, LIGHT, new_figure
from comould.space import Grid


@pytest.fixture(scope="module")
def choose():
    """Lay an uneven blob in, cut along one of the named planes."""
    grid = Grid((22, 20, 18), (1.5, 1.5, 2.0))
    noise = gaussian_filter(np.random.default_rng(4).normal(size=grid.shape), 2.5)
    away = np.linalg.norm([(g - 9) / 9 for g in np.indices(grid.shape)], axis=0)
    lesion = Lesion(np.asarray(noise / noise.std() > 5 * away - 3), grid, 1, 0)
    return lambda plane="axial", up=None: choose_pose(lesion, resolve_view(plane, grid), up)


@pytest.fixture(scope="module")
def chosen(choose):
    return choose()


def part(ax, gid):
    return next(artist for artist in ax.get_children() if artist.get_gid() == gid)


def letters(ax):
    return [label.get_text().split("\n")[0] for label in ax.get_xticklabels()]


def test_the_curve_is_the_cost_and_closes(chosen):
    ax = pl.pose(chosen)
    x, y = part(ax, "pose-cost").get_data()
    assert list(x) == [seat.angle_deg for seat in chosen.tried] + [360.0]
    assert list(y[:-1]) == [seat.cost for seat in chosen.tried]
    assert y[-1] == y[0]
    assert ax.get_xlim() == (0, 360)
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylim()[1] > max(y)


def test_the_chosen_angle_is_marked_and_named(chosen):
    ax = pl.pose(chosen)
    mark = part(ax, "pose-chosen")
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (chosen.angle_deg, chosen.seat.cost)
    title = ax.get_title("left")
    assert title.startswith(f"{chosen.angle_deg:g}° chosen: ")
    assert title.endswith(f" up, {chosen.seat.cost:.0f} points")


def test_what_was_asked_for_is_shown_beside_the_least(choose):
    worst = max(choose().tried, key=lambda seat: seat.cost)
    least = min(choose().tried, key=lambda seat: seat.cost)
    title = pl.pose(choose(up=worst.angle_deg)).get_title("left")
    assert "as asked" in title
    assert f"(least: {least.cost:.0f} at {least.angle_deg:g}°)" in title


@pytest.mark.parametrize(("plane", "names"), [("axial", "ALPRA"), ("coronal", "SLIRS"), ("sagittal", "SPIAS")])
def test_letters_stand_where_that_side_faces_up(choose, plane, names):
    assert letters(pl.pose(choose(plane))) == list(names)


def test_loose_and_undercut_lie_below_the_curve(chosen):
    ax = pl.pose(chosen)
    for gid, values in (
        ("pose-loose", [seat.loose_percent for seat in chosen.tried]),
        ("pose-undercut", [seat.undercut_percent for seat in chosen.tried]),
    ):
        outline = part(ax, gid).get_paths()[0].vertices
        assert outline[:, 1].max() == pytest.approx(max(values))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["cost, points", "loose, %", "undercut, %"]


def test_any_bearer_of_the_record_will_do(chosen):
    record = chosen.to_dict()
    given = [chosen, record, {"pose": record}, SimpleNamespace(report={"pose": record})]
    curves = [part(pl.pose(bearer), "pose-cost").get_ydata() for bearer in given]
    assert all(np.array_equal(curve, curves[0]) for curve in curves)


def test_axes_and_themes_are_the_caller_s(chosen):
    before = dict(mpl.rcParams)
    ax = new_figure(5, 3).add_subplot()
    assert pl.pose(chosen, ax=ax, theme=DARK) is ax
    assert to_hex(part(ax, "pose-cost").get_color()) == DARK.accent.lower()
    assert to_hex(part(pl.pose(chosen), "pose-chosen").get_color()) == LIGHT.contrast.lower()
    assert dict(mpl.rcParams) == before


def test_nothing_hangs_over_the_figure(chosen):
    ax = pl.pose(chosen)
    figure = ax.figure
    figure.canvas.draw()
    frame = figure.bbox
    for artist in (ax.get_legend(), ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels()):
        box = artist.get_window_extent()
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert frame.y0 <= box.y0
        assert box.y1 <= frame.y1


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"angle_deg": 0.0, "tried": [{"angle_deg": 0.0, "undercut_ml": 1.0}]}, "angles without cost"),
        ({"angle_deg": 0.0, "tried": []}, "no angles"),
        (SimpleNamespace(report={}), "no angles"),
        ("mould", "no angles"),
    ],
)
def test_a_record_without_costs_is_refused(given, found):
    with pytest.raises(InputError, match=f"expected a mould, or its manifest.*{found}.*Build the mould again"):
        pl.pose(given)


def test_a_chosen_angle_that_was_not_tried_is_refused(chosen):
    with pytest.raises(InputError, match="not the chosen one"):
        pl.pose({**chosen.to_dict(), "angle_deg": 7.0})
