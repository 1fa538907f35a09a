"""Objectives and starts of many descents at once."""

import functools
import time

import keras
import numpy as np
import pytest
from keras import layers, optimizers

import keras_valleys as kv
from helpers.weights import set_weights, weights_of
from keras_valleys.descents import descend, walks

CLASSES = {
    name: value
    for name, value in vars(optimizers).items()
    if isinstance(value, type) and issubclass(value, optimizers.Optimizer)
}
COUPLING = {"Adafactor", "Lamb", "Muon"}
WRAPPING = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer"}
PLAIN = sorted(set(CLASSES) - COUPLING - WRAPPING)
DECAY = optimizers.schedules.ExponentialDecay(0.05, 2, 0.7)
STEPS = 6


def network(optimizer="sgd"):
    """Several variables, a regularizer, and a constraint that couples weights of one variable."""
    random = np.random.default_rng(7)
    last = layers.Dense(2, kernel_constraint=keras.constraints.MaxNorm(0.6, axis=0))
    hidden = layers.Dense(3, "tanh", kernel_regularizer=keras.regularizers.L2(0.02))
    model = keras.Sequential([keras.Input((2,)), hidden, last])
    model.compile(optimizer, "mean_squared_error", jit_compile=False)
    return model, random.normal(size=(13, 2)), random.normal(size=(13, 2))


def angle(optimizer="sgd", num_points=9, **options):
    (x, y), _ = kv.datasets.rosette(num_points=num_points)
    loss = kv.losses.RootError()
    model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit(**options)])
    model.compile(optimizer, loss, jit_compile=False)
    return model, x, y


def line(optimizer="sgd"):
    (x, y), _ = kv.datasets.straight_line()
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile(optimizer, "mean_squared_error")
    return model, x, y


@functools.cache
def objective_of(make):
    return kv.objectives.Objective(*make())


def starts_of(objective, num, scale=0.5, seed=3):
    return np.random.default_rng(seed).normal(size=(num, objective.size), scale=scale)


def fitted(make, optimizer, start, steps=STEPS):
    """The path and the final weights of one `model.fit` on all rows."""
    model, x, y = make(optimizer)
    set_weights(model, start.astype("float32"))
    recorder = kv.callbacks.TrajectoryRecorder()
    data = kv.datasets.repeat(x, y, steps)
    model.fit(*data, batch_size=len(x), shuffle=False, verbose=0, callbacks=[recorder])
    return recorder.trajectory.weights, weights_of(model)


def check_against_fit(make, form, k=1, **tolerance):
    objective = objective_of(make)
    starts = starts_of(objective, 3)
    found = descend(objective, form(), starts, STEPS, paths=True)
    path, final = fitted(make, form(), starts[k])
    tolerance = {"rtol": 1e-4, "atol": 2e-6, **tolerance}
    np.testing.assert_allclose(found.paths[:-1, k], path[:-1], **tolerance)
    np.testing.assert_allclose(found.weights[k], final, **tolerance)
    np.testing.assert_allclose(found.losses, objective(found.weights), rtol=1e-6)
    assert found.paths.shape == (STEPS + 1, 3, objective.size)
    assert np.abs(found.paths[-1] - found.paths[0]).max(axis=1).min() > 1e-3
    return found


def unfinished(path, count=False):
    """40 starts in chunks of 4, the file written after each, some time apart."""
    from keras_valleys import _progress

    calls, walk = [], walks.Walker.__call__

    def slowly(*arguments):
        time.sleep(0.0 if count else 0.05)
        calls.append(1)
        return walk(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walks, "MOST", 4)
        patch.setattr(_progress, "SECONDS", 0)
        patch.setattr(walks.Walker, "__call__", slowly)
        starts = np.linspace(-1.4, 1.3, 40)
        found = descend(
            objective_of(angle),
            optimizers.Adam(0.02),
            starts,
            5,
            paths=2,
            verbose=0,
            checkpoint=path,
        )
    return (found, len(calls)) if count else found
