/**
 * How well a call's connection does. `sample` gives what is known by now: `roundTripMs`, `lossIn` and
 * `lossOut` (0 to 1), `bufferMs` (how long audio waits before it is played); undefined what is not.
 */

/** Samples over which loss and buffer are measured, so that what happened long ago is forgotten. */
const WINDOW = 10;

/** Of a WebSocket. Its loss is what the page did not send because the network was too slow. */
export class SocketStats {
  #call;

  /** @param {import("./websocket-call.js").WebSocketCall} call */
  constructor(call) {
    this.#call = call;
  }

  async sample() {
    return { roundTripMs: this.#call.roundTripMs, lossOut: this.#call.loss };
  }
}

/** Of a peer connection. */
export class PeerStats {
  #peer;
  /** Counts of the latest samples, oldest first. */
  #history = [];

  /** @param {RTCPeerConnection} peer */
  constructor(peer) {
    this.#peer = peer;
  }

  async sample() {
    const all = [...(await this.#peer.getStats()).values()];
    const audio = (type) => all.find((stat) => stat.type === type && stat.kind === "audio");
    const remote = audio("remote-inbound-rtp");
    const roundTrip = usedPair(all)?.currentRoundTripTime ?? remote?.roundTripTime;
    return {
      roundTripMs: roundTrip === undefined ? undefined : roundTrip * 1000,
      lossOut: remote?.fractionLost,
      ...this.#received(audio("inbound-rtp")),
    };
  }

  #received(inbound) {
    if (!inbound) {
      return {};
    }
    this.#history.push(inbound);
    if (this.#history.length > WINDOW) {
      this.#history.shift();
    }
    const since = (count) => {
      const before = this.#history.length > 1 ? (this.#history[0][count] ?? 0) : 0;
      return (inbound[count] ?? 0) - before;
    };
    // A packet that comes after all is taken off the lost ones, so their number may fall.
    const lost = Math.max(0, since("packetsLost"));
    const expected = lost + since("packetsReceived");
    const emitted = since("jitterBufferEmittedCount");
    return {
      lossIn: expected > 0 ? lost / expected : undefined,
      bufferMs: emitted > 0 ? (since("jitterBufferDelay") / emitted) * 1000 : undefined,
    };
  }
}

/** The pair of candidates that carries the call. */
function usedPair(all) {
  const pairs = all.filter(({ type }) => type === "candidate-pair");
  const selected = all.find(({ type }) => type === "transport")?.selectedCandidatePairId;
  return pairs.find(({ id }) => id === selected) ?? pairs.find(({ nominated, state }) => nominated && state === "succeeded");
}
