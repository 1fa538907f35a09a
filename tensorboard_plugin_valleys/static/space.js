// The surface in space, drawn by plotly with WebGL.
// Few traces, because plotly works through all of them at each step.

import { element, isSame } from "./format.js";
import { GAP, Landscape, lines3d, marks3d, plain, Ring, texts3d } from "./solids.js";
import { derailmentLine, markWords, namedValleys, stateLines, valleyLines } from "./words.js";

const SPACE_POINTS = 600; // of a path in space
const MAX_DROPS = 40; // lines from a path to the surface
const PLOTLY_DASHES = ["solid", "dash", "dot", "dashdot"];

function hasWebGL() {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") ?? canvas.getContext("webgl"));
}

export class Space {
  #plotly = null;
  #busy = false;
  #next = null;
  #kept = {};

  constructor(parent, source) {
    this.source = source;
    this.node = element("div", { class: "space" });
    this.message = element("p", { class: "message" });
    parent.append(this.node, this.message);
  }

  /** Draw, later and the latest only: WebGL must not hold up what needs none. */
  draw(scene) {
    this.#next = scene;
    if (this.#busy) return;
    this.#busy = true;
    requestAnimationFrame(() => setTimeout(() => this.#drawLatest(), 0));
  }

  async #drawLatest() {
    try {
      while (this.#next) {
        const scene = this.#next;
        this.#next = null;
        this.#plotly ??= await this.#load();
        await this.#render(scene);
        // Let the rest of the page have its turn.
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
      this.message.textContent = "";
    } catch (error) {
      this.message.textContent = error.message;
      this.#next = null;
    }
    this.#busy = false;
  }

  async #load() {
    if (!hasWebGL()) {
      throw new Error("This browser shows no WebGL, which the view in space needs. The flat view shows the same.");
    }
    this.message.textContent = "Loading the view in space …";
    return this.source.plotly();
  }

  async #render({ surface, runs, theme, step }) {
    const { clientWidth: width, clientHeight: height } = this.node;
    if (!width || !height) return;
    const begin = performance.now();
    const key = [surface, theme.name, width, height, ...runs.map(({ path }) => path)];
    if (!isSame(key, this.#kept.key)) this.#keep(key, surface, runs, theme);
    const { shape, ground, scene, revision } = this.#kept;
    const layout = {
      scene: { ...scene, uirevision: revision }, uirevision: revision,
      margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, width, height,
      paper_bgcolor: "rgba(0,0,0,0)", font: { color: theme.muted, family: "Roboto, system-ui, sans-serif" },
      hoverlabel: { bgcolor: theme.panel, bordercolor: theme.line, font: { color: theme.ink, size: 12 }, align: "left" },
    };
    const options = { displayModeBar: false, plotGlPixelRatio: Math.min(2, Math.max(1, devicePixelRatio)) };
    const begun = runs.filter(({ row }) => row >= 0);
    await this.#plotly.react(this.node, [...ground, ...this.#pathTraces(shape, begun, theme)], layout, options);
    // For tests and measurements.
    this.node.dataset.first ??= performance.now().toFixed(0);
    Object.assign(this.node.dataset, { step, milliseconds: (performance.now() - begin).toFixed(1) });
  }

  /** What stays from step to step. */
  #keep(key, surface, runs, theme) {
    const limits = surface.limits(runs.map(({ path }) => path));
    const paths = runs.map(({ path }) => surface.place(path));
    const shape = surface.isCurve ? new Ring(surface, limits, paths) : new Landscape(surface, limits, paths);
    // Of the same surface the user's camera stays.
    const revision = surface === this.#kept.surface ? this.#kept.revision : (this.#kept.revision ?? 0) + 1;
    const scene = shape.layout(theme, this.node.clientWidth / this.node.clientHeight);
    const ground = [...shape.traces(theme), ...this.#valleyTraces(shape, theme)];
    this.#kept = { key, surface, shape, ground, scene, revision };
  }

  #valleyTraces(shape, theme) {
    const { surface } = shape;
    const points = [];
    const hovers = [];
    const words = shape.words(theme);
    const symbols = [];
    for (const valley of namedValleys(surface)) {
      const { position, loss, index } = valley;
      if (loss > shape.top) continue;
      const places = shape.valleyPlaces(position, loss);
      for (const place of places) {
        points.push(place);
        hovers.push(plain(valleyLines(surface, index)));
        symbols.push(valley.on_border ? "square" : "circle");
      }
      const [x, y, z] = places[0];
      words.push([[x, y, z + shape.nameLift], markWords(surface, valley), theme.ink, "bottom center"]);
    }
    const marker = { symbol: symbols.length ? symbols : "circle", color: theme.background, size: 5, line: { color: theme.ink, width: 2 } };
    return [marks3d(points, marker, hovers), texts3d(words)];
  }

  /** A line for each run, and one trace each for all derailments, drops and heads. */
  #pathTraces(shape, runs, theme) {
    const lines = [];
    const derailed = { points: [], colors: [], texts: [] };
    const drops = { points: [], colors: [] };
    const heads = { points: [], colors: [], texts: [] };
    for (const run of runs) {
      const placed = shape.surface.place(run.path);
      const { columns, heights, turns } = placed;
      const at = (row) => {
        const height = heights[row] <= shape.top ? heights[row] : null;
        return shape.at(columns.map((column) => column[row]), height, turns[row]);
      };
      const rows = Array.from(run.path.rowsUpTo(run.row, SPACE_POINTS));
      lines.push(this.#line(shape, run, rows, at, placed));
      for (const one of run.path.derailmentsUpTo(run.row, MAX_DROPS)) {
        derailed.points.push(at(one.row));
        derailed.colors.push(run.color);
        derailed.texts.push(plain([run.name, derailmentLine(shape.surface, one)]));
      }
      for (const points of this.#drops(shape, columns, rows, at)) {
        drops.points.push(...points);
        drops.colors.push(...points.map(() => run.color));
      }
      heads.points.push(at(run.row));
      heads.colors.push(run.color);
      heads.texts.push(plain(stateLines(run, run.row, shape.surface)));
    }
    return [
      ...lines,
      marks3d(derailed.points, { symbol: "diamond-open", color: derailed.colors, size: 6 }, derailed.texts),
      lines3d(drops.points, { color: drops.colors.length ? drops.colors : theme.muted, width: 1.5 }, { opacity: 0.6 }),
      marks3d(heads.points, { color: heads.colors, size: 7, line: { color: theme.background, width: 2 } }, heads.texts),
    ];
  }

  #line(shape, run, rows, at, placed) {
    const isApart = (from, to) => run.path.isMoved(from, to) || shape.jumps(placed, from, to);
    const points = rows.flatMap((row, k) => (k && isApart(rows[k - 1], row) ? [GAP, at(row)] : [at(row)]));
    return lines3d(points, { color: run.color, width: 7, dash: PLOTLY_DASHES[run.dashNumber] });
  }

  /** Lines down to the surface, where the loss of a path is not that of the surface under it. */
  #drops({ surface, top }, columns, rows, at) {
    if (surface.isCurve) return [];
    const stride = Math.ceil(rows.length / MAX_DROPS);
    return rows.filter((_, k) => k % stride === 0).flatMap((row) => {
      const ground = Math.min(surface.heightAt(columns.map((column) => column[row])), top);
      const [x, y, z] = at(row);
      return Number.isFinite(ground) && z !== null ? [[[x, y, z], [x, y, ground], GAP]] : [];
    });
  }
}
