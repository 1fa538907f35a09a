"""Paths beside a line or a plane, and the ranges that hold them."""

import tracemalloc
import warnings

import numpy as np
import pytest

from helpers.objectives import small_data, small_model
from keras_valleys.objectives import Objective
from keras_valleys.surfaces import Surface, evaluate
from keras_valleys.trajectories import Trajectory, on_surface, project, span


def test_projection_is_least_squares_also_for_oblique_directions():
    random = np.random.RandomState(5)
    directions, origin = random.normal(size=(2, 7)), random.normal(size=7)
    plane = Surface(np.zeros((2, 3)), [[0, 1], [0, 1, 2]], directions, origin)
    weights = random.normal(size=(4, 3, 7))
    found = project(weights, plane)
    assert found.shape == (4, 3, 2)
    for index in np.ndindex(4, 3):
        twin = np.linalg.lstsq(directions.T, weights[index] - origin, rcond=None)[0]
        np.testing.assert_allclose(found[index], twin, atol=1e-12)
    with pytest.raises(ValueError, match="weight vectors of the surface's size 7"):
        project(np.zeros(6), plane)


def test_weights_that_diverged_are_projected_without_a_warning():
    plane = Surface(np.zeros((2, 3)), [[0, 1], [0, 1, 2]], np.eye(2, 3), np.zeros(3))
    weights = [[4.0, 5.0, 6.0], [np.inf, 1.0, 2.0], [-np.inf, np.inf, np.nan], [1e200, 0.0, 1e308]]
    found = project(weights, plane)
    assert found[0].tolist() == [4, 5] and found[3].tolist() == [1e200, 0]
    assert not np.any(np.isfinite(found[1:3, 0]))


# On a surface.


def oblique_plane():
    random = np.random.RandomState(5)
    directions, origin = random.normal(size=(2, 7)), random.normal(size=7)
    return Surface(np.zeros((2, 3)), [[0, 1], [0, 1, 2]], directions.astype("float32"), origin)


def walk(num=11, size=7, seed=6):
    return np.cumsum(np.random.RandomState(seed).normal(size=(num, size)), axis=0) + 3


@pytest.mark.parametrize("block", [1, 30, 10**6])
def test_on_surface_is_what_least_squares_say(monkeypatch, block):
    monkeypatch.setattr("keras_valleys.trajectories.trajectory.BLOCK", block)
    plane, weights = oblique_plane(), walk()
    weights[4, 2], weights[9, 6] = np.nan, np.inf
    losses = np.arange(11.0)
    losses[[2, 7]] = np.inf, np.nan
    found = on_surface(Trajectory(range(1, 12), weights, losses, "run"), plane)
    good = [0, 1, 2, 3, 5, 6, 7, 8, 10]
    matrix = np.asarray(plane.directions, "float64").T
    for row in good:
        away = weights[row] - plane.origin
        twin = np.linalg.lstsq(matrix, away, rcond=None)[0]
        np.testing.assert_allclose(found.coordinates[row], twin, atol=1e-9)
        np.testing.assert_allclose(found.distances[row], np.linalg.norm(away - matrix @ twin))
        np.testing.assert_allclose(found.travelled[row], np.linalg.norm(weights[row] - weights[0]))
    for values in (found.coordinates, found.distances, found.travelled):
        assert np.isnan(values[[4, 9]]).all() and np.isfinite(values[good]).all()
    centered = weights[good] - weights[good].mean(axis=0)
    inside = np.array([matrix @ np.linalg.lstsq(matrix, row, rcond=None)[0] for row in centered])
    np.testing.assert_allclose(found.explained_variance, (inside**2).sum() / (centered**2).sum())
    np.testing.assert_array_equal(found.losses, losses)
    assert np.isnan(found.plane_losses).all()
    assert (found.num_diverged, found.num_weights, found.label) == (3, 7, "run")
    assert found.steps.tolist() == list(range(1, 12))


