// What stands in space, as traces of plotly: a ring over an angle, or a landscape.

import { axisTitle, coordinate, isAngle, number, scaleOf, ticks, title } from "./format.js";
import { gray, rgb } from "./theme.js";

const FACETS = 120; // of the ring's wall, for each side
const MAX_SIDES = 12; // of a ring over a part of a turn
const OUT = 1.012; // radius of what is drawn on the wall, in front of it

export const GAP = [null, null, null];
const NO_HIGHLIGHT = { highlight: false };

const columnsOf = (points) => ({
  x: points.map(([x]) => x),
  y: points.map(([, y]) => y),
  z: points.map(([, , z]) => z),
});

export const lines3d = (points, line, more = {}) => ({
  type: "scatter3d", mode: "lines", hoverinfo: "skip", connectgaps: false, line, ...columnsOf(points), ...more,
});

export const marks3d = (points, marker, hovertext) => ({
  type: "scatter3d", mode: "markers", hoverinfo: "text", marker, hovertext, ...columnsOf(points),
});

/** `words` are [point, text, color, textposition]. */
export const texts3d = (words) => ({
  type: "scatter3d", mode: "text", hoverinfo: "skip", ...columnsOf(words.map(([point]) => point)),
  text: words.map(([, text]) => text), textposition: words.map(([, , , position]) => position),
  textfont: { color: words.map(([, , color]) => color), size: 11 },
});

/** Lines of text as plotly's, in which "<" would begin a tag. */
export function plain(lines) {
  return lines.map((line) => line.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")).join("<br>");
}

/** x = cos phi, y = sin phi, z = loss, as the source draws it. */
export class Ring {
  nameLift = 0;

  constructor(surface, { low, top }, paths) {
    this.surface = surface;
    this.top = top;
    this.low = low;
    this.floor = low - 0.3 * (top - low);
    const [period] = surface.periods;
    const laps = (2 * Math.PI) / period;
    const fits = laps > 0.5 && laps < MAX_SIDES + 0.5 && Math.abs(laps - Math.round(laps)) < 1e-6;
    const isPart = isAngle(surface.units[0]) && fits;
    this.scale = isPart ? 1 : laps;
    this.sides = Array.from({ length: isPart ? Math.round(laps) : 1 }, (_, side) => side * period);
    const [axis] = surface.axes;
    this.axis = axis.filter((value) => value <= axis[0] + period * (1 + 1e-6)); // one period
    const known = paths.flatMap(({ columns }) => Array.from(columns[0])).filter(Number.isFinite);
    const middle = known.length ? (this.scale * known.reduce((sum, value) => sum + value, 0)) / known.length : 0.5;
    this.from = middle - 0.45; // where to look from: the paths in front, a little to the right
  }

  /** The place of a row of a placed path: on that side of the ring where it was. */
  at([value], height, turns = 0) {
    const angle = this.scale * (value + turns * this.surface.periods[0]);
    return [OUT * Math.cos(angle), OUT * Math.sin(angle), height];
  }

  jumps() {
    return false; // round the ring there is no end
  }

  valleyPlaces(position, loss) {
    return this.sides.map((side) => this.at([position[0] + side], loss));
  }

  traces(theme) {
    const { surface, top, floor, axis, scale } = this;
    const crest = this.sides.flatMap((side) => [
      ...axis.map((value, k) => {
        const phi = scale * (value + side);
        return [Math.cos(phi), Math.sin(phi), surface.losses[k] <= top ? surface.losses[k] : null];
      }),
      GAP,
    ]);
    const turn = Array.from({ length: 121 }, (_, k) => (k / 60) * Math.PI);
    const [x, y] = this.#post;
    const thin = [...turn.map((phi) => [Math.cos(phi), Math.sin(phi), floor]), GAP, [x, y, floor], [x, y, top]];
    return [lines3d(crest, { color: theme.surface, width: 5 }), this.#wall(theme), lines3d(thin, { color: theme.muted, width: 2 })];
  }

  /** The angles round the floor, and the losses on a post. */
  words(theme) {
    const { low, top, floor } = this;
    const [x, y] = this.#post;
    const angles = [-135, -90, -45, 0, 45, 90, 135, 180].map((angle) => {
      const phi = (angle * Math.PI) / 180;
      const words = coordinate(phi / this.scale, this.surface.units[0], 3).replace(".0°", "°");
      return [[1.17 * Math.cos(phi), 1.17 * Math.sin(phi), floor], words, theme.muted, "middle center"];
    });
    const losses = ticks(low, top, 4).map((loss) => [[x, y, loss], `${number(loss)} –`, theme.muted, "middle left"]);
    const name = [[x, y, top + 0.07 * (top - floor)], plain([title(this.surface.lossName)]), theme.muted, "top center"];
    return [...angles, ...losses, name];
  }

  layout(theme, aspect) {
    const { low, top, floor } = this;
    const side = { visible: false, range: [-1.3, 1.3] };
    const far = Math.max(1, 1 / aspect); // a narrow picture is seen from farther away
    const eye = { x: 1.55 * far * Math.cos(this.from), y: 1.55 * far * Math.sin(this.from), z: 0.95 * far };
    return {
      xaxis: side, yaxis: side, zaxis: { visible: false, range: [floor, top + 0.12 * (top - low)] },
      aspectmode: "manual", aspectratio: { x: 1.25, y: 1.25, z: 0.85 }, camera: { eye, center: { x: 0, y: 0, z: -0.1 } },
    };
  }

  /** To the left of who looks at the ring. */
  get #post() {
    return [1.22 * Math.cos(this.from - 1.75), 1.22 * Math.sin(this.from - 1.75)];
  }

  #wall(theme) {
    const { surface, top, floor, axis } = this;
    const edges = Array.from({ length: FACETS + 1 }, (_, k) => axis[0] + (k / FACETS) * (axis.at(-1) - axis[0]));
    const tops = edges.map((value) => Math.min(surface.heightAt([value]), top));
    const closed = axis.at(-1) - axis[0] > surface.periods[0] * 0.999;
    const row = (value, gap) =>
      this.sides.flatMap((side) => [
        ...edges.map((edge, k) => value(this.scale * (edge + side), k)), ...(closed ? [] : [gap]),
      ]);
    const [xs, ys] = [row(Math.cos, 0), row(Math.sin, 0)];
    const shade = rgb(gray(theme, 0.55));
    return {
      type: "surface", x: [xs, xs], y: [ys, ys], z: [row(() => floor, null), row((_, k) => tops[k], null)],
      colorscale: [[0, shade], [1, shade]], showscale: false, opacity: 0.45, hoverinfo: "skip",
      contours: { x: NO_HIGHLIGHT, y: NO_HIGHLIGHT, z: NO_HIGHLIGHT },
    };
  }
}

