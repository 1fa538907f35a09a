"""Rows to which no step led: no picture draws a way there."""

import numpy as np
import pytest

import keras_valleys as kv
from keras_valleys.plots.paths import path_of

X = np.linspace(-2, 3, 501)
WAVE = kv.surfaces.Surface(np.cos(np.pi * X), [X], [[1.0]], [0.0])
WEIGHTS = np.array([[-1.5], [-1.0], [2.0], [2.5]])


def path(no_steps=()):
    return kv.trajectories.Trajectory([0, 1, 4, 6], WEIGHTS, np.ones(4), no_steps=no_steps)


@pytest.mark.parametrize("no_steps, jumps", [((), []), ([4], [1]), ([4, 6], [1, 2]), ([0], [])])
def test_a_path_on_a_surface_is_broken_there(no_steps, jumps):
    assert np.flatnonzero(path_of(path(no_steps), WAVE).jumps).tolist() == jumps


def test_a_path_is_broken_where_such_a_row_is_thinned_out():
    steps = np.arange(4001)
    weights = np.where(steps < 2000, -1.0, 1.0)[:, None]
    long = kv.trajectories.Trajectory(steps, weights, np.zeros(4001), no_steps=[2000])
    found = path_of(long, WAVE)
    (row,) = np.flatnonzero(found.jumps)
    assert found.steps[row] < 2000 <= found.steps[row + 1] and found.stride > 1


@pytest.mark.parametrize("num_paths", [1, 2])
def test_on_a_ring_no_line_leads_there(num_paths):
    ring = kv.surfaces.Surface(np.cos(X), [X], [[1.0]], [0.0], periods=2 * np.pi, units="rad")

    def num_ways(no_steps):
        axes = kv.plots.circle(ring, [path(no_steps)] * num_paths).axes[0]
        if num_paths == 1:
            return len([part for one in axes.collections for part in _lengths(one)])
        return sum(np.isnan(line.get_data_3d()[0]).sum() for line in axes.lines)

    assert abs(num_ways([4]) - num_ways(())) == num_paths


def test_over_the_steps_no_line_leads_there():
    projection = kv.trajectories.on_surface(path([4]), WAVE)
    assert projection.no_steps.tolist() == [4]
    figures = [kv.plots.honesty(projection), kv.plots.loss_by_step(path([4]))]
    for axes in [axes for figure in figures for axes in figure.axes]:
        for line in axes.lines:
            steps, values = line.get_data()
            assert steps.tolist() == [0, 1, 4, 4, 6]
            assert np.isnan(values[2])  # the line ends, and begins anew at step 4
    upper, lower = figures[0].axes
    np.testing.assert_allclose(lower.lines[1].get_ydata()[[0, 1, 3, 4]], projection.travelled)


def _lengths(collection):
    """The ways of a collection of lines that are colored by step."""
    colored = getattr(collection, "get_array", lambda: None)()
    parts = getattr(collection, "_segments3d", ())
    return parts if colored is not None and len(parts) == len(colored) else ()


def test_over_the_steps_there_is_a_gap():
    plots = kv.plots
    for figure, values in (
        (plots.loss_by_step(path([4])), np.ones(4)),
        (plots.weight_by_step(path([4])), WEIGHTS[:, 0]),
    ):
        (line,) = figure.axes[0].lines
        np.testing.assert_array_equal(line.get_ydata(), np.insert(values, 2, np.nan))
        np.testing.assert_array_equal(line.get_xdata(), [0, 1, 4, 4, 6])


@pytest.mark.parametrize("no_steps", [[150], [3, 4, 150]])
def test_over_the_steps_what_was_set_at_the_end_has_a_mark(no_steps):
    weights = np.linspace(-0.9, 0.9, 151)[:, None]
    long = kv.trajectories.Trajectory(np.arange(151), weights, np.ones(151), no_steps=no_steps)
    honesty = kv.plots.honesty(kv.trajectories.on_surface(long, WAVE))
    for axes in (*honesty.axes, *kv.plots.weight_by_step(long).axes):
        for line in axes.lines:
            marked = line.get_xdata()[line.get_markevery()]
            assert set(no_steps) <= set(marked) and set(range(0, 150, 12)) <= set(marked)
            values = line.get_ydata()
            unknown = np.all(np.isnan(values))  # the slice's, without an objective
            assert unknown or np.all(np.isfinite(values[line.get_markevery()]))
    assert not np.all(np.isnan(honesty.axes[0].lines[0].get_ydata()))


def test_frames_draw_no_line_and_say_it():
    frames = kv.plots.SurfaceFrames(WAVE, size=(480, 320))
    arguments = WEIGHTS, np.full(4, np.nan), 6

    def drawn(**options):
        return np.asarray(frames.image(*arguments, **options).convert("RGB"), int)

    plain, same = drawn(), drawn(no_steps=np.zeros(4, bool))
    np.testing.assert_array_equal(plain, same)
    assert "weights set" not in frames._caption.text
    broken = drawn(no_steps=[False, False, False, True])
    assert "weights set" in frames._caption.text
    assert np.any(broken != plain)
    movie = frames.animation(*arguments[:2], [0, 1, 4, 6], 2, no_steps=[0, 0, 0, 1])
    assert movie != frames.animation(*arguments[:2], [0, 1, 4, 6], 2)
