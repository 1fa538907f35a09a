// What there is to say of valleys, rows and derailments, in words.

import { coordinates, number, scaleOf, signOf, title } from "./format.js";

const MAX_NAMES = 9; // valleys with a name beside them

/** The valleys to mark with a name, the deepest first. */
export function namedValleys(surface) {
  const numbered = surface.valleys.map((valley, index) => ({ ...valley, index }));
  return numbered.sort((a, b) => (b.depth ?? Infinity) - (a.depth ?? Infinity)).slice(0, MAX_NAMES);
}

/** What there is to say of a valley, in words: {name, place, loss, depth, width}. */
export function valleyWords(surface, index) {
  const { position, loss, depth, width } = surface.valleys[index];
  const unit = new Set(surface.units).size === 1 ? surface.units[0] : "";
  return {
    name: surface.valleyName(index),
    place: coordinates(position, surface.units, 3),
    loss: number(loss),
    depth: depth === null ? "∞" : number(depth),
    width: width === null ? "∞" : `${number(width * scaleOf(unit))}${signOf(unit)}`,
  };
}

export function valleyLines(surface, index) {
  const { name, loss, depth, width } = valleyWords(surface, index);
  const around = depth === "∞" ? "nothing surrounds it" : `depth ${depth}`;
  return [name, `${title(surface.lossName)} ${loss}`, around, `width ${width}`];
}

/** The loss of a row, recorded or true; where it is not known, that of the surface below: the slice. */
function lossWords({ path }, row, surface) {
  const loss = path.losses[row];
  if (!Number.isNaN(loss) || !surface) return `${path.lossKind} loss ${number(loss)}`;
  const height = surface.place(path).heights[row];
  return `slice loss ${Number.isFinite(height) ? number(height) : "–"}`;
}

export function stateLines(run, row, surface) {
  const { path } = run;
  const lines = [
    `${run.name}, step ${path.steps[row]}`,
    ...(row > 0 && path.isMoved(row - 1, row) ? ["no step led here: the weights were set"] : []),
    lossWords(run, row, surface),
    `${path.names.map(title).join(", ")} ${coordinates(path.point(row), path.units)}`,
  ];
  if (surface.valleys.length) lines.push(surface.valleyName(path.valleys[row]));
  if (path.isOff(row)) lines.push(`${number(path.distances[row])} off the surface`);
  return lines;
}

export function derailmentLine(surface, { step, from, to }) {
  return `derailed at step ${step}: ${surface.valleyName(from)} → ${surface.valleyName(to)}`;
}

/** Where a run is at the cursor, in words. */
export function stateOf(run, surface) {
  const { path, row } = run;
  if (row < 0) return "not begun";
  const parts = [lossWords(run, row, surface)];
  if (surface?.valleys.length) parts.unshift(surface.valleyName(path.valleys[row]));
  if (path.isOff(row)) parts.push(`${number(path.distances[row], 3)} off`);
  if (path.numDerailments) parts.push(`derailed ${path.numDerailments}×`);
  return parts.join(" · ");
}
