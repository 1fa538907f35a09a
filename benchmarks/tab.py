"""The tab "Valleys" and the page: how soon they show, what a step costs, how large the page is.

    python benchmarks/tab.py [RUNS [STEPS]]

Times are those of the browser itself, from the moment the frame or the page is opened; a frame is
the median while the surface in space is turned by the pointer.
"""

import dataclasses
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import measure
import numpy as np

import keras_valleys as kv
from keras_valleys._tab import PathChunks, SurfaceRecord

sys.path.append(str(pathlib.Path(__file__).parent.parent / "tests"))
from helpers import browser as chrome

IMPORT = (
    "import time, tensorboard.default; begin = time.perf_counter();"
    "import tensorboard_plugin_valleys.plugin, tensorboard_plugin_valleys.loader;"
    "print(time.perf_counter() - begin)"
)
PRESS = """
const [root, done] = [document.querySelector(".valleys"), arguments[0]];
const [drawn, begin] = [root.dataset.drawn, performance.now()];
document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft", bubbles: true}));
function look() {
  if (root.dataset.drawn === drawn) setTimeout(look, 0);
  else done(performance.now() - begin);
}
look();
"""
TURN = """
const [view, done] = [document.querySelector(".space"), arguments[0]];
const [box, times] = [view.getBoundingClientRect(), []];
let [x, before] = [box.left + box.width / 3, performance.now()];
const point = (name, buttons) => {
  const place = { clientX: x, clientY: box.top + 99 };
  view.dispatchEvent(new PointerEvent(name, { ...place, pointerId: 1, buttons, bubbles: true }));
};
view.setPointerCapture = () => {};
point("pointerdown", 1);
function frame() {
  times.push(performance.now() - before);
  before = performance.now();
  x += 3;
  point("pointermove", 1);
  if (times.length < 90) return requestAnimationFrame(frame);
  point("pointerup", 0);
  done(times.sort((a, b) => a - b)[45]);
}
requestAnimationFrame(frame);
"""


@dataclasses.dataclass
class Row:
    step: int
    loss: float
    vector: np.ndarray


def surfaces():
    """A curve over phi with five valleys, and a plane with four."""
    phi = np.linspace(-np.pi / 2, np.pi / 2, 2001)
    curve = np.abs(np.sin(5 * phi)) ** 0.5 + phi**2
    x, y = np.linspace(-3, 3, 51), np.linspace(-2, 2, 49)
    plane = np.add.outer((x**2 - 2) ** 2, (y**2 - 1) ** 2)
    return {
        "ring": kv.surfaces.Surface(
            curve, [phi], [[1.0]], [0.0], ["phi"], periods=np.pi, units="rad"
        ),
        "plane": kv.surfaces.Surface(plane, [x, y], np.eye(2), np.zeros(2), ["u", "v"]),
    }


def walk(surface, steps, seed):
    """A trajectory that wanders over a surface."""
    random = np.random.RandomState(seed)
    size = surface.origin.size
    weights = np.cumsum(random.normal(0, 1.2 / np.sqrt(steps), (steps + 1, size)), 0)
    weights = np.clip(weights, -1.5, 1.5)
    losses = 1 + random.normal(0, 0.05, steps + 1)
    return kv.trajectories.Trajectory(np.arange(steps + 1), weights, losses, f"run {seed}")


def write_logs(log_dir, surface, runs, steps):
    """Event files as SurfaceBoard leaves them; the seconds that a row took."""
    record, spent = SurfaceRecord(surface, kv.valleys.find_valleys(surface)), 0.0
    for seed in range(runs):
        path = walk(surface, steps, seed)
        rows = [Row(*row) for row in zip(path.steps.tolist(), path.losses, path.weights)]  # noqa: B905
        with kv.events.EventWriter(log_dir / path.label) as writer:
            begin = time.perf_counter()
            chunks = PathChunks(writer, surface.labels, path.label, record)
            for row in rows:
                chunks.add(row)
            chunks.flush()
            spent += time.perf_counter() - begin
    return spent / (runs * (steps + 1))


def look(driver, address):
    """Seconds to the pictures without and with WebGL, and milliseconds of a step."""
    driver.get("about:blank")
    driver.get(address)
    if address.startswith("http"):
        frame = "iframe[src*='name=keras_valleys']"
        driver.switch_to.frame(
            chrome.wait(lambda: driver.find_elements("css selector", frame), "the frame")[0]
        )
    first = "return document.querySelector('.valleys')?.dataset.first"
    picture = float(chrome.wait(lambda: driver.execute_script(first), "a picture")) / 1000
    steps = [driver.execute_async_script(PRESS) for _ in range(20)]
    frame = driver.execute_async_script(TURN)
    driver.switch_to.default_content()
    return {"first, s": picture, "step, ms": statistics.median(steps), "frame, ms": frame}


def main(runs=10, steps=20_000):
    found, targets, rows = {}, [], []
    with tempfile.TemporaryDirectory() as folder, chrome.chromium() as driver:
        folder = pathlib.Path(folder)
        driver.set_window_size(1280, 800)
        for name, surface in surfaces().items():
            cost = write_logs(folder / name, surface, runs, steps)
            with chrome.tensorboard(folder / name) as url:
                time.sleep(10)  # until TensorBoard has read the files
                found[f"tab, {name}"] = {
                    **look(driver, f"{url}#keras_valleys"),
                    "row, us": 1e6 * cost,
                }
            page = folder / f"{name}.html"
            kv.pages.write_html(page, surface, [walk(surface, 1000, k) for k in range(runs)])
            size = page.stat().st_size / 1e6
            found[f"page, {name}"] = {**look(driver, f"file://{page}"), "size, MB": size}
    columns = ["first, s", "step, ms", "frame, ms", "row, us", "size, MB"]
    for name, figures in found.items():
        rows.append([name, *(figures.get(column, "") for column in columns)])
    measure.table(f"{runs} runs of {steps} steps; pages of 1000", ["", *columns], rows)
    for name, figures in found.items():
        targets += [
            measure.target(f"{name}: {column}", figures[column], limit)
            for column, limit in zip(columns, (3, 100, 33, 20, 0.3), strict=True)
            if column in figures
        ]
    imported = min(float(subprocess.check_output([sys.executable, "-c", IMPORT])) for _ in range(3))
    targets.append(measure.target("import of the plugin after TensorBoard, s", imported, 0.1))
    measure.write("tab", {"figures": found, "targets": targets})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
