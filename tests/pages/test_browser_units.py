"""Units and periods on a page in a real Chromium, and its arithmetic against Python's."""

import functools
import http.server
import json
import threading

import numpy as np
import pytest

import keras_valleys as kv
from helpers.browser import chromium, console_errors, wait
from keras_valleys._tab import surface_info
from keras_valleys.valleys import axes_of
from tensorboard_plugin_valleys import assets, payload

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
        script = "return document.querySelector('.space').dataset.step"
        wait(lambda: browser.execute_script(script), "the circle")
    assert console_errors(browser) == []


def test_a_path_round_the_end_stays_in_its_valley(browser, tmp_path):
    """3.3 and 3.5 are beyond the last sample."""
    _, _, text = opened(browser, tmp_path, CASES["angle"][0])
    assert "valley 0 at" in text and "no valley" not in text and "derailed" not in text
    _, _, text = opened(browser, tmp_path, CASES["length"][0])
    assert "no valley" in text


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def modules(browser):
    """The address of the view's own modules."""
    handler = functools.partial(Files, directory=str(assets.STATIC))
    with http.server.ThreadingHTTPServer(("localhost", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


def asked(browser, modules, script, *arguments):
    """What a script returns that may use `Surface` and `format`."""
    browser.get(modules)
    browser.set_script_timeout(60)
    text = (
        "const done = arguments[arguments.length - 1];"
        "Promise.all([import('/surface.js'), import('/format.js')])"
        f".then(([{{ Surface }}, format]) => {{ {script} }})"
        ".catch((error) => `${error}`).then((found) => done(JSON.stringify(found)));"
    )
    return json.loads(browser.execute_async_script(text, *arguments))


PLACES = """
const surface = new Surface(arguments[0]);
const places = arguments[1].map((value) => surface.wrap([value]));
const column = places.map(({ inside }) => inside[0]);
const repeated = (value) => surface.repeats([value]).map(([one]) => one);
return {
  places: column, turns: places.map(({ turns }) => turns),
  pieces: column.slice(1).map((value, k) =>
    surface.pieces([column[k]], [value]).map((piece) => piece.flat())),
  repeats: column.map((value) => (Number.isNaN(value) ? [] : repeated(value))),
};
"""


@pytest.mark.parametrize("length, period", [(2.0, 2.0), (1.4, 2.0), (4.0, 2.0), (2.0, None)])
def test_the_view_places_a_path_as_python_does(browser, modules, length, period):
    """On a ring, a part of one, two rounds and a line: places, turns, ways and repeats."""
    axis = np.linspace(-1, length - 1, 41)
    values = np.round(np.random.default_rng(3).uniform(-9, 9, 60), 6)
    line = kv.surfaces.Surface(axis**2, [axis], [[1.0]], [0.0], ["w"], periods=(period,))
    info = surface_info(line, kv.valleys.find_valleys(line))
    data = payload.surface_payload(line.losses, info)
    found = asked(browser, modules, PLACES, data, values.tolist())
    (ring,) = axes_of(line)
    points, turns = ring.unroll(values, axis[-1])
    seen = np.isfinite(points)
    assert [value is not None for value in found["places"]] == seen.tolist()
    np.testing.assert_allclose(np.array(found["places"], float)[seen], points[seen], atol=1e-9)
    np.testing.assert_array_equal(np.array(found["turns"])[seen], turns[seen])
    # From each to the next the shorter way: round the end out at one side and in at the other.
    for k in np.flatnonzero(seen[1:] & seen[:-1]):
        (begin, end), pieces = points[k : k + 2], found["pieces"][k]
        far = bool(period) and abs(end - begin) > period / 2
        if not far:
            np.testing.assert_allclose(pieces, [[begin, end]])
            continue
        way = pieces[0][1] - begin
        assert abs(way) <= period / 2 and pieces[1][1] == pytest.approx(end)
        assert pieces[1][1] - pieces[1][0] == pytest.approx(way)
        assert pieces[0][0] == pytest.approx(begin) and abs(pieces[0][1] - end) % period < 1e-9
    for point, places in zip(points, found["repeats"], strict=True):
        expected = ring.repeats(point, axis[-1]) if np.isfinite(point) else []
        np.testing.assert_allclose(places, expected, atol=1e-9)


def test_the_view_writes_coordinates_with_their_unit(browser, modules):
    script = """
const { axisTitle, coordinate } = format;
return arguments[0].map(([value, unit]) => [coordinate(value, unit), axisTitle("w", unit)]);
"""
    given = {
        "rad": ["28.6°", "w (°)"],
        "": ["0.5", "w"],
        "m": ["0.5 m", "w (m)"],
        "°": ["0.5°", "w (°)"],
    }
    pairs = [[0.5, unit] for unit in given]
    assert asked(browser, modules, script, pairs) == list(given.values())
