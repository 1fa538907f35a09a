"""Files of version 0.1.0: they are read, with the numbers that were in them.

They were made once by version 0.1.0 under TensorFlow, with Keras 3.15.1, in tests/goldens:

    model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit(0.66145)])
    model.compile(keras.optimizers.SGD(0.05), loss, metrics=[kv.metrics.StepLoss(loss)])
    objective = kv.objectives.Objective(model, *kv.datasets.rosette()[0])
    phi = np.linspace(-np.pi / 2, np.pi / 2, 61)
    surface = kv.surfaces.evaluate(objective, coordinates=phi, refine=0.01)  # surface.npz

`basin_map` of "sgd" and "adam" made basin_map.npz: four starts, three learning rates, 15 steps. A
fit of four steps with a `TrajectoryRecorder` and a `SurfaceBoard(..., images=1, hparams={"note":
"old"})` made trajectory.npz and run. plane.npz is of a line's slope and intercept.
"""

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

import keras_valleys as kv
from helpers.readers import READERS, open_reader
from helpers.tab import Tab

FOLDER = pathlib.Path(__file__).parents[1] / "goldens" / "version_0_1"
PHI = [0.66145, 0.62887406, 0.45119178, 0.44972724, 0.44822016]
LOSSES = [0.55035871, 0.51847142, 0.54361957, 0.54357606]
VERSIONS = {
    "keras_valleys": "0.1.0",
    "keras": "3.15.1",
    "numpy": "2.4.6",
    "backend": "tensorflow 2.21.0",
}


def check_axis(axis, first, second, last, size):
    assert axis.dtype == "float64" and axis.shape == (size,) and np.all(np.diff(axis) > 0)
    np.testing.assert_allclose(axis[[0, 1, -1]], [first, second, last], rtol=1e-8)


def test_a_surface_of_one_axis():
    surface = kv.surfaces.Surface.load(FOLDER / "surface.npz")
    check_axis(surface.coordinates[0], -np.pi / 2, -1.5642513, np.pi / 2, 189)
    assert surface.losses.dtype == "float32" and surface.losses.shape == (189,)
    np.testing.assert_allclose(surface.losses[:3], [2536.741, 6.554715, 4.634008], rtol=1e-6)
    assert surface.losses.min() == pytest.approx(0.4623228, rel=1e-6)
    np.testing.assert_array_equal(surface.directions, [[1.0]])
    np.testing.assert_array_equal(surface.origin, [0.0])
    assert surface.labels == ("phi",) and surface.loss_name == "root_error"
    details = dict(surface.details)
    assert details.pop("data") == "a4335fdda568997714c4d4b48a465959"
    assert details.pop("versions") == VERSIONS
    assert details == {
        "directions": {"kind": "weights"},
        "refine": {"tolerance": 0.01, "start": 61, "levels": 3, "complete": True},
        "num_points": 189,
    }


def test_the_valleys_of_that_surface():
    surface = kv.surfaces.Surface.load(FOLDER / "surface.npz")
    valleys = kv.valleys.find_valleys(surface, periodic=np.pi)
    positions = np.degrees([valley.position[0] for valley in valleys])
    np.testing.assert_allclose(positions, [0, 36, -36, -72, 72], atol=1e-9)
    depths = [0.08194765, 0.02960491, 0.02570385, 0.01131433, 0.00885564]
    np.testing.assert_allclose([valley.depth for valley in valleys], depths, rtol=1e-5)


def test_a_surface_of_two_axes():
    surface = kv.surfaces.Surface.load(FOLDER / "plane.npz")
    check_axis(surface.coordinates[0], 0.5, 0.91666667, 5.5, 13)
    check_axis(surface.coordinates[1], -0.5, 0.0625, 4.0, 9)
    assert surface.losses.shape == (13, 9)
    corners = [surface.losses[3, 5], surface.losses[0, -1], surface.losses[-1, 0]]
    np.testing.assert_allclose(corners, [2.206705, 10.32149, 14.304718], rtol=1e-6)
    np.testing.assert_array_equal(surface.directions, np.eye(2))
    np.testing.assert_array_equal(surface.origin, [0.0, 0.0])
    assert surface.labels == ("slope", "intercept")
    assert surface.loss_name == "mean_squared_error"
    assert surface.details == {
        "data": "edbd86b5d8924de5668df87e90cde5e1",
        "versions": VERSIONS,
        "directions": {"kind": "weights"},
        "num_points": 117,
    }


def test_a_trajectory():
    path = kv.trajectories.Trajectory.load(FOLDER / "trajectory.npz")
    assert path.steps.tolist() == [0, 1, 2, 3, 4]
    assert path.weights.shape == (5, 1) and path.weights.dtype == "float32"
    np.testing.assert_allclose(path.weights[:, 0], PHI, rtol=1e-6)
    np.testing.assert_allclose(path.losses, [*LOSSES, np.nan], rtol=1e-7)
    assert (path.label, path.loss_source) == ("SGD", "exact, from StepLoss")


