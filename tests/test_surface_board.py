"""Real fits, and what both of TensorBoard's readers show of the files they leave behind.

Keras' own `TensorBoard` callback needs TensorFlow for its files on every backend.
"""

import contextlib
import copy
import functools
import io
import math
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from cases import SubclassedLine, dense_model, rosette_model, weights_of
from PIL import Image
from readers import READERS, open_reader
from test_events import fill, small_disk
from test_trajectory_recorder import Stop, fit, some_data

import keras_valleys as kv
from keras_valleys.callbacks import SurfaceBoard, TrajectoryRecorder

BACKEND = keras.config.backend()
SIZE = (640, 480)
RADIANS = np.linspace(-1.5, 1.4, 99)
IMAGES, REPORT = ["valley/path", "valley/surface"], ["valley/report"]


@pytest.fixture(scope="module")
def surface():
    return kv.surfaces.evaluate(
        kv.objectives.Objective(rosette_model(), *some_data()), coordinates=RADIANS
    )


def read(kind, log_dir):
    """All that a reader shows of the run in `log_dir`."""
    folder, run = os.path.split(log_dir)
    with open_reader(kind, folder) as reader:
        tags = {name: reader.tags(run, name) for name in ("scalars", "images", "text", "hparams")}
        return {
            "scalars": {tag: reader.scalars(run, tag) for tag in tags["scalars"]},
            "images": {tag: reader.images(run, tag) for tag in tags["images"]},
            "texts": {tag: reader.texts(run, tag) for tag in tags["text"]},
            "hparams": reader.hparams(run) if tags["hparams"] else {},
        }


def shown(board):
    """What both readers show of the board's run: the same."""
    found = [read(kind, board.log_dir) for kind in READERS]
    np.testing.assert_equal(found[0], found[1])
    return found[0]


def check_scalars(found, path, names=("phi",), rows=slice(None)):
    """Every row of the trajectory is there, with the recorder's own numbers."""
    steps, weights, losses = path.steps[rows], path.weights[rows], path.losses[rows]
    seen = np.append(np.ones(len(steps) - 1, bool), np.isfinite(losses[-1]))  # no loss at the end
    expected = {"loss": (steps[seen], losses[seen])}
    expected |= {name: (steps, weights[:, k]) for k, name in enumerate(names)}
    tags = found["scalars"].keys() - {"valley/index"}  # has a test of its own
    assert tags == {f"valley/{name}" for name in expected}
    for name, columns in expected.items():
        points = np.array(found["scalars"][f"valley/{name}"])
        np.testing.assert_allclose(points, np.stack(columns, 1), rtol=1e-7, err_msg=name)


def image_steps(found, tag="valley/surface"):
    return [step for step, _ in found["images"].get(tag, [])]


def check_pictures(found):
    """Whole PNGs of the same size, no two alike."""
    encoded = [data for _, data in found["images"]["valley/surface"]]
    for data in encoded:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            assert (picture.format, picture.size, picture.n_frames) == ("PNG", SIZE, 1)
    assert len(set(encoded)) == len(encoded)


def check_animation(found, step, num_frames):
    ((last, data),) = found["images"]["valley/path"]
    with Image.open(io.BytesIO(data)) as movie:
        assert (movie.format, movie.size, movie.n_frames) == ("GIF", SIZE, num_frames)
        assert movie.info["loop"] == 0
        movie.seek(num_frames - 1)
        movie.load()
    assert last == step


def check_animation_is_made_of(movie, pictures):
    with Image.open(io.BytesIO(movie)) as movie:
        for number, picture in enumerate(pictures):
            movie.seek(number)
            with Image.open(io.BytesIO(picture)) as still:
                assert np.array_equal(*(np.asarray(i.convert("RGB")) for i in (movie, still)))


def report(found):
    """The rows of the report's table, and the step it was written at."""
    ((step, text),) = found["texts"]["valley/report"]
    header, line, *rows = [row.strip("|").split("|") for row in text.splitlines()]
    assert line == ["---", "---"]
    return {name.strip(): value.strip() for name, value in (header, *rows)}, step


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
        {"optimizer": "SGD", "learning_rate": 0.05, "start_phi": 0.7853982}
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
    flattener = "keras_valleys.callbacks.steps.flattener"
    monkeypatch.setattr(flattener, lambda variables: lambda: reads.append(variables))
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


