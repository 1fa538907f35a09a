"""Many descents at once: each as `model.fit` would descend from its start alone."""

import keras
import numpy as np
import pytest
from keras import layers, optimizers

import keras_valleys as kv
from helpers.starts import (
    CLASSES,
    DECAY,
    PLAIN,
    STEPS,
    angle,
    check_against_fit,
    fitted,
    line,
    network,
    objective_of,
    starts_of,
)
from keras_valleys.descents import descend, walks

FORMS = {name: lambda c=CLASSES[name]: c(0.02) for name in PLAIN}
FORMS |= {
    "momentum": lambda: optimizers.SGD(0.05, momentum=0.9),
    "nesterov": lambda: optimizers.SGD(0.02, momentum=0.8, nesterov=True),
    "amsgrad": lambda: optimizers.Adam(0.02, amsgrad=True),
    "decay": lambda: optimizers.SGD(0.05, weight_decay=0.3),
    "schedule": lambda: optimizers.Adam(DECAY),
    "clipvalue": lambda: optimizers.SGD(0.1, clipvalue=0.05),
    "ema": lambda: optimizers.SGD(0.1, use_ema=True, ema_momentum=0.7),
    "ema overwriting": lambda: optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=2),
    "accumulation": lambda: optimizers.Adam(0.02, gradient_accumulation_steps=2),
    "loss scale": lambda: optimizers.SGD(0.1, loss_scale_factor=8.0),
}


# Against model.fit


@pytest.mark.parametrize("form", FORMS)
def test_each_start_goes_as_fit_goes(form):
    check_against_fit(network, FORMS[form])


@pytest.mark.parametrize("form", ["SGD", "momentum", "Adam", "Lion", "RMSprop"])
def test_the_angle_goes_as_fit_goes(form):
    check_against_fit(angle, FORMS[form])


def test_the_final_weights_of_an_average_are_those_that_fit_leaves():
    found = check_against_fit(network, FORMS["ema"])
    assert np.abs(found.weights - found.paths[-1]).max() > 1e-3
    plain = check_against_fit(network, FORMS["SGD"])
    np.testing.assert_array_equal(plain.weights, plain.paths[-1])


def test_a_constraint_of_the_weights_holds_for_each_start():
    def make(optimizer="sgd"):
        return angle(optimizer, phi_constraint=kv.constraints.WrapAngle())

    objective = objective_of(make)
    starts = np.array([1.5, -1.52, 0.3])
    found = descend(objective, optimizers.SGD(0.3), starts, STEPS, paths=True)
    for k, start in enumerate(starts):
        path, _ = fitted(make, optimizers.SGD(0.3), np.array([start]))
        np.testing.assert_allclose(found.paths[:2, k], path[:2], rtol=1e-4, atol=1e-5)
    assert np.all(np.abs(found.paths[1:]) <= np.pi / 2)
    loose = descend(objective_of(angle), optimizers.SGD(0.3), starts, 1)
    assert np.abs(loose.weights).max() > np.pi / 2


def convolution(optimizer="sgd"):
    random = np.random.default_rng(2)
    model = keras.Sequential(
        [
            keras.Input((5, 5, 1)),
            layers.Conv2D(2, 3),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, random.normal(size=(7, 5, 5, 1)), random.integers(0, 2, 7)


def recurrence(optimizer="sgd"):
    random = np.random.default_rng(2)
    model = keras.Sequential([keras.Input((4, 2)), layers.LSTM(2), layers.Dense(1)])
    model.compile(optimizer, "mean_squared_error", jit_compile=False)
    return model, random.normal(size=(6, 4, 2)), random.normal(size=(6, 1))


def embedding(optimizer="sgd"):
    random = np.random.default_rng(2)
    model = keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            layers.Embedding(5, 2),
            layers.Flatten(),
            layers.Dropout(0.0),
            layers.LayerNormalization(),
            layers.Dense(1),
        ]
    )
    model.compile(optimizer, "mean_absolute_error", jit_compile=False)
    return model, random.integers(0, 5, (8, 3)), random.normal(size=(8, 1))


