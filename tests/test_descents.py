"""Many descents at once: each as `model.fit` would descend from its start alone."""

import functools
import os
import pathlib
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from cases import rosette_model, set_weights, weights_of
from keras import layers, optimizers

import keras_valleys as kv
from keras_valleys.descents import descend, walks

TESTS = str(pathlib.Path(__file__).parent)
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
        [keras.Input((5, 5, 1)), layers.Conv2D(2, 3), layers.MaxPooling2D(), layers.Flatten(),
         layers.Dense(2)]
    )  # fmt: skip
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
        [keras.Input((3,), dtype="int32"), layers.Embedding(5, 2), layers.Flatten(),
         layers.Dropout(0.0), layers.LayerNormalization(), layers.Dense(1)]
    )  # fmt: skip
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


def test_nothing_of_the_callers_changes():
    model, x, y = network(optimizers.Adam(0.03, use_ema=True))
    model.fit(x, y, batch_size=5, verbose=0)
    objective = kv.objectives.Objective(model, x, y)
    optimizer, unbuilt = model.optimizer, optimizers.SGD(0.1, momentum=0.9)
    config = {"class_name": "SGD", "config": {"learning_rate": 0.1, "momentum": 0.9}}
    before = [
        np.array(keras.ops.convert_to_numpy(v.value))
        for v in [*model.variables, *optimizer.variables]
    ]
    starts = starts_of(objective, 3)
    given = starts.copy()
    fresh = descend(objective, optimizers.Adam(0.03, use_ema=True), starts, 3)
    found = descend(objective, optimizer, starts, 3)
    np.testing.assert_array_equal(found.weights, fresh.weights)
    by_config = descend(objective, config, starts, 3).weights
    np.testing.assert_array_equal(by_config, descend(objective, unbuilt, starts, 3).weights)
    after = [
        np.array(keras.ops.convert_to_numpy(v.value))
        for v in [*model.variables, *optimizer.variables]
    ]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not unbuilt.built and len(unbuilt.variables) == 2 and len(config["config"]) == 2
    np.testing.assert_array_equal(starts, given)
    with pytest.raises(ValueError, match="read-only"):
        found.weights[0] = 0


@pytest.mark.parametrize("given", ["adam", optimizers.Adam, optimizers.Adam()])
def test_an_optimizer_in_each_form(given):
    objective = objective_of(line)
    starts = starts_of(objective, 2)
    expected = descend(objective, optimizers.Adam(0.001), starts, 3)
    np.testing.assert_array_equal(descend(objective, given, starts, 3).weights, expected.weights)
    assert expected.label == "Adam" and expected.paths is None and expected.steps.size == 0


# Optimizers that couple weights


@keras.saving.register_keras_serializable(package="keras_valleys_tests")
class Normalized(optimizers.Optimizer):
    """The gradient of each variable over its norm: a coupling of one's own."""

    def update_step(self, gradient, variable, learning_rate):
        norm = keras.ops.sqrt(keras.ops.sum(keras.ops.square(gradient)))
        self.assign_sub(variable, learning_rate * gradient / norm)


@keras.saving.register_keras_serializable(package="keras_valleys_tests")
class Signs(optimizers.Optimizer):
    """One of one's own that takes each weight by itself."""

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, learning_rate * keras.ops.sign(gradient))


COUPLERS = {name: lambda c=CLASSES[name]: c(0.02) for name in COUPLING}
COUPLERS |= {
    "clipnorm": lambda: optimizers.SGD(0.02, clipnorm=0.1),
    "clipnorm of small steps": lambda: optimizers.Adam(1e-7, clipnorm=1.0),
    "global_clipnorm": lambda: optimizers.Adam(0.02, global_clipnorm=0.1),
    "clipnorm, accumulated": lambda: optimizers.SGD(
        0.02, clipnorm=50.0, gradient_accumulation_steps=7
    ),
    "dynamic loss scale": lambda: optimizers.LossScaleOptimizer(optimizers.SGD(0.02)),
    "one's own": lambda: Normalized(0.02),
}


CASES = [(network, form) for form in COUPLERS] + [(angle, f) for f in ("Adafactor", "clipnorm")]


@pytest.mark.parametrize("make, form", CASES)
def test_an_optimizer_that_couples_weights_is_refused(make, form):
    objective = objective_of(make)
    with pytest.raises(ValueError, match="updates each weight by itself.*model.fit") as caught:
        descend(objective, COUPLERS[form](), starts_of(objective, 3), 5)
    assert ("clipvalue" in str(caught.value)) == ("clipnorm" in form)


def test_for_one_start_of_one_weight_norms_couple_nothing():
    objective = objective_of(angle)
    start = np.array([[0.6]])
    for form in (COUPLERS["clipnorm"], COUPLERS["Adafactor"], COUPLERS["dynamic loss scale"]):
        found = descend(objective, form(), start, STEPS, paths=True)
        path, _ = fitted(angle, form(), start[0])
        np.testing.assert_allclose(found.paths[:, 0], path, rtol=1e-4)
    with pytest.raises(ValueError, match="Muon, under which in one variable it does not go"):
        descend(objective, COUPLERS["Muon"](), start, 3)
    for form in ("clipnorm", "Lamb"):  # of several variables they do
        with pytest.raises(ValueError, match="in one variable"):
            descend(objective_of(network), COUPLERS[form](), np.zeros((1, 17)) + 0.1, 3)


