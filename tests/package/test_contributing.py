"""What CONTRIBUTING.md says is there: paths, names, commands."""

import importlib
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE = ROOT / "CONTRIBUTING.md"
if not FILE.exists():
    pytest.skip("not in a checkout", allow_module_level=True)

TEXT = FILE.read_text()
COMMANDS = "\n".join(re.findall(r"```shell\n(.*?)```", TEXT, re.S))
WORDS = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.S))
PATHS = sorted({word for word in WORDS if re.fullmatch(r"[\w./]+/[\w./]*", word)})
NAMES = sorted({word for word in WORDS if re.fullmatch(r"keras_valleys(\.\w+)+", word)})


def test_it_is_short_and_has_the_seven_recipes():
    assert len(TEXT.splitlines()) < 150
    recipes = TEXT.split("## Recipes")[1].split("### ")[1:]
    assert len(recipes) == 7
    for recipe in recipes:
        assert re.search(r"`(keras_valleys|tensorboard_plugin_valleys)/\w+", recipe), recipe


@pytest.mark.parametrize("path", PATHS)
def test_the_paths_it_names_exist(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("name", NAMES)
def test_the_names_it_says_are_there(name):
    room, *rest = name.split(".")[1:]
    found = importlib.import_module(f"keras_valleys.{room}")
    for part in rest:
        found = getattr(found, part)


def test_the_rooms_in_its_table_are_those_of_the_package():
    table = re.findall(r"^\| \d \| (.*) \|$", TEXT, re.M)
    said = {word for row in table for word in re.findall(r"`(\w+)`", row)}
    package = importlib.import_module("keras_valleys")
    assert said == set(package.__all__)


def test_its_commands_are_those_of_the_check_of_everything():
    check = (ROOT / ".ci" / "run").read_text()
    for tool in ("ruff", "mypy"):
        (needs,) = re.findall(rf"'({tool}>=[^']+)'", check)
        assert f"'{needs}'" in COMMANDS
    assert "bash .ci/run" in COMMANDS
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    low, high = re.search(r"ruff>=([\d.]+),<([\d.]+)", check).groups()
    (used,) = re.findall(r"rev: v([\d.]+)", hooks)
    numbers = [tuple(map(int, version.split("."))) for version in (low, used, high)]
    assert numbers[0] <= numbers[1] < numbers[2]
    folders = re.findall(r"pytest (tests/\w+)", COMMANDS)
    assert folders and all((ROOT / folder).is_dir() for folder in folders)
