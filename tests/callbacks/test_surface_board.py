"""Real fits, and what both of TensorBoard's readers show of the files they leave behind.

Keras' own `TensorBoard` callback needs TensorFlow for its files on every backend.
"""

import copy
import math
import os
import pickle
import warnings

import keras
import numpy as np
import pytest
from keras.optimizers import SGD

import keras_valleys as kv
from helpers.boards import (
    REPORT,
    check_animation,
    check_pictures,
    check_scalars,
    image_steps,
    report,
    shown,
)
from helpers.fits import fit, some_data
from helpers.lines import SubclassedLine, dense_model, rosette_model
from helpers.readers import READERS, open_reader
from helpers.weights import weights_of
from keras_valleys.callbacks import SurfaceBoard, TrajectoryRecorder

BACKEND = keras.config.backend()


# Scalars


@pytest.mark.parametrize("step_loss", [True, False])
@pytest.mark.parametrize("size, epochs", [(70, 3), (16, 3)])
def test_scalars_are_the_rows_of_a_recorder(tmp_path, size, epochs, step_loss):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run")
    validation = kv.datasets.rosette(num_points=3)[1]
    model = rosette_model(step_loss=step_loss)
    fit(model, board, recorder, batch_size=size, epochs=epochs, validation_data=validation)
    assert len(recorder.trajectory) == epochs * math.ceil(70 / size) + 1
    check_scalars(shown(board), recorder.trajectory)


def test_without_a_surface_there_are_scalars_hyperparameters_and_a_report(tmp_path):
    board = SurfaceBoard(str(tmp_path / "run"))
    fit(rosette_model(), board)
    found = shown(board)
    assert len(found["scalars"]["valley/phi"]) == 11
    assert found["images"] == {} and list(found["texts"]) == REPORT
    assert found["hparams"] == pytest.approx(
        {"optimizer": "SGD", "learning_rate": 0.05, "start_phi_degrees": 45}
    )


def network(rate=0.01):
    x = np.random.RandomState(3).normal(size=(70, 3)).astype("float32")
    layers = [keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(rate), "mean_squared_error")
    return model, x, x[:, :1] - 2 * x[:, 2:]


def test_a_larger_model_without_a_surface_shows_its_loss(tmp_path):
    model, x, y = network()
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run")
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[board, recorder])
    found = shown(board)
    assert found["images"] == {}
    check_scalars(found, recorder.trajectory, names=())
    assert found["hparams"] == pytest.approx({"optimizer": "SGD", "learning_rate": 0.01})
    assert "final phi" not in report(found)[0]


def test_a_larger_model_without_a_surface_is_not_read(tmp_path, monkeypatch):
    model, x, y = network()
    board, reads = SurfaceBoard(tmp_path / "run"), []
    reader = "keras_valleys.callbacks.steps.vector_reader"
    monkeypatch.setattr(reader, lambda variables: lambda: reads.append(variables))
    for _ in range(2):
        model.fit(x, y, batch_size=16, verbose=0, callbacks=[board])
    assert reads == []
    with pytest.raises(ValueError, match="expects the same weights in each fit"):
        network()[0].fit(x, y, verbose=0, callbacks=[board])


def test_a_model_of_two_weights_shows_each_by_its_label(tmp_path):
    x, y = kv.datasets.straight_line(70)[0]
    model, recorder = dense_model(), TrajectoryRecorder()
    grid = [np.linspace(0.5, 5.5, 21), np.linspace(-0.5, 4, 17)]
    objective = kv.objectives.Objective(model, x, y)
    plane = kv.surfaces.evaluate(objective, coordinates=grid, labels=["slope", "intercept"])
    board = SurfaceBoard(tmp_path / "run", plane, images=3)
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[board, recorder])
    found, path = shown(board), recorder.trajectory
    check_scalars(found, path, ["slope", "intercept"])
    check_pictures(found)
    assert (image_steps(found)[0], image_steps(found)[-1]) == (0, path.steps[-1])
    check_animation(found, path.steps[-1], len(path))
    starts = {name: found["hparams"][f"start_{name}"] for name in ("slope", "intercept")}
    assert starts == {"slope": 5, "intercept": 0}
    rows, _ = report(found)
    assert float(rows["final slope"]) == pytest.approx(path.weights[-1, 0], rel=1e-5)


