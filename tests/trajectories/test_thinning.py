"""Which rows of a path are shown, against a slow look at each stretch."""

import numpy as np
import pytest

from keras_valleys.trajectories import breaks, event_strides, strides, thin
from keras_valleys.trajectories.thinning import LONGEST


def walk(size, seed=1):
    """A path of two columns, with spikes and with what is not finite."""
    random = np.random.RandomState(seed)
    columns = np.cumsum(random.normal(size=(2, size)), axis=1)
    columns[0, random.randint(size, size=5)] += 90
    columns[1, size // 3 : size // 3 + 40] = np.nan
    columns[0, size // 2 : size // 2 + 2] = np.inf, -np.inf
    return columns


def slow_rows(columns, stride):
    """Each `stride`-th row, and in each stretch the first least and the first greatest."""
    found = set(range(0, columns.shape[1], stride))
    for start in range(0, columns.shape[1], stride):
        for column in columns[:, start : start + stride]:
            known = [k for k in range(len(column)) if np.isfinite(column[k])]
            if known:
                found.add(start + min(known, key=lambda k: column[k]))  # noqa: B023
                found.add(start + max(known, key=lambda k: column[k]))  # noqa: B023
    return found


@pytest.mark.parametrize("size", [1, 2, 728, 2000])
def test_at_each_stride_are_shown_every_so_many_rows_and_the_extremes(size):
    columns = walk(size) if size > 2 else np.array([[4.0, 2.0]])[:, :size]
    found = strides(columns)
    stride = 1
    while stride <= LONGEST:
        assert set(np.flatnonzero(found >= stride)) == slow_rows(columns, stride)
        stride *= 3


def test_of_longer_stretches_are_shown_the_extremes_of_some():
    columns = walk(10 * LONGEST + 5)
    found = strides(columns)
    for stride in (3, 9):
        shown = set(range(0, columns.shape[1], stride * LONGEST))
        for start in range(0, columns.shape[1], stride * LONGEST):
            part = columns[:, start : start + LONGEST]
            shown |= {start + row for row in slow_rows(part, LONGEST)}
        assert set(np.flatnonzero(found >= stride * LONGEST)) == shown


@pytest.mark.parametrize("part", [LONGEST, 3 * LONGEST])
def test_a_path_in_parts_has_the_same_strides(part):
    columns = walk(7 * LONGEST + 100)
    starts = range(0, columns.shape[1], part)
    parts = [strides(columns[:, start : start + part], start) for start in starts]
    np.testing.assert_array_equal(np.concatenate(parts), strides(columns))


def test_odd_parts_leave_out_nothing_that_the_whole_shows():
    columns = walk(3000)
    starts = [0, 1, 500, 733, 734, 2222, 3000]
    pairs = zip(starts[:-1], starts[1:], strict=True)
    parts = [strides(columns[:, start:end], start) for start, end in pairs]
    assert np.all(np.concatenate(parts) >= strides(columns))


def test_without_extremes_it_is_how_a_picture_thins_a_path():
    for size in (5, 1000, 1001, 30_000):
        rows = thin(size)
        stride = rows[1]
        shown = np.flatnonzero(strides(np.empty((0, size))) >= stride)
        assert set(rows) == {*shown, size - 1}


@pytest.mark.parametrize("period", [2, 4, 5])
def test_steps_to_and_fro_are_seen_from_all_sides(period):
    found = strides(np.empty((0, 100_000)))
    for stride in (3, 27, 243):
        assert set(np.flatnonzero(found >= stride) % period) == set(range(period))


def test_both_rows_of_an_event_are_shown_or_none():
    random = np.random.RandomState(5)
    before = np.unique(random.randint(0, 9000, 300))
    pairs = np.stack([before, before + random.randint(1, 30, len(before))], axis=1)
    found = event_strides(pairs, 9100)
    for stride in (1, 3, 9, 27):
        assert set(np.flatnonzero(found >= stride)) == set(pairs[::stride].ravel())
    halves = [event_strides(pairs[:100], 9100), event_strides(pairs[100:], 9100, first=100)]
    np.testing.assert_array_equal(np.maximum(*halves), found)


def test_an_event_that_began_before_the_rows_marks_its_second_row():
    assert event_strides(np.array([[-1, 2]]), 4, first=3).tolist() == [0, 0, 3, 0]
    assert event_strides(np.empty((0, 2)), 3).tolist() == [0, 0, 0]


def test_where_values_cease_to_be_finite():
    columns = [[0, np.nan, 1, 1, 1], [0, 0, 0, np.inf, -np.inf]]
    assert breaks(columns).tolist() == [[0, 1], [1, 2], [2, 3]]
    assert breaks(np.empty((2, 0))).tolist() == breaks(np.zeros((1, 1))).tolist() == []
