"""What is finished: shown in lines or a bar, and kept in a checkpoint."""

import io
import os
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from helpers.checkpoints import finished
from helpers.formulas import AXES, PLANE, Bowl, Heavy, expected
from helpers.objectives import rosette_objective
from helpers.processes import start_python
from keras_valleys._fingerprints import digest_of
from keras_valleys._progress import Checkpoint
from keras_valleys.surfaces import evaluate
from keras_valleys.surfaces.sampling import Progress, Sampler

# Progress


def test_short_work_is_silent_and_a_bar_can_be_had(capsys):
    evaluate(Bowl(), **PLANE)
    evaluate(Heavy(), **PLANE, verbose=0)
    assert capsys.readouterr() == ("", "")
    evaluate(Bowl(), **PLANE, verbose=1)
    text = capsys.readouterr().out
    assert text.startswith("322 points\n") and "322/322" in text


def test_long_work_is_announced_and_shown_in_ten_lines(capsys):
    progress = Progress("auto", 900, 1000)
    for _ in range(900):
        progress.add(1, 0.02)
    text = capsys.readouterr().out
    assert text.startswith("1000 points, 100 of them found in the checkpoint, about 18 s left\n")
    assert text.count("/900 points") == 10 and text.count("\n") == 11
    assert "\n450/900 points, about 9 s left\n" in text
    progress = Progress("auto", 900, 900)
    for _ in range(900):
        progress.add(1, 0.002)
    assert capsys.readouterr().out == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_in_a_terminal_it_is_the_bar_of_keras(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    progress = Progress(1, 30, 30)
    for _ in range(3):
        progress.add(10, 0.5)
    text = sys.stdout.getvalue()
    assert text.startswith("30 points, about 10 s left\n")
    assert "10/30" in text and "30/30" in text and "/point" in text and text.count("\n") == 2


def test_where_keras_logs_are_off_so_is_the_line(capsys):
    keras.config.disable_interactive_logging()
    try:
        evaluate(Bowl(), **PLANE, verbose=1)
    finally:
        keras.config.enable_interactive_logging()
    assert "points" not in capsys.readouterr().out


# Checkpoints


@pytest.mark.parametrize("interrupt_after", [1, 90, 170, 300])
def test_after_an_interrupt_it_goes_on(tmp_path, interrupt_after):
    path = tmp_path / "surface.partial.npz"
    with pytest.raises(KeyboardInterrupt):
        evaluate(Heavy(interrupt_after=interrupt_after), **PLANE, checkpoint=path)
    second = Heavy()
    surface = evaluate(second, **PLANE, checkpoint=path)
    np.testing.assert_array_equal(surface.losses, expected())
    assert surface.losses.dtype == np.float64
    assert interrupt_after == 1 or sum(second.calls) < 322
    third = Heavy()
    surface = evaluate(third, **PLANE, checkpoint=path)
    np.testing.assert_array_equal(surface.losses, expected())
    assert third.calls == [] and os.listdir(tmp_path) == [path.name]


def test_after_a_kill_it_goes_on(tmp_path):
    path = tmp_path / "surface.partial.npz"
    code = f"""
from helpers.formulas import Heavy, PLANE
from keras_valleys.surfaces import evaluate
evaluate(Heavy(seconds=0.02), **PLANE, checkpoint={str(path)!r}, verbose=0)
"""
    with start_python(code, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None and not finished(path):
                time.sleep(0.02)
        finally:
            process.kill()
    found = finished(path)
    assert 0 < found < 322
    second = Heavy()
    surface = evaluate(second, **PLANE, checkpoint=path)
    np.testing.assert_array_equal(surface.losses, expected())
    assert sum(second.calls) >= 322 - found and sum(second.calls) < 322


def test_a_model_goes_on_bit_equal(tmp_path):
    path = tmp_path / "surface.partial.npz"
    objective = rosette_objective()
    phi = np.linspace(-1.3, 1.4, 600)
    whole = evaluate(objective, coordinates=phi)
    plane = (np.eye(1), np.zeros(1))
    identity = digest_of(objective, phi, *plane, "None")
    part = Checkpoint(path, identity, owner="evaluate", depends="model")
    part.begin(600)
    aligned = slice(256, 512)
    part.put(np.arange(600)[aligned], whole.losses[aligned])
    part.write()
    surface = evaluate(objective, coordinates=phi, checkpoint=path)
    np.testing.assert_array_equal(surface.losses, whole.losses)
    assert finished(path) == 600


class Signed(Bowl):
    def __init__(self, text):
        super().__init__()
        self.text = text

    def signature(self):
        return self.text


@pytest.mark.parametrize(
    "options",
    [
        {"coordinates": [AXES[0], AXES[1] + 1e-9]},
        {"directions": [[1.0, 0.2], [-0.3, 0.8]]},
        {"origin": [0.3, -1.1]},
        {"objective": Signed("another")},
    ],
)
def test_a_checkpoint_of_other_settings_is_refused_before_any_work(tmp_path, options):
    path = tmp_path / "surface.partial.npz"
    arguments = {"objective": Signed("one"), **PLANE, "checkpoint": path}
    evaluate(**arguments)
    arguments.update(options)
    before = path.read_bytes()
    objective = arguments["objective"]
    objective.calls.clear()
    with pytest.raises(ValueError, match="of the same model, weights, data.*Remove that file"):
        evaluate(**arguments)
    assert objective.calls == [] and path.read_bytes() == before


@pytest.mark.parametrize("kind", ["rubbish", "torn", "surface", "folder"])
def test_a_file_that_is_no_checkpoint_is_refused_and_kept(tmp_path, kind):
    path = tmp_path / "surface.partial.npz"
    surface = evaluate(Bowl(), **PLANE, checkpoint=path)
    if kind == "rubbish":
        path.write_bytes(b"PK")
    elif kind == "torn":
        path.write_bytes(path.read_bytes()[:-300])
    elif kind == "surface":
        surface.save(path)
    else:
        path.unlink()
        path.mkdir()
    before = path.read_bytes() if path.is_file() else None
    objective = Bowl()
    with pytest.raises(ValueError, match="a file that it wrote itself.*damaged or of another kind"):
        evaluate(objective, **PLANE, checkpoint=path)
    assert objective.calls == []
    assert before is None or path.read_bytes() == before


def test_an_unwritable_path_is_refused_before_any_work(tmp_path):
    objective = Bowl()
    for path in (tmp_path / "missing" / "surface.npz", ""):
        with pytest.raises(OSError, match="a path where a file can be written.*Make its folder"):
            evaluate(objective, **PLANE, checkpoint=path)
    with pytest.raises(ValueError, match="`checkpoint` to be the path of a file or None"):
        evaluate(objective, **PLANE, checkpoint=7)
    assert objective.calls == []


def test_a_folder_that_vanishes_costs_the_checkpoint_only(tmp_path):
    folder = tmp_path / "short"
    folder.mkdir()
    checkpoint = Checkpoint(folder / "surface.npz", "", owner="evaluate", depends="model")
    (folder / "surface.npz").unlink()
    folder.rmdir()
    plane = (np.array([[1.0, 0.5]]), np.zeros(2))
    sampler = Sampler(Bowl(), *plane, checkpoint=checkpoint, verbose=0, executor=None)
    with pytest.warns(RuntimeWarning, match="could not write its checkpoint"):
        losses = sampler(lambda i: i[:, None] / 7, 50)
    exact = Bowl().along(np.arange(50)[:, None] / 7, *plane)
    np.testing.assert_array_equal(losses, exact)