# Pictures


@pytest.mark.parametrize(
    "images, size, epochs, steps",
    [
        (10, 16, 9, [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]),
        (10, 16, 3, [0, 2, 4, 5, 7, 9, 10, 12, 14, 15]),
        (10, 70, 4, [0, 1, 2, 3, 4]),
        (3, 16, 3, [0, 8, 15]),
        (2, 70, 4, [0, 4]),
        (1, 70, 4, [4]),
        (0, 70, 4, []),
    ],
)
def test_pictures_are_evenly_spaced(tmp_path, surface, images, size, epochs, steps):
    board = SurfaceBoard(tmp_path / "run", surface, images)
    fit(rosette_model(), board, batch_size=size, epochs=epochs)
    found = shown(board)
    assert image_steps(found) == steps
    if images:
        check_pictures(found)
        check_animation(found, steps[-1], min(10, steps[-1] + 1))
        if len(steps) == 10:
            (_, movie), *_ = found["images"]["valley/path"]
            check_animation_is_made_of(
                movie, [data for _, data in found["images"]["valley/surface"]]
            )
    else:
        assert found["images"] == {} and len(found["scalars"]["valley/phi"]) == 5


def test_the_animation_of_many_pictures_is_made_of_some(tmp_path, surface):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", surface, images=70)
    fit(rosette_model(), recorder, board, epochs=15)
    found, path = read("python", board.log_dir), recorder.trajectory  # 10 pictures, at random
    check_animation(found, 75, 24)
    frames = kv.plots.SurfaceFrames(surface, color=kv.plots.optimizer_color("SGD"))
    coordinates = kv.trajectories.project(path.weights, surface)
    steps = [math.ceil(75 / 69 * n) for n in range(0, 69, 3)] + [75]
    pictures = [frames.png(coordinates[: n + 1], path.losses[: n + 1], n) for n in steps]
    check_animation_is_made_of(found["images"]["valley/path"][0][1], pictures)


def test_pictures_are_evenly_spaced_over_the_epochs_that_are_left(tmp_path, surface):
    board = SurfaceBoard(tmp_path / "run", surface, images=5)
    fit(rosette_model(), board, epochs=10, initial_epoch=6)
    assert image_steps(shown(board)) == [0, 5, 10, 15, 20]


def test_a_picture_is_what_the_plots_draw(tmp_path, surface):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", surface, images=3)
    fit(rosette_model(keras.optimizers.Adam(0.1)), recorder, board)
    path = recorder.trajectory
    coordinates = kv.trajectories.project(path.weights, surface)
    frames = kv.plots.SurfaceFrames(surface, color=kv.plots.optimizer_color("Adam"))
    pictures = dict(shown(board)["images"]["valley/surface"])
    for step in (0, 5, 10):
        rows = slice(step + 1)
        assert pictures[step] == frames.png(coordinates[rows], path.losses[rows], step)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_a_generator_of_unknown_length(tmp_path, surface):
    x, y = some_data()
    recorder, model = TrajectoryRecorder(), rosette_model()
    board = SurfaceBoard(tmp_path / "run", surface, images=6)
    model.fit(((x, y) for _ in range(40)), verbose=0, callbacks=[board, recorder])
    found = shown(board)
    check_scalars(found, recorder.trajectory)
    steps = image_steps(found)
    assert len(steps) == 6 and steps[0] == 0 and steps[-1] == 40
    check_pictures(found)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("part", [slice(30, 41), slice(None)])
def test_a_surface_with_losses_that_diverged(tmp_path, surface, value, part):
    losses = surface.losses.copy()
    losses[part] = value
    broken = kv.surfaces.Surface(
        losses, surface.coordinates, surface.directions, surface.origin, surface.labels
    )
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", broken, images=3)
    fit(rosette_model(), board, recorder)
    found = shown(board)
    check_scalars(found, recorder.trajectory)
    check_pictures(found)


# Hyperparameters and report


