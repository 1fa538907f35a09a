"""Statistics: held, of the batch, or of all rows."""

import functools

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_valleys.gradients import gradient
from keras_valleys.objectives import Objective

EPSILON = 1e-3  # of BatchNormalization


class Centered(layers.Layer):
    """A user's own layer: subtracts a mean that it follows in training."""

    def build(self, shape):
        self.mean = self.add_weight(shape=shape[-1:], trainable=False, name="mean")
        self.table = self.add_weight(shape=(3,), trainable=False, name="table")

    def call(self, inputs, training=False):
        mean = ops.mean(inputs, axis=0) if training else self.mean
        if training:
            self.mean.assign(0.9 * self.mean + 0.1 * mean)
        return inputs - mean


class Tabled(layers.Layer):
    """A layer with constants of its own, which are never moved, and noise in training."""

    def build(self, shape):
        self.shift = self.add_weight(shape=shape[-1:], trainable=False, initializer="ones")
        self.seed = keras.random.SeedGenerator(3)

    def call(self, inputs, training=False):
        noise = keras.random.normal(ops.shape(inputs), seed=self.seed) if training else 0.0
        return inputs + self.shift + noise


def data(num=50, shape=(3,)):
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(num, *shape)) * 3 - 2).astype("float32")
    return x, rng.normal(size=(num, 1)).astype("float32")


def compiled(*stack, shape=(3,), **options):
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input(shape), *stack])
    model.compile("adam", "mse", **options)
    x, y = data(shape=shape)
    model.fit(x, y, epochs=2, batch_size=16, verbose=0)
    return model


def two_normalized():
    """Dense and BatchNormalization twice, once within a model of its own; Dropout between."""
    inner = keras.Sequential([layers.Dense(4), layers.BatchNormalization()])
    return compiled(
        inner, layers.Dropout(0.5), layers.Dense(5), layers.BatchNormalization(), layers.Dense(1)
    )


def normalized(values, gamma, beta):
    mean, variance = values.mean(axis=0), values.var(axis=0)
    return (values - mean) / np.sqrt(variance + EPSILON) * gamma + beta


def loss_by_hand(parts, x, y):
    """The loss of `two_normalized` on rows that are one batch, in float64."""
    a, b, gamma, beta, c, d, delta, epsilon, e, f = (np.asarray(p, "float64") for p in parts)
    hidden = normalized(x @ a + b, gamma, beta)
    hidden = normalized(hidden @ c + d, delta, epsilon)
    return np.mean((hidden @ e + f - y) ** 2)


def points_of(objective, num=3):
    rng = np.random.default_rng(2)
    return objective.point() + 0.1 * np.arange(num)[:, None] * rng.normal(size=objective.size)


def test_the_batchs_statistics_are_those_of_training_and_dropout_is_off():
    model, (x, y) = two_normalized(), data()
    whole = Objective(model, x, y, statistics="batch")
    points = points_of(whole)
    expected = [loss_by_hand(whole.split(point), x.astype("float64"), y) for point in points]
    np.testing.assert_allclose(whole(points), expected, rtol=2e-6)
    cut = Objective(model, x, y, statistics="batch", batch_size=16)
    rows = [slice(k, k + 16) for k in range(0, 50, 16)]
    expected = [
        sum(
            loss_by_hand(whole.split(point), x[k].astype("float64"), y[k]) * len(x[k]) for k in rows
        )
        / 50
        for point in points
    ]
    np.testing.assert_allclose(cut(points), expected, rtol=2e-6)
    assert not np.allclose(cut(points), whole(points), rtol=1e-3)


@pytest.mark.parametrize("batch_size", [None, 50, 16, 7])
def test_statistics_of_all_rows_do_not_depend_on_the_batches(batch_size):
    model, (x, y) = two_normalized(), data()
    objective = Objective(model, x, y, statistics="reestimated", batch_size=batch_size)
    points = points_of(objective)
    expected = [loss_by_hand(objective.split(point), x.astype("float64"), y) for point in points]
    np.testing.assert_allclose(objective(points), expected, rtol=1e-5)
    plane = np.random.default_rng(3).normal(size=(2, objective.size))
    along = objective.along([[0.1, -0.2], [0.0, 0.3]], plane, points[0])
    by_points = objective(points[0] + np.array([[0.1, -0.2], [0.0, 0.3]]) @ plane)
    np.testing.assert_allclose(along, by_points, rtol=1e-5)


