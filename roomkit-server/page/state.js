/** What the page knows at one moment, and `window.roomkit`, a read-only look at it. */

import { tabStore } from "./storage.js";

/** `phase` is one of idle, connecting, live, reconnecting, ended. */
export const page = {
  phase: "idle",
  /** Why the last call ended, as the server or the page put it. */
  reason: undefined,
  muted: false,
  /** What is said of the connection to the assistant: "reconnecting", "reconnected" or nothing. */
  note: undefined,
  userSpeaking: false,
  assistantSpeaking: false,
  /** Name of the call's transport, while there is a call. */
  transport: undefined,
  /** What it is doing: closed, connecting, connected, interrupted or restoring. */
  connection: "closed",
  /** The latest sample of how well it does. */
  stats: {},
  /** For each turn of the last call, milliseconds from the end of the user's speech to the answer's first sound. */
  latencies: [],
  /** Whether the call is recorded: on, paused or off; undefined where the server says nothing of it. */
  recording: undefined,
  /** True while the loudspeaker has something to play. */
  playing: false,
  call: undefined,
  /** Of the latest call that was begun: one that finds another here has been cancelled. */
  start: undefined,
  context: undefined,
  microphone: undefined,
  speaker: undefined,
  /** The server's `session_started` of the last call. */
  session: undefined,
  /** Ids of all sessions that the page has had. */
  ownSessions: new Set(),
};

const TOKEN_KEY = "roomkit.token";

/** The access token the person gave, kept until the tab is closed. */
export function accessToken() {
  return tabStore.get(TOKEN_KEY);
}

/** @param {string} token */
export function keepAccessToken(token) {
  tabStore.set(TOKEN_KEY, token);
}

/** What has gone through the page since it was loaded. */
export const counters = {
  sentAudioBytes: 0,
  droppedFrames: 0,
  receivedAudioBytes: 0,
  clears: 0,
  reconnects: 0,
  playedFrames: 0,
  playedEnergy: 0,
  playedPeak: 0,
  playedMs: 0,
};

/** Who is speaking in the call: "user", "assistant" or nobody. */
export function whoSpeaks() {
  if (page.phase === "reconnecting") {
    // What came before the connection was lost plays on.
    return page.playing ? "assistant" : undefined;
  }
  if (page.phase !== "live") {
    return undefined;
  }
  if (page.userSpeaking) {
    return "user";
  }
  return page.assistantSpeaking || page.playing ? "assistant" : undefined;
}

/** The one word on the status line: a live call is listening or speaking. */
export function stateWord() {
  if (page.phase !== "live") {
    return page.phase;
  }
  return whoSpeaks() === undefined ? "listening" : "speaking";
}

Object.defineProperty(window, "roomkit", {
  value: Object.freeze({
    get state() {
      return stateWord();
    },
    get speaking() {
      return whoSpeaks();
    },
    get reason() {
      return page.reason;
    },
    /** "webrtc" or "websocket" while there is a call. */
    get transport() {
      return page.transport;
    },
    /** Of the call's transport: closed, connecting, connected, interrupted, restoring. */
    get connection() {
      return page.connection;
    },
    /** `roundTripMs`, `lossIn`, `lossOut`, `bufferMs`, as far as they are known. */
    get stats() {
      return { ...page.stats };
    },
    /** Milliseconds from the end of the user's speech to the answer's first sound, turn by turn. */
    get latencies() {
      return [...page.latencies];
    },
    get muted() {
      return page.muted;
    },
    /** Whether the call is recorded: on, paused or off; undefined where it cannot be. */
    get recording() {
      return page.recording;
    },
    get sessionId() {
      return page.session?.session_id;
    },
    get roomId() {
      return page.session?.room_id;
    },
    get sentAudioBytes() {
      return counters.sentAudioBytes;
    },
    /** Microphone frames not sent because the network was too slow. */
    get droppedFrames() {
      return counters.droppedFrames;
    },
    get receivedAudioBytes() {
      return counters.receivedAudioBytes;
    },
    get clears() {
      return counters.clears;
    },
    /** How often the connection to the assistant was lost and renewed. */
    get reconnects() {
      return counters.reconnects;
    },
    /** Milliseconds of the assistant's voice heard since the session started or the last clear. */
    get playedMs() {
      return page.speaker?.heardMs ?? 0;
    },
    /** Milliseconds of the assistant's voice played since the page was loaded. */
    get totalPlayedMs() {
      return counters.playedMs;
    },
    /** RMS (0 to 1) of all that was played since the page was loaded. */
    get playedRms() {
      return counters.playedFrames === 0 ? 0 : Math.sqrt(counters.playedEnergy / counters.playedFrames);
    },
    /** Largest sample (0 to 1) of all that was played since the page was loaded. */
    get playedPeak() {
      return counters.playedPeak;
    },
  }),
});
