"""What the package says of itself: its version, written once, and what it was run on."""

import ast
import configparser
import pathlib
import re
import subprocess
import sys

import google_crc32c
import pytest

import keras_valleys
import tensorboard_plugin_valleys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = (keras_valleys, tensorboard_plugin_valleys)


@pytest.fixture
def setup():
    if not (ROOT / "setup.cfg").exists():
        pytest.skip("not in a checkout")
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_the_version_is_written_once_where_setuptools_reads_it_without_keras(setup):
    assert setup["metadata"]["version"] == "attr: keras_valleys.__version__"
    source = (ROOT / "keras_valleys" / "__init__.py").read_text()
    (written,) = (
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__version__"
    )
    assert ast.literal_eval(written) == keras_valleys.__version__
    for name in ("setup.cfg", "pyproject.toml"):
        assert keras_valleys.__version__ not in (ROOT / name).read_text()
    newest = next(
        line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")
    )
    assert newest.removeprefix("## ").split()[0] == keras_valleys.__version__


def test_what_it_says_of_its_author_and_of_python(setup):
    classifiers = setup["metadata"]["classifiers"].split("\n")
    least = setup["options"]["python_requires"].removeprefix(">=")
    assert f"Programming Language :: Python :: {least}" in classifiers
    assert "Typing :: Typed" in classifiers
    assert setup["metadata"]["author"] in (ROOT / "LICENSE").read_text()
    assert "url" not in setup["metadata"] and "project_urls" not in setup["metadata"]


def test_both_packages_say_that_they_are_typed():
    for package in PACKAGES:
        assert (pathlib.Path(package.__file__).parent / "py.typed").exists()


def test_checksums_are_computed_in_c():
    """Of a version that is too old for this Python there is a slow one only."""
    assert google_crc32c.implementation == "c"


def test_the_check_of_the_lowest_versions_takes_them_from_setup_cfg(setup):
    check = (ROOT / ".ci" / "run").read_text()
    job = check.split("The lowest versions that setup.cfg allows")[1].split("\nstep ")[0]
    (code,) = re.findall(r"<<'EOF'\n(.*?)\nEOF\n", job, re.S)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.split()
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", line) for line in lines)
    required = setup["options"]["install_requires"].split()
    assert len(lines) == len(required) + 2  # and pytest with its helper
    assert [line.replace("==", ">=") for line in lines][: len(required)] == required
    assert not re.search(r"[=<>]=\s*\d", job.replace(code, ""))
    files = re.findall(r"tests/[\w/]+\.py", job)
    assert len(files) > 6 and all((ROOT / file).exists() for file in files)
