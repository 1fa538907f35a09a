"""Units and periods on a page in a real Chromium."""

import numpy as np
import pytest

import keras_valleys as kv
from helpers.browser import chromium, console_errors, wait

pytest.importorskip("plotly")
PHI = np.linspace(-np.pi, np.pi, 361)


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def surface(label, **options):
    losses = np.cos(PHI + 0.5) + 0.05 * np.sin(2 * PHI)
    return kv.surfaces.Surface(losses, [PHI], [[1.0]], [0.0], [label], **options)


def opened(browser, folder, given, weights=(2.0, 2.4, 3.3, 3.5)):
    path = kv.trajectories.Trajectory(
        range(4), np.array(weights)[:, None], np.full(4, np.nan), "sgd"
    )
    kv.pages.write_html(folder / "page.html", given, path)
    browser.set_window_size(1280, 900)
    browser.get((folder / "page.html").as_uri())
    script = "return document.querySelector('.valleys')?.dataset.shown"
    wait(lambda: browser.execute_script(script), "a picture")
    cells = browser.execute_script(
        "return [...document.querySelectorAll('.valleys-table tr')].slice(1)"
        ".map((row) => [...row.querySelectorAll('td')].map((cell) => cell.innerText))"
    )
    buttons = browser.execute_script(
        "return [...document.querySelectorAll('.segments button')]"
        ".filter((button) => !button.hidden).map((button) => button.innerText)"
    )
    return cells, buttons, browser.execute_script("return document.body.innerText")


CASES = {
    "angle": (surface("theta", periods=2 * np.pi, units="rad"), 1, "°", True),
    "name": (surface("phi"), 2, "", False),
    "length": (surface("w", units="m"), 2, " m", False),
    "clock": (surface("t", periods=2 * np.pi, units="h"), 1, " h", True),
}


@pytest.mark.parametrize("name", CASES)
def test_a_page_shows_periods_and_units_as_the_surface_says(browser, tmp_path, name):
    given, count, sign, has_circle = CASES[name]
    cells, buttons, text = opened(browser, tmp_path, given)
    assert len(cells) == count
    for index, (row, valley) in enumerate(zip(cells, kv.valleys.find_valleys(given), strict=True)):
        place = valley.position[0] * (180 / np.pi if sign == "°" else 1)
        head, number = row[0].removesuffix(sign).replace("\N{MINUS SIGN}", "-").split(": ")
        assert row[0].endswith(sign) and int(head) == index
        assert float(number) == pytest.approx(place, abs=0.06 if sign == "°" else 0.006)
        assert ("°" in row[3]) == (sign == "°")
    assert ("°" in text) == (sign == "°")
    assert ("Circle" in buttons) == has_circle
    if has_circle:
        script = "return document.querySelector('.space').dataset.first"
        wait(lambda: browser.execute_script(script), "the circle")
    assert console_errors(browser) == []


def test_a_path_round_the_end_stays_in_its_valley(browser, tmp_path):
    """3.3 and 3.5 are beyond the last sample."""
    _, _, text = opened(browser, tmp_path, CASES["angle"][0])
    assert "valley 0 at" in text and "no valley" not in text and "derailed" not in text
    _, _, text = opened(browser, tmp_path, CASES["length"][0])
    assert "no valley" in text
