// What the user handles: the bar on top, the list of runs and valleys.

import { element } from "./format.js";
import { COLORS, expression } from "./store.js";
import { BORDER, stateOf, valleyWords } from "./words.js";

const MAX_VALLEYS = 12; // in the list
const MAX_DOTS = 4; // runs in one valley, in the list

const optionsOf = (pairs) => pairs.map(([value, words]) => element("option", { value }, words));

export const choice = (name, pairs, onChange) =>
  element("select", { "aria-label": name, change: (event) => onChange(event.target.value) }, ...optionsOf(pairs));

/** Give a select other options, if they are others. */
function setOptions(select, pairs, chosen) {
  const key = JSON.stringify(pairs);
  if (select.dataset.key !== key) {
    select.dataset.key = key;
    select.replaceChildren(...optionsOf(pairs));
  }
  select.value = chosen;
}

export class Bar {
  /** `acts` is what its buttons do: {reset, save, present}. */
  constructor(settings, acts) {
    this.settings = settings;
    this.surfaces = choice("Surface", [], (surface) => settings.set({ surface, zoom: null, camera: null }));
    const views = [["both", "Both"], ["flat", "Flat"], ["space", "3-D"]];
    this.views = views.map(([view, words]) => element("button", { type: "button", "data-view": view, click: () => settings.set({ view }) }, words));
    const themes = [["auto", "Theme: auto"], ["light", "Light"], ["dark", "Dark"]];
    this.theme = choice("Theme", themes, (theme) => settings.set({ theme }));
    this.message = element("span", { class: "status", role: "status" });
    this.title = element("h1", {}, "Valleys");
    const button = (words, title, click) => element("button", { type: "button", title, click }, words);
    this.reset = button("Reset view", "All of the surface, and the first side of it", acts.reset);
    this.save = button("PNG", "Save what is seen as a picture", acts.save);
    this.present = button("Present", "Larger text, for a projector", acts.present);
    const group = element("div", { class: "segments", role: "group", "aria-label": "View" }, ...this.views);
    this.node = element("header", { class: "bar" }, this.title, this.surfaces, group, this.reset, this.message, this.save, this.present, this.theme);
  }

  /** `view` is the one that is shown; `hasBoth` where there is room for two. */
  update(store, view, hasBoth) {
    const { settings } = this;
    setOptions(this.surfaces, store.surfaceIds.map((id) => [id, store.surfaceName(id)]), store.surfaceId);
    this.surfaces.hidden = store.surfaceIds.length < 2;
    for (const button of this.views) {
      const words = { flat: store.surface?.isCurve ? "Curve" : "Contours", space: store.surface?.isRing ? "Circle" : "3-D" };
      button.textContent = words[button.dataset.view] ?? "Both";
      button.setAttribute("aria-pressed", view === button.dataset.view);
      button.hidden = view === null || (button.dataset.view === "both" && !hasBoth);
    }
    this.theme.value = settings.theme;
    this.updateReset();
    this.save.hidden = store.surface === null;
  }

  updateReset() {
    this.reset.hidden = this.settings.camera === null && this.settings.zoom === null;
  }
}

/** What each mark means, in words that a student knows. */
function legend() {
  const marks = [
    ["○", "the lowest point of a valley"], ["□", "the lowest point at the border: what lies beyond was not sampled"],
    ["●", "where a run is at this step"], ["◇", "derailed: a step led over a ridge into another valley"],
    ["✕", "diverged: weights or loss are not finite, or far away"], ["┄", "pale: behind the surface"],
  ];
  const rows = marks.map(([sign, words]) => element("div", {}, element("b", {}, sign), ` ${words}`));
  const help = element("div", {}, "Drag to turn or move, wheel or pinch to zoom, double-click to reset. Click on the surface to see where gradient descent on it leads.");
  return element("details", { class: "legend" }, element("summary", {}, "What the marks mean"), ...rows, help);
}

