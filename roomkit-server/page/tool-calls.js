/** Calls of tools as entries of the conversation: for how long each runs, and how it ended. */

import { milliseconds, seconds } from "./format.js";
import { element } from "./transcript.js";

/** Milliseconds between two looks at the clock while something runs. */
const TICK_MS = 100;

/** How a call ended, with the time that took and without one, where the beginning was not seen. */
const OUTCOMES = {
  completed: ["done in", "done"],
  failed: ["failed after", "failed"],
  cancelled: ["cancelled after", "cancelled"],
  unknown: ["lost sight of after", "lost sight of"],
};

export class ToolCalls {
  #transcript;
  /** The latest entry of each call, by `keyOf`. */
  #entries = new Map();
  #running = new Set();
  #timer;

  /** @param {import("./transcript.js").Transcript} transcript where they are shown */
  constructor(transcript) {
    this.#transcript = transcript;
  }

  /** @param {{ session_id: string, call_id: string, name: string, status: string }} call */
  show({ name, status, ...call }) {
    const key = keyOf(call);
    const entry = this.#entries.get(key);
    if (this.#running.has(entry)) {
      if (status !== "started") {
        this.#end(entry, status);
      }
    } else if (status === "started") {
      // An id that comes back after its end is another call.
      this.#begin(this.#add(key, name));
    } else if (!entry || entry.row.dataset.status === "unknown") {
      this.#end(entry ?? this.#add(key, name), status);
    }
  }

  /** What a tool tells of its progress. A call that is not running here is somebody else's. */
  progress({ progress, ...call }) {
    const entry = this.#entries.get(keyOf(call));
    if (this.#running.has(entry)) {
      entry.progress.textContent = progress;
    }
  }

  /**
   * Nothing more will be told of what is still running.
   *
   * @param {"cancelled" | "unknown"} [status] that it ended with its call, or how it ends is not known
   */
  settle(status = "cancelled") {
    for (const entry of [...this.#running]) {
      this.#end(entry, status);
    }
  }

  #add(key, name) {
    const entry = {
      name,
      row: element("li", "tool"),
      state: element("span", "state"),
      progress: element("span", "progress"),
      began: undefined,
    };
    entry.row.append(element("b", "", name), " ", entry.state, entry.progress);
    // To the end of those that are kept, also where an id comes back.
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    this.#transcript.append(entry.row);
    this.#forgetDropped();
    return entry;
  }

  /** What has ended, and whose row the conversation has dropped: the oldest go first. */
  #forgetDropped() {
    for (const [key, entry] of this.#entries) {
      if (entry.row.isConnected) {
        return;
      }
      if (!this.#running.has(entry)) {
        this.#entries.delete(key);
      }
    }
  }

  #begin(entry) {
    entry.began = performance.now();
    entry.row.dataset.status = "started";
    // A timer is not read out with each tick.
    entry.state.setAttribute("role", "timer");
    this.#running.add(entry);
    this.#tick();
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
    this.#transcript.announce(`Tool ${entry.name} is running`);
  }

  #end(entry, status) {
    this.#running.delete(entry);
    if (this.#running.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    const [after, alone] = OUTCOMES[status] ?? [status, status];
    const text = entry.began === undefined ? alone : `${after} ${length(performance.now() - entry.began)}`;
    entry.row.dataset.status = status;
    entry.state.removeAttribute("role");
    entry.state.textContent = text;
    entry.progress.textContent = "";
    this.#transcript.announce(`Tool ${entry.name} ${text}`);
  }

  #tick() {
    const now = performance.now();
    for (const { state, began } of this.#running) {
      state.textContent = `running ${seconds(now - began)}`;
    }
  }
}

/** Each session numbers its calls by itself. */
function keyOf({ session_id: session, call_id: id }) {
  return `${session} ${id}`;
}

function length(took) {
  return took < 1000 ? milliseconds(took) : seconds(took);
}
