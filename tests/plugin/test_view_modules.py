"""What the view makes of what it gets: its modules alone, in a real Chromium."""

import base64
import json

import numpy as np
import pytest

import keras_valleys as kv
from helpers.browser import chromium
from helpers.served import served
from helpers.tab import decode
from keras_valleys import _tab
from keras_valleys.valleys import find_valleys, shown_range
from tensorboard_plugin_valleys import assets, payload
from tensorboard_plugin_valleys import places as places_module

PATH = """
const done = arguments[arguments.length - 1];
const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0)).buffer;
import("./path.js").then(async ({ Path }) => {
  const path = await Path.read(bytes);
  const { lastStep, names, derailments, numDerailments, shown } = path;
  done(JSON.stringify({
    lastStep, names, derailments, numDerailments, shown, size: path.size,
    rows: arguments[1].map(([last, error]) => Array.from(path.rowsUpTo(last, error))),
    columns: [path.steps, path.losses, path.distances, path.valleys, ...path.coordinates]
      .map((column) => Array.from(column)),
    marks: arguments[2].map(([last, most]) => path.derailmentsUpTo(last, most)),
    leaves: path.leavesSurface(),
    moved: Array.from({ length: path.size - 1 }, (_, row) => path.isMoved(row, row + 1)),
    movedAcross: [path.isMoved(0, path.size - 1), path.isMoved(0, 1)],
  }));
}).catch((error) => done(JSON.stringify(String(error))));
"""
LIMITS = """
const done = arguments[arguments.length - 1];
import("./surface.js").then(({ Surface }) => {
  const surface = new Surface(arguments[0]);
  const limits = surface.limits(arguments[1].map((shown) => ({ shown })));
  done(JSON.stringify({ ...limits, numDiverged: surface.numDiverged }));
}, (error) => done(String(error)));
"""
WORDS = """
const done = arguments[arguments.length - 1];
Promise.all([import("./surface.js"), import("./words.js")]).then(([{ Surface }, words]) => {
  const surface = new Surface(arguments[0]);
  const { valleys, notCounted } = surface;
  done(JSON.stringify({
    named: words.namedValleys(surface).map(({ index }) => index),
    words: valleys.map((_, index) => words.valleyWords(surface, index)),
    lines: valleys.map((_, index) => words.valleyLines(surface, index)),
    marks: words.namedValleys(surface).map((valley) => words.markWords(surface, valley)),
    notCounted,
  }));
}, (error) => done(String(error)));
"""


@pytest.fixture(scope="module")
def ask():
    """Run a script beside the view's modules; what it hands to `done`."""
    with served(assets.STATIC) as url, chromium() as browser:
        browser.get(f"{url}/style.css")
        yield lambda script, *given: json.loads(browser.execute_async_script(script, *given))


X = np.linspace(-1.5, 2.5, 401)
WAVE = kv.surfaces.Surface(np.cos(2 * np.pi * X), [X], [[1.0]], [0.0], ["x"])


def packed(size):
    """A path that is derailed often and begins outside, as bytes and as rows."""
    random = np.random.RandomState(8)
    x = 0.5 + np.cumsum(random.normal(0, 0.25, size))
    x = np.abs((x + 3) % 6 - 3) - 1
    x[0] = -9
    losses = np.cos(2 * np.pi * x)
    distances = np.where(np.arange(size) > 5, 0.1, 0.0)
    found = find_valleys(WAVE)
    known = losses, x[:, None], distances, found
    rows, past = _tab.path_rows(3 * np.arange(size), *known, no_steps=[9, 3 * (size - 1)])
    below = WAVE.losses, _tab.surface_info(WAVE, found)
    shown = shown_range(found, past.heights)
    return payload.path_payload(rows, ["x"], "SGD", shown, surface=below), x


