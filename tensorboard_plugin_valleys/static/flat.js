// The surface as a curve or as a map, with the paths on it.

import { isSame, number, ticks, title } from "./format.js";
import { Chart } from "./canvas.js";
import { drawHint } from "./hint.js";
import { drawMarks, drawRamp, Labels } from "./marks.js";
import { rampColor, rgb } from "./ramp.js";
import { levelsOf } from "./solids.js";
import { stateLines } from "./words.js";

const ERROR = 0.8; // pixels by which a path may be drawn wrongly
const MAX_TARGETS = 400; // places of a path that the pointer finds
const MAX_DOTS = 200; // rows of a path that each have a dot
const MAX_DOTTED = 6; // runs with such dots
const MOST = 1e5; // pixels: a canvas knows no more
const MAX_ZOOM = 200;

/** What the curve and the map share: the window on the surface, paths and marks. */
class Flat extends Chart {
  /** `onClick(point)` gets the point of the surface that was clicked. */
  constructor(parent, name, tip, settings, onClick) {
    super(parent, name, tip, { tabindex: 0 });
    Object.assign(this, { settings, onClick });
    this.#listen();
  }

  /** What is in the window: all of the surface, or what was zoomed to. */
  window(all) {
    this.all = all;
    const { zoom } = this.settings;
    return zoom ? { x: zoom.slice(0, 2), y: zoom.slice(2) } : all;
  }

