/** A room seen from outside the call: its timeline, its live events, and a way to speak into it. */

import { openSocket } from "./socket.js";

const PAGE_SIZE = 200;
/** Milliseconds before the first and the slowest further attempt to follow a room again. */
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 10_000;
/** Milliseconds without a frame after which a server that says `alive` every 20 s is taken for gone. */
const SILENT_MS = 45_000;
/** Milliseconds after which no answer to a request is waited for any more. */
const REQUEST_MS = 15_000;

/** What the server answered when it did not do what was asked. */
export class RoomError extends Error {
  /** @param {number} status HTTP status, 0 where no answer came @param {string} code the server's machine-readable word */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * Follows one room. Dispatches `CustomEvent`s: `event` with each `RoomEvent` from the latest page on,
 * in the order of their index; `ephemeral` with what is never stored; `lost`, where some of that may be
 * missed until the room is followed again, and `connected` when it is; `closed`, when the room was closed or is gone, and nothing
 * follows; for one that waits, `gone` in place of that, and `found` when the room is there again, or
 * another of its name (`detail` is true then); and, where it rests until `resume`, `unauthorized` when
 * the token is not valid (any more) and `forbidden` when it does not open this room.
 */
export class Room extends EventTarget {
  #base;
  #token;
  #waits;
  #socket;
  /** When the room was made: another one of this name is another room. */
  #made;
  /** Index of the newest event that was told, -1 where there was none; undefined before the first page. */
  #newest;
  /** Index of the oldest event that was told. */
  #oldest;
  #retry = RETRY_FIRST_MS;
  /** Runs until the next attempt, if it waits for one. */
  #timer;
  /** The server says that it is alive where nothing else is to be said. */
  #saysAlive = false;
  /** Milliseconds since 1970: other clocks of a page may stand still while the computer sleeps. */
  #heardAt;
  /** Runs until the silence has been too long. */
  #silence;
  /** Ends the listening for what the browser tells. */
  #listening;
  /** Whatever it waits for, `resume` may end it: another token, or a room of this name. */
  #resting = false;
  /** There was no such room when it was last looked for. */
  #isGone = false;
  #left = false;

  /**
   * @param {string} id
   * @param {() => string | undefined} token the one of now, where the server asks for one
   * @param {{ waits?: boolean }} [options] whether it waits for a room that is gone to be made anew
   */
  constructor(id, token, { waits = false } = {}) {
    super();
    this.id = id;
    this.#token = token;
    this.#waits = waits;
    this.#base = new URL(`rooms/${encodeURIComponent(id)}`, document.baseURI);
  }

  /** Reads the latest page of a room once. The socket begins where that ends, and again where it broke off. */
  async follow() {
    this.#timer = undefined;
    this.#resting = false;
    this.#listen();
    try {
      this.#find(await this.describe());
      if (this.#newest === undefined) {
        this.#begin(await this.#page({}));
      }
    } catch ({ status }) {
      this.#refused(status);
      return;
    }
    if (this.#left) {
      return;
    }
    const url = new URL(`${this.#base}/events`);
    url.searchParams.set("after", this.#newest);
    this.#socket = openSocket(url, this.#token());
    this.#socket.onopen = () => {
      this.#heard();
      this.#retry = RETRY_FIRST_MS;
      this.#emit("connected");
    };
    this.#socket.onmessage = ({ data }) => {
      this.#heard();
      this.#receive(data);
    };
    this.#socket.onclose = () => this.#lost();
    this.#heard();
  }

