"""The true loss along a path is what `model.evaluate` gave at each of its steps."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_valleys.callbacks import TrajectoryRecorder
from keras_valleys.objectives import Objective
from keras_valleys.trajectories import Trajectory, from_checkpoints, measured

STEPS = [0, 8, 16, 24, 96]


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 10))
    y = np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3] + 1
    return (5 * x + 4).astype("float32"), y.astype("float32")  # as raw data are


def normalized_network(noise=0.0):
    """10-32-BN-32-BN-1, as most ordinary networks are."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(32, "relu", name="first"),
            layers.BatchNormalization(),
            layers.Dropout(noise),
            layers.Dense(32, "relu", name="second"),
            layers.BatchNormalization(),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


class Evaluations(keras.callbacks.Callback):
    """What `evaluate` of a copy gives at some steps of the fit."""

    def __init__(self, x, y):
        super().__init__()
        self.data, self.losses, self.step = (x, y), {}, 0

    def on_train_batch_begin(self, batch, logs=None):
        if self.step in STEPS:
            self.take()
        self.step += 1

    def on_train_end(self, logs=None):
        self.take()

    def take(self):
        copied = normalized_network()
        copied.set_weights(self.model.get_weights())
        self.losses[self.step] = copied.evaluate(*self.data, batch_size=64, verbose=0)


@pytest.fixture(scope="module")
def fitted():
    """A fit of 96 steps: the model, its path, and the evaluations made on the way."""
    model, (x, y) = normalized_network(noise=0.3), data()
    recorder, evaluations = TrajectoryRecorder(), Evaluations(x, y)
    model.fit(
        x, y, batch_size=64, epochs=24, verbose=0, shuffle=False, callbacks=[recorder, evaluations]
    )
    return model, recorder.trajectory, evaluations.losses


def test_the_true_loss_is_what_evaluate_gave_at_the_time(fitted):
    model, path, expected = fitted
    found = measured(path, Objective(model, *data()))
    assert path.statistics.shape == (97, 128)
    assert sorted(expected) == STEPS
    for step, loss in expected.items():
        np.testing.assert_allclose(found.losses[step], loss, rtol=1e-5)
    assert found.loss_kind == "true" and "statistics of each step" in found.loss_source
    assert "256 rows" in found.loss_source
    np.testing.assert_array_equal(found.weights, path.weights)
    assert path.loss_kind == "recorded"
    held = Objective(model, *data())(path.weights)  # with the statistics of the end
    assert np.abs(held[8] - expected[8]) > 0.1 * expected[8]


def test_statistics_are_kept_only_where_they_move(fitted):
    _, path, _ = fitted
    assert len(path.statistics_names) == 128
    assert path.statistics_names[0].endswith("/moving_mean[0]")
    x, y = data()
    plain = keras.Sequential([keras.Input((10,)), layers.Normalization(), layers.Dense(1)])
    plain.layers[0].adapt(x)
    plain.compile("sgd", "mse")
    recorder = TrajectoryRecorder()
    plain.fit(x, y, verbose=0, callbacks=[recorder])
    assert recorder.trajectory.statistics.shape == (9, 0)
    assert recorder.trajectory.statistics_names == ()


def test_every_other_step_and_some_weights_keep_their_statistics():
    model, (x, y) = normalized_network(), data()
    recorders = [
        TrajectoryRecorder(),
        TrajectoryRecorder(every=3),
        TrajectoryRecorder(weights="second"),
    ]
    model.fit(x, y, batch_size=64, epochs=3, verbose=0, callbacks=recorders)
    whole, thin, part = (recorder.trajectory for recorder in recorders)
    rows = np.searchsorted(whole.steps, thin.steps)
    np.testing.assert_array_equal(thin.statistics, whole.statistics[rows])
    np.testing.assert_array_equal(part.statistics, whole.statistics)
    found = measured(part, Objective(model, x, y, variables="second"))
    assert "the other weights held" in found.loss_source
    np.testing.assert_allclose(found.losses[-1], model.evaluate(x, y, verbose=0), rtol=1e-5)


def test_the_path_is_saved_with_its_statistics(fitted, tmp_path):
    model, path, _ = fitted
    path.save(tmp_path / "path.npz")
    loaded = Trajectory.load(tmp_path / "path.npz")
    np.testing.assert_array_equal(loaded.statistics, path.statistics)
    assert loaded.statistics_names == path.statistics_names
    assert loaded.loss_kind == "recorded"
    objective = Objective(model, *data())
    first, again = measured(path, objective), measured(loaded, objective)
    np.testing.assert_array_equal(first.losses, again.losses)


def test_checkpoints_keep_their_statistics(tmp_path):
    model, (x, y) = normalized_network(), data()
    expected = []
    for epoch in range(5):
        model.fit(x, y, batch_size=64, epochs=2, verbose=0)
        model.save_weights(tmp_path / f"w-{epoch}.weights.h5")
        expected.append(model.evaluate(x, y, verbose=0))
    path = from_checkpoints(model, str(tmp_path / "w-*.weights.h5"))
    found = measured(path, Objective(model, x, y))
    np.testing.assert_allclose(found.losses, expected, rtol=1e-5)
    lost = Trajectory(path.steps, path.weights, path.losses)
    held = measured(lost, Objective(model, x, y))
    assert "held at the model's present" in held.loss_source
    assert np.abs(held.losses[0] - expected[0]) > 0.01 * expected[0]


@pytest.mark.parametrize("mode, words", [("batch", "batches of 100"), ("reestimated", "all 256")])
def test_statistics_of_the_data_take_the_place_of_those_of_the_path(fitted, mode, words):
    model, path, _ = fitted
    objective = Objective(model, *data(), statistics=mode, batch_size=100)
    found = measured(path, objective)
    np.testing.assert_allclose(found.losses, objective(path.weights), rtol=1e-5)
    assert words in found.loss_source


def test_another_model_is_refused(fitted):
    _, path, _ = fitted
    x, y = data()
    with pytest.raises(ValueError, match="over the objective's 11 weights"):
        other = keras.Sequential([keras.Input((10,)), layers.Dense(1)])
        other.compile("sgd", "mse")
        measured(path, Objective(other, x, y))
    model = normalized_network()
    strange = Trajectory(
        path.steps,
        path.weights,
        path.losses,
        statistics=path.statistics,
        statistics_names=tuple(f"other/{name}" for name in path.statistics_names),
    )
    with pytest.raises(ValueError, match="expects an objective of the model that was recorded"):
        measured(strange, Objective(model, x, y))


def test_rows_that_are_not_finite_stay_so(fitted):
    model, path, _ = fitted
    weights = np.array(path.weights)
    weights[3] = np.nan
    found = measured(Trajectory(path.steps, weights, path.losses), Objective(model, *data()))
    assert np.flatnonzero(~np.isfinite(found.losses)).tolist() == [3]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"statistics": np.zeros((2, 3))}, "expects `statistics` of shape"),
        ({"statistics": np.zeros((3, 2)), "statistics_names": ("a",)}, "one name"),
        ({"loss_kind": "maybe"}, "'recorded' or 'true'"),
    ],
)
def test_statistics_that_do_not_belong_to_the_rows_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Trajectory([0, 1, 2], np.zeros((3, 4)), np.zeros(3), **change)