@pytest.mark.parametrize("make", [convolution, recurrence, embedding])
def test_layers_that_no_backend_vectorizes_go_as_fit_goes(make):
    # TensorFlow's fit gives Adam the gradient of an embedding in parts, each squared for itself.
    sparse = make is embedding and keras.config.backend() == "tensorflow"
    form = (lambda: optimizers.SGD(0.1)) if sparse else (lambda: optimizers.Adam(0.02))
    check_against_fit(make, form, atol=2e-5)


@pytest.mark.parametrize("make", [network, convolution])
def test_starts_together_and_in_turn_go_the_same_way(make, monkeypatch):
    objective = objective_of(make)
    starts = starts_of(objective, 5)
    found = []
    for together in (True, False):
        monkeypatch.setattr(walks, "pays_together", lambda _, together=together: together)
        found.append(descend(objective, "adam", starts, STEPS).weights)
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-6)


def test_some_of_the_weights():
    model, x, y = network()
    objective = kv.objectives.Objective(model, x, y, variables="bias")
    starts = starts_of(objective, 2)
    found = descend(objective, optimizers.SGD(0.1), starts, 3)
    weights = starts.astype("float32")
    for _ in range(3):
        weights = weights - 0.1 * kv.gradients.gradient(objective, weights)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(keras.config.backend() == "jax", reason="it has no float64 unless asked")
def test_weights_in_double_precision():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, dtype="float64")])
    model.compile("sgd", "mean_squared_error")
    objective = kv.objectives.Objective(model, np.eye(2), np.ones((2, 1)))
    found = descend(objective, optimizers.SGD(0.1), [[0.1, 0.2, 0.3]], 2)
    assert found.weights.dtype == "float64"


# Starts do not know of each other


def test_the_order_of_the_starts_changes_nothing():
    objective = objective_of(network)
    starts = starts_of(objective, 7)
    order = np.random.default_rng(1).permutation(7)
    found = descend(objective, "rmsprop", starts, STEPS, paths=2)
    again = descend(objective, "rmsprop", starts[order], STEPS, paths=2)
    np.testing.assert_allclose(found.paths[:, order], again.paths, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.steps, [0, 2, 4, 6])
    once_more = descend(objective, "rmsprop", starts, STEPS, paths=2)
    np.testing.assert_array_equal(once_more.weights, found.weights)


def test_one_start_goes_as_among_many_and_as_in_chunks(monkeypatch):
    objective = objective_of(network)
    starts = starts_of(objective, 10)
    form = optimizers.ScheduleFreeAdamW(0.05)
    many = descend(objective, form, starts, STEPS, paths=True)
    one = descend(objective, form, starts[4:5], STEPS, paths=True)
    np.testing.assert_allclose(one.paths[:, 0], many.paths[:, 4], rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(walks, "MOST", 4)
    chunks = descend(objective, form, starts, STEPS, paths=True)
    np.testing.assert_allclose(chunks.paths, many.paths, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("together", [True, False])
def test_a_start_that_diverges_harms_no_other(together, monkeypatch):
    monkeypatch.setattr(walks, "pays_together", lambda _: together)
    objective = objective_of(line)
    starts = starts_of(objective, 4)
    calm = descend(objective, FORMS["momentum"](), starts, STEPS, paths=True)
    starts[2] = 3e38
    found = descend(objective, FORMS["momentum"](), starts, STEPS, paths=True)
    assert not np.isfinite(found.losses[2]) and not np.all(np.isfinite(found.weights[2]))
    others = [0, 1, 3]
    np.testing.assert_allclose(found.paths[:, others], calm.paths[:, others], rtol=1e-6)
    assert np.all(np.isfinite(found.losses[others]))
