"""The stage of the view on pages: what is drawn, and what real pointers and keys do to it."""

import html
import json
import time
import urllib.parse

import numpy as np
import pytest

import keras_valleys as kv
from helpers.browser import chromium, console_errors, wait
from helpers.view import PHONE, View

X, Y = np.linspace(-1.5, 1.5, 61), np.linspace(-1, 2, 71) ** 3 / 4  # more than 51, and uneven
PHI = np.linspace(-np.pi / 2, np.pi / 2, 601)
FLAT, SPACE = ".flat canvas:not([hidden])", ".space"


def trajectory(weights, label, losses=None):
    weights = np.reshape(weights, (len(weights), -1))
    losses = np.exp(-np.arange(len(weights)) / 20) if losses is None else losses
    return kv.trajectories.Trajectory(np.arange(len(weights)), weights, losses, label)


def plane():
    losses = np.add.outer((X**2 - 1) ** 2, 0.5 * (Y - 0.3) ** 2)
    losses[:7, :9], losses[-5:, -9:] = np.nan, np.inf
    return kv.surfaces.Surface(losses, [X, Y], np.eye(2), np.zeros(2), ["u", "v"])


def ring():
    losses = 0.4 * np.abs(np.sin(2.5 * PHI)) ** 0.5 + 0.3 * PHI**2
    return kv.surfaces.Surface(losses, [PHI], [[1.0]], [0.0], ["phi"], periods=np.pi, units="rad")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Addresses of pages, each written once."""
    folder = tmp_path_factory.mktemp("pages")
    steps = np.arange(60)
    far = np.column_stack([0.2 * np.exp(steps / 6), steps / 60])
    lost = np.where(steps[:, None] < 45, [0.5, 0.5] + 0.2 * np.sin(steps)[:, None], np.nan)
    good = np.column_stack([-1 + 2.1 * np.minimum(1, steps / 30), 0.4 + 0 * steps])
    diverged = [
        trajectory(good, "Adam"),
        trajectory(far, "SGD 10", np.where(steps < 30, 1.0, 1e25)),
        trajectory(lost, "SGD 5", np.where(steps < 45, 0.5, np.nan)),
    ]
    many = [
        trajectory(
            good + np.random.RandomState(k).normal(0, 0.05, (60, 2)), f"group {k % 6}/run {k}"
        )
        for k in range(36)
    ]
    jump = trajectory(np.where(steps < 20, 1.25, 0.02), "SGD", 1 + 0.025 * (steps >= 20))
    written = {
        "plane": (plane(), diverged[:1]),
        "diverged": (plane(), diverged),
        "many": (plane(), many),
        "ring": (ring(), [jump]),
        "alone": (plane(), []),
    }
    for name, given in written.items():
        kv.pages.write_html(folder / f"{name}.html", *given, title=name)
    return {name: (folder / f"{name}.html") for name in written}


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        script = """
window.contexts = [];
const get = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
  window.contexts.push(kind);
  return get.call(this, kind, ...more);
};
"""
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
        yield browser


@pytest.fixture
def show(browser, pages, tmp_path):
    def show(name, wish="", **options):
        view = View(browser, tmp_path, "page")
        address = pages[name].as_uri() + (f"#{wish}" if wish else "")
        return view.open(address, **options) if name != "alone" else opened_alone(view, address)

    yield show
    assert console_errors(browser) == []


def opened_alone(view, address):
    view.browser.get(address)
    wait(lambda: view.run("return document.querySelector('.space')?.dataset.step"), "the surface")
    return view


SET_RATE = """
const slider = document.querySelector(".hint input");
slider.value = -70;
slider.dispatchEvent(new Event("input"));
"""
PRESS = """
for (const button of document.querySelectorAll("button"))
  if (button.innerText === arguments[0]) return button.click();
