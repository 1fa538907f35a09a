"""Finished paths written as runs, beside what a live `SurfaceBoard` wrote of the same fit."""

import os
import pathlib

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.boards import check_animation, check_scalars, image_steps, report, shown
from helpers.fits import fit, some_data
from helpers.lines import rosette_model
from helpers.readers import READERS, open_reader
from helpers.tab import Tab
from keras_valleys.callbacks import SurfaceBoard, TrajectoryRecorder, write_run
from keras_valleys.trajectories import Trajectory, measured, project


def seen(log_dir):
    """What the tab shows of a run, the same through both readers."""
    folder, run = os.path.split(log_dir)
    answers = []
    for kind in READERS:
        with open_reader(kind, folder) as reader:
            tab = Tab(reader.provider)
            listed = {k: v for k, v in tab.runs()[run].items() if k not in ("name", "number")}
            answers.append((listed, tab.surface(run), *tab.path(run)))
    np.testing.assert_equal(answers[0], answers[1])
    return answers[0]


class Log:
    """A run of which `log_dir` is all that is known."""

    def __init__(self, log_dir):
        self.log_dir = log_dir


def check_is_like(live, written):
    """All that TensorBoard shows of the one, but for the wall times, it shows of the other."""
    np.testing.assert_equal(shown(Log(written)), shown(live))
    np.testing.assert_equal(seen(written), seen(live.log_dir))


RATE = {"learning_rate": 0.05}


@pytest.mark.parametrize("step_loss", [True, False])
def test_a_finished_run_of_one_weight_is_as_a_live_one(tmp_path, surface, step_loss):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "live", surface, images=4)
    fit(rosette_model(step_loss=step_loss), recorder, board, epochs=3)
    written = write_run(tmp_path / "after", surface, recorder, hparams=RATE, images=4)
    assert written == str(tmp_path / "after")
    check_is_like(board, written)
    found = shown(Log(written))
    check_scalars(found, recorder.trajectory)
    assert image_steps(found) == [0, 5, 10, 15]


def test_weights_that_were_set_after_the_last_step_are_said_to_be(tmp_path, surface):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "live", surface, images=2)
    fit(rosette_model(keras.optimizers.SGD(0.05, use_ema=True)), recorder, board, epochs=1)
    assert recorder.trajectory.no_steps.tolist() == [5]
    written = write_run(tmp_path / "after", surface, recorder, hparams=RATE, images=2)
    check_is_like(board, written)
    assert report(shown(Log(written)))[0]["the final weights are"] == "set after step 4"


def diverging(tmp_path, step_loss=True):
    """A network whose weights become infinite and NaN within its ten steps, and its plane."""
    x = np.random.RandomState(3).normal(size=(70, 3)).astype("float32")
    layers = [keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)]
    keras.utils.set_random_seed(5)
    model = keras.Sequential(layers)
    loss = keras.losses.MeanSquaredError()
    metrics = [kv.metrics.StepLoss(loss)] if step_loss else None
    model.compile(keras.optimizers.SGD(40.0), loss, metrics=metrics)
    y = x[:, :1] - 2 * x[:, 2:]
    objective = kv.objectives.Objective(model, x, y)
    directions = np.random.RandomState(8).normal(size=(2, objective.size))
    grid = [np.linspace(-0.4, 0.7, 9), np.linspace(-0.3, 0.2, 7)]
    plane = kv.surfaces.evaluate(objective, directions, coordinates=grid, labels=["u", "loss"])
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "live", plane, images=3)
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[recorder, board])
    return plane, recorder.trajectory, board


def test_a_diverged_run_is_as_a_live_one(tmp_path):
    plane, path, board = diverging(tmp_path)
    lost = ~np.all(np.isfinite(path.weights), axis=1)
    assert 2 < lost.sum() < len(path) - 2 and np.isnan(path.losses[lost]).all()
    rates = {"learning_rate": 40.0}
    written = write_run(tmp_path / "after", plane, path, hparams=rates, images=3)
    check_is_like(board, written)
    found = shown(Log(written))
    assert np.isnan(found["scalars"]["valley/loss"][-1]).tolist() == [False, True]
    assert report(found)[0]["last loss"] == "nan (step 9)"