@pytest.mark.parametrize(
    "labels, names",
    [
        (None, ["direction_1", "direction_2"]),
        (["to the left", "Ω/up"], ["to_the_left", "Ω_up"]),
        (["loss", "random"], ["loss_1", "random_2"]),  # the tag of the loss itself is taken
        (["random", "random"], ["random_1", "random_2"]),
    ],
)
def test_a_larger_model_shows_its_coordinates_on_the_surface(tmp_path, labels, names):
    model, x, y = network()
    objective = kv.objectives.Objective(model, x, y)
    directions = np.random.RandomState(8).normal(size=(2, objective.size))
    grid = [np.linspace(-0.4, 0.7, 9), np.linspace(-0.3, 0.2, 7)]
    plane = kv.surfaces.evaluate(objective, directions, coordinates=grid, labels=labels)
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", plane, images=2)
    model.fit(x, y, batch_size=16, verbose=0, callbacks=[board, recorder])
    found, path = shown(board), recorder.trajectory
    # The normal equations: the obvious twin of the projection.
    away = (path.weights - plane.origin) @ directions.T
    coordinates = np.linalg.solve(directions @ directions.T, away.T)
    for name, column in zip(names, coordinates, strict=True):
        points = np.array(found["scalars"][f"valley/{name}"])
        np.testing.assert_allclose(points, np.stack([path.steps, column], 1), atol=1e-6)
    assert len(found["scalars"]) == 4  # with loss and index
    assert image_steps(found) == [0, path.steps[-1]]
    assert found["hparams"][f"start_{names[0]}"] == pytest.approx(0, abs=1e-6)


@pytest.mark.skipif(BACKEND == "torch", reason="torch makes one step per execution only")
def test_several_steps_per_execution_show_the_steps_that_were_seen(tmp_path, surface):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", surface, images=3)
    fit(rosette_model(steps_per_execution=2), recorder, board)
    found, path = shown(board), recorder.trajectory
    assert found["scalars"].keys() == {"valley/phi", "valley/index"}
    points = np.array(found["scalars"]["valley/phi"])
    np.testing.assert_array_equal(points, np.stack([path.steps, path.weights[:, 0]], 1))
    assert image_steps(found) == [0, 5, 10]
    rows, _ = report(found)
    assert rows["losses are"].startswith("not seen") and "first loss" not in rows


def test_a_bare_board_on_a_worker_thread_shows_the_same(tmp_path, surface):
    x, y = some_data()
    found = []
    for bare in (True, False):
        board = SurfaceBoard(tmp_path / f"bare {bare}", surface, images=3)
        callbacks = board if bare else [board]
        options = {"batch_size": 16, "epochs": 3, "shuffle": False, "verbose": 0}
        rosette_model().fit(x, y, callbacks=callbacks, **options)
        found.append(shown(board))
    np.testing.assert_equal(found[0], found[1])


# Folders and company


def test_a_second_fit_writes_a_second_folder_and_counts_on(tmp_path, surface):
    recorder, model = TrajectoryRecorder(), rosette_model()
    board = SurfaceBoard(tmp_path / "run", surface, images=3)
    fit(model, board, recorder)
    assert board.log_dir == str(tmp_path / "run")
    first = shown(board)
    check_scalars(first, recorder.trajectory)
    fit(model, board, recorder, epochs=1)
    assert board.log_dir == str(tmp_path / "run-2")
    second, path = shown(board), recorder.trajectory
    check_scalars(second, path, rows=slice(10, None))
    assert image_steps(first) == [0, 5, 10] and image_steps(second) == [10, 13, 15]
    check_animation(second, 15, 10)
    assert second["hparams"]["start_phi_degrees"] == pytest.approx(np.degrees(path.weights[10, 0]))
    fit(model, board, epochs=0)
    assert board.log_dir == str(tmp_path / "run-3")
    board.log_dir = str(tmp_path / "run")
    np.testing.assert_equal(shown(board), first)


def test_two_boards_of_one_folder_write_two_runs(tmp_path, surface):
    boards = [SurfaceBoard(tmp_path / "run", surface, images=2) for _ in range(2)]
    fit(rosette_model(), *boards)
    assert [os.path.basename(board.log_dir) for board in boards] == ["run", "run-2"]
    np.testing.assert_equal(shown(boards[0]), shown(boards[1]))


@pytest.mark.parametrize(
    "first, update_freq",
    [("board", 1), ("keras", 1), ("board", "epoch"), ("keras", "epoch"), ("keras", "batch")],
)
def test_it_stands_beside_the_tensorboard_callback(tmp_path, surface, first, update_freq):
    pytest.importorskip("tensorflow", reason="keras.callbacks.TensorBoard needs it")
    board = SurfaceBoard(tmp_path / "run", surface, images=3)
    other = keras.callbacks.TensorBoard(tmp_path / "run", update_freq=update_freq)
    recorder = TrajectoryRecorder()
    both = [board, other] if first == "board" else [other, board]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of Keras' callback
        fit(rosette_model(), *both, recorder, validation_data=some_data())
    assert board.log_dir == str(tmp_path / "run")
    found = shown(board)
    check_scalars(found, recorder.trajectory)
    assert image_steps(found) == [0, 5, 10]
    for kind in READERS:
        with open_reader(kind, tmp_path) as reader:  # a plain `tensorboard --logdir` of the parent
            assert reader.runs() == ["run", "run/train", "run/validation"]
            assert "epoch_loss" in reader.tags("run/validation", "scalars")


