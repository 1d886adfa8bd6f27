/** The microphone and the loudspeaker of one call, each an AudioWorklet behind a small class. */

import { meter } from "./level.js";

const MODULES = ["./capture-worklet.js", "./level-worklet.js", "./playback-worklet.js"];

/** True where the browser gives a page microphones and worklets: https, or this machine. */
export function audioSupported() {
  return window.isSecureContext && "AudioWorkletNode" in window;
}

/** Loads the worklets into the context and sets it going. */
export async function openAudio(context) {
  // Not waited for: without a sound device it would never come, and text still works.
  context.resume();
  await Promise.all(
    MODULES.map((module) => context.audioWorklet.addModule(new URL(module, import.meta.url))),
  );
}

/**
 * Asks the person for the microphone. Rejects with the browser's `DOMException`.
 *
 * @param {string} [device] the one that is wanted; without it, or where it is gone, the system's default
 */
export async function openMicrophone(device) {
  const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  const open = (wanted) => navigator.mediaDevices.getUserMedia({ audio: { ...audio, ...wanted } });
  if (!device) {
    return open();
  }
  try {
    return await open({ deviceId: { exact: device } });
  } catch (error) {
    if (error.name !== "OverconstrainedError") {
      throw error;
    }
    return open();
  }
}

/** Milliseconds that an audio graph gets to go on again. */
const STOPPED_MS = 1000;

/**
 * Keeps an audio graph going that the system stops, as it does for a phone call: it is set going again at once, when the
 * page is seen again and at each gesture.
 *
 * @param {(resume: () => void) => void} onStopped it stays stopped; what is given tries once more, as the answer to a gesture
 * @param {() => void} onGoing it goes again, or is closed
 */
export function keepGoing(context, onStopped, onGoing) {
  const closed = new AbortController();
  // Without a sound device it never begins, and that is no news.
  let hasBegun = false;
  let timer;
  const resume = () => {
    if (hasBegun && context.state !== "running") {
      // Refused while the system has the sound, or where a gesture is wanted.
      context.resume().catch(() => {});
    }
  };
  context.addEventListener("statechange", () => {
    clearTimeout(timer);
    if (context.state === "running" || context.state === "closed") {
      hasBegun = context.state === "running";
      onGoing();
    } else if (hasBegun) {
      resume();
      timer = setTimeout(() => onStopped(resume), STOPPED_MS);
    }
    if (context.state === "closed") {
      closed.abort();
    }
  });
  for (const type of ["visibilitychange", "pointerdown", "keydown"]) {
    document.addEventListener(type, resume, { signal: closed.signal });
  }
}

/** What a person can do about a microphone that did not open. */
export function explainMicrophone(error) {
  if (!window.isSecureContext) {
    return "Browsers only allow the microphone on secure pages. Open this page over https, or at http://localhost on this machine.";
  }
  switch (error?.name) {
    case "NotAllowedError":
      return "The browser was not allowed to use the microphone. Allow it in the site settings beside the address, then start again.";
    case "NotFoundError":
      return "No microphone was found. Connect one, then start again.";
    case "NotReadableError":
      return "The microphone is in use by another program, or the system refused it. Free it, then start again.";
    default:
      return `The microphone could not be opened: ${error?.message ?? "unknown reason"}`;
  }
}

export class Microphone {
  #context;
  #stream;
  #source;
  #node;
  /** One for all devices: a worklet runs for as long as its context does. */
  #level;
  #onBlock;
  #onLost;
  #muted = false;
  #isStopped = false;

  /**
   * @param {MediaStream} stream from `openMicrophone`
   * @param {(block: object) => void} onBlock as that of `meter`
   */
  constructor(context, stream, onBlock) {
    this.#context = context;
    this.#onBlock = onBlock;
    this.#listen(stream, context.createMediaStreamSource(stream));
  }

  /** The track, for a call that sends it as it is. */
  get track() {
    return this.#stream.getAudioTracks()[0];
  }

