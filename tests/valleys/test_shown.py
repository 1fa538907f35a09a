"""Which losses of a surface a picture shows."""

import numpy as np
import pytest

import keras_valleys as kv
from keras_valleys.valleys import find_valleys, shown_range


def curve(losses, x=None):
    x = np.linspace(-2, 3, len(losses)) if x is None else x
    return kv.surfaces.Surface(losses, [x], [[1.0]], [0.0])


X = np.linspace(-1.55, 1.5, 801)
POLE = curve(0.05 / (1.5505 - np.abs(X)) + 0.6 * np.cos(6 * X), X)


def test_a_surface_without_a_pole_is_shown_whole():
    assert shown_range(curve(np.linspace(2, 5, 50))) == (2, 5)


def test_of_a_pole_the_ridges_are_in_view_and_no_more():
    low, top = shown_range(POLE)
    ridges = [valley.loss + valley.depth for valley in find_valleys(POLE)]
    highest = max(ridge for ridge in ridges if np.isfinite(ridge))
    assert low == POLE.losses.min() and highest < top < 2 * highest < POLE.losses.max() / 2
    assert top == round(top, 2)  # a round number


def test_a_path_is_shown_as_far_as_it_does_not_dwarf_the_valleys():
    low, top = shown_range(POLE)
    for highest in (top + 0.3, top + 1.0):
        assert highest < shown_range(POLE, [0.5, highest])[1] < 1.45 * highest
    assert shown_range(POLE, [1e3])[1] == shown_range(POLE, [1e9, 2.0])[1] < 6 * top
    assert shown_range(POLE, [low - 1])[0] == low - 1


def test_what_is_not_finite_does_not_count():
    assert shown_range(POLE, [np.nan, np.inf, -np.inf]) == shown_range(POLE)
    losses = POLE.losses.copy()
    losses[[0, -1]] = np.nan, np.inf
    assert shown_range(curve(losses, X))[0] == POLE.losses.min()
    assert shown_range(curve(np.full(9, np.nan)), [3.0]) == (0, 1)


def test_a_constant_surface_has_a_range():
    assert shown_range(curve(np.full(9, -3.0))) == (-3, 0)
    assert shown_range(curve(np.full(9, 0.25)), [0.25]) == (0.25, 1.25)
    low, top = shown_range(curve(np.full(9, 2.0)), [5.0])
    assert low == 2 and 5 < top < 6


@pytest.mark.parametrize("heights", [(), [9.0, 0.1]])
def test_known_valleys_are_taken(heights):
    assert shown_range(find_valleys(POLE), heights) == shown_range(POLE, heights)
    few = find_valleys(POLE, persistence=5.0)
    assert shown_range(few)[1] < shown_range(POLE)[1]


def test_a_plane_shows_nine_tenths_of_its_losses():
    x, y = np.linspace(-1, 2, 61), np.linspace(-3, 1, 41)
    losses = np.exp(3 * np.add.outer(x**2, y**2 / 4))
    plane = kv.surfaces.Surface(losses, [x, y], np.eye(2), np.zeros(2))
    low, top = shown_range(plane)
    tenth = np.quantile(losses, 0.9)
    assert low == losses.min() and tenth < top < 1.35 * tenth < losses.max()
    assert shown_range(plane, [1e9])[1] < 3.8 * tenth


def test_pictures_show_what_each_path_asks_for():
    path = kv.trajectories.Trajectory([0, 1], [[0.1], [0.2]], [9.0, 8.0], "high")
    other = kv.trajectories.Trajectory([0, 1], [[0.1], [0.2]], [-0.5, 0.6], "low")
    axes = kv.plots.curve(POLE, [path, other]).axes[0]
    ranges = [shown_range(POLE, one.losses) for one in (path, other)]
    low, top = min(low for low, _ in ranges), max(top for _, top in ranges)
    assert axes.get_ylim()[1] == pytest.approx(top, rel=0.05)
    assert axes.get_ylim()[0] < low
    assert f"cut at loss {top:.4g}" in axes.get_title("right")
