"""A recorder's rows, and which of them it keeps."""

import copy
import pickle

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers import references
from helpers.fits import ROWS, batches, fit, some_data
from helpers.lines import SubclassedLine, dense_model, rosette_model
from helpers.processes import run_python
from helpers.weights import weights_of
from keras_valleys.callbacks import TrajectoryRecorder

BACKEND = keras.config.backend()


@pytest.mark.parametrize("step_loss", [True, False])
@pytest.mark.parametrize("size, epochs", [(ROWS, 4), (16, 3)])
def test_rows_are_the_state_before_each_step_and_its_own_loss(size, epochs, step_loss):
    x, y = some_data()
    weights, losses = references.walk(rosette_model(), batches(x, y, size, epochs), 0.05)
    recorder = TrajectoryRecorder()
    model = rosette_model(step_loss=step_loss)
    validation = kv.datasets.rosette(num_points=3)[1]
    fit(model, recorder, batch_size=size, epochs=epochs, validation_data=validation)
    path = recorder.trajectory
    np.testing.assert_array_equal(path.steps, np.arange(len(losses) + 1))
    np.testing.assert_allclose(path.weights, weights, atol=2e-6)
    np.testing.assert_allclose(path.losses[:-1], losses, atol=2e-6)
    assert np.isnan(path.losses[-1])
    np.testing.assert_array_equal(path.weights[-1], weights_of(model))
    expected = "exact" if step_loss else "running mean undone"
    assert expected in path.loss_source and path.label == "SGD"
    for t in (0, 3):  # the loss belongs to the weights of its row
        batch = batches(x, y, size, epochs)[t]
        loss = kv.objectives.Objective(model, *batch)(path.weights[t])
        assert path.losses[t] == pytest.approx(float(loss), abs=1e-7 if step_loss else 2e-6)


def test_history_and_weights_are_bit_identical_with_and_without():
    keras.utils.set_random_seed(5)
    runs = []
    for callbacks in ([], [TrajectoryRecorder()], [TrajectoryRecorder(every=3)]):
        model = rosette_model(keras.optimizers.Adam(0.03))
        history = fit(model, *callbacks, validation_split=0.2)
        runs.append((history.history, weights_of(model).tobytes()))
    assert all(
        {k: list(map(float, v)) for k, v in run[0].items()}
        == {k: list(map(float, v)) for k, v in runs[0][0].items()}
        for run in runs
    )
    assert len({run[1] for run in runs}) == 1


def test_a_second_fit_goes_on_with_the_steps():
    recorder, model = TrajectoryRecorder(), rosette_model()
    fit(model, recorder)
    first = recorder.trajectory
    fit(model, recorder, epochs=3, initial_epoch=1)
    path = recorder.trajectory
    np.testing.assert_array_equal(path.steps, np.arange(21))
    np.testing.assert_array_equal(path.weights[:11], first.weights)
    assert np.all(np.isfinite(path.losses[:-1]))


def test_every_and_a_selection_of_weights_bound_memory():
    x = np.random.RandomState(1).normal(size=(ROWS, 3)).astype("float32")
    y = x.sum(axis=1, keepdims=True)

    def network():
        model = keras.Sequential(
            [
                keras.Input((3,)),
                keras.layers.Dense(4, name="first"),
                keras.layers.Dense(1, name="last"),
            ]
        )
        model.compile(keras.optimizers.SGD(0.01), "mean_squared_error")
        return model

    model = network()
    recorders = {
        "all": TrajectoryRecorder(),
        "some": TrajectoryRecorder(every=4),
        "layer": TrajectoryRecorder(weights=["last"]),
        "kernels": TrajectoryRecorder(weights=["kernel"]),
        "variable": TrajectoryRecorder(weights=[model.layers[0].bias]),
    }
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=list(recorders.values()))
    paths = {name: recorder.trajectory for name, recorder in recorders.items()}
    np.testing.assert_array_equal(paths["some"].steps, [0, 4, 8, 10])
    np.testing.assert_array_equal(paths["some"].weights, paths["all"].weights[[0, 4, 8, 10]])
    np.testing.assert_allclose(paths["some"].losses[:3], paths["all"].losses[[0, 4, 8]], rtol=1e-5)
    np.testing.assert_array_equal(paths["layer"].weights, paths["all"].weights[:, 16:])
    np.testing.assert_array_equal(paths["variable"].weights, paths["all"].weights[:, 12:16])
    np.testing.assert_array_equal(
        paths["kernels"].weights, paths["all"].weights[:, [*range(12), *range(16, 20)]]
    )
    with pytest.raises(ValueError, match="to name trainable variables .* Choose from"):
        network().fit(x, y, verbose=0, callbacks=[TrajectoryRecorder(weights=["nothing"])])


