"""One file per backend, with the same names; the one in use is loaded, and no other."""

import ast
import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import pytest

import keras_valleys

FOLDER = pathlib.Path(keras_valleys.__file__).parent / "_backend"
COMMON = {"__init__", "shared"}
FILES = sorted(path for path in FOLDER.glob("*.py") if path.stem not in COMMON)
BACKEND = keras.config.backend()


def names_in(path):
    """All that a file defines at its top."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets}
    return found


def asked_at_the_door():
    """The names that the door takes from the backend in use."""
    tree = ast.parse((FOLDER / "__init__.py").read_text())
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "_chosen"
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_backend_has_all_names(path):
    asked = asked_at_the_door()
    assert len(asked) > 10
    assert asked <= names_in(path), asked - names_in(path)


def test_a_backend_is_imported_in_its_file_alone():
    for path in FOLDER.glob("*.py"):
        imported = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
        assert imported & {"tensorflow", "jax", "torch"} <= {path.stem}


def run(code, backend):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_of_the_files_one_is_loaded():
    code = (
        "import sys, keras; before = set(sys.modules); import keras_valleys;"
        "new = set(sys.modules) - before;"
        "print(sorted(n for n in new if n.startswith('keras_valleys._backend.')),"
        " [n for n in ('tensorflow', 'jax', 'torch') if n in new])"
    )
    files = [f"keras_valleys._backend.{name}" for name in sorted([BACKEND, "shared"])]
    assert run(code, BACKEND) == f"{files} []"


@pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="Keras' numpy backend needs jax"
)
def test_on_a_backend_that_does_not_train_it_is_imported_and_what_computes_is_refused():
    code = (
        "import keras_valleys as kv\n"
        "surface = kv.surfaces.Surface([1.0, 0.0, 2.0], [[0, 1, 3]], [[1.0]], [0.0])\n"
        "assert len(kv.valleys.find_valleys(surface)) == 1\n"
        "try: kv._backend.compiled(print)\n"
        "except ValueError as error: print(error)"
    )
    assert "Received: 'numpy'. Set KERAS_BACKEND before" in run(code, "numpy")
