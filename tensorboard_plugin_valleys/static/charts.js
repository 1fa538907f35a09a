// The loss, the coordinates and the distance from the surface against the step, with the cursor.

import { coordinate, isSame } from "./format.js";
import { Chart } from "./canvas.js";

const MAX_SAID = 6; // runs whose values are in the name of a chart
const MAX_MARKS = 30; // derailments of a run that are marked, the last ones

/** Which columns there is a chart for: {key, label, unit}; `key` is a column of a path. */
export function chartsFor(runs) {
  const kinds = [...new Set(runs.map(({ path }) => path.lossKind))].sort();
  const charts = new Map([["loss", { key: "loss", label: [kinds.join(" and "), "loss"].join(" ").trim(), unit: "" }]]);
  for (const { path } of runs) {
    path.names.forEach((label, k) => {
      const unit = path.units[k];
      const key = `coordinate ${label}${unit && ` in ${unit}`}`; // one chart has one unit
      charts.set(key, { key, label, unit });
    });
  }
  const off = { key: "distance", label: "off the surface", unit: "" };
  if (runs.some(({ path }) => path.leavesSurface())) charts.set(off.key, off);
  return [...charts.values()];
}

function columnOf(path, { key, label, unit }) {
  if (key === "loss") return path.losses;
  if (key === "distance") return path.distances;
  const k = path.names.indexOf(label);
  return path.units[k] === unit ? path.coordinates[k] : null;
}

/** The ends of the axis, and how many values are beyond: few that would dwarf all others. What a run that
 * diverged had does not count beside others, and else up to there. */
function extent(runs, all) {
  const finite = runs.map(({ path }, k) => all[k].filter((_, row) => !path.hasDiverged(path.steps[row])));
  const whole = finite.filter((_, k) => runs[k].path.diverged === null);
  const columns = whole.length ? whole : finite;
  let [low, high] = [Infinity, -Infinity];
  const some = [];
  for (const column of columns) {
    const stride = Math.ceil(column.length / 512) | 1; // odd: sees both sides of steps to and fro
    column.forEach((value, k) => {
      if (!Number.isFinite(value)) return;
      low = Math.min(low, value);
      high = Math.max(high, value);
      if (k % stride === 0) some.push(value);
    });
  }
  if (!(low <= high)) return { ends: [0, 1], beyond: 0 };
  some.sort((a, b) => a - b);
  const [q1, q3] = [0.02, 0.98].map((share) => some[Math.round(share * (some.length - 1))] ?? low);
  const room = 3 * (q3 - q1);
  if (room > 0) [low, high] = [Math.max(low, q1 - room), Math.min(high, q3 + room)];
  const pad = 0.06 * (high - low) || Math.abs(high) * 0.1 || 1;
  const outside = (value) => Number.isFinite(value) && (value < low || value > high);
  const beyond = all.reduce((sum, column) => sum + column.filter(outside).length, 0);
  return { ends: [low - pad, high + pad], beyond };
}

export class StepChart extends Chart {
  #key = [];

  constructor(parent, spec, tip, onStep) {
    super(parent, `${spec.label} against step`, tip, { tabindex: 0 });
    this.spec = spec;
    const seek = (event) => {
      if (!this.domain) return;
      onStep(Math.round(Math.min(Math.max(this.valueAt(this.placeOf(event)[0]), 0), this.domain.x[1])));
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      seek(event);
    });
    this.canvas.addEventListener("pointermove", (event) => event.buttons === 1 && seek(event));
  }

  draw({ runs: all, step, lastStep, theme }) {
    const runs = all.filter(({ path }) => columnOf(path, this.spec));
    const columns = runs.map(({ path }) => columnOf(path, this.spec));
    const { clientWidth, clientHeight } = this.parent;
    const key = [lastStep, theme.name, clientWidth, clientHeight, devicePixelRatio];
    for (const { path, color, dashNumber, isFaint } of runs) key.push(path, color, dashNumber, isFaint);
    // From step to step only the cursor moves.
    if (isSame(key, this.#key)) this.restore();
    else {
      this.#key = key;
      const { ends, beyond } = extent(runs, columns);
      this.begin({ x: [0, Math.max(1, lastStep)], y: ends }, { x: "step", y: this.spec.label }, { x: "", y: this.spec.unit }, theme);
      this.canvas.dataset.ends = ends.map((end) => end.toPrecision(4)).join(" "); // for tests
      this.inside(() => runs.forEach((run, k) => this.#curve(run, columns[k])));
      const look = { color: theme.muted, align: "right", halo: theme.background };
      if (beyond) this.text(`${beyond} beyond`, this.right - 2, this.top + 4, look);
      this.keep();
      this.restore();
    }
    this.#future(step);
    runs.forEach((run, k) => this.#derailments(run, columns[k]));
    this.#cursor(runs, columns, step);
  }

  #curve(run, column) {
    const xs = run.path.steps.map((value) => this.x(value));
    const ys = Float64Array.from(column, (value) => this.y(value));
    const breaks = (row) => run.path.isMoved(row - 1, row);
    this.line(xs, ys, { color: run.color, width: 1.5, dash: run.dash, breaks, alpha: run.isFaint ? 0.25 : 1 });
  }

  /** What comes after the cursor is pale: it has not happened yet. */
  #future(step) {
    const { context, theme, top, bottom, right } = this;
    const x = this.x(step);
    if (x >= right) return;
    context.globalAlpha = 0.72;
    context.fillStyle = theme.background;
    context.fillRect(x, top - 1, right - x + 1, bottom - top);
    context.globalAlpha = 1;
  }

  #derailments(run, column) {
    const { path, row } = run;
    for (const derailment of path.derailmentsUpTo(row, MAX_MARKS)) {
      const look = { radius: 3.5, fill: this.theme.background, stroke: run.color };
      const y = this.y(column[derailment.row]);
      if (y >= this.top && y <= this.bottom) this.diamond(this.x(path.steps[derailment.row]), y, look);
    }
  }

  #cursor(runs, columns, step) {
    const { context, theme, top, bottom } = this;
    const x = Math.round(this.x(step)) + 0.5;
    context.strokeStyle = theme.ink;
    context.lineWidth = 1;
    context.setLineDash([3, 3]);
    context.beginPath();
    context.moveTo(x, top);
    context.lineTo(x, bottom);
    context.stroke();
    context.setLineDash([]);
    // What a screen reader says of it: the values at the cursor.
    const said = runs.slice(0, MAX_SAID).map((run, k) => `${run.name} ${run.row < 0 ? "not begun" : coordinate(columns[k][run.row], this.spec.unit)}`);
    this.canvas.setAttribute("aria-label", `${this.spec.label} against step, at step ${step}: ${said.join("; ")}`);
    runs.forEach((run, k) => {
      if (run.row < 0) return;
      const value = columns[k][run.row];
      const [px, py] = [this.x(run.path.steps[run.row]), this.y(value)];
      if (py >= top && py <= bottom) this.dot(px, py, { radius: 4, fill: run.color, stroke: theme.background });
      const words = `${this.spec.label} ${coordinate(value, this.spec.unit)}`;
      this.target(px, py, () => [`${run.name}, step ${run.path.steps[run.row]}`, words]);
    });
  }
}
