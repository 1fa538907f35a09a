// Puts the view together: one scene, drawn by all parts, whenever a setting or the data changes.

import { element } from "./format.js";
import { applyTheme, themeOf } from "./theme.js";
import { Settings, Store } from "./store.js";
import { Tip } from "./canvas.js";
import { Contours, Curve } from "./flat.js";
import { chartsFor, StepChart } from "./charts.js";
import { Space } from "./space.js";
import { Bar, RunList } from "./controls.js";
import { Hint } from "./hint.js";
import { Player } from "./player.js";

const POLL = 600; // milliseconds between two looks for new data
const NARROW = 900; // pixels below which two views do not fit side by side
const TALL = 0.8; // width over height below which all is in one column
const SLENDER = 720; // pixels below which it is as well
const TEXT = 13; // pixels, in style.css
const LARGE = 20; // of the text for a projector

class App {
  #queued = false;
  #looking = false;
  #charts = [];
  #flats = {};
  #isLarge = false;

  constructor(source, host) {
    this.source = source;
    this.host = host;
    this.settings = new Settings(host);
    this.store = new Store(source, this.settings);
    this.bar = new Bar(this.settings, { reset: () => this.#reset(), save: () => this.#save(), present: () => this.#present() });
    this.runs = new RunList(this.settings, (name) => this.#focus(name));
    this.player = new Player(this.store);
    this.flat = element("div", { class: "pane flat" });
    this.deep = element("div", { class: "pane deep" });
    this.hint = new Hint(this.settings);
    this.empty = element("p", { class: "message" });
    this.stage = element("main", { class: "stage" }, this.flat, this.deep, this.empty);
    this.charts = element("section", { class: "charts", "aria-label": "Against the step" });
    this.root = element("div", { class: "valleys" }, this.bar.node, this.runs.node, this.stage, element("div", { class: "below" }, this.player.node, this.hint.node), this.charts);
    document.body.append(this.root);
    this.tip = new Tip(document.body);
    this.space = new Space(this.deep, this.tip, this.settings, () => this.#turn(), (point) => this.#startHint(point));
  }

  async start() {
    if (this.source.title) this.bar.title.textContent = document.title = this.source.title;
    this.settings.onChange(() => this.draw());
    this.host.onTheme(() => this.draw());
    document.addEventListener("keydown", (event) => this.player.key(event));
    const sizes = new ResizeObserver(() => this.draw());
    for (const node of [this.root, this.flat, this.deep, this.charts]) sizes.observe(node);
    addEventListener("resize", () => this.draw());
    this.draw();
    await this.#look();
    if (this.source.live) this.host.onReload?.(() => this.#look());
    if (this.source.live) this.#poll();
  }

  /** Draw with the next frame, once. */
  draw() {
    this.#scene = null;
    if (this.#queued) return;
    this.#queued = true;
    requestAnimationFrame(() => this.#drawNext());
  }

  #drawNext() {
    this.#queued = false;
    if (this.#scene === null) return this.#drawNow();
    if (!this.deep.hidden) this.space.draw(this.#scene);
    this.bar.updateReset();
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
      this.#isRead = true;
    } catch (error) {
      this.bar.message.textContent = `No answer: ${error.message}`;
    }
    this.#looking = false;
  }

  #isRead = false;

  #focus(name) {
    if (this.store.focus === name) return;
    this.store.focus = name;
    this.draw();
  }

  #startHint(point) {
    const { surface } = this.store.scene(themeOf("light", false));
    if (surface) this.hint.start(surface, point.slice(0, surface.axes.length));
  }

  #reset() {
    this.space.reset();
    this.settings.set({ zoom: null, camera: null });
  }

  #present() {
    this.#isLarge = !this.#isLarge;
    this.bar.present.setAttribute("aria-pressed", this.#isLarge);
    this.draw();
  }

  /** The pictures on the stage side by side, as a file. */
  #save() {
    const shown = [...this.stage.querySelectorAll("canvas")].filter((canvas) => canvas.getClientRects().length);
    const whole = element("canvas", { width: shown.reduce((sum, { width }) => sum + width, 0), height: Math.max(...shown.map(({ height }) => height)) });
    const pen = whole.getContext("2d");
    pen.fillStyle = getComputedStyle(document.body).backgroundColor;
    pen.fillRect(0, 0, whole.width, whole.height);
    shown.reduce((left, canvas) => (pen.drawImage(canvas, left, 0), left + canvas.width), 0);
    whole.toBlob((blob) => {
      const link = element("a", { href: URL.createObjectURL(blob), download: `valleys-step-${this.store.step}.png` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    });
  }

  /** While only the eye moves, only the view in space is drawn. */
  #turn() {
    if (this.#queued) return;
    this.#queued = true;
    requestAnimationFrame(() => this.#drawNext());
  }

  #scene = null;

  #drawNow() {
    const begin = performance.now();
    const theme = themeOf(this.settings.theme, this.host.isDark());
    applyTheme(theme);
    this.#layOut();
    const scene = this.store.scene(theme);
    const hasBoth = this.root.clientWidth >= NARROW && !this.root.classList.contains("tall");
    const view = this.#viewOf(scene.surface, hasBoth);
    scene.hint = this.hint.waysOn(scene.surface);
    this.hint.update(scene);
    this.#scene = scene;
    this.bar.update(this.store, view, hasBoth);
    this.runs.update(this.store, scene);
    this.player.update(scene);
    this.empty.textContent = this.#nothing(scene);
    this.#drawStage(scene, view);
    this.#drawCharts(scene);
    // For tests and measurements; times are since the frame or the page was opened.
    if (scene.runs.length) this.root.dataset.first ??= performance.now().toFixed(0);
    this.root.dataset.step = scene.step;
    this.root.dataset.moment = scene.moment;
    this.root.dataset.shown = scene.runs.map(({ name }) => name).join("|");
    this.root.dataset.milliseconds = (performance.now() - begin).toFixed(1);
    this.root.dataset.drawn = Number(this.root.dataset.drawn ?? 0) + 1;
  }

  /** One column where it is tall; larger where a phone shows a page as if it were wide, or for a projector. */
  #layOut() {
    const isTall = innerWidth < TALL * innerHeight;
    const shrunk = isTall && screen.width ? innerWidth / screen.width : 1;
    const size = this.#isLarge ? LARGE / TEXT : 1;
    const zoom = Math.max(size, shrunk > 1.25 ? Math.min(3, shrunk) : 1);
    if (this.root.style.zoom !== String(zoom)) this.root.style.zoom = zoom;
    this.tip.zoom = zoom;
    this.root.classList.toggle("tall", isTall || innerWidth / zoom < SLENDER);
  }

  /** What to do where there is nothing to see. */
  #nothing({ runs, surface }) {
    if (!this.#isRead || surface) return "";
    if (!this.store.runs.length) {
      return this.source.live
        ? "No run has a path yet. Train with keras_valleys.callbacks.SurfaceBoard in the callbacks of model.fit, or write a finished path with keras_valleys.callbacks.write_run; it appears here by itself."
        : "This page has no path.";
    }
    if (!this.store.listedRuns.length) return "No run has a name that fits the filter. Clear the field to see all.";
    return runs.length ? "" : "No run is selected. Check one in the list.";
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
    this.stage.hidden = surface === null && !this.empty.textContent;
    this.root.classList.toggle("bare", this.stage.hidden);
    if (!this.flat.hidden) this.#flatFor(surface).draw(scene);
    if (!this.deep.hidden) this.space.draw(scene);
  }

  #flatFor(surface) {
    const name = surface.isCurve ? "curve" : "contours";
    const make = surface.isCurve ? Curve : Contours;
    this.#flats[name] ??= new make(this.flat, `The surface as ${surface.isCurve ? "a curve" : "a map"}, with paths; plus and minus zoom`, this.tip, this.settings, (point) => this.#startHint(point));
    for (const [other, chart] of Object.entries(this.#flats)) chart.canvas.hidden = other !== name;
    return this.#flats[name];
  }

  #drawCharts(scene) {
    // Of a run on the planes of its own path the charts show all steps, in the last plane.
    const runs = scene.runs.map((run) => ({ ...run, path: run.whole, row: run.whole.rowAt(scene.step) }));
    const specs = chartsFor(runs);
    if (JSON.stringify(specs) !== JSON.stringify(this.#charts.map(({ spec }) => spec))) {
      const panes = specs.map(() => element("div", { class: "chart" }));
      this.charts.replaceChildren(...panes);
      this.#charts = specs.map((spec, k) => new StepChart(panes[k], spec, this.tip, (step) => this.player.seek(step)));
    }
    for (const chart of this.#charts) chart.draw({ ...scene, runs });
  }
}

/** Show what `source` has, in the ways of `host`. */
export async function start(source, host) {
  await new App(source, host).start();
}
