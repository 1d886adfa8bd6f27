/** How long a call has lasted: told each second, from its start to its end. */

export class Clock {
  #show;
  #started = 0;
  #timer;

  /** @param {(time: string) => void} show called with a time such as "1:05" */
  constructor(show) {
    this.#show = show;
  }

  start() {
    this.stop();
    this.#started = performance.now();
    this.#timer = setInterval(() => this.#tell(), 1000);
    this.#tell();
  }

  /** The last time stays to be read. */
  stop() {
    clearInterval(this.#timer);
  }

  #tell() {
    const seconds = Math.round((performance.now() - this.#started) / 1000);
    this.#show(`${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`);
  }
}
