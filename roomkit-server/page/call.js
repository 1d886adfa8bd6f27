/**
 * One call over the server's WebSocket: JSON objects with `type` both ways, audio as binary
 * PCM16 frames. Nothing here knows about the page.
 */

/** Bytes waiting in the socket beyond which new microphone frames are dropped. */
const MAX_BUFFERED = 1 << 18;
/** Milliseconds the server gets to say goodbye after `end`. */
const GOODBYE_MS = 2000;

/**
 * Dispatches a `CustomEvent` per server message, named by its `type` with the message as `detail`;
 * `audio` with the PCM16 `ArrayBuffer` as `detail`, however it came; and one `closed` at the end,
 * whose `detail` says the `reason` and whether the call had `started`.
 */
export class Call extends EventTarget {
  #socket;
  #started = false;
  #reason;
  #error;
  #goodbye;

  /** @param {{ url: URL | string, room?: string, participant?: string, token?: string }} options */
  constructor({ url, room, participant, token }) {
    super();
    const target = new URL(url, document.baseURI);
    target.searchParams.set("audio", "binary");
    if (room) {
      target.searchParams.set("room", room);
    }
    if (participant) {
      target.searchParams.set("participant", participant);
    }
    this.#socket = openSocket(target, token);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = (event) => this.#closed(event);
  }

  /** @returns {boolean} false when the frame was dropped because the network is too slow */
  sendAudio(pcm) {
    if (this.#socket.readyState !== WebSocket.OPEN || this.#socket.bufferedAmount > MAX_BUFFERED) {
      return false;
    }
    this.#socket.send(pcm);
    return true;
  }

  sendText(text) {
    this.#send({ type: "text", text });
  }

  interrupt() {
    this.#send({ type: "interrupt" });
  }

  mute(muted) {
    this.#send({ type: "mute", muted });
  }

  /** @param {number} milliseconds of the assistant's voice heard since the start or the last clear */
  reportPlayback(milliseconds) {
    this.#send({ type: "playback", played_ms: Math.round(milliseconds) });
  }

  /** Says goodbye and leaves the server a moment to answer. */
  end() {
    if (this.#socket.readyState !== WebSocket.OPEN) {
      this.#socket.close();
      return;
    }
    this.#send({ type: "end" });
    this.#goodbye ??= setTimeout(() => this.#socket.close(1000), GOODBYE_MS);
  }

  #send(message) {
    if (this.#socket.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify(message));
    }
  }

  #receive(data) {
    if (data instanceof ArrayBuffer) {
      this.#emit("audio", data);
      return;
    }
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    switch (message?.type) {
      case "audio":
        this.#emit("audio", Uint8Array.from(atob(message.data), (char) => char.charCodeAt(0)).buffer);
        return;
      case "session_started":
        this.#started = true;
        break;
      case "session_ended":
        this.#reason = message.reason;
        this.#socket.close(1000);
        break;
      case "error":
        this.#error = message.message;
        break;
      case undefined:
        return;
    }
    this.#emit(message.type, message);
  }

  #closed({ code, reason }) {
    clearTimeout(this.#goodbye);
    this.#emit("closed", {
      started: this.#started,
      code,
      reason: this.#reason ?? (reason || undefined),
      error: this.#error,
    });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** What may stand in a `Sec-WebSocket-Protocol` header. */
const SUBPROTOCOL = /^[\w!#$%&'*+.^`|~-]+$/;

/**
 * Opens a WebSocket to this server. A browser can set no header on one, so the token travels as a
 * subprotocol, or in the query if it has characters that a subprotocol must not have.
 *
 * @param {URL} url with http or https
 * @param {string} [token]
 */
export function openSocket(url, token) {
  const target = new URL(url);
  target.protocol = target.protocol === "https:" ? "wss:" : "ws:";
  if (!token) {
    return new WebSocket(target, "roomkit");
  }
  if (SUBPROTOCOL.test(token)) {
    return new WebSocket(target, ["roomkit", `token.${token}`]);
  }
  target.searchParams.set("token", token);
  return new WebSocket(target, "roomkit");
}