def test_an_optimizer_of_ones_own():
    check_against_fit(network, lambda: Signs(0.02))


def test_weight_decay_that_leaves_out_variables_is_refused():
    objective = objective_of(network)
    optimizer = optimizers.AdamW(0.02)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    with pytest.raises(ValueError, match="weight decay of all weights.*regularizer"):
        descend(objective, optimizer, starts_of(objective, 2), 3)


# Checkpoints, progress


def test_after_a_kill_it_goes_on(tmp_path):
    path = tmp_path / "descents.npz"
    code = f"""
import sys
sys.path.insert(0, {TESTS!r})
import test_descents as t
t.unfinished({str(path)!r})
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and not _finished(path):
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    part = _finished(path)
    assert 0 < part < 40
    found, calls = unfinished(path, count=True)
    assert calls == (40 - part) // 4
    expected = unfinished(None)
    np.testing.assert_array_equal(found.weights, expected.weights)
    np.testing.assert_array_equal(found.paths, expected.paths)
    assert unfinished(path, count=True)[1] == 0
    with pytest.raises(ValueError, match="`descend` expects `checkpoint` to be of the same model"):
        descend(objective_of(angle), "sgd", np.zeros(40), 3, checkpoint=path)
    assert os.listdir(tmp_path) == [path.name]


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
            objective_of(angle), optimizers.Adam(0.02), starts, 5, paths=2, verbose=0,
            checkpoint=path,
        )  # fmt: skip
    return (found, len(calls)) if count else found


def _finished(path):
    if not path.exists():
        return 0
    with np.load(path) as archive:
        return int(archive["finished"].sum())


def test_progress(capsys, monkeypatch):
    monkeypatch.setattr(walks, "MOST", 4)
    objective = objective_of(line)
    starts = starts_of(objective, 12)
    descend(objective, "sgd", starts, 2, verbose=1)
    text = capsys.readouterr().out
    assert "12 starts" in text and "12/12 starts" in text
    for quiet in (0, "auto"):
        descend(objective, "sgd", starts, 2, verbose=quiet)
        assert capsys.readouterr().out == ""


# Refusals


def test_bad_input_is_refused_before_the_work(monkeypatch):
    objective = objective_of(line)
    good = dict(objective=objective, optimizer="sgd", starts=np.zeros((3, 2)), steps=4)
    cases = [
        (dict(starts=np.zeros((3, 5))), r"`starts` of shape \(K, 2\).*objective.point"),
        (dict(starts=np.zeros(2)), r"`starts` of shape \(K, 2\)"),
        (dict(starts=np.zeros((0, 2))), r"K >= 1"),
        (dict(starts=[[0.0, np.nan]]), "finite numbers"),
        (dict(starts="abc"), "finite numbers"),
        (dict(steps=0), "`steps` to be an integer >= 1"),
        (dict(steps=2.5), "`steps` to be an integer"),
        (dict(paths=-1), "`paths` to be an integer >= 0"),
        (dict(optimizer="no such"), "Keras optimizer that can be made again"),
        (dict(optimizer=3), "Keras optimizer that can be made again"),
        (dict(optimizer=optimizers.SGD(lambda: 0.1)), "made again from its config"),
        (dict(verbose=2), "`descend` expects `verbose`"),
        (dict(checkpoint=3), "`descend` expects `checkpoint` to be the path"),
    ]
    for change, message in cases:
        with pytest.raises(ValueError, match=message):
            descend(**{**good, **change})
    with pytest.raises(OSError, match="`descend` expects `checkpoint`.*Make its folder"):
        descend(**good, checkpoint="/no/such/folder/file.npz")
    monkeypatch.setattr("keras_valleys.descents.descending.PATHS_BYTES", 100)
    with pytest.raises(ValueError, match="Use paths=2, one step in 2"):
        descend(**good, paths=True)
    assert descend(**good, paths=4).paths.shape == (2, 3, 2)


def test_data_in_several_batches_are_refused():
    model, x, y = line()
    objective = kv.objectives.Objective(model, x, y, batch_size=len(x) - 1)
    with pytest.raises(ValueError, match=f"one batch.*2 batches.*batch_size={len(x)}"):
        descend(objective, "sgd", np.zeros((2, 2)), 3)


def test_weights_of_half_precision_are_refused():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, dtype="float16")])
    model.compile("sgd", "mean_squared_error")
    objective = kv.objectives.Objective(model, np.eye(2), np.ones((2, 1)))
    with pytest.raises(ValueError, match="all weights in float32.*float16"):
        descend(objective, "sgd", np.zeros((2, 3)), 3)


def test_the_published_model():
    model = rosette_model()
    (x, y), _ = kv.datasets.rosette()
    found = descend(kv.objectives.Objective(model, x, y), model.optimizer, [np.pi / 4], 8, paths=1)
    degrees = np.degrees(found.paths[[6, 7], 0, 0])
    np.testing.assert_allclose(degrees, np.degrees([0.629, 0.451]), atol=0.3)  # the derailment