def test_on_surface_of_a_path_in_the_plane_at_rest_and_lost():
    plane = oblique_plane()
    inside = plane.origin + [[1, 2], [3, -1], [0.5, 0.25]] @ np.asarray(plane.directions, "float64")
    found = on_surface(Trajectory([0, 1, 2], inside, np.zeros(3)), plane)
    np.testing.assert_allclose(found.coordinates, [[1, 2], [3, -1], [0.5, 0.25]])
    np.testing.assert_allclose(found.distances, 0, atol=1e-12)
    assert found.explained_variance == pytest.approx(1)
    for weights in (inside[:1], np.repeat(inside[:1], 4, axis=0), np.full((2, 7), np.nan)):
        rest = on_surface(Trajectory(range(len(weights)), weights, np.zeros(len(weights))), plane)
        assert np.isnan(rest.explained_variance)
    assert rest.num_diverged == 2 and np.isnan(rest.distances).all()
    assert on_surface(Trajectory([], np.zeros((0, 7)), []), plane).coordinates.shape == (0, 2)
    with pytest.raises(ValueError, match="`on_surface` expects weight vectors.*size 7"):
        on_surface(Trajectory([0], [[1.0]], [0.0]), plane)


def test_directions_that_depend_on_each_other_share_the_coordinates():
    plane = Surface(np.zeros((2, 3)), [[0, 1], [0, 1, 2]], [[1.0, 0, 0], [2.0, 0, 0]], np.zeros(3))
    weights = np.array([[5.0, 3, 4], [10.0, 0, 0]])
    found = on_surface(Trajectory([0, 1], weights, [0.0, 0.0]), plane)
    np.testing.assert_allclose(found.coordinates @ plane.directions, [[5, 0, 0], [10, 0, 0]])
    np.testing.assert_allclose(found.distances, [5, 0], atol=1e-12)
    np.testing.assert_allclose(found.coordinates, project(weights, plane))


def test_on_surface_takes_weights_that_blew_up_without_a_warning():
    weights = np.array([[1.0, 2, 3], [1e30, -1e30, 1e30], [1e200, 1, 1]])
    line = Surface(np.zeros(3), [[0, 1, 2]], [[1.0, 1, 0]], np.zeros(3))
    found = on_surface(Trajectory([0, 1, 2], weights, [1.0, np.inf, np.inf]), line)
    assert found.num_diverged == 2 and found.distances[1] == pytest.approx(3**0.5 * 1e30)


def test_on_surface_holds_no_second_copy_of_a_long_path():
    weights = np.random.default_rng(1).random((96, 2**18), "float32")
    path = Trajectory(range(96), weights, np.zeros(96))
    line = Surface(np.zeros(3), [[0, 1, 2]], weights[3:4] - weights[2], weights[2])
    tracemalloc.start()
    found = on_surface(path, line)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.7 * weights.nbytes  # as float64 it would be twice that
    np.testing.assert_allclose(found.coordinates[2:4, 0], [0, 1], atol=1e-6)


