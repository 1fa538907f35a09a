"""A network on real images, and the surface of any saved model, by scripts."""

import importlib
import json
import pathlib
import re

import h5py
import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.boards import read
from helpers.checkout import ROOT, run_script, start_script


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    pytest.importorskip("sklearn")
    cwd = tmp_path_factory.mktemp("digits")
    return cwd, start_script("fit_digits.py", "--epochs", 2, "--points", "9x7", cwd=cwd)


def test_a_network_on_real_images_with_its_path_on_its_principal_plane(digits):
    cwd, done = digits
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr and "retracing" not in done.stderr
    folder = cwd / "logs" / "digits-adam"
    path = kv.trajectories.Trajectory.load(folder / "trajectory.npz")
    assert path.losses[-2] < 0.5 * path.losses[0]
    pictures = sorted(p.name for p in folder.rglob("*.png"))
    assert pictures == ["1_contour.png", "2_surface.png", "3_honesty.png"]
    surface = kv.surfaces.Surface.load(next(folder.rglob("surface.npz")))
    assert surface.losses.shape == (9, 7) and np.all(np.isfinite(surface.losses))
    coordinates = kv.trajectories.project(path.weights, surface)
    for axis, column in zip(surface.coordinates, coordinates.T, strict=True):
        assert axis[0] < column.min() and column.max() < axis[-1]
    assert surface.details["directions"]["kind"] == "principal"
    assert sum(surface.details["directions"]["explained_variance"]) > 0.7
    (events,) = folder.rglob("path-1/events.out.tfevents.*")
    found = read("python", str(events.parent))
    steps = [step for step, _ in found["scalars"]["valley/principal_direction_1"]]
    assert steps == path.steps.tolist() and found["hparams"]["optimizer"] == "Adam"


@pytest.mark.parametrize(
    "options, shape",
    [
        (["--points", "5x4", "--range=-1:1,-0.5:0.8"], (5, 4)),
        (["--directions", "hessian", "--points", "6", "--batch-size", "500"], (6,)),
        (["--directions", "between", "--to", "other.weights.h5", "--points", "7"], (7,)),
        (["--normalization", "none", "--points", "3x4", "--weights", "conv2d"], (3, 4)),
    ],
)
def test_any_saved_model_is_drawn(digits, options, shape):
    cwd, done = digits
    assert done.returncode == 0, done.stderr
    folder = cwd / "logs" / "digits-adam"
    model = keras.models.load_model(folder / "digits.keras")
    with np.load(folder / "digits.npz") as data:
        loss = model.evaluate(data["x"], data["y"], batch_size=2000, verbose=0)[0]
    if "--to" in options:
        first, second = model.trainable_variables[:2]
        first.assign(1.1 * first)
        second.assign(second + 0.1)
        model.save_weights(cwd / "other.weights.h5")
    files = folder / "digits.keras", folder / "digits.npz"
    run = start_script if shape == (5, 4) else run_script
    done = run("draw_surface.py", *files, *options, "--log-dir", "drawn", cwd=cwd)
    assert done.returncode == 0, done.stderr
    said = re.search(r"Loss at the model's weights ([\d.]+)", done.stdout)[1]
    assert float(said) == pytest.approx(loss, rel=1e-4)
    drawn = pathlib.Path(re.search(r"Files and pictures: (.+)", done.stdout)[1])
    assert len(list((cwd / drawn).glob("events.out.tfevents.*"))) == 1
    assert sorted(p.suffix for p in (cwd / drawn).glob("*.png"))
    assert 1e5 < (cwd / drawn / "index.html").stat().st_size < 3e5
    assert kv.surfaces.Surface.load(cwd / drawn / "surface.npz").losses.shape == shape