"""


def press(view, words):
    view.run(PRESS, words)


def settled(view):
    """The picture in space when it is drawn finely."""
    wait(lambda: view.data_of(SPACE).get("fine") == "true", "a fine picture")
    return view.picture(SPACE)


def test_a_pointer_keys_and_a_wheel_turn_it_and_a_double_click_sets_it_back(show):
    view = show("plane", "view=%22space%22")
    first, azimuth = settled(view), view.data_of(SPACE)["azimuth"]
    view.drag(SPACE, 80, 20)
    assert settled(view) != first and view.data_of(SPACE)["azimuth"] != azimuth
    wait(lambda: "camera=" in view.browser.current_url, "the address")
    view.run("document.querySelector('.space').focus()")
    turned = view.data_of(SPACE)["azimuth"]
    view.press_real("\ue012")  # to the left
    wait(lambda: view.data_of(SPACE)["azimuth"] != turned, "a turn by a key")
    assert view.step == 59  # the key turned it, and moved no step
    before = settled(view)
    view.wheel(SPACE, -300)
    wait(lambda: settled(view) != before, "it to be larger")
    press(view, "Reset view")
    wait(lambda: settled(view) == first, "the first side")
    assert set(view.run("return window.contexts")) == {"2d"}


def test_the_map_is_zoomed_and_moved_and_set_back(show):
    view = show("plane", "view=%22flat%22")
    first = view.picture(FLAT)
    view.wheel(FLAT, -400, at=(40, 20))
    wait(lambda: view.picture(FLAT) != first, "a zoom")
    wait(lambda: "zoom=" in view.browser.current_url, "the address")
    zoomed, before = view.picture(FLAT), view.browser.current_url
    view.drag(FLAT, 60, 40)
    wait(lambda: view.picture(FLAT) != zoomed, "a move")
    wait(lambda: view.browser.current_url != before, "another address")
    time.sleep(0.4)  # until it is written for the last time
    moved, address = view.picture(FLAT), view.browser.current_url
    assert "hint" not in address  # a drag is no click
    view.open(address)
    assert view.picture(FLAT) == moved
    press(view, "Reset view")
    wait(lambda: view.picture(FLAT) == first, "all of it")


def test_space_presses_the_button_that_has_the_focus_and_plays_elsewhere(show):
    view = show("many")
    view.run("[...document.querySelectorAll('.actions button')].at(-1).focus()")  # "None"
    view.press_real(" ")
    wait(lambda: view.shown == [], "the button to be pressed")
    assert "Pause" not in view.text
    press(view, "All")
    view.run("document.activeElement.blur()")
    wait(lambda: len(view.shown) == 36, "all")
    view.press_real(" ")
    wait(lambda: "Pause" in view.text, "it to play")
    view.press_real(" ")
    wait(lambda: "Play" in view.text, "it to pause")


def test_only_one_run_is_a_short_address(show):
    view = show("many")
    view.run("document.querySelector('.list .only').click()")
    wait(lambda: len(view.shown) == 1, "one run")
    wait(lambda: "only=" in view.browser.current_url, "the address")
    state = urllib.parse.urlsplit(view.browser.current_url).fragment
    assert len(state) < 60
    view.open(view.browser.current_url)
    assert len(view.shown) == 1
    view.run("document.querySelectorAll('.list input')[20].click()")
    wait(lambda: len(view.shown) == 2, "two runs")
    view.run("document.querySelectorAll('.actions button')[0].click()")
    wait(lambda: len(view.shown) == 36, "all")
    view.choose("'Colors of runs'", "folder")
    swatches = (
        "return [...document.querySelectorAll('.list .swatch')].map((s) => s.style.background)"
    )
    wait(lambda: len(set(view.run(swatches))) == 6, "a color for each folder")


def test_a_derailment_is_told_when_it_happens_and_not_before(show):
    view = show("ring")
    ticks = "return document.querySelectorAll('.ticks i').length"
    for step, said, num in ((18, "", 0), (19, "", 0), (20, "derailed here: ", 1), (40, "", 1)):
        view.slide(step)
        wait(lambda num=num: view.run(ticks) == num, f"the ticks at {step}")
        for selector in (FLAT, SPACE):
            news = view.data_of(selector)["news"]
            assert news.startswith(said) and bool(news) == bool(said)
        assert ("derailed 1" in view.text) == bool(num)
    view.slide(20)
    news = view.data_of(FLAT)["news"]
    assert news == "derailed here: from 72.0° to 0.0°, recorded loss +0.025"


def test_diverged_runs_are_crosses_that_set_no_axis(show):
    view = show("diverged")
    # SGD 10 was last within a hundred sizes of the surface at step 43.
    news = set(view.data_of(FLAT)["news"].split("|"))
    assert news == {"SGD 10 diverged at step 44", "SGD 5 diverged at step 45"}
    for chart in view.run(
        "return [...document.querySelectorAll('.chart canvas')].map((one) => one.dataset.ends)"
    ):
        low, high = map(float, chart.split())
        assert -3 < low < high < 3
    view.slide(43)
    assert "diverged at" not in view.text and view.data_of(FLAT)["news"].count("diverged") == 0
    view.slide(44)
    assert "diverged at step 44" in view.text and "diverged at step 45" not in view.text


def test_a_click_shows_where_descent_on_the_slice_leads(show):
    view = show("plane", "view=%22flat%22")
    before = view.picture(FLAT)
    view.drag(FLAT, 0, 0, begin=(70, 60))
    wait(lambda: "The slice's descent, not the network's" in view.text, "the hint")
    assert view.picture(FLAT) != before
    wait(lambda: "hint=" in view.browser.current_url, "the address")
    (hint,) = urllib.parse.parse_qs(urllib.parse.urlsplit(view.browser.current_url).fragment)[
        "hint"
    ]
    *point, rate = json.loads(hint)
    # The slow twin, of the function itself: plain descent from that start.
    assert abs(point[0]) < 1.5 and rate > 0
    u, v = point
    for _ in range(300):
        u, v = u - rate * 4 * u * (u**2 - 1), v - rate * (v - 0.3)
    place = view.find(".hint .result").text.split("steps to ")[1].split(";")[0]
    found = [float(text.replace("\N{MINUS SIGN}", "-")) for text in place.split(", ")]
    assert found == pytest.approx([u, v], abs=0.06)
    view.run(SET_RATE)
    wait(lambda: place not in view.text, "another rate")
    view.run("document.querySelector('.hint button').click()")
    wait(lambda: view.picture(FLAT) == before, "no hint")
    view.run("document.querySelector('[data-view=space]').click()")
    wait(lambda: view.data_of(SPACE).get("fine") == "true", "the view in space")
    view.drag(SPACE, 0, 0)
    wait(lambda: "The slice's descent" in view.text, "the hint")


def test_a_surface_without_paths_is_shown(show):
    view = show("alone")
    assert len(view.picture(FLAT)) > 9000 and len(settled(view)) > 9000


def test_a_phone_has_one_column_and_large_text_a_projector(show):
    view = show("diverged", size=PHONE)
    assert view.run("return document.documentElement.scrollWidth - innerWidth") <= 0
    boxes = """
