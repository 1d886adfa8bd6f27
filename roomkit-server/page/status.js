/** What the page says about itself: the status line, the big button, the meters and the banners. */

import { keepFocus } from "./focus.js";
import { element } from "./transcript.js";

const MOST_BANNERS = 3;
/** Loudness that leaves a meter empty, in dBFS. Full scale fills it. */
const FLOOR_DB = -60;

const STATUS = {
  idle: "Ready when you are",
  connecting: "Connecting…",
  listening: "Listening",
  reconnecting: "Reconnecting…",
  ended: "Call ended",
};
const SPEAKING = {
  user: "You are speaking",
  assistant: "The assistant is speaking",
};
/** What is said of the connections to the assistant and to the server, beneath the status line. */
const NOTES = {
  reconnecting: "Go on talking: nothing you say or type is lost.",
  interrupted: "The connection to the server is interrupted. Another way is being looked for.",
  silent: "Nothing comes from the server any more. If that lasts, the call ends.",
  reconnected: "Connected again. The call goes on where it was.",
};
const TOGGLE = { idle: "Start call", connecting: "Cancel", ended: "Start again" };

const CUT = "Connection interrupted";
const MUTED = "You are muted";

/** The reasons of `session_ended`, as a person would put them; any other is shown as it is. */
const REASONS = {
  client_ended: "you ended it",
  client_left: "the connection was lost",
  client_too_slow: "this connection is too slow",
  host: "the server ended it",
  detached: "the assistant left the room",
  room_closed: "the room was closed",
  idle_timeout: "nobody spoke for a while",
  max_duration: "it reached its time limit",
  provider_error: "the assistant's provider failed",
  shutdown: "the server is shutting down",
  internal: "the server had a problem",
};

export class StatusView {
  #status;
  #spoken;
  #toggle;
  #label;
  #note;
  #banners;
  #meters;
  #levels = { user: 0, assistant: 0 };
  #drawn = { user: 0, assistant: 0 };
  #frame;

  constructor({ status, spoken, toggle, label, note, banners, meters }) {
    this.#status = status;
    this.#spoken = spoken;
    this.#toggle = toggle;
    this.#label = label;
    this.#note = note;
    this.#banners = banners;
    this.#meters = meters;
  }

  /**
   * @param {{ state: string, speaker?: "user" | "assistant", muted: boolean, cut: boolean, note?: string, reason?: string }} view
   *   `cut` where the connection to the server is interrupted
   */
  show({ state, speaker, muted, cut, note, reason }) {
    let text = STATUS[state] ?? SPEAKING[speaker];
    if (state === "ended" && reason) {
      text += `: ${REASONS[reason] ?? reason.replaceAll("_", " ")}`;
    }
    if (muted && state === "listening") {
      text = MUTED;
    }
    if (cut) {
      text = CUT;
    }
    setText(this.#status, text);
    // Whose turn it is is heard: said by a screen reader, it would talk over the voice and into the microphone.
    const isCall = (state === "listening" || state === "speaking") && !cut;
    setText(this.#spoken, isCall ? (muted ? MUTED : "The call is on") : text);
    if (this.#note.dataset.note !== (note ?? "")) {
      this.#note.dataset.note = note ?? "";
      this.#note.textContent = NOTES[note] ?? "";
      this.#note.hidden = note === undefined;
    }
    this.#toggle.dataset.phase = state;
    this.#toggle.dataset.speaker = speaker ?? "";
    this.#label.textContent = TOGGLE[state] ?? "End call";
    for (const [who, meter] of Object.entries(this.#meters)) {
      meter.classList.toggle("active", speaker === who);
    }
  }

  /** @param {"user" | "assistant"} who @param {number} rms 0 to 1 */
  level(who, rms) {
    const decibels = 20 * Math.log10(Math.max(rms, 1e-6));
    this.#levels[who] = Math.max(0, Math.min(1, 1 - decibels / FLOOR_DB));
    this.#frame ??= requestAnimationFrame(() => this.#draw());
  }

  /**
   * Shows a message that stays until it is dismissed, or taken back by `withdraw`; the same message is shown once.
   *
   * @param {string} text
   * @param {{ label: string, run: () => void }} [action] a way out, as a button
   */
  banner(text, action) {
    for (const shown of this.#banners.children) {
      if (shown.dataset.text === text) {
        return;
      }
    }
    const banner = element("div", "banner");
    banner.dataset.text = text;
    banner.append(element("p", "", text));
    if (action) {
      const button = element("button", "", action.label);
      button.type = "button";
      button.addEventListener("click", () => {
        keepFocus(() => banner.remove());
        action.run();
      });
      banner.append(button);
    }
    const dismiss = element("button", "dismiss", "×");
    dismiss.type = "button";
    dismiss.setAttribute("aria-label", "Dismiss");
    dismiss.addEventListener("click", () => keepFocus(() => banner.remove()));
    banner.append(dismiss);
    this.#banners.append(banner);
    while (this.#banners.children.length > MOST_BANNERS) {
      keepFocus(() => this.#banners.firstElementChild.remove());
    }
  }

  /** Takes back the message of this text. */
  withdraw(text) {
    const banner = [...this.#banners.children].find((shown) => shown.dataset.text === text);
    keepFocus(() => banner?.remove());
  }

  clearBanners() {
    keepFocus(() => this.#banners.replaceChildren());
  }

  #draw() {
    let moving = false;
    for (const [who, meter] of Object.entries(this.#meters)) {
      // Up at once, down slowly, as a needle would.
      const level = Math.max(this.#levels[who], this.#drawn[who] * 0.9 - 0.002);
      moving ||= level !== this.#drawn[who];
      this.#drawn[who] = level;
      const bar = meter.querySelector(".meter");
      bar.style.setProperty("--level", level.toFixed(3));
      bar.setAttribute("aria-valuenow", Math.round(level * 100));
    }
    const loudest = Math.max(this.#drawn.user, this.#drawn.assistant);
    this.#toggle.style.setProperty("--level", loudest.toFixed(3));
    this.#frame = moving ? requestAnimationFrame(() => this.#draw()) : undefined;
  }
}

/** A live region is read again even where the same is written into it. */
function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}
