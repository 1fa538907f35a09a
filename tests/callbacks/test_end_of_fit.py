"""The last row is the model after fit, whatever other callbacks do at its end, in any order."""

import copy
import pickle

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.boards import check_scalars, report, shown
from helpers.fits import fit, some_data
from helpers.lines import rosette_model
from helpers.weights import weights_of
from keras_valleys.callbacks import StepCallback, SurfaceBoard, TrajectoryRecorder

BACKEND = keras.config.backend()
PLACE = 1.0625  # in float32 too


class Scores(keras.callbacks.Callback):
    """Logs what gets worse from epoch to epoch."""

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = float(epoch)


class Averages(keras.callbacks.Callback):
    """As callbacks of stochastic weight averaging do."""

    def on_train_end(self, logs=None):
        self.model.set_weights([np.full(w.shape, PLACE, w.dtype) for w in self.model.get_weights()])


def early_stopping():
    return keras.callbacks.EarlyStopping(
        "score", mode="min", patience=2, restore_best_weights=True, verbose=0
    )


def swaps():
    return keras.callbacks.SwapEMAWeights(swap_on_epoch=True)


def averaging():
    return keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5)


ENDS = {  # callbacks that end a fit with other weights, an optimizer, and the steps made
    "restored": (early_stopping, lambda: None, 15),
    "set": (Averages, lambda: None, 20),
    "swapped": (swaps, averaging, 20),
}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("end", ENDS)
def test_the_last_row_and_the_final_loss_are_of_the_model_after_fit(tmp_path, surface, end, order):
    make, optimizer, steps = ENDS[end]
    x, y = some_data()
    model = rosette_model(optimizer())
    objective = kv.objectives.Objective(model, x, y)
    recorder = TrajectoryRecorder()
    board = SurfaceBoard(tmp_path / "run", surface, images=2, objective=objective)
    others = [recorder, board, make()]
    fit(model, Scores(), *[others[k] for k in order], epochs=4)
    path, found = recorder.trajectory, shown(board)
    np.testing.assert_array_equal(path.steps, np.arange(steps + 1))
    np.testing.assert_array_equal(path.weights[-1], weights_of(model))
    # What stands before it and swaps at the end of the epoch hides from it what the step had left.
    seen = [end != "swapped" or order.index(k) < order.index(2) for k in (0, 1)]
    assert list(path.no_steps) == [steps] * seen[0]
    last_step, last_phi = found["scalars"]["valley/phi"][-1]
    assert last_step == steps and last_phi == pytest.approx(float(weights_of(model)[0]))
    ((step, loss),) = found["scalars"]["valley/final_loss"]
    assert step == steps and loss == pytest.approx(float(objective(weights_of(model))), rel=1e-6)
    rows, _ = report(found)
    assert rows["final phi"] == f"{weights_of(model)[0]:.6g}"
    assert rows.get("the final weights are") == (f"set after step {steps - 1}" if seen[1] else None)


@pytest.mark.parametrize("order", [1, -1])
def test_without_such_callbacks_each_row_is_a_steps(tmp_path, surface, order):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", surface, images=0)
    model = rosette_model()
    fit(model, *[recorder, board, Scores(), keras.callbacks.EarlyStopping("loss")][::order])
    assert recorder.trajectory.no_steps.size == 0
    assert "the final weights are" not in report(shown(board))[0]


def test_weights_that_an_optimizer_replaces_are_no_step():
    recorder, model = TrajectoryRecorder(), rosette_model(averaging())
    fit(model, recorder)
    assert list(recorder.trajectory.no_steps) == [10]
    np.testing.assert_array_equal(recorder.trajectory.weights[-1], weights_of(model))
    if BACKEND == "jax":
        return  # where Keras cannot go on with `use_ema`
    fit(model, recorder)  # goes on from the averaged weights, where no step has led
    path = recorder.trajectory
    np.testing.assert_array_equal(path.steps, np.arange(21))
    assert list(path.no_steps) == [10, 20] and np.isfinite(path.losses[10])
    np.testing.assert_array_equal(path.weights[-1], weights_of(model))