def test_with_an_objective_losses_are_measured_on_the_plane_and_where_unknown():
    model, data = small_model(), small_data()
    objective = Objective(model, *data)
    origin = objective.point()
    weights = origin + 0.1 * walk(6, objective.size).astype("float32")
    weights[3, 1], weights[5] = np.nan, 1e25  # the last one is finite, its loss is not
    losses = [7.0, np.nan, np.inf, np.nan, np.nan, np.nan]
    directions = np.random.RandomState(1).normal(size=(2, objective.size))
    grid = dict(coordinates=([-1.0, 2.0], [-1.0, 0.0, 3.0]), origin=origin)
    surface = evaluate(objective, directions, **grid)
    recorded = on_surface(Trajectory(range(6), weights, losses), surface, objective)
    assert recorded.loss_kind == "true"
    np.testing.assert_allclose(recorded.losses[:3], objective(weights[:3]), rtol=1e-6)
    path = Trajectory(range(6), weights, losses, loss_kind="true")
    found = on_surface(path, surface, objective)
    unmeasured = on_surface(Trajectory(range(6), weights, losses), surface)
    assert unmeasured.num_diverged == 2 and unmeasured.loss_kind == "recorded"
    assert found.losses[0] == 7.0 and found.losses[2] == np.inf and np.isnan(found.losses[3])
    for row in (1, 4):
        np.testing.assert_allclose(found.losses[row], objective(weights[row]), rtol=1e-6)
    for row in (0, 1, 2, 4):
        foot = origin + found.coordinates[row] @ directions
        np.testing.assert_allclose(found.plane_losses[row], objective(foot), rtol=1e-4)
    assert np.isnan(found.plane_losses[3]) and found.num_diverged == 3
    small = Objective(model, *data, variables=["beta"])
    with pytest.raises(ValueError, match=r"expects an objective over.*Received: one over 3"):
        on_surface(Trajectory(range(6), weights, losses), surface, small)


# Span.


def run(weights, losses=None, label=""):
    weights = np.asarray(weights, "float64")
    losses = np.full(len(weights), np.nan) if losses is None else losses
    return Trajectory(range(len(weights)), weights, losses, label)


def test_span_contains_all_paths_with_its_margin():
    plane = oblique_plane()
    paths = [run(walk(9, seed=1)), run(walk(14, seed=2))]
    for margin in (0.0, 0.2, 1.5):
        axes = span(paths, plane.directions, plane.origin, num_points=(7, 4), margin=margin)
        assert [len(axis) for axis in axes] == [7, 4]
        found = np.concatenate([project(path.weights, plane) for path in paths])
        for axis, values in zip(axes, found.T, strict=True):
            room = margin * np.ptp(values)
            np.testing.assert_allclose(axis[[0, -1]], [values.min() - room, values.max() + room])
            np.testing.assert_allclose(np.diff(axis), (axis[-1] - axis[0]) / (len(axis) - 1))
    surface = Surface(np.zeros((7, 4)), axes, plane.directions, plane.origin)
    assert [axis[0] for axis in surface.coordinates] == [axis[0] for axis in axes]


def test_span_of_one_axis_and_of_the_weights_themselves():
    (axis,) = span(run([[3.0], [5.0]]), margin=0.25)
    assert len(axis) == 51 and axis[0] == 2.5 and axis[-1] == 5.5
    (axis,) = span(run([[3.0, 0], [5.0, 1]]), [2.0, 0.0], num_points=9, margin=0.5)
    np.testing.assert_allclose(axis[[0, -1]], [-1.5, 0.5])  # the origin is the last row
    x, y = span(run([[3.0, 0], [5.0, 1], [np.nan, 9]]), np.array([[1.0, 0], [0, 1]]), margin=0.5)
    np.testing.assert_allclose([x[0], x[-1], y[0], y[-1]], [-3, 1, -1.7, 0.7])


def test_span_gives_an_axis_without_movement_a_range_of_its_own():
    directions = [[1.0, 0, 0], [0, 4.0, 0]]
    x, y = span(run([[3.0, 8, 0], [5.0, 8, 7]]), directions, np.zeros(3), margin=0.5)
    np.testing.assert_allclose([x[0], x[-1], y[0], y[-1]], [2, 6, 1.7, 2.3])
    x, y = span(run([[3.0, 8, 0]]), directions, np.zeros(3))
    np.testing.assert_allclose([x[0], x[-1], y[0], y[-1]], [0.6, 5.4, 1, 3])
    noisy = [[3.0, 8, 0], [5.0, np.float32(8 + 1e-6), 7]]
    assert np.ptp(span(run(noisy), directions, np.zeros(3))[1]) == pytest.approx(0.5)


