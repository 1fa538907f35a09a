"""How a fit with a `SurfaceBoard` may end: stopped, killed, on a full disk, diverged."""

import contextlib
import copy
import math
import pathlib
import pickle
import signal

import keras
import numpy as np
import pytest
from keras.optimizers import SGD

import keras_valleys as kv
from helpers.boards import (
    check_animation,
    check_pictures,
    check_scalars,
    image_steps,
    read,
    report,
    shown,
)
from helpers.disks import fill, small_disk
from helpers.fits import Stop, fit, some_data
from helpers.lines import dense_model, rosette_model
from helpers.processes import run_python
from helpers.readers import READERS
from helpers.tab import open_tab
from helpers.weights import weights_of
from keras_valleys.callbacks import SurfaceBoard, TrajectoryRecorder

# How a fit may end


def test_an_early_stop_leaves_the_last_picture_and_a_report(tmp_path, surface):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", surface, images=6)
    fit(rosette_model(), board, recorder, Stop(7, None), epochs=5)
    found = shown(board)
    check_scalars(found, recorder.trajectory)
    assert image_steps(found) == [0, 5, 7]
    check_animation(found, 7, 8)
    assert report(found)[0]["steps"] == "7"


@pytest.mark.parametrize("how", [KeyboardInterrupt, RuntimeError("no more")])
def test_after_an_exception_all_that_was_shown_is_readable(tmp_path, surface, how):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", surface, images=6)
    model = rosette_model()
    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        fit(model, board, recorder, Stop(7, how), epochs=5)
    found = shown(board)
    assert [step for step, _ in found["scalars"]["valley/loss"]] == list(range(6))
    assert image_steps(found) == [0, 5] and found["texts"] == {}
    assert found["hparams"]["optimizer"] == "SGD"
    assert copy.deepcopy(board).log_dir == pickle.loads(pickle.dumps(board)).log_dir
    first = read("python", board.log_dir)
    fit(model, board, recorder)
    found, path = shown(board), recorder.trajectory
    check_scalars(found, path, rows=slice(7, None))
    assert image_steps(found)[-1] == 17 == report(found)[1]
    # The next fit completes the first run: the seventh step was made, and its loss is known.
    before, first = first, read("python", str(tmp_path / "run"))
    rows, step = report(first)
    assert step == 6 and rows["ended"] == "early, by an exception" and rows["steps"] == "6"
    assert rows["last loss"] == f"{path.losses[6]:.6g} (step 6)"
    assert first["scalars"]["valley/loss"][:6] == before["scalars"]["valley/loss"]
    assert first["scalars"]["valley/loss"][6:] == [(6, pytest.approx(path.losses[6]))]
    assert first["hparams"] == before["hparams"]


class FailsToValidate(keras.callbacks.Callback):
    def on_test_begin(self, logs=None):
        raise ArithmeticError("no validation")


def test_an_exception_in_validation_leaves_no_row_to_the_next_fit(tmp_path, surface):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", surface, images=0)
    model = rosette_model()
    with pytest.raises(ArithmeticError, match="no validation"):
        fit(model, board, recorder, FailsToValidate(), validation_data=some_data())
    fit(model, board, recorder)
    path = recorder.trajectory
    assert path.steps.tolist() == list(range(16))
    check_scalars(shown(board), path, rows=slice(5, None))
    losses = read("python", str(tmp_path / "run"))["scalars"]["valley/loss"]
    assert losses == [(step, pytest.approx(path.losses[step])) for step in range(5)]


ENDED = """
import sys
import keras, numpy as np, keras_valleys as kv
from helpers.fits import Stop, fit, some_data
from helpers.lines import rosette_model

surface = kv.surfaces.Surface.load(sys.argv[2])
at, how = int(sys.argv[3]), sys.argv[4]
hows = {"ctrl-c": KeyboardInterrupt(), "error": RuntimeError("no more"), "exit": SystemExit(7)}

class Ends(Stop):
    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        if self.seen == self.at:
            raise self.how

model = rosette_model()
board = kv.callbacks.SurfaceBoard(sys.argv[1], surface, images=0)
if how == "dropped":
    try:
        fit(model, board, Ends(at, hows["error"]), epochs=9)
    except RuntimeError:
        pass
    import gc
    del board, model, hows  # an exception holds all that was there when it was raised
    gc.collect()
    import os
    os._exit(0)  # and no atexit
fit(model, board, Ends(at, hows[how]), epochs=9)
"""


