"""The script that walks on known functions, run as a user runs it."""

import os

import numpy as np
import pytest

import keras_valleys as kv
from helpers.checkout import run_script


def run(folder, *arguments):
    return run_script("walk_functions.py", "--log-dir", folder, *arguments)


def test_the_script_walks_draws_and_counts(tmp_path):
    done = run(tmp_path, "himmelblau", "--steps", 12, "--start=-1,2.5", "--optimizers", "SGD,lion")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    folder = tmp_path / "walk-himmelblau"
    assert done.stdout.rstrip().endswith(f"tensorboard --logdir {folder}")
    pictures = {"1_contour.png", "2_surface.png", "3_loss.png", "4_basins.png"}
    files = {"basins.npz", "surface.npz", "index.html", "sgd", "lion"}
    assert set(os.listdir(folder)) == pictures | files
    function = kv.functions.himmelblau()
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith(("SGD ", "Lion "))]
    assert [(row[0], float(row[1])) for row in rows] == [("SGD", 0.01), ("Lion", 0.1)]
    for row in rows:
        path = kv.trajectories.Trajectory.load(folder / row[0].lower() / "trajectory.npz")
        assert path.label == row[0] and path.weights[0].tolist() == [-1, 2.5] and len(path) == 13
        end = path.weights[-1]
        assert float(row[2]) == pytest.approx(function(end), rel=1e-3)
        distance = np.linalg.norm(function.minima - end, axis=1).min()
        assert float(row[3]) == pytest.approx(distance, rel=5e-3)
    basins = kv.descents.BasinMap.load(folder / "basins.npz")
    assert basins.optimizers == ("SGD", "Lion") and basins.indices.shape == (2, 81, 71)
    share = f"SGD {100 * basins.share(0)[0]:.0f} %"
    assert "5751 starts end in valley 0" in done.stdout and share in done.stdout


def test_one_weight_no_minimum_and_nothing_is_overwritten(tmp_path):
    few = ["--steps", 3, "--optimizers", "momentum"]
    for _ in range(2):
        done = run(tmp_path, "power", "--p", 1.5, *few)
        assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path)) == ["walk-power", "walk-power-2"]
    names = {"1_curve.png", "3_loss.png", "surface.npz", "index.html", "sgd-momentum-0.9"}
    assert set(os.listdir(tmp_path / "walk-power-2")) == names
    assert "|w|^1.5" in done.stdout and "walk-power-2" in done.stdout
    done = run(tmp_path, "saddle", "--steps", 3, "--optimizers", "lamb", "--learning-rate", 0.3)
    assert done.returncode == 0, done.stderr
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith("Lamb ")]
    assert row[1] == "0.3" and row[3:] == ["has", "none"]


def test_where_starts_cannot_go_side_by_side_it_says_so(tmp_path):
    done = run(tmp_path, "rastrigin", "--steps", 2, "--optimizers", "lamb")
    assert done.returncode == 0, done.stderr
    assert "There is no map of basins: `basin_map` expects an optimizer" in done.stdout
    assert "4_basins.png" not in os.listdir(tmp_path / "walk-rastrigin")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("ackley",), "invalid choice"),
        (("--optimizers", "adamm"), "must be one of adadelta"),
        (("--steps", "0"), "--steps must be at least 1"),
        (("--learning-rate", "-1"), "--learning-rate must be greater than 0"),
        (("--start", "1,2,3"), "expects `start` to be a weight vector of 2"),
        (("--start", "1,x"), "argument --start"),
        (("power", "--p", "0"), "`p` to be a finite number > 0"),
        (("oblique_valley", "--condition", "-2"), "`condition` to be a finite number > 0"),
    ],
)
def test_what_cannot_be_walked_on_is_told_in_one_line(tmp_path, arguments, message):
    done = run_script("walk_functions.py", "--log-dir", "logs", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and not done.stdout
    error = [line for line in done.stderr.splitlines() if "walk_functions.py: error:" in line]
    assert len(error) == 1 and message in error[0]
    assert not (tmp_path / "logs").exists()
