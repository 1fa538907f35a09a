// A canvas with lines and marks, axes on it, and what the pointer finds there.

import { axisTitle, element, isInDegrees, number, scaleOf, ticks } from "./format.js";

const FONT = "12px Roboto, system-ui, sans-serif";
export const PART = 24; // pieces of a line that are drawn at once
const REACH = 14; // pixels from the pointer to what it finds

/** The one small window that says what is under the pointer. */
export class Tip {
  constructor(parent) {
    this.node = element("div", { class: "tip", role: "tooltip" });
    this.node.hidden = true;
    parent.append(this.node);
  }

  show(x, y, lines) {
    const { zoom = 1 } = this;
    this.node.style.zoom = zoom;
    this.node.replaceChildren(...lines.map((line) => element("div", {}, line)));
    this.node.hidden = false;
    const { width, height } = this.node.getBoundingClientRect();
    const left = Math.max(4, Math.min(x + 14, innerWidth - width - 8));
    const top = y + height + 22 < innerHeight ? y + 14 : y - height - 10;
    this.node.style.transform = `translate(${left / zoom}px, ${Math.max(4, top) / zoom}px)`;
  }

  hide() {
    this.node.hidden = true;
  }
}

/** A canvas that fills its parent: lines and marks on it, and what the pointer finds there. */
export class Canvas {
  constructor(parent, name, tip, attributes = {}) {
    this.canvas = element("canvas", { role: "img", "aria-label": name, ...attributes });
    this.parent = parent;
    parent.append(this.canvas);
    this.context = this.canvas.getContext("2d");
    this.targets = [];
    this.tip = tip;
    this.canvas.addEventListener("pointermove", (event) => this.#point(event));
    this.canvas.addEventListener("pointerleave", () => tip.hide());
  }

  /** Where an event is, in pixels of the canvas. */
  placeOf({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [((clientX - box.left) * this.width) / (box.width || 1), ((clientY - box.top) * this.height) / (box.height || 1)];
  }

  /** As large as its parent, and empty. */
  clear() {
    const { clientWidth: width, clientHeight: height } = this.parent;
    const box = this.parent.getBoundingClientRect();
    const ratio = Math.min(2.5, (devicePixelRatio || 1) * (width ? box.width / width : 1));
    const [fineWidth, fineHeight] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== fineWidth || this.canvas.height !== fineHeight) {
      this.canvas.width = fineWidth;
      this.canvas.height = fineHeight;
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    Object.assign(this, { width, height, ratio, targets: [] });
    const { context } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = FONT;
    context.lineJoin = "round";
    context.lineCap = "round";
  }

  /** A line through points of pixels; it breaks where one is not finite, or `breaks(k)`. */
  line(xs, ys, { color, width = 1.6, dash = [], alpha = 1, breaks = null, isWhole = false }) {
    const { context } = this;
    context.strokeStyle = color;
    context.lineWidth = width;
    context.globalAlpha = alpha;
    context.setLineDash(dash);
    let length = 0; // pieces in the part that is not drawn yet: a canvas is slow with long lines that cross themselves
    let before = -1;
    context.beginPath();
    for (let k = 0; k < xs.length; k++) {
      if (!Number.isFinite(xs[k]) || !Number.isFinite(ys[k])) {
        before = -1;
        continue;
      }
      if (length >= PART && !isWhole) {
        context.stroke();
        context.beginPath();
        if (before >= 0) context.moveTo(xs[before], ys[before]);
        length = 0;
      }
      if (before >= 0 && !breaks?.(k)) {
        context.lineTo(xs[k], ys[k]);
        length++;
      } else context.moveTo(xs[k], ys[k]);
      before = k;
    }
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  dot(x, y, { radius, fill, stroke = null, width = 1.5 }) {
    if (!Number.isFinite(x) || !Number.isFinite(y)) return;
    const { context } = this;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    this.#paint(fill, stroke, width);
  }

  cross(x, y, { radius, stroke, casing }) {
    if (!Number.isFinite(x) || !Number.isFinite(y)) return;
    const { context } = this;
    context.beginPath();
    for (const way of [-1, 1]) {
      context.moveTo(x - radius, y - way * radius);
      context.lineTo(x + radius, y + way * radius);
    }
    for (const [color, width] of [[casing, 5.5], [stroke, 2.6]]) {
      context.strokeStyle = color;
      context.lineWidth = width;
      context.stroke();
    }
  }

  diamond(x, y, { radius, fill, stroke = null, width = 1.5 }) {
    if (!Number.isFinite(x) || !Number.isFinite(y)) return;
    const { context } = this;
    context.beginPath();
    context.moveTo(x, y - radius);
    context.lineTo(x + radius, y);
    context.lineTo(x, y + radius);
    context.lineTo(x - radius, y);
    context.closePath();
    this.#paint(fill, stroke, width);
  }

  square(x, y, { radius, fill, stroke = null, width = 1.5 }) {
    if (!Number.isFinite(x) || !Number.isFinite(y)) return;
    this.context.beginPath();
    this.context.rect(x - radius, y - radius, 2 * radius, 2 * radius);
    this.#paint(fill, stroke, width);
  }

  /** A rounded box, for words that must be read. */
  box(left, top, right, bottom, { panel, muted }) {
    const { context } = this;
    context.beginPath();
    context.roundRect(left, top, right - left, bottom - top, 5);
    this.#paint(panel, muted, 1);
  }

  text(words, x, y, { color, align = "center", baseline = "middle", halo = null, within = false }) {
    const { context } = this;
    if (within) x = Math.min(x, this.width - 3 - context.measureText(words).width / 2);
    context.textAlign = align;
    context.textBaseline = baseline;
    if (halo) {
      context.strokeStyle = halo;
      context.lineWidth = 4;
      context.strokeText(words, x, y);
    }
    context.fillStyle = color;
    context.fillText(words, x, y);
  }

  /** Remember what the pointer finds at a pixel; `lines()` says it. */
  target(x, y, lines) {
    if (Number.isFinite(x) && Number.isFinite(y)) this.targets.push({ x, y, lines });
  }

  #paint(fill, stroke, width) {
    const { context } = this;
    if (fill) {
      context.fillStyle = fill;
      context.fill();
    }
    if (stroke) {
      context.strokeStyle = stroke;
      context.lineWidth = width;
      context.stroke();
    }
  }

  #point(event) {
    if (event.buttons) return this.tip.hide();
    const [x, y] = this.placeOf(event);
    let [best, least] = [null, REACH];
    for (const target of this.targets) {
      const distance = Math.hypot(target.x - x, target.y - y);
      if (distance <= least) [best, least] = [target, distance];
    }
    if (best) this.tip.show(event.clientX, event.clientY, best.lines());
    else this.tip.hide();
  }
}

export class Chart extends Canvas {
  /** Clear, and draw the axes. `domain` is {x: [a, b], y: [a, b]}, raw; `labels`, `units` {x, y}. */
  begin(domain, labels, units, theme, room = {}) {
    this.clear();
    Object.assign(this, { domain, labels, units, theme });
    const margin = { left: 54, right: 12, top: 12, bottom: 38, ...room };
    this.left = margin.left;
    this.top = margin.top;
    this.right = Math.max(this.left + 10, this.width - margin.right);
    this.bottom = Math.max(this.top + 10, this.height - margin.bottom);
    this.#axes();
  }

