"""The view in a real Chromium: as the tab of a real TensorBoard, and as a page from disk."""

import os
import shutil
import time

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.browser import chromium, tensorboard, wait
from helpers.lines import dense_model, rosette_model
from helpers.view import PHONE, View

STEPS = 60
RATES = {"adam": 0.0125, "sgd": 0.05}
OPTIMIZERS = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}


# All steps that are shown from now on, also those between two looks.
WATCH_STEPS = """
window.steps = [];
const view = document.querySelector(".valleys");
let last = view.dataset.step;
const watcher = new MutationObserver(() => {
  if (view.dataset.step !== last) window.steps.push(Number((last = view.dataset.step)));
});
watcher.observe(view, { attributes: true, attributeFilter: ["data-step"] });
"""


def fit(model, data, log_dir, surface, label, steps=STEPS, callbacks=()):
    recorder = kv.callbacks.TrajectoryRecorder(label=label)
    board = kv.callbacks.SurfaceBoard(log_dir, surface, images=0)
    x, y = kv.datasets.repeat(*data, steps)
    callbacks = [recorder, board, *callbacks]
    model.fit(x, y, batch_size=len(data[0]), shuffle=False, verbose=0, callbacks=callbacks)
    return recorder.trajectory


@pytest.fixture(scope="module")
def rosette():
    (x, y), _ = kv.datasets.rosette()
    objective = kv.objectives.Objective(rosette_model(), x, y)
    return (x, y), kv.surfaces.evaluate(
        objective, coordinates=np.linspace(-np.pi / 2, np.pi / 2, 1001)
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory, rosette):
    """A log directory with runs on two surfaces and on none, and a page of each surface."""
    log_dir, pages = tmp_path_factory.mktemp("logs"), tmp_path_factory.mktemp("pages")
    data, ring = rosette
    paths = [
        fit(rosette_model(OPTIMIZERS[name](rate)), data, log_dir / "ring" / name, ring, name)
        for name, rate in RATES.items()
    ]
    kv.pages.write_html(pages / "ring.html", ring, paths)
    line = kv.datasets.straight_line(70)[0]
    grid = [np.linspace(0.5, 5.5, 41), np.linspace(-0.5, 4, 33)]
    objective = kv.objectives.Objective(dense_model(), *line)
    plane = kv.surfaces.evaluate(objective, coordinates=grid, labels=["slope", "intercept"])
    path = fit(dense_model(), line, log_dir / "plane", plane, "sgd")
    kv.pages.write_html(pages / "plane.html", plane, path)
    fit(rosette_model(), data, log_dir / "bare", None, "sgd")
    return log_dir, pages


