// The surface in space: turned by mouse, fingers and arrow keys, painted by solids.js on a canvas.

import { Camera, isHidden } from "./camera.js";
import { Canvas, PART } from "./canvas.js";
import { isSame, number, ticks, title } from "./format.js";
import { drawHint } from "./hint.js";
import { drawMarks, drawRamp, Labels } from "./marks.js";
import { rampColor, rgb } from "./ramp.js";
import { Landscape, Ring } from "./solids.js";
import { stateLines } from "./words.js";

const [ERROR, MOVING_ERROR] = [0.8, 1.6]; // pixels by which a path may be drawn wrongly
const MAX_TARGETS = 400; // places of a path that the pointer finds
const CLICK = 30; // pixels from a click to the sample that it means
const SETTLED = 160; // milliseconds without a move after which all is drawn finely
const LIFT = 0.006; // of a path above its ground

export class Space extends Canvas {
  #solids = {};
  #ground = { key: [] };
  #ways = new WeakMap();
  #moves = false;
  #timer = null;
  #camera = null;
  #surface = null;

  /** `redraw()` draws it again, and `onClick(point)` gets the point of the surface that was clicked. */
  constructor(parent, tip, settings, redraw, onClick) {
    super(parent, "The surface in space, with paths; arrow keys turn it", tip, { tabindex: 0, class: "space" });
    Object.assign(this, { settings, redraw, onClick });
    this.#listen();
  }

