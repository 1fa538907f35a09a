// The tab: data from TensorBoard's server, theme and address of the TensorBoard around the frame.

import { element } from "./format.js";
import { start } from "./app.js";

const here = (name) => new URL(name, import.meta.url).href;

/** An answer, or an error with what the server said; `isMissing` where it knows of none. */
async function ask(address) {
  const answer = await fetch(here(address));
  if (answer.ok) return answer;
  const error = new Error(await answer.text());
  error.isMissing = answer.status === 404;
  throw error;
}

function ofMoment(run, moment) {
  return new URLSearchParams(moment === undefined ? { run } : { run, moment });
}

const server = {
  live: true,
  runs: async () => (await (await ask("runs")).json()).runs,
  surface: async (run, moment) => (await ask(`surface?${ofMoment(run, moment)}`)).json(),
  path: async (run, moment) => (await ask(`path?${ofMoment(run, moment)}`)).arrayBuffer(),
};

function loaded(node) {
  return new Promise((resolve, reject) => {
    node.addEventListener("load", resolve);
    node.addEventListener("error", () => reject(new Error(`cannot load ${node.src ?? node.href}`)));
    document.head.append(node);
  });
}

/** TensorBoard around the frame, of the same origin; `null` where there is none. */
function around() {
  try {
    return window.parent !== window && window.parent.document ? window.parent : null;
  } catch {
    return null;
  }
}

// TensorBoard keeps in its address what a plugin puts there under this prefix.
const PREFIX = "p.keras_valleys.";
const NO_TEXT = { defaultValue: "", useLocationReplace: true }; // an empty text is left out of it

const tensorboard = {
  isDark() {
    const page = around()?.document.body;
    if (page) return page.classList.contains("dark-mode");
    return matchMedia("(prefers-color-scheme: dark)").matches;
  },

  onTheme(listener) {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", listener);
    const page = around()?.document.body;
    if (page) new MutationObserver(listener).observe(page, { attributeFilter: ["class"] });
  },

  readAddress(names) {
    const storage = around()?.tensorboard?.tf_storage;
    const kept = names.map((name) => [name, storage?.getString(PREFIX + name, NO_TEXT)]);
    return Object.fromEntries(kept.filter(([, text]) => text));
  },

  writeAddress(texts) {
    const storage = around()?.tensorboard?.tf_storage;
    for (const [name, text] of Object.entries(texts)) storage?.setString(PREFIX + name, text ?? "", NO_TEXT);
  },

  /** TensorBoard's reload button, by the channel that it offers to frames. */
  onReload(listener) {
    const channel = new MessageChannel();
    channel.port1.addEventListener("message", ({ data }) => {
      const { type, id, isReply } = JSON.parse(data);
      if (isReply) return;
      if (type === "experimental.DataReloaded") listener();
      channel.port1.postMessage(JSON.stringify({ type, id, payload: null, error: null, isReply: true }));
    });
    channel.port1.start();
    window.parent.postMessage("experimental.bootstrap", "*", [channel.port2]);
  },
};

export async function render() {
  await loaded(element("link", { rel: "stylesheet", href: here("style.css") }));
  await start(server, tensorboard);
}
