/**
 * One call, whatever carries it: the JSON messages with `type` are the same on every transport.
 * Nothing here knows about the page.
 */

/** Milliseconds the server gets to say goodbye after `end`. */
export const GOODBYE_MS = 2000;

/** Bytes of a message that a server takes unless it is set up otherwise. */
const LARGEST_MESSAGE = 65_536;

/** What a call tells of itself. A host's own message of such a type is none of the server's. */
const OWN = new Set(["closed", "connection", "remote_audio"]);

/**
 * Dispatches a `CustomEvent` per server message, named by its `type` with the message as `detail`;
 * `connection` with "connecting", "connected", "interrupted" or "restoring"; and one `closed` at the
 * end, whose `detail` says the `reason` and whether the call had `started`.
 *
 * A transport's class gives it `send`, which says whether it could, `hangUp`, `end` and `leave`, and has `stats` to be sampled.
 */
export class Call extends EventTarget {
  #started = false;
  #closed = false;
  #reason;
  #error;

  get closed() {
    return this.#closed;
  }

  /** The server's reason for the end, once it has said it. */
  get reason() {
    return this.#reason;
  }

  /** Bytes of a message beyond which none is taken. */
  get largestMessage() {
    return LARGEST_MESSAGE;
  }

  /** @returns {boolean} false where it was not sent: the text is too long, which `error` tells, or there is no connection */
  sendText(text) {
    const message = { type: "text", text };
    const limit = this.largestMessage;
    if (new TextEncoder().encode(JSON.stringify(message)).length > limit) {
      const problem = `The text was not sent: at most ${limit} bytes are taken; send a long text in parts.`;
      this.emit("error", { message: problem });
      return false;
    }
    return this.send(message);
  }

  interrupt() {
    this.send({ type: "interrupt" });
  }

  mute(muted) {
    this.send({ type: "mute", muted });
  }

  /** @param {boolean} on whether the person lets the call be recorded from here on */
  record(on) {
    this.send({ type: "recording", on });
  }

  // ---- for the transports ----

  /** Takes one message of the server's. */
  receive(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    if (typeof message?.type !== "string" || OWN.has(message.type)) {
      return;
    }
    if (message.type === "session_started") {
      this.#started = true;
    } else if (message.type === "session_ended") {
      this.#reason = message.reason;
    } else if (message.type === "error") {
      this.#error = message.message;
    }
    this.emit(message.type, message);
    if (message.type === "session_ended") {
      this.hangUp();
    }
  }

  /**
   * The end, told once. The code is that of a WebSocket: 1000 for an end that was wanted.
   *
   * @param {{ code: number, reason?: string, refusal?: Error, unreachable?: boolean }} end `refusal`
   *   is an HTTP answer; `unreachable` says that the network lets this transport not through
   */
  finish({ code, reason, ...more }) {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    this.emit("closed", {
      started: this.#started,
      code,
      reason: this.#reason ?? (reason || undefined),
      error: this.#error,
      ...more,
    });
  }

  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
