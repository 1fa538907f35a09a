"""The published optimization as a script, run as a user runs it."""

import json
import os

import keras
import numpy as np
import pytest
from PIL import Image

import keras_valleys as kv
from helpers.checkout import run_script, start_script


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("published")
    return cwd, start_script("fit_angle.py", cwd=cwd)


def test_it_tells_where_phi_ended_and_what_to_type(published):
    _, done = published
    assert done.returncode == 0, done.stderr
    assert "in the valley at 0.0 degrees; its loss is 0.4" in done.stdout
    derailed = "Step 6 derailed it: from the valley at 36.0 degrees into the valley at 0.0 degrees."
    assert derailed in done.stdout
    assert done.stdout.rstrip().endswith("tensorboard --logdir logs")
    assert "100/100" in done.stdout
    assert "retracing" not in done.stderr and "Warning" not in done.stderr


def test_it_writes_the_run(published):
    cwd, _ = published
    folder = cwd / "logs" / "sgd-0.05-from-45"
    pictures = sorted(folder.glob("*.png"))
    assert [picture.name[0] for picture in pictures] == list("123456789")
    for picture in pictures:
        with Image.open(picture) as image:
            assert min(image.size) >= 400 and len(np.unique(np.asarray(image.convert("L")))) > 10
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    assert 1e5 < (folder / "index.html").stat().st_size < 3e5
    path = kv.trajectories.Trajectory.load(folder / "trajectory.npz")
    surface = kv.surfaces.Surface.load(folder / "surface.npz")
    assert len(path) == 101 and surface.losses.shape == (2001,)
    on_surface = np.interp(path.weights[:-1, 0], surface.coordinates[0], surface.losses)
    assert np.max(np.abs(on_surface - path.losses[:-1])) < 5e-3
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["arguments"]["learning_rate"] == 0.05
    assert settings["backend"] == keras.config.backend()
    assert settings["versions"]["keras"] == keras.__version__


def test_a_second_run_with_options_takes_a_new_folder(published):
    cwd, _ = published
    before = {p: p.stat().st_mtime_ns for p in (cwd / "logs").rglob("*") if p.is_file()}
    (cwd / "logs" / "adam-0.1-from--80").mkdir()
    (cwd / "logs" / "adam-0.1-from--80" / "mine.txt").write_text("mine")
    done = run_script(
        "fit_angle.py",
        "--optimizer",
        "ADAM",
        "--learning-rate",
        "0.1",
        "--phi",
        "-80",
        "--steps",
        "12",
        "--root",
        "2",
        "--num-lines",
        "4",
        "--noise",
        "0.05",
        "--seed",
        "3",
        "--batch-size",
        "64",
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr
    folder = cwd / "logs" / "adam-0.1-from--80-2"
    path = kv.trajectories.Trajectory.load(folder / "trajectory.npz")
    assert len(path) == 13 and path.label == "Adam"
    assert float(path.weights[0, 0]) == pytest.approx(np.deg2rad(-80))
    assert all(p.stat().st_mtime_ns == time for p, time in before.items())
    assert os.listdir(cwd / "logs" / "adam-0.1-from--80") == ["mine.txt"]


@pytest.mark.parametrize(
    "options, message",
    [
        ("--phi nan", "argument --phi"),
        ("--learning-rate -1", "--learning-rate must be greater than 0"),
        ("--steps 1.5", "argument --steps"),
        ("--unknown 1", "unrecognized arguments"),
        ("--steps 0", "`num_steps` to be an integer >= 1"),
        ("--batch-size 671", "`batch_size` of at most that"),
        ("--steps 100000000000", "llocate"),
        ("--root 0.5", "`root` to be a finite number >= 1"),
        ("--optimizer multioptimizer", "--optimizer must be one of adadelta, "),
        ("--log-dir file/logs", "file"),
    ],
)
def test_bad_options_are_one_clear_line_and_nothing_is_written(options, message, tmp_path):
    (tmp_path / "file").write_text("a file, no folder")
    done = run_script("fit_angle.py", *options.split(), cwd=tmp_path)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "fit_angle.py" in line]
    assert len(lines) == 1 and message in lines[0]
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert os.listdir(tmp_path) == ["file"]