def test_the_report_tells_the_run_in_a_table(tmp_path, surface):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", surface)
    fit(rosette_model(keras.optimizers.Adam(0.3)), board, recorder)
    rows, step = report(shown(board))
    path = recorder.trajectory
    of_valleys = [name for name in rows if name.startswith(("valleys", "derail"))]
    assert of_valleys[:2] == ["valleys visited", "derailments"]
    assert int(rows["derailments"]) == len(of_valleys) - 2
    rows = {name: value for name, value in rows.items() if name not in of_valleys}
    best = int(np.nanargmin(path.losses))
    assert step == 10
    assert rows == {
        "optimizer": "Adam",
        "learning rate": "0.3",
        "start phi": "0.7853982",
        "steps": "10",
        "final phi": f"{path.weights[-1, 0]:.6g}",
        "first loss": f"{path.losses[0]:.6g} (step 0)",
        "best loss": f"{path.losses[best]:.6g} (step {best})",
        "last loss": f"{path.losses[9]:.6g} (step 9)",
        "losses are": "exact, from StepLoss",
    }


def downhill(phi, surface):
    """The angle where walking down the samples ends, the long way: the slow twin of the basins."""
    (x,), losses = surface.coordinates, surface.losses
    k = int(np.argmin(np.abs(x - phi)))
    while True:
        around = range(max(k - 1, 0), min(k + 2, len(x)))
        lowest = min(around, key=lambda i: losses[i])
        if lowest == k:
            return float(x[k])
        k = lowest


@pytest.mark.parametrize("turns", [0, 2])
def test_each_step_has_the_index_of_its_valley(tmp_path, turns):
    x, y = kv.datasets.rosette()[0]
    model, recorder = rosette_model(), TrajectoryRecorder()
    phi = np.linspace(-np.pi / 2, np.pi / 2, 1000)
    wide = kv.surfaces.evaluate(kv.objectives.Objective(model, x, y), coordinates=phi)
    model.layers[-1].phi.assign(np.pi / 4 + turns * np.pi)
    board = SurfaceBoard(tmp_path / "run", wide, images=0)
    data = kv.datasets.repeat(x, y, 20)
    model.fit(*data, batch_size=670, shuffle=False, verbose=0, callbacks=[board, recorder])
    found = shown(board)
    path = recorder.trajectory
    angles = path.weights[:, 0].astype("float64") - turns * np.pi
    floors = [downhill(angle, wide) for angle in angles]
    steps, indices = zip(*found["scalars"]["valley/index"], strict=True)
    assert list(steps) == path.steps.tolist()
    names = {0: 0, 1: 36, 2: 36}  # of two valleys equally low
    assert [names[i] for i in indices] == [round(np.degrees(floor)) for floor in floors]
    rows, _ = report(found)
    crossed = [step for step, a, b in zip(steps, floors, floors[1:], strict=False) if a != b]
    assert rows["derailments"] == str(len(crossed))
    way = rows[f"derailed at step {crossed[0]:.0f}"]
    assert way.startswith(f"from valley {indices[0]:.0f} (3")
    rise = path.losses[int(crossed[0]) + 1] - path.losses[int(crossed[0])]
    assert float(way.rsplit(" ", 1)[1]) == pytest.approx(rise, rel=1e-5)
    assert rows["valleys visited"].startswith(f"valley {indices[0]:.0f} (3")
    assert crossed == [6] or turns  # far from 0 float32 is coarse


def test_outside_of_the_surface_there_is_no_valley(tmp_path, surface):
    x, y = some_data()
    narrow = kv.surfaces.Surface([2.0, 1.0, 3.0], [[0.5, 0.6, 0.7]], [[1.0]], [0.0], ["angle"])
    board = SurfaceBoard(tmp_path / "run", narrow, images=0)
    rosette_model().fit(x, y, batch_size=len(x), callbacks=[board], verbose=0)
    found = shown(board)
    assert "valley/index" not in found["scalars"] and "valley/phi" in found["scalars"]
    rows, _ = report(found)
    assert rows["valleys visited"] == "none" and rows["derailments"] == "0"


def several_optimizers():
    parts = keras.optimizers.OptimizerMap(default_optimizer=keras.optimizers.SGD(0.05))
    return keras.optimizers.MultiOptimizer(parts)


def a_rate():
    return 0.05


