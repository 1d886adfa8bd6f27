/** The page: wires one call's wire and audio to what the person sees and presses. */

import { audioSupported, explainMicrophone, openAudio, openMicrophone } from "./audio.js";
import { Clock } from "./clock.js";
import { ConnectionPanel } from "./connection-panel.js";
import { Devices } from "./devices.js";
import { keepFocus } from "./focus.js";
import { RecordingControl } from "./recording.js";
import { obstacle } from "./room.js";
import { RoomPanel } from "./room-panel.js";
import { Sound } from "./sound.js";
import { accessToken, counters, keepAccessToken, page, stateWord, whoSpeaks } from "./state.js";
import { StatusView } from "./status.js";
import { siteStore } from "./storage.js";
import { ToolCalls } from "./tool-calls.js";
import { Totals } from "./totals.js";
import { Transcript } from "./transcript.js";
import { Transports } from "./transports.js";
import { Turns } from "./turns.js";

/** Milliseconds for which the page says that the assistant is there again. */
const RECONNECTED_MS = 5000;

const UNREACHABLE = "The call could not be started: the server is not reachable.";
const NO_WAY = "This server has no way in that this page and this browser know.";
const NO_WEBRTC =
  "The call could not be connected by WebRTC: this network does not seem to let it through. WebSocket gets through almost everywhere.";
const REFUSED = "The call could not be started: the server takes no more calls right now.";

const NO_TOKEN = "This server asks for an access token.";
const TOKEN_NOT_TAKEN = "The server did not take this token.";
const ANOTHER_TOKEN = "Go on with another token, if this one was for one call.";

/** What the server says of a text that it does not take. */
const NOT_TAKEN = new Set(["text_too_fast", "text_too_long", "message_too_long", "text_muted"]);

const byId = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);

const status = new StatusView({
  status: byId("status"),
  spoken: byId("call-state"),
  toggle: byId("toggle"),
  label: byId("toggle-label"),
  note: byId("call-note"),
  banners: byId("banners"),
  meters: { user: byId("meter-user"), assistant: byId("meter-assistant") },
});
const transcript = new Transcript({
  list: byId("transcript"),
  empty: byId("transcript-empty"),
  announcer: byId("announcer"),
  // A screen reader that says it once more talks over the voice and into the microphone.
  isHeard: () => page.call !== undefined && page.speaker !== undefined,
});
const clock = new Clock((time) => (byId("clock").textContent = time));
const tools = new ToolCalls(transcript);
const turns = new Turns(transcript);
const totals = new Totals();
const recording = new RecordingControl(
  {
    button: byId("record"),
    label: byId("record-label"),
    hint: byId("record-hint"),
    indicator: byId("recording"),
  },
  (on) => page.call?.record(on),
);
const roomPanel = new RoomPanel({ status, transcript, tools, askForToken });
const transports = new Transports();
const connection = new ConnectionPanel(transports, () => update({}));
const devices = new Devices(
  { microphone: byId("microphone-device"), speaker: byId("speaker-device") },
  (id) => sound.changeMicrophone(id),
  (id) => sound.changeSpeaker(id),
);
const sound = new Sound({ status, devices, update, onLatency: showLatency });

/** Changes what the page knows, and shows it. */
function update(change) {
  Object.assign(page, change);
  keepFocus(show);
}

function show() {
  const live = page.phase === "live" || page.phase === "reconnecting";
  const { muted, reason } = page;
  const isCut = live && (page.connection === "interrupted" || page.connection === "restoring");
  const cutNote = page.transport === "webrtc" ? "interrupted" : "silent";
  const note = isCut ? cutNote : page.note;
  status.show({ state: stateWord(), speaker: whoSpeaks(), muted, cut: isCut, note, reason });
  connection.show();
  devices.show(page.transport ?? transports.chosen);
  byId("mute").disabled = !live || page.microphone === undefined;
  byId("mute").setAttribute("aria-pressed", page.muted);
  byId("interrupt").disabled = !live;
  for (const field of byId("text-form").elements) {
    field.disabled = !live;
  }
}

// ---- starting a call ------------------------------------------------------------------------

