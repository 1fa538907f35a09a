"""The published table and its predecessor's, in numbers, on the backend in use."""

import csv
import pathlib

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.lines import dense_model, rosette_model

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"


def golden(name):
    with open(GOLDENS / name) as file:
        rows = list(csv.DictReader(file))
    return {column: np.array([float(row[column]) for row in rows]) for column in rows[0]}


@pytest.fixture(scope="module")
def path():
    (x, y), _ = kv.datasets.rosette()
    model, recorder = rosette_model(), kv.callbacks.TrajectoryRecorder()
    steps = kv.datasets.repeat(x, y, 100)
    model.fit(*steps, batch_size=670, shuffle=False, verbose=0, callbacks=[recorder])
    return recorder.trajectory


def test_the_published_table_is_reproduced(path):
    table = golden("published_run.csv")
    assert len(table["step"]) == 60 and len(path) == 101
    apart = np.abs(path.losses[:60] - table["loss"])
    assert np.max(apart[:7]) < 1e-5
    assert np.max(apart) < 5e-3
    assert np.max(np.abs(path.weights[:60, 0] - table["phi"])) < 0.015


def test_the_rest_of_the_run_reaches_the_valley_at_zero(path):
    assert abs(path.weights[-1, 0]) < 0.03
    assert 0.46 < path.losses[-2] < 0.49
    assert np.all(np.diff(path.losses[8:90]) < 0)


def test_one_epoch_of_a_hundred_steps_is_a_hundred_epochs_of_one(path):
    (x, y), _ = kv.datasets.rosette()
    model, recorder = rosette_model(), kv.callbacks.TrajectoryRecorder()
    model.fit(x, y, batch_size=670, epochs=7, shuffle=False, verbose=0, callbacks=[recorder])
    np.testing.assert_allclose(recorder.trajectory.weights, path.weights[:8], atol=1e-5)


def predecessor_in_float64(num_steps):
    """The formulas by hand."""
    (x, y), _ = kv.datasets.straight_line()
    x, y = x.astype("float64"), y.astype("float64")
    slope, intercept, losses = 5.0, 0.0, []
    for _ in range(num_steps):
        error = slope * x + intercept - y
        losses.append(np.mean(error**2))
        slope -= 0.1 * np.mean(2 * error * x)
        intercept -= 0.1 * np.mean(2 * error)
    return losses


def test_the_predecessor_is_reproduced():
    (x, y), _ = kv.datasets.straight_line()
    model, recorder = dense_model(), kv.callbacks.TrajectoryRecorder()
    model.fit(x, y, batch_size=670, epochs=10, shuffle=False, verbose=0, callbacks=[recorder])
    losses = recorder.trajectory.losses[:10]
    np.testing.assert_allclose(losses, predecessor_in_float64(10), rtol=1e-6)
    printed = golden("predecessor_run.csv")["loss"]
    np.testing.assert_array_equal(np.round(losses, 3), printed)


def test_the_predecessor_has_one_simple_valley():
    (x, y), _ = kv.datasets.straight_line()
    grid = [np.linspace(0, 6, 31), np.linspace(-1, 4.5, 23)]
    surface = kv.surfaces.evaluate(
        kv.objectives.Objective(dense_model(), x, y),
        coordinates=grid,
        labels=["slope", "intercept"],
    )
    inner = surface.losses[1:-1, 1:-1]
    around = [
        surface.losses[1 + i : 30 + i, 1 + j : 22 + j]
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
        if i or j
    ]
    (floors,) = np.where(np.all([inner < other for other in around], axis=0).ravel())
    assert len(floors) == 1
    i, j = np.unravel_index(np.argmin(surface.losses), surface.losses.shape)
    assert abs(grid[0][i] - 3) < 0.25 and abs(grid[1][j] - 2) < 0.25


def test_a_start_at_the_pole_is_survived_with_wrapping():
    (x, y), _ = kv.datasets.rosette()
    layer = kv.layers.AngleFit(1.57, phi_constraint=kv.constraints.WrapAngle())
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(0.05), kv.losses.RootError())
    recorder = kv.callbacks.TrajectoryRecorder()
    model.fit(x, y, batch_size=670, epochs=5, verbose=0, callbacks=[recorder])
    phi = recorder.trajectory.weights[:, 0].astype("float64")
    assert np.all(np.isfinite(phi)) and np.all(phi >= -np.pi / 2) and np.all(phi < np.pi / 2)
