"""The script that compares a network with and without skip connections, in small."""

import importlib
import re

import keras
import numpy as np
import pytest
from PIL import Image

from helpers.checkout import ROOT, run_script

SMALL = ["--depth", 3, "--width", 5, "--epochs", 1, "--rows", 40, "--points", 7, "--directions", 2]


def test_both_networks_are_compared(tmp_path):
    pytest.importorskip("sklearn")
    done = run_script("fit_skips.py", *SMALL, "--log-dir", "skips", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trained = re.findall(r"^(plain|with skips): loss ([\d.]+), ([\d.]+) % right", done.stdout, re.M)
    assert [name for name, *_ in trained] == ["plain", "with skips"]
    rows = re.findall(
        r"^(plain|with skips) +(\d) +(\d+) +(\S+) +(\S+) to (\S+) +(\S+)$", done.stdout, re.M
    )
    assert [(name, seed) for name, seed, *_ in rows] == [
        (name, seed) for seed in "01" for name in ("plain", "with skips")
    ]
    for _, _, _, *numbers in rows:
        assert sorted(map(float, numbers)) == list(map(float, numbers))
    pictures = sorted(path.name for path in (tmp_path / "skips").iterdir())
    assert pictures == ["seed_0.png", "seed_0_dark.png", "seed_1.png", "seed_1_dark.png"]
    for name in pictures:
        with Image.open(tmp_path / "skips" / name) as picture:
            assert picture.size[0] > 600


def test_the_networks_differ_in_the_skips_alone(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    network = importlib.import_module("fit_skips").network
    models = []
    for skips in (False, True):
        keras.utils.set_random_seed(4)
        models.append(network(3, 5, skips))
    plain, skipping = ([keras.ops.convert_to_numpy(v.value) for v in m.weights] for m in models)
    for ours, theirs in zip(plain, skipping, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    x = np.random.RandomState(1).uniform(size=(2, 64)).astype("float32")
    first = np.maximum(x @ plain[0] + plain[1], 0)
    ends = [first, first]
    for kernel, bias in zip(plain[2:-2:2], plain[3:-2:2], strict=True):
        made = [np.maximum(end @ kernel + bias, 0) for end in ends]
        ends = [made[0], ends[1] + made[1] / np.sqrt(3)]
    for model, end in zip(models, ends, strict=True):
        expected = end @ plain[-2] + plain[-1]
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--depth", 0], "at least 1"),
        (["--points", 1], "--points at least 2"),
        (["--width", "wide"], "invalid int value"),
        (["--log-dir", "/proc/nothing"], "/proc/nothing"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(tmp_path, options, message):
    done = run_script("fit_skips.py", *SMALL, *options, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr.strip().splitlines()[-1]
