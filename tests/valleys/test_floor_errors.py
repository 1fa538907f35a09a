"""The error that is told of a floor against the true one, over many functions and grids."""

import numpy as np
import pytest

import keras_valleys as kv
from keras_valleys.surfaces import Surface
from keras_valleys.valleys import find_valleys

PLACE = 0.31371234
LINES = np.tan(np.radians([-72, -36, 0, 36, 72]))

CURVES = {
    "wave": lambda x: np.cos(np.pi * x + 0.2),
    "quartic": lambda x: x**4 - 3 * x**3 + x**2 + 5,
    "wells": lambda x: (x**2 - 1) ** 2 + 0.3 * x,
    "cosh": lambda x: np.cosh(5 * (x - PLACE)),
    "corner": lambda x: 1 + np.abs(x - PLACE),
    "uneven": lambda x: 1 + np.where(x < PLACE, 0.3 * (PLACE - x), 2 * (x - PLACE)),
    "cusp": lambda x: 1 + np.sqrt(np.abs(x - PLACE)),
    "sharp": lambda x: 1 + np.abs(x - PLACE) ** 0.25,
    "blunt": lambda x: 1 + np.abs(x - PLACE) ** 1.5,
    "bent": lambda x: x**2 + 0.3 * np.abs(x - 0.2),
    "hardly": lambda x: x**2 + 0.03 * np.abs(x - 0.01),
    "rosette": lambda x: sum(np.sqrt(np.abs(np.tan(x / 1.5) - line)) for line in LINES) / 5,
}
NUMBERS = {"rosette": (75, 137, 201, 401)}


def corner(points):
    x, y = points[..., 0], points[..., 1]
    return np.abs(x - 0.31) + 2 * np.abs(y - 0.11 + x) + 3


def crease(points):
    x, y = points[..., 0], points[..., 1]
    return x**2 + y**2 + 0.2 * np.abs(x + 0.3 * y - 0.1)


def wells(points):
    x, y = points[..., 0], points[..., 1]
    return (x**2 - 1) ** 2 + 100 * (y - 0.37 * x) ** 2


def cone(points):
    return np.hypot(points[..., 0] - 0.31, points[..., 1] - 0.12) ** 0.5


PLANES = {
    "himmelblau": (kv.functions.himmelblau(), [(-5, 5), (-5.1, 4.9)], 0),
    "rosenbrock": (kv.functions.rosenbrock(), [(-2, 2), (-1, 3)], 0),
    "rastrigin": (kv.functions.rastrigin(), [(-2.4, 2.3), (-1.3, 2.4)], None),
    "oblique": (kv.functions.oblique_valley(condition=300.0, angle=0.4), [(-2, 3), (-1, 2)], 0),
    "wells": (wells, [(-2, 2.1), (-1.5, 1.4)], 0),
    "corner": (corner, [(-2, 3), (-1, 2)], 3),
    "crease": (crease, [(-2, 3), (-1, 2)], None),
    "cone": (cone, [(-2, 3), (-1, 2)], 0),
}


def lowest_near(function, place, step):
    """The least near a place, by closer and closer looks."""
    place, num_axes = np.array(place), len(place)
    shares = np.linspace(-1, 1, 201 if num_axes == 1 else 15)
    window = np.stack(np.meshgrid(*[shares] * num_axes, indexing="ij"), -1).reshape(-1, num_axes)
    step, best = np.array(step), np.inf
    while np.max(step) > 1e-12:
        points = place + window * step
        values = function(points if num_axes == 2 else points[:, 0])
        at = int(np.argmin(values))
        place, best = points[at], min(best, float(values[at]))
        step = step * 0.5 if np.abs(window[at]).max() < 0.9 else step
    return best


def errors_of(function, axes, dtype, polished, true):
    """Of each valley the true error, that which is told, and the rounding of the loss."""
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    losses = function(points if len(axes) == 2 else points[..., 0]).astype(dtype)

    def objective(points):
        points = points.astype(dtype)
        return function(points if len(axes) == 2 else points[:, 0]).astype(dtype)

    size = len(axes)
    surface = Surface(losses, axes, np.eye(size), np.zeros(size))
    steps = [x[1] - x[0] for x in axes]
    for valley in find_valleys(surface, objective=objective if polished else None):
        if valley.on_border:
            assert np.isnan(valley.loss_error)
            continue
        least = lowest_near(function, valley.position, steps) if true is None else true
        rounded = np.finfo(dtype).eps * max(abs(least), 1)
        yield abs(valley.loss - least), valley.loss_error, rounded


def shifted(limits, num, random):
    step = (limits[1] - limits[0]) / num
    return np.linspace(*limits, num) + step * random.uniform(-0.5, 0.5)


