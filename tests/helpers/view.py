"""The view on display in a real Chromium, the same in a tab and on a page."""

import json
import pathlib
import time

from helpers.browser import console_errors, wait

DESKTOP, PHONE = (1280, 800), (390, 844)


class View:
    """The view on display, the same in a tab and on a page."""

    def __init__(self, browser, artifacts, name):
        self.browser, self.artifacts, self.name = browser, pathlib.Path(artifacts), name
        self.artifacts.mkdir(parents=True, exist_ok=True)

    def open(self, address, size=DESKTOP):
        metrics = {
            "width": size[0],
            "height": size[1],
            "deviceScaleFactor": 1,
            "mobile": size is PHONE,
        }
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.browser.get("about:blank")
        console_errors(self.browser)
        self.browser.get(address)
        if address.startswith("http"):
            find = "iframe[src*='name=keras_valleys']"
            frame = wait(lambda: self.browser.find_elements("css selector", find), "the frame")[0]
            self.browser.switch_to.frame(frame)
        wait(lambda: self.data.get("shown"), "a picture")
        return self

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    @property
    def data(self):
        found = self.run("return {...document.querySelector('.valleys')?.dataset}")
        return found or {}

    @property
    def step(self):
        return int(self.data["step"])

    @property
    def shown(self):
        return [name for name in self.data["shown"].split("|") if name]

    @property
    def text(self):
        return self.run("return document.body.innerText")

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def picture(self, selector=".flat canvas:not([hidden])"):
        """The pixels of a canvas, as PNG text."""
        return self.run(f"return document.querySelector({json.dumps(selector)}).toDataURL()")

    def wait_for_space(self):
        """Until the view in space shows the step of the others."""
        script = "return document.querySelector('.space').dataset.step"
        wait(lambda: self.run(script) == self.data["step"], "the view in space")

    def press_real(self, *keys):
        """Keys of a real keyboard, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser, duration=0).send_keys(*keys).perform()

    def drag(self, selector, right, down, begin=(0, 0)):
        """Drag a real pointer, from a place counted from the middle; (0, 0) is a click."""
        from selenium.webdriver.common.action_chains import ActionChains

        chain = ActionChains(self.browser, duration=20)
        chain.move_to_element_with_offset(self.find(selector), *begin).click_and_hold()
        for _ in range(4 if right or down else 0):
            chain.move_by_offset(right // 4, down // 4)
        chain.release().perform()

    def wheel(self, selector, amount, at=(0, 0)):
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

        origin = ScrollOrigin.from_element(self.find(selector), *at)
        ActionChains(self.browser, duration=0).scroll_from_origin(origin, 0, amount).perform()

    def data_of(self, selector):
        return self.run(f"return {{...document.querySelector({json.dumps(selector)}).dataset}}")

    def press(self, key):
        event = "new KeyboardEvent('keydown', {key: arguments[0], bubbles: true})"
        self.run(f"document.body.dispatchEvent({event})", key)

    def slide(self, step):
        script = """
const slider = document.querySelector(".track input");
slider.value = arguments[0];
slider.dispatchEvent(new Event("input", {bubbles: true}));
"""
        self.run(script, step)
        wait(lambda: self.step == step, f"step {step}")

    def choose(self, name, value):
        script = """
const select = document.querySelector(`select[aria-label=${arguments[0]}]`);
select.value = arguments[1];
select.dispatchEvent(new Event("change"));
"""
        self.run(script, name, value)

    def keep(self, state):
        """A screenshot of the whole window."""
        time.sleep(0.3)
        self.browser.save_screenshot(str(self.artifacts / f"valleys-{self.name}-{state}.png"))

    def check_console(self):
        # TensorBoard itself does not find its fonts behind a path prefix.
        messages = console_errors(self.browser)
        assert [message for message in messages if "/font-roboto/" not in message] == []