  #show({ x, y }) {
    const { all } = this;
    const kept = [[x, all.x], [y, all.y]].map(([[a, b], [low, high]]) => {
      const size = Math.max(Math.min(b - a, high - low), (high - low) / MAX_ZOOM);
      const start = Math.min(Math.max((a + b - size) / 2, low), high - size);
      return [start, start + size];
    });
    const isAll = kept.every(([a, b], k) => b - a > 0.999 * ([all.x, all.y][k][1] - [all.x, all.y][k][0]));
    this.settings.set({ zoom: isAll ? null : kept.flat().map((value) => Number(value.toPrecision(7))) });
  }

  magnify(factor, place = [(this.left + this.right) / 2, (this.top + this.bottom) / 2]) {
    const [x, y] = this.valuesAt(place);
    const around = ([a, b], at) => [at + (a - at) / factor, at + (b - at) / factor];
    this.#show({ x: around(this.domain.x, x), y: around(this.domain.y, y) });
  }

  move(right, down) {
    const { domain, left, right: end, top, bottom } = this;
    const dx = (right / (end - left)) * (domain.x[1] - domain.x[0]);
    const dy = (down / (bottom - top)) * (domain.y[1] - domain.y[0]);
    this.#show({ x: domain.x.map((value) => value - dx), y: domain.y.map((value) => value + dy) });
  }

  reset() {
    this.settings.set({ zoom: null });
  }

  #listen() {
    const { canvas } = this;
    const fingers = new Map();
    let begin = null;
    canvas.addEventListener("pointerup", (event) => {
      const [x, y] = this.placeOf(event);
      const isStill = begin && Math.hypot(x - begin[0], y - begin[1]) < 4;
      const isInside = x > this.left && x < this.right && y > this.top && y < this.bottom;
      if (isStill && isInside && fingers.size === 1) this.onClick(this.valuesAt([x, y]));
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.magnify(Math.exp(-event.deltaY * 0.0016), this.placeOf(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      begin = this.placeOf(event);
      fingers.set(event.pointerId, begin);
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const now = this.placeOf(event);
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      fingers.set(event.pointerId, now);
      if (other) {
        const far = (place) => Math.max(10, Math.hypot(place[0] - other[0], place[1] - other[1]));
        this.magnify(far(now) / far(before), other);
      } else if (this.settings.zoom) this.move(now[0] - before[0], now[1] - before[1]);
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, ({ pointerId }) => fingers.delete(pointerId));
    canvas.addEventListener("dblclick", () => this.reset());
    canvas.addEventListener("keydown", (event) => {
      const far = 30;
      const moves = {
        ArrowLeft: () => this.move(far, 0), ArrowRight: () => this.move(-far, 0), ArrowUp: () => this.move(0, far), ArrowDown: () => this.move(0, -far),
        "+": () => this.magnify(1.25), "=": () => this.magnify(1.25), "-": () => this.magnify(0.8), 0: () => this.reset(),
      };
      if (event.ctrlKey || event.metaKey || event.altKey || !moves[event.key]) return;
      event.preventDefault();
      event.stopPropagation();
      moves[event.key]();
    });
  }

  /** The share of the picture, at any zoom, that a path may be drawn wrongly by. */
  get #error() {
    const { domain, all } = this;
    const zoom = Math.max((all.x[1] - all.x[0]) / (domain.x[1] - domain.x[0]), (all.y[1] - all.y[0]) / (domain.y[1] - domain.y[0]));
    return ERROR / (Math.max(this.right - this.left, this.bottom - this.top) * zoom);
  }

  pixel([first, second]) {
    const clamp = (value) => Math.max(-MOST, Math.min(MOST, value));
    return [clamp(this.x(first)), clamp(this.y(second))];
  }

  /** A point of a row in the picture: on a curve its height is the second number. */
  pointOf({ columns, heights }, row) {
    return [columns[0][row], columns[1] ? columns[1][row] : heights[row]];
  }

  drawPaths({ layers, surface, theme }) {
    this.inside(() => {
      for (const run of layers) {
        if (run.row < 0) continue;
        const { xs, ys, rows } = this.way(run, surface);
        const [width, more] = run.isFocus ? [3.2, 3] : [2, 2.2];
        this.line(xs, ys, { color: theme.casing, width: width + more, alpha: run.isFaint ? 0.15 : 1 });
        this.line(xs, ys, { color: run.color, width, dash: run.dash, alpha: run.isFaint ? 0.25 : 1 });
        const placed = surface.place(run.path);
        const step = Math.ceil(rows.length / MAX_TARGETS);
        rows.forEach((row, k) => {
          const [x, y] = this.pixel(this.pointOf(placed, row));
          if (rows.length <= MAX_DOTS && layers.length <= MAX_DOTTED && !run.isFaint) this.dot(x, y, { radius: 2.4, fill: run.color, stroke: theme.casing, width: 0.8 });
          if (k % step === 0) this.target(x, y, () => stateLines(run, row, surface));
        });
      }
    });
  }

  /** The pixels of a path up to its row, with NaN where it breaks off; and the rows that are drawn. */
  way(run, surface) {
    const { path } = run;
    const placed = surface.place(path);
    const rows = path.rowsUpTo(run.row, this.#error);
    const [xs, ys] = [[], []];
    const add = (point) => {
      const [x, y] = this.pixel(point);
      xs.push(x);
      ys.push(y);
    };
    const { columns } = placed;
    for (let k = 0; k < rows.length; k++) {
      if (k && path.isMoved(rows[k - 1], rows[k])) add([NaN, NaN]);
      else if (k && surface.periods.some(Boolean)) this.#round(surface, placed, rows[k - 1], rows[k], add);
      add(this.pointOf(placed, rows[k]));
    }
    return { xs, ys, rows: columns.length ? rows : [] };
  }

  /** The way round the end of an axis: out at one side, in at the other. */
  #round(surface, placed, from, to, add) {
    const points = [from, to].map((row) => placed.columns.map((column) => column[row]));
    const pieces = surface.pieces(...points);
    if (pieces.length === 1) return;
    const heights = [placed.heights[to], placed.heights[from]];
    const ends = [pieces[0][1], pieces[1][0]];
    const drawn = ends.map((point, k) => (surface.isCurve ? [point[0], heights[k]] : point));
    add(drawn[0]);
    add([NaN, NaN]);
    add(drawn[1]);
  }

  drawMarks(scene) {
    const labels = new Labels(this, [4, this.top, this.width - 4, this.bottom]);
    const { surface } = scene;
    drawMarks(this, scene, labels, (point) => {
      const second = surface.isCurve ? surface.heightAt(surface.wrap(point).inside) : point[1];
      const [x, y] = this.pixel([point[0], second]);
      const isInside = x >= this.left - 1 && x <= this.right + 1 && y >= this.top - 1 && y <= this.bottom + 1;
      return isInside ? [x, y] : [NaN, NaN];
    });
    this.note(scene);
  }

  drawHint(scene) {
    const { surface } = scene;
    this.inside(() => drawHint(this, scene, (point) => {
      const { inside } = surface.wrap(point);
      return this.pixel(surface.isCurve ? [inside[0], surface.heightAt(inside)] : inside);
    }));
  }

  /** What of a surface is not on show, and with which statistics it was evaluated. */
  note({ surface: { numDiverged, statistics, notCounted }, limits: { top, cut } }) {
    const known = [cut && `cut at loss ${number(top)}`, numDiverged && `${numDiverged} points diverged`, notCounted];
    const parts = known.filter(Boolean);
    const isWide = (words) => this.context.measureText(words).width > this.right - this.left;
    const lines = [...(isWide(parts.join("; ")) ? parts : [parts.join("; ")]), statistics && `evaluated with ${statistics}`].filter(Boolean);
    const style = { color: this.theme.ink, align: "right", halo: this.theme.background };
    lines.forEach((line, k) => this.text(line, this.right - 4, this.top + 9 + 14 * k, style));
  }
}

