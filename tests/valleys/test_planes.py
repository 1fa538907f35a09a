"""Valleys of planes: true minima, basins of gradient flow, floors and saddles on the objective."""

import numpy as np
import pytest

import keras_valleys as kv
from helpers.surfaces import plane
from keras_valleys.surfaces import Surface
from keras_valleys.valleys import barrier, find_valleys


def sampled(function, num, dtype="float32", limits=None):
    """A plane of a function of points, its second axis of a few samples less."""
    axes = [
        np.linspace(*limit, count)
        for limit, count in zip(limits or function.limits, (num, num - 6), strict=True)
    ]
    losses = function(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)).astype(dtype)
    return Surface(losses, axes, np.eye(2), np.zeros(2))


def minima(valleys):
    return [valley for valley in valleys if not valley.on_border]


@pytest.mark.parametrize("num", [31, 50, 121, 401])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_ravine_has_one_valley_on_every_grid(num, dtype):
    functions = [
        kv.functions.rosenbrock(),
        kv.functions.beale(),
        kv.functions.oblique_valley(condition=300.0, angle=0.4),
    ]
    for function in functions:
        surface = sampled(function, num, dtype)
        (valley,) = minima(find_valleys(surface))
        lowest = np.unravel_index(np.argmin(surface.losses), surface.losses.shape)
        assert valley.loss == surface.losses[lowest]
        turned = Surface(surface.losses.T, surface.coordinates[::-1], np.eye(2), np.zeros(2))
        assert len(minima(find_valleys(turned))) == 1


def test_minima_that_are_there_stay():
    for num in (31, 61, 151):
        himmelblau = minima(find_valleys(sampled(kv.functions.himmelblau(), num)))
        assert len(himmelblau) == 4
        rastrigin = kv.functions.rastrigin()
        whole = minima(find_valleys(sampled(rastrigin, num, limits=[(-5.4, 5.3), (-3.3, 4.4)])))
        assert len(whole) == 11 * 8


def test_the_lowest_point_of_a_border_is_no_minimum():
    slope = plane(lambda x, y: x + 0.3 * y + 0 * x, np.linspace(-1, 2, 31), np.linspace(0, 3, 25))
    (valley,) = find_valleys(slope)
    assert valley.on_border and np.isnan(valley.depth) and valley.position == (-1.0, 0.0)
    low, high = find_valleys(sampled(kv.functions.saddle(), 41))
    assert low.on_border and high.on_border
    # A ravine that leaves the plane between its samples has no minimum inside.
    beale = find_valleys(sampled(kv.functions.beale(), 121))
    assert [valley.on_border for valley in beale].count(False) == 1
    x = np.linspace(0, 3, 60, endpoint=False)
    ring = np.cos(2 * np.pi * (x[:, None] - 0.02) / 3) + 0 * x[None, :5]
    (around,) = find_valleys(
        Surface(ring, [x - 1.5, np.arange(5.0)], np.eye(2), np.zeros(2), periods=(3.0, None))
    )
    assert around.on_border  # of the other axis, over which it is level


def gradient(function, points):
    shifts = 1e-6 * np.eye(2)
    parts = [(function(points + shift) - function(points - shift)) / 2e-6 for shift in shifts]
    return np.stack(parts, axis=-1)


def flow(function, points, limits, step=1 / 1000):
    """Gradient flow kept within limits, by Heun's method with short steps of one length."""
    low, high = np.transpose(limits)
    length = step * (high - low).max()

    def way(points):
        slope = -gradient(function, points)
        outward = (points <= low) & (slope < 0) | (points >= high) & (slope > 0)
        slope = np.where(outward, 0.0, slope)
        return slope / np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-12)

    for _ in range(int(2.2 / step)):
        first = way(points)
        second = way(np.clip(points + length * first, low, high))
        new = np.clip(points + length / 2 * (first + second), low, high)
        down = function(new) < function(points)
        if not down.any():
            break
        points = np.where(down[:, None], new, points)
    return points


