/** The room's side of the page: timeline, live words, whisper box, and the link for others. */

import { keepFocus } from "./focus.js";
import { randomId } from "./random-id.js";
import { Room } from "./room.js";
import { accessToken, page } from "./state.js";
import { Timeline } from "./timeline.js";

/** Milliseconds for which the button says that the link has been copied. */
const COPIED_MS = 2000;

const FORBIDDEN = "This token does not open the room: what happens in it is not shown, and nothing can be whispered.";

const GONE = "The server does not know this room any more. It is shown again once a call makes it anew.";

const LOST = "Connection to the room lost, trying again.";

const UNANSWERED = "The server cannot be reached. Your whisper is still here: sent again, it arrives only once.";

const byId = (id) => document.getElementById(id);

export class RoomPanel {
  #status;
  #transcript;
  #tools;
  #askForToken;
  #timeline = new Timeline({
    list: byId("timeline"),
    empty: byId("timeline-empty"),
    count: byId("timeline-count"),
  });
  #room;
  /** Id of the room that is watched with or without a call. */
  #watched;
  #closed = false;
  /** The token does not open it: whether it is still open cannot be seen. */
  #forbidden = false;
  /** The channel that a whisper names. */
  #voiceChannel;
  /** The whisper that may have arrived without an answer, and its key, with which it arrives but once. */
  #unanswered = {};
  /** A whisper is on its way. */
  #whispering = false;

  /** @param {(then: () => void) => void} askForToken called where the server wants one first */
  constructor({ status, transcript, tools, askForToken }) {
    this.#status = status;
    this.#transcript = transcript;
    this.#tools = tools;
    this.#askForToken = askForToken;
    byId("whisper-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#whisper();
    });
    byId("whisper").addEventListener("keydown", (event) => {
      // 229: Safari ends the composition before the key that ended it.
      const composing = event.isComposing || event.keyCode === 229;
      if (event.key === "Enter" && !event.shiftKey && !composing) {
        event.preventDefault();
        this.#whisper();
      }
    });
    byId("earlier").addEventListener("click", () => this.#loadEarlier());
    byId("copy-link").addEventListener("click", () => this.#copyLink());
  }

  /** The room that the next call should join, if there is one that is seen to be open. */
  get openRoomId() {
    return this.#closed || this.#forbidden ? undefined : this.#room?.id;
  }

  /** Follows the room of a call and lets the person whisper into it. */
  enter(id, voiceChannel) {
    this.#voiceChannel = voiceChannel;
    this.#follow(id);
  }

  /** Watches a room without a call. A room that does not exist is left for a call to make. */
  async watch(id) {
    this.#watched = id;
    try {
      const { bindings } = await new Room(id, accessToken).describe();
      this.#voiceChannel = bindings.find(({ channel_type: type }) => type.includes("voice"))?.channel_id;
      this.#follow(id);
    } catch (error) {
      if (error.status === 401) {
        this.#askForToken(() => this.watch(id));
      } else if (error.status !== 404) {
        this.#status.banner(`The room could not be read: ${error.message}`);
      }
    }
  }

  /** What the caller of this session has half said will be heard once more. */
  forgetHalfSaid(session) {
    this.#timeline.forget(session, "user");
  }

  /** The session is over: what is half said in it will not be finished. */
  settle(session) {
    this.#timeline.forget(session);
  }

  /** Nothing more can be said in this room; what was said stays to be read. */
  close() {
    this.#closed = true;
    this.#timeline.settle();
    this.#tools.settle();
    this.#connection();
    this.#allowWhisper(false);
  }

  #follow(id) {
    this.#problem();
    this.#forbidden = false;
    if (this.#isAt(id)) {
      this.#allowWhisper(true);
      this.#room.resume();
      return;
    }
    this.#room?.leave();
    this.#connection();
    this.#timeline.clear();
    this.#closed = false;
    const room = new Room(id, accessToken, { waits: id === this.#watched });
    this.#room = room;
    room.addEventListener("event", ({ detail }) => this.#event(detail));
    room.addEventListener("ephemeral", ({ detail }) => this.#ephemeral(detail));
    room.addEventListener("lost", () => this.#lost());
    room.addEventListener("connected", () => this.#connection());
    room.addEventListener("closed", () => this.close());
    room.addEventListener("unauthorized", () => {
      this.#connection();
      this.#allowWhisper(false);
      this.#askForToken(() => this.#isAt(id) && this.#follow(id));
    });
    room.addEventListener("forbidden", () => {
      this.#forbidden = true;
      this.#connection();
      this.#allowWhisper(false);
      this.#problem(FORBIDDEN);
    });
    room.addEventListener("gone", () => {
      this.#connection();
      this.#allowWhisper(false);
      this.#problem(GONE);
    });
    room.addEventListener("found", ({ detail: anew }) => {
      if (anew) {
        this.#timeline.clear();
      }
      this.#problem();
      this.#allowWhisper(true);
    });
    this.#allowWhisper(true);
    room.follow();
    byId("room-id").textContent = id;
    byId("room-label").hidden = false;
  }

  #isAt(id) {
    return !this.#closed && this.#room?.id === id;
  }

  #event(event) {
    const oldest = this.#timeline.show(event);
    if (oldest !== undefined) {
      this.#room.forgetBefore(oldest);
    }
    byId("earlier").hidden = !this.#room.hasEarlier;
    const { content, metadata } = event;
    const session = metadata?.voice_session_id;
    if (session && overhears(session)) {
      if (metadata.item_id) {
        // One who watches is not told when a connection is lost, and what began on it ends nowhere.
        this.#transcript.forget(session, metadata.role, metadata.item_id);
      }
      this.#overhear({
        session_id: session,
        role: metadata.role,
        text: content.body,
        is_final: true,
        item_id: metadata.item_id,
        interrupted: metadata.interrupted,
      });
    }
  }

  #ephemeral(event) {
    this.#timeline.showLive(event);
    if (event.kind === "tool_call") {
      this.#toolCall(event.data);
    } else if (event.kind === "transcription" && overhears(event.data.session_id)) {
      this.#overhear({ ...event.data, is_final: event.data.withdrawn === true });
    }
  }

  /** Of what is half said, or runs, in an outage, the end may never be seen. */
  #lost() {
    this.#connection(LOST);
    this.#timeline.settle();
    if (page.call === undefined) {
      this.#tools.settle("unknown");
      this.#transcript.forgetAll();
    }
  }

  /** A call's own messages say all of a tool but its progress. */
  #toolCall({ session_id: session, tool_call_id: id, name, status, progress }) {
    const call = { session_id: session, call_id: id };
    if (status === "running") {
      this.#tools.progress({ ...call, progress });
    } else if (overhears(session)) {
      this.#tools.show({ ...call, name, status });
    }
  }

  /** Shows what others say: to somebody who watches, the user is not "You". */
  #overhear(transcription) {
    this.#transcript.show(transcription, transcription.role === "user" ? "Caller" : undefined);
  }

  #allowWhisper(allowed) {
    keepFocus(() => {
      for (const field of byId("whisper-form").elements) {
        field.disabled = !allowed || this.#voiceChannel === undefined;
      }
    });
  }

  /** Says that what is seen of the room may be old, or that it is not. A whisper may get through all the same. */
  #connection(text) {
    const note = byId("room-connection");
    if (note.hidden !== (text === undefined)) {
      // A live region is read again even where the same is written into it.
      note.textContent = text ?? "";
      note.hidden = text === undefined;
    }
  }

  /** Says what stands in the way of a whisper, or that nothing does. */
  #problem(text) {
    byId("whisper-error").textContent = text ?? "";
    byId("whisper-error").hidden = text === undefined;
  }

  async #whisper() {
    const field = byId("whisper");
    const text = field.value.trim();
    if (text === "" || this.#whispering) {
      return;
    }
    this.#whispering = true;
    this.#problem();
    const message = { text, visibility: this.#voiceChannel, silent: byId("whisper-silent").checked };
    const content = JSON.stringify(message);
    if (this.#unanswered.content !== content) {
      this.#unanswered = { content, key: randomId() };
    }
    try {
      await this.#room.post({ ...message, idempotency_key: this.#unanswered.key });
      this.#unanswered = {};
      field.value = "";
    } catch (error) {
      if (error.status === 401) {
        this.#askForToken(() => this.#whisper());
        return;
      }
      this.#problem(error.status === 0 ? UNANSWERED : error.message);
    } finally {
      this.#whispering = false;
    }
  }

  async #loadEarlier() {
    const room = this.#room;
    try {
      const earlier = await room.loadEarlier();
      if (room === this.#room) {
        this.#timeline.showEarlier(earlier);
        byId("earlier").hidden = !room.hasEarlier;
      }
    } catch (error) {
      this.#status.banner(`Earlier events could not be read: ${error.message}`);
    }
  }

  async #copyLink() {
    const link = new URL(location.pathname, location.href);
    link.searchParams.set("room", this.#room.id);
    try {
      await navigator.clipboard.writeText(link);
      byId("copy-link").textContent = "Copied";
      setTimeout(() => (byId("copy-link").textContent = "Copy link"), COPIED_MS);
    } catch {
      this.#status.banner(`Link to this room: ${link}`);
    }
  }
}

/** Whether what is said in a session is other people's conversation: one's own call says it itself. */
function overhears(session) {
  return page.call === undefined && !page.ownSessions.has(session);
}
