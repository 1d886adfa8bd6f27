/** A first-in first-out buffer of samples that grows by doubling up to a fixed capacity. */
export class Ring {
  #samples = new Float32Array(1 << 14);
  #start = 0;
  #length = 0;
  #capacity;

  /** @param {number} capacity most samples it holds; what is written beyond that is dropped */
  constructor(capacity) {
    this.#capacity = capacity;
  }

  /** Samples waiting to be read. */
  get length() {
    return this.#length;
  }

  /** @param {Float32Array} input */
  write(input) {
    const accepted = input.subarray(0, this.#capacity - this.#length);
    this.#reserve(this.#length + accepted.length);
    const end = (this.#start + this.#length) % this.#samples.length;
    const first = Math.min(accepted.length, this.#samples.length - end);
    this.#samples.set(accepted.subarray(0, first), end);
    this.#samples.set(accepted.subarray(first), 0);
    this.#length += accepted.length;
  }

  /**
   * Moves up to `output.length` samples into `output` and leaves the rest of it as it is.
   *
   * @param {Float32Array} output
   * @returns {number} samples moved
   */
  read(output) {
    const count = Math.min(output.length, this.#length);
    const first = Math.min(count, this.#samples.length - this.#start);
    output.set(this.#samples.subarray(this.#start, this.#start + first));
    output.set(this.#samples.subarray(0, count - first), first);
    this.#start = (this.#start + count) % this.#samples.length;
    this.#length -= count;
    return count;
  }

  clear() {
    this.#start = 0;
    this.#length = 0;
  }

  #reserve(needed) {
    if (needed <= this.#samples.length) {
      return;
    }
    let size = this.#samples.length;
    while (size < needed) {
      size *= 2;
    }
    const length = this.#length;
    const grown = new Float32Array(size);
    this.read(grown);
    this.#samples = grown;
    this.#start = 0;
    this.#length = length;
  }
}
