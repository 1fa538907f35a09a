// Where plain gradient descent on the slice leads from a start that was clicked: a hint, not a run.

import { element, number, coordinates } from "./format.js";

const STEPS = 300;
const MOMENTUM = 0.9;
const DECADES = 2; // of the slider, each way
const TICKS = 40; // of the slider per decade

/** The gradient between the samples, by central differences of about a cell. */
function gradientAt(surface, point) {
  return point.map((value, k) => {
    const axis = surface.axes[k];
    const far = (axis.at(-1) - axis[0]) / Math.max(2, axis.length - 1) / 2;
    const at = (way) => surface.heightAt(surface.wrap(point.map((other, c) => (c === k ? value + way * far : other))).inside);
    return (at(1) - at(-1)) / (2 * far);
  });
}

/** Points of a descent with heavy-ball momentum (0 for none), the start first; it ends where it leaves the surface. */
export function descend(surface, start, rate, momentum = 0, steps = STEPS) {
  const points = [start];
  let speed = start.map(() => 0);
  let point = start;
  for (let step = 0; step < steps; step++) {
    const gradient = gradientAt(surface, point);
    if (!gradient.every(Number.isFinite)) break;
    speed = speed.map((value, k) => momentum * value - rate * gradient[k]);
    point = point.map((value, k) => value + speed[k]);
    if (!Number.isFinite(surface.heightAt(surface.wrap(point).inside))) break;
    points.push(point);
  }
  return points;
}

/** A learning rate that walks across a surface in some steps, a round number. */
export function fittingRate(surface) {
  const span = Math.min(...surface.axes.map((axis) => axis.at(-1) - axis[0]));
  const [low, top] = surface.shown;
  const rate = (0.01 * span * span) / (top - low || 1);
  const power = 10 ** Math.floor(Math.log10(rate));
  return [1, 2, 5, 10].map((digit) => digit * power).find((round) => round >= rate) ?? rate;
}

export class Hint {
  #key = null;
  #ways = null;

  constructor(settings) {
    this.settings = settings;
    this.slider = element("input", { type: "range", min: -DECADES * TICKS, max: DECADES * TICKS, step: 1, "aria-label": "Learning rate of the hint", input: () => this.#setRate() });
    this.words = element("span", {});
    this.result = element("span", { class: "result" });
    const close = element("button", { type: "button", title: "Remove the hint", click: () => settings.set({ hint: null }) }, "Close");
    const title = element("strong", {}, "The slice's descent, not the network's");
    this.node = element("div", { class: "hint" }, title, element("label", {}, this.words, this.slider), this.result, close);
  }

  /** Begin at a point of the surface. */
  start(surface, point) {
    if (!point.every(Number.isFinite)) return;
    const rate = this.settings.hint?.at(-1) ?? fittingRate(surface);
    this.settings.set({ hint: [...point, rate].map((value) => Number(value.toPrecision(6))) });
  }

  #setRate() {
    if (!this.settings.hint) return;
    const rate = this.base * 10 ** (Number(this.slider.value) / TICKS);
    this.settings.set({ hint: [...this.settings.hint.slice(0, -1), Number(rate.toPrecision(3))] });
  }

  /** The descents on a surface: {plain, momentum}, or null. */
  waysOn(surface) {
    const { hint } = this.settings;
    if (!surface || hint?.length !== surface.axes.length + 1) return null;
    const key = JSON.stringify(hint);
    if (this.#key?.[0] !== surface || this.#key[1] !== key) {
      this.#key = [surface, key];
      const [start, rate] = [hint.slice(0, -1), hint.at(-1)];
      this.#ways = { plain: descend(surface, start, rate), momentum: descend(surface, start, rate, MOMENTUM) };
    }
    return this.#ways;
  }

  update({ surface, hint }) {
    this.node.hidden = !hint;
    if (!hint) return;
    const rate = this.settings.hint.at(-1);
    this.base = fittingRate(surface);
    this.slider.value = Math.round(TICKS * Math.log10(rate / this.base));
    this.words.textContent = `learning rate ${number(rate, 3)}`;
    const end = (points) => `${points.length - 1} steps to ${coordinates(surface.wrap(points.at(-1)).inside, surface.units, 3)}`;
    this.result.textContent = `dotted: plain gradient descent, ${end(hint.plain)}; dashed: with momentum ${MOMENTUM}, ${end(hint.momentum)}`;
  }
}

/** Draw the descents on a canvas whose `pixelOf(point)` is NaN beside the picture. */
export function drawHint(canvas, { hint, surface, theme }, pixelOf) {
  if (!hint) return;
  for (const [points, dash] of [[hint.momentum, [9, 5]], [hint.plain, [1.5, 5]]]) {
    const pixels = points.flatMap((point, k) => {
      // Round the end of an axis it goes on at the other end.
      const isRound = k && surface.wrap(point).turns !== surface.wrap(points[k - 1]).turns;
      return isRound ? [[NaN, NaN], pixelOf(point)] : [pixelOf(point)];
    });
    const [xs, ys] = [pixels.map(([x]) => x), pixels.map(([, y]) => y)];
    canvas.line(xs, ys, { color: theme.background, width: 4.5, alpha: 0.75, isWhole: true });
    canvas.line(xs, ys, { color: theme.ink, width: 2.4, dash, isWhole: true });
  }
  const [x, y] = pixelOf(hint.plain[0]);
  canvas.dot(x, y, { radius: 4, fill: theme.ink, stroke: theme.background, width: 1.5 });
}
