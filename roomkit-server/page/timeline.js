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

/** Events that are kept without being asked for: a room that is watched for days has more than a browser can draw. */
const MOST_EVENTS = 1000;

export class Timeline {
  #list;
  #empty;
  #count;
  /** What is being said, in order of appearance: `session`, `role`, `item` and the row. */
  #live = [];
  #size = 0;
  #most = MOST_EVENTS;

  constructor({ list, empty, count }) {
    this.#list = list;
    this.#empty = empty;
    this.#count = count;
  }

  /**
   * @param {object} event a `RoomEvent`, which may take the place of the oldest one
   * @returns {number | undefined} where others had to go for it, the index of the oldest event that is left
   */
  show(event) {
    const atEnd = this.#isAtEnd();
    this.#insert(event);
    if (event.type === "message") {
      this.#dropLive(event.metadata ?? {});
    }
    const dropsOldest = atEnd && this.#size > this.#most;
    if (dropsOldest) {
      this.#dropOldest();
    }
    if (atEnd) {
      this.#list.scrollTop = this.#list.scrollHeight;
    }
    return dropsOldest ? Number(this.#list.firstElementChild.dataset.index) : undefined;
  }

  /** @param {object[]} events older ones, which are shown beside those that are there */
  showEarlier(events) {
    this.#most = Math.max(this.#most, this.#size + events.length);
    events.forEach((event) => this.show(event));
  }

  /** @param {object} event an ephemeral event; only transcription partials are shown */
  showLive({ kind, channel_id: channel, data }) {
    if (kind !== "transcription") {
      return;
    }
    if (data.withdrawn) {
      this.#withdraw(data);
      return;
    }
    const atEnd = this.#isAtEnd();
    const { session_id: session, role, item_id: item } = data;
    let live = this.#liveOf(session, role).find((one) => one.item === item);
    if (!live) {
      live = { session, role, item, row: element("li", "live") };
      live.row.append(
        element("span", "index", "live"),
        origin(channel, role),
        element("p", "words"),
      );
      this.#live.push(live);
      this.#list.append(live.row);
      this.#empty.hidden = true;
    }
    live.row.querySelector(".words").append(data.text);
    if (atEnd) {
      this.#list.scrollTop = this.#list.scrollHeight;
    }
  }

  /** Forgets everything, for another room. */
  clear() {
    this.#list.replaceChildren();
    this.#live = [];
    this.#size = 0;
    this.#most = MOST_EVENTS;
    this.#count.textContent = "";
    this.#empty.hidden = false;
  }

  /** Takes away the rows of words that will not become events any more. */
  settle() {
    this.#drop(this.#live);
  }

  /** Takes away what has half been said in a session: by this speaker, or by all where none is named. */
  forget(session, role) {
    this.#drop(this.#liveOf(session, role));
  }

  #insert(event) {
    this.#list.insertBefore(eventRow(event), this.#following(event.index));
    this.#size += 1;
    this.#count.textContent = this.#size;
    this.#empty.hidden = true;
  }

  /** What is being said stands below all events. */
  #dropOldest() {
    for (; this.#size > this.#most; this.#size -= 1) {
      this.#list.firstElementChild.remove();
    }
    this.#count.textContent = this.#size;
  }

  /** Whoever has scrolled away from the end reads what is there. */
  #isAtEnd() {
    return this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 80;
  }

  /** Finals come in order: what the same speaker began before this one gets none any more. */
  #dropLive({ voice_session_id: session, role, item_id: item }) {
    const live = this.#liveOf(session, role);
    const last = live.findIndex((one) => one.item === item);
    this.#drop(live.filter((one, place) => place <= last || one.item === undefined));
  }

  #withdraw({ session_id: session, role, item_id: item }) {
    this.#drop(this.#liveOf(session, role).filter((one) => one.item === item));
  }

  /** Items are those of their session: two callers may have one of the same id, or none at all. */
  #liveOf(session, role) {
    return this.#live.filter((one) => one.session === session && (role === undefined || one.role === role));
  }

  #drop(dropped) {
    dropped.forEach(({ row }) => row.remove());
    this.#live = this.#live.filter((one) => !dropped.includes(one));
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
