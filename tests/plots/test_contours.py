"""Planes as contours."""

import numpy as np
import pytest

from helpers.drawn import PLANE_PATH, line_surface, plane_surface
from helpers.pictures import draw, line_with
from keras_valleys import plots
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectory
from keras_valleys.valleys import find_valleys


def test_contour_transposes_and_marks_the_minimum():
    figure = plots.contour(plane_surface())
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("slope", "bias")
    np.testing.assert_allclose(
        np.ravel(line_with(axes, "minimum").get_data()), [2, -0.5], atol=1e-9
    )
    assert axes.get_xlim() == (-1, 4) and axes.get_ylim() == (-2, 1.5)
    assert figure.axes[1].get_ylabel() == "loss"
    # The color at a corner is that of the loss there: the bowl is slanted, so all corners differ.
    pixels = draw(figure)
    frame = axes.get_window_extent()
    losses = plane_surface().losses
    gray = {
        (i, j): pixels[
            int(len(pixels) - frame.y0 - (2 if j == 0 else frame.height - 2)),
            int(frame.x0 + (3 if i == 0 else frame.width - 3)),
        ].sum()
        for i in (0, -1)
        for j in (0, -1)
    }
    order = sorted(gray, key=lambda ij: losses[ij])
    assert [gray[ij] for ij in order] == sorted(gray.values(), reverse=True)


def two_wells():
    x, y = np.linspace(-1.7, 1.9, 61), np.linspace(-1, 2, 43)
    losses = (x[:, None] ** 2 - 1) ** 2 + x[:, None] / 4 + y**2
    names, units = ["phi", "bias"], ["rad", ""]
    return Surface(losses, [x, y], np.eye(2), np.zeros(2), names, units=units)


def test_contour_marks_valleys_and_their_basins():
    surface = two_wells()
    valleys = find_valleys(surface)
    axes = plots.contour(surface, valleys=valleys).axes[0]
    (marks,) = [line for line in axes.lines if line.get_gid() == "valleys"]
    floors = np.array([valley.position for valley in valleys]) * [180 / np.pi, 1]
    np.testing.assert_allclose(marks.get_xydata(), floors)
    assert marks.get_label() == "2 valleys"
    assert not [line for line in axes.lines if line.get_gid() == "minimum"]
    assert [text.get_text() for text in axes.texts] == ["0", "1"]
    border = np.concatenate([p.vertices for p in axes.collections[-1].get_paths()])
    ridge = valleys[0].ridges[0][0] * 180 / np.pi
    assert len(border) and np.all(np.abs(border[:, 0] - ridge) < 180 / np.pi * 3.6 / 60)


def test_contour_says_how_many_valleys_it_leaves_out():
    rough = np.random.RandomState(4).normal(size=(30, 41))
    surface = Surface(rough, [np.arange(30), np.arange(41)], np.eye(2), np.zeros(2))
    valleys = find_valleys(surface, persistence=0)
    axes = plots.contour(surface, valleys=valleys).axes[0]
    labels = [line.get_label() for line in axes.lines]
    border = sum(valley.on_border for valley in valleys)
    few = sum(valley.on_border for valley in valleys[:60])
    assert labels == [
        f"{60 - few} of {len(valleys) - border} valleys",
        f"{few} of {border} lowest at the border",
    ]
    with pytest.raises(ValueError, match="`contour` expects the `valleys` of its surface"):
        plots.contour(two_wells(), valleys=valleys)
    with pytest.raises(ValueError, match="`contour` expects `valleys` to be"):
        plots.contour(surface, valleys=list(valleys))
    blank = Surface(np.full((3, 4), np.nan), [range(3), range(4)], np.eye(2), np.zeros(2))
    labels = [
        line.get_label() for line in plots.contour(blank, valleys=find_valleys(blank)).axes[0].lines
    ]
    assert labels == ["0 valleys"]