def network(tmp_path, epochs=3):
    """A network after its fit, its objective and its path."""
    x = np.random.RandomState(3).normal(size=(70, 3)).astype("float32")
    layers = [keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)]
    keras.utils.set_random_seed(4)
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.05), "mean_squared_error")
    y = x[:, :1] - 2 * x[:, 2:]
    start, recorder = model.get_weights(), TrajectoryRecorder()
    model.fit(x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0, callbacks=[recorder])
    objective, path = kv.objectives.Objective(model, x, y), recorder.trajectory
    plane = kv.directions.principal(path)
    axes = kv.trajectories.span(path, plane, num_points=(11, 9))
    surface = kv.surfaces.evaluate(objective, plane, coordinates=axes, origin=path.weights[-1])

    def again(*callbacks):
        """The same fit once more, with callbacks that know what it will be."""
        model.set_weights(start)
        model.compile(keras.optimizers.Adam(0.05), "mean_squared_error")
        options = {"batch_size": 16, "epochs": epochs, "shuffle": False, "verbose": 0}
        model.fit(x, y, callbacks=list(callbacks), **options)

    return objective, path, surface, again


def test_a_network_on_the_plane_of_its_own_path(tmp_path):
    objective, path, surface, again = network(tmp_path)
    written = write_run(tmp_path / "after", surface, path, hparams={"learning_rate": 0.05})
    # A live board has the plane only where the fit is made a second time.
    second, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "live", surface)
    again(second, board)
    check_is_like_nearly(board, written, path, second.trajectory)
    found = shown(Log(written))
    away = (path.weights - surface.origin) @ surface.directions.T  # they are orthonormal
    for k in (1, 2):
        points = np.array(found["scalars"][f"valley/principal_direction_{k}"])
        np.testing.assert_array_equal(points[:, 0], path.steps)
        np.testing.assert_allclose(points[:, 1], away[:, k - 1], atol=1e-5)
    check_animation(found, 15, 10)
    _, payload, header, columns = seen(written)
    assert np.shape(payload["losses"]) == (11, 9) and header["label"] == "Adam"
    inside = away @ surface.directions
    distances = np.linalg.norm(path.weights - surface.origin - inside, axis=1)
    np.testing.assert_allclose(columns["distance"], distances, atol=1e-5)


def check_is_like_nearly(board, written, path, second):
    """As `check_is_like`; where threads add in another order the second fit differs by rounding."""
    if np.array_equal(path.weights, second.weights):
        check_is_like(board, written)
    live, after = shown(board), shown(Log(written))
    assert live["scalars"].keys() == after["scalars"].keys()
    for tag in live["scalars"]:
        np.testing.assert_allclose(live["scalars"][tag], after["scalars"][tag], atol=1e-3)
    assert image_steps(live) == image_steps(after)


def test_true_losses_have_a_name_of_their_own(tmp_path):
    objective, path, surface, _ = network(tmp_path, epochs=1)
    true = measured(path, objective)
    found = shown(Log(write_run(tmp_path / "after", surface, true, images=2)))
    assert "valley/loss" not in found["scalars"]
    points = np.array(found["scalars"]["valley/true_loss"])
    np.testing.assert_allclose(points, np.stack([path.steps, true.losses], 1), rtol=1e-6)
    assert found["scalars"]["valley/final_loss"] == [tuple(points[-1])]
    rows, _ = report(found)
    assert rows["last loss"] == f"{true.losses[-1]:.6g} (step 5)"
    assert rows["losses are"] == "true (all rows, evaluation mode): all 70 rows, evaluation mode"
    _, _, header, columns = seen(tmp_path / "after")
    assert header["loss_kind"] == "true"
    np.testing.assert_allclose(columns["loss"], true.losses, rtol=1e-6)