async function startCall({ withMicrophone }) {
  if (page.phase !== "idle" && page.phase !== "ended") {
    return;
  }
  status.clearBanners();
  // What it was to go on with is this call, which asks for the token again if it needs one.
  hideTokenForm();
  // Made before the first wait: browsers allow sound only as an answer to a gesture.
  const context = audioSupported() ? new AudioContext({ latencyHint: "interactive" }) : undefined;
  if (context) {
    sound.keepGoing(context);
  }
  byId("clock").hidden = true;
  const start = Symbol("start");
  const isCancelled = () => page.start !== start;
  update({ phase: "connecting", reason: undefined, start, context, stats: {}, latencies: [] });
  connection.showReadouts();
  const giveUp = (show) => {
    if (!isCancelled()) {
      sound.release();
      update({ phase: "idle" });
      show();
    }
  };
  try {
    await Promise.all([transports.load(), context && openAudio(context)]);
  } catch {
    giveUp(() => status.banner(UNREACHABLE));
    return;
  }
  if (isCancelled()) {
    return;
  }
  if (transports.chosen === undefined) {
    giveUp(() => status.banner(NO_WAY));
    return;
  }
  let stream;
  try {
    stream = withMicrophone ? await openMicrophone(devices.microphone) : undefined;
  } catch (error) {
    giveUp(() => offerCallWithoutMicrophone(explainMicrophone(error)));
    return;
  }
  if (isCancelled()) {
    // Cancelled while the browser was asking.
    stream?.getTracks().forEach((track) => track.stop());
    return;
  }
  if (stream) {
    sound.useMicrophone(stream);
  }
  const call = transports.call({
    room: roomPanel.openRoomId ?? query.get("room"),
    participant: query.get("participant"),
    token: accessToken(),
    microphone: page.microphone?.track,
  });
  update({ call: listen(call), transport: call.constructor.transport, connection: "connecting" });
}

function offerCallWithoutMicrophone(problem) {
  status.banner(problem, {
    label: "Continue without a microphone",
    run: () => startCall({ withMicrophone: false }),
  });
}

function listen(call) {
  const handlers = {
    session_started: (session) => sessionStarted(call, session),
    connection: (state) => update({ connection: state }),
    audio: (pcm) => sound.playFrame(pcm),
    remote_audio: (stream) => sound.playTrack(stream),
    clear_audio: () => {
      counters.clears += 1;
      sound.clear();
      update({ playing: false });
    },
    transcription: (message) => {
      transcript.show(own(message));
      turns.follow();
    },
    speaking: (message) => showSpeaking(message),
    tool_call: (message) => tools.show(own(message)),
    stats: (message) => {
      totals.show(message);
      turns.take(message);
    },
    recording: ({ state }) => showRecording(state),
    reconnecting: () => reconnecting(),
    reconnected: () => reconnected(call),
    error: (problem) => showError(problem),
    closed: (end) => callClosed(end),
  };
  for (const [type, handle] of Object.entries(handlers)) {
    call.addEventListener(type, ({ detail }) => page.call === call && handle(detail));
  }
  return call;
}

/** A message of the call's, with its session beside it as a room tells it. */
function own(message) {
  return { ...message, session_id: page.session.session_id };
}

function sessionStarted(call, session) {
  page.session = session;
  page.ownSessions.add(session.session_id);
  if (call.sendAudio) {
    sound.startFrames(call, session);
  }
  connection.watch(call);
  turns.start();
  totals.clear();
  clock.start();
  byId("clock").hidden = false;
  update({ phase: "live" });
  roomPanel.enter(session.room_id, session.channel_id);
}

// ---- while it lasts -------------------------------------------------------------------------

function showSpeaking({ who, speaking }) {
  if (who === "user") {
    sound.userSpeaking(speaking);
    update({ userSpeaking: speaking });
  } else {
    update({ assistantSpeaking: speaking });
  }
}

function showLatency(milliseconds) {
  page.latencies.push(milliseconds);
  connection.showReadouts();
  turns.heard(milliseconds);
}

function showRecording(state) {
  recording.show(state);
  page.recording = state;
}

function showError({ code, message }) {
  if (code === "recording_not_allowed" || code === "recording_unavailable") {
    recording.refuse();
  }
  if (NOT_TAKEN.has(code)) {
    // Still there to be sent again, unless the person has begun something else.
    const text = transcript.takeBackTyped() ?? "";
    byId("text").value ||= text;
  }
  status.banner(message ?? code ?? "The server reported an error.");
}

/** The server has lost the assistant and looks for it. Until then it keeps what it is sent. */
function reconnecting() {
  const { session_id: session } = page.session;
  transcript.forget(session, "user");
  roomPanel.forgetHalfSaid(session);
  update({ phase: "reconnecting", note: "reconnecting" });
}

function reconnected(call) {
  counters.reconnects += 1;
  update({ phase: "live", note: "reconnected" });
  const count = counters.reconnects;
  setTimeout(() => {
    if (page.call === call && page.note === "reconnected" && counters.reconnects === count) {
      update({ note: undefined });
    }
  }, RECONNECTED_MS);
}

function setMuted(muted) {
  if (page.microphone) {
    page.microphone.muted = muted;
  }
  page.call?.mute(muted);
  update({ muted });
}

function interrupt() {
  page.call?.interrupt();
}

// ---- ending it ------------------------------------------------------------------------------

async function hangUp() {
  if (page.call) {
    page.call.end();
  } else {
    update({ phase: "idle", start: undefined });
    await sound.release();
  }
}

