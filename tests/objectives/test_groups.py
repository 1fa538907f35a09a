"""How many points run side by side: known by the objective, and handed to what maps over them."""

import keras
import numpy as np
import pytest

import keras_valleys as kv
from keras_valleys.objectives import objective as module

BACKEND = keras.config.backend()


@pytest.fixture
def groups(monkeypatch):
    """The groups of all calls of `map_rows`."""
    seen, map_rows = [], module.map_rows

    def noted(function, rows, group):
        seen.append(group)
        assert not vars(function)  # nothing is hidden on a function
        return map_rows(function, rows, group)

    monkeypatch.setattr(module, "map_rows", noted)
    return seen


def model():
    layers = [keras.layers.Dense(3, "tanh"), keras.layers.Dense(1)]
    made = keras.Sequential([keras.Input((2,)), *layers])
    made.compile("sgd", "mean_squared_error")
    return made


def test_points_and_coefficients_run_in_the_groups_of_the_objective(groups):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(7, 2)), random.normal(size=(7, 1))
    objective = kv.objectives.Objective(model(), x, y)
    assert (objective.group > 1) == (BACKEND == "torch")
    groups.clear()
    points = objective.point() + random.normal(size=(5, objective.size))
    losses = objective(points)
    assert set(groups) == {objective.group}
    groups.clear()
    along = objective.along(np.eye(5), points, np.zeros(objective.size))
    assert set(groups) == {objective.group}
    np.testing.assert_allclose(along, losses, rtol=1e-5)
    in_turn = np.array([float(objective(point)) for point in points])
    np.testing.assert_allclose(losses, in_turn, rtol=1e-5)


def test_a_layer_that_does_not_run_side_by_side_runs_in_turn(groups):
    made = keras.Sequential([keras.Input((3, 2)), keras.layers.LSTM(2), keras.layers.Dense(1)])
    made.compile("sgd", "mean_squared_error")
    data = np.ones((4, 3, 2)), np.ones((4, 1))
    objective = kv.objectives.Objective(made, *data)
    expected = made.evaluate(*data, verbose=0)
    assert float(objective(objective.point())) == pytest.approx(expected, rel=1e-5)
    assert groups[-1] == objective.group
