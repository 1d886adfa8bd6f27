/** The loudness of what passes by, in blocks of about 10 ms, each with the time at which it ends. */

const BLOCK_SECONDS = 0.01;

class LevelProcessor extends AudioWorkletProcessor {
  #frames = 0;
  #energy = 0;
  #peak = 0;

  process([input]) {
    const channel = input[0];
    if (channel === undefined) {
      return true;
    }
    for (const sample of channel) {
      this.#energy += sample * sample;
      this.#peak = Math.max(this.#peak, Math.abs(sample));
    }
    this.#frames += channel.length;
    if (this.#frames >= BLOCK_SECONDS * sampleRate) {
      this.port.postMessage({
        at: (currentFrame + channel.length) / sampleRate,
        frames: this.#frames,
        energy: this.#energy,
        peak: this.#peak,
      });
      this.#frames = 0;
      this.#energy = 0;
      this.#peak = 0;
    }
    return true;
  }
}

registerProcessor("roomkit-level", LevelProcessor);
