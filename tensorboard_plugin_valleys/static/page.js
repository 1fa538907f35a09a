// The page: data in the same file, its own theme and address.

import { start } from "./app.js";

function bytes(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer;
}

const data = JSON.parse(document.getElementById("valleys-data").textContent);

const inlined = {
  live: false,
  title: data.title,
  runs: async () => data.runs,
  surface: async () => data.surface,
  alone: async () => data.surface,
  path: async (run) => bytes(data.paths[run]),
};

const dark = matchMedia("(prefers-color-scheme: dark)");

const page = {
  isDark: () => dark.matches,
  onTheme: (listener) => dark.addEventListener("change", listener),
  onAddress: (listener) => addEventListener("hashchange", listener),
  readAddress: () => Object.fromEntries(new URLSearchParams(location.hash.slice(1))),
  writeAddress(texts) {
    const kept = Object.entries(texts).filter(([, text]) => text !== null);
    try {
      history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
    } catch {
      // Within another document, as in a notebook, it has no address of its own.
    }
  },
};

start(inlined, page);