def test_history_and_weights_are_bit_identical_with_and_without(tmp_path, surface):
    runs = []
    for boards in ([], [SurfaceBoard(tmp_path / "a", surface)], [SurfaceBoard(tmp_path / "b")]):
        keras.utils.set_random_seed(5)
        model = rosette_model(keras.optimizers.Adam(0.03))
        history = fit(model, *boards, validation_split=0.2, shuffle=True).history
        state = [float(np.sum(v)) for v in map(np.asarray, optimizer_state(model))]
        runs.append((history, weights_of(model).tobytes(), state))
    assert runs[0] == runs[1] == runs[2]
    assert len(runs[0][0]["val_loss"]) == 2


def optimizer_state(model):
    return [keras.ops.convert_to_numpy(v.value) for v in model.optimizer.variables]


def test_a_copied_board_writes_as_well(tmp_path, surface):
    """KerasTuner copies the callbacks for each of its trials."""
    original = SurfaceBoard(tmp_path / "run", surface, images=2)
    boards = [copy.deepcopy(original) for _ in range(2)]
    assert list(tmp_path.iterdir()) == []
    for board in boards:
        fit(rosette_model(), board)
    assert [os.path.basename(board.log_dir) for board in boards] == ["run", "run-2"]
    np.testing.assert_equal(shown(boards[0]), shown(boards[1]))
    for again in (copy.deepcopy(boards[1]), pickle.loads(pickle.dumps(boards[1]))):
        assert again.log_dir == boards[1].log_dir  # between two fits as well
        assert again._frames is None and boards[1]._frames is not None  # no figure is copied


# What is refused, and models that have nothing to show


def test_a_surface_of_another_model_is_refused_before_any_step(tmp_path, surface):
    model = dense_model()
    before = weights_of(model)
    board = SurfaceBoard(tmp_path / "run", surface)
    expected = "a surface over the model's 2 trainable weights. Received: a surface over 1"
    with pytest.raises(ValueError, match=expected):
        fit(model, board)
    np.testing.assert_array_equal(weights_of(model), before)
    assert list(tmp_path.iterdir()) == []
    fit(rosette_model(), board)
    assert len(shown(board)["scalars"]["valley/phi"]) == 11


@pytest.mark.parametrize("images", [-1, 2.0, True, None, "10"])
def test_an_impossible_number_of_images_is_refused(images):
    with pytest.raises(ValueError, match="`images` to be an integer >= 0.*Use images=10"):
        SurfaceBoard("logs", images=images)


@pytest.mark.parametrize("hparams", [5, {"note": None}, {3: 1}, {"shape": [2, 3]}, {"n": 10**400}])
def test_hyperparameters_that_cannot_be_written_are_refused_at_once(hparams):
    with pytest.raises(ValueError, match="expects a dictionary of names to booleans"):
        SurfaceBoard("logs", hparams=hparams)


def test_what_is_no_surface_is_refused():
    with pytest.raises(ValueError, match="`surface` to be .* of the type ndarray"):
        SurfaceBoard("logs", np.zeros(3))


def test_no_epoch_at_all(tmp_path, surface):
    board, model = SurfaceBoard(tmp_path / "run", surface), rosette_model()
    fit(model, board, epochs=0)
    found = shown(board)
    assert found["scalars"]["valley/phi"] == [(0, pytest.approx(0.7853982))]
    assert image_steps(found) == [0] and report(found)[0]["steps"] == "0"


def test_a_model_without_weights_before_its_first_step(tmp_path, surface):
    board, model = SurfaceBoard(tmp_path / "run", surface), SubclassedLine()
    model.compile(SGD(0.05), kv.losses.RootError())
    first = 0
    if BACKEND == "tensorflow":  # the other backends build the model before
        first = 1
        with pytest.warns(UserWarning, match="no weights before its first step"):
            fit(model, board)
    else:
        fit(model, board)
    found = shown(board)
    assert [step for step, _ in found["scalars"]["valley/phi"]] == list(range(first, 11))
    assert image_steps(found)[0] == first and image_steps(found)[-1] == 10
