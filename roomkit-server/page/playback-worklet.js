/**
 * Wire to loudspeaker: PCM16 at the session's output rate in, mono float samples at the context's
 * rate out, with an account of what has been played since the last clear.
 */

import { Resampler } from "./resampler.js";
import { Ring } from "./ring.js";

/** Seconds of speech the ring may hold; what a server sends beyond that is dropped. */
const CAPACITY_SECONDS = 120;
/** Seconds to gather before starting from silence, so that network jitter makes no gaps. */
const PREBUFFER_SECONDS = 0.04;
/** Seconds over which cleared audio fades, so that the cut makes no click. */
const FADE_SECONDS = 0.005;
/** Seconds between two progress reports. */
const REPORT_SECONDS = 0.04;

class PlaybackProcessor extends AudioWorkletProcessor {
  #resampler;
  #ring = new Ring(Math.round(CAPACITY_SECONDS * sampleRate));
  #fading = new Float32Array(0);
  #playing = false;
  /** Context frame at which playing starts even when less than the prebuffer has come. */
  #startBy = 0;
  /** Counts clears, so that the page can tell reports from before and after one. */
  #epoch = 0;
  #played = 0;
  #energy = 0;
  #peak = 0;
  #measured = 0;
  #reportAt = 0;

  constructor({ processorOptions: { inputRate } }) {
    super();
    this.#resampler = new Resampler(inputRate, sampleRate);
    this.port.onmessage = ({ data }) => {
      if (data.type === "audio") {
        this.#enqueue(data.pcm);
      } else if (data.type === "clear") {
        this.#clear();
      }
    };
  }

  process(_inputs, [output]) {
    const channel = output[0];
    const due = this.#ring.length >= PREBUFFER_SECONDS * sampleRate || currentFrame >= this.#startBy;
    if (!this.#playing && this.#ring.length > 0 && due) {
      this.#playing = true;
    }
    const count = this.#playing ? this.#ring.read(channel) : 0;
    this.#played += count;
    this.#measure(channel.subarray(0, count));
    this.#mixFade(channel);

    const drained = this.#playing && this.#ring.length === 0;
    if (drained) {
      this.#playing = false;
    }
    if (drained || (this.#playing && currentFrame >= this.#reportAt)) {
      this.#report(count);
    }
    return true;
  }

  #enqueue(pcm) {
    const wire = new Int16Array(pcm, 0, pcm.byteLength >> 1);
    const samples = Float32Array.from(wire, (sample) => sample / 32768);
    if (this.#ring.length === 0 && !this.#playing) {
      this.#startBy = currentFrame + PREBUFFER_SECONDS * sampleRate;
    }
    this.#ring.write(this.#resampler.process(samples));
  }

  #clear() {
    const tail = new Float32Array(Math.round(FADE_SECONDS * sampleRate));
    if (this.#playing) {
      this.#ring.read(tail);
    }
    this.#fading = tail.map((sample, index) => sample * (1 - index / tail.length));
    this.#ring.clear();
    this.#resampler.reset();
    this.#playing = false;
    this.#epoch += 1;
    this.#played = 0;
    this.#report(0);
  }

  /** Adds the rest of a cleared sentence; it is not counted as played. */
  #mixFade(channel) {
    const count = Math.min(channel.length, this.#fading.length);
    for (let index = 0; index < count; index += 1) {
      channel[index] += this.#fading[index];
    }
    this.#fading = this.#fading.subarray(count);
  }

  #measure(samples) {
    for (const sample of samples) {
      this.#energy += sample * sample;
      this.#peak = Math.max(this.#peak, Math.abs(sample));
    }
    this.#measured += samples.length;
  }

  #report(rendered) {
    this.port.postMessage({
      epoch: this.#epoch,
      playedMs: (this.#played / sampleRate) * 1000,
      /** Context time at which the last counted sample leaves the graph, in seconds. */
      at: (currentFrame + rendered) / sampleRate,
      playing: this.#playing,
      frames: this.#measured,
      energy: this.#energy,
      peak: this.#peak,
    });
    this.#energy = 0;
    this.#peak = 0;
    this.#measured = 0;
    this.#reportAt = currentFrame + REPORT_SECONDS * sampleRate;
  }
}

registerProcessor("roomkit-playback", PlaybackProcessor);
