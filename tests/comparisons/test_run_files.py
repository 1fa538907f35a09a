"""What a comparison writes, finds again, and shows in TensorBoard."""

import json
import os
import pathlib
import signal
import subprocess
import time

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.contests import SGD, SIZE, Adam, data, same_paths, surface_over_phi
from helpers.disks import fill, small_disk
from helpers.lines import rosette_model
from helpers.processes import run_python, start_python
from helpers.readers import READERS, open_reader
from keras_valleys.comparisons import compare


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


class Counts(keras.Sequential):
    """Counts its fits."""

    fits = 0

    def fit(self, *arguments, **options):
        Counts.fits += 1
        return super().fit(*arguments, **options)


def counting_model():
    model = Counts([keras.Input((1,)), kv.layers.AngleFit()])
    model.compile("sgd", kv.losses.RootError())
    return model


def counted(*arguments, **options):
    before = Counts.fits
    found = compare(counting_model, *arguments, **options)
    return found, Counts.fits - before


def test_finished_runs_are_not_run_again(tmp_path):
    x, y = data()
    given = {"sgd": SGD(0.05), "adam": Adam(0.05), "fails": "multioptimizer"}
    options = dict(x=x, y=y, batch_size=SIZE, seeds=2, log_dir=tmp_path / "runs")
    first, fits = counted(given, steps=4, **options)
    assert fits == 4
    before = files_of(tmp_path)
    again, fits = counted(dict(reversed(given.items())), steps=4, **options)
    assert fits == 0 and files_of(tmp_path) == before
    same_paths(first, again)
    assert [run.seconds for run in again.runs] == [run.seconds for run in first.runs]
    _, fits = counted(given, steps=4, tolerance=0.5, surface=surface_over_phi(x, y), **options)
    assert fits == 0  # what is read off the paths may change
    changes = [
        (dict(steps=5, seeds=1), 2),
        (dict(steps=4, seeds=3), 2),
        (dict(steps=4, every=2), 4),
        (dict(steps=4, starts=[0.3], seeds=1), 2),
        (dict(steps=4, y=2 * y, seeds=1), 2),
        (dict(steps=4, batch_size=8, seeds=1), 2),
    ]
    for change, expected in changes:
        assert counted(given, **{**options, **change})[1] == expected, change
    assert counted({**given, "sgd": SGD(0.05, momentum=0.5)}, steps=4, **options)[1] == 2
    assert all(path.stat().st_mtime_ns == mtime for path, mtime in before.items())


def test_a_damaged_run_is_run_again(tmp_path):
    x, y = data()
    options = dict(x=x, y=y, steps=3, log_dir=tmp_path / "runs")
    first, _ = counted({"sgd": SGD(0.05), "adam": Adam(0.05)}, **options)
    folder = pathlib.Path(first.runs[0].log_dir)
    (folder / "trajectory.npz").write_bytes(b"torn")
    again, fits = counted({"sgd": SGD(0.05), "adam": Adam(0.05)}, **options)
    assert fits == 1
    same_paths(first, again)
    assert (folder / "trajectory.npz").read_bytes() == b"torn"


KILLED = """
import json, sys
import keras, numpy as np, keras_valleys as kv

def build():
    layers = [keras.layers.Dense(4, "tanh"), keras.layers.Dropout(0.3), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile("sgd", "mean_squared_error")
    return model

x = np.random.RandomState(3).normal(size=(50, 3)).astype("float32")
given = {"sgd": keras.optimizers.SGD(0.01), "adam": keras.optimizers.Adam(0.01)}
found = kv.comparisons.compare(
    build, given, x, x[:, :1], 40, 16, seeds=3, starts=2, log_dir=sys.argv[1], verbose=0
)
print(json.dumps(found.to_dicts()))
"""


def test_a_killed_comparison_goes_on(tmp_path):
    """Also where the initial weights are other random ones in each process."""
    with start_python(KILLED, tmp_path / "runs", stderr=subprocess.PIPE) as process:
        limit = time.monotonic() + 600
        while len(list(tmp_path.glob("runs/*/run.json"))) < 3 and process.poll() is None:
            assert time.monotonic() < limit
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    finished = {path.parent: files_of(path.parent) for path in tmp_path.glob("runs/*/run.json")}
    assert 3 <= len(finished) < 12
    started = len(list(tmp_path.glob("runs/*-seed*")))
    done = run_python(KILLED, tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 12
    # What was not finished is the only one that was begun twice.
    assert len(list(tmp_path.glob("runs/*/run.json"))) == 12
    assert len(list(tmp_path.glob("runs/*-seed*"))) == 12 + started - len(finished)
    assert started - len(finished) <= 1
    assert all(files_of(folder) == files for folder, files in finished.items())


@pytest.mark.parametrize("kind", READERS)
def test_tensorboard_shows_each_fit_and_the_whole(tmp_path, kind):
    x, y = data()
    surface = surface_over_phi(x, y)
    given = {"sgd": SGD(0.05), "my adam": Adam(0.05)}
    found = compare(
        rosette_model,
        given,
        x,
        y,
        4,
        SIZE,
        starts=[0.785, -0.2],
        surface=surface,
        log_dir=tmp_path / "runs",
        tune=[0.01, 0.05],
    )
    with open_reader(kind, tmp_path / "runs") as reader:
        assert len(reader.runs()) == 9 and "comparison" in reader.runs()
        for run in found.tuning:
            name = os.path.basename(run.log_dir)
            listed = reader.hparams(name)
            assert listed["optimizer"] == run.optimizer and listed["start"] == run.start
            assert listed["learning_rate"] == run.learning_rate and listed["seed"] == run.seed
            assert reader.scalars(name, "valley/final_loss") == [(4, pytest.approx(run.final_loss))]
            valley = reader.scalars(name, "valley/index")[-1][1]
            assert valley == run.valley
            phi = [value for _, value in reader.scalars(name, "valley/phi")]
            np.testing.assert_allclose(phi, run.trajectory.weights[:, 0], rtol=1e-6)
            saved = kv.trajectories.Trajectory.load(os.path.join(run.log_dir, "trajectory.npz"))
            np.testing.assert_array_equal(saved.weights, run.trajectory.weights)
        names = ["learning_rates", "loss", "paths", "success"]
        assert reader.tags("comparison", "images") == [f"comparison/{name}" for name in names]
        ((_, table),) = reader.texts("comparison", "comparison/table")
        assert "my adam" in table and "A run succeeds if it ends in the best valley" in table
    files = sorted(os.listdir(tmp_path / "runs" / "comparison"))
    assert [file for file in files if file.endswith(".png")] == [f"{name}.png" for name in names]


def test_a_full_disk_costs_the_files_and_not_the_result(tmp_path):
    x, y = data()
    with small_disk(tmp_path / "disk") as disk:
        fill(disk)
        with pytest.warns(RuntimeWarning) as warned:
            found = compare(rosette_model, ["sgd"], x, y, 3, log_dir=disk)
    assert any("run again by another call" in str(one.message) for one in warned)
    assert found.runs[0].status == "finished"


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="`log_dir` to be a folder"):
        compare(rosette_model, ["sgd"], *data(), 2, log_dir=tmp_path / "file" / "runs")
