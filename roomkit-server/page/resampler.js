/**
 * Streaming sample-rate conversion with a polyphase, linear-phase FIR low-pass.
 *
 * Plain numbers and typed arrays only: both audio worklets import it, and so can a test.
 */

/** Filter taps per phase where the rate does not fall; a decimation gets proportionally more. */
const BASE_TAPS = 64;
/** Pass band edge as a share of the lower rate's Nyquist frequency. */
const CUTOFF = 0.9;
/** Kaiser window shape: about 80 dB of stop-band attenuation. */
const KAISER_BETA = 8;

export class Resampler {
  #up;
  #down;
  #taps;
  #phases;
  #phase = 0;
  /** Input samples to pass over before the next output's window begins. */
  #skip = 0;
  #pending;

  /**
   * @param {number} inputRate Hz, a whole number
   * @param {number} outputRate Hz, a whole number
   */
  constructor(inputRate, outputRate) {
    const divisor = greatestCommonDivisor(inputRate, outputRate);
    this.#up = outputRate / divisor;
    this.#down = inputRate / divisor;
    if (this.#up === this.#down) {
      return;
    }
    this.#taps = 2 * Math.ceil((BASE_TAPS / 2) * Math.max(1, inputRate / outputRate));
    const cutoff = CUTOFF * Math.min(1, outputRate / inputRate);
    this.#phases = Array.from({ length: this.#up }, (_, phase) =>
      lowPass(this.#taps, phase / this.#up, cutoff),
    );
    this.reset();
  }

  /** Forgets everything heard so far, so that the next input starts from silence. */
  reset() {
    if (this.#taps === undefined) {
      return;
    }
    this.#pending = new Float32Array(this.#taps - 1);
    this.#phase = 0;
    this.#skip = 0;
  }

  /**
   * Converts one block. Over a stream, N input samples give N x outputRate / inputRate output
   * samples: the filter's delay is at the front, nothing is held back.
   *
   * @param {Float32Array} input
   * @returns {Float32Array}
   */
  process(input) {
    if (this.#taps === undefined) {
      return input;
    }
    const samples = new Float32Array(this.#pending.length + input.length);
    samples.set(this.#pending);
    samples.set(input, this.#pending.length);

    const taps = this.#taps;
    const windows = Math.max(0, samples.length - this.#skip - taps + 1);
    const output = new Float32Array(Math.ceil((windows * this.#up) / this.#down));
    let written = 0;
    let start = this.#skip;
    while (start + taps <= samples.length) {
      const filter = this.#phases[this.#phase];
      let sum = 0;
      for (let tap = 0; tap < taps; tap += 1) {
        sum += filter[tap] * samples[start + tap];
      }
      output[written] = sum;
      written += 1;
      this.#phase += this.#down;
      start += Math.floor(this.#phase / this.#up);
      this.#phase %= this.#up;
    }
    const kept = Math.min(start, samples.length);
    this.#pending = samples.slice(kept);
    this.#skip = start - kept;
    return output.subarray(0, written);
  }
}

/** One phase of the prototype filter: unity gain at 0 Hz, centred between the middle taps. */
function lowPass(taps, fraction, cutoff) {
  const filter = new Float64Array(taps);
  const half = taps / 2;
  const center = half - 1 + fraction;
  let sum = 0;
  for (let tap = 0; tap < taps; tap += 1) {
    const distance = tap - center;
    filter[tap] = cutoff * sinc(cutoff * distance) * kaiser(distance / half);
    sum += filter[tap];
  }
  return Float32Array.from(filter, (value) => value / sum);
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function kaiser(position) {
  const inside = 1 - position * position;
  return inside <= 0 ? 0 : bessel(KAISER_BETA * Math.sqrt(inside)) / bessel(KAISER_BETA);
}

/** Modified Bessel function of the first kind, order zero. */
function bessel(x) {
  let term = 1;
  let sum = 1;
  for (let order = 1; term > sum * 1e-12; order += 1) {
    term *= (x / (2 * order)) ** 2;
    sum += term;
  }
  return sum;
}

function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
