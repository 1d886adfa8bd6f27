/**
 * How long the answer takes: from the end of the user's speech to the first sound of the assistant's
 * voice, both as the page hears them. The server says which sound of the microphone was speech and that
 * it is over; when it ended is taken from the microphone itself, because the server only knows later.
 */

/** Loudness (RMS, 0 to 1) of the assistant's voice beneath which there is nothing to hear. */
const SILENCE = 0.002;
/** Seconds without a sound from which on the next one is a beginning. */
const PAUSE_SECONDS = 0.2;
/** The microphone is loud at this, and at so many times the noise of the room. */
const SPEECH = 0.008;
const ABOVE_NOISE = 3;
/** How fast the estimate of the noise may rise, each block. */
const NOISE_RISE = 1.005;
/** Seconds after the last loud moment beyond which it was not the end of what the server heard. */
const LONGEST_WAIT = 3;
/** Seconds after which what is heard answers something else: the AI may be silent to what was no question. */
const LONGEST_ANSWER = 30;

export class Latency {
  #show;
  #noise = 1;
  #loudAt = -Infinity;
  #voiceAt = -Infinity;
  #speaking = false;
  /** When the speech that waits for an answer ended. */
  #endedAt;

  /** @param {(milliseconds: number) => void} show called once each turn */
  constructor(show) {
    this.#show = show;
  }

  /** @param {{ at: number, rms: number }} block of the microphone; times are the audio context's, in seconds */
  microphone({ at, rms }) {
    this.#noise = Math.min(rms, Math.max(this.#noise, 1e-4) * NOISE_RISE);
    if (rms > Math.max(SPEECH, ABOVE_NOISE * this.#noise)) {
      this.#loudAt = at;
    }
  }

  /** @param {boolean} speaking what the server says of the user @param {number} now */
  userSpeaking(speaking, now) {
    if (!speaking && this.#speaking) {
      this.#endedAt = now - this.#loudAt < LONGEST_WAIT ? this.#loudAt : now;
    } else if (speaking) {
      this.#endedAt = undefined;
    }
    this.#speaking = speaking;
  }

  /** The user has typed: what is heard from here on answers that. */
  typed() {
    this.#endedAt = undefined;
  }

  /** @param {{ at: number, frames: number, rms: number }} block of the assistant's voice @param {number} delay seconds from the graph to the ear */
  assistant({ at, rms }, delay) {
    if (rms <= SILENCE) {
      return;
    }
    const begins = at - this.#voiceAt > PAUSE_SECONDS;
    this.#voiceAt = at;
    if (!begins) {
      return;
    }
    // The first sound may overtake the word that the user is done.
    const quiet = this.#speaking && at - this.#loudAt > PAUSE_SECONDS && at - this.#loudAt < LONGEST_WAIT;
    const endedAt = this.#endedAt ?? (quiet ? this.#loudAt : undefined);
    if (endedAt !== undefined) {
      this.#endedAt = undefined;
      this.#speaking = false;
      if (at - endedAt < LONGEST_ANSWER) {
        this.#show((at + delay - endedAt) * 1000);
      }
    }
  }
}
