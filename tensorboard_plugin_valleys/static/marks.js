// Marks on the surface, in any view: valleys, derailments, where runs diverged, and where they are now.
// A view says where a point of the surface is in its picture; balls lie above all other marks.

import { derailedHere, derailmentLine, divergedLine, markWords, namedValleys, stateLines, valleyLines } from "./words.js";

const MAX_DERAILMENTS = 50; // of a run, the last ones, marked on its path
const MAX_NAMED = 6; // runs with their names beside them; for more there is the list
const MAX_NEWS = 3; // what just happened, in words
const FRESH = 0.04; // share of all steps for which something has just happened

/** Texts beside marks, of which no two overlap. */
export class Labels {
  constructor(canvas, [left, top, right, bottom]) {
    Object.assign(this, { canvas, left, top, right, bottom });
    this.taken = [];
  }

  take(x, y, radius) {
    this.taken.push([x - radius, y - radius, x + radius, y + radius]);
  }

  /** Whether there was room, at one of the sides of a mark. */
  put(words, x, y, { color, halo, gap = 10, box = null, sides = ["below", "above", "right", "left"] }) {
    const { canvas } = this;
    const half = canvas.context.measureText(words).width / 2 + (box ? 7 : 2);
    const tall = box ? 11 : 8;
    const places = {
      below: [x, y + gap + tall], above: [x, y - gap - tall], right: [x + gap + half, y], left: [x - gap - half, y],
      "far below": [x, y + 3 * gap + tall], "far above": [x, y - 3 * gap - tall], center: [x, y],
    };
    if (2 * half > this.right - this.left) return false;
    for (const side of sides) {
      const middle = Math.max(this.left + half, Math.min(this.right - half, places[side][0]));
      const level = Math.max(this.top + tall, Math.min(this.bottom - tall, places[side][1]));
      const room = [middle - half, level - tall, middle + half, level + tall];
      if (this.taken.some(([a, b, c, d]) => room[0] < c && room[2] > a && room[1] < d && room[3] > b)) continue;
      this.taken.push(room);
      if (box) canvas.box(...room, box);
      canvas.text(words, middle, level, { color, halo: box ? null : halo });
      return true;
    }
    return false;
  }
}

/** Draw all marks. `locate(point, run, row)` is a pixel, NaN where it is not in the picture; `labels` has
 * the room for texts. */
export function drawMarks(canvas, scene, labels, locate) {
  const { surface, runs, layers, theme, step, lastStep } = scene;
  const news = [];
  const drawValley = (valley, [x, y]) => {
    const look = { radius: 4.5, fill: theme.background, stroke: theme.ink, width: 1.8 };
    if (valley.on_border) canvas.square(x, y, { ...look, radius: 4 });
    else canvas.dot(x, y, look);
    canvas.target(x, y, () => valleyLines(surface, valley.index));
  };
  const valleys = namedValleys(surface).map((valley) => [valley, locate(valley.position)]);
  for (const [valley, place] of valleys) if (Number.isFinite(place[0])) drawValley(valley, place);

  const isFresh = (when) => step >= when && step - when <= Math.max(2, FRESH * lastStep);
  const begun = layers.filter(({ row }) => row >= 0);
  for (const run of begun) {
    const { path, row } = run;
    const { columns } = surface.place(path);
    const at = (k) => locate(columns.map((column) => column[k]), run, k);
    for (const derailment of path.derailmentsUpTo(row, MAX_DERAILMENTS)) {
      const [x, y] = at(derailment.row);
      canvas.diamond(x, y, { radius: 5.5, fill: theme.background, stroke: theme.casing, width: 4 });
      canvas.diamond(x, y, { radius: 5.5, fill: theme.background, stroke: run.color, width: 2 });
      canvas.target(x, y, () => [run.name, derailmentLine(surface, derailment)]);
      if (isFresh(path.steps[derailment.row])) news.push([path.steps[derailment.row], x, y, derailedHere(surface, derailment, path.lossKind)]);
    }
    if (path.hasDiverged(step)) {
      const last = lastSeen(path, surface, row);
      if (last < 0) continue;
      const [x, y] = at(last);
      canvas.cross(x, y, { radius: 6, stroke: run.color, casing: theme.casing });
      canvas.target(x, y, () => [run.name, divergedLine(path)]);
      news.push([path.diverged, x, y, `${runs.length > 1 ? `${run.short} ` : ""}${divergedLine(path)}`]);
    }
  }

  const heads = begun.filter(({ path }) => !path.hasDiverged(step)).map((run) => {
    const { columns } = surface.place(run.path);
    return [run, ...locate(columns.map((column) => column[run.row]), run, run.row)];
  });
  for (const [run, x, y] of heads) {
    if (!Number.isFinite(x)) continue;
    canvas.dot(x, y, { radius: 6.5, fill: run.color, stroke: theme.background, width: 2.5 });
    canvas.dot(x, y, { radius: 8, stroke: theme.casing, width: 1.2 });
    canvas.target(x, y, () => stateLines(run, run.row, surface));
    labels.take(x, y, 7);
  }
  const look = { color: theme.ink, halo: theme.background };
  news.sort(([a], [b]) => b - a);
  for (const [, x, y, words] of news.slice(0, MAX_NEWS)) {
    if (Number.isFinite(x)) labels.put(words, x, y, { ...look, gap: 14, box: theme, sides: ["above", "below", "far above", "far below", "right", "left"] });
  }
  canvas.canvas.dataset.news = news.slice(0, MAX_NEWS).map(([, , , words]) => words).join("|"); // also for tests
  for (const [valley, [x, y]] of valleys) {
    if (Number.isFinite(x)) labels.put(markWords(surface, valley), x, y, look);
  }
  if (runs.length > MAX_NAMED || runs.length < 2) return;
  for (const [run, x, y] of heads) {
    if (Number.isFinite(x)) labels.put(run.short, x, y, { ...look, gap: 9, sides: ["right", "left", "above", "below"] });
  }
}

/** The last row before a run diverged that is on the surface. */
function lastSeen(path, surface, row) {
  const { heights } = surface.place(path);
  let last = Math.min(row, path.size - 1);
  while (last >= 0 && (!Number.isFinite(heights[last]) || path.steps[last] >= path.diverged)) last--;
  return last;
}

/** The ramp of colors beside a picture, with losses: what a color means. */
export function drawRamp(canvas, { low, top }, { left, top: upper, bottom }, look) {
  const { context } = canvas;
  const { theme, color, ticks, title } = look;
  const width = 11;
  const at = (loss) => bottom - ((loss - low) / (top - low || 1)) * (bottom - upper);
  for (let y = Math.floor(upper); y < bottom; y++) {
    context.fillStyle = color((bottom - y) / (bottom - upper));
    context.fillRect(left, y, width, 1.5);
  }
  context.strokeStyle = theme.muted;
  context.lineWidth = 1;
  context.strokeRect(left - 0.5, upper - 0.5, width + 1, bottom - upper + 1);
  for (const [loss, words] of ticks) {
    const y = at(loss);
    context.beginPath();
    context.moveTo(left + width, y);
    context.lineTo(left + width + 4, y);
    context.stroke();
    canvas.text(`${words}`, left + width + 7, y, { color: theme.muted, align: "left", halo: theme.background });
  }
  canvas.text(title, left + width, upper - 13, { color: theme.ink, align: "center", halo: theme.background, within: true });
}