  /**
   * Starts the flow of 20 ms frames, for a call that sends those.
   *
   * @param {number} rate Hz of the frames
   * @param {(pcm: ArrayBuffer) => void} onFrame PCM16
   */
  start(rate, onFrame) {
    this.#node = new AudioWorkletNode(this.#context, "roomkit-capture", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { outputRate: rate },
    });
    this.#node.port.onmessage = ({ data }) => onFrame(data);
    this.#source.connect(this.#node);
  }

  /**
   * Goes on with another device, once it is known to work; until then with the one it has.
   *
   * @param {MediaStream} stream
   * @param {(track: MediaStreamTrack) => Promise<void>} [send] gives it to a call that sends the track
   * @returns {Promise<void>} rejects where the stream cannot be used, and is stopped
   */
  async replace(stream, send) {
    const [track] = stream.getAudioTracks();
    try {
      track.enabled = !this.#muted;
      const source = this.#context.createMediaStreamSource(stream);
      await send?.(track);
      if (this.#isStopped) {
        source.disconnect();
        throw new Error("the call is over");
      }
      this.#release();
      this.#listen(stream, source);
      this.muted = this.#muted;
      if (this.#node) {
        source.connect(this.#node);
      }
    } catch (error) {
      track.stop();
      throw error;
    }
  }

  /** Whether its device has gone away. */
  get isLost() {
    return this.track.readyState === "ended";
  }

  /** Calls back when the device goes away in the middle of a call. */
  onLost(callback) {
    this.#onLost = callback;
  }

  /** Silences the device itself, so that the browser's own indicator agrees with the page. */
  set muted(muted) {
    this.#muted = muted;
    this.track.enabled = !muted;
  }

  stop() {
    this.#isStopped = true;
    this.#release();
  }

  #release() {
    this.#source.disconnect();
    for (const track of this.#stream.getTracks()) {
      track.stop();
    }
  }

  #listen(stream, source) {
    this.#stream = stream;
    this.#source = source;
    if (this.#level) {
      this.#source.connect(this.#level);
    } else {
      this.#level = meter(this.#source, this.#onBlock);
    }
    const { track } = this;
    track.addEventListener("ended", () => track === this.track && this.#onLost?.());
  }
}

export class Speaker {
  #context;
  #node;
  #epoch = 0;
  /** Reports whose samples may still be on their way to the ear, oldest first. */
  #reports = [];
  #heardMs = 0;

  /**
   * @param {number} rate Hz of what `play` gets
   * @param {(report: object) => void} onProgress about 25 times a second while something plays
   * @param {(block: object) => void} onBlock as that of `meter`
   */
  constructor(context, rate, onProgress, onBlock) {
    this.#context = context;
    this.#node = new AudioWorkletNode(context, "roomkit-playback", {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: { inputRate: rate },
    });
    this.#node.port.onmessage = ({ data }) => {
      if (data.epoch === this.#epoch) {
        this.#reports.push(data);
        onProgress(data);
      }
    };
    this.#node.connect(context.destination);
    meter(this.#node, onBlock);
  }

  /** @param {ArrayBuffer} pcm PCM16, mono; the buffer is handed over */
  play(pcm) {
    this.#node.port.postMessage({ type: "audio", pcm }, [pcm]);
  }

  /** Drops everything not yet played and starts counting from zero. */
  clear() {
    this.#epoch += 1;
    this.#reports = [];
    this.#heardMs = 0;
    this.#node.port.postMessage({ type: "clear" });
  }

  /** Milliseconds that have reached the ear since the last clear: what was rendered, less the device's delay. */
  get heardMs() {
    const delay = this.#context.outputLatency || this.#context.baseLatency || 0;
    const heardUpTo = this.#context.currentTime - delay;
    while (this.#reports.length > 0 && this.#reports[0].at <= heardUpTo) {
      this.#heardMs = this.#reports.shift().playedMs;
    }
    return this.#heardMs;
  }

  /** @param {string} id a device, "" for the system's default */
  async useDevice(id) {
    await this.#context.setSinkId?.(id);
  }

  stop() {
    this.#node.disconnect();
  }
}