@pytest.mark.parametrize("every, flagged", [(1, 10), (4, 12), (7, 14)])
def test_weights_that_are_set_between_two_fits_are_no_step(every, flagged):
    recorder, model = TrajectoryRecorder(every), rosette_model()
    fit(model, recorder)
    model.trainable_variables[0].assign(PLACE)
    fit(model, recorder)
    path = recorder.trajectory
    assert list(path.no_steps) == [flagged]
    fit(model, recorder, epochs=1)
    assert list(recorder.trajectory.no_steps) == [flagged]


@pytest.mark.parametrize("in_a", ["bare", "callback list"])
def test_a_bare_callback_and_a_callback_list_end_with_the_model(in_a):
    x, y = some_data()
    recorder, model = TrajectoryRecorder(), rosette_model(averaging())
    callbacks = recorder
    if in_a == "callback list":
        both = [recorder, Averages()]
        callbacks = keras.callbacks.CallbackList(both, add_history=True, model=model)
    for number in (1, 2)[: 1 if BACKEND == "jax" else 2]:  # where Keras cannot go on
        model.fit(x, y, batch_size=16, shuffle=False, verbose=0, callbacks=callbacks)
        np.testing.assert_array_equal(recorder.trajectory.weights[-1], weights_of(model))
        assert list(recorder.trajectory.no_steps) == [5, 10][:number]


@pytest.mark.parametrize("place", range(3))
def test_with_a_history_of_ones_own(place):
    recorder, model, history = TrajectoryRecorder(), rosette_model(), keras.callbacks.History()
    callbacks = [Averages(), recorder]
    callbacks.insert(place, history)
    for number in (1, 2):
        assert fit(model, *callbacks) is history and len(history.epoch) == 2
        path = recorder.trajectory
        np.testing.assert_array_equal(path.weights[-1], weights_of(model))
        assert list(path.steps) == list(range(10 * number + 1))


class Ends(StepCallback):
    def __init__(self, told):
        super().__init__()
        self.told = told

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self.told.append("own end")

    def on_final(self, row):
        self.told.append(("final", row.step, float(row.weights[0]), row.no_step))


def test_the_final_row_comes_once_after_the_ends_of_all_callbacks():
    told, model = [], rosette_model()
    tells = keras.callbacks.LambdaCallback(on_train_end=lambda logs: told.append("another's end"))
    first, second = Ends(told), Ends(told)
    history = fit(model, first, first, second, Averages(), tells)
    assert told[:4] == ["own end", "own end", "own end", "another's end"]
    assert told[4:] == [("final", 10, PLACE, True)] * 2
    assert "on_train_end" not in vars(history)
    for again in (copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert again.epoch == [0, 1]


def test_no_epoch_and_a_loop_of_ones_own_have_a_final_row_too():
    told, model, (x, y) = [], rosette_model(), some_data()
    ends = Ends(told)
    fit(model, ends, epochs=0)
    start = float(np.float32(np.pi / 4))
    assert told[-1] == ("final", 0, start, False) or told[0] == ("final", 0, start, False)
    fit(model, ends, epochs=1)
    ends.on_train_begin()
    ends.on_epoch_begin(0)
    ends.on_train_batch_begin(0)
    logs = model.train_on_batch(x, y, return_dict=True)
    ends.on_train_batch_end(0, logs)
    ends.on_epoch_end(0)
    ends.on_train_end()
    assert told[-2] == ("final", 6, float(weights_of(model)[0]), False)


class Fails(keras.callbacks.Callback):
    def on_train_end(self, logs=None):
        raise ArithmeticError("no end")


def test_an_error_at_the_end_leaves_a_whole_path_and_a_new_fit_goes_on(tmp_path, surface):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", surface, images=0)
    model = rosette_model()
    with pytest.raises(ArithmeticError, match="no end"):
        fit(model, recorder, board, Fails())
    path = recorder.trajectory
    np.testing.assert_array_equal(path.steps, np.arange(11))
    np.testing.assert_array_equal(path.weights[-1], weights_of(model))
    fit(model, recorder, board)
    path = recorder.trajectory
    np.testing.assert_array_equal(path.steps, np.arange(21))
    assert path.no_steps.size == 0 and np.all(np.isfinite(path.losses[:-1]))
    check_scalars(shown(board), path, rows=slice(10, None))
