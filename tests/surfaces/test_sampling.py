"""Points come in chunks, and are as bit-equal as in one call."""

import tracemalloc

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.formulas import PLANE, Bowl, Grouped, Heavy, Streamed, expected
from helpers.lines import dense_model
from helpers.objectives import rosette_objective
from keras_valleys.objectives import Objective
from keras_valleys.surfaces import evaluate
from keras_valleys.surfaces.sampling import Pace, loss_at, pace_of, seconds_per_point


@pytest.mark.parametrize("kind, least", [(Bowl, 1), (Heavy, 2)])
def test_chunks_are_one_call(kind, least):
    objective = kind()
    surface = evaluate(objective, **PLANE)
    np.testing.assert_array_equal(surface.losses, expected())
    assert len(objective.calls) >= least
    assert surface.details["num_points"] == surface.losses.size == 23 * 14


@pytest.mark.parametrize("made", [rosette_objective, lambda: Objective(*line())])
def test_any_chunks_of_a_model_are_bit_equal(made):
    objective = made()
    directions = np.linspace(0.4, 1.7, objective.size)
    x = np.linspace(-1.3, 1.4, 700)
    whole = objective.along(x[:, None], directions[None], np.zeros(objective.size))
    few = evaluate(objective, directions, coordinates=x, origin=np.zeros(objective.size))
    np.testing.assert_array_equal(few.losses, whole)
    objective.num_rows = 2e7  # so that it looks like work
    many = evaluate(objective, directions, coordinates=x, origin=np.zeros(objective.size))
    np.testing.assert_array_equal(many.losses, whole)


def line():
    (x, y), _ = kv.datasets.straight_line(num_points=60)
    return dense_model(), x, y


def test_chunks_start_at_whole_groups():
    objective = Grouped()
    surface = evaluate(objective, **PLANE)
    np.testing.assert_array_equal(surface.losses, expected())
    assert all(calls % 37 == 0 for calls in objective.calls[:-1]) and len(objective.calls) > 1


def test_slow_points_come_in_chunks_of_half_a_second():
    objective = Heavy(seconds=0.01)
    evaluate(objective, [1.0, 0.5], coordinates=np.linspace(-1, 2.5, 290), verbose=0)
    assert objective.calls[0] == 25  # 1e9 / (2 * 2e7)
    assert len(objective.calls) >= 4 and max(objective.calls) <= 128


def test_a_data_set_on_disk_is_read_once():
    objective = Streamed()
    np.testing.assert_array_equal(evaluate(objective, **PLANE).losses, expected())
    assert objective.calls == [23 * 14]


@pytest.mark.parametrize("seconds", [1e-6, 1e-3, 0.3])
@pytest.mark.parametrize("num", [1, 7, 441, 30_011])
@pytest.mark.skipif(keras.config.backend() != "jax", reason="JAX compiles for each size")
def test_jax_compiles_for_few_sizes_and_computes_few_points_twice(num, seconds):
    pace, left, sizes = Pace(Heavy(), 1), num, []
    while left > 0:
        size = pace.next_size(left)
        pace.took(size, size * seconds + (0 if size in sizes else 0.4))
        sizes.append(size)
        left -= size
    assert len(set(sizes)) <= 6
    assert -left * seconds <= 0.5 or len(set(sizes)) == 1


def test_memory_stays_flat():
    def peak(num):
        x = np.linspace(-1.1, 2.3, num)
        tracemalloc.start()
        evaluate(Bowl(), [1.0, 0.5], coordinates=x)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(100_000) < 10e6
    assert Pace(Heavy(), 2).next_size(10**8) <= 2**21


def test_what_was_compiled_for_one_surface_serves_the_next():
    objective = Heavy(seconds=1e-3)
    for size in (40, 31, 25, 50):
        evaluate(objective, [1.0, 0.5], coordinates=np.linspace(-1, 2.5, size), verbose=0)
    sizes = set(objective.calls)
    if keras.config.backend() == "jax":  # which compiles for each number of points
        assert len(sizes) <= 2
    assert pace_of(objective, 1) is pace_of(objective, 1)
    assert pace_of(objective, 1) is not pace_of(Heavy(), 1)


def test_the_loss_at_weights_and_what_a_point_takes():
    model, x, y = line()
    objective = kv.objectives.Objective(model, x, y)
    weights = objective.point() + 0.5
    assert loss_at(objective, weights) == pytest.approx(float(objective(weights)), rel=1e-6)
    assert 0 < seconds_per_point(objective) < 60
