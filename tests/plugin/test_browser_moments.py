"""A run on the planes of its own path, in the tab of a real TensorBoard: the surface moves with the
step."""

import os
import pathlib

import keras
import numpy as np
import pytest

from helpers.browser import chromium, console_errors, tensorboard, wait
from keras_valleys.callbacks import SurfaceBoard

pytestmark = pytest.mark.skipif(
    os.environ.get("KERAS_VALLEYS_NO_BROWSER") == "1", reason="no browser is wanted"
)


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    x = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
    y = np.tanh(x[:, :1]) + 0.3 * x[:, 1:2] ** 2
    for name, rate in (("slow", 0.003), ("quick", 0.02)):
        keras.utils.set_random_seed(2)
        layers = [keras.layers.Dense(12, "tanh"), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((5,)), *layers])
        model.compile(keras.optimizers.Adam(rate), "mean_squared_error")
        board = SurfaceBoard(folder / name, data=(x, y), images=5, budget=1e9)
        model.fit(x, y, batch_size=16, epochs=20, verbose=0, callbacks=[board])
    return folder


def of_view(browser, name):
    script = "return document.querySelector('.valleys')?.dataset[arguments[0]] ?? null"
    return browser.execute_script(script, name)


def look_at(browser, step):
    """The flat picture at a step, as the browser has it, and the moment whose plane is shown."""
    drawn = int(of_view(browser, "drawn"))
    browser.execute_script(
        """
        const slider = document.querySelector(".valleys input[type=range]");
        slider.value = arguments[0];
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        """,
        step,
    )
    wait(lambda: int(of_view(browser, "drawn")) > drawn, "another picture")
    wait(lambda: of_view(browser, "step") == str(step), f"step {step}")
    picture = browser.execute_script(
        "return document.querySelector('.valleys .flat canvas:not([hidden])').toDataURL()"
    )
    return picture, of_view(browser, "moment")


def num_pixels_like_the_run(browser):
    """How many pixels of the flat picture have the color of the run that is shown."""
    return browser.execute_script(
        """
        const canvas = document.querySelector(".valleys .flat canvas:not([hidden])");
        const dots = [...document.querySelectorAll(".valleys .runs .list .swatch")];
        const colors = dots.map((dot) => getComputedStyle(dot).backgroundColor.match(/\\d+/g));
        const wanted = colors.map((one) => one.slice(0, 3).join()).filter((one) => one !== "0,0,0");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let k = 0; k < data.length; k += 4) {
          count += wanted.includes(data.slice(k, k + 3).join());
        }
        return count;
        """
    )


def test_the_surface_moves_with_the_step(log_dir, tmp_path):
    artifacts = pathlib.Path(os.environ.get("KERAS_VALLEYS_ARTIFACTS", tmp_path))
    artifacts.mkdir(parents=True, exist_ok=True)
    with tensorboard(log_dir) as url, chromium() as browser:
        browser.get(f"{url}/#keras_valleys")
        find = "iframe[src*='name=keras_valleys']"
        frame = wait(lambda: browser.find_elements("css selector", find), "the frame")[0]
        browser.switch_to.frame(frame)
        wait(lambda: of_view(browser, "shown"), "a picture")
        assert of_view(browser, "shown") in ("quick", "slow")  # each on planes of its own
        seen = {step: look_at(browser, step) for step in (5, 20, 41, 62, 80)}
        browser.save_screenshot(str(artifacts / "moments.png"))
        assert [moment for _, moment in seen.values()] == ["0", "0", "1", "2", "3"]
        assert len({picture for picture, _ in seen.values()}) == 5
        for step in (20, 80):  # the path is drawn on the plane of each moment
            look_at(browser, step)
            assert num_pixels_like_the_run(browser) > 200
        again, _ = look_at(browser, 20)
        assert again == seen[20][0]
        browser.save_screenshot(str(artifacts / "moments-early.png"))
        assert console_errors(browser) == []
