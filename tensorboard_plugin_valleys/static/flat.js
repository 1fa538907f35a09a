// The surface as a curve or as contours, with the paths on it: on a canvas, without WebGL.

import { isSame, number, title } from "./format.js";
import { Chart } from "./canvas.js";
import { gray } from "./theme.js";
import { derailmentLine, markWords, namedValleys, stateLines, valleyLines } from "./words.js";

const FLAT_POINTS = 1000; // of a path
const MAX_DERAILMENTS = 50; // of a run, the last ones, marked on its path
const NUM_BANDS = 16;

/** What the curve and the contours share: paths, cursors, valleys, derailments. */
class Flat extends Chart {
  drawPaths({ runs, surface, theme }) {
    const heads = [];
    for (const run of runs) {
      if (run.row < 0) continue;
      const rows = run.path.rowsUpTo(run.row, FLAT_POINTS);
      const { xs, ys, placed } = this.#pixels(run, rows, surface);
      this.inside(() => {
        const breaks = (k) => run.path.isMoved(rows[k - 1], rows[k]) || surface.jumps(placed, rows[k - 1], rows[k]);
        this.line(xs, ys, { color: run.color, width: 1.8, dash: run.dash, breaks });
        if (xs.length <= 200) {
          for (let k = 0; k < xs.length; k++) this.dot(xs[k], ys[k], { radius: 2, fill: run.color });
        }
      });
      for (let k = 0; k < xs.length; k++) this.target(xs[k], ys[k], () => stateLines(run, rows[k], surface));
      this.#drawDerailments(run, surface);
      heads.push([xs.at(-1), ys.at(-1), run]);
    }
    for (const [x, y, run] of heads) {
      this.inside(() => this.dot(x, y, { radius: 6, fill: run.color, stroke: theme.background, width: 2 }));
      this.target(x, y, () => stateLines(run, run.row, surface));
    }
  }

  /** Rows of a path in pixels. */
  #pixels(run, rows, surface) {
    const placed = surface.place(run.path);
    const { columns, heights } = placed;
    const [first, second] = columns;
    const [xs, ys] = [new Float64Array(rows.length), new Float64Array(rows.length)];
    for (let k = 0; k < rows.length; k++) {
      const row = rows[k];
      xs[k] = this.x(first[row]);
      ys[k] = this.y(second ? second[row] : heights[row]);
    }
    return { xs, ys, placed };
  }

  #drawDerailments(run, surface) {
    const { theme } = this;
    const past = run.path.derailmentsUpTo(run.row, MAX_DERAILMENTS);
    const { xs, ys } = this.#pixels(run, past.map(({ row }) => row), surface);
    past.forEach((derailment, k) => {
      this.inside(() => this.diamond(xs[k], ys[k], { radius: 5, fill: theme.background, stroke: run.color, width: 2 }));
      this.target(xs[k], ys[k], () => [run.name, derailmentLine(surface, derailment)]);
    });
  }

  drawValleys({ surface, theme }) {
    const taken = [];
    for (const valley of namedValleys(surface)) {
      const { position, loss, index } = valley;
      const places = surface.repeats(position).map(([first, second]) => [this.x(first), this.y(second ?? loss)]);
      const [x, y] = places[0];
      if (!Number.isFinite(x) || y < this.top - 1 || y > this.bottom + 1) continue;
      for (const place of places) {
        const look = { radius: 4, fill: theme.background, stroke: theme.ink, width: 1.5 };
        if (valley.on_border) this.square(...place, look);
        else this.dot(...place, look);
        this.target(...place, () => valleyLines(surface, index));
      }
      const words = markWords(surface, valley);
      const half = this.context.measureText(words).width / 2 + 3;
      const middle = Math.max(this.left + half, Math.min(this.right - half, x));
      const below = y + 16 < this.bottom - 4 ? y + 16 : y - 16;
      const box = [middle - half, middle + half, below - 8, below + 8];
      const free = taken.every(([a, b, c, d]) => box[1] < a || box[0] > b || box[3] < c || box[2] > d);
      if (!free) continue;
      taken.push(box);
      this.text(words, middle, below, { color: theme.ink, halo: theme.background });
    }
  }

  /** What of a surface is not on show, and with which statistics it was evaluated. */
  note({ numDiverged, statistics, notCounted }, { top, cut }) {
    const parts = [cut && `cut at loss ${number(top)}`, numDiverged && `${numDiverged} points diverged`, notCounted];
    const words = parts.filter(Boolean).join("; ");
    const lines = [words, statistics && `evaluated with ${statistics}`].filter(Boolean);
    const style = { color: this.theme.muted, align: "right", halo: this.theme.background };
    lines.forEach((line, k) => this.text(line, this.right - 4, this.top + 8 + 14 * k, style));
  }
}

