// What stands in space: a landscape over two axes, or a wall round an angle. A solid knows the height of
// its ground anywhere, paints itself from back to front, and says where a place of the surface is.

import { axisTitle, coordinate, isAngle, isInDegrees, number, scaleOf, ticks } from "./format.js";
import { lightOf, rampColor, rgb } from "./ramp.js";

export const COARSE = 51; // samples of each axis of a landscape that moves
const FINE = 101; // cells of each axis that a coarse landscape at rest is divided into
const HEIGHT = 0.8; // of a landscape from the lowest loss to the highest shown
const BASE = -0.07; // where a landscape stands
const SEAM = 0.6; // pixels by which a cell reaches under those in front of it
const NUM_LINES = 12; // contour lines between the lowest loss and the highest shown
const MAX_SIDES = 12; // of a ring over a part of a turn
const FACETS = 360; // of a ring
const [INNER, OUTER] = [0.74, 1.04]; // radii of a ring
const RING_HEIGHT = 0.75;

/** The levels of contour lines, round numbers. */
export const levelsOf = ({ low, top }) => ticks(low, top, NUM_LINES).filter((level) => level > low && level < top);

/** Cell and share within it for each place on a rising axis that divides it evenly into `size`. */
function divided(axis, most, fine) {
  const last = axis.length - 1;
  if (last === 0) return [[axis[0], 0, 0, 0]];
  const kept = [];
  const num = Math.min(axis.length, most);
  for (let k = 0; k < num; k++) kept.push(Math.round((k * last) / (num - 1)));
  const parts = Math.max(1, Math.round(fine / (num - 1)));
  const places = [];
  for (let k = 0; k + 1 < num; k++) {
    const [from, to] = [kept[k], kept[k + 1]];
    for (let part = 0; part < parts; part++) {
      const share = part / parts;
      places.push([axis[from] + share * (axis[to] - axis[from]), from, to, share]);
    }
  }
  places.push([axis[last], last, last, 0]);
  return places;
}

/** From a place on -1 ... 1 to its cell of rising places, at once. */
function finder(places) {
  const size = 1024;
  const last = places.length - 2;
  const gap = 2 / (last + 1);
  const isEven = places.every((place, k) => Math.abs(place + 1 - k * gap) < 1e-9);
  if (isEven) return (value) => Math.max(0, Math.min(last, Math.floor((value + 1) / gap)));
  const table = new Int32Array(size + 1);
  for (let k = 0, cell = 0; k <= size; k++) {
    while (cell < last && places[cell + 1] <= (2 * k) / size - 1) cell++;
    table[k] = cell;
  }
  return (value) => {
    let cell = table[Math.max(0, Math.min(size, Math.floor(((value + 1) / 2) * size)))];
    while (cell < last && places[cell + 1] < value) cell++;
    return cell;
  };
}

/** A surface over two axes; coarse while it moves. */
export class Landscape {
  radius = Math.SQRT2;
  height = HEIGHT;
  isHollow = false;

