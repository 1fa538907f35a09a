"""Hyperparameters, valleys and report of a `SurfaceBoard`."""

import functools

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.boards import check_scalars, report, shown
from helpers.fits import fit, some_data
from helpers.lines import rosette_model
from keras_valleys.callbacks import SurfaceBoard, TrajectoryRecorder


def test_the_report_tells_the_run_in_a_table(tmp_path, surface):
    recorder = TrajectoryRecorder()
    board = SurfaceBoard(tmp_path / "run", surface, persistence=0)  # the data are noisy
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
        "start phi degrees": "45.0",
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
    assert found["hparams"] == {**expected, "start_phi_degrees": 45.0}
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
