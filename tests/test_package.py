"""The package as a user meets it: imports, layers, docstrings, the built wheel."""

import ast
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

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = pathlib.Path(keras_valleys.__file__).parent
PLUGIN = pathlib.Path(tensorboard_plugin_valleys.__file__).parent
MODULES = sorted(
    module.name
    for package in (PACKAGE, PLUGIN)
    for module in pkgutil.walk_packages([str(package)], prefix=f"{package.name}.")
)

# What each public part may import of the package itself.
ALLOWED = {
    "datasets": set(),
    "layers": set(),
    "constraints": set(),
    "losses": set(),
    "metrics": set(),
    "objectives": {"_backends", "_batches", "_model_loss", "_selection", "_signatures", "_weights"},
    "_backends": set(),
    "_batches": set(),
    "_model_loss": {"_backends"},
    "_selection": set(),
    "_signatures": {"_weights"},
    "gradients": {"_backends", "_checks", "_linalg", "objectives"},
    "directions": {
        "_checks",
        "_linalg",
        "_filters",
        "_names",
        "_rows",
        "gradients",
        "objectives",
    },  # fmt: skip
    "_checks": set(),
    "_linalg": set(),
    "_filters": set(),
    "_names": set(),
    "_rows": {"_linalg"},
    "trajectories": {"_archives", "_planes", "_weight_files"},
    "_weight_files": {"_weights"},
    "_planes": set(),
    "surfaces": {
        "_archives",
        "_backends",
        "_checkpoints",
        "_executors",
        "_refinement",
        "_sampling",
    },
    "_checkpoints": {"_archives"},
    "_executors": set(),
    "_refinement": set(),
    "_sampling": {"_executors"},
    "valleys": {"surfaces", "trajectories"},
    "descents": {
        "_basin_maps",
        "_checkpoints",
        "_checks",
        "_optimizers",
        "_sampling",
        "walks",
    },
    "_basin_maps": {
        "_archives",
        "_checkpoints",
        "_checks",
        "_optimizers",
        "_sampling",
        "walks",
        "trajectories",
    },
    "_optimizers": {"_backends", "_weights"},
    "walks": {"_backends", "_sampling", "_weights"},
    "comparisons": {
        "_archives",
        "_backends",
        "_sampling",
        "_signatures",
        "_weights",
        "callbacks",
        "datasets",
        "events",
        "objectives",
        "plots",
        "surfaces",
        "trajectories",
        "valleys",
    },
    "events": {"_event_values", "_records"},
    "_event_values": set(),
    "_views": {"valleys"},
    "pages": {"_archives", "_views", "plots", "surfaces", "trajectories"},
    "plots": {"trajectories", "surfaces", "valleys"},
    "callbacks": {
        "_planes",
        "_selection",
        "_views",
        "_weights",
        "_records",
        "metrics",
        "trajectories",
        "surfaces",
        "valleys",
        "plots",
        "events",
    },
    "_weights": {"_backends"},
    "_archives": set(),
    "_records": set(),
}

# Signatures that follow `model.evaluate`, or whose arguments are options that stand alone.
MANY_ARGUMENTS = {
    ("objectives", "__init__"): 7,
    ("surfaces", "evaluate"): 9,
    ("descents", "descend"): 7,
    ("_basin_maps", "basin_map"): 8,
    ("comparing", "compare"): 14,
}


def run(code, **environment):
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def imports_of(path):
    """The parts of the package that a file imports, and the other packages."""
    own, others = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            if first == "keras_valleys":
                own.add(rest[0] if rest else "")
            else:
                others.add(first)
    return own, others


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_imports_run_one_way(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part == "__init__":
        return
    own, others = imports_of(path)
    assert own - {part} <= ALLOWED[part]
    assert "matplotlib" not in others or part == "plots"
    assert "tensorboard" not in others or part == "events"
    assert not others & {"tensorflow", "jax", "torch"} or part == "_backends"
    assert "tensorboard_plugin_valleys" not in others or part in ("callbacks", "pages")
    source = path.read_text()
    assert "keras.src" not in source and "pyplot" not in source.replace("without pyplot", "")
    assert "print(" not in source


@pytest.mark.parametrize("path", sorted(PLUGIN.rglob("*.py")), ids=lambda path: path.stem)
def test_the_plugin_starts_without_keras(path):
    own, others = imports_of(path)
    allowed = {"numpy", "werkzeug", "tensorboard", "tensorboard_plugin_valleys"}
    assert not own and others <= allowed | set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    "path", sorted([*PACKAGE.rglob("*.py"), *PLUGIN.rglob("*.py")]), ids=lambda path: path.stem
)
def test_the_house_stays_small(path):
    source = path.read_text()
    assert len(source.splitlines()) <= 300
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert length <= 40, f"{node.name} has {length} lines"
            arguments = [*node.args.args, *node.args.kwonlyargs]
            count = len([a for a in arguments if a.arg not in ("self", "cls")])
            most = MANY_ARGUMENTS.get((path.stem, node.name), 6)
            assert count <= most, f"{node.name} takes {count} arguments"


@pytest.mark.parametrize("name", MODULES)
def test_every_example_runs(name):
    module = importlib.import_module(name)
    names = {
        "keras": keras, "keras_valleys": keras_valleys, "np": np, "math": math, "os": os,
        "tempfile": tempfile,
    }  # fmt: skip
    if name.startswith(tensorboard_plugin_valleys.__name__):
        names.update(vars(module))
    results = doctest.testmod(module, globs=names)
    assert results.failed == 0


def test_every_public_name_says_what_it_is():
    for name in MODULES:
        if any(part.startswith("_") for part in name.split(".")):
            continue
        module = importlib.import_module(name)
        assert module.__doc__, name
        if name.startswith(PLUGIN.name):  # not called by users
            continue
        for key, value in vars(module).items():
            if key.startswith("_") or getattr(value, "__module__", None) != name:
                continue
            assert value.__doc__ and (">>>" in value.__doc__ or "Attributes:" in value.__doc__), key


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
board = kv.callbacks.SurfaceBoard({str(tmp_path / "run")!r}, surface)
model.fit(x, y, verbose=0, callbacks=[board])
print("tensorflow" in sys.modules)
"""
    assert run(code).splitlines()[-1] == "False"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        keras_valleys.nothing  # noqa: B018


def test_every_keras_class_is_registered_under_the_package():
    for name in ("AngleFit", "WrapAngle", "RootError", "StepLoss", "root_error"):
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
