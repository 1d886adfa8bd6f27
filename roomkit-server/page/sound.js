/** What a call sounds like, and what the page knows of it: the microphone, the voice, and how loud and how late they are. */

import { keepGoing, Microphone, openMicrophone, Speaker } from "./audio.js";
import { Latency } from "./latency.js";
import { RemoteAudio } from "./remote-audio.js";
import { counters, page } from "./state.js";

/** Milliseconds between two `playback` reports while the assistant is heard. */
const PLAYBACK_REPORT_MS = 200;

const STOPPED = "The browser has stopped the sound of this call.";

export class Sound {
  #status;
  #devices;
  #update;
  #onLatency;
  /** The one chosen that the call has, "" for the system's default. */
  #microphone = "";
  /** That of the call: its times are those of the call's audio context. */
  #latency;

  /**
   * @param {{ status: object, devices: object, update: (change: object) => void, onLatency: (ms: number) => void }} options
   */
  constructor({ status, devices, update, onLatency }) {
    this.#status = status;
    this.#devices = devices;
    this.#update = update;
    this.#onLatency = onLatency;
    this.#latency = new Latency(onLatency);
  }

  /** Sees to it that the call's audio graph goes on, whatever else the system lets sound. */
  keepGoing(context) {
    const onStopped = (resume) => {
      // A track sounds without the graph, which only measures it.
      if (page.transport !== "webrtc") {
        this.#status.banner(STOPPED, { label: "Resume sound", run: resume });
      }
    };
    keepGoing(context, onStopped, () => this.#status.withdraw(STOPPED));
  }

  /** @param {MediaStream} stream from `openMicrophone` */
  useMicrophone(stream) {
    const latency = this.#latency;
    this.#microphone = this.#devices.microphone;
    page.microphone = new Microphone(page.context, stream, (block) => {
      this.#status.level("user", page.muted ? 0 : block.rms);
      latency.microphone(block);
    });
    page.microphone.onLost(() => this.#microphoneLost());
    // Names are told only now, and the list shows what is in use.
    this.#devices.refresh();
  }

  /** Audio as frames of the call itself, both ways. */
  startFrames(call, { input_sample_rate: inputRate, output_sample_rate: outputRate }) {
    if (page.context !== undefined) {
      this.#useSpeaker(new Speaker(page.context, outputRate, ...this.#listeners()));
      reportPlayback(call, page.speaker);
    }
    page.microphone?.start(inputRate, (pcm) => sendFrame(call, pcm));
  }

  /** Audio as a track beside the call. @param {MediaStream} stream */
  playTrack(stream) {
    const refused = (play) =>
      this.#status.banner("The browser does not play the assistant's voice without a click.", { label: "Play", run: play });
    this.#useSpeaker(new RemoteAudio(page.context, stream, ...this.#listeners(), refused));
  }

  /** @param {ArrayBuffer} pcm a frame, handed over */
  playFrame(pcm) {
    counters.receivedAudioBytes += pcm.byteLength;
    page.speaker?.play(pcm);
  }

  clear() {
    page.speaker?.clear();
    this.#status.level("assistant", 0);
  }

  userSpeaking(speaking) {
    if (page.context !== undefined) {
      this.#latency.userSpeaking(speaking, page.context.currentTime);
    }
  }

  /** The person has typed to the AI. */
  typed() {
    this.#latency.typed();
  }

  /** Goes on with the microphone that has been chosen: the last one, however long each takes to open. */
  async changeMicrophone(device) {
    await this.#goOnWith(device, (problem) => `This microphone could not be opened: ${problem}`);
  }

  /** It was unplugged, or its battery is empty: what the system has instead goes on. */
  async #microphoneLost() {
    const isReplaced = this.#devices.microphone !== this.#microphone;
    this.#microphone = "";
    if (!isReplaced) {
      this.#devices.microphone = "";
      const advice = "You can still type, choose another one, or start again.";
      await this.#goOnWith("", (problem) => `The microphone was disconnected, and no other opened (${problem}). ${advice}`);
    }
  }

  async #goOnWith(device, explain) {
    const { microphone, call } = page;
    if (!microphone) {
      return;
    }
    const isWanted = () => page.microphone === microphone && this.#devices.microphone === device;
    try {
      const stream = await openMicrophone(device);
      if (!isWanted()) {
        stream.getTracks().forEach((track) => track.stop());
        return;
      }
      await microphone.replace(stream, (track) => call?.replaceMicrophone?.(track));
      this.#microphone = device;
    } catch (error) {
      if (isWanted()) {
        this.#devices.microphone = this.#microphone;
        this.#status.banner(explain(error.message));
        if (microphone.isLost && device !== "") {
          await this.#microphoneLost();
        }
      }
    }
  }

  async changeSpeaker(device) {
    try {
      await page.speaker?.useDevice(device);
    } catch (error) {
      this.#status.banner(`This speaker could not be used: ${error.message}`);
    }
  }

  async release() {
    const { context, microphone, speaker } = page;
    Object.assign(page, { context: undefined, microphone: undefined, speaker: undefined });
    this.#latency = new Latency(this.#onLatency);
    microphone?.stop();
    speaker?.stop();
    await context?.close();
  }

  #useSpeaker(speaker) {
    page.speaker?.stop();
    page.speaker = speaker;
    if (this.#devices.speaker !== "") {
      this.changeSpeaker(this.#devices.speaker);
    }
  }

  #listeners() {
    const { context } = page;
    const latency = this.#latency;
    return [
      (report) => this.#played(report),
      (block) => latency.assistant(block, context.outputLatency || context.baseLatency || 0),
    ];
  }

  /** Takes the loudspeaker's account of what it has just played. */
  #played({ playing, frames, energy, peak }) {
    if (page.context === undefined) {
      return;
    }
    counters.playedFrames += frames;
    counters.playedEnergy += energy;
    counters.playedPeak = Math.max(counters.playedPeak, peak);
    counters.playedMs += (frames / page.context.sampleRate) * 1000;
    this.#status.level("assistant", playing && frames > 0 ? Math.sqrt(energy / frames) : 0);
    if (playing !== page.playing) {
      this.#update({ playing });
    }
  }
}

function sendFrame(call, pcm) {
  if (page.muted) {
    return;
  }
  if (call.sendAudio(pcm)) {
    counters.sentAudioBytes += pcm.byteLength;
  } else {
    counters.droppedFrames += 1;
  }
}

/** Tells the server what has been heard, for as long as that moves and the call lasts. */
function reportPlayback(call, speaker) {
  let reported = 0;
  const timer = setInterval(() => {
    if (page.speaker !== speaker) {
      clearInterval(timer);
      return;
    }
    const heard = speaker.heardMs;
    if (heard !== reported && heard > 0) {
      call.reportPlayback(heard);
    }
    reported = heard;
  }, PLAYBACK_REPORT_MS);
}
