"""The package as a user meets it: imports, layers, docstrings, the built wheel."""

import doctest
import importlib
import math
import os
import pathlib
import pkgutil
import subprocess
import sys
import tempfile
import zipfile

import keras
import numpy as np
import pytest

import keras_valleys
import tensorboard_plugin_valleys
from helpers.checkout import ROOT

PACKAGE = pathlib.Path(keras_valleys.__file__).parent
PLUGIN = pathlib.Path(tensorboard_plugin_valleys.__file__).parent
MODULES = sorted(
    module.name
    for package in (PACKAGE, PLUGIN)
    for module in pkgutil.walk_packages([str(package)], prefix=f"{package.name}.")
)
OF_BACKENDS = {f"{PACKAGE.name}._backend.{name}" for name in ("tensorflow", "jax", "torch")}
# The doors: what is public, by the file system.
ROOMS = sorted(
    module.name
    for module in pkgutil.iter_modules([str(PACKAGE)])
    if not module.name.startswith("_")
)


def run(code, **environment):
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", MODULES)
def test_every_example_runs(name):
    if name in OF_BACKENDS:
        pytest.importorskip(name.rsplit(".", 1)[-1], reason="the backend is not installed")
    module = importlib.import_module(name)
    names = {
        "keras": keras,
        "keras_valleys": keras_valleys,
        "np": np,
        "math": math,
        "os": os,
        "tempfile": tempfile,
    }
    is_private = "._" in name or name.startswith(tensorboard_plugin_valleys.__name__)
    if is_private:  # not called by users: their examples see the module from within
        names.update(vars(module))
    interactive = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()  # a slow machine shows how far it is
    results = doctest.testmod(module, globs=names)
    if interactive:
        keras.config.enable_interactive_logging()
    assert results.failed == 0


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_says_what_it_is(room):
    door = importlib.import_module(f"{PACKAGE.name}.{room}")
    assert door.__doc__ and door.__all__
    for name in door.__all__:
        text = getattr(door, name).__doc__
        assert text and (">>>" in text or "Attributes:" in text), name


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_shows_what_is_public_and_nothing_else(room):
    door = importlib.import_module(f"{PACKAGE.name}.{room}")
    assert dir(door) == sorted(door.__all__)


def test_the_rooms_are_the_packages_own_names():
    assert sorted(keras_valleys.__all__) == ROOMS


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is(name):
    if not any(part.startswith("_") for part in name.split(".")):
        assert importlib.import_module(name).__doc__


def test_importing_it_loads_no_other_backend_and_draws_nothing():
    code = (
        "import sys, keras; before = set(sys.modules); import keras_valleys as kv;"
        "new = set(sys.modules) - before;"
        "names = ('tensorflow', 'jax', 'torch', 'matplotlib', 'tensorboard', 'PIL');"
        "print(sorted({n.split('.')[0] for n in new} & set(names)));"
        "kv.callbacks, kv.events, kv.pages, kv.plots;"
        "print(kv.plots.curve.__name__, 'plots' in dir(kv))"
    )
    assert run(code).splitlines()[-2:] == ["[]", "curve True"]


@pytest.mark.skipif(keras.config.backend() == "tensorflow", reason="TensorFlow is in use")
def test_without_the_tensorflow_backend_tensorflow_is_never_loaded(tmp_path):
    code = f"""
import sys
import keras, numpy as np, keras_valleys as kv
(x, y), _ = kv.datasets.rosette(num_points=5)
model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])
model.compile("sgd", kv.losses.RootError())
objective = kv.objectives.Objective(model, x, y)
surface = kv.surfaces.evaluate(objective, coordinates=np.linspace(-1, 1, 9))
kv.gradients.sharpness(objective)
kv.descents.descend(objective, keras.optimizers.Adam(0.1), [[0.1], [0.5]], 3)
board = kv.callbacks.SurfaceBoard({str(tmp_path / "run")!r}, surface)
model.fit(x, y, verbose=0, callbacks=[board])
print("tensorflow" in sys.modules)
"""
    assert run(code).splitlines()[-1] == "False"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        keras_valleys.nothing  # noqa: B018


def test_every_keras_class_is_registered_under_the_package():
    names = ("AngleFit", "WrapAngle", "RootError", "StepLoss", "root_error")
    for name in (*names, "FunctionLoss", "WeightVector"):
        assert keras.saving.get_registered_object(f"keras_valleys>{name}").__name__ == name


def test_the_built_wheel_holds_every_file(tmp_path):
    """Of a copy: a build leaves its files beside the sources."""
    if not (ROOT / "setup.cfg").exists():
        pytest.skip("not in a checkout")
    copied = tmp_path / "checkout"
    copied.mkdir()
    packages = (PACKAGE.name, PLUGIN.name)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", *packages):
        subprocess.run(["cp", "-r", str(ROOT / name), str(copied)], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path)]
    subprocess.run([*command, str(copied)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.split("/")[0] in packages}
        (entries,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert b"tensorboard_plugin_valleys.loader:ValleysLoader" in archive.read(entries)
        (about,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        described = archive.read(about).decode().split("\n\n")[0].splitlines()
    assert f"Version: {keras_valleys.__version__}" in described
    assert {f"{name}/py.typed" for name in packages} <= packed  # its annotations are read
    sources = [path for name in packages for path in (ROOT / name).rglob("*")]
    expected = {str(p.relative_to(ROOT)) for p in sources if p.is_file() and p.suffix != ".pyc"}
    assert packed == expected
