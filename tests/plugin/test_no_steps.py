"""Rows to which no step led derail nothing in the tab either."""

import numpy as np
import pytest

import keras_valleys as kv
from keras_valleys import _tab
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