@pytest.mark.parametrize("size", [40, 20_000])
def test_a_path_shows_the_rows_and_derailments_that_it_is_told(ask, size):
    content, x = packed(size)
    length = int.from_bytes(content[:4], "little")
    header = json.loads(content[4 : 4 + length])
    last, columns = header["num_rows"] - 1, decode(content)[1]
    asked = [(row, error) for row in (0, 7, last // 3, last) for error in (0.3, 0.03, 1 / 800)]
    got = ask(PATH, base64.b64encode(content).decode(), asked, [(last // 2, 3), (last, 10**6)])
    assert (got["size"], got["lastStep"]) == (last + 1, 3 * (size - 1)) and got["names"] == ["x"]
    level = columns.pop("level")
    for (row, error), rows in zip(asked, got["rows"], strict=True):
        shown = np.flatnonzero((level < np.ceil(-4 * np.log2(error))) | (level == 0))
        assert rows == [*shown[shown < row].tolist(), row]
    for given, column in zip(got["columns"], columns.values(), strict=True):
        np.testing.assert_array_equal(given, column)
    told = [
        {"row": row, "before": step, "from": left, "to": entered, "rise": rise}
        for row, step, left, entered, rise in header["derailments"]
    ]
    assert got["derailments"] == got["marks"][1] == told and len(told) > 2
    assert got["marks"][0] == [one for one in told if one["row"] <= last // 2][-3:]
    no_steps = [9, 3 * (size - 1)]
    steps = 3 * np.arange(size)
    path = kv.trajectories.Trajectory(steps, x[:, None], np.zeros(size), no_steps=no_steps)
    assert np.flatnonzero(got["moved"]).tolist() == [row - 1 for row in header["no_steps"]]
    assert len(header["no_steps"]) == 2 and got["movedAcross"] == [True, False]
    assert got["numDerailments"] == len(kv.valleys.derailments(path, WAVE))
    assert got["shown"] == header["shown"] and got["leaves"]


def surface_payload(surface):
    return payload.surface_payload(
        surface.losses, _tab.surface_info(surface, find_valleys(surface))
    )


@pytest.mark.parametrize("heights", [[], [[5.0]], [[1.5, -2.0], [9.0, np.nan]], [[1e9], [0.5]]])
def test_the_limits_are_those_that_the_surface_and_the_paths_ask_for(ask, heights):
    losses = 0.05 / (2.501 - X) + np.cos(2 * np.pi * X)
    losses[[3, 4]] = np.nan, np.inf
    surface = kv.surfaces.Surface(losses, [X], [[1.0]], [0.0], ["x"])
    ranges = [shown_range(surface, one) for one in heights]
    got = ask(LIMITS, surface_payload(surface), [*ranges, None])
    ranges = ranges or [shown_range(surface)]
    assert got["low"] == min(low for low, _ in ranges)
    assert got["top"] == max(top for _, top in ranges)
    assert got["cut"] and got["numDiverged"] == 2
    axes = kv.plots.curve(surface, [walk(one) for one in heights]).axes[0]
    assert f"cut at loss {got['top']:.4g}" in axes.get_title("right")


def walk(losses):
    weights = np.linspace(0.1, 0.3, len(losses))[:, None]
    return kv.trajectories.Trajectory(np.arange(len(losses)), weights, losses)


def test_a_fine_plane_says_how_many_of_all_its_points_diverged(ask):
    x, y = np.linspace(-1, 2, 403), np.linspace(-2, 1, 305)
    losses = np.add.outer(x**2, (y - 0.5) ** 2)
    losses[:20, 5:10] = np.nan
    fine = kv.surfaces.Surface(losses, [x, y], np.eye(2), np.zeros(2), ["u", "v"])
    got = ask(LIMITS, surface_payload(fine), [])
    assert got["numDiverged"] == 100 and not got["cut"]
    low, top = shown_range(fine)
    assert (got["low"], got["top"]) == (low, top)


def test_what_is_lowest_at_the_border_is_called_so_and_has_no_depth(ask):
    x = np.linspace(-2, 3, 501)
    slope = kv.surfaces.Surface(np.cos(3 * x) - 0.3 * x, [x], [[1.0]], [0.0], ["x"])
    given = surface_payload(slope)
    assert [valley["on_border"] for valley in given["valleys"]] == [True, False, False]
    assert given["valleys"][0]["depth"] is None
    given["not_counted"] = "14 shallower than 0.002 not counted"
    got = ask(WORDS, given)
    border = "lowest at the border"
    assert got["named"] == [1, 2, 0] and got["marks"] == ["valley 1", "valley 2", border]
    assert got["words"][0]["name"] == f"{border}, 3" and got["words"][0]["depth"] == border
    assert got["words"][1]["name"] == "valley 1 at 1.08" and float(got["words"][1]["depth"]) > 1
    assert got["lines"][0][0] == f"{border}, 3" and "\N{INFINITY}" not in str(got)
    assert not any("depth" in line for line in got["lines"][0])
    assert got["notCounted"] == "14 shallower than 0.002 not counted"
    # A file of version 0.1 does not say which these are, and is shown as before.
    old = {key: value for key, value in given.items() if key != "not_counted"}
    old["valleys"] = [
        {key: value for key, value in valley.items() if key != "on_border"}
        for valley in given["valleys"]
    ]
    got = ask(WORDS, old)
    assert got["words"][0]["name"] == "valley 0 at 3" and got["named"] == [0, 1, 2]
    assert got["words"][0]["depth"] == "\N{INFINITY}" and got["notCounted"] == ""
    assert got["lines"][0][2] == "nothing surrounds it"


HIDDEN = """
const done = arguments[arguments.length - 1];
const [data, places, [azimuth, elevation], coarse] = arguments;
const files = ["surface.js", "solids.js", "camera.js", "theme.js"];
Promise.all(files.map((file) => import(`./${file}`))).then(([s, { Landscape }, c, { themeOf }]) => {
  const surface = new s.Surface(data);
  const solid = new Landscape(surface, surface.limits([]), themeOf("light", false), coarse);
  const camera = new c.Camera(azimuth, elevation);
  camera.fit(800, 600, solid);
  const found = places.map((point) => {
    const [x, y, z] = solid.place(point);
    return { place: [x, y, z], hidden: c.isHidden(solid, camera.eye, x, y, z + 0.006) };
  });
  done(JSON.stringify({ found, eye: camera.eye, shape: [solid.numX, solid.numY] }));
}).catch((error) => done(JSON.stringify(String(error.stack))));
"""


@pytest.mark.parametrize("view", [(0.7, 0.3), (-2.4, 0.6), (2.0, 1.2)])
def test_what_a_hill_hides_is_found_as_by_looking_along_a_fine_line(ask, view):
    x, y = np.linspace(-1.5, 1.5, 61) ** 3, np.linspace(-2, 1, 81)
    losses = 0.5 * np.sin(3 * x)[:, None] * np.cos(4 * y) + 0.1 * y**2
    surface = kv.surfaces.Surface(losses, [x, y], np.eye(2), np.zeros(2), ["u", "v"])
    random = np.random.RandomState(3)
    points = np.stack([random.uniform(x[0], x[-1], 300), random.uniform(-2, 1, 300)], 1)
    got = ask(HIDDEN, surface_payload(surface), points.tolist(), view, False)
    low, top = shown_range(surface)
    eye, unit = np.array(got["eye"]), np.array([2 / (x[-1] - x[0]), 2 / (y[-1] - y[0])])

    def ground(places):
        """The height in the picture, by Python's own interpolation."""
        raw = (places + 1) / unit + [x[0], y[0]]
        slices = places_module.slice_heights(raw, losses, [x, y], [None, None])
        return 0.8 * np.minimum(1, (slices - low) / (top - low))

    agree, num_hidden = 0, 0
    for point, one in zip(points, got["found"], strict=True):
        place = np.array(one["place"])
        np.testing.assert_allclose(place[:2], (point - [x[0], y[0]]) * unit - 1, atol=1e-9)
        assert place[2] == pytest.approx(ground(place[None, :2])[0], abs=1e-9)  # on the slice
        shares = np.linspace(0.002, 1, 2000)[:, None]
        line = place + shares * (eye - place)
        above = ground(line[:, :2]) - line[:, 2]
        hidden = bool(np.any(above[np.isfinite(above)] > 0.004))
        agree += hidden == one["hidden"]
        num_hidden += hidden
    assert agree >= 294 and (num_hidden > 30 or view[1] > 1)


CONTRAST = """
const done = arguments[arguments.length - 1];
Promise.all([import("./ramp.js"), import("./theme.js")]).then(([ramp, { themeOf }]) => {
  const found = {};
  for (const name of ["light", "dark"]) {
    const lights = [1, ramp.SHADOW[name], ramp.LIGHT[name]];
    const shades = (share) => lights.map((light) => ramp.rampColor(name, share, light));
    const ground = Array.from({ length: 101 }, (_, k) => shades(k / 100));
    found[name] = { casing: themeOf(name, false).casing, ground };
  }
  done(JSON.stringify(found));
}).catch((error) => done(JSON.stringify(String(error.stack))));
"""


def luminance(color):
    """As the Web Content Accessibility Guidelines say."""
    share = np.asarray(color) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_a_path_stands_out_from_each_color_of_the_ground(ask):
    for name, found in ask(CONTRAST).items():
        casing = luminance([int(found["casing"][k : k + 2], 16) for k in (1, 3, 5)])
        ground = luminance(found["ground"])
        lighter, darker = np.maximum(ground, casing), np.minimum(ground, casing)
        assert np.min((lighter + 0.05) / (darker + 0.05)) >= 3, name
        # The height can be read by lightness alone, in even steps: by the color-blind as well.
        steps = np.diff(np.cbrt(ground[:, 0]))
        assert np.all(steps > 0) and steps.max() < 4 * np.median(steps), name