return [".stage", ".player", ".charts", ".runs"]
  .map((name) => document.querySelector(name).getBoundingClientRect().top)
"""
    tops = view.run(boxes)
    assert tops == sorted(tops)
    view = show("diverged")
    press(view, "Present")
    size = "return document.querySelector('.name').getBoundingClientRect().height"
    wait(lambda: view.run(size) > 24, "larger text")


def test_a_picture_is_saved_as_it_is_seen(show, browser, tmp_path):
    view = show("plane")
    order = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Page.setDownloadBehavior", order)
    press(view, "PNG")
    (saved,) = wait(lambda: list(tmp_path.glob("*.png")), "the file")
    assert saved.name == "valleys-step-59.png"
    assert wait(saved.read_bytes, "bytes").startswith(b"\x89PNG")


def test_a_frame_without_an_address_shows_it_and_runs_no_other_script(browser, pages, tmp_path):
    text = pages["ring"].read_text("utf-8")
    assert "<body>" in text
    hacked = text.replace("<body>", "<body><script>parent.hacked = window.hacked = 1</script>")
    around = tmp_path / "notebook.html"
    sandbox = 'sandbox="allow-scripts allow-same-origin" height="420" width="1000"'
    frame = f'<iframe {sandbox} srcdoc="{html.escape(hacked)}">'
    around.write_text(f"<!DOCTYPE html><link rel=icon href='data:,'>{frame}</iframe>", "utf-8")
    browser.get("about:blank")
    console_errors(browser)
    browser.get(around.as_uri())
    browser.switch_to.frame(browser.find_element("css selector", "iframe"))
    view = View(browser, tmp_path, "page")
    wait(lambda: view.data.get("shown"), "a picture")
    view.slide(7)
    wait(lambda: view.data_of(SPACE)["step"] == "7", "step 7")
    assert view.run("return window.hacked ?? parent.hacked ?? null") is None
    (refused,) = console_errors(browser)
    assert "Content Security Policy" in refused
    browser.switch_to.default_content()