  /** Goes on at once with the token of now, from the newest event that was told. */
  resume() {
    if (this.#resting && !this.#left) {
      clearTimeout(this.#timer);
      this.follow();
    }
  }

  leave() {
    this.#end();
    this.#socket?.close();
  }

  /** The room's state: status, bindings, sessions. */
  async describe() {
    return request(this.#base, { token: this.#token() });
  }

  /** True while events older than the oldest one told may exist. */
  get hasEarlier() {
    return this.#oldest > 0;
  }

  /** What was told of events before this index is not kept: `loadEarlier` begins there. */
  forgetBefore(index) {
    this.#oldest = Math.max(this.#oldest, index);
  }

  /** @returns {Promise<object[]>} the page of `RoomEvent`s before the oldest one told, which `event` does not tell */
  async loadEarlier() {
    const before = this.#oldest;
    const { events } = await this.#page({ before });
    if (this.#oldest > before) {
      // Newer ones were forgotten meanwhile, and would be left out between.
      return this.loadEarlier();
    }
    // Asked for twice at a time, it is told once.
    const earlier = events.filter(({ index }) => index < this.#oldest);
    if (events.length === 0) {
      // What there was is forgotten.
      this.#oldest = 0;
    } else if (earlier.length > 0) {
      this.#oldest = earlier[0].index;
    }
    return earlier;
  }

  /**
   * Puts a message into the room, which tells of it like of any other.
   *
   * @param {{ text: string, visibility?: string, silent?: boolean, idempotency_key?: string }} message
   * @returns {Promise<object>} the stored `RoomEvent`
   */
  async post(message) {
    return request(`${this.#base}/messages`, {
      token: this.#token(),
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(message),
    });
  }

  #page(cursor) {
    const url = new URL(`${this.#base}/timeline`);
    for (const [name, value] of Object.entries({ ...cursor, limit: PAGE_SIZE })) {
      url.searchParams.set(name, value);
    }
    return request(url, { token: this.#token() });
  }

  #receive(data) {
    const message = JSON.parse(data);
    if (message.type === "alive") {
      this.#saysAlive = true;
      this.#heard();
    } else if (message.type === "event") {
      this.#take(message.event);
    } else if (message.type === "ephemeral") {
      this.#emit("ephemeral", message.event);
    } else if (message.type === "closed") {
      // Any other reason, such as reading too slowly, is one to come back after.
      if (message.reason === "room_closed") {
        this.#end();
        this.#emit("closed");
      }
    }
  }

  #take(event) {
    this.#newest = event.index;
    this.#oldest ??= event.index;
    this.#emit("event", event);
  }

  /** What was told of another room of this name is of no use for this one. */
  #find({ created_at: made }) {
    if (this.#left) {
      return;
    }
    const anew = this.#made !== undefined && made !== this.#made;
    this.#made = made;
    if (anew) {
      this.#newest = undefined;
      this.#oldest = undefined;
    }
    if (anew || this.#isGone) {
      this.#isGone = false;
      this.#emit("found", anew);
    }
  }

  #begin({ events }) {
    if (!this.#left) {
      this.#newest = -1;
      events.forEach((event) => this.#take(event));
    }
  }

  /** A network that is gone shows by silence alone; a browser finds out only after minutes, or never. */
  #heard() {
    this.#heardAt = Date.now();
    clearTimeout(this.#silence);
    if (this.#saysAlive) {
      this.#silence = setTimeout(() => this.#drop(), SILENT_MS);
    }
  }

  /** The timers of a page that nobody looks at, or of a computer that slept, are late. */
  #listen() {
    if (this.#listening) {
      return;
    }
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    addEventListener("online", () => this.#look(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#look(), { signal });
  }

  #look() {
    if (this.#timer !== undefined) {
      clearTimeout(this.#timer);
      this.follow();
    } else if (this.#socket && this.#saysAlive && Date.now() - this.#heardAt >= SILENT_MS) {
      this.#drop();
    }
  }

  /** Gives up a socket that nothing comes from; its end would be told after a minute. */
  #drop() {
    this.#socket.onopen = null;
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
    this.#socket.close();
    this.#lost();
  }

  #end() {
    this.#left = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#listening?.abort();
  }

  #lost() {
    this.#socket = undefined;
    clearTimeout(this.#silence);
    if (!this.#left) {
      this.#emit("lost");
      this.#again();
    }
  }

  #refused(status) {
    if (this.#left) {
      return;
    }
    if (status === 401 || status === 403) {
      this.#resting = true;
      this.#emit(status === 401 ? "unauthorized" : "forbidden");
      return;
    }
    if (status === 404 && !this.#waits) {
      this.#end();
      this.#emit("closed");
      return;
    }
    if (status === 404 && !this.#isGone) {
      this.#isGone = true;
      this.#emit("gone");
    }
    // A call that makes the room need not wait for the timer.
    this.#resting = this.#isGone;
    if (!this.#isGone) {
      this.#emit("lost");
    }
    this.#again();
  }

  #again() {
    this.#timer = setTimeout(() => this.follow(), this.#retry);
    this.#retry = Math.min(this.#retry * 2, RETRY_MOST_MS);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/**
 * What keeps new calls out, as far as a request can tell: undefined if nothing does.
 *
 * @param {string} [token] @param {string | null} [room] the one that the call was to join
 * @returns {Promise<RoomError | undefined>} with status 401, 409 where the room is closed, 503 where
 * the server takes no calls, or 0 where none answers
 */
export async function obstacle(token, room) {
  const path = room ? `rooms/${encodeURIComponent(room)}` : "rooms?limit=1";
  const ask = (path, token) => request(new URL(path, document.baseURI), { token });
  try {
    const { status } = await ask(path, token);
    if (status === "closed") {
      return new RoomError(409, "room_closed", "The call could not be started: the room is closed.");
    }
  } catch (error) {
    // The call would have made a room that is not there.
    if (error.status !== 404) {
      return error;
    }
  }
  try {
    await ask("readyz");
  } catch (error) {
    // A server that is full says so here.
    if (error.status === 503) {
      return error;
    }
  }
  return undefined;
}

async function request(url, { token, headers, ...options }) {
  const authorization = token ? { authorization: `Bearer ${token}` } : {};
  const signal = AbortSignal.timeout(REQUEST_MS);
  let response, body;
  try {
    response = await fetch(url, { ...options, headers: { ...headers, ...authorization }, signal });
    body = await response.json();
  } catch {
    // What a proxy says of its own is no JSON.
    if (!response || response.ok) {
      throw new RoomError(0, "unreachable", "The server cannot be reached.");
    }
  }
  if (!response.ok) {
    throw new RoomError(
      response.status,
      body?.code ?? "unknown",
      body?.message ?? `The server answered ${response.status}.`,
    );
  }
  return body;
}