@pytest.fixture(scope="module")
def server(written):
    with tensorboard(written[0]) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    return os.environ.get("KERAS_VALLEYS_ARTIFACTS", tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(params=["tab", "page"])
def view(request, browser, artifacts, written):
    """The two runs on the ring, just opened."""
    view = View(browser, artifacts, request.param)
    if request.param == "tab":
        view.open(request.getfixturevalue("server") + "#keras_valleys")
    else:
        view.open(f"file://{written[1]}/ring.html")
    yield view
    browser.switch_to.default_content()


def runs_of(view):
    return [name.split("/")[-1] for name in view.shown]


def test_it_opens_and_draws(view):
    assert runs_of(view) == ["adam", "sgd"] and view.step == STEPS
    view.wait_for_space()
    for words in ("valley 1 at 36.0°", "adam", "sgd", f"step {STEPS} of {STEPS}", "derailed 1×"):
        assert words in view.text
    assert view.run("return document.querySelectorAll('.ticks i').length") == 1
    for selector in (".flat canvas", ".chart canvas", ".space"):
        assert len(view.picture(selector)) > 3000
    view.keep("ring")
    view.check_console()


def test_the_slider_moves_the_path_in_all_views(view):
    view.wait_for_space()
    selectors = (".flat canvas", ".chart canvas", ".chart:last-child canvas")
    before = [view.picture(selector) for selector in selectors]
    view.slide(7)
    assert f"step 7 of {STEPS}" in view.text
    view.wait_for_space()
    assert all(view.picture(s) != old for s, old in zip(selectors, before, strict=True))
    view.slide(STEPS)
    assert [view.picture(selector) for selector in selectors] == before
    view.check_console()


def test_the_keys_move_it(view):
    for key, step in (
        ("Home", 0),
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", STEPS),
    ):
        view.press(key)
        wait(lambda step=step: view.step == step, f"{key} to {step}")
    view.press("Home")
    wait(lambda: view.step == 0, "the begin")
    view.choose("Speed", "0.25")
    view.press(" ")
    wait(lambda: view.step > 2, "playing")
    assert "Pause" in view.text
    view.press(" ")
    wait(lambda: "Play" in view.text, "a pause")
    paused = view.step
    time.sleep(0.5)
    assert view.step == paused < STEPS
    view.check_console()


def test_play_runs_to_the_end(view):
    view.choose("Speed", "4")
    view.run(WATCH_STEPS)
    view.find(".play").click()
    wait(lambda: view.run("return window.steps.at(-1)") == STEPS and "Play" in view.text, "the end")
    steps = view.run("return window.steps")
    assert steps[0] < STEPS and steps == sorted(steps) and view.step == STEPS
    view.wait_for_space()
    view.check_console()


def test_runs_are_chosen_by_regex_and_by_box(view):
    field = view.find("input[type=search]")
    field.send_keys("sg.$")
    wait(lambda: runs_of(view) == ["sgd"], "sgd alone")
    field.send_keys("(")
    wait(lambda: view.shown == [] and "not a regular expression" in view.text, "a complaint")
    field.send_keys("\b" * 5)
    wait(lambda: runs_of(view) == ["adam", "sgd"], "both")
    view.find(".list li:has([title$=adam]) input").click()
    wait(lambda: runs_of(view) == ["sgd"], "adam unchecked")
    view.run("document.querySelectorAll('.actions button')[0].click()")
    wait(lambda: runs_of(view) == ["adam", "sgd"], "all")
    view.run("document.querySelectorAll('.actions button')[1].click()")
    wait(lambda: view.shown == [], "none")
    view.check_console()


def background(view):
    return view.run("return getComputedStyle(document.body).backgroundColor")


def test_it_is_light_and_dark(view):
    assert background(view) == "rgb(255, 255, 255)"
    view.choose("Theme", "dark")
    wait(lambda: background(view) == "rgb(20, 23, 28)", "dark")
    view.wait_for_space()
    view.keep("ring-dark")
    view.choose("Theme", "auto")
    wait(lambda: background(view) == "rgb(255, 255, 255)", "light again")
    if view.name == "tab":
        view.run("window.parent.document.body.classList.add('dark-mode')")
    else:
        feature = [{"name": "prefers-color-scheme", "value": "dark"}]
        view.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})
    wait(lambda: background(view) == "rgb(20, 23, 28)", "dark as around it")
    view.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    view.check_console()


def test_the_address_keeps_the_state(view):
    view.slide(7)
    view.run("document.querySelector('[data-view=space]').click()")
    view.find("input[type=search]").send_keys("sgd|x")
    view.browser.switch_to.default_content()
    address = wait(lambda: "sgd" in view.browser.current_url and view.browser.current_url, "it")
    if view.name == "tab":
        assert "#keras_valleys&" in address
    view.open(address)
    wait(lambda: view.step == 7 and runs_of(view) == ["sgd"], "the same state")
    assert view.run("return document.querySelector('.flat').hidden")
    view.wait_for_space()
    view.keep("circle")
    view.browser.switch_to.default_content()
    prefix = "p.keras_valleys." if view.name == "tab" else ""
    damaged = ("step=%7B", "filter=1", "view=%22x%22", "hidden=3", "theme=%22blue%22", "speed=-1")
    head, sign, _ = address.partition("#keras_valleys" if view.name == "tab" else "#")
    view.open(head + sign + "".join(f"&{prefix}{state}" for state in damaged))
    assert view.step == STEPS and len(view.shown) == 2
    view.check_console()


@pytest.mark.parametrize("kind", ["tab", "page"])
def test_a_plane_as_contours_and_in_space(browser, artifacts, written, server, kind):
    view = View(browser, artifacts, kind)
    state = "p.keras_valleys.filter=%22plane%22"
    address = f"{server}#keras_valleys&{state}" if kind == "tab" else f"{written[1]}/plane.html"
    view.open(address if kind == "tab" else f"file://{address}")
    assert len(view.shown) == 1 and "valley 0 at" in view.text
    view.wait_for_space()
    view.slide(9)
    view.wait_for_space()
    view.keep("plane")
    for name, hidden in (("flat", "deep"), ("space", "flat")):
        view.run(f"document.querySelector('[data-view={name}]').click()")
        wait(
            lambda hidden=hidden: view.run(f"return document.querySelector('.{hidden}').hidden"),
            name,
        )
    view.wait_for_space()
    view.choose("Theme", "dark")
    view.wait_for_space()
    view.keep("plane-dark")
    view.check_console()
    browser.switch_to.default_content()


