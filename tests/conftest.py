"""What is told before the tests, and the maps of basins, which are tested and drawn.

Keras is imported in the fixtures only: pytest's header is to be there at once.
"""

import json
import os
import pathlib

import pytest

from helpers import browser

MINUTES = 23  # of all tests with two workers on two cores


def pytest_report_header(config):
    workers = len(config.getoption("tx", None) or []) or 1
    return [
        f"keras_valleys: {_backend()} backend, workers: {workers}. "
        f"All tests take about {MINUTES} minutes on two cores; -n 0 runs them one by one.",
        f"browser tests: {_browser()}",
    ]


def _browser():
    reason = browser.lacking()
    if reason is None:
        return "run"
    return f"{'fail' if browser.is_required() else 'skipped'}, {reason}"


def _backend():
    """As Keras chooses it, which takes seconds to import."""
    home = pathlib.Path(os.environ.get("KERAS_HOME", pathlib.Path.home() / ".keras"))
    try:
        settings = json.loads((home / "keras.json").read_text())
    except (OSError, ValueError):
        settings = {}
    return os.environ.get("KERAS_BACKEND") or settings.get("backend", "tensorflow")


@pytest.fixture(scope="session")
def rosette():
    from helpers import basin_maps

    return basin_maps.rosette()


@pytest.fixture(scope="session")
def waves():
    from helpers import basin_maps

    return basin_maps.waves()


@pytest.fixture(scope="session")
def by_start(rosette):
    from helpers import basin_maps

    return basin_maps.by_start(*rosette)


@pytest.fixture(scope="session")
def by_rate(rosette):
    from helpers import basin_maps

    return basin_maps.by_rate(*rosette)
