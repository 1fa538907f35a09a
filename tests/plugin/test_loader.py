"""What `tensorboard` finds of the plugin, and when."""

import importlib.metadata

import pytest
from tensorboard import program
from tensorboard.plugins.core import core_plugin

from helpers.processes import run_python
from tensorboard_plugin_valleys import assets
from tensorboard_plugin_valleys.loader import ValleysLoader


def test_the_entry_point_is_the_loader():
    found = importlib.metadata.entry_points(group="tensorboard_plugins")
    assert [point.load() for point in found if point.name == "keras_valleys"] == [ValleysLoader]


@pytest.mark.parametrize(
    ("options", "seconds"), [([], 5), (["--reload_interval=30"], 30), (["--reload_interval=0"], 0)]
)
def test_tensorboard_looks_for_data_as_without_the_plugin(options, seconds, tmp_path):
    board = program.TensorBoard([core_plugin.CorePluginLoader(), ValleysLoader()])
    board.configure(["tensorboard", f"--logdir={tmp_path}", *options])
    assert board.flags.reload_interval == seconds


def test_tensorboard_loads_nothing_for_the_plugin():
    code = (
        "import sys, tensorboard.default, tensorboard.program; before = set(sys.modules);"
        "import tensorboard_plugin_valleys.loader, tensorboard_plugin_valleys.plugin;"
        "packages = lambda names: {name.split('.')[0] for name in names};"
        "print(sorted(packages(sys.modules) - packages(before)))"
    )
    done = run_python(code)
    assert done.stdout.strip() == "['tensorboard_plugin_valleys']", done.stderr


def test_one_script_is_all_modules_without_imports():
    script = assets.one_script("page.js")
    for path in assets.STATIC.glob("*.js"):
        assert (f'\nmodules["{path.name}"] = ' in script) == (path.name != "index.js")
    assert "\nimport " not in script and "\nexport " not in script and "</script" not in script
