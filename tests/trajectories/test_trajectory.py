"""A trajectory, its file, and files that are none."""

import os

import numpy as np
import pytest

from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectory


def some_trajectory():
    weights = np.random.RandomState(4).normal(size=(3, 5)).astype("float32")
    return Trajectory([0, 1, 4], weights, [3.0, np.inf, np.nan], "Größe", "measured")


def test_save_and_load_keep_every_bit(tmp_path):
    path = tmp_path / "trajectory.npz"
    saved = some_trajectory()
    saved.save(path)
    loaded = Trajectory.load(path)
    for name in ("steps", "weights", "losses"):
        a, b = getattr(saved, name), getattr(loaded, name)
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()
    assert (loaded.label, loaded.loss_source, len(loaded)) == ("Größe", "measured", 3)
    assert os.listdir(tmp_path) == ["trajectory.npz"]
    np.load(path, allow_pickle=False).close()


@pytest.mark.parametrize("length", [0, 1, 50, 300, -1])
def test_a_cut_or_foreign_file_is_one_clear_error(tmp_path, length):
    path = tmp_path / "trajectory.npz"
    some_trajectory().save(path)
    data = path.read_bytes()
    path.write_bytes(data[:length])
    with pytest.raises(ValueError, match="file written by `Trajectory.save`"):
        Trajectory.load(path)


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path):
    path = tmp_path / "trajectory.npz"
    saved = some_trajectory()
    saved.save(path)
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            loaded = Trajectory.load(path)
        except ValueError as error:
            assert "file written by `Trajectory.save`" in str(error)
        else:
            np.testing.assert_array_equal(loaded.weights, saved.weights)


def test_a_foreign_npz_and_another_kind_are_refused(tmp_path):
    np.savez(tmp_path / "foreign.npz", steps=np.arange(3))
    np.savez(tmp_path / "pickled.npz", kind=np.array({"a": 1}, dtype=object))
    Surface([1.0, 2.0], [[0, 1]], [[1.0]], [0.0]).save(tmp_path / "surface.npz")
    for name in ("foreign.npz", "pickled.npz", "surface.npz"):
        with pytest.raises(ValueError, match="damaged or of another kind"):
            Trajectory.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        Trajectory.load(tmp_path / "none.npz")


def test_it_keeps_copies_that_nobody_can_change():
    weights = np.ones((3, 1))
    path = Trajectory(range(3), weights, np.ones(3))
    weights[0] = 9
    assert path.weights[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        path.weights[0] = 5


def test_what_is_not_numbers_or_text_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="expects numbers and text.*'label'"):
        Trajectory([0], [[1.0]], [0.0], label=None).save(tmp_path / "trajectory.npz")
    assert os.listdir(tmp_path) == []


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "trajectory.npz"
    some_trajectory().save(path)
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        Trajectory([0], [[1.0]], [0.0]).save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["trajectory.npz"]


@pytest.mark.parametrize(
    "steps, weights, losses, message",
    [
        ([0, 1], [[1.0]], [0.0, 0.0], "`steps` \\(T\\+1,\\), `weights` \\(T\\+1, P\\)"),
        ([0], [1.0], [0.0], "`steps` \\(T\\+1,\\), `weights` \\(T\\+1, P\\)"),
        ([0], [[1.0]], [0.0, 1.0], "`steps` \\(T\\+1,\\), `weights` \\(T\\+1, P\\)"),
        (np.array([2, 1], "uint64"), [[1.0], [2.0]], [0.0, 1.0], "expects `steps` to rise"),
        ([0.5, 1.5], [[1.0], [2.0]], [0.0, 1.0], "`steps` to be integers"),
        ([0, 1], [["a"], ["b"]], [0.0, 1.0], "`weights` and `losses` real numbers"),
        ([0, 0], [[1.0], [2.0]], [0.0, 1.0], "expects `steps` to rise"),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(steps, weights, losses, message):
    with pytest.raises(ValueError, match=message):
        Trajectory(steps, weights, losses)
