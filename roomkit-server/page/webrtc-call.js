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
/** What a server says that does not know the session any more. Whatever else it refuses, the call may come back without it. */
const GONE = new Set([404, 410]);

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
  /** In a row, without a connection between them. */
  #restarts = 0;
  /** The latest of all, whose answer alone counts. */
  #attempt = 0;
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

  /** A browser throws what is longer than the other side says it takes. */
  get largestMessage() {
    return this.#peer?.sctp?.maxMessageSize ?? super.largestMessage;
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
    const isOpen = this.#channel?.readyState === "open";
    if (isOpen) {
      this.#channel.send(JSON.stringify(message));
    }
    return isOpen;
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
      if (this.#peer.connectionState === "connected") {
        this.#follow("connected");
      } else {
        this.#close({ code: 1006 });
      }
      return;
    }
    this.#restarts += 1;
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.emit("connection", "restoring");
    this.#timer = setTimeout(() => this.#restart(), RESTART_MS);
    const isStale = () => this.closed || this.#attempt !== attempt;
    try {
      await this.#peer.setLocalDescription(await this.#peer.createOffer({ iceRestart: true }));
      const signal = AbortSignal.timeout(RESTART_MS);
      const answer = await this.#signalling.offer(this.#peer.localDescription, { restart: true, signal });
      if (isStale()) {
        return;
      }
      // Even if the connection has come back meanwhile: the server knows it by new credentials only.
      await this.#peer.setRemoteDescription(answer);
      if (this.#peer.connectionState === "connected") {
        // It may have been all the while, and then nobody tells us.
        this.#follow("connected");
      }
    } catch ({ status }) {
      if (isStale()) {
        return;
      }
      if (GONE.has(status)) {
        this.#close({ code: 1006 });
      } else if (this.#restarts === 0) {
        // Back, but the server may have had the offer, and then it does not last.
        this.#restart();
      }
      // Anything else may be better at the next attempt.
    }
  }

  #close(end) {
    if (this.closed) {
      return;
    }
    clearTimeout(this.#timer);
    clearTimeout(this.#goodbye);
    // A server that has refused the offer has nobody to let go. One whose answer was lost, or is of no use, has.
    const refused = end.refusal?.status >= 400;
    if (this.#offered && this.reason === undefined && !refused) {
      this.#signalling.leave();
    }
    this.finish(end);
    this.#peer?.close();
  }
}
