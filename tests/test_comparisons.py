"""Real fits side by side, against the same fits written by hand."""

import dataclasses
import json
import math
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

import keras
import models
import numpy as np
import pytest
from cases import dense_model, rosette_model, set_weights, weights_of
from readers import READERS, open_reader
from test_events import fill, small_disk

import keras_valleys as kv
from keras_valleys.comparisons import compare, success_interval

BACKEND = keras.config.backend()
STEPS, SIZE = 12, 16


def data():
    return kv.datasets.rosette(num_points=10)[0]


def surface_over_phi(x, y):
    objective = kv.objectives.Objective(rosette_model(), x, y)
    phi = np.linspace(-np.pi / 2, np.pi / 2, 501)
    return kv.surfaces.evaluate(objective, coordinates=phi)


def network(dropout=0.3):
    """A small network with state that training moves without a gradient."""
    layers = [keras.Input((3,)), keras.layers.Dense(4, "tanh")]
    layers += [keras.layers.BatchNormalization(momentum=0.7)]
    layers += [keras.layers.Dropout(dropout)] if dropout else []
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    model.compile("sgd", "mean_squared_error", metrics=["mae"])
    return model


def network_data():
    x = np.random.RandomState(3).normal(1.0, 2.0, size=(50, 3)).astype("float32")
    return x, x[:, :1] - 2 * x[:, 2:]


def by_hand(build, optimizer, x, y, *, steps=STEPS, batch_size=SIZE, seed=0, start=None):
    """The path of one plain `model.fit`, and its model."""
    model = build()
    model.optimizer = optimizer
    if start is not None:
        set_weights(model, np.asarray(start, "float32"))
    recorder = kv.callbacks.TrajectoryRecorder()
    repeated = kv.datasets.repeat(x, y, steps, batch_size, seed)
    size = batch_size or len(x)
    model.fit(*repeated, batch_size=size, shuffle=False, verbose=0, callbacks=[recorder])
    return recorder.trajectory, model


def same_paths(one, other):
    assert [run.optimizer for run in one.runs] == [run.optimizer for run in other.runs]
    assert one.runs == other.runs
    for a, b in zip(one.runs, other.runs, strict=True):
        np.testing.assert_array_equal(a.trajectory.weights, b.trajectory.weights)
        np.testing.assert_array_equal(a.trajectory.losses, b.trajectory.losses)


# Rows


SGD, Adam = keras.optimizers.SGD, keras.optimizers.Adam
STATEFUL = {
    "momentum": lambda: SGD(0.05, momentum=0.9, nesterov=True),
    "starts from the weights": lambda: keras.optimizers.ScheduleFreeAdamW(0.05),
    "averages the weights": lambda: Adam(0.05, use_ema=True),
    "accumulates": lambda: SGD(0.05, gradient_accumulation_steps=2),
    "scheduled": lambda: Adam(keras.optimizers.schedules.CosineDecay(0.05, STEPS)),
    "holds another": lambda: keras.optimizers.LossScaleOptimizer(SGD(0.05), initial_scale=8.0),
    "holds others": lambda: keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(default_optimizer=SGD(0.05, momentum=0.9))
    ),
}


@pytest.mark.parametrize("name", STATEFUL)
def test_each_run_is_a_plain_fit_with_a_new_optimizer(name):
    """The last run, after others of the same optimizer, is what it would be alone."""
    x, y = data()
    starts = [0.785, -1.2]
    found = compare(
        rosette_model, {name: STATEFUL[name]}, x, y, STEPS, SIZE, seeds=[4], starts=starts
    )
    objective = kv.objectives.Objective(rosette_model(), x, y)
    assert [(run.start, run.seed) for run in found.runs] == [(0, 4), (1, 4)]
    for run in found.runs[1:]:
        start = starts[run.start]
        path, _ = by_hand(rosette_model, STATEFUL[name](), x, y, seed=run.seed, start=[start])
        np.testing.assert_array_equal(run.trajectory.weights, path.weights)
        np.testing.assert_array_equal(run.trajectory.steps, path.steps)
        np.testing.assert_allclose(run.trajectory.losses, objective(path.weights), atol=1e-6)
        assert run.trajectory.label == run.optimizer == name and run.status == "finished"
        assert run.final_loss == run.trajectory.losses[-1]
        assert run.best_loss == run.trajectory.losses.min()
        assert run.best_step == np.argmin(run.trajectory.losses)
    assert found.runs[0].final_loss != found.runs[1].final_loss


