// What the user chose, kept in the address; and the runs with their paths and surfaces.

import { Path } from "./path.js";
import { Surface } from "./surface.js";
import { DASHES, runColor } from "./theme.js";

// A step of null is the end, wherever it will be.
const DEFAULTS = {
  step: null, view: "both", surface: null, filter: "", hidden: [], only: null, theme: "auto", speed: 1, camera: null, zoom: null, colors: "run", hint: null,
};
export const COLORS = ["run", "folder", "label"]; // what runs are colored by

export class Settings {
  #host;
  #listeners = [];
  #timer = null;

  constructor(host) {
    this.#host = host;
    this.#read();
    host.onAddress?.(() => {
      this.#read();
      for (const listener of this.#listeners) listener();
    });
  }

  onChange(listener) {
    this.#listeners.push(listener);
  }

  set(changes) {
    this.keep(changes);
    for (const listener of this.#listeners) listener();
  }

  /** Change what whoever asks for it draws alone. */
  keep(changes) {
    Object.assign(this, changes);
    // While it plays, the address need not follow each picture.
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#write();
    }, 300);
  }

  isShown(name) {
    return this.only ? this.only.includes(name) : !this.hidden.includes(name);
  }

  /** Show these of all runs: the address keeps the shorter list, of those that are shown or that are hidden. */
  showOnly(shown, all) {
    const hidden = all.filter((name) => !shown.includes(name));
    if (shown.length < hidden.length) this.set({ only: shown, hidden: [] });
    else this.set({ only: null, hidden });
  }

  #read() {
    const kept = this.#host.readAddress(Object.keys(DEFAULTS));
    for (const [name, fallback] of Object.entries(DEFAULTS)) {
      this[name] = fallback;
      try {
        if (kept[name] !== undefined) this[name] = JSON.parse(kept[name]);
      } catch {
        // A damaged address says nothing.
      }
    }
    if (!Array.isArray(this.hidden)) this.hidden = [];
    if (!Array.isArray(this.only)) this.only = null;
    for (const [name, size] of [["camera", 3], ["zoom", 4]]) {
      const value = this[name];
      if (!Array.isArray(value) || value.length !== size || !value.every(Number.isFinite)) this[name] = null;
    }
    if (this.zoom && !(this.zoom[0] < this.zoom[1] && this.zoom[2] < this.zoom[3])) this.zoom = null;
    if (!Array.isArray(this.hint) || !this.hint.every(Number.isFinite) || !(this.hint.at(-1) > 0)) this.hint = null;
    if (!COLORS.includes(this.colors)) this.colors = "run";
    if (typeof this.filter !== "string") this.filter = "";
    if (!Number.isFinite(this.step)) this.step = null;
    if (!["both", "flat", "space"].includes(this.view)) this.view = "both";
    if (!["auto", "light", "dark"].includes(this.theme)) this.theme = "auto";
    if (!(this.speed > 0)) this.speed = 1;
  }

  #write() {
    const texts = {};
    for (const [name, fallback] of Object.entries(DEFAULTS)) {
      const text = JSON.stringify(this[name]);
      texts[name] = text === JSON.stringify(fallback) ? null : text;
    }
    this.#host.writeAddress(texts);
  }
}

const ALONE = "alone"; // the id of one without runs
const NONE = "none"; // in the place of a surface's id

/** What an answer holds; one that holds none is as if it were missing: others are still shown. */
function read(kind, answer) {
  try {
    return new kind(answer);
  } catch (error) {
    throw Object.assign(error, { isMissing: true });
  }
}

async function readPath(answer) {
  try {
    return await Path.read(answer);
  } catch (error) {
    throw Object.assign(error, { isMissing: true });
  }
}

/** A regular expression, or null where the text is none. */
export function expression(text) {
  try {
    return new RegExp(text, "i");
  } catch {
    return null;
  }
}

export class Store {
  runs = [];
  surfaces = new Map();
  focus = null; // the name of the run that the pointer is on
  #source;

  constructor(source, settings) {
    this.#source = source;
    this.settings = settings;
  }

