"""Pictures of data and fits."""

import numpy as np
import pytest

from helpers.drawn import ROWS
from keras_valleys import plots


def test_data_draws_every_row():
    offsets = plots.data(*ROWS).axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(offsets, np.concatenate(ROWS, axis=1))
    assert len(plots.data(np.zeros(3), np.ones(3)).axes[0].collections[0].get_offsets()) == 3


def test_data_has_one_scale_where_spans_are_alike():
    assert plots.data(ROWS[0], ROWS[0]).axes[0].get_aspect() == 1.0
    assert plots.data(ROWS[0], 9 * ROWS[0]).axes[0].get_aspect() == "auto"


def test_split_tells_the_parts_apart():
    test = (ROWS[0][:4], ROWS[1][:4])
    figure = plots.split(ROWS, test)
    assert [len(part.get_offsets()) for part in figure.axes[0].collections] == [9, 4]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["training (9 rows)", "test (4 rows)"]


def test_fit_joins_predictions_in_the_order_of_x():
    x = np.array([[2.0], [-1.0], [0.5]])
    line = plots.fit((x, x), 2 * x + 1, label="line").axes[0].lines[0]
    np.testing.assert_allclose(line.get_xdata(), [-1, 0.5, 2])
    np.testing.assert_allclose(line.get_ydata(), [-1, 2, 5])


@pytest.mark.parametrize("shape", [(8,), (9, 2), ()])
def test_data_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="`data` expects columns of one length"):
        plots.data(ROWS[0], np.zeros(shape))
    with pytest.raises(ValueError, match="`fit` expects columns of one length"):
        plots.fit(ROWS, np.zeros(shape))