SGD = keras.optimizers.SGD
OPTIMIZERS = {
    "name": (lambda: "rmsprop", {"optimizer": "RMSprop", "learning_rate": 0.001}),
    "tiny": (lambda: SGD(2.5e-6), {"optimizer": "SGD", "learning_rate": 2.5e-6}),
    "schedule": (
        lambda: SGD(keras.optimizers.schedules.CosineDecay(0.05, 20)),
        {"optimizer": "SGD", "learning_rate": "CosineDecay"},
    ),
    "function": (lambda: SGD(a_rate), {"optimizer": "SGD", "learning_rate": "function"}),
    "several": (several_optimizers, {"optimizer": "MultiOptimizer"}),
    "scaled": (
        lambda: keras.optimizers.LossScaleOptimizer(SGD(0.05), initial_scale=8.0),
        {"optimizer": "SGD", "learning_rate": 0.05},
    ),
}


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_hyperparameters_name_the_optimizer_its_learning_rate_and_the_start(tmp_path, case):
    make, expected = OPTIMIZERS[case]
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run")
    fit(rosette_model(make()), board, recorder)
    found = shown(board)
    check_scalars(found, recorder.trajectory)
    assert found["hparams"] == {**expected, "start_phi": 0.7853982}
    rows, _ = report(found)
    assert rows["optimizer"] == expected["optimizer"]
    assert rows.get("learning rate") == (
        str(expected["learning_rate"]) if "learning_rate" in expected else None
    )


class Halve(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.05 * 0.5 ** (epoch + 1)


class Unsaved(keras.optimizers.SGD):
    def get_config(self):
        raise NotImplementedError


@pytest.mark.parametrize(
    "make, rate",
    [
        (lambda: Unsaved(0.05), None),
        (lambda: SGD(functools.partial(float, 0.05)), None),
        (lambda: SGD(lambda: 0.05), "__lambda__"),
    ],
)
def test_a_learning_rate_that_cannot_be_saved_does_not_end_training(tmp_path, make, rate):
    board = SurfaceBoard(tmp_path / "run")
    fit(rosette_model(make()), board)
    assert shown(board)["hparams"].get("learning_rate") == rate


def test_the_learning_rate_is_the_one_that_training_began_with(tmp_path):
    board = SurfaceBoard(tmp_path / "run")
    fit(rosette_model(), board, Halve(), epochs=3)
    found = shown(board)
    assert found["hparams"]["learning_rate"] == 0.05
    assert report(found)[0]["learning rate"] == "0.05"


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
    assert second["hparams"]["start_phi"] == pytest.approx(path.weights[10, 0])
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


def test_a_board_draws_in_the_color_of_each_fits_optimizer(tmp_path, surface):
    model, board, found = rosette_model(), SurfaceBoard(tmp_path / "run", surface, images=1), []
    for name in ("SGD", "Adam"):
        model.compile(name.lower(), kv.losses.RootError())
        fit(model, board)
        ((_, data),) = shown(board)["images"]["valley/surface"]
        color = kv.plots.optimizer_color(name)
        rgb = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        found.append([rgb, pixels.reshape(-1, 3)])
    for number in (0, 1):
        for other in (0, 1):
            same = np.all(found[number][1] == found[other][0], axis=-1).sum()
            assert (same > 100) == (number == other)


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


KILLED = """
import os, signal, sys
sys.path[:0] = eval(sys.argv[1])
import keras
import numpy as np
from cases import rosette_model
from test_trajectory_recorder import fit, kv, some_data

class Kill(keras.callbacks.Callback):
    steps = 0
    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == 33:
            os.kill(os.getpid(), signal.SIGKILL)

objective = kv.objectives.Objective(rosette_model(), *some_data())
surface = kv.surfaces.evaluate(objective, coordinates=np.linspace(-1.5, 1.4, 99))
board = kv.callbacks.SurfaceBoard(sys.argv[2], surface)
fit(rosette_model(), Kill(), board, epochs=9)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The folder of a fit that killed itself at the end of its step 32, of 45."""
    log_dir = tmp_path_factory.mktemp("killed") / "run"
    command = [sys.executable, "-c", KILLED, repr(sys.path), str(log_dir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
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
    with pytest.raises(ValueError, match="`surface` to be .* Received: ndarray. Use"):
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
