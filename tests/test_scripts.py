"""The scripts and the README, run as a user runs them."""

import importlib
import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import models
import numpy as np
import pytest
from PIL import Image

import keras_valleys as kv

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def fit_angle(*options, cwd):
    command = [sys.executable, str(ROOT / "scripts" / "fit_angle.py"), *options]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("published")
    return cwd, fit_angle(cwd=cwd)


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
    assert (folder / "index.html").stat().st_size > 4e6
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
    done = fit_angle(
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
    done = fit_angle(*options.split(), cwd=tmp_path)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "fit_angle.py" in line]
    assert len(lines) == 1 and message in lines[0]
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert os.listdir(tmp_path) == ["file"]


def test_the_readme_example_runs_and_ends_in_its_number(tmp_path):
    code = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[0]
    lines = code.strip().splitlines()
    assert len([line for line in lines if line]) <= 15
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == lines[-1].split("#")[-1].strip() == "6"
    assert (tmp_path / "circle.png").stat().st_size > 10_000


def test_the_readme_example_of_any_model_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[1]
    model, x, y = models.sequential()
    recorder = kv.callbacks.TrajectoryRecorder()
    model.fit(x, y, batch_size=5, epochs=3, callbacks=[recorder], verbose=0)
    names = {"kv": kv, "model": model, "x": x, "y": y, "recorder": recorder}
    exec(code, names)
    assert names["surface"].losses.shape == (51, 41)
    assert np.all(np.isfinite(names["surface"].losses))
    assert names["surface"].details["directions"]["kind"] == "principal"


def test_the_readme_is_short_and_its_links_lead_somewhere():
    assert len(README.splitlines()) <= 120
    links = re.findall(r"\]\(([^)]+)\)", README) + re.findall(r'src(?:set)?="([^"]+)"', README)
    assert links and all((ROOT / link).exists() for link in links)
    for command in (
        "pip install . && python scripts/fit_angle.py",
        "pip install '.[test]' && pytest",
    ):
        assert f"\n{command}\n" in README
    for name in kv.__all__:
        assert f"`kv.{name}`" in README


def run_script(name, *options, cwd):
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, options)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    pytest.importorskip("sklearn")
    cwd = tmp_path_factory.mktemp("digits")
    return cwd, run_script("fit_digits.py", "--epochs", 2, "--points", "9x7", cwd=cwd)


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
    done = run_script("draw_surface.py", *files, *options, "--log-dir", "drawn", cwd=cwd)
    assert done.returncode == 0, done.stderr
    said = re.search(r"Loss at the model's weights ([\d.]+)", done.stdout)[1]
    assert float(said) == pytest.approx(loss, rel=1e-4)
    drawn = pathlib.Path(re.search(r"Files and pictures: (.+)", done.stdout)[1])
    assert len(list((cwd / drawn).glob("events.out.tfevents.*"))) == 1
    assert sorted(p.suffix for p in (cwd / drawn).glob("*.png"))
    assert (cwd / drawn / "index.html").stat().st_size > 4e6
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


def test_what_cannot_be_drawn_ends_without_a_traceback(tmp_path):
    done = run_script("draw_surface.py", "missing.keras", "missing.npz", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr and not done.stdout
    assert "missing.keras" in done.stderr.strip().splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("compared")
    options = ["--optimizers", "SGD,lion", "--seeds", 2, "--steps", 30, "--starts=-60,45"]
    return cwd, options, run_script("compare_optimizers.py", *options, cwd=cwd)


def test_optimizers_are_compared_on_the_rosette(compared):
    cwd, _, done = compared
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr and "retracing" not in done.stderr
    assert "2 starts, 2 seeds. A run succeeds if it ends in the best valley" in done.stdout
    assert done.stdout.rstrip().endswith("tensorboard --logdir logs/compare-rosette")
    folder = cwd / "logs" / "compare-rosette"
    names = {f"{o}-0.05-start{k}-seed{s}" for o in ("sgd", "lion") for k in (0, 1) for s in (0, 1)}
    assert {path.name for path in folder.iterdir()} == names | {"comparison"}
    for name in names:
        path = kv.trajectories.Trajectory.load(folder / name / "trajectory.npz")
        assert len(path) == 31 and path.label == name.split("-")[0]
    pictures = sorted(path.name for path in (folder / "comparison").glob("*.png"))
    assert pictures == ["loss.png", "paths.png", "success.png"]
    assert len((folder / "comparison" / "comparison.csv").read_text().splitlines()) == 9


def test_a_second_comparison_runs_only_what_is_new(compared):
    cwd, options, done = compared
    before = {p: p.stat().st_mtime_ns for p in (cwd / "logs").rglob("*") if p.is_file()}
    more = ["--optimizers", "sgd,lion,adam"]
    again = run_script("compare_optimizers.py", *options, *more, cwd=cwd)
    assert again.returncode == 0, again.stderr
    assert all(p.stat().st_mtime_ns == time for p, time in before.items())
    table = [line for line in done.stdout.splitlines() if line.startswith(("sgd  ", "lion  "))]
    assert len(table) == 2 and all(
        " ".join(line.split()) in " ".join(again.stdout.split()) for line in table
    )
    folders = {path.name for path in (cwd / "logs" / "compare-rosette").iterdir()}
    assert len(folders) == 14 and "comparison-2" in folders


@pytest.mark.parametrize(
    "options, message",
    [
        ("--optimizers adamm", "must be one of adadelta, "),
        ("--learning-rate 0", "--learning-rate must be greater than 0"),
        ("--tune 0.1,x", "argument --tune"),
        ("--tune 0.1,-1", "`tune` to be a list of different learning rates"),
        ("--starts 45,nan", "argument --starts"),
        ("--seeds 0", "`seeds` to be different integers"),
        ("--batch-size 671", "`batch_size` to be an integer from 1 to 670"),
        ("--steps 0", "`steps` to be an integer >= 1"),
        ("--name a/b", "--name must be letters"),
        ("--log-dir file/logs", "`log_dir` to be a folder"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(
    options, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "scripts")
    monkeypatch.setattr(sys, "argv", ["compare_optimizers.py", *options.split()])
    (tmp_path / "file").write_text("a file, no folder")
    with pytest.raises(SystemExit) as ended:
        importlib.import_module("compare_optimizers").main()
    said = capsys.readouterr()
    assert ended.value.code == 2 and not said.out
    (line,) = said.err.strip().splitlines()
    assert "error: " in line and message in line
    assert os.listdir(tmp_path) == ["file"]
