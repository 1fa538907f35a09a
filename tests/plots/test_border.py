"""What is only lowest at the border is called so in every picture, and is counted in none."""

import dataclasses

import numpy as np
import pytest

from helpers.pictures import caption, draw, legend
from keras_valleys import plots
from keras_valleys.descents import BasinMap
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectory
from keras_valleys.valleys import BORDER, count_text, find_valleys

X = np.linspace(-2, 3, 501)
# Minima at -1.1 and 1.0, and downhill at the end on the right, which is the lowest of all.
SLOPE = Surface(np.cos(3 * X) - 0.3 * X, [X], [[1.0]], [0.0], ["w"], "slope")
U, V = np.linspace(-1, 1.3, 41), np.linspace(-1.1, 0.9, 35)
SADDLE = Surface(U[:, None] ** 2 - V**2, [U, V], np.eye(2), np.zeros(2))
WALK = Trajectory(range(9), np.linspace(-1.5, 2.5, 9)[:, None], np.full(9, np.nan), "SGD")


def points(axes, gid):
    lines = [line.get_xydata() for line in axes.lines if line.get_gid() == gid]
    return np.concatenate([np.empty((0, 2)), *lines])


def test_the_surfaces_are_what_they_are_said_to_be():
    assert [valley.on_border for valley in find_valleys(SLOPE)] == [True, False, False]
    assert [valley.on_border for valley in find_valleys(SADDLE)] == [True, True]
    assert count_text(find_valleys(SLOPE)) == f"2 valleys, and {BORDER}"
    assert count_text(find_valleys(SADDLE)) == f"2 {BORDER}"
    assert count_text(find_valleys(SLOPE)[:1]) == BORDER
    assert count_text(find_valleys(SLOPE)[:2]) == f"1 valley, and {BORDER}"
    assert count_text([]) == "0 valleys"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_curve(theme):
    figure = plots.curve(SLOPE, WALK, theme=theme)
    axes = figure.axes[0]
    assert len(points(axes, "valleys")) == 2
    np.testing.assert_allclose(points(axes, "border"), [[3.0, SLOPE.losses[-1]]])
    (square,) = [line for line in axes.lines if line.get_gid() == "border"]
    background = {"light": "#ffffff", "dark": "#14171c"}[theme]
    assert (square.get_marker(), square.get_markerfacecolor()) == ("s", background)
    assert [text.get_text() for text in axes.texts] == ["\N{MINUS SIGN}1.01", "1.08", BORDER]
    # Its words are in the picture, and beside those of the valleys.
    draw(figure)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert boxes[1].x1 < boxes[2].x0 and boxes[2].x1 < axes.get_window_extent().x1 + 4


def test_a_small_frame_has_room_for_the_words():
    frames = plots.SurfaceFrames(SLOPE, size=(320, 240))
    texts = frames._axes.texts
    boxes = [text.get_window_extent() for text in texts]
    assert [text.get_text() for text in texts][-1] == BORDER
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))


def test_curves_and_panels():
    (axes,) = plots.curves([SLOPE]).axes
    assert axes.get_title("left") == f"slope: 2 valleys, and {BORDER}"
    figure = plots.path_panels(SLOPE, [WALK])
    assert caption(figure).startswith(
        f"Shaded: the lowest valley. Lines: ridges. Time runs down. The loss is {BORDER}."
    )
    shaded = figure.axes[1].patches[0].get_bbox()
    lowest = find_valleys(SLOPE)[1]
    np.testing.assert_allclose([shaded.x0, shaded.x1], lowest.ridges)
    slide = Surface(-X, [X], [[1.0]], [0.0])
    figure = plots.path_panels(slide, [WALK])
    assert "Shaded" not in caption(figure) and not figure.axes[1].patches


