"""Floors and ridges of a curve, located on the objective between its samples."""

import numpy as np
import pytest

import keras_valleys as kv
from helpers import references
from helpers.lines import rosette_model
from keras_valleys.surfaces import Surface, evaluate
from keras_valleys.valleys import barrier, find_valleys

PLACE = 0.31371234
START = np.linspace(-1.9, 2.7, 40)


def objective_of(function, dtype):
    def objective(points):
        assert points.ndim == 2 and points.shape[1] == 1
        with np.errstate(all="ignore"):
            return np.asarray(function(points[:, 0].astype(dtype)), dtype)

    objective.dtype = dtype
    return objective


def polished(function, dtype="float64", x=START, **options):
    objective = objective_of(function, dtype)
    surface = Surface(objective(x[:, None]), [x], [[1.0]], [0.0])
    valleys = find_valleys(surface, objective=objective, **options)
    return sorted(valleys, key=lambda valley: valley.position)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "function, places",
    [
        (lambda x: 1 + np.sqrt(np.abs(x - PLACE)), [PLACE]),
        (lambda x: 1 + np.abs(x - PLACE), [PLACE]),
        (lambda x: 1 + np.where(x < PLACE, 0.3 * (PLACE - x), 2 * (x - PLACE)), [PLACE]),
        (lambda x: 2 + (x - PLACE) ** 2, [PLACE]),
        (lambda x: (x - PLACE) ** 2, [PLACE]),
        (lambda x: np.cosh(5 * (x - PLACE)) + 0.5 * x, [PLACE - np.arcsinh(0.1) / 5]),
        (lambda x: (x**2 - 1) ** 2 + 0.3 * x, [-1.03557844, 0.07542916, 0.96014928]),
        (
            lambda x: np.sin(3 * x),
            [-1.9, -np.pi / 2, -np.pi / 6, np.pi / 6, np.pi / 2, 5 * np.pi / 6, 2.7],
        ),
        (lambda x: 1 / np.maximum(np.abs(x - PLACE), 1e-9), [-1.9, PLACE, 2.7]),
        (lambda x: 3 - np.sqrt(np.abs(x - PLACE)), [-1.9, PLACE, 2.7]),
    ],
    ids=["cusp", "kink", "uneven", "bowl", "zero", "cosh", "wells", "sine", "pole", "roof"],
)
def test_places_of_known_functions(function, places, dtype):
    """Floors and ridges in turn; a smooth minimum in float32 is flat for a thousandth."""
    valleys = polished(function, dtype)
    found = [place for v in valleys for place in (v.position[0], v.ridges[1])][:-1]
    np.testing.assert_allclose(found, places, rtol=0, atol=1e-6)
    heights = function(np.array(places, dtype))
    for valley, height in zip(valleys, heights[::2], strict=True):
        assert valley.loss == pytest.approx(height, abs=1e-3 if dtype == "float32" else 1e-5)


def test_what_is_no_minimum_is_left_as_it_is():
    (valley,) = polished(lambda x: np.maximum(np.abs(x - PLACE) - 0.2, 0))
    assert valley.position[0] == pytest.approx(PLACE, abs=0.01) and valley.loss == 0
    (valley,) = polished(lambda x: 0 * x + 2)
    assert valley.loss == 2 and valley.on_border and np.isnan(valley.depth)
    (valley,) = polished(lambda x: np.where(x < PLACE, np.nan, x))
    assert valley.position[0] == START[START > PLACE][0] == valley.ridges[0]
    (valley,) = polished(lambda x: (x - 1) ** 2, x=np.array([0.3]))
    assert valley.position == (0.3,)
    (valley,) = polished(lambda x: x**2 + 1e-3 * np.sin(1e4 * x), persistence=0.01)
    assert valley.loss < -0.9e-3 and abs(valley.position[0]) < 0.02


def test_on_a_ring_floors_and_ridges_lie_across_the_seam():
    x = np.linspace(-1, 2, 31)

    def wave(x):
        return np.cos(2 * np.pi * (x - 0.501) * 2 / 3) + 0.2 * np.cos(2 * np.pi * x / 3)

    for shift in (0.0, 0.7, 1.35, 2.9):
        objective = objective_of(lambda x, shift=shift: wave(x - shift), "float64")
        surface = Surface(objective(x[:, None]), [x], [[1.0]], [0.0])
        valleys = find_valleys(surface, periodic=True, objective=objective)
        dense = np.linspace(-1, 2, 300001)[:-1] + shift
        heights = wave(dense - shift)
        inner = (heights < np.roll(heights, 1)) & (heights < np.roll(heights, -1))
        inner |= (heights > np.roll(heights, 1)) & (heights > np.roll(heights, -1))
        places = np.sort((dense[inner] + 1) % 3)
        found = [v.position[0] for v in valleys] + [v.ridges[0] for v in valleys]
        np.testing.assert_allclose(np.sort((np.array(found) + 1) % 3), places, atol=1e-5)
        for v in valleys:
            assert -1 <= v.position[0] < 2 and v.ridges[0] < v.position[0] < v.ridges[1]
            sides = [v.ridges[0] + 1e-6, v.position[0], v.ridges[1] - 1e-6]
            assert valleys.at(sides).tolist() == [v.index] * 3