def test_streamed_data_have_the_same_statistics(monkeypatch):
    monkeypatch.setattr("keras_valleys.objectives.data.KEPT_BYTES", 200)

    class Rows(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, k):
            x, y = data()
            return x[k * 15 : (k + 1) * 15], y[k * 15 : (k + 1) * 15]

    model, (x, y) = two_normalized(), data()
    streamed = Objective(model, Rows(), statistics="reestimated")
    assert streamed.streams and streamed.num_batches == 4
    points = points_of(streamed)
    whole = Objective(model, x, y, statistics="reestimated")
    np.testing.assert_allclose(streamed(points), whole(points), rtol=1e-5)


@pytest.mark.parametrize("mode", ["held", "batch", "reestimated"])
@pytest.mark.parametrize("batch_size", [None, 16])
def test_no_variable_and_no_layer_is_changed(mode, batch_size):
    model, (x, y) = two_normalized(), data()
    before = [np.array(value) for value in model.get_weights()]
    objective = Objective(model, x, y, statistics=mode, batch_size=batch_size)
    objective(points_of(objective))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not any("call" in vars(layer) for layer in model._flatten_layers())
    evaluated = model.evaluate(x, y, verbose=0)
    held = Objective(model, x, y)
    np.testing.assert_allclose(held(held.point()), evaluated, rtol=1e-6)


def test_a_layer_is_given_back_after_an_error():
    model, (x, y) = two_normalized(), data()
    objective = Objective(model, x, y, statistics="batch")
    with pytest.raises(ValueError, match="expects points of shape"):
        objective(np.zeros(3))

    def fail(*args, **options):
        raise RuntimeError("not now")

    model.compute_loss = fail
    with pytest.raises(RuntimeError, match="not now"):
        Objective(model, x, y, statistics="batch")
    assert not any("call" in vars(layer) for layer in model._flatten_layers())


def test_held_statistics_may_be_given_for_each_point():
    model, (x, y) = two_normalized(), data()
    objective = Objective(model, x, y)
    present = objective.present_statistics()
    assert len(objective.statistics_names) == present.size == 18
    assert objective.statistics_names[1].endswith("moving_mean[1]")
    points = points_of(objective)
    np.testing.assert_array_equal(objective(points, np.tile(present, (3, 1))), objective(points))
    given = present * np.array([[1.0], [1.5], [0.5]], "float32")
    found = objective(points, given)
    for point, numbers, loss in zip(points, given, found, strict=True):
        _set(model, objective, point, numbers)
        np.testing.assert_allclose(loss, model.evaluate(x, y, verbose=0), rtol=1e-6)


def _set(model, objective, point, numbers):
    for variable, value in zip(objective.variables, objective.split(point), strict=True):
        variable.assign(value)
    start = 0
    for variable in model.non_trainable_variables:
        if "moving" in variable.path:
            size = int(np.prod(variable.shape))
            variable.assign(np.reshape(numbers[start : start + size], variable.shape))
            start += size


def convolution():
    return compiled(
        layers.Conv2D(3, 3),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.Dense(1),
        shape=(6, 5, 2),
    )


def over_time():
    norm = layers.TimeDistributed(layers.BatchNormalization())
    return compiled(layers.Dense(3), norm, layers.Flatten(), layers.Dense(1), shape=(4, 3))


def masked():
    return compiled(
        layers.Masking(-1.0),
        layers.BatchNormalization(),
        layers.GlobalAveragePooling1D(),
        layers.Dense(1),
        shape=(4, 3),
    )


def first_axis():
    return compiled(
        layers.Permute((2, 1)),
        layers.BatchNormalization(axis=1),
        layers.Flatten(),
        layers.Dense(1),
        shape=(4, 3),
    )


def shared():
    keras.utils.set_random_seed(5)
    inputs, norm = keras.Input((3,)), layers.BatchNormalization()
    dense = layers.Dense(3)
    outputs = layers.Dense(1)(norm(dense(norm(inputs))))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse")
    model.fit(*data(), epochs=1, verbose=0)
    return model


def twice_as_trained(model, x, y):
    """The loss with the statistics of these rows, by a pass in training mode with momentum 0."""
    norms = [n for n in model._flatten_layers() if isinstance(n, layers.BatchNormalization)]
    kept = [(norm, norm.momentum) for norm in norms]
    weights = model.get_weights()
    for norm in norms:
        norm.momentum = 0.0
    model(x, training=True)
    loss = model.evaluate(x, y, batch_size=len(x), verbose=0)
    for norm, momentum in kept:
        norm.momentum = momentum
    model.set_weights(weights)
    return loss


@pytest.mark.parametrize("make", [convolution, over_time, masked, first_axis])
@pytest.mark.parametrize("mode, batch_size", [("batch", None), ("reestimated", 16)])
def test_layers_of_every_shape(make, mode, batch_size):
    model = make()
    x, y = data(shape=model.input_shape[1:])
    if make is masked:
        x[::3, 2:] = -1.0
    expected = twice_as_trained(model, x, y)
    objective = Objective(model, x, y, statistics=mode, batch_size=batch_size)
    if make is over_time:  # called at each time step: training keeps the moments of the last call
        whole = Objective(model, x, y, statistics=mode)
        np.testing.assert_allclose(objective(whole.point()), whole(whole.point()), rtol=1e-5)
        return
    np.testing.assert_allclose(objective(objective.point()), expected, rtol=1e-5)