@pytest.mark.parametrize(
    "options, message",
    [
        (["missing.keras", "missing.npz"], "missing.keras"),
        (["--directions", "principal"], "principal needs --paths"),
        (["--directions", "between"], "needs one file for each axis: 2 after --to"),
        (["--points", "1"], "invalid numbers value: '1'"),
        (["--range=1:0"], "invalid ranges value: '1:0'"),
        (["--points", "5", "--range=0:1,0:2"], "as many axes as --points"),
        (["--weights", "nothing"], "name trainable variables"),
        (["--workers", "-1"], "--workers must be at least 0"),
        (["--module", "no_such_module"], "no_such_module"),
        (["--log-dir", "/proc/nothing"], "/proc/nothing"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(digits, options, message, monkeypatch, capsys):
    cwd, _ = digits
    monkeypatch.chdir(cwd)
    monkeypatch.syspath_prepend(ROOT / "scripts")
    folder = pathlib.Path("logs", "digits-adam")
    names = [] if options[0] == "missing.keras" else ["digits.keras", "digits.npz"]
    with pytest.raises(SystemExit) as ended:
        importlib.import_module("draw_surface").run(*(folder / name for name in names), *options)
    said = capsys.readouterr()
    last = said.err.strip().splitlines()[-1]
    assert ended.value.code == 2 and "error: " in last and message in last
    assert not said.out and not (cwd / "logs" / "digits-random").exists()


@pytest.fixture(scope="module")
def old_files(tmp_path_factory):
    """HDF5 files as of old, with options of the optimizer that Keras does not know, or none."""
    cwd = tmp_path_factory.mktemp("old")
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.save(cwd / "bare.h5")
    model.compile("sgd", "mean_absolute_error")
    model.save(cwd / "old.h5")
    with h5py.File(cwd / "old.h5", "r+") as file:
        config = json.loads(file.attrs["training_config"])
        config["optimizer_config"] = {"class_name": "SGD", "config": {"lr": 0.01, "decay": 1e-6}}
        file.attrs["training_config"] = json.dumps(config)
    x = np.random.RandomState(4).normal(size=(9, 3)).astype("float32")
    np.savez(cwd / "data.npz", x=x, y=x[:, :2])
    expected = {}
    for loss in ("mean_absolute_error", "mean_squared_error"):
        model.compile(loss=loss)
        expected[loss] = model.evaluate(x, x[:, :2], verbose=0)
    return cwd, expected


@pytest.mark.parametrize(
    "name, options, loss",
    [
        ("old.h5", [], "mean_absolute_error"),
        ("old.h5", ["--loss", "mean_squared_error"], "mean_squared_error"),
        ("bare.h5", ["--loss", "mean_absolute_error"], "mean_absolute_error"),
    ],
)
def test_an_old_file_is_drawn(old_files, name, options, loss, monkeypatch, capsys):
    cwd, expected = old_files
    monkeypatch.chdir(cwd)
    monkeypatch.syspath_prepend(ROOT / "scripts")
    draw = importlib.import_module("draw_surface").run
    draw(name, "data.npz", *options, "--points", "3", "--log-dir", f"{loss}-{name}")
    said = capsys.readouterr().out
    assert f"9 rows, {loss}." in said
    found = re.search(r"Loss at the model's weights ([\d.]+)", said)[1]
    assert float(found) == pytest.approx(expected[loss], rel=1e-4)


def test_a_file_without_a_loss_is_told(old_files, monkeypatch, capsys):
    monkeypatch.chdir(old_files[0])
    monkeypatch.syspath_prepend(ROOT / "scripts")
    with pytest.raises(SystemExit):
        importlib.import_module("draw_surface").run("bare.h5", "data.npz")
    assert "`loss` to be given for a file without one" in capsys.readouterr().err


def test_what_cannot_be_drawn_ends_without_a_traceback(tmp_path):
    done = run_script("draw_surface.py", "missing.keras", "missing.npz", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr and not done.stdout
    assert "missing.keras" in done.stderr.strip().splitlines()[-1]
    assert not list(tmp_path.iterdir())
