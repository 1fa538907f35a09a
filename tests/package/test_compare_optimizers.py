"""The comparison of optimizers as a script, run as a user runs it."""

import importlib
import os
import sys

import pytest

import keras_valleys as kv
from helpers.checkout import ROOT, run_script


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