def test_all_rows_in_each_step_and_two_weights():
    x, y = kv.datasets.straight_line(num_points=60)[0]
    found = compare(dense_model, {"sgd": SGD(0.1)}, x, y, STEPS, starts=[[5.0, 0.0], [1.0, 3.0]])
    for run, start in zip(found.runs, [[5.0, 0.0], [1.0, 3.0]], strict=True):
        path, model = by_hand(dense_model, SGD(0.1), x, y, batch_size=None, start=start)
        np.testing.assert_array_equal(run.trajectory.weights, path.weights)
        assert run.final_loss == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-5)


def test_statistics_of_batch_normalization_belong_to_the_step():
    """Losses are those of `evaluate` with the statistics that the model had at each step."""
    x, y = network_data()
    model = network(dropout=0)
    start = weights_of(model)
    found = compare(lambda: model, {"adam": Adam(0.05)}, x, y, 5, SIZE, seeds=[2])
    for steps in (0, 1, 3, 5):
        twin = network(dropout=0)
        set_weights(twin, start)
        if steps:
            twin.optimizer = Adam(0.05)
            repeated = kv.datasets.repeat(x, y, steps, SIZE, seed=2)
            if steps < 5:  # the order of the longer run
                repeated = [part[: steps * SIZE] for part in kv.datasets.repeat(x, y, 5, SIZE, 2)]
            twin.fit(*repeated, batch_size=SIZE, shuffle=False, verbose=0)
        expected = twin.evaluate(x, y, verbose=0)[0]
        assert found.runs[0].trajectory.losses[steps] == pytest.approx(expected, rel=2e-5)


def test_the_order_of_optimizers_changes_nothing_and_equal_ones_have_equal_rows():
    """With dropout and batch normalization, whose state one run must not leave to the next."""
    x, y = network_data()
    model = network()
    given = {"a": Adam(0.05), "too fast": SGD(1e6), "b": Adam(0.05), "c": lambda: SGD(0.02)}
    options = dict(x=x, y=y, steps=STEPS, batch_size=SIZE, seeds=[0, 5], verbose=0)
    found = compare(lambda: model, given, **options)
    turned = compare(lambda: model, dict(reversed(given.items())), **options)
    same_paths(found, turned)
    alone = compare(lambda: model, {"c": SGD(0.02)}, **options)
    rows = {label: [r for r in found.runs if r.optimizer == label] for label in given}
    np.testing.assert_array_equal(rows["c"][1].trajectory.weights, alone.runs[1].trajectory.weights)
    for a, b in zip(rows["a"], rows["b"], strict=True):
        # Without valleys success depends on all runs, which are the same here.
        assert dataclasses.replace(b, optimizer="a") == a
        np.testing.assert_array_equal(a.trajectory.weights, b.trajectory.weights)
    assert rows["a"][0].final_loss != rows["a"][1].final_loss  # seeds matter