export class Curve extends Flat {
  draw(scene) {
    const { surface, theme } = scene;
    const [axis] = surface.axes;
    const limits = surface.limits(scene.runs.map(({ path }) => path));
    const { low, top } = limits;
    const end = axis.length > 1 ? axis.at(-1) : axis[0] + 1;
    const domain = { x: [axis[0], end], y: [low - 0.14 * (top - low), top] };
    this.begin(domain, { x: surface.labels[0], y: title(surface.lossName) }, { x: surface.units[0], y: "" }, theme);
    const xs = axis.map((value) => this.x(value));
    const ys = surface.losses.map((loss) => (Number.isFinite(loss) ? Math.max(this.y(loss), -1e4) : NaN));
    this.inside(() => {
      this.#fill(xs, ys);
      this.line(xs, ys, { color: theme.surface, width: 2 });
    });
    this.drawPaths(scene);
    this.drawValleys(scene);
    this.note(surface, limits);
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
    const { surface, theme } = scene;
    const [first, second] = surface.axes;
    const ends = (axis) => [axis[0], axis.length > 1 ? axis.at(-1) : axis[0] + 1];
    const limits = surface.limits([]);
    const [[x, y], [xUnit, yUnit]] = [surface.labels, surface.units];
    this.begin({ x: ends(first), y: ends(second) }, { x, y }, { x: xUnit, y: yUnit }, theme);
    const key = [surface, theme.name, this.width, this.height, this.ratio];
    if (!isSame(key, this.#key)) {
      this.#key = key;
      this.#image = this.#paintBands(surface, limits);
    }
    this.context.drawImage(this.#image, this.left, this.top, this.right - this.left, this.bottom - this.top);
    this.drawPaths(scene);
    this.drawValleys(scene);
    this.note(surface, limits);
  }

  /** Bands of gray with a line between two, each pixel between its four samples. */
  #paintBands(surface, { low, top }) {
    const width = Math.max(1, Math.round((this.right - this.left) * this.ratio));
    const height = Math.max(1, Math.round((this.bottom - this.top) * this.ratio));
    const canvas = element2d(width, height);
    const image = canvas.context.createImageData(width, height);
    const columns = cells(surface.axes[0], width);
    const rows = cells(surface.axes[1], height);
    const shades = Array.from({ length: NUM_BANDS + 1 }, (_, k) => gray(this.theme, k / NUM_BANDS));
    const lines = gray(this.theme, this.theme.name === "dark" ? 1.25 : 1.2);
    const scale = NUM_BANDS / (top - low);
    let above = new Float32Array(width);
    let here = new Float32Array(width);
    for (let y = 0; y < height; y++) {
      const [k, m, v] = rows[height - 1 - y];
      for (let x = 0; x < width; x++) {
        const [i, j, u] = columns[x];
        const left = (1 - u) * surface.losses[i][k] + u * surface.losses[j][k];
        const right = (1 - u) * surface.losses[i][m] + u * surface.losses[j][m];
        const level = ((1 - v) * left + v * right - low) * scale;
        here[x] = level;
        const at = 4 * (y * width + x);
        if (Number.isNaN(level)) continue; // a hole
        const band = Math.min(NUM_BANDS, Math.max(0, Math.floor(level)));
        const slope = Math.hypot(level - (x ? here[x - 1] : level), level - (y ? above[x] : level));
        const away = Math.abs(level - Math.round(level));
        const share = level < NUM_BANDS + 0.5 && slope > 0 ? Math.max(0, 1 - away / slope / this.ratio) : 0;
        for (let c = 0; c < 3; c++) image.data[at + c] = shades[band][c] + 0.7 * share * (lines[c] - shades[band][c]);
        image.data[at + 3] = 255;
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
function cells(axis, pixels) {
  const last = axis.length - 1;
  let cell = 0;
  return Array.from({ length: pixels }, (_, pixel) => {
    if (last === 0) return [0, 0, 0];
    const value = axis[0] + ((pixel + 0.5) / pixels) * (axis[last] - axis[0]);
    while (cell < last - 1 && axis[cell + 1] < value) cell++;
    return [cell, cell + 1, (value - axis[cell]) / (axis[cell + 1] - axis[cell])];
  });
}
