// Colors, light and dark. Surfaces are gray, so that only paths have colors.

const THEMES = {
  light: {
    background: "#ffffff", panel: "#f6f7f8", ink: "#1f2328", muted: "#5c636b", line: "#d8dce0",
    surface: "#7d848c", fill: "#eceef0", accent: "#c2410c", low: [252, 252, 253], high: [139, 148, 158],
  },
  dark: {
    background: "#14171c", panel: "#1c2026", ink: "#eceff2", muted: "#9aa2ab", line: "#343a42",
    surface: "#9aa2ab", fill: "#22272e", accent: "#ff9d5c", low: [23, 26, 31], high: [122, 131, 141],
  },
};

// TensorBoard's own, by the number of the run: as it colors its curves.
const RUNS = {
  light: ["#425066", "#12b5cb", "#e52592", "#f9ab00", "#9334e6", "#7cb342", "#e8710a"],
  dark: ["#8e98a3", "#12b5cb", "#e52592", "#f9ab00", "#9334e6", "#7cb342", "#e8710a"],
};

// Runs of one color differ in this.
export const DASHES = [[], [7, 4], [2, 3], [8, 3, 2, 3]];

export function themeOf(choice, hostIsDark) {
  const name = choice === "auto" ? (hostIsDark ? "dark" : "light") : choice;
  return { name, ...THEMES[name] };
}

/** Give style.css the colors of a theme. */
export function applyTheme(theme) {
  const root = document.documentElement;
  root.style.colorScheme = theme.name;
  for (const name of ["background", "panel", "ink", "muted", "line", "accent"]) {
    root.style.setProperty(`--${name}`, theme[name]);
  }
}

export function runColor(run, theme) {
  const palette = RUNS[theme.name];
  return run.color ?? palette[run.number % palette.length];
}

export const rgb = (parts) => `rgb(${parts.map(Math.round).join(",")})`;

/** The gray of a height, 0 to 1. */
export function gray(theme, share) {
  return theme.low.map((low, k) => low + share * (theme.high[k] - low));
}
