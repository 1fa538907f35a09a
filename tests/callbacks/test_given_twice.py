"""The very same callback twice in one list of callbacks counts once."""

import os

import keras
import numpy as np
import pytest

from helpers.boards import image_steps, shown
from helpers.fits import Stop, fit, some_data
from helpers.lines import rosette_model
from helpers.weights import weights_of
from keras_valleys.callbacks import StepCallback, SurfaceBoard, TrajectoryRecorder


class Counts(StepCallback):
    def __init__(self):
        super().__init__()
        self.begins, self.steps, self.finals = 0, [], []

    def on_fit_begin(self):
        self.begins += 1

    def on_row(self, row):
        self.steps.append(row.step)

    def on_final(self, row):
        self.finals.append(row.step)


def lists(model, *callbacks):
    """The forms in which `fit` takes several callbacks."""
    yield list(callbacks)
    options = {"add_history": True, "model": model, "epochs": 2, "steps": 5}
    yield keras.callbacks.CallbackList(list(callbacks), **options)
    yield tuple(callbacks)


@pytest.mark.parametrize("form", range(3))
@pytest.mark.parametrize("step_loss", [True, False])
def test_a_recorder_given_twice_records_each_step_once(form, step_loss):
    reference, once = TrajectoryRecorder(), rosette_model(step_loss=step_loss)
    fit(once, reference, validation_data=some_data())
    recorder, model, (x, y) = TrajectoryRecorder(), rosette_model(step_loss=step_loss), some_data()
    callbacks = [*lists(model, recorder, recorder)][form]
    options = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
    model.fit(x, y, callbacks=callbacks, validation_data=some_data(), **options)
    path, expected = recorder.trajectory, reference.trajectory
    np.testing.assert_array_equal(path.steps, expected.steps)
    np.testing.assert_array_equal(path.weights, expected.weights)
    np.testing.assert_array_equal(path.losses, expected.losses)
    np.testing.assert_array_equal(weights_of(model), weights_of(once))
    assert path.loss_source == expected.loss_source


@pytest.mark.parametrize("form", range(3))
def test_a_board_given_twice_writes_one_run(tmp_path, surface, form):
    once = SurfaceBoard(tmp_path / "once" / "run", surface, images=3)
    fit(rosette_model(), once)
    board, model, (x, y) = (
        SurfaceBoard(tmp_path / "twice" / "run", surface, images=3),
        rosette_model(),
        some_data(),
    )
    callbacks = [*lists(model, board, board)][form]
    options = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
    history = model.fit(x, y, callbacks=callbacks, **options)
    assert os.listdir(tmp_path / "twice") == ["run"] and len(history.epoch) == 2
    np.testing.assert_equal(shown(board), shown(once))


def test_it_counts_once_in_each_of_several_fits_and_after_an_exception():
    counts, model = Counts(), rosette_model()
    fit(model, counts, counts, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        fit(model, counts, Stop(3, KeyboardInterrupt), counts)
    fit(model, counts, counts, counts, epochs=1)
    assert counts.begins == 3 and counts.steps == list(range(13)) and counts.finals == [5, 13]


@pytest.mark.skipif(keras.config.backend() == "torch", reason="torch makes one step per execution")
def test_it_counts_once_with_several_steps_per_execution():
    counts = Counts()
    fit(rosette_model(steps_per_execution=2), counts, counts)
    assert counts.steps == [0, 2, 4, 5, 7, 9] and counts.finals == [10]


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_it_counts_once_for_a_generator():
    x, y = some_data()
    counts, model = Counts(), rosette_model()
    model.fit(((x, y) for _ in range(4)), verbose=0, callbacks=[counts, counts])
    assert counts.steps == [0, 1, 2, 3] and counts.finals == [4]


def test_a_callback_list_of_ones_own_need_not_know_the_number_of_steps(tmp_path, surface):
    board, model, (x, y) = SurfaceBoard(tmp_path / "run", surface), rosette_model(), some_data()
    callbacks = keras.callbacks.CallbackList([board], add_history=True, model=model)
    model.fit(x, y, batch_size=16, shuffle=False, verbose=0, callbacks=callbacks)
    assert image_steps(shown(board)) == [0, 1, 2, 4, 5]


def test_two_boards_with_one_folder_are_two_runs(tmp_path, surface):
    boards = [SurfaceBoard(tmp_path / "run", surface, images=0) for _ in range(2)]
    fit(rosette_model(), *boards)
    assert [os.path.basename(board.log_dir) for board in boards] == ["run", "run-2"]
    np.testing.assert_equal(shown(boards[0]), shown(boards[1]))