  /** Draw the paths of a scene on its surface. */
  draw(scene) {
    const begin = performance.now();
    this.clear();
    if (!this.width || !this.height) return;
    this.scene = scene;
    const { theme } = scene;
    this.theme = theme;
    const solid = this.#solidOf(scene);
    const camera = this.#cameraOf(scene);
    camera.fit(this.width - (this.width > 420 ? 40 : 0), this.height, solid);
    this.#drawGround(solid, camera);
    const view = [solid, ...camera.state, this.width, this.height];
    const drawn = scene.layers.filter(({ row }) => row >= 0);
    drawn.forEach((run) => this.#drawPath(run, scene, solid, camera, view));
    drawHint(this, scene, (point) => {
      const [x, y, z] = solid.place(point);
      return Number.isFinite(z) ? camera.at(x, y, z + LIFT) : [NaN, NaN];
    });
    const labels = new Labels(this, [2, 22, this.width - 2, this.height - 2]);
    this.#drawScale(scene, labels);
    const lane = this.#lanes(scene, solid);
    drawMarks(this, scene, labels, (point, run, row) => {
      // Round a ring a path is on the side where it came to.
      const own = run && scene.surface.isCurve ? [scene.surface.place(run.path).unrolled[0][row]] : point;
      const [x, y, z] = solid.place(own, run ? lane(run) : undefined);
      return Number.isFinite(z) ? camera.at(x, y, z + LIFT) : [NaN, NaN];
    });
    this.#drawWords(solid, camera, labels, theme);
    const azimuth = camera.azimuth.toFixed(3);
    Object.assign(this.canvas.dataset, { step: scene.step, azimuth, fine: !this.#moves, milliseconds: (performance.now() - begin).toFixed(1) });
  }

  #solidOf({ surface, limits, theme }) {
    const { low, top } = limits;
    const key = [surface, theme.name, low, top];
    if (!isSame(key, this.#solids.key)) {
      this.#solids = { key };
      if (!surface.isCurve) this.#moves = true; // a first picture soon, and then a fine one
      this.#settleLater();
    }
    const kind = this.#moves ? "coarse" : "fine";
    this.#solids[kind] ??= new (surface.isCurve ? Ring : Landscape)(surface, limits, theme, this.#moves);
    return this.#solids[kind];
  }

  /** The user's own camera, or the one from where most is seen. */
  #cameraOf({ surface, runs }) {
    const { camera } = this.settings;
    const key = JSON.stringify(camera);
    if (this.#camera && this.#surface === surface && this.#camera.key === key) return this.#camera;
    if (camera) this.#camera = new Camera(...camera);
    else if (this.#surface !== surface || this.#camera?.key !== key) {
      const azimuth = surface.isCurve ? ringSide(surface, runs) : openSide(surface, runs);
      this.#camera = new Camera(azimuth, surface.isCurve ? 0.62 : 0.72);
    }
    this.#camera.key = key;
    this.#surface = surface;
    return this.#camera;
  }

  #drawGround(solid, camera) {
    const { width, height, ratio, context } = this;
    const key = [solid, ...camera.state, width, height, ratio];
    if (this.#moves) this.#paintGround(context, solid, camera);
    else if (!isSame(key, this.#ground.key)) {
      const canvas = this.#ground.canvas ?? document.createElement("canvas");
      if (canvas.width !== this.canvas.width || canvas.height !== this.canvas.height) [canvas.width, canvas.height] = [this.canvas.width, this.canvas.height];
      const pen = canvas.getContext("2d");
      pen.setTransform(1, 0, 0, 1, 0, 0);
      pen.clearRect(0, 0, canvas.width, canvas.height);
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      this.#paintGround(pen, solid, camera);
      this.#ground = { key, canvas };
    }
    if (!this.#moves && this.#ground.canvas.width && this.#ground.canvas.height) context.drawImage(this.#ground.canvas, 0, 0, width, height);
  }

  #paintGround(pen, solid, camera) {
    pen.lineJoin = "round";
    solid.paint(pen, camera);
    pen.strokeStyle = this.theme.level;
    pen.lineWidth = 1;
    pen.beginPath();
    solid.contours(([ax, ay], [bx, by], z) => {
      if (isHidden(solid, camera.eye, (ax + bx) / 2, (ay + by) / 2, z)) return;
      pen.moveTo(...camera.at(ax, ay, z));
      pen.lineTo(...camera.at(bx, by, z));
    });
    pen.stroke();
  }

  #lanes({ runs }, solid) {
    const number = new Map(runs.map(({ name }, k) => [name, k]));
    return ({ name }) => solid.lane?.(number.get(name), runs.length);
  }

  /** Seen from here: pixels of the whole way, which of them are hidden, and the row that each leads to. */
  #wayOf(run, scene, solid, camera, view) {
    const radius = this.#lanes(scene, solid)(run);
    const key = [...view, radius];
    const kept = this.#ways.get(run.path);
    if (kept && isSame(key, kept.key)) return kept;
    const { path } = run;
    const rows = path.rowsWithin((this.#moves ? MOVING_ERROR : ERROR) / (Math.max(this.width, this.height) * camera.zoom));
    const way = { key, rows, ...emptyWay() };
    for (let k = 0; k < rows.length; k++) this.#add(way, path, scene.surface, solid, camera, k ? rows[k - 1] : null, rows[k], radius);
    this.#ways.set(path, way);
    return way;
  }

  /** Add the way from one row to another, on the ground. */
  #add(way, path, surface, solid, camera, from, to, radius) {
    const { unrolled, columns } = surface.place(path);
    const own = surface.isCurve ? unrolled : columns;
    const at = (row) => own.map((column) => column[row]);
    const put = (x, y, z) => {
      const hidden = isHidden(solid, camera.eye, x, y, z + LIFT);
      const last = way.hidden.length - 1;
      const before = way.places[last];
      if (before && hidden !== way.hidden[last] && Number.isFinite(way.xs[last]) && Number.isFinite(z)) {
        // Where it begins or ends to be hidden, between the two.
        let [a, b] = [0, 1];
        for (let k = 0; k < 5; k++) {
          const middle = (a + b) / 2;
          const place = before.map((value, c) => value + middle * ([x, y, z][c] - value));
          if (isHidden(solid, camera.eye, place[0], place[1], place[2] + LIFT) === way.hidden[last]) a = middle;
          else b = middle;
        }
        write(before.map((value, c) => value + b * ([x, y, z][c] - value)), hidden);
      }
      write([x, y, z], hidden);
    };
    const write = (place, hidden) => {
      const [px, py] = camera.at(place[0], place[1], place[2] + LIFT);
      way.xs.push(px);
      way.ys.push(py);
      way.hidden.push(hidden);
      way.ends.push(to);
      way.places.push(place);
    };
    const isNew = from === null || path.isMoved(from, to);
    const pieces = isNew || surface.isCurve ? [[at(from ?? to), at(to)]] : surface.pieces(at(from), at(to));
    pieces.forEach(([begin, end], k) => {
      if (isNew || k) {
        if (!isNew || from !== null) write([NaN, NaN, NaN], false);
        put(...solid.place(isNew ? end : begin, radius));
      }
      if (!isNew) solid.way(begin, end, put, radius);
    });
  }

  #drawPath(run, scene, solid, camera, view) {
    const { context } = this;
    const { theme, surface } = scene;
    const way = this.#wayOf(run, scene, solid, camera, view);
    let count = 0;
    while (count < way.ends.length && way.ends[count] <= run.row) count++;
    const tail = emptyWay();
    const done = way.ends[count - 1] ?? null;
    if (done !== run.row) {
      if (count) for (const key of Object.keys(tail)) tail[key].push(way[key][count - 1]);
      this.#add(tail, run.path, surface, solid, camera, done, run.row, this.#lanes(scene, solid)(run));
    }
    const [seen, behind] = [[], []];
    trace(way, count, seen, behind);
    trace(tail, tail.xs.length, seen, behind);
    const width = run.isFocus ? 3.4 : 2.2;
    context.lineJoin = this.#moves ? "bevel" : "round";
    context.lineCap = this.#moves ? "butt" : "round";
    const stroke = (paths, color, size, alpha, dash = []) => {
      context.globalAlpha = alpha * (run.isFaint ? 0.25 : 1);
      context.strokeStyle = color;
      context.lineWidth = size;
      context.setLineDash(dash);
      for (const path of paths) context.stroke(path);
    };
    stroke(behind, run.color, width, 0.4, run.dash);
    stroke(seen, theme.casing, width + 2.4, 1);
    stroke(seen, run.color, width, 1, run.dash);
    context.globalAlpha = 1;
    context.setLineDash([]);
    if (this.#moves) return; // and nothing is looked for
    const stride = Math.ceil(count / MAX_TARGETS);
    for (let k = 0; k < count; k += stride) this.target(way.xs[k], way.ys[k], () => stateLines(run, way.ends[k], surface));
  }

  #drawWords(solid, camera, labels, theme) {
    const { context } = this;
    for (const { from, at, words, isTitle } of solid.words(camera)) {
      if (isHidden(solid, camera.eye, ...at)) continue;
      const [x, y] = camera.at(...at);
      if (from) {
        context.strokeStyle = theme.muted;
        context.lineWidth = 1;
        context.beginPath();
        context.moveTo(...camera.at(...from));
        const [fx, fy] = camera.at(...from);
        context.lineTo(fx + 0.3 * (x - fx), fy + 0.3 * (y - fy));
        context.stroke();
      }
      labels.put(words, x, y, { color: isTitle ? theme.ink : theme.muted, halo: theme.background, sides: ["center"] });
    }
  }

  #drawScale({ surface, limits, theme }, labels) {
    const tall = this.width < 420 ? 70 : Math.min(180, this.height * 0.42);
    labels.taken.push([this.width - 110, 0, this.width, tall + 34]);
    const color = (share) => rgb(rampColor(theme.name, share));
    const losses = ticks(limits.low, limits.top, 4).map((loss) => [loss, number(loss)]);
    const name = `slice ${title(surface.lossName)}`;
    const top = 30;
    drawRamp(this, limits, { left: this.width - 62, top, bottom: top + tall }, { theme, color, ticks: losses, title: name });
  }

  // What turns it.

  #turn(change) {
    if (!this.#camera) return;
    change(this.#camera);
    this.#moves = true;
    this.settings.keep({ camera: this.#camera.state });
    this.#camera.key = JSON.stringify(this.#camera.state);
    this.#settleLater();
    this.redraw();
  }

  #settleLater() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#moves = false;
      this.redraw();
    }, SETTLED);
  }

  magnify(factor) {
    this.#turn((camera) => camera.magnify(factor));
  }

  reset() {
    this.#surface = null;
    this.settings.set({ camera: null });
  }

  /** The sample of the surface that is seen nearest to a pixel. */
  #click(x, y) {
    if (!this.scene) return;
    const { surface } = this.scene;
    const solid = this.#solidOf(this.scene);
    const [first, second] = surface.axes;
    const points = surface.isCurve ? first.map((value) => [value]) : first.flatMap((value) => second.map((other) => [value, other]));
    let [best, least] = [null, CLICK];
    for (const point of points) {
      const [px, py, pz] = solid.place(point);
      if (!Number.isFinite(pz)) continue;
      const [sx, sy] = this.#camera.at(px, py, pz + LIFT);
      const away = Math.hypot(sx - x, sy - y);
      if (away < least && !isHidden(solid, this.#camera.eye, px, py, pz + LIFT)) [best, least] = [point, away];
    }
    if (best) this.onClick(best);
  }

  #listen() {
    const { canvas } = this;
    const fingers = new Map();
    let begin = null;
    canvas.addEventListener("pointerup", (event) => {
      const [x, y] = this.placeOf(event);
      if (begin && Math.hypot(x - begin[0], y - begin[1]) < 4 && fingers.size === 1) this.#click(x, y);
    });
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
      const far = (place) => Math.max(10, Math.hypot(place[0] - other[0], place[1] - other[1]));
      if (other) this.#turn((camera) => camera.magnify(far(now) / far(before)));
      else this.#turn((camera) => camera.turn((now[0] - before[0]) / 130, (now[1] - before[1]) / 150));
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, ({ pointerId }) => fingers.delete(pointerId));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.magnify(Math.exp(-event.deltaY * 0.0012));
    }, { passive: false });
    canvas.addEventListener("dblclick", () => this.reset());
    canvas.addEventListener("keydown", (event) => {
      const turns = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
      const sizes = { "+": 1.2, "=": 1.2, "-": 1 / 1.2 };
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (turns[event.key]) this.#turn((camera) => camera.turn(...turns[event.key]));
      else if (sizes[event.key]) this.magnify(sizes[event.key]);
      else if (event.key === "0") this.reset();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }
}

