/** The ways to the server: which there are, which is taken, and a call on it. */

import { WebRtcCall } from "./webrtc-call.js";
import { WebSocketCall } from "./websocket-call.js";

/** What this page can speak, the preferred one first. */
const KNOWN = { webrtc: WebRtcCall, websocket: WebSocketCall };
/** How people call them. */
export const NAMES = { webrtc: "WebRTC", websocket: "WebSocket" };
const PARAMETER = "transport";

export class Transports {
  /** Paths by name; undefined until the server has told. */
  #paths;
  #wanted = new URLSearchParams(location.search).get(PARAMETER) ?? undefined;

  /** Asks the server, unless it has answered before. @throws {TypeError} where no server answers */
  async load() {
    if (this.#paths) {
      return;
    }
    const response = await fetch(new URL("page/config.json", document.baseURI));
    const { transports } = await response.json();
    // Where one is mounted twice, the first is meant.
    this.#paths = new Map(transports.reverse().map(({ name, path }) => [name, path]));
  }

  /** Whether the server has told. */
  get known() {
    return this.#paths !== undefined;
  }

  /** Whether this server and this browser have it. */
  offers(name) {
    const possible = name !== "webrtc" || "RTCPeerConnection" in window;
    return possible && name in KNOWN && (this.#paths?.has(name) ?? false);
  }

  /** The name of the one that the next call takes; undefined if there is none. */
  get chosen() {
    return [this.#wanted, ...Object.keys(KNOWN)].find((name) => this.offers(name));
  }

  /** Kept in the address, so that a link or a reload means the same. */
  choose(name) {
    this.#wanted = name;
    const url = new URL(location.href);
    url.searchParams.set(PARAMETER, name);
    history.replaceState(history.state, "", url);
  }

  /** @param {{ room?: string, participant?: string, token?: string, microphone?: MediaStreamTrack }} options */
  call(options) {
    const name = this.chosen;
    // Relative to the page, which may be served beneath a path of its own.
    const url = new URL(this.#paths.get(name).replace(/^\//, ""), document.baseURI);
    return new KNOWN[name]({ url, ...options });
  }
}
