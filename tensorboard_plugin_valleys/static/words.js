// What there is to say of valleys, rows and derailments, in words.

import { coordinates, number, scaleOf, signOf, title } from "./format.js";

const MAX_NAMES = 9; // valleys with a name beside them
export const BORDER = "lowest at the border"; // what is no minimum, as what lies beyond was not sampled

/** The valleys to mark with a name, the deepest first; what is lowest at the border has no depth. */
export function namedValleys(surface) {
  const numbered = surface.valleys.map((valley, index) => ({ ...valley, index }));
  const rank = ({ depth, on_border: onBorder }) => (onBorder ? -1 : depth ?? Number.MAX_VALUE);
  return numbered.sort((a, b) => rank(b) - rank(a)).slice(0, MAX_NAMES);
}

/** What stands beside the mark of a valley. */
export function markWords(surface, { position, index, on_border: onBorder }) {
  if (onBorder) return BORDER;
  return surface.isCurve && surface.units[0] ? coordinates(position, surface.units) : `valley ${index}`;
}

/** What there is to say of a valley, in words: {name, place, loss, depth, width}; no depth on the border. */
export function valleyWords(surface, index) {
  const { position, loss, depth, width, on_border: onBorder } = surface.valleys[index];
  const unit = new Set(surface.units).size === 1 ? surface.units[0] : "";
  return {
    name: surface.valleyName(index),
    place: coordinates(position, surface.units, 3),
    loss: number(loss),
    depth: onBorder ? BORDER : depth === null ? "∞" : number(depth),
    width: width === null ? "∞" : `${number(width * scaleOf(unit))}${signOf(unit)}`,
  };
}

export function valleyLines(surface, index) {
  const { name, loss, depth, width } = valleyWords(surface, index);
  const around = { [BORDER]: "what lies beyond was not sampled", "∞": "nothing surrounds it" }[depth] ?? `depth ${depth}`;
  return [name, `${title(surface.lossName)} ${loss}`, around, `width ${width}`];
}

/** The loss of a row, recorded or true; where it is not known, that of the surface below: the slice. */
function lossWords({ path }, row, surface) {
  const loss = path.losses[row];
  if (!Number.isNaN(loss) || !surface) return `${path.lossKind} loss ${number(loss)}`;
  return sliceWords(surface.place(path).heights[row]);
}

const sliceWords = (height) => `slice loss ${Number.isFinite(height) ? number(height) : "–"}`;

export function stateLines(run, row, surface) {
  const { path } = run;
  const height = surface?.place(path).heights[row];
  const lines = [
    `${run.name}, step ${path.steps[row]}`,
    ...(path.hasDiverged(path.steps[row]) ? [divergedLine(path)] : []),
    ...(row > 0 && path.isMoved(row - 1, row) ? ["no step led here: the weights were set"] : []),
    lossWords(run, row, surface),
    ...(Number.isFinite(height) && !Number.isNaN(path.losses[row]) ? [sliceWords(height)] : []),
    `${path.names.map(title).join(", ")} ${coordinates(path.point(row), path.units)}`,
  ];
  if (surface?.valleys.length) lines.push(surface.valleyName(path.valleys[row]));
  if (path.isOff(row)) lines.push(`${number(path.distances[row])} off the surface`);
  return lines;
}

export const divergedLine = ({ diverged }) => `diverged at step ${diverged}`;

const signed = (value) => `${value < 0 ? "" : "+"}${number(value, 2)}`;

/** What stands beside the mark of a derailment while it happens. */
export function derailedHere(surface, { from, to, rise }, lossKind) {
  const loss = rise === null ? "" : `, ${lossKind} loss ${signed(rise)}`;
  return `derailed here: from ${surface.valleyPlace(from)} to ${surface.valleyPlace(to)}${loss}`;
}

export function derailmentLine(surface, { before, from, to }) {
  return `derailed at step ${before}: ${surface.valleyName(from)} → ${surface.valleyName(to)}`;
}

/** Where a run is at the cursor, in words. */
export function stateOf(run, surface) {
  const { path, row } = run;
  if (row < 0) return "not begun";
  if (path.hasDiverged(run.step)) return divergedLine(path);
  const parts = [lossWords(run, row, surface)];
  if (surface?.valleys.length) parts.unshift(surface.valleyName(path.valleys[row]));
  if (path.isOff(row)) parts.push(`${number(path.distances[row], 3)} off`);
  const past = path.derailmentsUpTo(row).length; // of those that are here; all where the path is short
  if (past) parts.push(`derailed ${past === path.derailments.length ? path.numDerailments : past}×`);
  return parts.join(" · ");
}