def check_coverage(found, covered, most):
    """Told errors are seldom too small, never far, and not often far too large."""
    true, told, rounded = np.array(found).T
    assert np.all(np.isfinite(told)) and np.all(told > 0)
    assert np.mean(true <= told + rounded) >= covered
    assert np.mean(true <= 5 * told + rounded) == 1
    above = true > 64 * rounded
    if above.sum() > 20:
        assert np.mean(told[above] <= 100 * true[above]) >= most


@pytest.mark.parametrize("polished", [False, True])
def test_floors_of_curves(polished):
    random, found = np.random.default_rng(0), []
    for name, function in CURVES.items():
        for num in NUMBERS.get(name, (11, 15, 31, 75, 201, 401)):
            for dtype in ("float32", "float64"):
                x = shifted((-2.0, 2.6) if name != "rosette" else (-2.1, 2.0), num, random)
                one = list(errors_of(function, [x], dtype, polished, None))
                assert one, name
                found += one
    check_coverage(found, 0.97, 0.8)


@pytest.mark.parametrize("polished", [False, True])
def test_floors_of_planes(polished):
    random, found = np.random.default_rng(1), []
    for name, (function, limits, true) in PLANES.items():
        for num in (31, 61) if polished or name == "rastrigin" else (31, 50, 121):
            for dtype in ("float32", "float64"):
                axes = [
                    shifted(limit, n, random)
                    for limit, n in zip(limits, (num, num - 4), strict=True)
                ]
                one = list(errors_of(function, axes, dtype, polished, true))
                assert one, name
                found += one
    check_coverage(found, 0.97, 0.7)


def test_of_smooth_functions_the_error_is_nearly_exact():
    x = np.linspace(-1.03, 1.97, 61)
    (valley,) = find_valleys(Surface(1 - np.exp(-(x**2)), [x], [[1.0]], [0.0]))
    assert valley.loss == pytest.approx(valley.loss_error, rel=0.01)
    for num in (21, 41):
        axes = np.linspace(-1.03, 1.97, num), np.linspace(-0.95, 2, num - 4)
        losses = axes[0][:, None] ** 2 + (axes[1] - 0.3 * axes[0][:, None]) ** 2
        (valley,) = find_valleys(Surface(losses, axes, np.eye(2), np.zeros(2)))
        assert valley.loss <= valley.loss_error <= 1.01 * valley.loss + 1e-9


def test_a_sample_on_the_floor_itself_is_known_as_well_as_the_objective():
    function = kv.functions.himmelblau()  # with a minimum at (3, 2), a sample of this grid
    axes = np.linspace(-5, 5, 41), np.linspace(-5, 5, 51)
    told = list(errors_of(function, axes, "float64", True, 0.0))
    assert len(told) == 4 and all(error <= 1e-10 for _, error, _ in told)


@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_noise_is_part_of_the_error(noise):
    x = np.linspace(-2, 3, 1000)
    for seed in range(10):
        jitter = noise * np.random.default_rng(seed).normal(size=len(x))
        surface = Surface(np.cos(np.pi * x) + jitter, [x], [[1.0]], [0.0])
        for persistence in (None, 0.9):
            for valley in find_valleys(surface, persistence=persistence):
                assert valley.on_border or abs(valley.loss + 1) <= valley.loss_error < 30 * noise


def test_a_basin_of_several_floors_may_be_lowest_at_any():
    x = np.linspace(-2, 2.1, 42)
    losses = (x**2 - 1) ** 2 - 0.002 * x
    losses[31] -= 0.001
    valleys = find_valleys(Surface(losses, [x], [[1.0]], [0.0]), persistence=10)
    assert len(valleys) == 1 and valleys[0].loss - valleys[0].loss_error <= -0.002


def test_where_nothing_can_be_said():
    x = np.linspace(-2, 2.1, 42)
    holed = np.where(np.abs(x) < 0.01, np.nan, np.abs(x))
    beside = [v.loss_error for v in find_valleys(Surface(holed, [x], [[1.0]], [0.0]))]
    assert len(beside) == 2 and np.all(np.isnan(beside))
    axes = x, np.array([0.0])
    row = Surface(np.cos(4 * x)[:, None], axes, np.eye(2), np.zeros(2))
    assert any(valley.loss_error > 0 for valley in find_valleys(row))
    huge = Surface(1e300 * np.cos(4 * x), [x], [[1.0]], [0.0])
    assert len(find_valleys(huge)) == len(find_valleys(row))
    around = np.arange(4) * np.pi / 2
    for losses in (np.cos(around + 0.1), np.cos(around + 0.1)[:, None] + np.cos(around - 0.2)):
        ring = Surface(losses, [around] * losses.ndim, np.eye(losses.ndim), np.zeros(losses.ndim))
        (valley,) = find_valleys(ring, periodic=(2 * np.pi,) * losses.ndim)
        assert 0 < valley.loss_error < 20