@pytest.mark.parametrize(
    "case",
    [
        models.subclassed, models.several_inputs_and_outputs, models.own_compute_loss,
        models.regularizers, models.frozen, models.mixed_precision,
        *([models.stateful] if BACKEND != "torch" else []),  # Keras cannot fit it there
    ],
)  # fmt: skip
def test_every_kind_of_model(case):
    model, x, y = case()
    before = [np.array(keras.ops.convert_to_numpy(v.value)) for v in model.variables]
    optimizer = model.optimizer
    found = compare(lambda: model, ["sgd", "adam"], x, y, 3, batch_size=23)
    assert [run.status for run in found.runs] == ["finished"] * 2
    expected = kv.objectives.Objective(model, x, y)(found.runs[0].trajectory.weights[0])
    for run in found.runs:  # none begins with what another has left behind
        assert run.trajectory.losses[0] == pytest.approx(float(expected), rel=1e-5)
    assert len(np.unique(found.runs[0].trajectory.weights, axis=0)) == 4
    assert model.optimizer is optimizer  # the model is given back as it was
    for variable, value in zip(model.variables, before, strict=False):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), value)


def test_a_model_that_is_built_by_its_first_batch():
    def build():
        model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
        model.compile("sgd", "mean_squared_error")
        return model

    x, y = kv.datasets.straight_line(num_points=60)[0]
    found = compare(build, ["sgd"], x, y, 3)
    np.testing.assert_array_equal(found.runs[0].trajectory.weights[0], [1.0, 0.0])


# Valleys, success and how they are counted


def test_the_published_run_is_derailed_once_and_arrives():
    x, y = kv.datasets.rosette()[0]
    valleys = kv.valleys.find_valleys(surface_over_phi(x, y), periodic=True)
    found = compare(
        rosette_model, {"sgd": SGD(0.05), "slow": SGD(0.001)}, x, y, 90, surface=valleys,
        tolerance=0.045,
    )  # fmt: skip
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
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
     (1, 29, 0.0061, 0.1718), (20, 20, 0.8389, 1.0)],
)  # fmt: skip
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


# Failures


@keras.saving.register_keras_serializable(package="keras_valleys_tests")
class Stumbles(keras.optimizers.SGD):
    """Fails in its fourth step, where Keras runs eagerly."""

    def update_step(self, gradient, variable, learning_rate):
        if int(self.iterations) == 3:
            raise RuntimeError("stumbled\nover a stone")
        super().update_step(gradient, variable, learning_rate)


def test_what_fails_stays_in_the_table_with_its_reason_and_harms_no_other():
    def build():
        return rosette_model(run_eagerly=True)

    def broken():
        raise OSError("no such thing")

    x, y = data()
    given = {
        "needs more": "multioptimizer", "broken": broken, "no optimizer": lambda: 3,
        "stumbles": Stumbles(0.05), "sgd": SGD(0.05),
    }  # fmt: skip
    found = compare(build, given, x, y, 6, SIZE)
    alone = compare(build, {"sgd": SGD(0.05)}, x, y, 6, SIZE)
    runs = {run.optimizer: run for run in found.runs}
    assert runs["sgd"] == alone.runs[0] and found.summaries[0].optimizer == "sgd"
    assert [run.optimizer for run in found.runs if run.status == "failed"] == sorted(
        set(given) - {"sgd"}
    )
    assert runs["broken"].reason == "OSError: no such thing"
    assert "optimizer_map" in runs["needs more"].reason
    assert "no Keras optimizer" in runs["no optimizer"].reason
    assert "RuntimeError" in runs["stumbles"].reason and "stone" in runs["stumbles"].reason
    path = runs["stumbles"].trajectory
    np.testing.assert_array_equal(
        path.weights, alone.runs[0].trajectory.weights[: len(path.weights)]
    )
    assert len(path) >= 3 and not runs["stumbles"].success
    text = str(found)
    assert "broken failed (start 0, seed 0): OSError: no such thing" in text
    assert found.summaries[-1].num_failed == 1 and found.summaries[-1].final_loss == math.inf