  /** Fetch what is new; whether anything is. */
  async refresh() {
    const listed = await this.#source.runs();
    const known = new Map(this.runs.map((run) => [run.name, run]));
    let changed = listed.length !== this.runs.length;
    const runs = await Promise.all(
      listed.map(async (run) => {
        const old = known.get(run.name);
        const same = ["last_step", "num_chunks", "surface", "number"].every((key) => old?.[key] === run[key]);
        if (same && old.moments?.length === run.moments?.length) return old;
        changed = true;
        try {
          if (run.moments) return await this.#fetchMoments(run, old?.states ?? []);
          const [path] = await Promise.all([this.#source.path(run.name).then(readPath), this.#fetchSurface(run)]);
          return { ...run, path };
        } catch (error) {
          if (!error.isMissing) throw error;
          return null; // it vanished in between, or is none
        }
      }),
    );
    this.runs = runs.filter((run) => run !== null);
    if (!this.runs.length && this.#source.alone && !this.surfaces.has(ALONE)) {
      this.surfaces.set(ALONE, read(Surface, await this.#source.alone()));
      changed = true;
    }
    return changed;
  }

  /** A run on the planes of its own path: at each moment a surface and a path of its own. */
  async #fetchMoments(run, known) {
    const states = await Promise.all(
      run.moments.map(async ({ number, step }, k) => {
        // To the last one that was known rows were added.
        if (k < known.length - 1 && known[k].number === number) return known[k];
        const [path, info] = await Promise.all([this.#source.path(run.name, number).then(readPath), this.#source.surface(run.name, number)]);
        return { number, step, path, surface: read(Surface, info) };
      }),
    );
    const last = states.at(-1);
    this.surfaces.set(run.surface, last.surface);
    return { ...run, states, path: last.path };
  }

  async #fetchSurface(run) {
    if (run.surface === null || this.surfaces.has(run.surface)) return;
    this.surfaces.set(run.surface, null); // on its way
    try {
      this.surfaces.set(run.surface, read(Surface, await this.#source.surface(run.name)));
    } catch (error) {
      this.surfaces.delete(run.surface);
      if (!error.isMissing) throw error;
    }
  }

  /** The surfaces that runs are on, those of most listed runs first, `NONE` for no surface last. */
  get surfaceIds() {
    const counts = new Map(this.runs.map((run) => [this.#idOf(run), 0]));
    for (const run of this.listedRuns) counts.set(this.#idOf(run), counts.get(this.#idOf(run)) + 1);
    const order = (id) => counts.get(id) - (id === NONE ? 0.5 : 0);
    return [...counts.keys()].sort((a, b) => order(b) - order(a));
  }

  /** The one on show. */
  get surfaceId() {
    const ids = this.surfaceIds;
    if (!ids.length && this.surfaces.has(ALONE)) return ALONE;
    return ids.includes(this.settings.surface) ? this.settings.surface : (ids[0] ?? NONE);
  }

  get surface() {
    return this.surfaces.get(this.surfaceId) ?? null;
  }

  surfaceName(id) {
    const owner = this.runs.find((run) => run.states && run.surface === id);
    return (this.surfaces.get(id)?.name ?? "no surface") + (owner ? `, path of ${owner.name}` : "");
  }

  #idOf({ surface }) {
    return this.surfaces.get(surface) ? surface : NONE;
  }

  get listedRuns() {
    const pattern = expression(this.settings.filter);
    return pattern ? this.runs.filter((run) => pattern.test(run.name)) : [];
  }

  /** The runs that are listed, not hidden, and on the surface on show. */
  get shownRuns() {
    const { surfaceId, settings } = this;
    return this.listedRuns.filter((run) => settings.isShown(run.name) && this.#idOf(run) === surfaceId);
  }

  /** Where a run is that cannot be shown beside the others; "" for one that can. */
  elsewhere(run) {
    return this.#idOf(run) === this.surfaceId ? "" : `on ${this.surfaceName(this.#idOf(run))}`;
  }

  get lastStep() {
    return Math.max(0, ...this.shownRuns.map((run) => run.path.lastStep));
  }

  get step() {
    const { step } = this.settings;
    return step === null ? this.lastStep : Math.min(Math.max(0, step), this.lastStep);
  }

  /** The next step, or the one before, that some run has a row for. */
  neighbor(way) {
    const found = this.shownRuns.map(({ path }) => {
      const row = way > 0 ? path.rowAt(this.step) + 1 : path.rowAt(this.step - 1);
      return row >= 0 && row < path.size ? path.steps[row] : null;
    });
    const steps = found.filter((step) => step !== null);
    if (!steps.length) return way > 0 ? this.lastStep : 0;
    return way > 0 ? Math.min(...steps) : Math.max(...steps);
  }

  /** What a run is colored by, one color for each. */
  #groupOf(run) {
    const { colors } = this.settings;
    if (colors === "folder") return run.name.split("/").slice(0, -1).join("/") || ".";
    return colors === "label" ? run.path.label || run.name : run.name;
  }

  /** The surface and the path of a run at a step: those of the last moment before it, where it has any. */
  stateAt(run, step) {
    const { states, path } = run;
    if (!states) return { surface: this.surfaces.get(run.surface) ?? null, path };
    return states.findLast((state) => state.step <= step) ?? states[0];
  }

  /** All that a picture needs: a surface, and the paths up to a step. */
  scene(theme) {
    const { step, shownRuns } = this;
    const state = shownRuns.length ? this.stateAt(shownRuns[0], step) : { surface: this.surface };
    const { surface, number: moment = "" } = state;
    const seen = new Map();
    const groups = [...new Set(this.runs.map((run) => this.#groupOf(run)))].sort();
    const prefix = commonFolder(shownRuns.map(({ name }) => name));
    const runs = shownRuns.map((run) => {
      const isOwn = this.settings.colors === "run";
      const color = runColor(isOwn ? run : { number: groups.indexOf(this.#groupOf(run)) }, theme);
      const dashNumber = isOwn ? (seen.get(color) ?? 0) % DASHES.length : 0;
      seen.set(color, dashNumber + 1);
      const { name, path: whole } = run;
      const { path } = this.stateAt(run, step);
      const isFocus = this.focus === name;
      const isFaint = this.focus !== null && !isFocus;
      return { name, short: name.slice(prefix), color, dash: DASHES[dashNumber], dashNumber, path, whole, row: path.rowAt(step), step, isFocus, isFaint };
    });
    const layers = [...runs].sort((a, b) => a.isFocus - b.isFocus); // the one that is looked at on top
    const limits = surface?.limits(runs.map(({ path }) => path)) ?? null;
    return { surface, moment, limits, runs, layers, step, lastStep: this.lastStep, theme };
  }
}

/** The length of the folders that all names begin with. */
function commonFolder(names) {
  const parts = names.map((name) => name.split("/"));
  let depth = 0;
  while (parts.length && parts.every((part) => part.length > depth + 1 && part[depth] === parts[0][depth])) depth++;
  return parts.length ? parts[0].slice(0, depth).join("/").length + (depth ? 1 : 0) : 0;
}
