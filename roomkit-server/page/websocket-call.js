/** A call over the server's WebSocket: messages as text, audio both ways as binary PCM16 frames. */

import { Call, GOODBYE_MS } from "./call.js";
import { Pulse } from "./pulse.js";
import { openSocket } from "./socket.js";
import { SocketStats } from "./stats.js";

/**
 * Bytes waiting in the socket beyond which new microphone frames are dropped: a second of voice. What is older is
 * no conversation, and the questions whether the server is there wait behind it.
 */
const MAX_BUFFERED = 48_000;

/** Dispatches, beside what every `Call` does, `audio` with the PCM16 `ArrayBuffer` as `detail`. */
export class WebSocketCall extends Call {
  static transport = "websocket";

  #socket;
  #pulse = new Pulse({
    ask: (id) => this.send({ type: "ping", id }),
    onLate: () => this.emit("connection", "interrupted"),
    onBack: () => this.emit("connection", "connected"),
    onLost: () => this.#lost(),
  });
  #goodbye;
  /** The person wants it: however the socket closes, that is no failure. */
  #ending = false;
  #sentFrames = 0;
  #droppedFrames = 0;
  stats = new SocketStats(this);

  /** @param {{ url: URL, room?: string, participant?: string, token?: string }} options */
  constructor({ url, room, participant, token }) {
    super();
    const target = new URL(url);
    target.searchParams.set("audio", "binary");
    if (room) {
      target.searchParams.set("room", room);
    }
    if (participant) {
      target.searchParams.set("participant", participant);
    }
    this.#socket = openSocket(target, token);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => {
      this.emit("connection", "connected");
      this.#pulse.start();
    };
    this.addEventListener("pong", ({ detail }) => this.#pulse.answered(detail.id));
    this.#socket.onmessage = ({ data }) => this.#take(data);
    this.#socket.onclose = ({ code, reason }) => {
      clearTimeout(this.#goodbye);
      this.finish({ code: this.#ending ? 1000 : code, reason });
    };
  }

  /** @returns {boolean} false when the frame was dropped because the network is too slow */
  sendAudio(pcm) {
    if (this.#socket.readyState !== WebSocket.OPEN || this.#socket.bufferedAmount > MAX_BUFFERED) {
      this.#droppedFrames += 1;
      return false;
    }
    this.#socket.send(pcm);
    this.#sentFrames += 1;
    return true;
  }

  /** Milliseconds to the server and back, as far as they are known. */
  get roundTripMs() {
    return this.#pulse.roundTripMs;
  }

  /** Share (0 to 1) of the microphone's frames that were dropped. */
  get loss() {
    const all = this.#sentFrames + this.#droppedFrames;
    return all === 0 ? 0 : this.#droppedFrames / all;
  }

  /** @param {number} milliseconds of the assistant's voice heard since the start or the last clear */
  reportPlayback(milliseconds) {
    this.send({ type: "playback", played_ms: Math.round(milliseconds) });
  }

  /** Says goodbye and leaves the server a moment to answer. */
  end() {
    this.#ending = true;
    if (this.#socket.readyState !== WebSocket.OPEN) {
      this.hangUp();
      return;
    }
    this.send({ type: "end" });
    this.#goodbye ??= setTimeout(() => this.hangUp(), GOODBYE_MS);
  }

  /** Ends the call from a page that is about to go. */
  leave() {
    this.end();
  }

  hangUp() {
    clearTimeout(this.#goodbye);
    this.#socket.close(1000);
    if (this.#ending) {
      // On a network that is gone, a browser waits a minute for the other side to close.
      this.finish({ code: 1000 });
    }
  }

  send(message) {
    const isOpen = this.#socket.readyState === WebSocket.OPEN;
    if (isOpen) {
      this.#socket.send(JSON.stringify(message));
    }
    return isOpen;
  }

  finish(end) {
    this.#pulse.stop();
    super.finish(end);
  }

  /** The network is gone, and the browser does not know it yet. The server does not know it either, so nothing is resumed. */
  #lost() {
    this.#socket.close();
    this.finish({ code: this.#ending ? 1000 : 1006 });
  }

  #take(data) {
    this.#pulse.heard();
    if (data instanceof ArrayBuffer) {
      this.emit("audio", data);
    } else {
      this.receive(data);
    }
  }
}