@pytest.mark.parametrize("how", ["ctrl-c", "error", "exit"])
def test_the_tab_has_all_of_a_fit_that_was_ended_when_the_process_is(how, tmp_path, surface):
    log_dir = tmp_path / "logs" / "run"
    surface.save(tmp_path / "surface.npz")
    done = run_python(ENDED, log_dir, tmp_path / "surface.npz", 13, how, timeout=120)
    assert done.returncode == {"ctrl-c": -signal.SIGINT, "error": 1, "exit": 7}[how]
    assert ("KeyboardInterrupt" in done.stderr) == (how == "ctrl-c")
    assert done.stderr.count("Traceback") == (how != "exit"), done.stderr
    check_interrupted(log_dir, 13)


def check_interrupted(log_dir, num_steps):
    """All rows of a fit that ended within its last step are there, and a report."""
    recorder = TrajectoryRecorder()
    fit(rosette_model(), recorder, epochs=9)
    path, last = recorder.trajectory, num_steps - 1
    for kind in READERS:
        found = read(kind, log_dir)
        phi = [(step, pytest.approx(path.weights[step, 0])) for step in range(num_steps)]
        assert found["scalars"]["valley/phi"] == phi
        losses = [(step, pytest.approx(path.losses[step])) for step in range(last)]
        assert found["scalars"].get("valley/loss", []) == losses
        rows, step = report(found)
        assert step == last and rows["steps"] == str(last)
        assert rows["ended"] == "early, by an exception"
        assert float(rows["final phi"]) == pytest.approx(path.weights[last, 0], rel=1e-5)
        assert ("last loss" in rows) == (num_steps > 1) and "valleys visited" in rows
        with open_tab(kind, log_dir.parent) as tab:
            header, columns = tab.path(log_dir.name)
            assert columns["step"].tolist() == list(range(num_steps))
            np.testing.assert_allclose(columns["loss"][:last], path.losses[:last], rtol=1e-6)
            assert np.isnan(columns["loss"][last])


@pytest.mark.parametrize("num_steps, how", [(1, "error"), (13, "dropped")])
def test_also_in_the_first_step_and_when_the_board_is_no_longer_used(
    num_steps, how, tmp_path, surface
):
    log_dir = tmp_path / "logs" / "run"
    surface.save(tmp_path / "surface.npz")
    run_python(ENDED, log_dir, tmp_path / "surface.npz", num_steps, how, timeout=120)
    check_interrupted(log_dir, num_steps)