def test_that_trajectory_on_that_surface():
    path = kv.trajectories.Trajectory.load(FOLDER / "trajectory.npz")
    surface = kv.surfaces.Surface.load(FOLDER / "surface.npz")
    np.testing.assert_allclose(kv.trajectories.project(path.weights, surface)[:, 0], PHI, rtol=1e-6)
    valleys = kv.valleys.find_valleys(surface, periodic=np.pi)
    (derailed,) = kv.valleys.derailments(path, valleys)
    assert derailed.step == 1


def test_a_basin_map():
    found = kv.descents.BasinMap.load(FOLDER / "basin_map.npz")
    assert found.optimizers == ("SGD", "Adam") and found.labels == ("phi",)
    assert found.steps == 15
    np.testing.assert_array_equal(found.learning_rates, [0.02, 0.05, 0.1])
    np.testing.assert_allclose(np.degrees(found.coordinates), [[-80, -31, 12, 45]])
    assert found.indices.tolist() == [
        [[2, 2, 0, 1], [2, 2, 0, 0], [0, 2, 0, 1]],
        [[2, 2, 0, 1], [2, 2, 0, 0], [2, 0, 0, 0]],
    ]
    assert found.losses.shape == (2, 3, 4) and found.ends.shape == (2, 3, 4, 1)
    np.testing.assert_allclose(
        found.losses[1, 2], [0.54828531, 0.50194216, 0.50761616, 0.47508299], rtol=1e-6
    )
    np.testing.assert_allclose(
        found.ends[0, 1, :, 0], [-0.83232337, -0.600214, 0.08757611, 0.43766203], rtol=1e-6
    )
    np.testing.assert_array_equal(found.distances, np.zeros((2, 3, 4)))


@pytest.fixture(params=READERS)
def reader(request):
    with open_reader(request.param, FOLDER) as reader:
        yield reader


def test_tensorboard_shows_the_run(reader):
    assert reader.runs() == ["run"]
    expected = {"loss": LOSSES, "phi": PHI, "index": [1, 1, 0, 0, 0]}
    assert reader.tags("run", "scalars") == [f"valley/{name}" for name in sorted(expected)]
    for name, values in expected.items():
        steps, found = zip(*reader.scalars("run", f"valley/{name}"), strict=True)
        assert steps == tuple(range(len(values)))
        np.testing.assert_allclose(found, values, rtol=1e-6)
    assert reader.hparams("run") == {
        "optimizer": "SGD",
        "learning_rate": 0.05,
        "start_phi": 0.66145,
        "note": "old",
    }
    ((step, report),) = reader.texts("run", "valley/report")
    rows = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in report.splitlines()]
    said = dict(row for row in rows if len(row) == 2)
    assert step == 4 and said["derailments"] == "1" and said["final phi"] == "0.44822"


def test_tensorboard_shows_its_pictures(reader):
    assert reader.tags("run", "images") == ["valley/path", "valley/surface"]
    frames = {"valley/path": ("GIF", 5), "valley/surface": ("PNG", 1)}
    for tag, (kind, number) in frames.items():
        ((step, data),) = reader.images("run", tag)
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.size) == (kind, (640, 480))
            assert step == 4 and getattr(image, "n_frames", 1) == number


def test_the_tab_shows_the_run(reader):
    tab = Tab(reader.provider)
    run = tab.runs()["run"]
    assert run["surface"] == "52be5a73437350a3" and run["last_step"] == 4
    surface, shown = kv.surfaces.Surface.load(FOLDER / "surface.npz"), tab.surface("run")
    np.testing.assert_allclose(shown["losses"], surface.losses, rtol=1e-6)
    np.testing.assert_array_equal(shown["coordinates"][0], surface.coordinates[0])
    assert (shown["labels"], shown["loss_name"]) == (["phi"], "root_error")
    assert shown["periods"] == [np.pi] and len(shown["valleys"]) == 5
    best = shown["valleys"][0]
    assert best["position"] == [0.0]
    numbers = [best["loss"], best["depth"], best["width"]]
    np.testing.assert_allclose(numbers, [0.4623228, 0.08194765, 1.00196628], rtol=1e-6)


def test_the_tab_shows_its_path(reader):
    header, columns = Tab(reader.provider).path("run")
    assert header["label"] == "SGD" and header["coordinates"] == ["phi"]
    assert header["total_rows"] == 5 and header["num_derailments"] == 1
    assert columns["step"].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(columns["phi"], PHI, rtol=1e-6)
    np.testing.assert_allclose(columns["loss"], [*LOSSES, np.nan], rtol=1e-6)
    assert columns["valley"].tolist() == [1, 1, 0, 0, 0]
