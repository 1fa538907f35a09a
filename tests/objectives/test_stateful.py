"""Stateful layers: `model.evaluate` from reset states, which go from batch to batch."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_valleys as kv
from helpers import references
from helpers.objectives import some_points
from keras_valleys.objectives import Objective

SIZE = 4  # of a batch


class OwnCell(layers.Layer):
    state_size = output_size = 3

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3))
        self.recurrent = self.add_weight(shape=(3, 3))

    def call(self, inputs, states):
        state = keras.ops.tanh(inputs @ self.kernel + states[0] @ self.recurrent)
        return state, [state]


STACKS = {
    "lstm": lambda: [layers.LSTM(4, stateful=True)],
    "two": lambda: [
        layers.GRU(4, stateful=True, return_sequences=True),
        layers.Bidirectional(layers.SimpleRNN(3, stateful=True)),
    ],
    "own cell": lambda: [layers.RNN(OwnCell(), stateful=True)],
    "normalized": lambda: [layers.BatchNormalization(), layers.LSTM(3, stateful=True)],
}


def stateful_model(name="lstm"):
    keras.utils.set_random_seed(6)
    stack = [keras.Input(batch_shape=(SIZE, 5, 3)), *STACKS[name](), layers.Dense(2)]
    model = keras.Sequential(stack)
    model.compile("sgd", "mean_squared_error")
    return model


def sequences(rows=3 * SIZE):
    random = np.random.RandomState(2)
    x, y = random.normal(size=(rows, 5, 3)), random.normal(size=(rows, 2))
    return x.astype("float32"), y.astype("float32")


@pytest.mark.parametrize("name", STACKS)
def test_states_are_reset_and_go_from_batch_to_batch(name):
    model, (x, y) = stateful_model(name), sequences()
    objective = Objective(model, x, y, batch_size=SIZE)
    points = some_points(objective)
    expected = references.evaluate_at(model, points, x, y, batch_size=SIZE)
    np.testing.assert_allclose(objective(points), expected, rtol=1e-5)
    assert objective.num_batches == 3
    # `evaluate` has left other states in the model, which are neither used nor changed.
    states = [np.array(s) for s in model.layers[-2].states] if name == "lstm" else []
    np.testing.assert_allclose(objective(points), expected, rtol=1e-5)
    for state, before in zip(model.layers[-2].states if states else [], states, strict=True):
        np.testing.assert_array_equal(state, before)


def test_the_order_of_the_batches_matters_where_states_are_carried():
    model, (x, y) = stateful_model(), sequences()
    first, second = (
        Objective(model, a, b, batch_size=SIZE)
        for a, b in ((x, y), (np.roll(x, SIZE, axis=0), np.roll(y, SIZE, axis=0)))
    )
    is_same = float(first(first.point())) == pytest.approx(float(second(first.point())), rel=1e-6)
    assert is_same == (keras.config.backend() == "jax")  # whose `evaluate` forgets them


def test_derivatives_go_through_the_states():
    model, (x, y) = stateful_model(), sequences()
    objective = Objective(model, x, y, batch_size=SIZE)
    point = some_points(objective, 1)[0]
    step = np.random.RandomState(3).normal(size=objective.size)
    near = objective([point - 1e-2 * step, point + 1e-2 * step])
    slope = kv.gradients.gradient(objective, point) @ step
    assert slope == pytest.approx((near[1] - near[0]) / 2e-2, rel=0.01)


@pytest.mark.parametrize(
    "rows, options, message",
    [
        (12, {}, "12 rows, in batches of 12. Use batch_size=4.$"),
        (12, {"batch_size": 6}, "12 rows, in batches of 6. Use batch_size=4.$"),
        (12, {"batch_size": 3}, "12 rows, in batches of 3. Use batch_size=4.$"),
        (10, {"batch_size": 4}, "Use batch_size=4, and leave out the last 2 rows.$"),
    ],
)
def test_other_sizes_of_batches_are_refused(rows, options, message):
    model = stateful_model()
    with pytest.raises(ValueError, match=f"batches of 4 rows, for which the stateful.*{message}"):
        Objective(model, *sequences(rows), **options)


def test_data_sets_too():
    tf = pytest.importorskip("tensorflow")
    model, (x, y) = stateful_model(), sequences(14)
    data = tf.data.Dataset.from_tensor_slices((x, y))
    with pytest.raises(ValueError, match="Batch the data set by 4, and leave out the last 2 rows"):
        Objective(model, data.batch(4))
    objective = Objective(model, data.batch(4, drop_remainder=True))
    same = Objective(model, x[:12], y[:12], batch_size=4)
    point = some_points(same, 1)
    np.testing.assert_allclose(objective(point), same(point), rtol=1e-6)


@pytest.mark.skipif(keras.config.backend() == "jax", reason="its `evaluate` forgets states")
def test_what_cannot_be_carried_is_refused():
    class Own(keras.Sequential):
        def test_step(self, data):
            return super().test_step(data)

    stack = [keras.Input(batch_shape=(SIZE, 5, 3)), layers.LSTM(4, stateful=True), layers.Dense(2)]
    model = Own(stack)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="states go from batch to batch.*Own.test_step of its own"):
        Objective(model, *sequences(), batch_size=SIZE)
    assert Objective(model, *sequences(SIZE)).num_batches == 1
    with pytest.raises(ValueError, match="Received: 3 batches, statistics='reestimated'"):
        Objective(
            stateful_model("normalized"), *sequences(), batch_size=SIZE, statistics="reestimated"
        )


def test_optimizers_are_compared_on_them():
    x, y = sequences()
    try:
        stateful_model().fit(x, y, batch_size=SIZE, shuffle=False, verbose=0)
    except RuntimeError:  # Keras 3.15 on torch: it assigns to what the gradient needs
        pytest.skip("`fit` itself fails on stateful layers")
    found = kv.comparisons.compare(stateful_model, ["sgd", "adam"], x, y, steps=5, batch_size=SIZE)
    assert [run.reason for run in found.runs] == [""] * 2
    assert len({run.final_loss for run in found.runs}) == 2
    run, model = found.runs[-1], stateful_model()
    expected = references.evaluate_at(model, run.trajectory.weights[-1], x, y, batch_size=SIZE)
    assert run.final_loss == pytest.approx(float(expected), rel=1e-5)
