"""Rows to which no step led: in the tab they derail nothing, and no line leads to them."""

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.lines import rosette_model
from helpers.readers import READERS
from helpers.tab import decode, open_tab
from keras_valleys import _tab
from tensorboard_plugin_valleys import payload
from tensorboard_plugin_valleys.metadata import COLUMNS

X = np.linspace(-2, 3, 501)
WAVE = kv.surfaces.Surface(np.cos(np.pi * X), [X], [[1.0]], [0.0])
FOUND = kv.valleys.find_valleys(WAVE)
PLACES = np.array([[-0.9], [0.8], [9.0], [-0.7], [0.9]])


def left_at(no_steps, parts=((0, 5),)):
    """The steps from which a row left a valley, of a path in some parts."""
    past, rows = _tab.Past(), []
    for start, stop in parts:
        part = slice(start, stop)
        known = np.zeros(stop - start), PLACES[part], np.zeros(stop - start), FOUND, past
        table, past = _tab.path_rows(np.arange(5)[part], *known, no_steps=no_steps)
        rows.append(table)
    return np.concatenate(rows)[:, COLUMNS.index("left_at")].tolist()


@pytest.mark.parametrize("parts", [((0, 5),), ((0, 2), (2, 5)), ((0, 3), (3, 5))])
@pytest.mark.parametrize(
    "no_steps, expected",
    [
        ([], [-1, 0, -1, 1, 3]),
        ([1], [-1, -1, -1, 1, 3]),
        ([2], [-1, 0, -1, -1, 3]),
        ([3, 4], [-1, 0, -1, -1, -1]),
    ],
)
def test_they_left_no_valley(no_steps, expected, parts):
    assert left_at(no_steps, parts) == expected


@pytest.mark.parametrize("num_rows, moved", [(5, [4]), (5, [0, 2]), (30_000, [7, 12_345, 29_999])])
def test_a_path_tells_them_however_much_is_left_out(num_rows, moved):
    x = np.random.RandomState(3).normal(size=(num_rows, 1))
    steps = np.arange(num_rows)
    rows, _ = _tab.path_rows(steps, np.zeros(num_rows), x, np.zeros(num_rows), None, no_steps=moved)
    header, columns = decode(payload.path_payload(rows, ["x"]))
    assert columns["step"][header["no_steps"]].tolist() == moved
    before = columns["step"][[row - 1 for row in header["no_steps"] if row]]
    assert before.tolist() == [step - 1 for step in moved if step]


def test_the_break_stays_where_the_row_itself_is_left_out():
    num_rows, moved = 60_000, np.arange(1, 60_000, 2)  # more than there is room for
    known = np.zeros(num_rows), np.zeros((num_rows, 1)), np.zeros(num_rows), None
    rows, _ = _tab.path_rows(np.arange(num_rows), *known, no_steps=moved)
    header, columns = decode(payload.path_payload(rows, ["x"]))
    lengths = np.diff(np.searchsorted(moved, columns["step"], side="right"), prepend=0)
    assert len(lengths) < 10_000 and header["no_steps"] == np.flatnonzero(lengths).tolist()


@pytest.mark.parametrize("kind", READERS)
def test_weights_that_are_restored_after_fit_are_no_step_in_the_tab(tmp_path, kind):
    model, (x, y) = rosette_model(keras.optimizers.SGD(0.5)), kv.datasets.rosette()[0]
    restore = keras.callbacks.EarlyStopping("loss", patience=2, restore_best_weights=True)
    recorder = kv.callbacks.TrajectoryRecorder()
    callbacks = [kv.callbacks.SurfaceBoard(tmp_path / "run"), recorder, restore]
    model.fit(x, y, batch_size=670, epochs=20, verbose=0, callbacks=callbacks)
    moved = recorder.trajectory.no_steps.tolist()
    with open_tab(kind, tmp_path) as tab:
        header, columns = tab.path("run")
    assert len(moved) == 1 and columns["step"][header["no_steps"]].tolist() == moved
