// The player: a slider over the steps, its keys, and what plays them.

import { choice } from "./controls.js";
import { element } from "./format.js";

const SPEEDS = [0.25, 0.5, 1, 2, 4];
const SECONDS = 10; // to play all steps at speed 1
const MAX_TICKS = 400; // of a run above the slider

export class Player {
  #frame = null;
  #timer = null;

  constructor(store) {
    this.store = store;
    const { settings } = store;
    this.button = element("button", { type: "button", class: "play", click: () => this.toggle() });
    this.slider = element("input", {
      type: "range", min: 0, max: 0, value: 0, step: 1, "aria-label": "Step",
      input: (event) => this.seek(Number(event.target.value)),
    });
    this.ticks = element("div", { class: "ticks", "aria-hidden": "true" });
    this.label = element("span", { class: "step" });
    this.said = element("span", { class: "said", role: "status" });
    this.speed = choice("Speed", SPEEDS.map((speed) => [speed, `${speed}×`]), (speed) => settings.set({ speed: Number(speed) }));
    const track = element("div", { class: "track" }, this.ticks, this.slider);
    this.node = element("footer", { class: "player" }, this.button, track, this.label, this.speed, this.said);
  }

  get playing() {
    return this.#frame !== null;
  }

  update(scene) {
    const { lastStep, step } = scene;
    this.slider.max = lastStep;
    this.slider.value = step;
    this.label.textContent = `step ${step} of ${lastStep}`;
    this.slider.setAttribute("aria-valuetext", this.label.textContent);
    this.#say(this.label.textContent);
    this.button.textContent = this.playing ? "❚❚ Pause" : "▶ Play";
    this.speed.value = this.store.settings.speed;
    this.#updateTicks(scene);
  }

  /** For who listens: at most once a second. */
  #say(words) {
    this.words = words;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (this.said.textContent !== this.words) this.said.textContent = this.words;
    }, 1000);
  }

  seek(step) {
    this.store.settings.set({ step: step >= this.store.lastStep ? null : step });
  }

  toggle() {
    if (this.playing) {
      cancelAnimationFrame(this.#frame);
      this.#frame = null;
      this.seek(this.store.step);
      return;
    }
    let place = this.store.step >= this.store.lastStep ? 0 : this.store.step;
    let before = performance.now();
    const advance = (now) => {
      const { lastStep, settings } = this.store;
      place += ((now - before) / 1000 / SECONDS) * lastStep * settings.speed;
      before = now;
      this.#frame = place < lastStep ? requestAnimationFrame(advance) : null;
      this.seek(Math.floor(place));
    };
    this.#frame = requestAnimationFrame(advance);
    this.seek(Math.floor(place));
  }

  /** Keys that move, wherever the focus is but in a text. */
  key(event) {
    const { store } = this;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches?.("input[type=search], select")) return;
    const far = Math.max(1, Math.round(store.lastStep / 20));
    const moves = {
      ...(event.target.matches?.("button, input, select, summary, a") ? {} : { " ": () => this.toggle() }),
      ArrowRight: () => this.seek(event.shiftKey ? store.step + far : store.neighbor(1)),
      ArrowLeft: () => this.seek(event.shiftKey ? Math.max(0, store.step - far) : store.neighbor(-1)),
      Home: () => this.seek(0),
      End: () => this.seek(store.lastStep),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
  }

  /** Where runs were derailed up to now, above the slider. */
  #updateTicks({ runs, lastStep }) {
    const past = runs.map((run) => run.path.derailmentsUpTo(run.row, MAX_TICKS));
    const key = JSON.stringify([lastStep, runs.map(({ name, color }, k) => [name, color, past[k].length])]);
    if (this.ticks.dataset.key === key) return;
    this.ticks.dataset.key = key;
    const marks = runs.flatMap(({ name, color }, k) =>
      past[k].map(({ before }) => {
        const tick = element("i", { title: `${name} derailed at step ${before}` });
        tick.style.left = `${(100 * before) / Math.max(1, lastStep)}%`;
        tick.style.background = color;
        return tick;
      }));
    this.ticks.replaceChildren(...marks);
  }
}
