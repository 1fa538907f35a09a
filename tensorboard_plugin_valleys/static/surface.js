// A sampled surface of one or two axes.

import { coordinates } from "./format.js";
import { BORDER } from "./words.js";

/** Cell and share within it of a place on a rising axis; null outside of it. */
function locate(axis, value) {
  const last = axis.length - 1;
  const slack = 1e-6 * (axis[last] - axis[0]);
  if (!(value >= axis[0] - slack && value <= axis[last] + slack)) return null;
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (axis[middle] <= value) low = middle;
    else high = middle;
  }
  if (last === 0) return [0, 0, 0];
  return [low, low + 1, Math.min(1, Math.max(0, (value - axis[low]) / (axis[low + 1] - axis[low])))];
}

export class Surface {
  #placed = new WeakMap();

  constructor(data) {
    this.labels = data.labels;
    this.lossName = data.loss_name;
    this.axes = data.coordinates;
    this.periods = data.periods;
    this.units = data.units;
    this.valleys = data.valleys;
    this.numWeights = data.num_weights;
    this.isCurve = this.axes.length === 1;
    this.isRing = this.isCurve && this.periods[0] !== null;
    const clean = (value) => (value === null ? NaN : value);
    this.losses = this.isCurve ? data.losses.map(clean) : data.losses.map((row) => row.map(clean));
    this.highest = this.losses.flat().reduce((most, loss) => (loss > most ? loss : most), -Infinity);
    this.numDiverged = data.num_diverged;
    this.statistics = data.statistics ?? "";
    this.notCounted = data.not_counted ?? "";
    this.shown = data.shown;
  }

  get name() {
    const size = this.numWeights === 1 ? "1 weight" : `${this.numWeights} weights`;
    return `${this.labels.join(" × ")} (${size})`;
  }

  /** A point in the surface's range, and the number of periods that it took; NaN outside. */
  wrap(point) {
    let turns = 0;
    const inside = point.map((value, k) => {
      const [start, end] = [this.axes[k][0], this.axes[k].at(-1)];
      const period = this.periods[k];
      if (period && (value < start || value > end)) {
        // So far off that float32 has lost the place within a period: nowhere.
        if (Math.abs(value) * 1.2e-7 > period / 1000) return NaN;
        const turn = Math.floor((value - start) / period);
        turns += turn;
        value -= turn * period;
      }
      return locate(this.axes[k], value) ? value : NaN;
    });
    return { inside, turns };
  }

  /** All places on the axes that are one with a position. */
  repeats(position) {
    return position.reduce((places, value, k) => {
      const period = this.periods[k];
      const slack = 1e-6 * period;
      const [start, end] = [this.axes[k][0] - slack, this.axes[k].at(-1) + slack];
      const first = period ? -Math.floor((value - start) / period) : 0;
      const last = period ? Math.floor((end - value) / period) : 0;
      const values = Array.from({ length: last - first + 1 }, (_, n) => value + (first + n) * (period ?? 0));
      return places.flatMap((place) => values.map((one) => [...place, one]));
    }, [[]]);
  }

  /** The straight pieces, as pairs of points, of the way between two points; round the end of an axis
   * with a period it goes on at the other end, always the shorter way. */
  pieces(from, to) {
    const shifts = this.periods.map((period, k) => (period ? -period * Math.round((to[k] - from[k]) / period) : 0));
    if (shifts.every((shift) => shift === 0)) return [[from, to]];
    const moved = (point, sign) => point.map((value, k) => value + sign * shifts[k]);
    return [[from, moved(to, 1)], [moved(from, -1), to]];
  }

  /** The height between the samples; NaN where it has none. */
  heightAt(point) {
    const places = point.map((value, k) => locate(this.axes[k], value));
    if (places.includes(null)) return NaN;
    const [[i, j, u], other] = places;
    if (this.isCurve) return (1 - u) * this.losses[i] + u * this.losses[j];
    const [k, m, v] = other;
    const left = (1 - u) * this.losses[i][k] + u * this.losses[j][k];
    const right = (1 - u) * this.losses[i][m] + u * this.losses[j][m];
    return (1 - v) * left + v * right;
  }

  /** A path on the surface, worked out once: {columns (one per axis), heights}. Beside the surface it has no
   * height. Columns of an axis with a period are within its range, and `unrolled` ones go on. */
  place(path) {
    if (!this.#placed.has(path)) {
      const columns = this.axes.map(() => new Float64Array(path.size));
      const unrolled = this.axes.map(() => new Float64Array(path.size));
      const heights = new Float64Array(path.size);
      for (let row = 0; row < path.size; row++) {
        const point = path.point(row);
        const { inside } = this.wrap(point);
        inside.forEach((value, k) => {
          columns[k][row] = this.periods[k] ? value : point[k];
          const [period, before] = [this.periods[k], row ? unrolled[k][row - 1] : NaN];
          const turns = period && Number.isFinite(before) ? Math.round((columns[k][row] - before) / period) : 0;
          unrolled[k][row] = period ? (Number.isFinite(before) || !row ? columns[k][row] - turns * period : columns[k][row]) : point[k];
        });
        heights[row] = this.heightAt(inside);
      }
      this.#placed.set(path, { columns, unrolled, heights });
    }
    return this.#placed.get(path);
  }

  valleyName(index) {
    const valley = this.valleys[index];
    if (!valley) return index >= 0 ? `valley ${index}` : "no valley";
    const place = coordinates(valley.position, this.units, 3);
    return valley.on_border ? `${BORDER}, ${place}` : `valley ${index} at ${place}`;
  }

  /** Where a valley lies, in words. */
  valleyPlace(index) {
    const valley = this.valleys[index];
    return valley ? coordinates(valley.position, this.units, 3) : this.valleyName(index);
  }

  /** The lowest and the highest loss to show: what the surface asks for and each path. */
  limits(paths) {
    const ranges = [this.shown, ...paths.map(({ shown }) => shown)].filter((range) => range?.every(Number.isFinite));
    const low = Math.min(...ranges.map(([least]) => least));
    const top = Math.max(...ranges.map(([, most]) => most));
    return { low, top, cut: this.highest > top };
  }
}