def test_contour_levels_lie_closer_near_the_minimum():
    contours = plots.contour(plane_surface()).axes[0].collections[0]
    losses = plane_surface().losses
    assert contours.levels[0] == losses.min() and np.isclose(contours.levels[-1], losses.max())
    assert np.all(np.diff(contours.levels, 2)[1:] > 0)


def test_contour_draws_paths_from_start_to_end():
    figure = plots.contour(plane_surface(), [PLANE_PATH, PLANE_PATH])
    axes = figure.axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) == 20]
    np.testing.assert_allclose(lines[0].get_xydata(), PLANE_PATH.weights)
    ends = [line.get_xydata()[0].tolist() for line in axes.lines if len(line.get_xdata()) == 1]
    assert [0.0, 1.0] in ends and [2.0, -0.5] in ends
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["minimum 1", "adam", "adam"]


def test_contour_has_one_scale_for_orthonormal_directions_only():
    surface = plane_surface()
    assert plots.contour(surface).axes[0].get_aspect() == 1.0
    skew = Surface(surface.losses, surface.coordinates, [[1.0, 0], [1, 2]], [0.0, 0])
    assert plots.contour(skew).axes[0].get_aspect() == "auto"


def test_contour_hatches_what_diverged():
    surface = plane_surface()
    losses = surface.losses.copy()
    losses[:20, 25:], losses[40, 5] = np.nan, np.inf
    holes = Surface(losses, surface.coordinates, np.eye(2), np.zeros(2))
    figure = plots.contour(holes)
    assert figure.axes[0].get_title("right") == "221 losses diverged"
    assert "diverged" in [text.get_text() for text in figure.legends[0].get_texts()]
    ground = next(patch for patch in figure.axes[0].patches if patch.get_gid() == "diverged")
    assert ground.get_hatch()
    pixels = draw(figure)
    frame = figure.axes[0].get_window_extent()
    corner = pixels[int(len(pixels) - frame.y1) + 5 : int(len(pixels) - frame.y1) + 45]
    corner = corner[:, int(frame.x0) + 5 : int(frame.x0) + 45]  # low slope, high bias: upper left
    assert corner.max() > 250 and corner.min() < 150
    assert not plots.contour(surface).axes[0].patches


def test_contour_of_flat_and_of_lost_surfaces():
    surface = plane_surface()
    for value in (2.0, 0.0, np.nan, np.inf):
        losses = np.full_like(surface.losses, value)
        draw(
            plots.contour(Surface(losses, surface.coordinates, np.eye(2), np.zeros(2)), PLANE_PATH)
        )
    steep = np.exp(40 * surface.losses / surface.losses.max())
    figure = plots.contour(Surface(steep, surface.coordinates, np.eye(2), np.zeros(2)))
    assert figure.axes[0].collections[0].extend == "max"


def test_contour_refuses_a_line_and_a_thin_grid():
    with pytest.raises(ValueError, match="`contour` expects a 2-D surface.*Use `curve`"):
        plots.contour(line_surface())
    thin = Surface(np.zeros((1, 3)), ([0.0], [0.0, 1, 2]), np.eye(2), np.zeros(2))
    with pytest.raises(ValueError, match=r"at least 2 points on each axis. Received.*\(1, 3\)"):
        plots.contour(thin)


def test_levels_that_are_close_are_told_apart_on_the_color_bar():
    x = np.linspace(-1, 1, 21)
    flat = Surface(1.34 + 0.004 * x[:, None] ** 2 + 0.001 * x**2, [x, x], np.eye(2), [0.0, 0.0])
    path = Trajectory([0, 1], [[0.5, 0.5], [0.1, 0.1]], [1.0, 0.5], "SGD")
    for figure in (plots.contour(flat), plots.path_panels(flat, [path])):
        texts = [text.get_text() for text in figure.axes[-1].get_yticklabels()]
        assert len(set(texts)) == len(texts) > 3
