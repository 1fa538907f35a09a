"""Rows of a path at which no step arrived."""

import numpy as np
import pytest

import keras_valleys as kv

ROWS = {"steps": [0, 2, 5], "weights": [[0.25], [0.5], [1.25]], "losses": [3.0, 2.0, np.nan]}


@pytest.mark.parametrize("no_steps", [[], [5], [2, 5]])
def test_they_are_kept_and_saved(tmp_path, no_steps):
    path = kv.trajectories.Trajectory(**ROWS, no_steps=no_steps)
    assert path.no_steps.dtype == "int64" and path.no_steps.tolist() == no_steps
    with pytest.raises(ValueError, match="read-only"):
        path.no_steps[...] = 0
    path.save(tmp_path / "path.npz")
    again = kv.trajectories.Trajectory.load(tmp_path / "path.npz")
    np.testing.assert_array_equal(again.no_steps, path.no_steps)
    assert again.no_steps.dtype == "int64"


def test_a_file_without_them_loads(tmp_path):
    kv.trajectories.Trajectory(**ROWS).save(tmp_path / "path.npz")
    with np.load(tmp_path / "path.npz") as archive:
        fields = {name: archive[name] for name in archive if name != "no_steps"}
    np.savez(tmp_path / "old.npz", **fields)
    assert kv.trajectories.Trajectory.load(tmp_path / "old.npz").no_steps.shape == (0,)


@pytest.mark.parametrize("no_steps", [[1], [5, 6], [[2, 5]], 5])
def test_steps_that_the_path_has_not_are_refused(no_steps):
    with pytest.raises(ValueError, match="expects `no_steps` to be some of `steps`. Received"):
        kv.trajectories.Trajectory(**ROWS, no_steps=no_steps)


def test_they_derail_nothing():
    x = np.linspace(-2, 3, 501)
    wave = kv.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    weights, losses = [[-0.9], [0.8], [-0.7], [-0.9]], [0.5, 0.25, 1.0, np.nan]
    for no_steps, expected in (([], [(0, -0.25), (1, 0.75)]), ([2], [(0, -0.25)]), ([1, 2], [])):
        path = kv.trajectories.Trajectory(range(4), weights, losses, no_steps=no_steps)
        found = kv.valleys.derailments(path, wave)
        assert [(one.step, one.rise) for one in found] == expected


@pytest.mark.parametrize("no_steps, count", [([], 1), ([1], 0), ([2], 0), ([0, 3], 1)])
def test_rows_in_no_valley_do_not_hide_them(no_steps, count):
    x = np.linspace(-2, 3, 501)
    wave = kv.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    weights = [[-0.9], [9.0], [0.8], [0.9]]
    path = kv.trajectories.Trajectory(range(4), weights, np.zeros(4), no_steps=no_steps)
    assert len(kv.valleys.derailments(path, wave)) == count