export class Curve extends Flat {
  draw(scene) {
    const { surface, theme, limits } = scene;
    const [axis] = surface.axes;
    const { low, top } = limits;
    const end = axis.length > 1 ? axis.at(-1) : axis[0] + 1;
    const domain = this.window({ x: [axis[0], end], y: [low - 0.14 * (top - low), top + 0.03 * (top - low)] });
    this.begin(domain, { x: surface.labels[0], y: `slice ${title(surface.lossName)}` }, { x: surface.units[0], y: "" }, theme);
    const xs = axis.map((value) => this.x(value));
    const ys = surface.losses.map((loss) => (Number.isFinite(loss) ? Math.max(this.y(loss), -1e4) : NaN));
    this.inside(() => {
      this.#fill(xs, ys);
      this.line(xs, ys, { color: theme.surface, width: 2.5 });
    });
    this.drawPaths(scene);
    this.drawHint(scene);
    this.drawMarks(scene);
  }

  /** The ground under the curve, in one piece between losses that are not finite. */
  #fill(xs, ys) {
    const { context, theme, bottom } = this;
    context.fillStyle = theme.fill;
    context.beginPath();
    let start = null;
    for (let k = 0; k <= xs.length; k++) {
      const known = k < xs.length && Number.isFinite(ys[k]);
      if (known && start === null) context.moveTo(xs[(start = k)], bottom);
      if (known) context.lineTo(xs[k], ys[k]);
      else if (start !== null) {
        context.lineTo(xs[k - 1], bottom);
        start = null;
      }
    }
    context.fill();
  }
}

export class Contours extends Flat {
  #image = null;
  #key = [];

