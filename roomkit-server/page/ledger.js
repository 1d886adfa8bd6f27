/**
 * What each answer took and cost, told from what the server says that the whole call has come to.
 * Nothing here knows about the page.
 */

/**
 * One answer: the responses of the AI to one question, those to the results of tools among them.
 *
 * @typedef {object} Turn
 * @property {{ first_audio_ms: number, sent_ms: number }} [latency] how long the question waited, by the server
 * @property {number} [heardMs] how long until the answer was heard, by the page
 * @property {Record<string, number>} usage tokens, as the server names them
 */

export class Ledger {
  /** The latest totals. */
  #totals = { responses: 0, turns: 0, tool_calls: 0, usage: {} };
  /** Calls of tools when the latest response began. */
  #toolCalls = 0;
  /** @type {Turn | undefined} */
  #turn;
  /** Heard of an answer of which the server has told nothing yet. */
  #heardMs;

  /**
   * @param {object} totals the server's `stats`
   * @returns {Turn | undefined} the answer that is the latest with them
   */
  take(totals) {
    const before = this.#totals;
    this.#totals = totals;
    const responds = totals.responses > before.responses;
    const answers = totals.turns > before.turns;
    // A response after a tool was called goes on with the answer, unless it turns out to be one of its own.
    const isNew = responds && before.tool_calls === this.#toolCalls;
    if (isNew || (answers && this.#turn?.latency)) {
      this.#turn = { usage: {} };
    }
    if (responds) {
      this.#toolCalls = before.tool_calls;
    }
    const spent = difference(totals.usage, before.usage);
    if (answers || Object.keys(spent).length > 0) {
      this.#turn ??= { usage: {} };
    }
    if (!this.#turn) {
      return undefined;
    }
    if (answers) {
      this.#turn.latency = totals.last_turn;
      this.#turn.heardMs ??= this.#heardMs;
      this.#heardMs = undefined;
    }
    for (const [kind, tokens] of Object.entries(spent)) {
      this.#turn.usage[kind] = (this.#turn.usage[kind] ?? 0) + tokens;
    }
    return this.#turn;
  }

  /**
   * The first sound of an answer was heard.
   *
   * @returns {Turn | undefined} the answer, once the server has told of it
   */
  heard(milliseconds) {
    if (!this.#turn || this.#turn.heardMs !== undefined) {
      this.#heardMs = milliseconds;
      return undefined;
    }
    this.#turn.heardMs = milliseconds;
    return this.#turn;
  }
}

/** Of each kind of token what is more of it now. */
function difference(now, before) {
  const more = Object.entries(now).map(([kind, tokens]) => [kind, tokens - (before[kind] ?? 0)]);
  return Object.fromEntries(more.filter(([, tokens]) => tokens > 0));
}
