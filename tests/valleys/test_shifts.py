"""The shift between two floors, against the normal equations of least squares."""

import dataclasses

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.drawn import path
from helpers.lines import rosette_model
from keras_valleys.objectives import Objective
from keras_valleys.surfaces import Surface

SIZE = 5


def problems(seed=3, rows=(40, 23)):
    """Two sets of rows of one linear model, of which each has its own solution."""
    random = np.random.RandomState(seed)
    for count, noise in zip(rows, (0.2, 1.5), strict=True):
        x = random.normal(size=(count, SIZE)) * [1.0, 2.0, 0.5, 1.5, 1.0]
        y = x @ [1.0, -2.0, 0.5, 0.3, 2.0] + noise * random.normal(size=count) + 0.5 * x[:, 0]
        yield x, y


def loss_at(points, x, y):
    return np.mean((points @ x.T - y) ** 2, axis=-1)


def floor_on(plane, origin, x, y):
    """Coordinates of the lowest point of a plane, by the normal equations."""
    return np.linalg.lstsq(x @ plane.T, y - x @ origin, rcond=None)[0]


def surfaces_of(plane, origin, sets, dtype="float64"):
    """The slices, on a grid of which no sample is a floor."""
    axes = [np.linspace(-3.1, 2.7, 33), np.linspace(-2.3, 3.3, 27)][: len(plane)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    points = origin + grid @ plane
    return [Surface(loss_at(points, *one).astype(dtype), axes, plane, origin) for one in sets]


def planes():
    random = np.random.RandomState(5)
    oblique = random.normal(size=(2, SIZE)) * [[1.0], [2.0]]
    return {"line": oblique[:1], "orthonormal": np.linalg.qr(oblique.T)[0].T, "oblique": oblique}


@pytest.mark.parametrize("name", ["line", "orthonormal", "oblique"])
@pytest.mark.parametrize("dtype, close", [("float64", 1e-7), ("float32", 2e-3)])
def test_least_squares(name, dtype, close):
    plane, sets = planes()[name], list(problems())
    origin = np.array([0.8, -1.5, 0.2, 0.1, 1.5])
    floors = [floor_on(plane, origin, *one) for one in sets]
    weights = [origin + floor @ plane for floor in floors]
    a, b = surfaces_of(plane, origin, sets, dtype)
    steps = np.linspace(0, 1, 6)[:, None]
    rows = weights[0] + steps * (weights[1] - weights[0])
    found = kv.valleys.shift(a, b, path(rows))
    np.testing.assert_allclose(found.a_position, floors[0], atol=close)
    np.testing.assert_allclose(found.b_position, floors[1], atol=close)
    np.testing.assert_allclose(found.offset, floors[1] - floors[0], atol=2 * close)
    assert found.distance == pytest.approx(np.linalg.norm(weights[1] - weights[0]), abs=5 * close)
    losses = [[loss_at(w, *one) for w in weights] for one in sets]
    assert (found.a_loss, found.b_loss) == pytest.approx((losses[0][0], losses[1][1]), rel=1e-4)
    assert found.a_cost == pytest.approx(losses[0][1] - losses[0][0], rel=50 * close, abs=close)
    assert found.b_cost == pytest.approx(losses[1][0] - losses[1][1], rel=50 * close, abs=close)
    assert found.a_cost > 5e-4 and found.b_cost > 1e-3 and found.on_border == (False, False)
    gaps = loss_at(rows, *sets[1]) - loss_at(rows, *sets[0])
    np.testing.assert_allclose(found.gaps, gaps, rtol=1e-3)
    assert found.gap_kind == "slice" and found.steps.tolist() == list(range(6))
    back = kv.valleys.shift(b, a)
    np.testing.assert_array_equal(back.offset, -found.offset)
    assert (back.a_cost, back.b_cost) == (found.b_cost, found.a_cost) and len(back.gaps) == 0


def test_objectives_measure_floors_and_gaps():
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((SIZE,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(loss="mean_squared_error")
    sets = list(problems())
    objectives = [Objective(model, x, y[:, None]) for x, y in sets]
    plane, origin = planes()["oblique"], np.array([0.8, -1.5, 0.2, 0.1, 1.5])
    axes = np.linspace(-3.1, 2.7, 9), np.linspace(-2.3, 3.3, 8)
    pair = dict(zip(("train", "test"), objectives, strict=True))
    found = kv.surfaces.evaluate_all(pair, plane, coordinates=axes, origin=origin)
    rows = np.random.RandomState(1).normal(size=(4, SIZE))  # off the plane
    a, b = found["train"], found["test"]
    told = kv.valleys.shift(a, b, path(rows), objectives=objectives)
    floors = [floor_on(plane, origin, *one) for one in sets]
    np.testing.assert_allclose(told.a_position, floors[0], atol=2e-3)
    np.testing.assert_allclose(told.b_position, floors[1], atol=2e-3)
    gaps = loss_at(rows, *sets[1]) - loss_at(rows, *sets[0])
    np.testing.assert_allclose(told.gaps, gaps, rtol=1e-4, atol=1e-4)
    assert told.gap_kind == "true"
    valleys = kv.valleys.find_valleys(a, objective=objectives[0])
    again = kv.valleys.shift(valleys, b, objectives=objectives)
    assert again.a_position.tolist() == list(valleys[0].position)
    with pytest.raises(ValueError, match="two `objectives`"):
        kv.valleys.shift(a, b, objectives=objectives[:1])
    other = Objective(rosette_model(), *kv.datasets.rosette()[0])
    with pytest.raises(ValueError, match="over 5 weights, an objective over 1"):
        kv.valleys.shift(a, b, objectives=(objectives[0], other))


def wave(at, n=90, period=np.pi):
    phi = np.linspace(0, np.pi, n, endpoint=False) - 1.4
    losses = 1 - np.cos(2 * (phi - at))
    return Surface(losses, [phi], [[1.0]], [0.0], ["phi"], periods=period, units="rad")


def test_the_way_round_a_period_is_the_shorter_one():
    found = kv.valleys.shift(wave(-1.3), wave(1.613))
    assert found.offset[0] == pytest.approx(2.913 - np.pi, abs=1e-4)
    assert found.distance == pytest.approx(np.pi - 2.913, abs=1e-4)
    assert found.b_cost == pytest.approx(1 - np.cos(2 * 2.913), rel=1e-3)


def test_the_border_is_no_floor_and_outside_nothing_is_known():
    plane, origin = planes()["orthonormal"], np.zeros(SIZE)
    x, y = np.linspace(-1, 2, 21), np.linspace(-1, 1, 15)

    def bowl(u, v):
        return Surface((x[:, None] - u) ** 2 + (y - v) ** 2, (x, y), plane, origin)

    found = kv.valleys.shift(bowl(0.51, 0.2), bowl(9.0, 0.2))
    assert found.on_border == (False, True) and found.b_position[0] == 2
    assert "(lowest at the border)" in repr(found) and "apart in weight space" in repr(found)
    # Another grid, of which the other floor is outside.
    part = dataclasses.replace(
        bowl(0.51, 0.2), losses=bowl(0.51, 0.2).losses[:15], coordinates=(x[:15], y)
    )
    found = kv.valleys.shift(part, bowl(1.93, 0.2), path(origin + [[0.1, 0.2], [5, 5]] @ plane))
    assert np.isnan(found.a_at_b) and found.b_at_a == pytest.approx(1.42**2)
    assert np.isfinite(found.gaps[0]) and np.isnan(found.gaps[1])


def test_losses_that_are_not_finite_stay_out():
    plane, sets = planes()["orthonormal"], list(problems())
    a, b = surfaces_of(plane, np.zeros(SIZE), sets)
    broken = a.losses.copy()
    broken[-4:] = np.nan
    found = kv.valleys.shift(dataclasses.replace(a, losses=broken), b)
    np.testing.assert_allclose(
        found.a_position, floor_on(plane, np.zeros(SIZE), *sets[0]), atol=1e-6
    )
    nothing = dataclasses.replace(a, losses=np.full(a.losses.shape, np.nan))
    with pytest.raises(ValueError, match="nowhere finite"):
        kv.valleys.shift(a, nothing)


def test_what_is_no_pair_is_refused():
    plane, sets = planes()["orthonormal"], list(problems())
    a, b = surfaces_of(plane, np.zeros(SIZE), sets)
    moved = dataclasses.replace(b, origin=np.ones(SIZE))
    turned = dataclasses.replace(b, directions=plane[::-1])
    for other in (moved, turned, wave(0.0)):
        with pytest.raises(ValueError, match="the same directions, origin and periods"):
            kv.valleys.shift(a, other)
    with pytest.raises(ValueError, match="`b` to be a `keras_valleys.surfaces.Surface`"):
        kv.valleys.shift(a, 3)
    with pytest.raises(ValueError, match="surface's size 5"):
        kv.valleys.shift(a, b, path([[1.0, 2.0]]))
