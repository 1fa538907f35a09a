"""The script that maps basins, run as a user runs it."""

import json
import os

import pytest

from helpers.checkout import run_script
from keras_valleys.descents import BasinMap


def run(folder, *arguments):
    return run_script("map_basins.py", "--log-dir", folder, *arguments)


def test_the_script_maps_by_start_and_by_learning_rate(tmp_path):
    few = ["--starts", "30", "--steps", "5"]
    done = run(tmp_path, *few, "--optimizers", "momentum,Lion")
    assert done.returncode == 0, done.stderr
    assert "SGD, momentum 0.9: " in done.stdout and "Lion: " in done.stdout
    done = run(tmp_path, *few, "--by", "learning-rate", "--num-rates", "4")
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path)) == ["basins-by-learning-rate", "basins-by-start"]
    for name in os.listdir(tmp_path):
        files = {"basins.npz", "basins_dark.png", "basins_light.png", "settings.json"}
        assert files | {"surface.npz", "valleys.csv"} == set(os.listdir(tmp_path / name))
        settings = json.loads((tmp_path / name / "settings.json").read_text())
        assert settings["arguments"]["starts"] == 30
    found = BasinMap.load(tmp_path / "basins-by-learning-rate" / "basins.npz")
    assert found.indices.shape == (1, 4, 30)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--optimizers", "lamb"),
        ("--optimizers", "no-such"),
        ("--steps", "0"),
        ("--by", "chance"),
        ("--rates", "1", "0.1"),
    ],
)
def test_the_script_refuses_in_one_line(tmp_path, arguments):
    done = run_script("map_basins.py", "--log-dir", "logs", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    error = [line for line in done.stderr.splitlines() if "map_basins.py: error:" in line]
    assert len(error) == 1 and error[0].startswith("map_basins.py: error:")
    assert not (tmp_path / "logs").exists()
