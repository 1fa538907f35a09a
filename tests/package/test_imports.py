"""The rooms of the package stand on floors, and see only what is below, through its door."""

import ast
import graphlib
import pathlib
import re
import sys

import pytest

import keras_valleys
import tensorboard_plugin_valleys

PACKAGE = pathlib.Path(keras_valleys.__file__).parent
PLUGIN = pathlib.Path(tensorboard_plugin_valleys.__file__).parent

TOOLS = (
    "_arrays _checks _files _results _linalg _backend _weights _fingerprints _progress _optimizers"
)
FLOORS = [
    f"{TOOLS} constraints datasets layers losses metrics events",
    "objectives trajectories functions",
    "surfaces gradients",
    "directions valleys descents stability connections",
    "plots _tab",
    "callbacks pages",
    "comparisons",
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}
# The only rooms that import these packages.
KEEPERS = {
    "matplotlib": ["plots"],
    "tensorboard": ["events"],
    "tensorflow": ["_backend"],
    "jax": ["_backend"],
    "torch": ["_backend"],
    "tensorboard_plugin_valleys": ["_tab", "pages"],
}
# Nowhere in a file, its examples included.
FORBIDDEN = re.compile(r"\bprint\(|\bkeras\.src\b|(?<!without )\bpyplot\b")