def test_a_model_without_weights_before_its_first_step():
    x, y = some_data()
    model = SubclassedLine()
    model.compile(keras.optimizers.SGD(0.05), kv.losses.RootError())
    recorder = TrajectoryRecorder()
    if BACKEND == "tensorflow":  # the other backends build the model before
        with pytest.warns(UserWarning, match="no weights before its first step"):
            fit(model, recorder)
        first = 1
    else:
        fit(model, recorder)
        first = 0
    path = recorder.trajectory
    np.testing.assert_array_equal(path.steps, np.arange(first, 11))
    assert np.all(np.isfinite(path.losses[:-1]))
    assert len(x) == len(y)


@pytest.mark.parametrize("weights", [["kernel", "nope"], [], "nope"])
def test_names_that_select_nothing_are_refused_before_the_first_step(weights):
    with pytest.raises(ValueError, match="to name trainable variables .* Choose from"):
        fit(dense_model(), TrajectoryRecorder(weights=weights))
    recorder = TrajectoryRecorder(weights="kernel")
    fit(dense_model(), recorder)
    assert recorder.trajectory.weights.shape == (11, 1)


def test_it_can_be_pickled():
    recorder = pickle.loads(pickle.dumps(TrajectoryRecorder(every=2)))
    fit(rosette_model(), recorder)
    assert len(recorder.trajectory) == 6


def test_a_recorder_belongs_to_one_model_and_one_set_of_weights():
    recorder = TrajectoryRecorder()
    fit(rosette_model(), recorder)
    with pytest.raises(ValueError, match="expects the same weights in each fit"):
        fit(rosette_model(), recorder)
    with pytest.raises(ValueError, match="expects the same weights in each fit"):
        fit(dense_model(), recorder)


@pytest.mark.parametrize("every", [0, -1, 1.5, True, None])
def test_impossible_arguments_are_refused(every):
    with pytest.raises(ValueError, match="`every` to be an integer >= 1"):
        TrajectoryRecorder(every=every)


def test_it_can_be_copied_before_fit():
    recorder = copy.deepcopy(TrajectoryRecorder(every=2))
    fit(rosette_model(), recorder)
    np.testing.assert_array_equal(recorder.trajectory.steps, [0, 2, 4, 6, 8, 10])


def test_before_fit_the_trajectory_is_empty():
    assert len(TrajectoryRecorder().trajectory) == 0


class Peeks(keras.callbacks.Callback):
    def __init__(self, recorder):
        super().__init__()
        self.recorder, self.lengths = recorder, []

    def on_train_batch_begin(self, batch, logs=None):
        self.lengths.append(len(self.recorder.trajectory))


def test_the_trajectory_is_there_during_fit():
    recorder = TrajectoryRecorder()
    peeks = Peeks(recorder)
    fit(rosette_model(), recorder, peeks, epochs=1)
    assert peeks.lengths == [1, 2, 3, 4, 5]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="a strategy of TensorFlow")
def test_under_a_mirrored_strategy(tmp_path):
    """Two logical devices must be set up before TensorFlow starts: in a process of its own."""
    code = f"""
import numpy as np, tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_valleys as kv
from helpers.fits import fit
from helpers.lines import rosette_model
for step_loss in (True, False):
    paths = []
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for strategy in (mirrored, tf.distribute.get_strategy()):
        with strategy.scope():
            model = rosette_model(step_loss=step_loss)
        recorder = kv.callbacks.TrajectoryRecorder()
        board = kv.callbacks.SurfaceBoard({str(tmp_path)!r} + "/run")
        fit(model, recorder, board)
        paths.append(recorder.trajectory)
    np.testing.assert_allclose(paths[0].weights, paths[1].weights, atol=1e-6)
    np.testing.assert_allclose(paths[0].losses, paths[1].losses, atol=1e-6)
    assert len(paths[0]) == 11 and np.all(np.isfinite(paths[0].losses[:-1]))
print("equal")
"""
    done = run_python(code)
    assert done.stdout.strip().endswith("equal"), done.stderr