def test_what_diverges_stays_in_the_table_with_its_reason():
    x, y = kv.datasets.straight_line(num_points=60)[0]
    found = compare(dense_model, {"fast": SGD(30.0), "adam": Adam(0.1)}, x, y, 60)
    run = found.runs[1]
    assert (run.optimizer, run.status, run.success) == ("fast", "diverged", False)
    first = int(np.argmin(np.isfinite(run.trajectory.losses)))
    assert run.reason == f"the loss is not finite from step {first} on" and 0 < first < 60
    assert not math.isfinite(run.final_loss) and math.isfinite(run.best_loss)
    assert found.summaries[1].num_diverged == 1 and found.runs[0].status == "finished"
    assert "fast diverged (start 0, seed 0)" in str(found)


def test_nothing_of_the_users_is_changed():
    shared, config = SGD(0.05), {"class_name": "SGD", "config": {"learning_rate": 0.05}}
    instance = Adam(0.05)
    given = {"shared": lambda: shared, "config": config, "instance": instance, "class": SGD}
    x, y = data()
    found = compare(rosette_model, given, x, y, 3, SIZE)
    assert not shared.built and not instance.built
    assert config == {"class_name": "SGD", "config": {"learning_rate": 0.05}}
    runs = {run.optimizer: run for run in found.runs}
    assert runs["shared"].final_loss == runs["config"].final_loss
    assert runs["class"].learning_rate == pytest.approx(0.01)
    assert all(run.status == "finished" for run in found.runs)


class Scaled(keras.optimizers.SGD):
    """Takes an argument that its config does not hold."""

    def __init__(self, learning_rate=0.01, scale=1.0, **options):
        super().__init__(learning_rate, **options)
        self.scale = scale

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(self.scale * gradient, variable, learning_rate)


def test_an_optimizer_that_its_config_does_not_describe_is_made_by_a_function(tmp_path):
    x, y = data()
    options = dict(x=x, y=y, steps=3, batch_size=SIZE, log_dir=tmp_path / "runs")
    given = {"half": Scaled(0.1, scale=0.5), "made": lambda: Scaled(0.1, scale=0.5)}
    found = compare(rosette_model, given, **options)
    runs = {run.optimizer: run for run in found.runs}
    assert "Give a function that makes it" in runs["half"].reason
    twin, _ = by_hand(rosette_model, SGD(0.05), x, y, steps=3)
    np.testing.assert_allclose(runs["made"].trajectory.weights, twin.weights, atol=1e-6)
    other = compare(rosette_model, {"made": lambda: Scaled(0.1, scale=2.0)}, **options)
    assert other.runs[0].final_loss != runs["made"].final_loss  # not taken for the same


def test_a_list_of_optimizers_gets_labels():
    x, y = data()
    given = ["adam", SGD(0.05), SGD(0.1), SGD(0.1), lambda: keras.optimizers.Lion(0.1), "Lamb"]
    labels = [run.optimizer for run in compare(rosette_model, given, x, y, 2).runs]
    assert sorted(labels) == ["Adam", "Lamb", "Lion", "SGD 0.05", "SGD 0.1", "SGD 0.1 (2)"]


# Starts


def test_a_number_of_starts_takes_what_the_function_gives():
    x, y = network_data()
    found = compare(network, {"sgd": SGD(0.01)}, x, y, 2, starts=3)
    first = [run.trajectory.weights[0] for run in found.runs]
    assert [run.start for run in found.runs] == [0, 1, 2]
    assert len(np.unique(first, axis=0)) == 3
    with pytest.raises(ValueError, match="other weights at each call"):
        compare(rosette_model, ["sgd"], *data(), 2, starts=2)


# Tuning


