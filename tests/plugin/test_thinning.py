"""The drawing of a thinned path is where the path was, at every moment, and at no other place."""

import numpy as np
import pytest

import keras_valleys as kv
from helpers.tab import decode
from keras_valleys import _tab
from tensorboard_plugin_valleys import payload, places
from tensorboard_plugin_valleys.thinning import tolerances

SCREEN = 800  # pixels


def away(points, line):
    """How far each point is from a line through points: the slow twin."""
    begins, ends = line[:-1], line[1:]
    if len(line) == 1:
        begins, ends = line, line
    ways = ends - begins
    sizes = np.maximum(np.sum(ways**2, axis=1), 1e-300)
    shares = np.clip(np.sum((points[:, None] - begins) * ways, axis=2) / sizes, 0, 1)
    return np.sqrt(np.sum((points[:, None] - begins - shares[..., None] * ways) ** 2, axis=2)).min(
        1
    )


def between(line, parts=7):
    """The points of a line, and some between them."""
    shares = np.linspace(0, 1, parts, endpoint=False)[:, None]
    inside = [a + (b - a) * shares for a, b in zip(line[:-1], line[1:], strict=True)]
    return np.concatenate([*inside, line[-1:]])


def jumps_to_and_fro(size):
    x = np.full(size, 0.5)
    x[size // 2 : size // 2 + 74] = 0.5 + 0.4 * np.sin(2.1 * np.arange(74))
    return np.column_stack([x, np.linspace(0, 1, size)])


def back_along_itself(size):
    x = np.abs(np.arange(size) % 90 - 45) / 45
    return np.column_stack([x, 0.3 + 0.2 * x])


def some_way_back(size):
    time = np.linspace(0, 1, size)
    x = time + 0.1 * np.sin(40 * time)
    return np.column_stack([x, 0.5 * x])


def walk(size):
    return 0.5 + np.cumsum(np.random.RandomState(5).normal(0, 0.01, (size, 2)), axis=0)


def spiral(size):
    time = np.arange(size) / size
    return 0.5 + 0.4 * np.column_stack([np.cos(20 * time), np.sin(20 * time)]) * time[:, None]


@pytest.mark.parametrize("make", [jumps_to_and_fro, back_along_itself, some_way_back, walk, spiral])
@pytest.mark.parametrize("error", [1 / SCREEN, 0.03])
def test_at_every_moment_the_drawing_is_within_the_error(make, error):
    path = make(900)
    found = tolerances(path.T)
    kept = np.flatnonzero(found > error)
    for row in [*range(1, 40, 4), *range(440, 530, 13), 899]:
        drawn = path[[*kept[kept < row], row]]
        assert away(path[: row + 1], drawn).max() <= 1.5 * error
        assert away(between(drawn), path[: row + 1]).max() <= 1.5 * error


def test_little_is_drawn_where_little_happens():
    assert np.sum(tolerances(jumps_to_and_fro(20_000).T) > 1 / SCREEN) < 200
    assert np.sum(tolerances(spiral(20_000).T) > 1 / SCREEN) < 700
    line = np.linspace(0, 1, 5000)
    assert np.sum(tolerances([line, 2 * line]) > 1e-9) == 2


def test_what_is_not_finite_and_where_no_line_leads_is_kept():
    column = np.linspace(0, 1, 200)
    column[50:60] = np.nan
    joined = np.arange(200) != 120
    kept = np.flatnonzero(np.isinf(tolerances([column, column], joined)))
    assert kept.tolist() == [0, 49, 50, 59, 60, 119, 120, 199]
    assert np.all(np.isinf(tolerances([[0.5, 0.6]]))) and tolerances([[]]).size == 0


def test_a_crossing_of_74_steps_among_20_000_is_sent_whole():
    """Of such a path every step is drawn, to 2 pixels, at every moment of the slider."""
    x, y = np.linspace(-1, 1.5, 41), np.linspace(-2, 1, 31)
    plane = kv.surfaces.Surface(np.add.outer(x**4, y**2), [x, y], np.eye(2), [0.0, 0.0])
    places_ = jumps_to_and_fro(20_000) * [2.5, 3] + [-1, -2]
    found = kv.valleys.find_valleys(plane)
    losses = np.ones(20_000)
    rows, _ = _tab.path_rows(np.arange(20_000), losses, places_, losses, found)
    below = plane.losses, _tab.surface_info(plane, found)
    _, columns = decode(payload.path_payload(rows, plane.labels, surface=below))
    shown = columns["level"] < 4 * np.log2(SCREEN)
    steps = columns["step"][shown].astype(int)
    assert len(steps) < 400
    for row in (9_999, 10_000, 10_001, 10_037, 10_073, 10_090, 19_999):
        drawn = [*steps[steps < row], row]
        scaled = jumps_to_and_fro(20_000)
        assert SCREEN * away(scaled[9_900 : row + 1], scaled[drawn]).max() < 2
        assert SCREEN * away(between(scaled[drawn][-150:]), scaled[: row + 1]).max() < 2


def test_places_and_heights_are_those_of_the_surface():
    x, y = np.array([-1.0, 0.0, 0.5, 2.0]), np.array([0.0, 3.0, 4.0])
    losses = np.add.outer(x, 2 * y)  # linear between its samples
    points = np.array([[0.25, 3.5], [2.0, 4.0], [-1.0, 0.0], [9.0, 1.0]])
    heights = places.slice_heights(points, losses, [x, y], [None, None])
    np.testing.assert_allclose(heights[:3], points[:3] @ [1, 2])
    assert np.isnan(heights[3])
    ring = np.sin(np.linspace(0, 2 * np.pi, 101))
    axis = np.linspace(0, 1, 101)
    turned = places.slice_heights([[3.25], [-0.75]], ring, [axis], [1.0])
    np.testing.assert_allclose(turned, [1, 1])
    info = {"coordinates": [axis.tolist()], "periods": [1.0], "shown": [-1.0, 1.0]}
    columns = places.drawn_columns([[0.9], [0.1], [0.3]], ring, info)
    np.testing.assert_allclose(columns[0], [0.9, 1.1, 1.3])


@pytest.mark.parametrize(
    "x, step",
    [
        ([0.0, 0.5, np.nan, np.nan], 20),
        ([0.0, np.nan, 0.5, 1e25], 30),
        ([0.0, np.nan, 0.5, 0.6], None),
        ([np.nan] * 4, 0),
    ],
)
def test_a_run_that_diverged_says_since_when(x, step):
    axis = np.linspace(-1, 2, 31)
    line = kv.surfaces.Surface(axis**2, [axis], [[1.0]], [0.0])
    found = kv.valleys.find_valleys(line)
    known = np.ones(4), np.array(x)[:, None], np.zeros(4), found
    rows, _ = _tab.path_rows([0, 10, 20, 30], *known)
    below = line.losses, _tab.surface_info(line, found)
    assert decode(payload.path_payload(rows, line.labels, surface=below))[0]["diverged"] == step
