/** The loudspeaker of a WebRTC call: the browser plays the track, and this listens in on it. */

import { meter } from "./level.js";

/** Loudness (RMS, 0 to 1) beneath which there is nothing to hear. */
const SILENCE = 0.002;
/** Seconds of silence that end a stretch of speech; shorter ones are pauses in it. */
const PAUSE_SECONDS = 0.4;
/** Milliseconds for which what still waits in the browser's buffer is silenced after a clear. */
const REST_MS = 120;

/** Does for a track what `Speaker` does for frames. */
export class RemoteAudio {
  #element = new Audio();
  #source;
  #gate;
  #onProgress;
  #onBlock;
  #playing = false;
  /** Silence since the last sound: part of the speech if it goes on. */
  #pause = { frames: 0, energy: 0 };
  #heardAt = 0;
  #heardMs = 0;
  #rest;

  /**
   * @param {AudioContext | undefined} context without one it plays, and nothing is known of it
   * @param {MediaStream} stream
   * @param {(report: object) => void} onProgress as that of `Speaker`
   * @param {(block: object) => void} onBlock as that of `meter`
   * @param {(play: () => void) => void} onRefused the browser wants a click before it plays; what is given plays then
   */
  constructor(context, stream, onProgress, onBlock, onRefused) {
    this.#onProgress = onProgress;
    this.#onBlock = onBlock;
    this.#element.srcObject = stream;
    // Played by an element, not by the graph: it follows the sender's clock, and every browser lets one choose its device.
    this.#play(onRefused);
    // Nobody presses pause: it was the system, for a phone call or another device.
    this.#element.addEventListener("pause", () => this.#element.srcObject && this.#play(onRefused));
    if (context) {
      this.#source = context.createMediaStreamSource(stream);
      this.#gate = context.createGain();
      this.#source.connect(this.#gate);
      meter(this.#gate, (block) => this.#take(block));
    }
  }

  /** Silences the rest of what was cut off, and starts counting from zero. */
  clear() {
    this.#playing = false;
    this.#heardMs = 0;
    this.#silence(true);
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => this.#silence(false), REST_MS);
  }

  /** Milliseconds of speech that have been heard since the last clear. */
  get heardMs() {
    return this.#heardMs;
  }

  /** @param {string} id a device, "" for the system's default */
  async useDevice(id) {
    await this.#element.setSinkId?.(id);
  }

  stop() {
    clearTimeout(this.#rest);
    this.#source?.disconnect();
    this.#gate?.disconnect();
    this.#element.srcObject = null;
  }

  #play(onRefused) {
    this.#element.play().catch((error) => {
      // Anything else is a call that has ended before it was heard.
      if (error.name === "NotAllowedError") {
        onRefused(() => this.#play(onRefused));
      }
    });
  }

  #silence(silent) {
    this.#element.muted = silent;
    if (this.#gate) {
      this.#gate.gain.value = silent ? 0 : 1;
    }
  }

  #take(block) {
    this.#onBlock(block);
    const { at, frames, energy, peak, rms } = block;
    if (rms > SILENCE) {
      const pause = this.#playing ? this.#pause : { frames: 0, energy: 0 };
      this.#playing = true;
      this.#heardAt = at;
      this.#pause = { frames: 0, energy: 0 };
      this.#report(pause.frames + frames, pause.energy + energy, peak);
    } else if (this.#playing) {
      this.#pause.frames += frames;
      this.#pause.energy += energy;
      this.#playing = at - this.#heardAt < PAUSE_SECONDS;
      this.#report(0, 0, 0);
    }
  }

  #report(frames, energy, peak) {
    this.#heardMs += (frames / this.#gate.context.sampleRate) * 1000;
    this.#onProgress({ playing: this.#playing, frames, energy, peak });
  }
}
