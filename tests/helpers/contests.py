"""What comparisons are made of, and the same fits written by hand."""

import keras
import numpy as np

import keras_valleys as kv
from helpers.lines import rosette_model
from helpers.weights import set_weights

STEPS, SIZE = 12, 16


def data():
    return kv.datasets.rosette(num_points=10)[0]


def surface_over_phi(x, y):
    objective = kv.objectives.Objective(rosette_model(), x, y)
    phi = np.linspace(-np.pi / 2, np.pi / 2, 501)
    return kv.surfaces.evaluate(objective, coordinates=phi)


def network(dropout=0.3):
    """A small network with state that training moves without a gradient."""
    layers = [keras.Input((3,)), keras.layers.Dense(4, "tanh")]
    layers += [keras.layers.BatchNormalization(momentum=0.7)]
    layers += [keras.layers.Dropout(dropout)] if dropout else []
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    model.compile("sgd", "mean_squared_error", metrics=["mae"])
    return model


def network_data():
    x = np.random.RandomState(3).normal(1.0, 2.0, size=(50, 3)).astype("float32")
    return x, x[:, :1] - 2 * x[:, 2:]


def by_hand(build, optimizer, x, y, *, steps=STEPS, batch_size=SIZE, seed=0, start=None):
    """The path of one plain `model.fit`, and its model."""
    model = build()
    model.optimizer = optimizer
    if start is not None:
        set_weights(model, np.asarray(start, "float32"))
    recorder = kv.callbacks.TrajectoryRecorder()
    repeated = kv.datasets.repeat(x, y, steps, batch_size, seed)
    size = batch_size or len(x)
    model.fit(*repeated, batch_size=size, shuffle=False, verbose=0, callbacks=[recorder])
    return recorder.trajectory, model


def same_paths(one, other):
    assert [run.optimizer for run in one.runs] == [run.optimizer for run in other.runs]
    assert one.runs == other.runs
    for a, b in zip(one.runs, other.runs, strict=True):
        np.testing.assert_array_equal(a.trajectory.weights, b.trajectory.weights)
        np.testing.assert_array_equal(a.trajectory.losses, b.trajectory.losses)


SGD, Adam = keras.optimizers.SGD, keras.optimizers.Adam
