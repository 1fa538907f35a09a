"""Real fits side by side, against the same fits written by hand."""

import dataclasses
import math
import statistics

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers import models
from helpers.contests import (
    SGD,
    SIZE,
    STEPS,
    Adam,
    by_hand,
    data,
    network,
    network_data,
    same_paths,
)
from helpers.lines import dense_model, rosette_model
from helpers.weights import set_weights, weights_of
from keras_valleys.comparisons import compare

BACKEND = keras.config.backend()
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
        models.subclassed,
        models.several_inputs_and_outputs,
        models.own_compute_loss,
        models.regularizers,
        models.frozen,
        models.mixed_precision,
        *([models.stateful] if BACKEND != "torch" else []),  # Keras cannot fit it there
    ],
)
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
        "needs more": "multioptimizer",
        "broken": broken,
        "no optimizer": lambda: 3,
        "stumbles": Stumbles(0.05),
        "sgd": SGD(0.05),
    }
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
        (
            dict(build_model=lambda: keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])),
            "compiled with a loss",
        ),
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
        (
            dict(surface=kv.surfaces.Surface(np.zeros(3), [[0, 1, 2]], np.eye(1, 2), np.zeros(2))),
            "one over 2",
        ),
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
)
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