  x(value) {
    const [a, b] = this.domain.x;
    return this.left + ((value - a) / (b - a || 1)) * (this.right - this.left);
  }

  y(value) {
    const [a, b] = this.domain.y;
    return this.bottom - ((value - a) / (b - a || 1)) * (this.bottom - this.top);
  }

  /** The raw value under a pixel. */
  valueAt(pixel) {
    const [a, b] = this.domain.x;
    return a + ((pixel - this.left) / (this.right - this.left)) * (b - a);
  }

  /** The raw values under a pixel. */
  valuesAt([x, y]) {
    const [a, b] = this.domain.y;
    return [this.valueAt(x), a + ((this.bottom - y) / (this.bottom - this.top)) * (b - a)];
  }

  /** Draw within the axes only. */
  inside(draw) {
    const { context, left, top, right, bottom } = this;
    context.save();
    context.beginPath();
    context.rect(left, top - 1, right - left, bottom - top + 2);
    context.clip();
    draw();
    context.restore();
  }

  /** Keep what is on the canvas now; `restore` brings it back. */
  keep() {
    this.kept ??= document.createElement("canvas");
    [this.kept.width, this.kept.height] = [this.canvas.width, this.canvas.height];
    this.kept.getContext("2d").drawImage(this.canvas, 0, 0);
  }

  restore() {
    const { context, width, height } = this;
    context.clearRect(0, 0, width, height);
    if (this.kept.width && this.kept.height) context.drawImage(this.kept, 0, 0, width, height);
    this.targets = [];
  }

  #axes() {
    const { context, domain, labels, units, theme, left, top, right, bottom } = this;
    const sides = [
      ["x", ...domain.x, Math.max(2, (right - left) / 75)],
      ["y", ...domain.y, Math.max(2, (bottom - top) / 45)],
    ];
    context.lineWidth = 1;
    for (const [side, low, high, most] of sides) {
      const scale = scaleOf(units[side]);
      for (const tick of ticks(low * scale, high * scale, most, isInDegrees(units[side]))) {
        const place = this[side](tick / scale);
        context.strokeStyle = theme.line;
        context.beginPath();
        if (side === "x") {
          context.moveTo(place, bottom);
          context.lineTo(place, bottom + 4);
        } else {
          context.moveTo(left, place);
          context.lineTo(right, place);
        }
        context.stroke();
        const words = number(Math.abs(tick) < 1e-12 ? 0 : tick);
        const rightmost = this.width - 1 - context.measureText(words).width / 2;
        if (side === "x") this.text(words, Math.min(place, rightmost), bottom + 13, { color: theme.muted });
        else this.text(words, left - 8, place, { color: theme.muted, align: "right" });
      }
    }
    context.strokeStyle = theme.muted;
    context.beginPath();
    context.moveTo(left, bottom);
    context.lineTo(right, bottom);
    context.stroke();
    this.text(axisTitle(labels.x, units.x), (left + right) / 2, this.height - 8, { color: theme.ink });
    context.save();
    context.translate(10, (top + bottom) / 2);
    context.rotate(-Math.PI / 2);
    this.text(axisTitle(labels.y, units.y), 0, 0, { color: theme.ink });
    context.restore();
  }
}
