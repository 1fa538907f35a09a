"""A real Chromium on a real TensorBoard.

`tensorboard(log_dir)` serves a log directory, `chromium()` opens a browser, and
`check_tabs(browser, url, tabs, artifacts)` opens tabs, waits until each shows what is expected of
it, keeps a screenshot of each, and wants no error in the browser's console.
"""

import contextlib
import dataclasses
import importlib.util
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
from PIL import Image

TIMEOUT = 60

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1600,1800",
)

# Everything that is shown, through the shadow roots that TensorBoard's older tabs are made of.
_SHOWN = """
const shown = [];
const visit = (root) => {
  for (const element of root.querySelectorAll("*")) {
    if (element.getClientRects().length > 0) shown.push(element);
    if (element.shadowRoot) visit(element.shadowRoot);
  }
};
visit(document);
"""

# TIME SERIES opens the first two groups of cards only.
_OPEN_GROUPS = """
for (const icon of document.querySelectorAll(
  ".group-toolbar mat-icon[svgicon=expand_more_24px]"
)) icon.closest("button").click();
"""

# Without white space: TensorBoard sets parts of a name apart from each other.
_TEXT = """
const texts = [];
for (const element of shown) {
  if (["STYLE", "SCRIPT"].includes(element.tagName)) continue;
  for (const node of element.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) texts.push(node.textContent.replace(/\\s+/g, ""));
  }
}
return texts.join("");
"""

_IMAGES = """
return shown.filter(
  (image) => image.tagName === "IMG" && image.complete && image.naturalWidth > 0
);
"""

# The first are those of SCALARS, the others those of TIME SERIES.
_CHARTS = 'return shown.filter((chart) => chart.matches("vz-line-chart2, line-chart"));'

# The last step, counted from 0, that the slider above an image goes to.
_LAST_STEPS = """
return shown
  .filter((slider) => slider.matches("paper-slider#steps, .step-slider input"))
  .map((slider) => Number(slider.max));
"""


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a tab shows: all `words`, at least so many charts with curves, and the images.

    `images` maps the size of an image, (width, height), to the number of cards that show such an
    image; `frames` holds how many images some card lets you choose from with its slider.
    """

    words: tuple = ()
    num_charts: int = 0
    images: dict = dataclasses.field(default_factory=dict)
    frames: tuple = ()

    def missing(self, browser):
        """What is not there yet, as a list of texts."""
        from selenium.common.exceptions import StaleElementReferenceException

        try:
            return self._missing(browser)
        except StaleElementReferenceException:
            return ["a page that does not change while one looks"]

    def _missing(self, browser):
        browser.execute_script(_OPEN_GROUPS)
        text = run(browser, _TEXT)
        charts = sum(map(_has_curves, run(browser, _CHARTS))) if self.num_charts else 0
        sizes = [_size(image) for image in run(browser, _IMAGES)]
        frames = [last + 1 for last in run(browser, _LAST_STEPS)]
        return [
            *(f"the word {word!r}" for word in self.words if word.replace(" ", "") not in text),
            *([f"{self.num_charts} charts, but {charts}"] if charts < self.num_charts else ()),
            *(
                f"{number} images of size {size}, but {sizes}"
                for size, number in self.images.items()
                if sizes.count(size) < number
            ),
            *(f"{n} images to choose from, but {frames}" for n in self.frames if n not in frames),
        ]


def run(browser, script):
    """Run JavaScript that may use `shown`, all elements on display."""
    return browser.execute_script(_SHOWN + script)


def images(browser, size):
    """All elements that show a loaded image of this size."""
    return [image for image in run(browser, _IMAGES) if _size(image) == size]


def _has_curves(chart):
    pixels = np.asarray(Image.open(io.BytesIO(chart.screenshot_as_png)).convert("RGB"), int)
    # Axes, grid and labels are gray.
    return np.count_nonzero(np.ptp(pixels, axis=-1) > 40) > 50


def _size(image):
    return int(image.get_property("naturalWidth")), int(image.get_property("naturalHeight"))


@contextlib.contextmanager
def tensorboard(log_dir, *options):
    """The address of a new `tensorboard --logdir log_dir`; without one `options` tell where."""
    command = [sys.executable, "-m", "tensorboard.main", *options]
    command += [] if log_dir is None else ["--logdir", str(log_dir)]
    command += ["--host", "localhost", "--port", "0"]
    with contextlib.ExitStack() as stack:
        # A file, not a pipe, which would be full one day.
        log = stack.enter_context(tempfile.TemporaryFile("w+"))
        server = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
        stack.callback(server.terminate)
        yield wait(lambda: _address(server, log), "TensorBoard's address")


def _address(server, log):
    log.seek(0)
    text = log.read()
    if server.poll() is not None:
        raise RuntimeError(f"TensorBoard ended: {text}")
    found = re.search(r"at (http://localhost:\d+/\S*)", text)
    return found and found[1]


def lacking():
    """What a browser test needs and is not there, with the remedy, or nothing."""
    if importlib.util.find_spec("selenium") is None:
        return "needs selenium: pip install '.[test]'"
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        return "needs chromium and chromedriver: apt-get install chromium chromium-driver"
    return None


def is_required():
    return os.environ.get("KERAS_VALLEYS_REQUIRE_BROWSER") == "1"


@contextlib.contextmanager
def chromium(*flags):
    """A new headless Chromium, or a skipped test; a failed one if a browser is required."""
    reason = lacking()
    if reason and is_required():
        pytest.fail(f"KERAS_VALLEYS_REQUIRE_BROWSER=1 {reason}")
    if reason:
        pytest.skip(reason)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.page_load_strategy = "eager"  # the tests wait for what they want to see, not for fonts
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, *flags):
            options.add_argument(flag)
        options.add_argument(f"--user-data-dir={profile}")
        browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            yield browser
        finally:
            browser.quit()


def check_tabs(browser, url, tabs, artifacts):
    """Check tabs of the TensorBoard at `url`, as `{name: Expected}`, such as "scalars"."""
    artifacts = pathlib.Path(artifacts)
    artifacts.mkdir(parents=True, exist_ok=True)
    for name, expected in tabs.items():
        open_tab(browser, url, name)
        try:
            wait(lambda expected=expected: expected.missing(browser) == [], f"#{name}")
        except TimeoutError:
            raise AssertionError(f"#{name} lacks {expected.missing(browser)}") from None
        finally:
            browser.save_screenshot(str(artifacts / f"{name}.png"))
        assert console_errors(browser) == [], f"#{name}"


def open_tab(browser, url, name):
    browser.get("about:blank")  # a change of the fragment alone would not load the page
    browser.get(f"{url}#{name}")


def console_errors(browser):
    """Severe messages of the browser's console, but those on fonts, which come from elsewhere."""
    return [
        entry["message"]
        for entry in browser.get_log("browser")
        if entry["level"] == "SEVERE" and "https://fonts." not in entry["message"]
    ]


def wait(condition, what):
    """The first true value of `condition()`."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.1)
    raise TimeoutError(f"Waited {TIMEOUT} s in vain for {what}.")
