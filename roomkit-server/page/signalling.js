/** What a WebRTC call asks of the server over HTTP: its ICE servers, and answers to offers. */

import { randomId } from "./random-id.js";

/** Where the server says no. */
export class SignallingError extends Error {
  /** @param {number} status HTTP status, 0 where no server answered @param {string} [code] for programs */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The signalling of one call. */
export class Signalling {
  #base;
  #offers;
  #headers;
  #id = randomId();

  /** @param {{ url: URL, room?: string, participant?: string, token?: string }} options */
  constructor({ url, room, participant, token }) {
    this.#base = url.href.replace(/\/$/, "");
    this.#offers = new URL(`${this.#base}/webrtc/offer`);
    if (room) {
      this.#offers.searchParams.set("room", room);
    }
    if (participant) {
      this.#offers.searchParams.set("participant", participant);
    }
    this.#headers = token ? { authorization: `Bearer ${token}` } : {};
  }

  /** @returns {Promise<RTCIceServer[]>} */
  async iceServers() {
    const { ice_servers: servers } = await this.#request(`${this.#base}/webrtc/config`);
    return servers ?? [];
  }

  /**
   * @param {RTCSessionDescription} description an offer
   * @param {{ restart?: boolean, signal?: AbortSignal }} [options] `restart` for a call that lives already
   * @returns {Promise<RTCSessionDescriptionInit>} the answer
   */
  async offer({ sdp, type }, { restart, signal } = {}) {
    return this.#post({ sdp, type, restart }, signal);
  }

  /** @param {RTCIceCandidate} candidate one of ours; may be sent before the offer is answered */
  async candidate({ candidate, sdpMid, sdpMLineIndex }) {
    await this.#post({ type: "ice-candidate", candidate: { candidate, sdpMid, sdpMLineIndex } });
  }

  /** Ends the call by name, even from a page that is about to go. */
  leave() {
    const url = `${this.#base}/webrtc/offer/${this.#id}`;
    fetch(url, { method: "DELETE", keepalive: true, headers: this.#headers }).catch(() => {});
  }

  #post(body, signal) {
    return this.#request(this.#offers, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...body, webrtc_id: this.#id }),
      signal,
    });
  }

  async #request(url, { headers, ...options } = {}) {
    let response;
    try {
      response = await fetch(url, { ...options, headers: { ...headers, ...this.#headers } });
    } catch (error) {
      throw new SignallingError(0, "unreachable", error.message);
    }
    const body = await response.json().catch(() => undefined);
    if (!response.ok || body?.status === "failed") {
      // Signalling has its own form of a refusal; what stands before it speaks like the rest of the server.
      const { error: code = body?.code, message = body?.message } = body?.meta ?? {};
      throw new SignallingError(response.status, code, message ?? `The server answered ${response.status}.`);
    }
    return body;
  }
}
