"""Valleys, success, how they are counted, and the tables of it."""

import json

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.contests import SGD, SIZE, Adam, data, network, network_data, surface_over_phi
from helpers.lines import dense_model, rosette_model
from keras_valleys.comparisons import compare, success_interval

# Valleys, success and how they are counted


def test_the_published_run_is_derailed_once_and_arrives():
    x, y = kv.datasets.rosette()[0]
    valleys = kv.valleys.find_valleys(surface_over_phi(x, y), periodic=True)
    found = compare(
        rosette_model,
        {"sgd": SGD(0.05), "slow": SGD(0.001)},
        x,
        y,
        90,
        surface=valleys,
        tolerance=0.045,
    )
    run = found.runs[0]
    assert (run.optimizer, run.valley, run.derailments, run.success) == ("sgd", 0, 1, True)
    floor, arrived = valleys[0].loss + 0.045, None
    low, high = valleys[0].ridges
    for step, (phi, loss) in enumerate(
        zip(run.trajectory.weights[:, 0], run.trajectory.losses, strict=True)
    ):
        if arrived is None and low < phi < high and loss <= floor:
            arrived = step
    assert run.steps_to_floor == arrived > 6
    assert 0 < run.seconds_to_floor < run.seconds
    slow = found.runs[1]
    assert slow.valley == 1 and not slow.success and slow.derailments == 0
    assert found.valleys is valleys and found.surface is valleys.surface
    shares = [(one.optimizer, one.num_successes, one.success_rate) for one in found.summaries]
    assert shares == [("sgd", 1, 1.0), ("slow", 0, 0.0)]
    assert found.summaries[0].interval == success_interval(1, 1)


def test_a_valley_as_low_as_the_best_is_as_good():
    """Two symmetric minima: ending in either is a success."""
    x = np.linspace(-2, 2, 401)
    losses = (x**2 - 1) ** 2 + 1e-5 * x
    well = kv.surfaces.Surface(losses, [x], [[1.0]], [0.0])

    def build():
        inputs = keras.Input((1,))
        layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
        model = keras.Model(inputs, keras.ops.square(layer(inputs)))
        model.compile("sgd", "mean_squared_error")
        return model

    ones = np.ones((4, 1), "float32")
    found = compare(build, {"sgd": SGD(0.02)}, ones, ones, 60, starts=[0.5, -0.5], surface=well)
    assert {run.valley for run in found.runs} == {0, 1}
    assert all(run.success for run in found.runs)
    strict = compare(
        build, {"sgd": SGD(0.02)}, ones, ones, 60, starts=[0.5, -0.5], surface=well, tolerance=0
    )
    assert [run.success for run in strict.runs] == [run.valley == 0 for run in strict.runs]


def test_without_a_surface_the_lowest_final_loss_is_the_aim():
    x, y = kv.datasets.straight_line(num_points=60)[0]
    given = {"good": SGD(0.1), "slow": SGD(1e-4), "fast": SGD(3.0)}
    found = compare(dense_model, given, x, y, 150, tolerance=0.1)
    runs = {run.optimizer: run for run in found.runs}
    assert [runs[label].success for label in given] == [True, False, False]
    losses = runs["good"].trajectory.losses
    expected = next(k for k, loss in enumerate(losses) if loss <= losses[-1] + 0.1)
    assert runs["good"].steps_to_floor == expected > 2
    assert runs["slow"].steps_to_floor is None and runs["good"].valley is None
    assert [one.optimizer for one in found.summaries] == ["good", "slow", "fast"]


@pytest.mark.parametrize(
    "successes, trials, low, high",
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_intervals_are_those_of_the_literature(successes, trials, low, high):
    """R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    found = success_interval(successes, trials)
    assert found == pytest.approx((low, high), abs=5e-5)
    assert 0 <= found[0] <= successes / trials <= found[1] <= 1


@pytest.mark.parametrize("successes, trials", [(-1, 3), (4, 3), (0, 0)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(ValueError, match="from 0 to `trials`"):
        success_interval(successes, trials)


def test_seeds_that_change_nothing_count_once():
    x, y = data()
    found = compare(rosette_model, ["sgd"], x, y, 3, seeds=4)
    assert len(found.runs) == 4 and found.summaries[0].num_runs == 1
    assert len({run.final_loss for run in found.runs}) == 1
    assert "seeds repeat a run" in str(found)
    drawn = compare(rosette_model, ["sgd"], x, y, 3, SIZE, seeds=4)
    assert drawn.summaries[0].num_runs == 4 and "repeat a run" not in str(drawn)
    x, y = network_data()
    assert compare(network, ["sgd"], x, y, 2, seeds=2).summaries[0].num_runs == 2  # dropout


# The result


def test_the_table_and_its_exports(tmp_path):
    x, y = data()
    found = compare(rosette_model, {"sgd": SGD(0.05), "ad, am": Adam(0.05)}, x, y, 3, SIZE, seeds=2)
    rows = found.to_dicts()
    assert [row["optimizer"] for row in rows] == [run.optimizer for run in found.runs]
    json.dumps(rows)
    text = found.to_csv(tmp_path / "runs.csv")
    assert (tmp_path / "runs.csv").read_text() == text == found.to_csv()
    lines = text.splitlines()
    assert len(lines) == 5 and lines[0].startswith("optimizer,learning_rate,start,seed,status")
    assert '"ad, am",0.05,0,0,finished' in text
    table = str(found).splitlines()
    assert table[0].split("  ")[0] == "optimizer" and len(table[2]) <= 120
    assert any("2/2" in line or "0/2" in line or "1/2" in line for line in table[2:4])
