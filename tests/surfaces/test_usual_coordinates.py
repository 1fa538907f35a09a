"""What `evaluate` takes where it is given no coordinates."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_valleys as kv
from helpers.lines import rosette_model
from keras_valleys.surfaces import evaluate, reach

MINIMUM = np.array([3.0, -1.0, 2.0, 0.5])


def bowl(scales=(1.0, 2.0, 3.0, 1.0)):
    """The loss is the mean of `(scales * (w - MINIMUM))**2` over four weights."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, use_bias=False)])
    model.compile(loss="mean_squared_error")
    x = np.diag(scales).astype("float32")
    return kv.objectives.Objective(model, x, x @ MINIMUM[:, None])


def path(*places):
    return kv.trajectories.Trajectory(range(len(places)), places, np.full(len(places), np.nan))


def ends_of(axes):
    return np.array([axis[[0, -1]] for axis in axes])


@pytest.mark.parametrize("at", [-1, 0, "elsewhere"])
def test_principal_directions_know_their_path_from_any_origin(at):
    run = path([0.0, -4, 2, 0.5], [2.0, 1, 2, 0.5], [5.0, -1, 2.3, 0.5], MINIMUM)
    plane = kv.directions.principal(run)
    origin = np.array([1.0, 1, 1, 1]) if at == "elsewhere" else run.weights[at]
    surface = evaluate(bowl(), plane, origin=origin)
    assert surface.losses.shape == (51, 41)
    rows = (run.weights - origin) @ plane.vectors.T
    expected = kv.trajectories.span(run, plane, origin)
    np.testing.assert_allclose(ends_of(surface.coordinates), ends_of(expected), atol=1e-6)
    assert np.all(rows > ends_of(surface.coordinates)[:, 0])
    assert np.all(rows < ends_of(surface.coordinates)[:, 1])
    assert surface == evaluate(bowl(), plane, origin=origin, coordinates=surface.coordinates)


def test_they_go_on_where_the_surface_still_falls_at_the_border():
    run = path([-9.0, -1, 2, 0.5], [-8.0, -0.5, 2, 0.5], [-7.0, -1, 2, 0.5])
    plane = kv.directions.principal(run)
    surface = evaluate(bowl(), plane, origin=run.weights[-1])
    near = ends_of(kv.trajectories.span(run, plane, run.weights[-1]))
    far = ends_of(surface.coordinates)
    assert np.all(far[:, 0] <= near[:, 0] + 1e-9) and np.all(far[:, 1] >= near[:, 1] - 1e-9)
    assert np.ptp(far, axis=1).max() > 3 * np.ptp(near, axis=1).max()


def test_other_directions_take_reach():
    objective = bowl()
    plane = kv.directions.random(objective, normalization=None, seed=1)
    surface = evaluate(objective, plane, origin=MINIMUM + 0.1)
    expected = reach(objective, plane, origin=MINIMUM + 0.1)
    np.testing.assert_allclose(ends_of(surface.coordinates), ends_of(expected))
    line = evaluate(objective, plane.vectors[0], origin=MINIMUM + 0.1)
    assert line.losses.shape == (201,)
    np.testing.assert_allclose(ends_of(line.coordinates), ends_of(expected)[:1])


def test_a_weight_with_a_period_is_shown_over_all_of_it():
    objective = kv.objectives.Objective(rosette_model(), *kv.datasets.rosette(num_points=7)[0])
    surface = evaluate(objective)
    np.testing.assert_allclose(ends_of(surface.coordinates), [[-np.pi / 2, np.pi / 2]])
    assert len(kv.valleys.find_valleys(surface)) == 5


def test_directions_that_do_not_fit_are_refused_as_ever():
    run = path([0.0, 0], [1.0, 0], [1.0, 2])
    with pytest.raises(ValueError, match=r"`evaluate` expects one or two `directions` of 4 num"):
        evaluate(bowl(), kv.directions.principal(run))