KILLED = """
import os, signal, sys
import keras, numpy as np, keras_valleys as kv
from helpers.fits import fit, some_data
from helpers.lines import rosette_model

class Kill(keras.callbacks.Callback):
    steps = 0
    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == 33:
            os.kill(os.getpid(), signal.SIGKILL)

objective = kv.objectives.Objective(rosette_model(), *some_data())
surface = kv.surfaces.evaluate(objective, coordinates=np.linspace(-1.5, 1.4, 99))
board = kv.callbacks.SurfaceBoard(sys.argv[1], surface)
fit(rosette_model(), Kill(), board, epochs=9)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The folder of a fit that killed itself at the end of its step 32, of 45."""
    log_dir = tmp_path_factory.mktemp("killed") / "run"
    done = run_python(KILLED, log_dir, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return log_dir


@pytest.mark.parametrize("kind", READERS)
def test_a_killed_fit_loses_nothing(killed, kind):
    found = read(kind, killed)
    recorder = TrajectoryRecorder()
    fit(rosette_model(), recorder, epochs=9)
    check_scalars(found, recorder.trajectory, rows=slice(0, 32))
    assert image_steps(found) == [0, 5, 10, 15, 20, 25, 30]
    check_pictures(found)
    assert found["hparams"]["optimizer"] == "SGD" and found["texts"] == {}


class Fills(keras.callbacks.Callback):
    """Fills a disk at a step."""

    def __init__(self, disk, at):
        super().__init__()
        self.disk, self.at, self.seen = disk, at, 0

    def on_train_batch_begin(self, batch, logs=None):
        if self.seen == self.at:
            fill(self.disk)
        self.seen += 1


@pytest.fixture(scope="module")
def plain():
    """History and weights of a fit without a board."""
    model = rosette_model()
    return fit(model, epochs=9).history, weights_of(model)


def check_fit_with_one_warning(plain, board, *others, match):
    """A fit that goes on as if there were no board."""
    model = rosette_model()
    with pytest.warns(RuntimeWarning, match=match) as caught:
        history = fit(model, board, *others, epochs=9)
    assert [warning.category for warning in caught].count(RuntimeWarning) == 1
    assert history.history == plain[0] and history.epoch == list(range(9))
    np.testing.assert_array_equal(weights_of(model), plain[1])


@pytest.mark.parametrize("at", [0, 12])
def test_a_disk_that_gets_full_costs_one_warning(tmp_path, surface, plain, at):
    with small_disk(tmp_path / "disk", options="size=256k") as disk:
        board = SurfaceBoard(disk / "logs" / "run", surface)
        full = "expects to write .*No space left.*training goes on"
        check_fit_with_one_warning(plain, board, Fills(disk, at), match=full)
        found = shown(board)
        steps = [step for step, _ in found["scalars"].get("valley/phi", [])]
        assert steps == list(range(len(steps))) and at - 1 <= len(steps) < 46
        assert len(image_steps(found)) == len(range(0, at, 5))


def test_a_disk_too_small_for_all_pictures_keeps_the_first(tmp_path, surface, plain):
    with small_disk(tmp_path / "disk", options="size=32k") as disk:
        board = SurfaceBoard(disk / "run", surface)
        check_fit_with_one_warning(plain, board, match="No space left")
        found = shown(board)
        assert found["scalars"]["valley/phi"][0][0] == 0
        assert len(image_steps(found)) < 10


def test_a_log_dir_that_cannot_be_written_costs_one_warning(tmp_path, surface, plain):
    (tmp_path / "file").write_text("mine")
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(small_disk(tmp_path / "disk", options="ro"))
        for folder in (disk, disk / "logs" / "run", tmp_path / "file" / "run"):
            board = SurfaceBoard(folder, surface)
            check_fit_with_one_warning(plain, board, match="expects to create .*training goes on")
    assert (tmp_path / "file").read_text() == "mine"


class Remove(keras.callbacks.Callback):
    """What an impatient user does."""

    def __init__(self, board):
        super().__init__()
        self.board = board

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 4:
            (path,) = pathlib.Path(self.board.log_dir).iterdir()
            path.unlink()


def test_a_log_dir_that_is_deleted_meanwhile_costs_one_warning(tmp_path, surface, plain):
    board = SurfaceBoard(tmp_path / "run", surface)
    check_fit_with_one_warning(plain, board, Remove(board), match="was deleted")


# Numbers that diverge


def line(phi, optimizer, loss=None):
    model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit(phi)])
    model.compile(optimizer, loss or kv.losses.RootError())
    return model


def test_a_start_at_the_pole(tmp_path, surface):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", surface)
    model = line(math.pi / 2, SGD(0.05))
    history = fit(model, board, recorder)
    found, path = shown(board), recorder.trajectory
    check_scalars(found, path)
    assert abs(path.weights[-1, 0]) > 1e6 and len(history.epoch) == 2
    assert len(image_steps(found)) == 10
    check_animation(found, 10, 10)


def nan_after_three_steps(y_true, y_pred):
    """The squared error of a line that gets steeper, NaN from a slope of 1.5 on."""
    x = keras.ops.mean(keras.ops.abs(y_pred), axis=-1)
    return keras.ops.sqrt(1.2 - x) - x


def test_a_loss_that_becomes_nan(tmp_path, surface):
    x, y = np.ones((8, 1), "float32"), np.zeros((8, 1), "float32")
    model = line(math.pi / 4, SGD(0.02), nan_after_three_steps)
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", surface, images=5)
    history = model.fit(x, y, batch_size=8, epochs=8, verbose=0, callbacks=[board, recorder])
    found, path = shown(board), recorder.trajectory
    check_scalars(found, path)
    first = int(np.flatnonzero(np.isnan(path.losses))[0])
    assert 1 < first < 6 and len(history.epoch) == 8
    assert image_steps(found) == [0, 2, 4, 6, 8]
    rows, _ = report(found)
    assert rows["last loss"] == "nan (step 7)"
    assert rows["best loss"].endswith(f"(step {first - 1})")


def test_weights_that_overflow_leave_the_surface(tmp_path):
    x, y = (100 * column for column in kv.datasets.straight_line(70)[0])
    model = dense_model(optimizer=SGD(1e9))
    grid = [np.linspace(0.5, 5.5, 21), np.linspace(-0.5, 4, 17)]
    plane = kv.surfaces.evaluate(kv.objectives.Objective(model, x, y), coordinates=grid)
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", plane, images=4)
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[board, recorder])
    found, path = shown(board), recorder.trajectory
    assert np.any(np.isinf(path.weights)) or np.any(np.isnan(path.weights))
    assert len(found["scalars"]["valley/kernel"]) == len(path) == 7
    assert len(image_steps(found)) == 4
    check_animation(found, 6, 7)
