/** With each answer a line: how long it was waited for, and what it cost in tokens. It opens to the particulars. */

import { count, milliseconds, percent } from "./format.js";
import { Ledger } from "./ledger.js";
import { element } from "./transcript.js";

export class Turns {
  #transcript;
  #ledger = new Ledger();
  /** The line of the latest answer. */
  #line;

  /** @param {import("./transcript.js").Transcript} transcript where they are shown */
  constructor(transcript) {
    this.#transcript = transcript;
  }

  /** A new call begins; the lines of the last one stay. */
  start() {
    this.#ledger = new Ledger();
    this.#line = undefined;
  }

  /** @param {object} totals the server's `stats` */
  take(totals) {
    this.#show(this.#ledger.take(totals));
  }

  /** @param {number} ms from the end of the user's speech to the first sound of the answer */
  heard(ms) {
    this.#show(this.#ledger.heard(ms));
  }

  /** Words have been shown: the line comes after the last ones of its answer. */
  follow() {
    const bubble = this.#transcript.latest("assistant");
    const { row, before } = this.#line ?? {};
    if (row && bubble && bubble !== before && bubble.nextSibling !== row) {
      this.#transcript.append(row, bubble);
    }
  }

  #show(turn) {
    if (!turn) {
      return;
    }
    if (this.#line?.turn !== turn) {
      this.#line = { turn, row: undefined, before: this.#transcript.latest("assistant") };
    }
    const facts = [waited(turn), spent(turn)].filter((fact) => fact !== undefined);
    if (facts.length === 0) {
      return;
    }
    const line = this.#line;
    if (!line.row) {
      line.row = element("li", "turn");
      const details = element("details");
      details.append(element("summary"), element("dl"));
      line.row.append(details);
      this.#transcript.append(line.row);
      this.follow();
    }
    line.row.querySelector("summary").textContent = facts.join(" · ");
    line.row.querySelector("dl").replaceChildren(...particulars(turn).map(pair));
  }
}

function waited({ latency, heardMs }) {
  if (heardMs !== undefined) {
    return `Latency ${milliseconds(heardMs)}`;
  }
  return latency && `Sent after ${milliseconds(latency.sent_ms)}`;
}

function spent({ usage: { input_tokens: read = 0, output_tokens: written = 0 } }) {
  return read + written > 0 ? `${count(read)} tokens in, ${count(written)} out` : undefined;
}

function particulars({ latency, usage }) {
  const all = [];
  if (latency) {
    all.push(["AI’s first audio", milliseconds(latency.first_audio_ms)], ["Sent", milliseconds(latency.sent_ms)]);
  }
  const kinds = (way, names) => names.map((name) => [name, usage[`${way}_${name}_tokens`] ?? 0]);
  const read = [...kinds("input", ["audio", "text", "image"]), ["cached", usage.cached_tokens ?? 0]];
  all.push(["Tokens in", tokens(usage.input_tokens, read)]);
  all.push(["Tokens out", tokens(usage.output_tokens, kinds("output", ["audio", "text", "thinking"]))]);
  return all.filter(([, value]) => value !== undefined);
}

/** So many, and of these so many of a kind; of the cached ones also the share. */
function tokens(all, kinds) {
  if (all === undefined) {
    return undefined;
  }
  const some = kinds.filter(([, value]) => value > 0);
  const parts = some.map(([name, value]) => `${count(value)} ${name}${name === "cached" ? ` (${percent(value / all)})` : ""}`);
  return parts.length > 0 ? `${count(all)}: ${parts.join(", ")}` : count(all);
}

function pair([name, value]) {
  const row = element("div");
  row.append(element("dt", "", name), element("dd", "", value));
  return row;
}
