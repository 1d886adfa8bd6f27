/** Whether the server still answers. On a network that is gone, a browser finds out only after minutes. */

/** Milliseconds between two questions. */
const BEAT_MS = 1000;
/** Milliseconds without any word from the server after which something is wrong. */
const LATE_MS = 5000;
/** Milliseconds after which nothing is waited for any more. */
const LOST_MS = 15_000;

export class Pulse {
  #ask;
  #onLate;
  #onBack;
  #onLost;
  #timer;
  #id = 0;
  /** When the question was asked that is not answered yet. */
  #askedAt;
  #heardAt = 0;
  #beatAt = 0;
  #isLate = false;
  #roundTripMs;

  /**
   * @param {object} options
   * @param {(id: number) => void} options.ask sends a `ping`
   * @param {() => void} options.onLate nothing has come for a while
   * @param {() => void} options.onBack something has come after all
   * @param {() => void} options.onLost nothing will come
   */
  constructor({ ask, onLate, onBack, onLost }) {
    this.#ask = ask;
    this.#onLate = onLate;
    this.#onBack = onBack;
    this.#onLost = onLost;
  }

  /** Milliseconds from the latest question to its answer; undefined where none comes. */
  get roundTripMs() {
    return this.#roundTripMs;
  }

  start() {
    this.#beat();
    this.#timer = setInterval(() => this.#beat(), BEAT_MS);
  }

  stop() {
    clearInterval(this.#timer);
  }

  /** Something has come, whatever it is. */
  heard() {
    this.#heardAt = performance.now();
    if (this.#isLate) {
      this.#isLate = false;
      this.#onBack();
    }
  }

  /** @param {number} id of the question that is answered */
  answered(id) {
    if (id === this.#id && this.#askedAt !== undefined) {
      this.#roundTripMs = performance.now() - this.#askedAt;
      this.#askedAt = undefined;
    }
  }

  #beat() {
    const now = performance.now();
    const slept = now - this.#beatAt > LATE_MS;
    this.#beatAt = now;
    if (slept) {
      // Its answer may be here and not handed over yet.
      this.#heardAt = now;
    }
    if (this.#askedAt === undefined) {
      this.#askedAt = now;
      this.#ask(++this.#id);
      return;
    }
    // By the question, not by the last word: the timers of a page that nobody looks at, or of a computer that
    // slept, beat seldom.
    const silentFor = now - Math.max(this.#askedAt, this.#heardAt);
    if (silentFor >= LOST_MS) {
      this.#onLost();
    } else if (silentFor >= LATE_MS && !this.#isLate) {
      this.#isLate = true;
      this.#roundTripMs = undefined;
      this.#onLate();
    }
  }
}
