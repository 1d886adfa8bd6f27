/** A call over WebRTC: audio on tracks both ways, messages on a DataChannel, HTTP only to begin and to mend. */

import { Call, GOODBYE_MS } from "./call.js";
import { Signalling } from "./signalling.js";
import { PeerStats } from "./stats.js";

/** Milliseconds from the answer until the media must flow; longer means that the network does not let it. */
const CONNECT_MS = 10_000;
/** Milliseconds that a silent connection gets to come back by itself. */
const PATIENCE_MS = 3000;
/** How often in a row a new way is looked for, and the milliseconds each attempt gets. */
const RESTARTS = 3;
const RESTART_MS = 6000;

/** Dispatches, beside what every `Call` does, `remote_audio` with the assistant's `MediaStream`. */
export class WebRtcCall extends Call {
  static transport = "webrtc";

  #signalling;
  #peer;
  #channel;
  #sender;
  #timer;
  #goodbye;
  #wasConnected = false;
  #restarts = 0;
  #microphone;
  /** True once the server may know of this call. */
  #offered = false;
  /** From when the connection is opened. */
  stats;

  /**
   * @param {{ url: URL, room?: string, participant?: string, token?: string, microphone?: MediaStreamTrack }} options
   */
  constructor({ microphone, ...options }) {
    super();
    this.#microphone = microphone;
    this.#signalling = new Signalling(options);
    this.#connect();
  }

  /** Another microphone from here on. */
  async replaceMicrophone(track) {
    this.#microphone = track;
    await this.#sender?.replaceTrack(track);
  }

  /** Says goodbye and leaves the server a moment to answer. */
  end() {
    if (this.#channel?.readyState !== "open") {
      this.#close({ code: 1000 });
      return;
    }
    this.send({ type: "end" });
    this.#goodbye ??= setTimeout(() => this.#close({ code: 1000 }), GOODBYE_MS);
  }

  /** Ends the call from a page that is about to go: the message may not get out any more, the request does. */
  leave() {
    this.send({ type: "end" });
    this.#signalling.leave();
  }

  hangUp() {
    this.#close({ code: 1000 });
  }

  send(message) {
    if (this.#channel?.readyState === "open") {
      this.#channel.send(JSON.stringify(message));
    }
  }

  async #connect() {
    try {
      const iceServers = await this.#signalling.iceServers();
      if (this.closed) {
        return;
      }
      const peer = this.#open(iceServers);
      await peer.setLocalDescription();
      this.#offered = true;
      const answer = await this.#signalling.offer(peer.localDescription);
      if (this.closed) {
        // Cancelled meanwhile; the server has only now heard of it.
        this.#signalling.leave();
        return;
      }
      await peer.setRemoteDescription(answer);
      if (!this.#wasConnected) {
        this.#timer = setTimeout(() => this.#close({ code: 1006, unreachable: true }), CONNECT_MS);
      }
    } catch (refusal) {
      this.#close({ code: 1006, refusal });
    }
  }

  #open(iceServers) {
    const peer = new RTCPeerConnection({ iceServers });
    this.#peer = peer;
    this.stats = new PeerStats(peer);
    this.#channel = peer.createDataChannel("roomkit", { ordered: true });
    this.#channel.onmessage = ({ data }) => typeof data === "string" && this.receive(data);
    this.#channel.onclose = () => this.#close({ code: 1006 });
    const direction = this.#microphone ? "sendrecv" : "recvonly";
    this.#sender = peer.addTransceiver(this.#microphone ?? "audio", { direction }).sender;
    peer.ontrack = ({ track }) => this.emit("remote_audio", new MediaStream([track]));
    peer.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) {
        // One that is lost is no harm: there are others, and a restart sends them anew.
        this.#signalling.candidate(candidate).catch(() => {});
      }
    };
    peer.onconnectionstatechange = () => this.#follow(peer.connectionState);
    return peer;
  }

  #follow(state) {
    switch (state) {
      case "connected":
        clearTimeout(this.#timer);
        this.#wasConnected = true;
        this.#restarts = 0;
        this.emit("connection", "connected");
        break;
      case "disconnected":
        if (this.#restarts === 0) {
          this.emit("connection", "interrupted");
          clearTimeout(this.#timer);
          this.#timer = setTimeout(() => this.#restart(), PATIENCE_MS);
        }
        break;
      case "failed":
        if (this.#wasConnected) {
          this.#restart();
        } else {
          this.#close({ code: 1006, unreachable: true });
        }
        break;
    }
  }

  /** Looks for a new way to the same session. */
  async #restart() {
    clearTimeout(this.#timer);
    if (this.closed) {
      return;
    }
    if (this.#restarts === RESTARTS) {
      this.#close({ code: 1006 });
      return;
    }
    this.#restarts += 1;
    const attempt = this.#restarts;
    this.emit("connection", "restoring");
    this.#timer = setTimeout(() => this.#restart(), RESTART_MS);
    const isStale = () => this.closed || this.#restarts !== attempt;
    try {
      await this.#peer.setLocalDescription(await this.#peer.createOffer({ iceRestart: true }));
      const signal = AbortSignal.timeout(RESTART_MS);
      const answer = await this.#signalling.offer(this.#peer.localDescription, { restart: true, signal });
      if (!isStale()) {
        await this.#peer.setRemoteDescription(answer);
      }
    } catch ({ status }) {
      // The server is there and knows the session no more. Anything else may be better at the next attempt.
      if (!isStale() && status >= 400 && status < 500) {
        this.#close({ code: 1006 });
      }
    }
  }

  #close(end) {
    if (this.closed) {
      return;
    }
    clearTimeout(this.#timer);
    clearTimeout(this.#goodbye);
    if (this.#offered && this.reason === undefined && end.refusal === undefined) {
      this.#signalling.leave();
    }
    this.finish(end);
    this.#peer?.close();
  }
}