def test_all_learning_rates_are_shown_and_the_best_is_taken():
    x, y = data()
    rates = [0.3, 0.003, 0.03]
    given = {"sgd": SGD(0.5), "adam": Adam(0.5)}
    found = compare(rosette_model, given, x, y, STEPS, SIZE, seeds=3, tune=rates)
    tried = [(run.optimizer, run.learning_rate, run.seed) for run in found.tuning]
    expected = [(label, rate, seed) for label in given for rate in rates for seed in range(3)]
    assert sorted(tried) == sorted(expected)
    text = str(found)
    for one in found.summaries:
        medians = {
            rate: statistics.median(
                run.final_loss
                for run in found.tuning
                if (run.optimizer, run.learning_rate) == (one.optimizer, rate)
            )
            for rate in rates
        }
        assert one.learning_rate == min(medians, key=medians.get)
        taken = [run for run in found.runs if run.optimizer == one.optimizer]
        assert {run.learning_rate for run in taken} == {one.learning_rate} and len(taken) == 3
        assert one.final_loss == medians[one.learning_rate]
        assert all(f"{median:.4g}" in text for median in medians.values())
    assert "flatters all alike" in text
    plain = compare(
        rosette_model, {"sgd": SGD(0.03)}, x, y, STEPS, SIZE, seeds=3
    )  # a tried rate is that rate
    again = [run for run in found.tuning if (run.optimizer, run.learning_rate) == ("sgd", 0.03)]
    for one, other in zip(plain.runs, again, strict=True):
        np.testing.assert_array_equal(one.trajectory.weights, other.trajectory.weights)


def test_a_number_of_rates_lies_round_each_optimizers_own():
    x, y = data()
    found = compare(rosette_model, {"sgd": SGD(0.05), "adam": "adam"}, x, y, 2, tune=3)
    tried = {label: [] for label in ("sgd", "adam")}
    for run in found.tuning:
        tried[run.optimizer].append(run.learning_rate)
    assert sorted(tried["sgd"]) == pytest.approx([0.05 / 10**0.5, 0.05, 0.05 * 10**0.5], rel=1e-3)
    assert sorted(tried["adam"]) == pytest.approx([0.001 / 10**0.5, 0.001, 0.001 * 10**0.5], 1e-3)


# What it writes


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


class Counts(keras.Sequential):
    """Counts its fits."""

    fits = 0

    def fit(self, *arguments, **options):
        Counts.fits += 1
        return super().fit(*arguments, **options)


def counting_model():
    model = Counts([keras.Input((1,)), kv.layers.AngleFit()])
    model.compile("sgd", kv.losses.RootError())
    return model


def counted(*arguments, **options):
    before = Counts.fits
    found = compare(counting_model, *arguments, **options)
    return found, Counts.fits - before


def test_finished_runs_are_not_run_again(tmp_path):
    x, y = data()
    given = {"sgd": SGD(0.05), "adam": Adam(0.05), "fails": "multioptimizer"}
    options = dict(x=x, y=y, batch_size=SIZE, seeds=2, log_dir=tmp_path / "runs")
    first, fits = counted(given, steps=4, **options)
    assert fits == 4
    before = files_of(tmp_path)
    again, fits = counted(dict(reversed(given.items())), steps=4, **options)
    assert fits == 0 and files_of(tmp_path) == before
    same_paths(first, again)
    assert [run.seconds for run in again.runs] == [run.seconds for run in first.runs]
    _, fits = counted(given, steps=4, tolerance=0.5, surface=surface_over_phi(x, y), **options)
    assert fits == 0  # what is read off the paths may change
    changes = [
        (dict(steps=5, seeds=1), 2), (dict(steps=4, seeds=3), 2), (dict(steps=4, every=2), 4),
        (dict(steps=4, starts=[0.3], seeds=1), 2), (dict(steps=4, y=2 * y, seeds=1), 2),
        (dict(steps=4, batch_size=8, seeds=1), 2),
    ]  # fmt: skip
    for change, expected in changes:
        assert counted(given, **{**options, **change})[1] == expected, change
    assert counted({**given, "sgd": SGD(0.05, momentum=0.5)}, steps=4, **options)[1] == 2
    assert all(path.stat().st_mtime_ns == mtime for path, mtime in before.items())