  constructor(surface, limits, theme, isCoarse) {
    Object.assign(this, { surface, limits, theme, isCoarse });
    const [first, second] = surface.axes.map((axis) => divided(axis, isCoarse ? COARSE : Infinity, isCoarse ? 1 : FINE));
    this.scales = surface.axes.map((axis) => [axis[0], axis.length > 1 ? 2 / (axis.at(-1) - axis[0]) : 1]);
    this.xs = Float64Array.from(first, ([value]) => this.#share(value, 0));
    this.ys = Float64Array.from(second, ([value]) => this.#share(value, 1));
    [this.numX, this.numY] = [first.length, second.length];
    this.zs = new Float64Array(this.numX * this.numY);
    const { losses } = surface;
    const mix = (a, b, share) => (share ? (1 - share) * a + share * b : a);
    first.forEach(([, i, j, u], n) => second.forEach(([, k, m, v], o) => {
      this.zs[n * this.numY + o] = this.rise(mix(mix(losses[i][k], losses[i][m], v), mix(losses[j][k], losses[j][m], v), u));
    }));
    this.peak = this.zs.reduce((most, z) => (z > most ? z : most), 0);
    this.pace = (isCoarse ? 2 : 1) / Math.max(20, Math.min(100, Math.max(this.numX, this.numY)));
    if (this.numX > 1 && this.numY > 1) [this.cellX, this.cellY] = [finder(this.xs), finder(this.ys)];
    this.#paintColors();
  }

  #share(value, k) {
    const [start, scale] = this.scales[k];
    return (value - start) * scale - (this.surface.axes[k].length > 1 ? 1 : 0);
  }

  /** The height of a loss; no higher than what is shown. */
  rise(loss) {
    const { low, top } = this.limits;
    return HEIGHT * Math.min(1, (loss - low) / (top - low || 1));
  }

  ground(x, y) {
    const { xs, ys, zs, numX, numY } = this;
    if (!(x >= xs[0] && x <= xs[numX - 1] && y >= ys[0] && y <= ys[numY - 1]) || !this.cellX) return -Infinity;
    const [i, k] = [this.cellX(x), this.cellY(y)];
    const [u, v] = [(x - xs[i]) / (xs[i + 1] - xs[i]), (y - ys[k]) / (ys[k + 1] - ys[k])];
    const at = i * numY + k;
    const left = (1 - v) * zs[at] + v * zs[at + 1];
    const right = (1 - v) * zs[at + numY] + v * zs[at + numY + 1];
    return (1 - u) * left + u * right;
  }

  /** The places of the way between two points of the surface, on the ground. */
  way(from, to, out) {
    const [ax, ay] = from.map((value, k) => this.#share(value, k));
    const [bx, by] = to.map((value, k) => this.#share(value, k));
    const count = Math.max(1, Math.min(60, Math.ceil(Math.hypot(bx - ax, by - ay) / this.stride)));
    for (let k = 1; k <= count; k++) {
      const share = k / count;
      const [x, y] = [ax + share * (bx - ax), ay + share * (by - ay)];
      const z = this.ground(x, y);
      out(x, y, z === -Infinity ? NaN : z);
    }
  }

  place([first, second]) {
    const [x, y] = [this.#share(first, 0), this.#share(second, 1)];
    const z = this.ground(x, y);
    return [x, y, z === -Infinity ? NaN : z];
  }

  get stride() {
    return this.isCoarse ? 0.05 : 0.025;
  }

  #paintColors() {
    const { xs, ys, zs, numX, numY, theme } = this;
    this.colors = [];
    for (let i = 0; i + 1 < numX; i++) {
      for (let k = 0; k + 1 < numY; k++) {
        const at = i * numY + k;
        const [a, b, c, d] = [zs[at], zs[at + 1], zs[at + numY], zs[at + numY + 1]];
        const riseX = (c + d - a - b) / 2 / (xs[i + 1] - xs[i]);
        const riseY = (b + d - a - c) / 2 / (ys[k + 1] - ys[k]);
        const share = (a + b + c + d) / 4 / HEIGHT;
        this.colors.push(Number.isFinite(share) ? rgb(rampColor(theme.name, share, lightOf(theme.name, riseX, riseY))) : null);
      }
    }
  }

  /** From back to front: for a height field, away from the eye first along both axes. */
  paint(context, camera) {
    const { xs, ys, zs, numX, numY, colors } = this;
    const pixels = new Float64Array(2 * numX * numY);
    for (let i = 0; i < numX; i++) for (let k = 0; k < numY; k++) camera.project(xs[i], ys[k], zs[i * numY + k], pixels, i * numY + k);
    const [is, ks] = [inOrder(xs, camera.eye[0]), inOrder(ys, camera.eye[1])];
    for (const i of is) {
      for (const k of ks) {
        const color = colors[i * (numY - 1) + k];
        if (color === null) continue;
        const at = i * numY + k;
        // The corner at the back, the two beside it, and the one in front, pulled forward a little.
        const [bi, bk] = [xs[i] + xs[i + 1] > 2 * camera.eye[0] ? numY : 0, ys[k] + ys[k + 1] > 2 * camera.eye[1] ? 1 : 0];
        const back = 2 * (at + bi + bk);
        const front = 2 * (at + (numY - bi) + (1 - bk));
        const [one, two] = [2 * (at + bi + (1 - bk)), 2 * (at + (numY - bi) + bk)];
        const [x, y] = [pixels[front] - pixels[back], pixels[front + 1] - pixels[back + 1]];
        const pull = SEAM / (Math.hypot(x, y) || 1);
        context.fillStyle = color;
        context.beginPath();
        context.moveTo(pixels[back], pixels[back + 1]);
        context.lineTo(pixels[one] + x * pull, pixels[one + 1] + y * pull);
        context.lineTo(pixels[front] + x * pull, pixels[front + 1] + y * pull);
        context.lineTo(pixels[two] + x * pull, pixels[two + 1] + y * pull);
        context.fill();
      }
    }
    this.#paintSides(context, camera);
  }

  /** The sides that face the eye, down to where it stands. */
  #paintSides(context, camera) {
    const { xs, ys, zs, numX, numY, theme } = this;
    const column = (i) => Array.from(ys, (y, k) => [xs[i], y, zs[i * numY + k]]);
    const row = (k) => Array.from(xs, (x, i) => [x, ys[k], zs[i * numY + k]]);
    const [x, y] = camera.eye;
    const sides = [
      [x < xs[0], column(0), 0.86], [x > xs[numX - 1], column(numX - 1), 0.86], [y < ys[0], row(0), 0.94], [y > ys[numY - 1], row(numY - 1), 0.94],
    ];
    for (const [faces, edge, light] of sides) {
      if (!faces) continue;
      context.fillStyle = rgb(theme.side.map((value) => value * light));
      let run = [];
      const close = () => {
        if (run.length > 1) {
          context.beginPath();
          for (const [px, py, pz] of [...run, [...run.at(-1).slice(0, 2), BASE], [...run[0].slice(0, 2), BASE]]) context.lineTo(...camera.at(px, py, pz));
          context.fill();
        }
        run = [];
      };
      for (const place of edge) {
        if (Number.isFinite(place[2])) run.push(place);
        else close();
      }
      close();
    }
  }

  /** Contour lines: pairs of places on the ground. */
  contours(out) {
    const { xs, ys, zs, numX, numY } = this;
    const levels = levelsOf(this.limits).map((level) => this.rise(level));
    for (let i = 0; i + 1 < numX; i++) {
      for (let k = 0; k + 1 < numY; k++) {
        const at = i * numY + k;
        const corners = [[i, k, zs[at]], [i + 1, k, zs[at + numY]], [i + 1, k + 1, zs[at + numY + 1]], [i, k + 1, zs[at + 1]]];
        const heights = corners.map(([, , z]) => z);
        const [least, most] = [Math.min(...heights), Math.max(...heights)];
        for (const level of levels) {
          if (!(level > least && level <= most)) continue;
          const ends = [];
          for (let side = 0; side < 4; side++) {
            const [[i0, k0, z0], [i1, k1, z1]] = [corners[side], corners[(side + 1) % 4]];
            if (z0 < level === z1 < level) continue;
            const share = (level - z0) / (z1 - z0);
            ends.push([xs[i0] + share * (xs[i1] - xs[i0]), ys[k0] + share * (ys[k1] - ys[k0])]);
          }
          for (let pair = 0; pair + 1 < ends.length; pair += 2) out(ends[pair], ends[pair + 1], level);
        }
      }
    }
  }

  /** Ticks and names along the two edges in front: {at, out, words, isTitle}. */
  words(camera) {
    const { surface } = this;
    const found = [];
    const front = [camera.cosA >= 0 ? 1 : -1, camera.sinA >= 0 ? 1 : -1];
    surface.axes.forEach((axis, k) => {
      if (axis.length < 2) return;
      const scale = scaleOf(surface.units[k]);
      const point = (value, away) => {
        const place = [0, 0, BASE];
        place[k] = value;
        place[1 - k] = front[1 - k] * away;
        return place;
      };
      for (const tick of ticks(axis[0] * scale, axis.at(-1) * scale, 5, isInDegrees(surface.units[k]))) {
        const value = this.#share(tick / scale, k);
        found.push({ from: point(value, 1), at: point(value, 1.09), words: number(Math.abs(tick) < 1e-12 ? 0 : tick) });
      }
      found.push({ at: point(0, 1.24), words: axisTitle(surface.labels[k], surface.units[k]), isTitle: true });
    });
    return found;
  }
}

/** Numbers of the cells between places, those farthest from the eye first. */
function inOrder(places, eye) {
  const before = [];
  const behind = [];
  for (let k = 0; k + 1 < places.length; k++) (places[k] + places[k + 1] > 2 * eye ? behind : before).push(k);
  return [...before, ...behind.reverse()];
}

/** A curve over a ring: x = cos phi, y = sin phi, as a wall on whose crown each run has a lane. */
export class Ring {
  radius = 1.28;
  height = RING_HEIGHT;
  isHollow = true;

  constructor(surface, limits, theme, isCoarse) {
    Object.assign(this, { surface, limits, theme });
    [this.pace, this.stride] = isCoarse ? [0.06, 0.1] : [0.02, 0.03];
    const [period] = surface.periods;
    const laps = (2 * Math.PI) / period;
    const fits = laps > 0.5 && laps < MAX_SIDES + 0.5 && Math.abs(laps - Math.round(laps)) < 1e-6;
    const isPart = isAngle(surface.units[0]) && fits;
    this.scale = isPart ? 1 : laps;
    this.sides = isPart ? Math.round(laps) : 1;
    this.period = period;
    const [axis] = surface.axes;
    this.start = axis[0];
    this.zs = new Float64Array(FACETS + 1);
    this.own = new Uint8Array(FACETS);
    const turn = 2 * Math.PI;
    for (let k = 0; k <= FACETS; k++) {
      const value = (k * turn) / FACETS / this.scale;
      const { inside } = surface.wrap([value + this.#nearest(value)]);
      const height = surface.heightAt(inside);
      this.zs[k] = this.rise(height);
      if (k < FACETS) {
        const middle = ((k + 0.5) * turn) / FACETS / this.scale;
        this.own[k] = (((middle - this.start) % (turn / this.scale)) + turn / this.scale) % (turn / this.scale) < period;
      }
    }
    this.peak = this.zs.reduce((most, z) => (z > most ? z : most), 0);
    this.#paintColors();
  }

  /** What brings a value near the samples. */
  #nearest(value) {
    return this.period * Math.ceil((this.start - value) / this.period - 1e-9);
  }

  rise(loss) {
    const { low, top } = this.limits;
    return 0.12 + (RING_HEIGHT - 0.12) * Math.min(1, (loss - low) / (top - low || 1));
  }

  ground(x, y) {
    const radius = Math.hypot(x, y);
    if (radius > OUTER || radius < INNER) return -Infinity;
    return this.#heightAt(Math.atan2(y, x));
  }

  #heightAt(angle) {
    const place = ((angle / (2 * Math.PI)) % 1) * FACETS;
    const from = place < 0 ? place + FACETS : place;
    const k = Math.min(FACETS - 1, Math.floor(from));
    return this.zs[k] + (from - k) * (this.zs[k + 1] - this.zs[k]);
  }

  /** Of so many runs each has its own lane. */
  lane(number, count) {
    return INNER + ((OUTER - INNER) * (number + 1)) / (count + 1);
  }

  way([from], [to], out, radius) {
    const [a, b] = [from * this.scale, to * this.scale];
    const count = Math.max(1, Math.min(120, Math.ceil(Math.abs(b - a) / this.stride)));
    for (let k = 1; k <= count; k++) {
      const angle = a + (k / count) * (b - a);
      out(radius * Math.cos(angle), radius * Math.sin(angle), this.#exact(angle));
    }
  }

  place([value], radius = (INNER + OUTER) / 2) {
    const angle = value * this.scale;
    return [radius * Math.cos(angle), radius * Math.sin(angle), this.#exact(angle)];
  }

  /** The height that the samples have there: narrow valleys are deeper than the facets. */
  #exact(angle) {
    const { inside } = this.surface.wrap([angle / this.scale]);
    return this.rise(this.surface.heightAt(inside));
  }

  #paintColors() {
    const { theme, zs, own } = this;
    const pale = (color, k) => (own[k] ? color : color.map((value, c) => value + 0.62 * (theme.page[c] - value)));
    this.colors = Array.from({ length: FACETS }, (_, k) => {
      const share = ((zs[k] + zs[k + 1]) / 2 - 0.12) / (RING_HEIGHT - 0.12);
      if (!Number.isFinite(share)) return null;
      const rise = ((zs[k + 1] - zs[k]) * FACETS) / (2 * Math.PI);
      const angle = ((k + 0.5) / FACETS) * 2 * Math.PI;
      const light = lightOf(theme.name, -rise * Math.sin(angle), rise * Math.cos(angle));
      const wall = (side) => theme.side.map((value) => value * (0.86 + 0.1 * side * Math.cos(angle - 2.4)));
      return { top: rgb(pale(rampColor(theme.name, share, light), k)), outer: rgb(pale(wall(1), k)), inner: rgb(pale(wall(-1), k)) };
    });
  }

  /** The farthest parts first; of each what faces the eye. */
  paint(context, camera) {
    const { zs, colors } = this;
    const [eye, away] = [Math.atan2(camera.eye[1], camera.eye[0]), Math.hypot(camera.eye[0], camera.eye[1])];
    const order = Array.from({ length: FACETS }, (_, k) => {
      const angle = ((k + 0.5) / FACETS) * 2 * Math.PI;
      return [Math.cos(angle - eye), k];
    }).sort(([a], [b]) => a - b);
    const corner = (k, radius, z) => {
      const angle = (k / FACETS) * 2 * Math.PI;
      return camera.at(radius * Math.cos(angle), radius * Math.sin(angle), z);
    };
    const face = (color, ...corners) => {
      context.fillStyle = context.strokeStyle = color;
      context.beginPath();
      for (const place of corners) context.lineTo(...place);
      context.closePath();
      context.fill();
      context.stroke();
    };
    context.lineWidth = 0.7;
    for (const [, k] of order) {
      if (colors[k] === null) continue;
      const { top, outer, inner } = colors[k];
      const [a, b] = [zs[k], zs[k + 1]];
      const wall = (color, radius) => face(color, corner(k, radius, 0), corner(k + 1, radius, 0), corner(k + 1, radius, b), corner(k, radius, a));
      const crown = () => face(top, corner(k, INNER, a), corner(k + 1, INNER, b), corner(k + 1, OUTER, b), corner(k, OUTER, a));
      const faces = away * Math.cos((k + 0.5) / FACETS * 2 * Math.PI - eye);
      crown();
      if (faces < INNER) wall(inner, INNER);
      else if (faces > OUTER) wall(outer, OUTER);
    }
  }

  contours() {}

  words() {
    const angles = [-135, -90, -45, 0, 45, 90, 135, 180];
    return angles.map((degrees) => {
      const angle = (degrees * Math.PI) / 180;
      const words = coordinate(angle / this.scale, this.surface.units[0], 3).replace(".0°", "°");
      const at = (radius) => [radius * Math.cos(angle), radius * Math.sin(angle), 0];
      return { from: at(OUTER + 0.02), at: at(OUTER + 0.17), words };
    });
  }
}
