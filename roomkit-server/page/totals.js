/** What the call has come to, as the server tells it, above the conversation. */

import { count, milliseconds, percent } from "./format.js";

const byId = (id) => document.getElementById(id);

export class Totals {
  /** Nothing is known of the call yet. */
  clear() {
    byId("totals").hidden = true;
  }

  /** @param {object} totals the server's `stats` */
  show(totals) {
    const { input_tokens: read, output_tokens: written, cached_tokens: cached } = totals.usage;
    const share = cached > 0 ? ` (${percent(cached / read)} cached)` : "";
    byId("total-turns").textContent = count(totals.turns);
    byId("total-interruptions").textContent = count(totals.interruptions);
    byId("total-tool-calls").textContent = count(totals.tool_calls);
    byId("total-hand-overs").textContent = count(totals.hand_overs);
    byId("total-ready").textContent = milliseconds(totals.ready_after_ms);
    byId("total-tokens").textContent = `${count(read)} in${share}, ${count(written)} out`;
    // A provider that tells no tokens may have used some.
    byId("total-tokens").parentElement.hidden = read + written === 0;
    byId("totals").hidden = false;
  }
}