def network(points):
    """The loss of a small tanh network over a plane of its weights."""
    random = np.random.default_rng(8)
    rows, targets = random.normal(size=(6, 2)), random.normal(size=6)
    base, along, across = random.normal(size=(3, 9)) * [[1.0], [0.7], [0.7]]
    weights = base + points[..., :1] * along + points[..., 1:] * across
    first, second = weights[..., :6].reshape(*points.shape[:-1], 2, 3), weights[..., 6:]
    hidden = np.tanh(rows @ first)
    outputs = np.squeeze(hidden @ second[..., None], -1)
    return np.mean((outputs - targets) ** 2, axis=-1)


def camel(p):
    x, y = p[..., 0], p[..., 1]
    return (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (-4 + 4 * y * y) * y * y


def waves(p):
    x, y = p[..., 0], p[..., 1]
    tilt = 0.1 * np.sin(3 * x - y) + 0.02 * (x * x + y * y)
    return np.sin(1.3 * x + 0.4 * y) * np.cos(0.9 * y - 0.3 * x) + tilt


def bent(p):
    x, y = p[..., 0], p[..., 1]
    return (x * x - 1) ** 2 + 3 * (y - 0.3 * x**2 + 0.5 * x) ** 2


FLOWS = {
    "himmelblau": (kv.functions.himmelblau(), [(-5, 5), (-5.1, 5)]),
    "camel": (camel, [(-2.1, 2.2), (-1.3, 1.1)]),
    "waves": (waves, [(-5, 5.5), (-4, 6)]),
    "bent": (bent, [(-1.8, 1.7), (-1.5, 1.6)]),
    "saddle": (kv.functions.saddle(), [(-1, 1.2), (-1.1, 1)]),
    "network": (network, [(-6, 6.2), (-5.1, 6)]),
}


@pytest.mark.parametrize("name", FLOWS)
def test_basins_are_those_of_gradient_flow(name):
    """Errors of steepest descent over the grid are 1 to 4 percent here, on every grid."""
    function, limits = FLOWS[name]
    surface = sampled(function, 121, limits=limits)
    valleys = find_valleys(surface)
    assert len(valleys) > 1
    few, limit = (500, 0.006) if name == "network" else (3000, 0.003)  # its flow is slow to follow
    chosen = np.random.default_rng(0).choice(surface.losses.size, few, replace=False)
    i, j = np.unravel_index(chosen, surface.losses.shape)
    starts = np.stack([surface.coordinates[0][i], surface.coordinates[1][j]], axis=-1)
    ends = flow(function, starts, limits)
    away = np.linalg.norm(ends[:, None] - [v.position for v in valleys], axis=-1)
    wrong = np.mean(np.argmin(away, axis=1) != valleys.labels[i, j])
    assert wrong <= limit, wrong


def test_basins_hold_their_floors_and_exits():
    for function, limits in FLOWS.values():
        valleys = find_valleys(sampled(function, 81, limits=limits))
        for valley in valleys:
            assert valleys.at(valley.position) == valley.index
            others = [barrier(valleys, valley, k) for k in range(len(valleys)) if k != valley.index]
            if not valley.on_border and valley.loss >= max(v.loss for v in valleys):
                assert min(others) == pytest.approx(valley.depth)


def test_a_torus_may_be_cut_anywhere():
    x, y = np.arange(60) * np.pi / 30, np.arange(48) * np.pi / 24
    losses = np.cos(x[:, None] + 0.3) + np.sin(2 * y - x[:, None]) + 0.3 * np.cos(2 * x[:, None])

    def found(losses):
        surface = Surface(losses, [x, y], np.eye(2), np.zeros(2), periods=(2 * np.pi, 2 * np.pi))
        return find_valleys(surface)

    before = found(losses)
    assert len(before) > 1 and not any(valley.on_border for valley in before)
    for axis, shift in ((0, 7), (1, 31), (0, 40)):
        after = found(np.roll(losses, shift, axis))
        names = {}
        rolled = np.roll(before.labels, shift, axis)
        for old, new in zip(rolled.ravel().tolist(), after.labels.ravel().tolist(), strict=True):
            names.setdefault(old, new)
        same = np.vectorize(names.get)(rolled) == after.labels
        assert len(set(names.values())) == len(before) == len(after)
        assert np.mean(same) > 0.998


def test_around_what_diverged():
    function, limits = FLOWS["himmelblau"]
    whole = sampled(function, 121, limits=limits)
    x, y = whole.coordinates
    gone = x[:, None] ** 2 + (y - 4.6) ** 2 < 1
    losses = np.where(gone, np.nan, whole.losses)
    valleys = find_valleys(Surface(losses, [x, y], np.eye(2), np.zeros(2)))
    assert np.array_equal(valleys.labels == -1, gone)
    known = find_valleys(whole).labels
    assert np.mean((valleys.labels != known)[~gone]) < 0.004


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("num", [31, 90])
def test_floors_and_saddles_on_the_objective(num, dtype):
    function = kv.functions.himmelblau()
    surface = sampled(function, num, dtype)

    def objective(points):
        x, y = points.astype(dtype).T
        return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2

    valleys, coarse = find_valleys(surface, objective=objective), find_valleys(surface)
    limit = 1e-6 if dtype == "float32" else 1e-8
    for minimum in function.minima:
        away = [np.abs(np.subtract(v.position, minimum)).max() for v in valleys]
        assert min(away) < limit
    saddles = np.array([(3.3851542, 0.0738519), (0.0866775, 2.8842547), (-3.0730258, -0.0813530)])
    for saddle in saddles:
        ridges = np.array([ridge for valley in valleys for ridge in valley.ridges])
        assert np.abs(ridges - saddle).max(axis=1).min() < (4e-6 if dtype == "float32" else 1e-6)
    for valley in valleys:
        assert valley.loss <= min(abs(v.loss) for v in coarse) + 1e-9
        height = min(float(function(np.array(ridge))) for ridge in valley.ridges)
        assert valley.depth == pytest.approx(height - valley.loss, rel=1e-6)
    labels = [valleys.at(v.position) for v in valleys]
    assert labels == [v.index for v in valleys]


def test_no_floor_is_raised():
    """Kinks, and a float32 loss whose terms cancel."""

    def kinked(points):
        x, y = points.T
        return np.abs(x - 0.31) + 2 * np.abs(y - 0.11 + x) + 3

    def cancels(points):
        x, y = points.astype("float32").T
        return (x**4 - 3 * x**3 + x**2 + np.float32(5)) * (1 + (y - np.float32(0.5)) ** 2)

    for objective in (kinked, cancels):
        x, y = np.linspace(-2, 3, 51), np.linspace(-1.05, 2, 62)
        points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
        losses = objective(points.reshape(-1, 2)).reshape(51, 62)
        surface = Surface(losses, [x, y], np.eye(2), np.zeros(2))
        polished, plain = find_valleys(surface, objective=objective), find_valleys(surface)
        assert len(polished) == len(plain)
        for one, other in zip(polished, plain, strict=True):
            assert one.loss <= other.loss
    inner = minima(find_valleys(surface, objective=cancels))
    assert inner[0].position == pytest.approx((2.0, 0.5), abs=2e-4)


def test_the_model_itself_may_be_the_objective():
    function = kv.functions.himmelblau()
    model = function.build_model()
    objective = kv.objectives.Objective(model, *function.data())
    surface = kv.surfaces.evaluate(objective, coordinates=function.coordinates(41), verbose=0)
    valleys = find_valleys(surface, objective=objective)
    found = np.array(sorted(v.position for v in valleys))
    np.testing.assert_allclose(found, function.minima[np.argsort(function.minima[:, 0])], atol=2e-6)


def plane_of(losses, axes, periods=(None, None)):
    return Surface(losses, axes, np.eye(2), np.zeros(2), periods=periods)


def two_wells(points):
    """Two minima in one oblique ravine, their saddle at the origin."""
    x, y = points[..., 0], points[..., 1]
    return (x**2 - 1) ** 2 + 100 * (y - 0.37 * x) ** 2


@pytest.mark.parametrize("num", [31, 61, 121])
def test_a_sample_on_a_saddle_is_no_minimum(num):
    axes = np.linspace(-2, 2, num), np.linspace(-1.5, 1.5, num - 6)
    losses = two_wells(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
    assert len(minima(find_valleys(plane_of(losses, axes)))) == 2


@pytest.mark.parametrize("diverged", [np.nan, np.inf, -np.inf])
def test_any_diverged_sample_is_one_that_is_not_known(diverged):
    axes = np.linspace(-2, 1.9, 60), np.linspace(-1.7, 2.1, 51)
    losses = np.cos(3 * axes[0] + 0.3)[:, None] + np.cos(2.3 * axes[1] + 0.2)
    for cell in ((20, 30), (0, 0), (59, 20)):
        holed = losses.copy()
        holed[cell] = diverged
        valleys = find_valleys(plane_of(holed, axes))
        assert len(minima(valleys)) == 4
        assert np.argwhere(valleys.labels < 0).tolist() == [list(cell)]


@pytest.mark.parametrize("unit", [1e-300, 1e300])
def test_basins_are_those_of_any_unit_of_the_loss(unit):
    surface = sampled(waves, 61, "float64", [(-2, 2.5), (-1.5, 2)])
    huge = plane_of(surface.losses * unit, surface.coordinates)
    np.testing.assert_array_equal(find_valleys(huge).labels, find_valleys(surface).labels)


def test_no_pass_is_lower_than_a_floor():
    x, y = np.linspace(-2, 2.1, 101)[:, None], np.linspace(-1.7, 1.9, 93)
    kinked = abs(x**2 + y**2 - 1) + 0.1 * x
    valleys = find_valleys(plane_of(kinked, (x.ravel(), y)))
    for valley in valleys:
        assert valley.on_border or valley.depth >= 0
        assert kinked[valleys.labels == valley.index].min() == valley.loss


def test_a_floor_on_the_objective_stays_in_its_basin():
    def holed(points):
        x, y = points[..., 0], points[..., 1]
        wave = np.cos(3 * x + 0.3) + np.cos(2.3 * y + 0.2)
        return np.where(abs(x - 0.9) < 0.03, np.nan, wave)

    surface = sampled(holed, 41, "float64", [(-2, 1.9), (-1.7, 2.1)])
    valleys = find_valleys(surface, objective=holed)
    assert [valleys.at(list(valley.position)) for valley in valleys] == list(range(len(valleys)))


LEVEL = {
    "ring": (lambda x, y: (x * x + y * y - 1) ** 2, 1),
    "product": (lambda x, y: (x * y - 1) ** 2, 2),
    "oblique": (lambda x, y: (x + 0.31 * y - 0.1) ** 2, 1),
    "parabola": (lambda x, y: (y - x * x) ** 2, 1),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("num", [41, 101, 301])
@pytest.mark.parametrize("name", LEVEL)
def test_a_level_ravine_is_one_valley(name, num, dtype):
    function, count = LEVEL[name]
    surface = sampled(
        lambda p: function(p[..., 0], p[..., 1]), num, dtype, [(-2.1, 2.3), (-1.9, 2.2)]
    )
    assert len(find_valleys(surface)) == count


def goldstein_price(points):
    """Its logarithm: four minima, one of them in a narrow ravine."""
    x, y = points[..., 0], points[..., 1]
    inner = 19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2
    outer = 18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2
    return np.log((1 + (x + y + 1) ** 2 * inner) * (30 + (2 * x - 3 * y) ** 2 * outer))


@pytest.mark.parametrize("num", [101, 221])
def test_a_ravine_that_the_grid_hardly_resolves_is_not_parted(num):
    surface = sampled(goldstein_price, num, "float64", [(-2, 2), (-2, 2.1)])
    assert len(find_valleys(surface)) == 4


@pytest.mark.parametrize("depth", [1, 0.01, 1e-3])
def test_shallow_minima_in_a_ravine_stay(depth):
    def wells(points):
        x, y = points[..., 0], points[..., 1]
        return depth * (x**2 - 1) ** 2 + 100 * (y - 0.5 * x**2) ** 2

    def slope(points):
        x, y = points[..., 0], points[..., 1]
        ripples = np.sin(40 * x) + np.sin(44 * y)
        return 0.003 * depth * ripples + 0.05 * depth * (x**2 + y**2)

    surface = sampled(wells, 61, "float64", [(-2, 2.1), (-1.6, 1.9)])
    assert len(minima(find_valleys(surface))) == 2
    rippled = find_valleys(sampled(slope, 150, "float64", [(-1, 1.07), (-0.9, 1)]))
    assert len(minima(rippled)) == 14 * 14
