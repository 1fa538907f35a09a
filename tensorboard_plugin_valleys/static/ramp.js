// Colors of heights: a ramp of even steps in lightness, from blue to sand, that the color-blind read as well.
// It leaves room for the paths: each of its colors, in light and in shadow, has a contrast of at
// least 3:1 to the casing of a path (see theme.js).

const STOPS = {
  light: [[80, 127, 179], [80, 163, 190], [109, 196, 191], [171, 221, 172], [231, 231, 173], [251, 244, 218]],
  dark: [[9, 22, 48], [8, 46, 73], [1, 72, 85], [40, 95, 85], [83, 113, 77], [131, 122, 68]],
};

// How much darker a slope in the shadow is, and how much lighter one in the light.
export const SHADOW = { light: 0.8, dark: 0.72 };
export const LIGHT = { light: 1.04, dark: 1.08 };

/** The color of a height, 0 to 1, as three numbers up to 255. */
export function rampColor(name, share, light = 1) {
  const stops = STOPS[name];
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const k = Math.min(Math.floor(place), stops.length - 2);
  return stops[k].map((value, c) => Math.min(255, light * (value + (place - k) * (stops[k + 1][c] - value))));
}

export const rgb = (parts) => `rgb(${parts.map(Math.round).join(",")})`;

/** How light a slope is: 0 in the shadow, 1 in the light, from its rise along both axes. */
export function lightOf(theme, riseX, riseY) {
  const slant = (1 + 0.55 * riseX - 0.4 * riseY) / Math.hypot(riseX, riseY, 1) / 1.21;
  const share = Math.min(1, Math.max(0, slant));
  return SHADOW[theme] + share * (LIGHT[theme] - SHADOW[theme]);
}
