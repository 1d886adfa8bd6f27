/** The connection's side of the page: which transport, what state it is in, and how well it does. */

import { milliseconds, NOTHING, percent } from "./format.js";
import { page } from "./state.js";
import { NAMES } from "./transports.js";

/** Milliseconds between two looks at a connection. */
const SAMPLE_MS = 1000;

const STATES = {
  closed: "not connected",
  connecting: "connecting",
  connected: "connected",
  interrupted: "interrupted",
  restoring: "being restored",
};

const byId = (id) => document.getElementById(id);

export class ConnectionPanel {
  #transports;
  #choices = [...document.querySelectorAll("input[name=transport]")];

  /** @param {import("./transports.js").Transports} transports @param {() => void} onChoice */
  constructor(transports, onChoice) {
    this.#transports = transports;
    for (const choice of this.#choices) {
      choice.addEventListener("change", () => {
        transports.choose(choice.value);
        onChoice();
      });
    }
  }

  /** Shows what the page knows. */
  show() {
    const busy = page.phase !== "idle" && page.phase !== "ended";
    const name = page.transport ?? this.#transports.chosen;
    for (const choice of this.#choices) {
      const offered = this.#transports.offers(choice.value);
      choice.checked = choice.value === name;
      choice.disabled = busy || !offered;
      choice.parentElement.title = offered || !this.#transports.known ? "" : "Not available on this server or in this browser";
    }
    const state = byId("connection");
    state.dataset.state = page.connection;
    const words = STATES[page.connection];
    const text = page.transport ? `${NAMES[page.transport]}, ${words}` : capital(words);
    if (state.textContent !== text) {
      state.textContent = text;
    }
  }

  /** Looks at a call's connection until it is over. */
  async watch(call) {
    while (page.call === call) {
      const stats = await call.stats?.sample().catch(() => undefined);
      if (page.call === call && stats) {
        page.stats = stats;
        this.showReadouts();
      }
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    }
  }

  /** Shows what has been measured. */
  showReadouts() {
    const all = page.latencies;
    const latest = all.at(-1);
    const of = all.length > 1 ? `, median ${Math.round(median(all))}` : "";
    byId("latency").textContent = latest === undefined ? NOTHING : `${Math.round(latest)} ms${of}`;
    const { roundTripMs, lossIn, lossOut, bufferMs } = page.stats;
    byId("round-trip").textContent = milliseconds(roundTripMs);
    byId("buffer").textContent = milliseconds(bufferMs);
    const losses = [[lossIn, "in"], [lossOut, "out"]].filter(([loss]) => loss !== undefined);
    byId("loss").textContent = losses.map(([loss, way]) => `${percent(loss)} ${way}`).join(", ") || NOTHING;
  }
}

function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function capital(words) {
  return words[0].toUpperCase() + words.slice(1);
}