@pytest.mark.parametrize("kind", ["tab", "page"])
def test_it_fits_a_phone(browser, artifacts, written, server, kind):
    view = View(browser, artifacts, kind)
    address = f"{server}#keras_valleys" if kind == "tab" else f"file://{written[1]}/ring.html"
    view.open(address, PHONE)
    overflow = "return document.documentElement.scrollWidth - window.innerWidth"
    assert view.run(overflow) <= 0
    assert view.run("return document.querySelector('.valleys').classList.contains('tall')")
    view.keep("phone")
    view.run("document.querySelector('[data-view=space]').click()")
    view.wait_for_space()
    view.keep("phone-circle")
    view.check_console()
    browser.switch_to.default_content()


def test_the_pointer_finds_a_valley(browser, artifacts, written):
    view = View(browser, artifacts, "page").open(f"file://{written[1]}/ring.html#view=%22flat%22")
    place = """
const box = document.querySelector(".flat canvas").getBoundingClientRect();
const [left, right] = [54, box.width - 12];
const x = box.left + left + (right - left) * (36 + 90) / 180;
for (let y = box.top; y < box.bottom; y += 4) {
  const move = new PointerEvent("pointermove", {clientX: x, clientY: y, bubbles: true});
  document.querySelector(".flat canvas").dispatchEvent(move);
  const tip = document.querySelector(".tip");
  if (!tip.hidden && tip.innerText.includes("depth")) return tip.innerText;
}
return "";
"""
    said = view.run(place)
    assert "valley 1 at 36.0°" in said and "depth 0.0" in said and "width 4" in said


def test_runs_without_a_surface_and_on_another_are_not_mixed(browser, artifacts, server):
    view = View(browser, artifacts, "tab").open(server + "#keras_valleys")
    assert "on slope × intercept (2 weights)" in view.text and "on no surface" in view.text
    view.choose("Surface", "none")
    wait(lambda: view.shown == ["bare"], "the run without a surface")
    assert view.run("return document.querySelectorAll('.chart').length") == 2
    view.keep("no-surface")
    view.check_console()
    browser.switch_to.default_content()


class Watch(keras.callbacks.Callback):
    """Looks at a view while a fit runs."""

    def __init__(self, view):
        super().__init__()
        self.view, self.seen = view, []

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.02)
        if batch % 10 == 0:
            self.seen.append(
                (batch, self.view.run("return document.querySelector('.valleys').dataset.step"))
            )


def test_paths_grow_while_a_fit_runs_and_runs_come_and_go(browser, artifacts, tmp_path, rosette):
    data, ring = rosette
    fit(rosette_model(), data, tmp_path / "one", ring, "sgd", steps=20)
    with tensorboard(tmp_path) as url:
        view = View(browser, artifacts, "tab")
        wait(lambda: len(list(tmp_path.rglob("*tfevents*"))) == 1, "the run")
        view.open(url + "#keras_valleys")
        watch = Watch(view)
        model = rosette_model(keras.optimizers.Adam(0.0125))
        fit(model, data, tmp_path / "two", ring, "adam", steps=400, callbacks=[watch])
        assert len(set(watch.seen)) >= 4, watch.seen  # nobody clicked
        wait(lambda: view.step == 400, "the end of the fit")
        view.wait_for_space()
        assert view.shown == ["one", "two"]
        view.keep("live")
        shutil.rmtree(tmp_path / "one")
        wait(lambda: view.shown == ["two"], "one to vanish")
        assert "one" not in view.find(".list").text
        view.check_console()
        browser.switch_to.default_content()


def test_several_log_directories_behind_a_path_prefix(browser, artifacts, written):
    log_dir, _ = written
    spec = f"first:{log_dir}/ring,second:{log_dir}/plane"
    with tensorboard(None, "--logdir_spec", spec, "--path_prefix", "/deep/down") as url:
        view = View(browser, artifacts, "tab").open(url + "#keras_valleys")
        assert view.shown == ["first/adam", "first/sgd"]
        view.wait_for_space()
        view.check_console()
        browser.switch_to.default_content()
