"""Steps that leave a valley."""

import numpy as np
import pytest

import keras_valleys as kv
from helpers.lines import rosette_model
from helpers.surfaces import X, Y, curve, himmelblau, rosette_surface
from keras_valleys.surfaces import Surface
from keras_valleys.valleys import derailments, find_valleys


def test_basins_and_derailments_with_a_period():
    surface = curve([5, 1, 4, 0, 3, 2, 6])
    valleys = find_valleys(surface)
    assert valleys.at([1.4, 3.9, 7.0, np.nan]).tolist() == [1, 0, -1, -1]
    ring = find_valleys(surface, periodic=6)
    assert ring.at([7.0, 1e30, 1e9, -2.9]).tolist() == [1, -1, -1, 0]
    weights = [[1.0], [1.5], [2.5], [9.5], [20.0], [5.0]]
    path = kv.trajectories.Trajectory([0, 1, 2, 3, 4, 5], weights, np.zeros(6))
    found = derailments(path, surface)
    assert [(d.step, d.before.index, d.after.index) for d in found] == [(1, 1, 0), (2, 0, 2)]
    assert [d.step for d in derailments(path, ring)] == [1, 4]


def test_derailments_say_the_rise():
    path = kv.trajectories.Trajectory(
        [0, 2, 3, 5, 8, 9],
        [[1.0], [1.2], [3.1], [99.0], [5.0], [1.0]],
        [1.0, 1.5, 4.0, 7.0, 3.0, np.nan],
    )
    found = derailments(path, curve([5, 1, 4, 0, 3, 2, 6]))
    assert [(d.step, d.before.position, d.after.position) for d in found] == [
        (2, (1,), (3,)),
        (3, (3,), (5,)),
        (8, (5,), (1,)),
    ]
    assert [d.rise for d in found] == pytest.approx([2.5, -1.0, np.nan], nan_ok=True)


def test_derailments_of_a_network_on_a_plane():
    """Of ten weights, projected; the two directions are not orthonormal."""
    random = np.random.RandomState(2)
    directions, origin = random.normal(size=(2, 10)), random.normal(size=10)
    surface = Surface(himmelblau(X[:, None], Y), [X, Y], directions, origin)
    places = np.array([[3, 2], [2.5, 2.2], [3.5, -2], [np.nan, 0], [9, 9], [-3, 3], [-3, 3.1]])
    away = random.normal(size=(7, 10))  # across the plane: it is projected away
    away -= away @ np.linalg.pinv(directions) @ directions
    weights = origin + places @ directions + away
    losses = [1.0, 2.0, 1.5, 0.0, 0.0, 4.0, np.nan]
    path = kv.trajectories.Trajectory([0, 1, 2, 3, 4, 5, 6], weights, losses)
    found = derailments(path, surface)
    assert [(d.step, d.rise) for d in found] == [(1, -0.5), (2, 2.5)]
    assert np.round(found[1].after.position, 1) == pytest.approx([-2.8, 3.1], abs=0.11)


def test_the_published_run_is_derailed_at_step_6():
    (x, y), _ = kv.datasets.rosette()
    model = rosette_model()
    recorder = kv.callbacks.TrajectoryRecorder()
    model.fit(
        np.tile(x, (90, 1)),
        np.tile(y, (90, 1)),
        batch_size=670,
        shuffle=False,
        verbose=0,
        callbacks=[recorder],
    )
    (derailed,) = derailments(recorder.trajectory, rosette_surface(4), periodic=np.pi)
    assert derailed.step == 6
    assert np.rad2deg([*derailed.before.position, *derailed.after.position]) == pytest.approx(
        [36, 0], abs=0.01
    )
