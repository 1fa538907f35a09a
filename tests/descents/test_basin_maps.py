"""Which start ends in which valley: the map and its file."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers, optimizers

import keras_valleys as kv
from helpers.basin_maps import RATES, STARTS
from keras_valleys.descents import BasinMap, basin_map, descend


def test_it_is_one_descent_after_the_other(rosette, by_start, by_rate):
    objective, valleys = rosette
    found = descend(objective, optimizers.SGD(0.02), STARTS, 25)
    np.testing.assert_array_equal(by_start.losses[0], found.losses)
    np.testing.assert_allclose(by_start.ends[0], found.weights, rtol=1e-6, atol=1e-7)
    expected = [valleys.at(float(phi)) for phi in found.weights[:, 0]]
    np.testing.assert_array_equal(by_start.indices[0], expected)
    assert len(set(expected)) > 2 and by_start.indices.shape == (3, 14)
    assert by_start.optimizers == ("plain", "adam", "plain again") and by_start.labels == ("phi",)
    np.testing.assert_allclose(by_start.distances, 0, atol=1e-6)
    np.testing.assert_array_equal(by_rate.losses[0, 1], found.losses)
    slow = descend(objective, optimizers.SGD(0.002), STARTS, 25)
    np.testing.assert_array_equal(by_rate.losses[0, 0], slow.losses)
    assert by_rate.indices.shape == (1, 2, 14) and by_rate.optimizers == ("SGD",)


def test_small_steps_stay_in_their_basin(rosette, by_rate):
    _, valleys = rosette
    np.testing.assert_array_equal(by_rate.indices[0, 0][3:-3], valleys.at(STARTS)[3:-3])


def test_equal_optimizers_give_equal_rows_in_any_order(rosette, by_start):
    objective, valleys = rosette
    np.testing.assert_array_equal(by_start.ends[0], by_start.ends[2])
    turned = basin_map(objective, ["adam", optimizers.SGD(0.02)], STARTS, 25, valleys)
    np.testing.assert_array_equal(turned.ends, by_start.ends[[1, 0]])
    assert turned.optimizers == ("Adam", "SGD")
    twice = basin_map(objective, ["sgd", "sgd"], STARTS[:2], 1, valleys)
    assert twice.optimizers == ("SGD 0.01", "SGD 0.01 (2)")


def test_two_axes(waves):
    objective, valleys = waves
    axes = [np.linspace(-3, 3.3, 7), np.linspace(-3.5, 4, 6)]
    found = basin_map(objective, {"a": optimizers.SGD(0.05)}, axes, 30, valleys)
    for i, kernel in enumerate(axes[0]):
        starts = np.stack([np.full(6, kernel), axes[1]], axis=-1)
        row = descend(objective, optimizers.SGD(0.05), starts, 30)
        np.testing.assert_allclose(found.losses[0, i], row.losses, rtol=1e-4)
        np.testing.assert_array_equal(found.indices[0, i], valleys.at(found.ends[0, i]))
    assert len(np.unique(found.indices)) > 4
    np.testing.assert_allclose(found.share(0), np.mean(found.indices == 0))


def test_a_start_that_leaves_or_diverges_ends_in_none(waves):
    objective, valleys = waves
    axes = [[-2.9, 3.3], [-3.5, 0.1, 3.9]]
    far = basin_map(objective, optimizers.SGD(1e20), axes, 4, valleys)
    np.testing.assert_array_equal(far.indices, -1)
    assert far.share(-1) == 1.0


def test_of_more_weights_than_axes_the_distance_is_told():
    random = np.random.default_rng(4)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, "tanh"), layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    objective = kv.objectives.Objective(
        model, random.normal(size=(9, 2)), random.normal(size=(9, 1))
    )
    directions = kv.directions.random(objective, 1, seed=1)
    line = kv.surfaces.evaluate(objective, directions, coordinates=np.linspace(-2, 2.5, 41))
    valleys = kv.valleys.find_valleys(line)
    starts = np.linspace(-1.9, 2.2, 5)
    found = basin_map(objective, optimizers.SGD(0.1), starts, 20, valleys)
    descents = descend(
        objective, optimizers.SGD(0.1), line.origin + starts[:, None] * line.directions, 20
    )
    ends = kv.trajectories.project(descents.weights, line)
    np.testing.assert_allclose(found.ends[0], ends, rtol=1e-5, atol=1e-6)
    off = np.linalg.norm(descents.weights - line.origin - ends @ line.directions, axis=1)
    np.testing.assert_allclose(found.distances[0], off, rtol=1e-4)
    assert off.min() > 1e-3
    caption = kv.plots.basins(found, valleys).get_supxlabel()
    assert f"up to {off.max():.3g} from the surface" in caption


def test_it_is_saved_and_read(by_start, by_rate, waves, tmp_path):
    objective, valleys = waves
    plane = basin_map(objective, "sgd", [[0.0, 1.0], [0.0, 0.5, 1.5]], 1, valleys)
    for given in (by_start, by_rate, plane):
        given.save(tmp_path / "map.npz")
        read = BasinMap.load(tmp_path / "map.npz")
        for field in dataclasses.fields(BasinMap):
            a, b = getattr(given, field.name), getattr(read, field.name)
            if field.name == "coordinates":
                assert len(a) == len(b) and all(map(np.array_equal, a, b))
            else:
                np.testing.assert_array_equal(a, b)
        with pytest.raises(ValueError, match="read-only"):
            read.indices[...] = 0
    (tmp_path / "bad.npz").write_bytes(b"PK no zip")
    with pytest.raises(ValueError, match="`BasinMap.load` expects a file written by"):
        BasinMap.load(tmp_path / "bad.npz")
    with pytest.raises(ValueError, match="`BasinMap` expects .*Make the shapes agree"):
        dataclasses.replace(by_start, optimizers=("one",))


def test_it_goes_on_from_a_checkpoint(rosette, by_rate, tmp_path):
    objective, valleys = rosette
    path = tmp_path / "part.npz"
    given = (objective, optimizers.SGD(0.7), STARTS, 25, valleys)
    first = basin_map(*given, learning_rates=RATES, checkpoint=path)
    again = basin_map(*given, learning_rates=RATES, checkpoint=path)
    np.testing.assert_array_equal(first.ends, by_rate.ends)
    np.testing.assert_array_equal(again.ends, by_rate.ends)
    with pytest.raises(ValueError, match="`basin_map` expects `checkpoint` to be of the same"):
        basin_map(*given, learning_rates=[0.1], checkpoint=path)


def test_bad_input_is_refused(rosette):
    objective, valleys = rosette
    good = dict(objective=objective, optimizers="sgd", coordinates=STARTS, steps=2, valleys=valleys)
    schedule = optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 5))
    cases = [
        (dict(coordinates=STARTS[::-1]), "one rising 1-D array"),
        (dict(coordinates=[STARTS, STARTS]), "each of the surface's 1 axes"),
        (dict(coordinates=[0.0, np.inf]), "finite numbers"),
        (dict(optimizers=[]), "one optimizer or more"),
        (dict(optimizers={"x": "no such"}), "`basin_map` expects each of `optimizers`"),
        (dict(optimizers=["sgd", optimizers.SGD(0.1, clipnorm=1.0)]), "each weight by itself"),
        (dict(learning_rates=[0.1, 0.0]), "numbers above 0"),
        (dict(learning_rates=0.1), "1-D array of numbers above 0"),
        (dict(learning_rates=[0.1], optimizers=schedule), "whose learning rate can be set"),
        (dict(steps=0), "`basin_map` expects `steps`"),
        (dict(verbose="loud"), "`basin_map` expects `verbose`"),
    ]
    for change, message in cases:
        with pytest.raises(ValueError, match=message):
            basin_map(**{**good, **change})
    plane = kv.surfaces.Surface(np.eye(3, 4), (np.arange(3), np.arange(4)), np.eye(2), np.zeros(2))
    with pytest.raises(ValueError, match="surface over 2 weights, an objective over 1"):
        axes = [[0.0], [1.0]]
        basin_map(objective, "sgd", axes, 2, kv.valleys.find_valleys(plane))