def test_a_damaged_run_is_run_again(tmp_path):
    x, y = data()
    options = dict(x=x, y=y, steps=3, log_dir=tmp_path / "runs")
    first, _ = counted({"sgd": SGD(0.05), "adam": Adam(0.05)}, **options)
    folder = pathlib.Path(first.runs[0].log_dir)
    (folder / "trajectory.npz").write_bytes(b"torn")
    again, fits = counted({"sgd": SGD(0.05), "adam": Adam(0.05)}, **options)
    assert fits == 1
    same_paths(first, again)
    assert (folder / "trajectory.npz").read_bytes() == b"torn"


KILLED = """
import json, sys
import keras, numpy as np, keras_valleys as kv

def build():
    layers = [keras.layers.Dense(4, "tanh"), keras.layers.Dropout(0.3), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile("sgd", "mean_squared_error")
    return model

x = np.random.RandomState(3).normal(size=(50, 3)).astype("float32")
given = {"sgd": keras.optimizers.SGD(0.01), "adam": keras.optimizers.Adam(0.01)}
found = kv.comparisons.compare(
    build, given, x, x[:, :1], 40, 16, seeds=3, starts=2, log_dir=sys.argv[1], verbose=0
)
print(json.dumps(found.to_dicts()))
"""


def test_a_killed_comparison_goes_on(tmp_path):
    """Also where the initial weights are other random ones in each process."""
    command = [sys.executable, "-c", KILLED, str(tmp_path / "runs")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        limit = time.monotonic() + 600
        while len(list(tmp_path.glob("runs/*/run.json"))) < 3 and process.poll() is None:
            assert time.monotonic() < limit
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    finished = {path.parent: files_of(path.parent) for path in tmp_path.glob("runs/*/run.json")}
    assert 3 <= len(finished) < 12
    started = len(list(tmp_path.glob("runs/*-seed*")))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 12
    # What was not finished is the only one that was begun twice.
    assert len(list(tmp_path.glob("runs/*/run.json"))) == 12
    assert len(list(tmp_path.glob("runs/*-seed*"))) == 12 + started - len(finished)
    assert started - len(finished) <= 1
    assert all(files_of(folder) == files for folder, files in finished.items())


@pytest.mark.parametrize("kind", READERS)
def test_tensorboard_shows_each_fit_and_the_whole(tmp_path, kind):
    x, y = data()
    surface = surface_over_phi(x, y)
    given = {"sgd": SGD(0.05), "my adam": Adam(0.05)}
    found = compare(
        rosette_model, given, x, y, 4, SIZE, starts=[0.785, -0.2], surface=surface,
        log_dir=tmp_path / "runs", tune=[0.01, 0.05],
    )  # fmt: skip
    with open_reader(kind, tmp_path / "runs") as reader:
        assert len(reader.runs()) == 9 and "comparison" in reader.runs()
        for run in found.tuning:
            name = os.path.basename(run.log_dir)
            listed = reader.hparams(name)
            assert listed["optimizer"] == run.optimizer and listed["start"] == run.start
            assert listed["learning_rate"] == run.learning_rate and listed["seed"] == run.seed
            assert reader.scalars(name, "valley/final_loss") == [(4, pytest.approx(run.final_loss))]
            valley = reader.scalars(name, "valley/index")[-1][1]
            assert valley == run.valley
            phi = [value for _, value in reader.scalars(name, "valley/phi")]
            np.testing.assert_allclose(phi, run.trajectory.weights[:, 0], rtol=1e-6)
            saved = kv.trajectories.Trajectory.load(os.path.join(run.log_dir, "trajectory.npz"))
            np.testing.assert_array_equal(saved.weights, run.trajectory.weights)
        names = ["learning_rates", "loss", "paths", "success"]
        assert reader.tags("comparison", "images") == [f"comparison/{name}" for name in names]
        ((_, table),) = reader.texts("comparison", "comparison/table")
        assert "my adam" in table and "A run succeeds if it ends in the best valley" in table
    files = sorted(os.listdir(tmp_path / "runs" / "comparison"))
    assert [file for file in files if file.endswith(".png")] == [f"{name}.png" for name in names]


def test_a_full_disk_costs_the_files_and_not_the_result(tmp_path):
    x, y = data()
    with small_disk(tmp_path / "disk") as disk:
        fill(disk)
        with pytest.warns(RuntimeWarning) as warned:
            found = compare(rosette_model, ["sgd"], x, y, 3, log_dir=disk)
    assert any("run again by another call" in str(one.message) for one in warned)
    assert found.runs[0].status == "finished"


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


def test_progress_is_shown_or_not(capsys):
    x, y = data()
    compare(rosette_model, ["sgd"], x, y, 2, SIZE, seeds=2, verbose=0)
    assert capsys.readouterr().out == ""
    compare(rosette_model, ["sgd"], x, y, 2, SIZE, seeds=2, verbose=1)
    assert "2/2 runs" in capsys.readouterr().out


def schedule():
    return keras.optimizers.schedules.CosineDecay(0.05, 10)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(build_model=3), "a function that returns a compiled Keras model"),
        (dict(build_model=rosette_model), None),
        (dict(build_model=lambda: None), "`build_model` to return a compiled"),
        (dict(build_model=lambda: keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])),
         "compiled with a loss"),
        (dict(optimizers={}), "dictionary of labels"),
        (dict(optimizers="adam"), None),
        (dict(optimizers="adamm"), "`compare` expects `optimizers` to be .* Choose from .*adamw"),
        (dict(optimizers={1: "adam", "1": "sgd"}), "dictionary of labels"),
        (dict(optimizers=["adamm"]), "Choose from .*adamw"),
        (dict(optimizers=[0.1]), "expects each of `optimizers`"),
        (dict(steps=0), "`steps` to be an integer >= 1"),
        (dict(every=1.5), "`every` to be an integer >= 1"),
        (dict(batch_size=1000), "batch_size=1000"),
        (dict(batch_size=0), "batch_size"),
        (dict(seeds=[]), "`seeds` to be different integers"),
        (dict(seeds=[1, 1]), "`seeds` to be different integers"),
        (dict(seeds=[-1]), "`seeds` to be different integers"),
        (dict(starts=[[1.0, 2.0]]), r"shape \(S, 1\)"),
        (dict(starts=[np.nan]), "finite `starts`"),
        (dict(starts=0), r"shape \(S, 1\)"),
        (dict(surface=3), "`surface` to be a"),
        (dict(surface=kv.surfaces.Surface(np.zeros(3), [[0, 1, 2]], np.eye(1, 2), np.zeros(2))),
         "one over 2"),
        (dict(tune=[]), "`tune` to be a list"),
        (dict(tune=[0.1, -0.1]), "`tune` to be a list"),
        (dict(tune=0), "`tune` to be a list"),
        (dict(tune=[0.1], optimizers={"s": SGD(schedule())}), "a number as learning rate"),
        (dict(tune=3, optimizers=STATEFUL), "a number as learning rate"),
        (dict(tolerance=-1), "`tolerance` to be a number >= 0"),
        (dict(tolerance=math.nan), "`tolerance` to be a number >= 0"),
        (dict(verbose=7), "`compare` expects `verbose`"),
        (dict(x=np.zeros((0, 1)), y=np.zeros((0, 1))), "length >= 1"),
        (dict(x=np.zeros((5, 1))), "length|rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_told_before_any_work(change, message, tmp_path):
    x, y = data()
    given = dict(
        build_model=rosette_model, optimizers=["sgd"], x=x, y=y, steps=2, log_dir=tmp_path / "runs"
    )
    if message is None:
        assert len(compare(**{**given, **change}).runs) == 1
        return
    with pytest.raises(ValueError, match=message):
        compare(**{**given, **change})
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="`log_dir` to be a folder"):
        compare(rosette_model, ["sgd"], *data(), 2, log_dir=tmp_path / "file" / "runs")
