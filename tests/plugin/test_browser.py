"""TensorBoard's own tabs in a real Chromium, with what two fits wrote."""

import os

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.browser import Expected, check_tabs, chromium, images, open_tab, tensorboard, wait
from helpers.lines import rosette_model

OPTIMIZERS = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
RATES = {"adam": 0.0125, "sgd": 0.05}
RUNS = tuple(OPTIMIZERS)
SIZE = (640, 480)  # of the pictures and of the animation
TABS = {
    "timeseries": Expected(
        words=(
            *(*RUNS, "valley/loss", "valley/phi", "valley/index"),
            *("valley/path", "valley/surface"),
        ),
        num_charts=3,
        images={SIZE: 4},
        frames=(10,),
    ),
    "scalars": Expected(words=(*RUNS, "valley/loss", "valley/phi", "valley/index"), num_charts=3),
    "images": Expected(
        words=(*RUNS, "valley/path", "valley/surface"), images={SIZE: 4}, frames=(10,)
    ),
    "hparams": Expected(
        words=(
            *("optimizer", "Adam", "SGD", "learning_rate", "0.012500", "0.050000"),
            *("start_phi_degrees", "45.000", "valley/loss", "valley/phi"),
        )
    ),
    "text": Expected(
        words=(*RUNS, "valley/report", "optimizer", "Adam", "SGD", "best loss", "final phi")
    ),
}


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    """The published run with two optimizers, as `model.fit` leaves it behind."""
    log_dir = tmp_path_factory.mktemp("logs")
    (x, y), _ = kv.datasets.rosette()
    for name, rate in RATES.items():
        model = rosette_model(OPTIMIZERS[name](rate))
        objective = kv.objectives.Objective(model, x, y)
        surface = kv.surfaces.evaluate(objective, coordinates=np.linspace(-1.57, 1.56, 1001))
        board = kv.callbacks.SurfaceBoard(log_dir / name, surface, images=10)
        steps = kv.datasets.repeat(x, y, 100)
        model.fit(*steps, batch_size=len(x), shuffle=False, verbose=0, callbacks=[board])
    return log_dir


@pytest.fixture(scope="module")
def url(log_dir):
    with tensorboard(log_dir) as url:
        yield url


@pytest.fixture
def browser():
    with chromium() as browser:
        yield browser


def test_every_tab_shows_what_was_written(browser, url, tmp_path):
    check_tabs(browser, url, TABS, os.environ.get("KERAS_VALLEYS_ARTIFACTS", tmp_path))


def test_a_tab_that_lacks_something_fails(browser, url, tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.browser.TIMEOUT", 3)
    wrong = Expected(words=("rmsprop",), num_charts=4, images={(1, 2): 1}, frames=(11,))
    with pytest.raises(AssertionError, match="(?s)'rmsprop'.*4 charts.*(1, 2).*11 images"):
        check_tabs(browser, url, {"scalars": wrong}, tmp_path)
    assert (tmp_path / "scalars.png").exists()


def test_an_animated_image_moves(browser, url):
    open_tab(browser, url, "images")
    # Below it the card with the ten pictures stands still.
    shown = wait(lambda: len(images(browser, SIZE)) == 4 and images(browser, SIZE), "all images")
    movie, still = shown[0], shown[2]
    first, fixed = movie.screenshot_as_png, still.screenshot_as_png
    wait(lambda: movie.screenshot_as_png != first, "another frame")
    assert still.screenshot_as_png == fixed


@pytest.mark.parametrize(
    ("required", "outcome"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_without_a_browser_the_tests_are_skipped_or_fail(monkeypatch, required, outcome):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("KERAS_VALLEYS_REQUIRE_BROWSER", required)
    with pytest.raises(outcome, match="needs (selenium|chromium)"), chromium():
        pass