def imports_of(tree):
    """Each imported name in full, and whether only a type checker imports it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from ((name, True) for name, _ in imports_of(node))
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            yield from ((f"{source}.{alias.name}", False) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        else:
            yield from imports_of(node)


def room_of(path, package):
    return path.relative_to(package).parts[0].removesuffix(".py")


def is_deep(package, room, rest):
    """Whether names below a room lead past its door."""
    inside = {path.stem for path in (package / room).glob("*.py")}
    return len(rest) > 1 or any(name in inside or name.startswith("_") for name in rest)


def faults_of(path, package):
    """What a file imports and may not, as texts."""
    room, source = room_of(path, package), path.read_text()
    for name, checked_only in imports_of(ast.parse(source)):
        first, *rest = name.split(".")
        if not first:
            yield f"{name} is relative"
        elif first != package.name:
            if room not in KEEPERS.get(first, [room]):
                yield f"{name} belongs to {KEEPERS[first]}"
        elif room == "__init__":
            if is_deep(package, rest[0], rest[1:]):
                yield f"{name} leads past a door"
        elif not rest or rest[0] not in {room, *FLOOR}:
            yield f"{name} is no room"
        elif rest[0] != room:
            other = rest[0]
            below = FLOOR[other] < FLOOR[room] or other in TOOLS.split() and FLOOR[room] == 0
            if not below and not checked_only:
                yield f"{name} is not on a lower floor"
            if is_deep(package, other, rest[1:]):
                yield f"{name} leads past a door"
    yield from (f"{word} is for nobody" for word in sorted(set(FORBIDDEN.findall(source))))


def tools_in_order(package):
    """The tools, each after those that it imports.

    Raises:
        graphlib.CycleError: They import each other in a circle.
    """
    needs = {}
    for path in package.rglob("*.py"):
        if (room := room_of(path, package)) in TOOLS.split():
            names = [name.split(".") for name, checked in imports_of(ast.parse(path.read_text()))]
            seen = {name[1] for name in names if name[0] == package.name and len(name) > 1}
            needs.setdefault(room, set()).update(seen & set(TOOLS.split()) - {room})
    return list(graphlib.TopologicalSorter(needs).static_order())


def rooms_in(package):
    rooms = {room_of(path, package) for path in package.rglob("*.py")}
    return rooms - {"__init__"}


def names_in(package):
    return sorted(str(path.relative_to(package)) for path in package.rglob("*.py"))


@pytest.mark.parametrize("name", names_in(PACKAGE))
def test_a_file_imports_what_is_below_by_its_door(name):
    assert list(faults_of(PACKAGE / name, PACKAGE)) == []


def test_tools_do_not_import_each_other_in_a_circle():
    assert set(tools_in_order(PACKAGE)) <= set(TOOLS.split())


def test_each_room_has_its_floor():
    assert rooms_in(PACKAGE) <= set(FLOOR)


@pytest.mark.parametrize("name", names_in(PLUGIN))
def test_the_plugin_starts_without_keras(name):
    tree = ast.parse((PLUGIN / name).read_text())
    packages = {name.split(".")[0] for name, _ in imports_of(tree)}
    allowed = {"numpy", "werkzeug", "tensorboard", "tensorboard_plugin_valleys"}
    assert packages <= allowed | set(sys.stdlib_module_names)


# The wall itself, on a small package.

SOUND = {
    "__init__.py": "import importlib\nfrom toy import surfaces, valleys",
    "_checks.py": "import math",
    "_files.py": "from toy._checks import check",
    "_backend/__init__.py": "import keras",
    "_backend/jax.py": "def load():\n    import jax",
    "events.py": "from tensorboard.compat.proto import event_pb2\nfrom toy import _files",
    "surfaces/__init__.py": "from toy.surfaces.surface import Surface",
    "surfaces/surface.py": "from toy import _backend\nfrom toy.surfaces.sampling import Sampler",
    "surfaces/sampling.py": "from toy._backend import compiled",
    "valleys.py": "from toy.surfaces import Surface\nfrom toy import _checks",
    "plots/__init__.py": "from matplotlib.figure import Figure",
}


def build(folder, **files):
    for name, code in {**SOUND, **files}.items():
        path = folder / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    return folder / "toy"


def all_faults(package):
    paths = sorted(package.rglob("*.py"))
    return [(path.name, fault) for path in paths for fault in faults_of(path, package)]


def test_a_sound_package_has_no_faults(tmp_path):
    package = build(tmp_path)
    assert all_faults(package) == [] and rooms_in(package) <= set(FLOOR)
    assert tools_in_order(package).index("_checks") < tools_in_order(package).index("_files")


@pytest.mark.parametrize(
    "name, code, message",
    [
        ("surfaces/sampling.py", "from toy import valleys", "not on a lower floor"),
        ("surfaces/sampling.py", "import toy.valleys", "not on a lower floor"),
        ("surfaces/sampling.py", "def f():\n    from toy.plots import x", "not on a lower floor"),
        ("surfaces/sampling.py", "if x:\n    import toy.plots", "not on a lower floor"),
        ("surfaces/sampling.py", "from toy.gradients import slope", "not on a lower floor"),
        ("_checks.py", "from toy.events import EventWriter", "not on a lower floor"),
        ("events.py", "from toy.layers import AngleFit", "not on a lower floor"),
        ("valleys.py", "from toy.surfaces.surface import Surface", "leads past a door"),
        ("valleys.py", "from toy.surfaces import surface", "leads past a door"),
        ("valleys.py", "import toy.surfaces.surface", "leads past a door"),
        ("valleys.py", "from toy.surfaces import _secret", "leads past a door"),
        ("__init__.py", "from toy.surfaces.surface import Surface", "leads past a door"),
        ("valleys.py", "from .surfaces import Surface", "is relative"),
        ("valleys.py", "from toy import attic", "is no room"),
        ("valleys.py", "import toy", "is no room"),
        ("valleys.py", "import matplotlib.figure", "belongs to ['plots']"),
        ("valleys.py", "from tensorboard import program", "belongs to ['events']"),
        ("valleys.py", "import torch.nn", "belongs to ['_backend']"),
        ("valleys.py", "import tensorboard_plugin_valleys", "belongs to ['_tab', 'pages']"),
        ("plots/__init__.py", "from matplotlib import pyplot", "is for nobody"),
        ("plots/__init__.py", "import matplotlib.pyplot as plt", "is for nobody"),
        ("_backend/jax.py", "from keras.src import backend", "is for nobody"),
        ("valleys.py", "import keras\nf = keras.src.f", "keras.src is for nobody"),
        ("valleys.py", "def f(x):\n    print(x)", "print( is for nobody"),
    ],
)
def test_the_wall_finds(tmp_path, name, code, message):
    ((file, fault),) = all_faults(build(tmp_path, **{name: code}))
    assert file == pathlib.Path(name).name and message in fault


def test_what_only_a_type_checker_imports_may_be_above(tmp_path):
    code = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from toy.{} import V"
    above, deep = code.format("valleys"), code.format("surfaces.surface")
    assert all_faults(build(tmp_path, **{"surfaces/sampling.py": above})) == []
    ((_, fault),) = all_faults(build(tmp_path, **{"surfaces/sampling.py": "", "valleys.py": deep}))
    assert "leads past a door" in fault


def test_a_circle_among_tools_is_found(tmp_path):
    package = build(tmp_path, **{"_checks.py": "def f():\n    from toy import _files"})
    assert all_faults(package) == []
    with pytest.raises(graphlib.CycleError):
        tools_in_order(package)