def test_planes():
    figure = plots.contour(SADDLE)
    assert legend(figure) == [f"{BORDER} {SADDLE.losses.min():.3g}"]
    assert len(points(figure.axes[0], "border")) == 1 and not len(points(figure.axes[0], "minimum"))
    (square,) = [line for line in figure.axes[0].lines if line.get_gid() == "border"]
    assert (square.get_marker(), square.get_markerfacecolor()) == ("s", "none")
    found = find_valleys(SADDLE)
    figure = plots.contour(SADDLE, valleys=found)
    assert legend(figure) == [f"2 {BORDER}", "basins"]
    assert len(points(figure.axes[0], "border")) == 2
    assert legend(plots.surface_3d(SADDLE)) == [f"{BORDER} {SADDLE.losses.min():.3g}"]
    assert legend(plots.surface_3d(SADDLE, valleys=found)) == [f"2 {BORDER}"]
    path = Trajectory([0, 1], [[0.0, 0.1], [0.5, 0.5]], [1.0, 0.5], "SGD")
    assert caption(plots.path_panels(SADDLE, [path])) == f"Square: {BORDER}."
    assert caption(plots.path_panels(SADDLE, [path], valleys=found)) == f"Numbered: 2 {BORDER}."
    frames = plots.SurfaceFrames(SADDLE)
    assert frames._axes.get_title("right") == f"square: {BORDER}"


def test_a_minimum_within_is_still_one_and_a_ring_has_no_border():
    bowl = Surface(U[:, None] ** 2 + V**2, [U, V], np.eye(2), np.zeros(2))
    assert legend(plots.contour(bowl))[0].startswith("minimum ")
    phi = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = Surface(
        -np.cos(phi)[:, None] + V**2, [phi, V], np.eye(2), [0, 0], periods=(2 * np.pi, None)
    )
    assert legend(plots.contour(ring))[0] == "minimum -1"
    # A flat floor that reaches the border.
    shelf = Surface(np.maximum(U[:, None], 0.2) + 0 * V, [U, V], np.eye(2), np.zeros(2))
    assert legend(plots.contour(shelf))[0].startswith(BORDER)


def test_basin_maps():
    found = find_valleys(SLOPE)
    starts, ends = np.linspace(-1.9, 2.9, 90), np.zeros((1, 90))
    options = [starts], ["w"], ["SGD"], 10
    figure = plots.basins(
        BasinMap(found.at(starts)[None], ends, ends[..., None], ends, *options), found
    )
    assert legend(figure)[0] == f"{BORDER}, 3" and legend(figure)[1] == "valley 1 at 1.08"
    assert [text.get_text() for text in figure.axes[0].texts][-1] == BORDER
    assert "at the border" in [text.get_text() for text in figure.axes[1].texts]


def test_what_is_enlarged_ends_where_the_curve_does():
    x = np.linspace(0.2, 1.2, 4001)
    dent = x - 0.02 * np.exp(-(((x - 0.206) / 0.002) ** 2))
    surface = Surface(dent, [x], [[1.0]], [0.0])
    valleys = find_valleys(surface)
    assert sum(not valley.on_border for valley in valleys) == 1 and len(valleys) >= 2
    figure = plots.curve(surface)
    panels = [axes for axes in figure.axes if axes.get_title("center").startswith("enlarged")]
    (valley,) = [valley for valley in valleys if not valley.on_border]
    assert len(panels) == 1
    low, high = panels[0].get_xlim()
    assert low == x[0] < valley.position[0] < high <= x[-1]


def test_what_was_dropped_is_said_once():
    few = dataclasses.replace(find_valleys(SLOPE), dropped=14, persistence=0.002)
    words = "14 shallower than 0.002 not counted"
    assert caption(plots.curve(SLOPE, valleys=few)) == f"{words}."
    assert caption(plots.curves([SLOPE], valleys=[few])) == f"slope: {words}."
    assert caption(plots.path_panels(SLOPE, [WALK], valleys=few)).count(words) == 1
    frames = plots.SurfaceFrames(SLOPE, valleys=few)
    assert caption(frames.figure) == f"{words}."
    assert caption(plots.curve(SLOPE)) == ""
    plane = dataclasses.replace(find_valleys(SADDLE), dropped=1, persistence=0.25)
    assert caption(plots.contour(SADDLE, valleys=plane)) == "1 shallower than 0.25 not counted."
    assert caption(plots.surface_3d(SADDLE, valleys=plane)) == "1 shallower than 0.25 not counted."
    assert f"{BORDER}, {words} over w" in repr(few) and str(few).splitlines()[-1] == words