function callClosed({ started, code, reason, error, refusal, unreachable }) {
  recording.clear();
  if (started) {
    transcript.settle();
    tools.settle();
    transcript.showNote("Call ended");
    roomPanel.settle(page.session.session_id);
    if (reason === "room_closed") {
      roomPanel.close();
    }
  } else if (unreachable) {
    offerWebSocket();
  } else if (code !== 1000) {
    explainRefusal(error ?? reason, refusal);
  }
  clock.stop();
  const lost = code === 1000 ? undefined : "the connection was lost";
  sound.release();
  status.level("user", 0);
  status.level("assistant", 0);
  update({
    phase: started ? "ended" : "idle",
    reason: reason ?? lost,
    call: undefined,
    transport: undefined,
    connection: "closed",
    recording: undefined,
    note: undefined,
    muted: false,
    userSpeaking: false,
    assistantSpeaking: false,
    playing: false,
  });
}

/** A refused WebSocket does not say why; a request does. */
async function explainRefusal(message, refusal) {
  const withMicrophone = page.microphone !== undefined;
  const room = roomPanel.openRoomId ?? query.get("room");
  const refused = message ? undefined : (refusal ?? (await obstacle(accessToken(), room)));
  const { status: answer, code, message: problem } = refused ?? {};
  if (code === "room_closed") {
    roomPanel.close();
  }
  // A token of one use that was used still opens the room, or nothing that could be asked: no answer tells.
  const maybeUsed = answer === 403 || (!message && refused === undefined && accessToken() !== undefined);
  if (answer === 401 || maybeUsed) {
    askForToken(() => startCall({ withMicrophone }), maybeUsed ? ANOTHER_TOKEN : undefined);
    if (maybeUsed) {
      status.banner(`${REFUSED.slice(0, -1)}, or does not take this token again.`);
    }
  } else if (answer === 0) {
    status.banner(UNREACHABLE);
  } else {
    status.banner(message ?? (answer === 503 ? REFUSED : problem) ?? REFUSED);
  }
}

function offerWebSocket() {
  const withMicrophone = page.microphone !== undefined;
  const other = transports.offers("websocket") && {
    label: "Call over WebSocket",
    run: () => {
      transports.choose("websocket");
      startCall({ withMicrophone });
    },
  };
  status.banner(NO_WEBRTC, other);
}

// ---- a server with tokens --------------------------------------------------------------------

let afterToken;

/** Shows the token field, and goes on with `then` once it has been filled in. */
function askForToken(then, problem = accessToken() === undefined ? NO_TOKEN : TOKEN_NOT_TAKEN) {
  afterToken = then;
  byId("token-problem").textContent = problem;
  byId("token-form").hidden = false;
  byId("token").focus();
}

function hideTokenForm() {
  keepFocus(() => (byId("token-form").hidden = true));
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepAccessToken(byId("token").value.trim());
  byId("token").value = "";
  hideTokenForm();
  afterToken();
});

// ---- what the person presses ----------------------------------------------------------------

byId("toggle").addEventListener("click", () => {
  if (page.phase === "idle" || page.phase === "ended") {
    startCall({ withMicrophone: true });
  } else {
    hangUp();
  }
});
byId("mute").addEventListener("click", () => setMuted(!page.muted));
byId("interrupt").addEventListener("click", interrupt);

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) {
    return;
  }
  if (event.key.toLowerCase() === "m" && byId("shortcut").checked && !byId("mute").disabled) {
    setMuted(!page.muted);
  } else if (event.key === "Escape" && !byId("interrupt").disabled) {
    interrupt();
  }
});

/** A key without Ctrl or Alt is easily pressed by accident, and by who speaks to the computer: it can be switched off. */
const SHORTCUT_KEY = "roomkit.shortcut";
const shortcut = byId("shortcut");
function showShortcut() {
  byId("mute").querySelector("kbd").hidden = !shortcut.checked;
  if (shortcut.checked) {
    byId("mute").setAttribute("aria-keyshortcuts", "M");
  } else {
    byId("mute").removeAttribute("aria-keyshortcuts");
  }
}
shortcut.checked = siteStore.get(SHORTCUT_KEY) !== "off";
shortcut.addEventListener("change", () => {
  siteStore.set(SHORTCUT_KEY, shortcut.checked ? "on" : "off");
  showShortcut();
});
showShortcut();

byId("text-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (text !== "" && page.call?.sendText(text)) {
    transcript.showTyped(text);
    sound.typed();
    byId("text").value = "";
  }
});

addEventListener("pagehide", () => page.call?.leave());

update({});
// Where it fails now, it is tried again by a call, which says so.
transports.load().then(() => update({}), () => {});
if (!audioSupported()) {
  offerCallWithoutMicrophone(explainMicrophone());
}
if (query.get("room")) {
  roomPanel.watch(query.get("room"));
}