  draw(scene) {
    const { surface, theme, limits } = scene;
    const [first, second] = surface.axes;
    const ends = (axis) => [axis[0], axis.length > 1 ? axis.at(-1) : axis[0] + 1];
    const [[x, y], [xUnit, yUnit]] = [surface.labels, surface.units];
    const domain = this.window({ x: ends(first), y: ends(second) });
    this.begin(domain, { x, y }, { x: xUnit, y: yUnit }, theme, { right: 70, top: 30 });
    const key = [surface, theme.name, this.width, this.height, this.ratio, limits.low, limits.top, ...domain.x, ...domain.y];
    if (!isSame(key, this.#key)) {
      this.#key = key;
      this.#image = this.#paint(surface, limits);
    }
    this.context.drawImage(this.#image, this.left, this.top, this.right - this.left, this.bottom - this.top);
    this.drawPaths(scene);
    this.drawHint(scene);
    this.drawMarks(scene);
    const color = (share) => rgb(rampColor(theme.name, share));
    const losses = ticks(limits.low, limits.top, 6).map((loss) => [loss, number(loss)]);
    const title = `slice ${surface.lossName.replaceAll("_", " ")}`;
    drawRamp(this, limits, { left: this.right + 14, top: this.top, bottom: this.bottom }, { theme, color, ticks: losses, title });
  }

  /** The ramp with a line at each level, each pixel between its four samples; stripes where it diverged. */
  #paint(surface, limits) {
    const { low, top } = limits;
    const width = Math.max(1, Math.round((this.right - this.left) * this.ratio));
    const height = Math.max(1, Math.round((this.bottom - this.top) * this.ratio));
    const canvas = element2d(width, height);
    const image = canvas.context.createImageData(width, height);
    const columns = cells(surface.axes[0], width, this.domain.x);
    const rows = cells(surface.axes[1], height, this.domain.y);
    const { name } = this.theme;
    const shades = Array.from({ length: 257 }, (_, k) => rampColor(name, k / 256));
    const packed = Uint32Array.from(shades, ([red, green, blue]) => (255 << 24) | (blue << 16) | (green << 8) | red);
    const pixels = new Uint32Array(image.data.buffer);
    const line = name === "dark" ? 1.45 : 0.72;
    const levels = levelsOf(limits);
    const gap = levels.length > 1 ? levels[1] - levels[0] : top - low;
    const [first, scale, shadeScale] = [levels[0] ?? low, 1 / (gap || 1), 256 / (top - low || 1)];
    let [above, here] = [new Float64Array(width), new Float64Array(width)];
    const samples = new Float64Array(surface.losses.length); // along one row of pixels
    for (let y = 0; y < height; y++) {
      const [k, m, v] = rows[height - 1 - y];
      for (let i = 0; i < samples.length; i++) samples[i] = (1 - v) * surface.losses[i][k] + v * surface.losses[i][m];
      for (let x = 0; x < width; x++) {
        const [i, j, u] = columns[x];
        const loss = (1 - u) * samples[i] + u * samples[j];
        const level = (loss - first) * scale;
        here[x] = level;
        const at = y * width + x;
        if (!Number.isFinite(loss)) {
          const [red, green, blue] = this.theme.side;
          pixels[at] = (((x + y) % 9 < 2 ? 150 : 0) << 24) | (blue << 16) | (green << 8) | red;
          continue;
        }
        const shade = Math.round(Math.min(256, Math.max(0, (loss - low) * shadeScale)));
        pixels[at] = packed[shade];
        if (!(level > -0.5 && level < levels.length - 0.5)) continue;
        const away = Math.abs(level - Math.round(level));
        const slope = Math.hypot(level - (x ? here[x - 1] : level), level - (y ? above[x] : level));
        const share = slope > 0 ? 1 - away / slope / this.ratio : 0;
        if (share > 0) for (let c = 0; c < 3; c++) image.data[4 * at + c] = shades[shade][c] * (1 + share * (line - 1));
      }
      [above, here] = [here, above];
    }
    canvas.context.putImageData(image, 0, 0);
    return canvas.node;
  }
}

function element2d(width, height) {
  const node = document.createElement("canvas");
  node.width = width;
  node.height = height;
  return { node, context: node.getContext("2d") };
}

/** For each pixel along an axis, the samples around it and the share between them. */
function cells(axis, pixels, [from, to]) {
  const last = axis.length - 1;
  let cell = 0;
  return Array.from({ length: pixels }, (_, pixel) => {
    if (last === 0) return [0, 0, 0];
    const value = from + ((pixel + 0.5) / pixels) * (to - from);
    while (cell < last - 1 && axis[cell + 1] < value) cell++;
    return [cell, cell + 1, (value - axis[cell]) / (axis[cell + 1] - axis[cell])];
  });
}
