// Colors, light and dark. A path has a casing that stands out from all colors of the ground (see ramp.js).

const THEMES = {
  light: {
    background: "#ffffff", panel: "#f6f7f8", ink: "#1f2328", muted: "#5c636b", line: "#d8dce0",
    surface: "#7d848c", fill: "#eceef0", accent: "#c2410c", casing: "#12161c", side: [176, 184, 192], page: [255, 255, 255], level: "rgb(18 22 28 / 28%)",
  },
  dark: {
    background: "#14171c", panel: "#1c2026", ink: "#eceff2", muted: "#9aa2ab", line: "#343a42",
    surface: "#9aa2ab", fill: "#22272e", accent: "#ff9d5c", casing: "#f4f6f8", side: [62, 68, 76], page: [20, 23, 28], level: "rgb(244 246 248 / 24%)",
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
