/**
 * Microphone to wire: mono float samples at the context's rate in, 20 ms frames of PCM16 at the
 * session's input rate out.
 */

import { Resampler } from "./resampler.js";

const FRAMES_PER_SECOND = 50;

class CaptureProcessor extends AudioWorkletProcessor {
  #resampler;
  #frame;
  #filled = 0;

  constructor({ processorOptions: { outputRate } }) {
    super();
    this.#resampler = new Resampler(sampleRate, outputRate);
    this.#frame = new Int16Array(Math.round(outputRate / FRAMES_PER_SECOND));
  }

  process([input]) {
    // An input without channels is a track that has not started, or has ended.
    if (input.length > 0) {
      for (const sample of this.#resampler.process(input[0])) {
        this.#push(Math.max(-1, Math.min(1, sample)));
      }
    }
    return true;
  }

  #push(sample) {
    // Every platform a browser runs on is little-endian, as the wire is.
    this.#frame[this.#filled] = Math.round(sample * 32767);
    this.#filled += 1;
    if (this.#filled < this.#frame.length) {
      return;
    }
    const pcm = this.#frame.buffer;
    this.#frame = new Int16Array(this.#filled);
    this.#filled = 0;
    this.port.postMessage(pcm, [pcm]);
  }
}

registerProcessor("roomkit-capture", CaptureProcessor);
