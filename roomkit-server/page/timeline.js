/** The room's events as rows in the order of their index, and what is being said right now below them. */

import { element } from "./transcript.js";

/** Visibilities that name no channel, as a person would put them; any other is a whisper to channels. */
const SCOPES = {
  all: "",
  none: "hidden",
  internal: "internal",
  transport: "to transports",
  intelligence: "to the AI",
};

export class Timeline {
  #list;
  #empty;
  #count;
  /** Live rows by speaker and item. */
  #live = new Map();
  #size = 0;

  constructor({ list, empty, count }) {
    this.#list = list;
    this.#empty = empty;
    this.#count = count;
  }

  /** @param {object} event a `RoomEvent` */
  show(event) {
    const row = eventRow(event);
    const atEnd = this.#isAtEnd();
    this.#list.insertBefore(row, this.#following(event.index));
    this.#size += 1;
    this.#count.textContent = this.#size;
    this.#empty.hidden = true;
    if (event.type === "message") {
      this.#dropLive(event.metadata?.role, event.metadata?.item_id);
    }
    if (atEnd) {
      this.#list.scrollTop = this.#list.scrollHeight;
    }
  }

  /** @param {object} event an ephemeral event; only transcription partials are shown */
  showLive({ kind, channel_id: channel, data }) {
    if (kind !== "transcription") {
      return;
    }
    const atEnd = this.#isAtEnd();
    const key = `${data.role} ${data.item_id ?? ""}`;
    let row = this.#live.get(key);
    if (!row) {
      row = element("li", "live");
      row.append(
        element("span", "index", "live"),
        origin(channel, data.role),
        element("p", "words"),
      );
      this.#live.set(key, row);
      this.#list.append(row);
      this.#empty.hidden = true;
    }
    row.querySelector(".words").append(data.text);
    if (atEnd) {
      this.#list.scrollTop = this.#list.scrollHeight;
    }
  }

  /** Forgets everything, for another room. */
  clear() {
    this.#list.replaceChildren();
    this.#live.clear();
    this.#size = 0;
    this.#count.textContent = "";
    this.#empty.hidden = false;
  }

  /** Takes away the rows of words that will not become events any more. */
  settle() {
    this.#drop([...this.#live.keys()]);
  }

  /** Takes away what this speaker has half said, because it will be heard once more. */
  forget(role) {
    this.#drop(this.#keysOf(role));
  }

  /** Whoever has scrolled away from the end reads what is there. */
  #isAtEnd() {
    return this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 80;
  }

  /** Finals come in order: what the same speaker began before this one gets none any more. */
  #dropLive(role, item = "") {
    const keys = this.#keysOf(role);
    const last = keys.indexOf(`${role} ${item}`);
    this.#drop(keys.filter((key, place) => place <= last || key === `${role} `));
  }

  #keysOf(role) {
    return [...this.#live.keys()].filter((key) => key.startsWith(`${role} `));
  }

  #drop(keys) {
    for (const key of keys) {
      this.#live.get(key).remove();
      this.#live.delete(key);
    }
  }

  /** The row before which an event of this index belongs. */
  #following(index) {
    let next = null;
    for (let row = this.#list.lastElementChild; row; row = row.previousElementSibling) {
      if (row.classList.contains("live") || Number(row.dataset.index) > index) {
        next = row;
      } else {
        break;
      }
    }
    return next;
  }
}

function eventRow(event) {
  const row = element("li", "event");
  row.dataset.index = event.index;
  row.dataset.type = event.type;
  row.dataset.status = event.status;
  const role = event.metadata?.role ?? event.metadata?.inject_role;
  const time = element("time", "", new Date(event.created_at).toLocaleTimeString([], { hour12: false }));
  time.dateTime = event.created_at;
  row.append(element("span", "index", `#${event.index}`), time);
  // The room's own notes say in their words which channel they are about.
  if (event.type !== "system") {
    row.append(origin(event.source.participant_id ?? event.source.channel_id, role, event.source));
  }
  row.append(element("p", "words", event.content.body ?? `(${event.content.kind ?? event.content.type})`));
  const marks = marksOf(event);
  if (marks.length > 0) {
    const list = element("span", "marks");
    list.append(...marks.map(([kind, text]) => element("span", `mark ${kind}`, text)));
    row.append(list);
  }
  return row;
}

function origin(name, role, source) {
  const label = element("span", "origin");
  label.append(element("b", "", source?.channel_id ?? name));
  if (source?.participant_id) {
    label.title = `participant ${source.participant_id}`;
  }
  if (role) {
    const tag = element("span", "role", role);
    tag.dataset.role = role;
    label.append(" ", tag);
  }
  return label;
}

function marksOf({ type, status, blocked_by: blockedBy, visibility = "all", metadata }) {
  const marks = [];
  if (status === "blocked") {
    marks.push(["blocked", blockedBy ? `blocked by ${blockedBy}` : "blocked"]);
  }
  if (metadata?.interrupted) {
    marks.push(["interrupted", "interrupted"]);
  }
  if (SCOPES[visibility] === undefined) {
    marks.push(["whisper", `whisper to ${visibility}`]);
  } else if (SCOPES[visibility] !== "" && type !== "system") {
    marks.push(["scope", SCOPES[visibility]]);
  }
  if (metadata?.silent) {
    marks.push(["silent", "silent"]);
  }
  return marks;
}