def test_a_path_of_descend_and_one_of_a_single_row(tmp_path, surface):
    objective = kv.objectives.Objective(rosette_model(), *some_data())
    found = kv.descents.descend(objective, "sgd", [0.3, -0.9], 6, paths=2)
    path = Trajectory(found.steps, found.paths[:, 1], np.full(4, np.nan), found.label)
    written = shown(Log(write_run(tmp_path / "descent", surface, path)))
    assert "valley/loss" not in written["scalars"]
    points = np.stack([[0, 2, 4, 6], found.paths[:, 1, 0]], 1)
    np.testing.assert_allclose(written["scalars"]["valley/phi"], points, rtol=1e-6)
    assert written["hparams"] == pytest.approx({"optimizer": "SGD", "start_phi_degrees": -51.56620})
    rows, _ = report(written)
    assert rows["losses are"] == "not known" and rows["steps"] == "6"
    with pytest.raises(ValueError, match="one path, with a weight vector.*found.paths"):
        write_run(tmp_path / "all", surface, found)
    one = Trajectory([4], [[0.3]], [0.5], "my run", loss_kind="true")
    written = shown(Log(write_run(tmp_path / "one", surface, one, hparams={"note": "a"})))
    assert written["scalars"]["valley/true_loss"] == [(4, 0.5)]
    expected = {"label": "my run", "start_phi_degrees": 17.18873, "note": "a"}
    assert written["hparams"] == pytest.approx(expected)


def test_runs_of_a_comparison(tmp_path, surface):
    x, y = some_data()
    compared = kv.comparisons.compare(rosette_model, ["sgd", "adam"], x, y, 3, tune=None)
    for run in compared.runs:
        written = shown(Log(write_run(tmp_path / run.optimizer, surface, run, images=1)))
        points = np.array(written["scalars"]["valley/true_loss"])
        np.testing.assert_allclose(points[:, 1], run.trajectory.losses, rtol=1e-6)


PATH = Trajectory([0, 1], [[0.3], [0.2]], [0.5, np.nan], "SGD")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"trajectory": Trajectory([0], [[1.0, 2.0]], [0.5])}, "the surface's 1 weights"),
        ({"trajectory": Trajectory([], np.empty((0, 1)), [])}, "at least one row"),
        ({"trajectory": Trajectory([-1, 0], [[0.3], [0.2]], [0.5, 0.4])}, "steps from 0 on"),
        ({"trajectory": np.ones(3)}, "`trajectory` to be a"),
        ({"surface": None}, "`surface` to be a"),
        ({"hparams": {"a": [1]}}, "names to booleans, numbers or strings"),
        ({"images": -1}, "`write_run` expects `images`"),
        ({"persistence": -1.0}, "`write_run` expects `persistence`"),
    ],
)
def test_what_cannot_be_written_is_told_before(tmp_path, surface, change, message):
    given = {"log_dir": tmp_path / "run", "surface": surface, "trajectory": PATH, **change}
    with pytest.raises(ValueError, match=message):
        write_run(**given)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path, surface):
    first = write_run(tmp_path / "run", surface, PATH, images=0)
    (name,) = os.listdir(first)
    before = pathlib.Path(first, name).read_bytes()
    for log_dir in (first, os.path.join(first, name)):
        with pytest.raises(ValueError, match="`write_run` expects a `log_dir` that is not in use"):
            write_run(log_dir, surface, PATH)
    assert os.listdir(first) == [name] and os.listdir(tmp_path) == ["run"]
    assert pathlib.Path(first, name).read_bytes() == before
    (tmp_path / "shared" / "train").mkdir(parents=True)  # as of Keras' own callback
    written = write_run(tmp_path / "shared", surface, PATH, images=0)
    assert written == str(tmp_path / "shared")


def test_projection_of_one_weight_is_that_of_the_package(tmp_path, surface):
    """The angle goes on after a turn, and the tab shows it in the picture."""
    turned = Trajectory([0, 1], [[0.3 + np.pi], [0.2 + np.pi]], [0.5, np.nan], "SGD")
    _, _, _, columns = seen(write_run(tmp_path / "run", surface, turned, images=0))
    np.testing.assert_allclose(columns["phi"], project(turned.weights, surface)[:, 0], rtol=1e-6)
