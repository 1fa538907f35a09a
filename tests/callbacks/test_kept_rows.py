"""A path in bounded memory: what stays of it, and that there is but one copy."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_valleys as kv
from keras_valleys.callbacks import Row, TrajectoryRecorder
from keras_valleys.callbacks.kept_rows import LEAST_ROWS, KeptRows

SIZE = 10
BYTES = 4 * SIZE


def rows(steps, jumps=()):
    return [
        Row(step, np.full(SIZE, step, "float32"), float(step), True, no_step=step in jumps)
        for step in steps
    ]


def kept(path, memory, pinned=()):
    found = KeptRows("KeptRows", memory)
    found.pinned.update(pinned)
    for row in path:
        found.add(row)
    return found


@pytest.mark.parametrize("num_rows", [1, 9, 12, 13, 40, 200, 1000])
def test_what_stays_is_even_and_within_memory(num_rows):
    found = kept(rows(range(num_rows)), 12 * BYTES)
    steps = [row.step for row in found.rows]
    assert steps == list(range(0, num_rows, found.stride))
    assert len(steps) <= 12
    # No more than needed was left out: with a smaller stride it would not fit.
    assert found.stride == 1 or num_rows > 12 * found.stride / 3
    for row in found.rows:
        assert np.all(row.weights == row.step) and row.loss == row.step


def test_large_rows_are_not_all_left_out():
    assert len(kept(rows(range(100)), 1).rows) >= LEAST_ROWS / 3


def test_some_steps_stay_whatever_comes():
    found = kept(rows(range(5, 200)), 12 * BYTES, pinned=[17, 100])
    steps = [row.step for row in found.rows]
    assert {5, 17, 100} < set(steps)  # the first one as well


def test_a_row_of_the_same_step_takes_the_place_of_the_last():
    found = kept([*rows(range(4)), *rows([3], jumps=[3])], 1e9)
    assert [row.step for row in found.rows] == [0, 1, 2, 3] and found.rows[-1].no_step


@pytest.mark.parametrize("jump", [6, 7, 8])
def test_that_no_step_led_to_a_row_is_known_where_it_was_left_out(jump):
    found = kept(rows(range(30), jumps=[jump]), 12 * BYTES)
    assert found.stride == 3
    assert [row.step for row in found.rows if row.no_step] == [6 if jump == 6 else 9]


def test_there_is_one_copy_of_the_weights():
    found = kept(rows(range(6)), 1e9)
    (last,) = rows([6])
    whole = found.stacked([last])
    assert whole.shape == (7, SIZE) and not whole.flags.writeable
    assert all(np.shares_memory(row.weights, whole) for row in [*found.rows, last])
    assert found.stacked([last]) is whole
    found.add(last)
    assert found.stacked([]) is whole
    path = kv.trajectories.Trajectory(range(7), whole, np.zeros(7))
    assert path.weights is whole


def fit(recorder, epochs=20):
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8), layers.BatchNormalization()])
    model.compile("sgd", "mean_squared_error")
    model.fit(x, np.tile(x, 2), batch_size=4, epochs=epochs, verbose=0, callbacks=[recorder])
    return model


def test_a_recorder_keeps_every_third_row_where_memory_ends_and_says_so():
    whole, few = TrajectoryRecorder(), TrajectoryRecorder(every=2, memory=40 * 4 * 72)
    fit(whole)
    with pytest.warns(RuntimeWarning, match=r"every 6 steps from now on.*Use every=6"):
        fit(few)
    path, all_rows = few.trajectory, whole.trajectory
    assert few.every == 6 and path.steps.tolist() == [*range(0, 160, 6), 160]
    np.testing.assert_array_equal(path.weights, all_rows.weights[path.steps])
    np.testing.assert_array_equal(path.losses, all_rows.losses[path.steps])
    np.testing.assert_array_equal(path.statistics, all_rows.statistics[path.steps])


@pytest.mark.parametrize("memory", [0, -1, np.nan, "1 GB", True])
def test_memory_is_a_number_of_bytes(memory):
    with pytest.raises(ValueError, match="`memory` to be a number of bytes > 0"):
        TrajectoryRecorder(memory=memory)
