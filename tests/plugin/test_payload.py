"""What is sent to the tab: long paths and fine surfaces are thinned."""

import numpy as np
import pytest

from helpers.tab import decode
from tensorboard_plugin_valleys import payload


def long_path(size=100_000):
    """Rows with one spike each way, a stretch of NaN, and two derailments."""
    steps = np.arange(size) * 3.0
    loss, phi = np.sin(steps / 1000), np.cos(steps / 3000)
    loss[[70_001, 33_333]] = 50, -50
    loss[1000:1003] = np.nan
    valley = np.where((steps > 3 * 5_000) & (steps < 3 * 77_777), 1.0, 0.0)
    return np.column_stack([steps, loss, np.full(size, np.nan), valley, phi])  # of version 0.1


def test_a_long_path_is_thinned_and_its_extremes_are_kept():
    rows = long_path()
    header, columns = decode(payload.path_payload(rows, ["phi"], "long"))
    assert header["total_rows"] == 100_000 and header["num_rows"] == len(columns["step"]) < 5000
    kept = (columns["step"] / 3).astype(int)
    assert np.all(np.diff(kept) > 0) and {0, 99_999} <= set(kept)
    assert {70_001, 33_333, 999, 1000, 1002, 1003} <= set(kept)
    assert {5_000, 5_001, 77_776, 77_777} <= set(kept) and header["num_derailments"] == 2
    np.testing.assert_allclose(columns["loss"], rows[kept, 1], rtol=1e-6)
    # The slow twin: of no stretch of 200 rows is the picture lower or higher than the path.
    for start in range(0, 100_000, 200):
        inside = (kept >= start - 200) & (kept < start + 400)
        for column, shown in ((rows[:, 1], columns["loss"]), (rows[:, 4], columns["phi"])):
            stretch = column[start : start + 200]
            assert np.nanmin(shown[inside]) <= np.nanmin(stretch) + 1e-6
            assert np.nanmax(shown[inside]) >= np.nanmax(stretch) - 1e-6


def test_a_path_that_is_derailed_all_the_time_is_still_thinned():
    rows = long_path()
    rows[:, 3] = np.arange(len(rows)) % 2
    header, columns = decode(payload.path_payload(rows, ["phi"]))
    assert header["num_derailments"] == 99_999 and len(columns["step"]) < 8000


@pytest.mark.parametrize("shape, most", [((50_000,), 4200), ((700, 300), 201 * 201), ((1, 3), 3)])
def test_a_fine_surface_is_thinned(shape, most):
    axes = [np.sqrt(np.arange(1.0, n + 1)) for n in shape]
    losses = np.add.reduce(np.meshgrid(*(np.cos(3 * a) for a in axes), indexing="ij"))
    if len(shape) == 1:
        losses[12_345] = -9  # a valley of one sample
    shown = payload.surface_payload(losses, {"coordinates": [a.tolist() for a in axes]})
    assert shown["resolution"] == list(shape) and np.size(shown["losses"]) <= most
    where = [np.searchsorted(a, given) for a, given in zip(axes, shown["coordinates"], strict=True)]
    np.testing.assert_allclose(shown["losses"], losses[np.ix_(*where)], rtol=1e-8)
    for index, size in zip(where, shape, strict=True):
        assert index[0] == 0 and index[-1] == size - 1
    if len(shape) == 1:
        assert np.min(shown["losses"]) == -9