def test_a_layer_that_is_called_twice_has_the_statistics_of_both_calls():
    model, (x, y) = shared(), data()
    objective = Objective(model, x, y, statistics="reestimated", batch_size=16)
    gamma, beta, kernel, bias, last, shift = map(np.asarray, objective.split(objective.point()))
    x = x.astype("float64")
    mean, variance = x.mean(axis=0), x.var(axis=0)
    for _ in range(200):  # each call normalizes by what both find

        def norm(values, mean=mean, variance=variance):
            return (values - mean) / np.sqrt(variance + EPSILON) * gamma + beta

        second = norm(x) @ kernel + bias
        both = np.concatenate([x, second])
        mean, variance = both.mean(axis=0), both.var(axis=0)
    expected = np.mean((norm(second) @ last + shift - y) ** 2)
    np.testing.assert_allclose(objective(objective.point()), expected, rtol=1e-4)


def test_a_users_own_layer_is_tried_out():
    own, tabled = Centered(), Tabled()
    model, (x, y) = compiled(layers.Dense(3), own, tabled, layers.Dense(1)), data()
    objective = Objective(model, x, y, statistics="batch")
    a, b, c, d = (np.asarray(part, "float64") for part in objective.split(objective.point()))
    hidden = x @ a + b
    expected = np.mean(((hidden - hidden.mean(axis=0) + 1) @ c + d - y) ** 2)
    np.testing.assert_allclose(objective(objective.point()), expected, rtol=1e-5)
    again = objective(objective.point())  # no noise
    np.testing.assert_array_equal(again, objective(objective.point()))


def test_a_frozen_layer_keeps_its_statistics():
    model, (x, y) = two_normalized(), data()
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False
    model.compile("adam", "mse")
    held = Objective(model, x, y)
    for mode in ("batch", "reestimated"):
        other = Objective(model, x, y, statistics=mode, batch_size=16)
        np.testing.assert_allclose(other(other.point()), held(held.point()), rtol=1e-6)
    assert held.statistics_names == ()


def test_a_model_without_statistics_is_the_same_in_every_mode():
    model, (x, y) = compiled(layers.Dense(4, "tanh"), layers.Dense(1)), data()
    held, *others = (
        Objective(model, x, y, statistics=mode, batch_size=16)
        for mode in ("held", "batch", "reestimated")
    )
    points = points_of(held)
    for other in others:
        np.testing.assert_array_equal(other(points), held(points))
    assert held.present_statistics().shape == (0,)


def test_the_slope_is_that_of_the_batchs_statistics():
    model, (x, y) = two_normalized(), data()
    objective = Objective(model, x, y, statistics="batch")
    point = objective.point().astype("float64")
    direction = np.random.default_rng(4).normal(size=objective.size)
    direction /= np.linalg.norm(direction)

    def loss(step):
        return loss_by_hand(objective.split(point + step * direction), x.astype("float64"), y)

    expected = (loss(1e-5) - loss(-1e-5)) / 2e-5
    found = gradient(objective)
    np.testing.assert_allclose(found @ direction, expected, rtol=1e-3)
    one = Objective(model, x, y, statistics="reestimated")
    np.testing.assert_allclose(gradient(one), found, rtol=1e-4, atol=1e-6)
    cut = Objective(model, x, y, statistics="reestimated", batch_size=16)
    with pytest.raises(ValueError, match="expects one batch, or other statistics"):
        gradient(cut)


def test_an_objective_with_statistics_travels_and_has_its_own_signature():
    model, (x, y) = two_normalized(), data()
    objectives = [Objective(model, x, y, statistics=m) for m in ("held", "batch", "reestimated")]
    assert len({objective.signature() for objective in objectives}) == 3
    for objective in objectives:
        rebuild, given = objective.__reduce__()
        assert rebuild(*given).statistics == objective.statistics


@pytest.mark.parametrize(
    "make, message",
    [
        (functools.partial(Objective, statistics="frozen"), "one of 'held', 'batch', 'reest"),
        (lambda *a: Objective(*a)(np.zeros(65), np.zeros(3)), "expects `statistics` of shape"),
        (
            lambda *a: Objective(*a, statistics="batch")(np.zeros(65), np.zeros(18)),
            "expects statistics only where it holds them",
        ),
    ],
)
def test_wrong_statistics_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(two_normalized(), *data())
