import io
import os

import numpy as np
import pytest
from browser import Expected, check_tabs, chromium, images, open_tab, tensorboard, wait
from PIL import Image

from keras_valleys.events import EventWriter

RUNS = {"adam": 0.0125, "sgd": 0.25}
STILL, MOVIE = (160, 120), (96, 72)

TABS = {
    "timeseries": Expected(
        words=("adam", "sgd", "valley/loss", "valley/phi", "valley/path", "valley/movie"),
        num_charts=2,
        images={STILL: 2, MOVIE: 2},
        frames=(10,),
    ),
    "scalars": Expected(words=("adam", "sgd", "valley/loss", "valley/phi"), num_charts=2),
    "images": Expected(
        words=("adam", "sgd", "valley/path", "valley/movie"),
        images={STILL: 2, MOVIE: 2},
        frames=(10,),
    ),
    "hparams": Expected(
        words=("optimizer", "adam", "sgd", "learning_rate", "0.012500", "0.25000", "valley/loss")
    ),
    "text": Expected(words=("summary", "the deepest valley", "of adam", "of sgd")),
}


def movie():
    frames = [Image.new("RGB", MOVIE, (30 * number, 80, 200)) for number in range(8)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=150, loop=0)
    return file.getvalue()


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    log_dir = tmp_path_factory.mktemp("logs")
    width, height = STILL
    for name, rate in RUNS.items():
        with EventWriter(log_dir / name) as writer:
            writer.hparams({"optimizer": name, "learning_rate": rate})
            writer.text("summary", f"the deepest valley of {name}")
            for step in range(50):
                writer.scalar("valley/phi", np.sin(step / 7) * rate, step)
                writer.scalar("valley/loss", 1 / (1 + step * rate), step)
            for number in range(10):
                picture = np.full((height, width, 3), 240, "uint8")
                picture[:, : 16 * (number + 1)] = 250, 40, 20 * number
                writer.image("valley/path", picture, 5 * number, description="The **path**.")
            writer.image("valley/movie", movie(), 50)
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
    monkeypatch.setattr("browser.TIMEOUT", 3)
    wrong = Expected(words=("rmsprop",), num_charts=3, images={(1, 2): 1}, frames=(11,))
    with pytest.raises(AssertionError, match="(?s)'rmsprop'.*3 charts.*(1, 2).*11 images"):
        check_tabs(browser, url, {"scalars": wrong}, tmp_path)
    assert (tmp_path / "scalars.png").exists()


def test_an_animated_image_moves(browser, url):
    open_tab(browser, url, "images")
    picture = wait(lambda: images(browser, MOVIE), "the movie")[0]
    first = picture.screenshot_as_png
    wait(lambda: picture.screenshot_as_png != first, "another frame")


@pytest.mark.parametrize(
    ("required", "outcome"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_without_a_browser_the_tests_are_skipped_or_fail(monkeypatch, required, outcome):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("KERAS_VALLEYS_REQUIRE_BROWSER", required)
    with pytest.raises(outcome, match="needs (selenium|chromium)"), chromium():
        pass
