"""Many descents at once: what is given, kept in a checkpoint, shown and refused."""

import os
import subprocess
import time

import keras
import numpy as np
import pytest
from keras import layers, optimizers

import keras_valleys as kv
from helpers.checkpoints import finished
from helpers.lines import rosette_model
from helpers.processes import start_python
from helpers.starts import angle, line, network, objective_of, starts_of, unfinished
from keras_valleys.descents import descend, walks


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


# Checkpoints, progress


def test_after_a_kill_it_goes_on(tmp_path):
    path = tmp_path / "descents.npz"
    code = f"from helpers.starts import unfinished; unfinished({str(path)!r})"
    with start_python(code, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None and not finished(path):
                time.sleep(0.01)
        finally:
            process.kill()
    part = finished(path)
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
