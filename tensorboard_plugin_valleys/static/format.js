// Numbers and names as people read them, and elements with text in them.

const DEGREES = 180 / Math.PI;

export const isAngle = (unit) => unit === "rad";

export const isInDegrees = (unit) => isAngle(unit) || unit === "°";

/** What a coordinate of a unit is multiplied with on screen: radians are shown in degrees. */
export const scaleOf = (unit) => (isAngle(unit) ? DEGREES : 1);

/** What stands behind a number of a unit on screen. */
export const signOf = (unit) => (isInDegrees(unit) ? "°" : unit && ` ${unit}`);

export const axisTitle = (label, unit = "") => (unit ? `${label} (${signOf(unit).trim()})` : label);

export function number(value, digits = 4) {
  if (value === null || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text =
    size !== 0 && (size < 1e-4 || size >= 1e6)
      ? value.toExponential(digits - 2)
      : String(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

export function coordinate(value, unit, digits = 4) {
  if (!Number.isFinite(value)) return number(value, digits);
  if (!isInDegrees(unit)) return `${number(value, digits)}${signOf(unit)}`;
  const degrees = value * scaleOf(unit);
  if (Math.abs(degrees) >= 1e4) return `${number(degrees)}°`;
  return `${(Math.round(degrees * 10) / 10 + 0).toFixed(1)}°`.replace("-", "−");
}

export function coordinates(values, units, digits = 4) {
  return values.map((value, k) => coordinate(value, units[k], digits)).join(", ");
}

export const title = (name) => name.replaceAll("_", " ");

/** Round numbers between two ends, of which angles are multiples of 15 where they can be. */
export function ticks(low, high, most, angle = false) {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return [low];
  const rough = span / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const steps = [1, 2, 2.5, 5, 10].map((digit) => digit * power);
  const choices = angle && rough > 2 ? [5, 15, 30, 45, 90, 180] : steps;
  const step = choices.find((size) => size >= rough) ?? choices.at(-1);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  if (last - first > 1000) return [low];
  return Array.from({ length: last - first + 1 }, (_, k) => (first + k) * step);
}

/** Whether the parts are those that were kept, each the very same. */
export const isSame = (parts, kept) => parts.length === kept?.length && parts.every((part, k) => part === kept[k]);

/** An element; `attributes` that are functions listen to events. Text is never HTML. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false && value !== null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}
