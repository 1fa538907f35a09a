"""Every optimizer of Keras runs through fit with both callbacks."""

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.lines import rosette_model
from helpers.weights import weights_of

CLASSES = {
    name: value
    for name, value in vars(keras.optimizers).items()
    if isinstance(value, type) and issubclass(value, keras.optimizers.Optimizer)
}
PLAIN = sorted(set(CLASSES) - {"Optimizer", "LossScaleOptimizer", "MultiOptimizer"})
RATE = keras.optimizers.schedules.CosineDecay(0.05, 20)
FORMS = {f"named {name}": name.lower() for name in PLAIN if name != "Lamb"}  # Keras refuses "lamb"
FORMS |= {f"{name}()": lambda c=CLASSES[name]: c(0.05) for name in PLAIN}
FORMS |= {f"{name} scheduled": lambda c=CLASSES[name]: c(RATE) for name in ("SGD", "Adam", "Lion")}
FORMS |= {
    f"{name} clipped": lambda c=CLASSES[name]: c(0.05, clipnorm=0.1) for name in ("SGD", "Adam")
}
FORMS |= {f"{name} ema": lambda c=CLASSES[name]: c(0.05, use_ema=True) for name in ("SGD", "Adam")}
FORMS["accumulated"] = lambda: keras.optimizers.SGD(0.05, gradient_accumulation_steps=2)
FORMS["momentum"] = lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True)
FORMS["loss scaling"] = lambda: keras.optimizers.LossScaleOptimizer(
    keras.optimizers.SGD(0.05), initial_scale=8.0
)


def run(optimizer, tmp_path):
    (x, y), _ = kv.datasets.rosette(num_points=10)
    model = rosette_model(optimizer)
    objective = kv.objectives.Objective(model, x, y)
    surface = kv.surfaces.evaluate(objective, coordinates=np.linspace(-1.5, 1.5, 31))
    recorder = kv.callbacks.TrajectoryRecorder()
    board = kv.callbacks.SurfaceBoard(tmp_path / "run", surface, images=2)
    steps = kv.datasets.repeat(x, y, 6)
    model.fit(*steps, batch_size=len(x), shuffle=False, verbose=0, callbacks=[recorder, board])
    return model, objective, recorder.trajectory


@pytest.mark.parametrize("form", FORMS)
def test_it_runs_through_fit_with_both_callbacks(form, tmp_path):
    optimizer = FORMS[form]
    optimizer = optimizer if isinstance(optimizer, str) else optimizer()
    model, objective, path = run(optimizer, tmp_path)
    np.testing.assert_array_equal(path.steps, np.arange(7))
    np.testing.assert_allclose(path.losses[:-1], objective(path.weights[:-1]), atol=1e-6)
    np.testing.assert_array_equal(path.weights[-1], weights_of(model))
    assert path.loss_source.startswith("exact") and path.label in CLASSES
    assert len(np.unique(path.weights)) > 1


def test_several_optimizers_for_one_model(tmp_path):
    (x, y), _ = kv.datasets.rosette(num_points=10)
    model = rosette_model()
    loss = kv.losses.RootError()
    parts = keras.optimizers.OptimizerMap(default_optimizer=keras.optimizers.SGD(0.05))
    model.compile(keras.optimizers.MultiOptimizer(parts), loss, metrics=[kv.metrics.StepLoss(loss)])
    recorder = kv.callbacks.TrajectoryRecorder()
    board = kv.callbacks.SurfaceBoard(tmp_path / "run")
    model.fit(x, y, epochs=2, batch_size=len(x), verbose=0, callbacks=[recorder, board])
    np.testing.assert_array_equal(recorder.trajectory.steps, [0, 1, 2])
