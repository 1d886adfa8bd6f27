/** Which microphone and which speaker: two lists that follow what is plugged in. */

import { tabStore } from "./storage.js";
import { element } from "./transcript.js";

/** Kept until the tab is closed, as the token is. */
const KEYS = { audioinput: "roomkit.microphone", audiooutput: "roomkit.speaker" };

export class Devices {
  #lists;
  #onSpeaker;

  /**
   * @param {{ microphone: HTMLSelectElement, speaker: HTMLSelectElement }} lists
   * @param {(id: string) => void} onMicrophone called with "" for the system's default
   * @param {(id: string) => void} onSpeaker
   */
  constructor({ microphone, speaker }, onMicrophone, onSpeaker) {
    this.#lists = { audioinput: microphone, audiooutput: speaker };
    this.#onSpeaker = onSpeaker;
    for (const [kind, list] of Object.entries(this.#lists)) {
      list.addEventListener("change", () => {
        tabStore.set(KEYS[kind], list.value);
        (kind === "audioinput" ? onMicrophone : onSpeaker)(list.value);
      });
    }
    const fold = microphone.closest("details");
    fold.addEventListener("toggle", () => fold.scrollIntoView({ block: "nearest" }));
    navigator.mediaDevices?.addEventListener("devicechange", () => this.refresh());
    this.refresh();
  }

  /** Also before the microphone has been allowed, when the list has no names yet. */
  get microphone() {
    return tabStore.get(KEYS.audioinput) ?? "";
  }

  set microphone(id) {
    tabStore.set(KEYS.audioinput, id);
    this.refresh();
  }

  get speaker() {
    return this.#lists.audiooutput.value;
  }

  /** Not every browser lets a page choose a speaker, and some only for what an element plays. */
  show(transport) {
    const elements = "setSinkId" in HTMLMediaElement.prototype;
    const graphs = "AudioContext" in window && "setSinkId" in AudioContext.prototype;
    const { audiooutput: speaker } = this.#lists;
    speaker.parentElement.hidden = !elements && !graphs;
    speaker.disabled = transport === "webrtc" ? !elements : !graphs;
  }

  /** Browsers tell names only once the microphone has been allowed: to be called then. */
  async refresh() {
    const all = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    const speaker = this.speaker;
    for (const [kind, list] of Object.entries(this.#lists)) {
      const named = all.filter((device) => device.kind === kind && device.label && !isAlias(device));
      const wanted = tabStore.get(KEYS[kind]) ?? "";
      list.replaceChildren(
        option("", "System default"),
        ...named.map(({ deviceId, label }) => option(deviceId, label)),
      );
      list.value = named.some(({ deviceId }) => deviceId === wanted) ? wanted : "";
    }
    if (this.speaker !== speaker) {
      // It was unplugged, or plugged in again. A list that a script changes does not say so.
      this.#onSpeaker(this.speaker);
    }
  }
}

/** Chromium lists what the system has chosen once more under a name of its own. */
function isAlias({ deviceId }) {
  return deviceId === "" || deviceId === "default" || deviceId === "communications";
}

function option(value, label) {
  const item = element("option", "", label);
  item.value = value;
  return item;
}