const emptyWay = () => ({ xs: [], ys: [], hidden: [], ends: [], places: [] });

/** Lines of what is seen and of what is hidden, in short parts: a canvas is slow with long ones that cross themselves. */
function trace({ xs, ys, hidden }, count, seen, behind) {
  let [length, line] = [0, null];
  for (let k = 1; k < count; k++) {
    if (!Number.isFinite(xs[k]) || !Number.isFinite(xs[k - 1])) {
      line = null;
      continue;
    }
    // Where one begins to be hidden, or ceases to be, a place was put in between.
    if (line === null || length >= PART || hidden[k - 1] !== hidden[k - 2]) {
      line = new Path2D();
      line.moveTo(xs[k - 1], ys[k - 1]);
      (hidden[k - 1] ? behind : seen).push(line);
      length = 0;
    }
    line.lineTo(xs[k], ys[k]);
    length++;
  }
}

/** The side from which paths on a ring are in front, a little to the right. */
function ringSide(surface, runs) {
  const scale = (2 * Math.PI) / surface.periods[0];
  const lap = Math.abs(scale - Math.round(scale)) < 1e-6 && surface.units[0] === "rad" ? 1 : scale;
  const known = runs.flatMap(({ path }) => Array.from(surface.place(path).unrolled[0])).filter(Number.isFinite);
  const middle = known.length ? (lap * known.reduce((sum, value) => sum + value, 0)) / known.length : 0.5;
  return middle - 0.45;
}

/** The side from which no near wall hides the paths. */
function openSide(surface, runs) {
  const [x, y] = surface.axes.map((axis, k) => {
    const columns = runs.map(({ path }) => surface.place(path).columns[k]);
    const share = (value) => Math.max(-1, Math.min(1, (2 * (value - axis[0])) / (axis.at(-1) - axis[0] || 1) - 1));
    const mean = (values) => values.reduce((sum, value) => sum + share(value), 0) / Math.max(1, values.length);
    const known = columns.flatMap((column) => Array.from(column)).filter(Number.isFinite);
    return mean(known) + mean(columns.map((column) => column[0]).filter(Number.isFinite));
  });
  return Math.hypot(x, y) > 0.3 ? Math.atan2(-y, -x) + 0.35 : -0.95;
}