@pytest.mark.parametrize("factor", [2.0, 50.0, 1e9])
def test_span_leaves_out_where_a_run_blew_up(factor):
    good = run([[1.0, 2.0], [0.5, 1.5], [0.2, 1.2]], [3.0, 2.0, 1.0])
    num = int(70 / np.log10(factor))
    away = factor ** np.arange(1, num + 1)[:, None] * [0.01, -0.02]
    bad = run(
        np.concatenate([[[1.0, 2.0]], [1.0, 2.0] + away]),
        3 + away[:, 0].max() * np.append(0, away[:, 0] / away[:, 0].max()),
    )
    with pytest.warns(RuntimeWarning, match=r"`span` leaves out \d+ of \d+ rows") as told:
        x, y = span([good, bad], margin=0.1)
    assert len(told) == 1 and told[0].filename == __file__
    assert -20 < x[0] <= 0.2 and 1 <= x[-1] < 20 and -20 < y[0] <= 1.2 and 2 <= y[-1] < 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert span([good, bad], reach=np.inf)[0][-1] > 1e60
        assert span(good)[0][-1] < 2


def test_span_keeps_long_ways_that_lead_to_lower_losses():
    way = np.geomspace(0.001, 1000, 40)[:, None] * [1.0, 0.5]
    way = np.concatenate([np.zeros((1, 2)), way])
    x, _ = span(run(way, np.linspace(9, 1, 41)), margin=0.2)  # from zero, with growing steps
    assert x[-1] == pytest.approx(1200)
    noisy = np.where(np.arange(41) % 2, 9.5, 8.5)
    x, _ = span(run(way, noisy), margin=0.2)
    assert x[-1] == pytest.approx(1200)
    start = np.array([30.0, 40.0])  # a fine tuning that only got worse, and no losses at all
    for losses in (np.linspace(1, 2, 41), None):
        x, _ = span(run(start + way / 50, losses), margin=0.2)
        assert x[-1] == pytest.approx(54)


def test_span_refuses_what_makes_no_range():
    path = run([[1.0, 2, 3], [2.0, 3, 4]])
    for paths in ([], [run([[np.nan, 1, 2]])], [path, run([[1.0]])]):
        with pytest.raises(ValueError, match="trajectories over the same weights, one of them"):
            span(paths, np.eye(2, 3))
    for directions, origin in ((np.eye(2), None), (np.eye(3), None), (np.eye(2, 3), [0.0])):
        with pytest.raises(ValueError, match="one or two directions and an origin of 3 weights"):
            span(path, directions, origin)
    for directions in ([[1.0, 0, 0], [0.0, 0, 0]], [[1.0, np.nan, 0]]):
        with pytest.raises(ValueError, match="directions that lead somewhere"):
            span(path, directions)
    for num_points in (1, (51,), (51, 1), 5.5, (51.0, 41.0)):
        with pytest.raises(ValueError, match="`num_points` to be 2 integers >= 2"):
            span(path, np.eye(2, 3), num_points=num_points)
    for options in (dict(margin=-0.1), dict(margin=np.nan), dict(reach=0), dict(margin=np.inf)):
        with pytest.raises(ValueError, match="`margin` to be >= 0 and `reach` to be > 0"):
            span(path, np.eye(2, 3), **options)


@pytest.mark.parametrize("lengths", [(1.0, 1.0), (2.0, 0.5)])
def test_span_gives_no_strips(lengths):
    directions = np.diag(lengths)
    path = Trajectory(range(3), [[0.0, 0.0], [10.0, 0.1], [20.0, 0.2]], [3.0, 2.0, 1.0])
    x, y = span(path, directions, np.zeros(2), margin=0.1)
    wide, high = np.ptp(x) * lengths[0], np.ptp(y) * lengths[1]
    assert (wide, high) == pytest.approx((24.0, 0.6 * 24.0))
    assert (y[0] + y[-1]) / 2 * lengths[1] == pytest.approx(0.1)  # the path stays in the middle
