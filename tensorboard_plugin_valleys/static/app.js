// Puts the view together: one scene, drawn by all parts, whenever a setting or the data changes.

import { element } from "./format.js";
import { applyTheme, themeOf } from "./theme.js";
import { Settings, Store } from "./store.js";
import { Tip } from "./canvas.js";
import { Contours, Curve } from "./flat.js";
import { chartsFor, StepChart } from "./charts.js";
import { Space } from "./space.js";
import { Bar, RunList } from "./controls.js";
import { Player } from "./player.js";

const POLL = 600; // milliseconds between two looks for new data
const NARROW = 900; // pixels below which two views do not fit side by side

const NOTHING = "No run has a path yet. Train with keras_valleys.callbacks.SurfaceBoard.";

class App {
  #queued = false;
  #looking = false;
  #charts = [];
  #flats = {};

  constructor(source, host) {
    this.source = source;
    this.host = host;
    this.settings = new Settings(host);
    this.store = new Store(source, this.settings);
    this.bar = new Bar(this.settings);
    this.runs = new RunList(this.settings);
    this.player = new Player(this.store);
    this.flat = element("div", { class: "pane flat" });
    this.deep = element("div", { class: "pane deep" });
    this.empty = element("p", { class: "message" });
    this.stage = element("main", { class: "stage" }, this.flat, this.deep, this.empty);
    this.charts = element("section", { class: "charts", "aria-label": "Against the step" });
    this.root = element("div", { class: "valleys" }, this.bar.node, this.runs.node, this.stage, this.charts, this.player.node);
    document.body.append(this.root);
    this.tip = new Tip(document.body);
    this.space = new Space(this.deep, source);
  }

  async start() {
    if (this.source.title) this.bar.title.textContent = document.title = this.source.title;
    this.settings.onChange(() => this.draw());
    this.host.onTheme(() => this.draw());
    document.addEventListener("keydown", (event) => this.player.key(event));
    new ResizeObserver(() => this.draw()).observe(this.root);
    this.draw();
    await this.#look();
    if (this.source.live) this.host.onReload?.(() => this.#look());
    if (this.source.live) this.#poll();
  }

  /** Draw with the next frame, once. */
  draw() {
    if (this.#queued) return;
    this.#queued = true;
    requestAnimationFrame(() => {
      this.#queued = false;
      this.#drawNow();
    });
  }

  async #poll() {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, POLL));
      // TensorBoard shrinks the frame of a tab that is not on display.
      if (!document.hidden && innerHeight > 0) await this.#look();
    }
  }

  async #look() {
    if (this.#looking) return;
    this.#looking = true;
    try {
      if (await this.store.refresh()) this.draw();
      this.bar.message.textContent = "";
      this.empty.textContent = this.store.runs.length ? "" : NOTHING;
    } catch (error) {
      this.bar.message.textContent = `No answer: ${error.message}`;
    }
    this.#looking = false;
  }

  #drawNow() {
    const begin = performance.now();
    const theme = themeOf(this.settings.theme, this.host.isDark());
    applyTheme(theme);
    const scene = this.store.scene(theme);
    const hasBoth = this.root.clientWidth >= NARROW;
    const view = this.#viewOf(scene.surface, hasBoth);
    this.bar.update(this.store, view, hasBoth);
    this.runs.update(this.store, scene);
    this.player.update(scene);
    this.#drawStage(scene, view);
    this.#drawCharts(scene);
    // For tests and measurements; times are since the frame or the page was opened.
    if (scene.runs.length) this.root.dataset.first ??= performance.now().toFixed(0);
    this.root.dataset.step = scene.step;
    this.root.dataset.shown = scene.runs.map(({ name }) => name).join("|");
    this.root.dataset.milliseconds = (performance.now() - begin).toFixed(1);
    this.root.dataset.drawn = Number(this.root.dataset.drawn ?? 0) + 1;
  }

  /** Which views to show; `null` where there is but one. */
  #viewOf(surface, hasBoth) {
    if (surface === null || (surface.isCurve && !surface.isRing)) return null;
    return this.settings.view === "both" && !hasBoth ? "flat" : this.settings.view;
  }

  #drawStage(scene, view) {
    const { surface } = scene;
    this.flat.hidden = surface === null || view === "space";
    this.deep.hidden = view === null || view === "flat";
    this.stage.hidden = surface === null && this.store.runs.length > 0;
    this.root.classList.toggle("bare", this.stage.hidden);
    if (!this.flat.hidden) this.#flatFor(surface).draw(scene);
    if (!this.deep.hidden) this.space.draw(scene);
  }

  #flatFor(surface) {
    const name = surface.isCurve ? "curve" : "contours";
    const make = surface.isCurve ? Curve : Contours;
    this.#flats[name] ??= new make(this.flat, `The surface as ${surface.isCurve ? "a curve" : "contours"}, with paths`, this.tip);
    for (const [other, chart] of Object.entries(this.#flats)) chart.canvas.hidden = other !== name;
    return this.#flats[name];
  }

  #drawCharts(scene) {
    const specs = chartsFor(scene.runs);
    if (JSON.stringify(specs) !== JSON.stringify(this.#charts.map(({ spec }) => spec))) {
      const panes = specs.map(() => element("div", { class: "chart" }));
      this.charts.replaceChildren(...panes);
      this.#charts = specs.map((spec, k) => new StepChart(panes[k], spec, this.tip, (step) => this.player.seek(step)));
    }
    for (const chart of this.#charts) chart.draw(scene);
  }
}

/** Show what `source` has, in the ways of `host`. */
export async function start(source, host) {
  await new App(source, host).start();
}