/** A surface over two axes. */
export class Landscape {
  constructor(surface, { low, top }, paths) {
    this.surface = surface;
    this.low = low;
    this.top = top;
    this.scales = surface.units.map(scaleOf);
    this.lift = 0.012 * (top - low); // of what lies on the surface, so that it is not half in it
    this.nameLift = 0.09 * (top - low);
    this.from = this.#sideOpposite(paths);
  }

  /** Where to look from, as an angle: paths on the far side are not hidden by a near wall. */
  #sideOpposite(paths) {
    const [x, y] = this.surface.axes.map((axis, k) => {
      const known = paths.flatMap(({ columns }) => Array.from(columns[k])).filter(Number.isFinite);
      const starts = paths.map(({ columns }) => columns[k][0]).filter(Number.isFinite);
      const mean = (values) => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
      const share = (value) => (2 * (value - axis[0])) / (axis.at(-1) - axis[0] || 1) - 1;
      return known.length && starts.length ? share(mean(known)) + share(mean(starts)) : 0;
    });
    return Math.hypot(x, y) > 0.3 ? Math.atan2(-y, -x) + 0.35 : -0.95;
  }

  at([x, y], height) {
    return [x * this.scales[0], y * this.scales[1], height === null ? null : height + this.lift];
  }

  jumps(placed, from, to) {
    return this.surface.jumps(placed, from, to);
  }

  valleyPlaces(position, loss) {
    return this.surface.repeats(position).map((place) => this.at(place, loss));
  }

  traces(theme) {
    const { low, top } = this;
    const { axes, losses } = this.surface;
    const z = axes[1].map((_, k) => losses.map((row) => (Number.isFinite(row[k]) ? Math.min(row[k], top) : null)));
    const [x, y] = axes.map((axis, k) => axis.map((value) => value * this.scales[k]));
    return [{
      type: "surface", x, y, z, cmin: low, cmax: top, showscale: false, opacity: 0.9, hoverinfo: "skip",
      colorscale: [0, 0.5, 1].map((share) => [share, rgb(gray(theme, 0.12 + 0.88 * share))]),
      lighting: { ambient: 0.75, diffuse: 0.5, specular: 0.05, roughness: 0.9 },
      contours: {
        x: NO_HIGHLIGHT, y: NO_HIGHLIGHT,
        z: { show: true, start: low, end: top, size: (top - low) / 14, color: theme.line, width: 1, highlight: false },
      },
    }];
  }

  words() {
    return [];
  }

  layout(theme, aspect) {
    const { low, top } = this;
    const far = Math.max(0.9, 1.4 / aspect);
    const look = {
      color: theme.muted, gridcolor: theme.line, zerolinecolor: theme.line, showspikes: false,
      showbackground: false, tickfont: { size: 10 },
    };
    const named = (name) => ({ ...look, title: { text: plain([name]) } });
    return {
      xaxis: named(axisTitle(this.surface.labels[0], this.surface.units[0])),
      yaxis: named(axisTitle(this.surface.labels[1], this.surface.units[1])),
      zaxis: { ...named(title(this.surface.lossName)), range: [low - 0.05 * (top - low), top + 0.02 * (top - low)] },
      aspectmode: "manual", aspectratio: { x: 1.2, y: 1.2, z: 0.7 },
      camera: { eye: { x: 1.9 * far * Math.cos(this.from), y: 1.9 * far * Math.sin(this.from), z: 1.15 * far }, center: { x: 0, y: 0, z: -0.2 } },
    };
  }
}