def test_a_line_in_a_network_may_be_polished_too():
    model, (x, y) = rosette_model(), kv.datasets.rosette()[0]
    objective = kv.objectives.Objective(model, x, y)
    grid = np.linspace(-1.1, 2.3, 171)
    surface = evaluate(objective, [[-0.5]], coordinates=grid, origin=[0.3], verbose=0)
    for valley in find_valleys(surface, objective=objective):
        angle = np.degrees(0.3 - 0.5 * valley.position[0])
        assert min(abs(angle - line) for line in (-36, 0, 36, -47.97)) < 2e-4 or angle < -40


LINES = [(3, 3), (4, 3), (5, 5), (6, 5), (7, 7), (8, 7), (9, 9)]


def scan(loss, start, stop):
    """The highest place, by closer and closer looks."""
    for _ in range(6):
        x = np.linspace(start, stop, 301)
        k = int(np.argmax([loss(phi) for phi in x]))
        start, stop = x[max(k - 1, 0)], x[min(k + 1, 300)]
    return x[k], loss(x[k])


@pytest.mark.parametrize(
    "num_lines, refine", [(n, True) for n in range(3, 10)] + [(n, False) for n in range(3, 7)]
)
def test_the_rosette_as_exactly_as_its_formula(num_lines, refine):
    """In float64 NumPy at the angles of the lines, where a scan misses the tips of the cusps."""
    (x, y), _ = kv.datasets.rosette(num_lines, test_fraction=0)
    objective = kv.objectives.Objective(rosette_model(), x, y)
    phi = np.linspace(-np.pi / 2, np.pi / 2, 200 if refine else 2001)
    surface = evaluate(objective, coordinates=phi, refine=1e-4 if refine else None, verbose=0)
    valleys = find_valleys(surface, periodic=np.pi, objective=objective)
    found = sorted(valleys, key=lambda valley: valley.position)

    def loss(phi):
        return references.root_error(y, np.tan(phi) * x.astype("float64"), 4).mean()

    lines = np.sort((np.arange(num_lines) * 180 / num_lines + 90) % 180 - 90)
    lines = np.radians(lines[np.abs(lines) < 89])
    np.testing.assert_allclose([v.position[0] for v in found], lines, rtol=0, atol=1e-6)
    floors = np.array([loss(line) for line in lines])
    np.testing.assert_allclose([v.loss for v in found], floors, rtol=0, atol=1e-4)
    ridges = np.array([scan(loss, *pair) for pair in zip(lines, lines[1:], strict=False)])
    np.testing.assert_allclose([v.ridges[1] for v in found[:-1]], ridges[:, 0], rtol=0, atol=1e-5)
    np.testing.assert_allclose([v.width for v in found[1:-1]], np.diff(ridges[:, 0]), atol=1e-5)
    lowest = np.minimum(np.append(ridges[:, 1], np.inf), np.insert(ridges[:, 1], 0, np.inf))
    np.testing.assert_allclose([v.depth for v in found], lowest - floors, rtol=0, atol=1e-4)
    for a in range(len(lines)):
        for b in range(a + 1, len(lines)):
            way = ridges[a:b, 1].max() - max(floors[a], floors[b])
            assert barrier(valleys, found[a], found[b]) == pytest.approx(way, abs=1e-4)


def test_rounding_is_measured_where_large_terms_cancel():
    """In float32 `w^4 - 3 w^3 + w^2 + 5` jitters by more than its own last places."""

    def loss(points):
        w = points[:, 0].astype("float32")
        return w**4 - 3 * w**3 + w**2 + np.float32(5)

    for num in (51, 101, 137, 501):
        x = np.linspace(-2, 3, num)
        surface = Surface(loss(x[:, None]), [x], [[1.0]], [0.0])
        low, high = find_valleys(surface, objective=loss)
        assert low.position[0] == pytest.approx(2, abs=2e-6)
        assert high.position[0] == pytest.approx(0, abs=2e-6)
        assert low.loss <= surface.losses.min()
