"""Surfaces over an angle, round a ring."""

import numpy as np

from helpers.drawn import path, rosette_surface
from keras_valleys import plots
from keras_valleys.valleys import find_valleys


def crest_points(axes):
    """The crest of the ring, on both sides, where it is drawn."""
    lines = [
        np.array(line.get_data_3d()) for line in axes.lines if len(line.get_data_3d()[0]) > 400
    ]
    points = np.concatenate(lines, axis=1)
    return points[:, np.all(np.isfinite(points), axis=0)]


def test_circle_wraps_the_surface_round_the_whole_ring():
    surface = rosette_surface(num=1001)
    axes = plots.circle(surface).axes[0]
    x, y, z = crest_points(axes)
    np.testing.assert_allclose(np.hypot(x, y), 1)
    np.testing.assert_allclose(
        z, np.interp(np.arctan(y / x), surface.coordinates[0], surface.losses), atol=1e-3
    )
    assert x.min() < -0.99 and x.max() > 0.99  # both sides
    assert z.max() <= axes.get_zlim()[1] < 1.5


def test_circle_says_where_it_is_cut_and_marks_the_valleys_twice():
    figure = plots.circle(rosette_surface())
    assert figure.texts[0].get_text().startswith("cut at loss 0.9")
    marks = [line for line in figure.axes[0].lines if line.get_gid() == "valleys"]
    angles = sorted(np.degrees(np.arctan2(*(m.get_data_3d()[k][0] for k in (1, 0)))) for m in marks)
    assert len(angles) == 10
    np.testing.assert_allclose(np.diff(angles), 36, atol=0.3)


def test_circle_draws_one_period_of_a_longer_surface_on_both_sides():
    surface = rosette_surface(start=-1.2, stop=4.0, num=901)
    axes = plots.circle(surface).axes[0]
    marks = [line for line in axes.lines if line.get_gid() == "valleys"]
    assert len(marks) == 2 * len(find_valleys(surface)) == 10
    inside = surface.coordinates[0] < -1.2 + np.pi
    crest = [len(line.get_data_3d()[0]) for line in axes.lines]
    assert crest.count(np.count_nonzero(inside)) == 4  # on each side behind and in front


def test_circle_keeps_a_path_on_its_side_of_the_ring():
    weights = np.array([2.8, 3.0, 3.2])
    figure = plots.circle(rosette_surface(), path(weights, [0.6, 0.55, 0.5]))
    dots = figure.axes[0].collections[-1]
    x, y, z = dots._offsets3d
    np.testing.assert_allclose(np.arctan2(y, x) % (2 * np.pi), weights)
    np.testing.assert_allclose(z, [0.6, 0.55, 0.5])
