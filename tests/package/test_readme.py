"""The README: its examples, its links, its length."""

import re

import numpy as np

import keras_valleys as kv
from helpers import models
from helpers.checkout import ROOT
from helpers.processes import run_python

README = (ROOT / "README.md").read_text()


def test_the_readme_example_runs_and_ends_in_its_number(tmp_path):
    code = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[1]
    lines = code.strip().splitlines()
    assert len([line for line in lines if line]) <= 15
    done = run_python(code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == lines[-1].split("#")[-1].strip() == "6"
    assert (tmp_path / "circle.png").stat().st_size > 10_000


def test_the_one_line_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[0]
    assert len(code.strip().splitlines()) == 1
    model, x, y = models.sequential()
    exec(code, {"kv": kv, "model": model, "x": x, "y": y})
    assert len(list((tmp_path / "logs/run").iterdir())) == 1


def test_the_readme_example_of_any_model_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[2]
    model, x, y = models.sequential()
    recorder = kv.callbacks.TrajectoryRecorder()
    model.fit(x, y, batch_size=5, epochs=3, callbacks=[recorder], verbose=0)
    names = {"kv": kv, "model": model, "x": x, "y": y, "recorder": recorder}
    exec(code, names)
    assert names["surface"].losses.shape == (51, 41)
    assert np.all(np.isfinite(names["surface"].losses))
    assert names["surface"].details["directions"]["kind"] == "principal"


def test_the_readme_is_short_and_its_links_lead_somewhere():
    assert len(README.splitlines()) <= 140
    links = re.findall(r"\]\(([^)]+)\)", README) + re.findall(r'src(?:set)?="([^"]+)"', README)
    assert links and all((ROOT / link).exists() for link in links)
    for command in (
        "pip install . && python scripts/fit_angle.py",
        "pip install '.[test]' && pytest",
    ):
        assert f"\n{command}\n" in README
    for name in kv.__all__:
        assert f"`kv.{name}`" in README