export class RunList {
  constructor(settings, onFocus) {
    Object.assign(this, { settings, onFocus });
    this.filter = element("input", {
      type: "search", placeholder: "Filter runs (regex)", "aria-label": "Filter runs by a regular expression",
      spellcheck: "false", input: (event) => settings.set({ filter: event.target.value }),
    });
    const all = element("button", { type: "button", click: () => this.#setAll(true) }, "All");
    const none = element("button", { type: "button", click: () => this.#setAll(false) }, "None");
    this.count = element("span", { class: "count" });
    this.list = element("ul", { class: "list" });
    this.valleys = element("table", { class: "valleys-table" });
    const words = { run: "run", folder: "folder", label: "name" };
    this.colors = choice("Colors of runs", COLORS.map((name) => [name, `by ${words[name]}`]), (colors) => settings.set({ colors }));
    this.node = element("aside", { class: "runs" }, this.valleys, this.filter,
      element("div", { class: "actions" }, this.count, this.colors, all, none), this.list, legend());
    this.entries = new Map();
  }

  update(store, scene) {
    this.store = store;
    if (document.activeElement !== this.filter) this.filter.value = this.settings.filter;
    const valid = expression(this.settings.filter) !== null;
    this.filter.setAttribute("aria-invalid", !valid);
    const { listedRuns } = store;
    this.count.textContent = valid ? `${scene.runs.length} of ${store.runs.length} runs` : "not a regular expression";
    this.colors.value = this.settings.colors;
    const byName = new Map(scene.runs.map((run) => [run.name, run]));
    const names = listedRuns.map(({ name }) => name);
    for (const name of this.entries.keys()) if (!names.includes(name)) this.entries.delete(name);
    const nodes = listedRuns.map((run) => this.#entry(run, byName.get(run.name), scene.surface));
    if (nodes.length !== this.list.children.length || nodes.some((node, k) => node !== this.list.children[k])) {
      this.list.replaceChildren(...nodes);
    }
    this.#updateValleys(scene);
  }

  #entry(run, shown, surface) {
    if (!this.entries.has(run.name)) {
      const box = element("input", { type: "checkbox", change: () => this.#toggle(run.name) });
      const swatch = element("span", { class: "swatch" });
      const state = element("small", { class: "state" });
      const name = element("span", { class: "name", title: run.name }, run.name);
      const only = element("button", { type: "button", class: "only", title: `Show only ${run.name}`, click: () => this.#showOnly(run.name) }, "only");
      const focus = (one) => () => this.onFocus(one);
      const node = element("li", { pointerenter: focus(run.name), pointerleave: focus(null) },
        element("label", {}, box, swatch, element("span", { class: "words" }, name, state)), only);
      this.entries.set(run.name, { node, box, swatch, state });
    }
    const { node, box, swatch, state } = this.entries.get(run.name);
    const elsewhere = this.store.elsewhere(run);
    box.checked = this.settings.isShown(run.name);
    box.disabled = elsewhere !== "";
    swatch.style.background = shown ? shown.color : "";
    const words = shown ? stateOf(shown, surface) : elsewhere;
    if (state.textContent !== words) state.textContent = words;
    return node;
  }

  #updateValleys({ surface, runs }) {
    if (!surface?.valleys.length) {
      this.valleys.replaceChildren();
      return;
    }
    const heads = ["valley", "loss", "depth", "width", ""];
    const rows = surface.valleys.slice(0, MAX_VALLEYS).map((_, index) => {
      const { place, loss, depth, width } = valleyWords(surface, index);
      const inside = runs.filter(({ path, row }) => row >= 0 && path.valleys[row] === index);
      const dots = inside.slice(0, MAX_DOTS).map(({ name, color }) => {
        const dot = element("span", { class: "swatch", title: name });
        dot.style.background = color;
        return dot;
      });
      if (inside.length > MAX_DOTS) dots.push(`+${inside.length - MAX_DOTS}`);
      const cells = [`${index}: ${place}`, loss, depth, width].map((words) => element("td", { class: words === BORDER && "border" }, words));
      return element("tr", {}, ...cells, element("td", { class: "dots" }, ...dots));
    });
    this.valleys.replaceChildren(element("tr", {}, ...heads.map((head) => element("th", {}, head))), ...rows);
  }

  #showOnly(name) {
    this.settings.showOnly([name], this.store.runs.map((run) => run.name));
  }

  #toggle(name) {
    const all = this.store.runs.map((run) => run.name);
    const shown = all.filter((one) => this.settings.isShown(one) !== (one === name));
    this.settings.showOnly(shown, all);
  }

  /** Show or hide those that are listed; of others nothing changes. */
  #setAll(isShown) {
    const listed = new Set(this.store.listedRuns.map(({ name }) => name));
    const all = this.store.runs.map(({ name }) => name);
    this.settings.showOnly(all.filter((name) => (listed.has(name) ? isShown : this.settings.isShown(name))), all);
  }
}
