"""The way between two networks: how high it rises, with statistics of its own at each point."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_valleys as kv
from helpers.objectives import rosette_objective


def network(seed, norm=True):
    keras.utils.set_random_seed(seed)
    parts = [layers.Dense(8, use_bias=not norm), *([layers.BatchNormalization()] * norm)]
    model = keras.Sequential([keras.Input((3,)), *parts, layers.ReLU(), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mean_squared_error")
    return model


@pytest.fixture(scope="module")
def data():
    x = np.random.RandomState(0).normal(size=(48, 3)).astype("float32") * [1, 4, 9] + [0, 5, -7]
    return x, np.sin(x[:, :1]) + x[:, 1:2]


@pytest.fixture(scope="module")
def pair(data):
    """An objective of one trained network, the weights of both, and the loss of the other."""
    models = [network(seed) for seed in (1, 2)]
    for model in models:
        model.fit(*data, batch_size=16, epochs=8, verbose=0)
    points = [kv.objectives.Objective(model, *data).point() for model in models]
    own = kv.objectives.Objective(models[1], *data, statistics="reestimated")
    return kv.objectives.Objective(models[0], *data), *points, float(own(points[1]))


def test_each_network_of_the_line_has_statistics_of_its_own(pair, data):
    objective, a, b, loss_of_b = pair
    found = kv.valleys.barrier_between(objective, a, b)
    assert found.end == pytest.approx(loss_of_b, rel=1e-4)
    held = kv.valleys.barrier_between(objective, a, b, statistics="batch")
    assert held.end == pytest.approx(loss_of_b, rel=1e-4)  # one batch of all rows
    assert objective(b) > 1.5 * loss_of_b  # with the statistics of the first
    assert found.statistics == "statistics of all 48 rows at each point"
    # The slow twin: the exact statistics of each point put into the model, and evaluated.
    model, (x, y), before = objective.model, data, objective.model.get_weights()
    own = objective.with_statistics("reestimated")
    for t in (0.0, 0.35, found.position, 1.0):
        point = a + t * (b - a)
        put(model, objective.split(point.astype("float32")))
        first, norm = model.layers[:2]
        hidden = keras.ops.convert_to_numpy(first(x))
        norm.moving_mean.assign(hidden.mean(0))
        norm.moving_variance.assign(hidden.var(0))
        expected = model.evaluate(x, y, verbose=0)
        assert own(point) == pytest.approx(expected, rel=1e-4)
        if t == found.position:
            assert found.highest == pytest.approx(expected, rel=1e-4)
    model.set_weights(before)


def put(model, values):
    for variable, value in zip(model.trainable_variables, values, strict=True):
        variable.assign(value)


def test_the_highest_point_is_that_of_a_fine_line(pair):
    objective, a, b, _ = pair
    found = kv.valleys.barrier_between(objective, a, b, num_points=21, tolerance=1e-4)
    t = np.linspace(0, 1, 4001)
    fine = objective.with_statistics("reestimated")(a + t[:, None] * (b - a))
    assert found.highest == pytest.approx(fine.max(), rel=1e-5)
    assert found.position == pytest.approx(t[fine.argmax()], abs=1e-3)
    assert found.over_higher == found.highest - max(found.start, found.end) >= 0
    assert found.over_mean == pytest.approx(fine.max() - (fine[0] + fine[-1]) / 2, rel=1e-4)
    assert found.surface.losses.shape == (21,) and found.surface.labels == ("from start to end",)
    assert kv.plots.curve(found.surface).axes
    back = kv.valleys.barrier_between(objective, b, a, num_points=21, tolerance=1e-4)
    assert back.highest == pytest.approx(found.highest, rel=1e-5)
    assert back.position == pytest.approx(1 - found.position, abs=1e-3)


def test_a_ridge_of_the_rosette_and_a_way_without_one():
    objective = rosette_objective()
    line = np.radians([0.0, 36.0])[:, None]
    found = kv.valleys.barrier_between(objective, *line, num_points=3, tolerance=1e-6)
    phi = np.linspace(0, np.radians(36), 20_001)
    losses = objective(phi[:, None])
    assert found.highest == pytest.approx(losses.max(), rel=1e-6)
    assert np.degrees(phi[losses.argmax()]) == pytest.approx(36 * found.position, abs=0.05)
    down = kv.valleys.barrier_between(objective, np.radians([10.0]), np.radians([2.0]))
    assert (down.over_higher, down.position, down.statistics) == (0, 0, "")
    assert down.over_mean == pytest.approx((down.start - down.end) / 2)


def test_a_loss_that_is_not_finite_bars_the_way():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False)])
    model.compile(loss=lambda y, z: keras.ops.log(keras.ops.mean(z, axis=-1) ** 2 - 0.01))
    objective = kv.objectives.Objective(model, np.ones((2, 1)), np.ones((2, 1)))
    found = kv.valleys.barrier_between(objective, [-1.0], [1.0])
    assert found.highest == found.over_mean == np.inf and 0.4 < found.position < 0.6
    assert "inf over the mean" in repr(found)


def test_an_objective_keeps_its_own_mode(pair, data):
    objective, a, b, _ = pair
    own = kv.objectives.Objective(objective.model, *data, batch_size=16, statistics="batch")
    found = kv.valleys.barrier_between(own, a, b, num_points=5)
    assert found.statistics == "statistics of batches of 16 rows"
    np.testing.assert_allclose(
        found.surface.losses, own(a + np.linspace(0, 1, 5)[:, None] * (b - a)), rtol=1e-5
    )
    held = kv.valleys.barrier_between(objective, a, b, num_points=5, statistics="held")
    assert held.end == pytest.approx(float(objective(b)), rel=1e-5)
    some = kv.objectives.Objective(objective.model, *data, variables=[objective.model.layers[0]])
    assert some.with_statistics("batch").names == some.names
    assert some.with_statistics("held") is some


@pytest.mark.parametrize(
    "change, message",
    [
        ({"end": [0.1, 0.2]}, "`end` to be a weight vector of 1 finite numbers"),
        ({"start": [np.nan]}, "`start` to be a weight vector"),
        ({"end": [0.5]}, "two networks. Received: the same weights twice"),
        ({"num_points": 2}, "num_points"),
        ({"tolerance": 0}, "`tolerance` to be between 1e-06 and 1"),
        ({"tolerance": 1e-17}, "`tolerance` to be between 1e-06 and 1"),
        ({"statistics": "moving"}, "statistics"),
        ({"objective": keras.Sequential()}, "`objective` to be a `keras_valleys.objectives"),
    ],
)
def test_what_is_no_way_is_refused(change, message):
    given = {"objective": rosette_objective(), "start": [0.5], "end": [1.0], **change}
    with pytest.raises(ValueError, match=message):
        kv.valleys.barrier_between(given.pop("objective"), **given)


def test_a_model_without_statistics_is_not_made_a_second_time(monkeypatch):
    objective, made = rosette_objective(), []
    monkeypatch.setattr(type(objective), "__init__", lambda self, *given, **_: made.append(given))
    assert kv.valleys.barrier_between(objective, [0.1], [0.5], num_points=3).statistics == ""
    assert not made
