"""The likeliest mistakes get the best messages, or simply work."""

import io
import os
import pathlib

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import keras_valleys as kv
from helpers.lines import rosette_model
from helpers.records import written
from keras_valleys._files import local_path


@pytest.fixture(scope="module")
def line():
    """An objective of one weight."""
    (x, y), _ = kv.datasets.rosette(num_points=10)
    return kv.objectives.Objective(rosette_model(), x, y)


@pytest.fixture(scope="module")
def two():
    """An objective of two weights."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(loss="mean_squared_error")
    x = np.linspace(-1, 2, 9)[:, None]
    return kv.objectives.Objective(model, x, 2 * x + 1)


def test_one_array_of_coordinates_for_two_directions(two):
    t = np.linspace(-1, 2, 5)
    plane = kv.directions.random(two, normalization=None)
    with pytest.raises(ValueError, match=r"one array for each of 2 directions.*\(t, t\), an array"):
        kv.surfaces.evaluate(two, plane, coordinates=t)
    with pytest.raises(ValueError, match=r"for each of 1 direction\. .*coordinates=t, an array"):
        kv.surfaces.evaluate(two, plane[0], coordinates=(t, t))
    with pytest.raises(ValueError, match=r"coordinates=\(t, t\), an array for each axis, or give"):
        kv.surfaces.evaluate(two, coordinates=t)
    surface = kv.surfaces.evaluate(two, plane, coordinates=(t, t))
    valleys = kv.valleys.find_valleys(surface)
    with pytest.raises(ValueError, match=r"for each axis: coordinates=\(t, t\)\."):
        kv.descents.basin_map(two, "sgd", t, 2, valleys)


def test_defaults_fit_a_model_of_one_weight(line, two):
    found = kv.gradients.sharpness(line)
    assert found.eigenvalues.shape == (1,) and found.converged
    assert found.eigenvalues == pytest.approx(
        kv.gradients.sharpness(line, num_eigenvalues=1).eigenvalues
    )
    assert kv.directions.random(line).shape == kv.directions.hessian(line).shape == (1, 1)
    assert kv.gradients.sharpness(two).eigenvalues.shape == (2,)
    assert kv.directions.random(two).shape == kv.directions.hessian(two).shape == (2, 2)
    with pytest.raises(ValueError, match="`num_eigenvalues` to be an integer from 1 to 1"):
        kv.gradients.sharpness(line, num_eigenvalues=2)


def test_a_figure_is_written_as_an_image(tmp_path):
    x = np.linspace(-2, 3, 51)
    wave = kv.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    ours = kv.plots.curve(wave)
    own = Figure(figsize=(2.0, 1.0), dpi=50, facecolor="#123456")
    own.add_subplot().plot([1, 2])
    drawn = Image.new("L", (7, 5), 200)
    with kv.events.EventWriter(tmp_path) as writer:
        for step, image in enumerate([ours, own, drawn]):
            writer.image("picture", image, step)
        for wrong in (own.axes[0], "figure.png", None, np.zeros((3, 3))):
            with pytest.raises(ValueError, match="expects a uint8 image .*or a figure.*`figure`"):
                writer.image("picture", wrong, 3)
    pngs = [event.summary.value[0].tensor.string_val for event in written(writer.path)[1:]]
    sizes = [Image.open(io.BytesIO(png)).size for _, _, png in pngs]
    assert sizes == [Image.open(io.BytesIO(kv.plots.encode(ours))).size, (100, 50), (7, 5)]
    assert pngs[0][2] == kv.plots.encode(ours)
    assert Image.open(io.BytesIO(pngs[1][2])).convert("RGB").getpixel((0, 0)) == (18, 52, 86)
    assert Image.open(io.BytesIO(pngs[2][2])).convert("RGB").getpixel((3, 3)) == (200, 200, 200)


REMOTE = ["gs://b/x", pathlib.Path("gs://b/x"), "s3://b/x", pathlib.Path("hdfs://b/x"), "dbfs:/x"]
UNFIT = ["a\0b", "a\ud800b", pathlib.Path("a\0b")]


def takers(line, tmp_path):
    """What takes a path of a file or a folder, by name."""
    t = np.linspace(-1, 1, 5)
    surface = kv.surfaces.evaluate(line, coordinates=t)
    valleys = kv.valleys.find_valleys(surface)
    path = kv.trajectories.Trajectory([0, 1], [[0.5], [0.4]], [1.0, np.nan])
    (x, y), _ = kv.datasets.rosette(num_points=3)

    def compare(log_dir):
        return kv.comparisons.compare(rosette_model, "sgd", x, y, 1, log_dir=log_dir)

    return {
        "Surface.save": surface.save,
        "Surface.load": kv.surfaces.Surface.load,
        "Trajectory.save": path.save,
        "Trajectory.load": kv.trajectories.Trajectory.load,
        "to_csv": valleys.to_csv,
        "write_html": lambda file: kv.pages.write_html(file, surface, path),
        "evaluate": lambda file: kv.surfaces.evaluate(line, coordinates=t, checkpoint=file),
        "descend": lambda file: kv.descents.descend(line, "sgd", [0.1], 1, checkpoint=file),
        "from_checkpoints": lambda file: kv.trajectories.from_checkpoints(line.model, file),
        "from_checkpoints, a list": lambda file: kv.trajectories.from_checkpoints(
            line.model, [file]
        ),
        "EventWriter": lambda folder: kv.events.EventWriter(folder).close(),
        "SurfaceBoard": kv.callbacks.SurfaceBoard,
        "compare": compare,
    }


def test_no_path_of_another_machine_or_that_no_disk_has(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, take in takers(line, tmp_path).items():
        empty = [] if name in ("evaluate", "descend") else [""]  # as a file that cannot be made
        for path in [*REMOTE, *UNFIT, *empty]:
            with pytest.raises(ValueError, match="expects? a (local )?path.*Received: ") as caught:
                take(path)
            remote = path in REMOTE
            assert ("copy what is there" in str(caught.value)) == (remote or path == ""), name
    assert os.listdir(tmp_path) == []  # nothing was made on the way


def test_a_log_dir_of_a_byte_that_cannot_be_decoded_is_told_before_fit(tmp_path):
    log_dir = os.fsdecode(os.fsencode(tmp_path) + b"/run-\xff")
    for make in (kv.callbacks.SurfaceBoard, kv.events.EventWriter):
        with pytest.raises(ValueError, match="expect a path of characters that a file name can"):
            make(log_dir)
    path = kv.trajectories.Trajectory([0], [[0.5]], [1.0])
    path.save(log_dir)  # which is the name of a file all the same
    assert kv.trajectories.Trajectory.load(log_dir) == path


def test_the_home_folder_is_meant_by_a_tilde(line, tmp_path, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(here)
    names = {"evaluate": "~/c.npz", "descend": pathlib.Path("~/d.npz"), "to_csv": "~/v.csv"}
    names |= {"EventWriter": "~/events", "compare": pathlib.Path("~/runs"), "Surface.save": "~/s"}
    taken = takers(line, tmp_path)
    for name, path in names.items():
        taken[name](path)
    assert kv.surfaces.Surface.load("~/s").losses.shape == (5,)
    line.model.save_weights(home / "w-1.weights.h5")
    assert len(kv.trajectories.from_checkpoints(line.model, "~/w-*.weights.h5")) == 1
    assert len(kv.trajectories.from_checkpoints(line.model, ["~/w-1.weights.h5"])) == 1
    assert kv.callbacks.SurfaceBoard("~/board").log_dir == str(home / "board")
    assert os.listdir(here) == []
    found = {pathlib.Path(path).name for path in names.values()} | {"w-1.weights.h5"}
    assert set(os.listdir(home)) == found


@pytest.mark.parametrize("path", ["C:/data/x", "C:\\data", "a:b/c", "x://", "~notauser/x", "a~/b"])
def test_local_paths_stay_local(path):
    if path == "x://":  # a drive has one letter
        assert local_path("f", path=path) == path
    assert local_path("f", path=path) == path
