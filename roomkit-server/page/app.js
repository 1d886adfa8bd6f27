/** The page: wires one call's wire and audio to what the person sees and presses. */

import { audioSupported, explainMicrophone, Microphone, openAudio, openMicrophone, Speaker } from "./audio.js";
import { Call } from "./call.js";
import { Clock } from "./clock.js";
import { obstacle } from "./room.js";
import { RoomPanel } from "./room-panel.js";
import { accessToken, counters, keepAccessToken, page, stateWord, whoSpeaks } from "./state.js";
import { StatusView } from "./status.js";
import { Transcript } from "./transcript.js";

/** Milliseconds between two `playback` reports while the assistant is heard. */
const PLAYBACK_REPORT_MS = 200;

/** Milliseconds for which the page says that the assistant is there again. */
const RECONNECTED_MS = 5000;

const UNREACHABLE = "The call could not be started: the server is not reachable.";
const REFUSED = "The call could not be started: the server takes no more calls right now.";

const byId = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);

const status = new StatusView({
  status: byId("status"),
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
});
const clock = new Clock((time) => (byId("clock").textContent = time));
const roomPanel = new RoomPanel({ status, transcript, askForToken });

/** Changes what the page knows, and shows it. */
function update(change) {
  Object.assign(page, change);
  const live = page.phase === "live" || page.phase === "reconnecting";
  const { muted, note, reason } = page;
  status.show({ state: stateWord(), speaker: whoSpeaks(), muted, note, reason });
  byId("mute").disabled = !live || page.microphone === undefined;
  byId("mute").setAttribute("aria-pressed", page.muted);
  byId("interrupt").disabled = !live;
  for (const field of byId("text-form").elements) {
    field.disabled = !live;
  }
}

// ---- starting a call ------------------------------------------------------------------------

async function startCall({ withMicrophone }) {
  status.clearBanners();
  // Made before the first wait: browsers allow sound only as an answer to a gesture.
  const context = audioSupported() ? new AudioContext({ latencyHint: "interactive" }) : undefined;
  byId("clock").hidden = true;
  update({ phase: "connecting", reason: undefined, context });
  const giveUp = async (show) => {
    if (page.context === context) {
      await releaseAudio();
      update({ phase: "idle" });
      show();
    }
  };
  try {
    await (context && openAudio(context));
  } catch {
    await giveUp(() => status.banner(UNREACHABLE));
    return;
  }
  let stream;
  try {
    stream = withMicrophone ? await openMicrophone() : undefined;
  } catch (error) {
    await giveUp(() => offerCallWithoutMicrophone(explainMicrophone(error)));
    return;
  }
  if (page.phase !== "connecting" || page.context !== context) {
    // Cancelled while the browser was asking.
    stream?.getTracks().forEach((track) => track.stop());
    return;
  }
  page.microphone = stream && new Microphone(context, stream);
  page.microphone?.onLost(() =>
    status.banner("The microphone was disconnected. You can still type, or start again."),
  );
  page.call = listen(
    new Call({
      url: "ws",
      room: roomPanel.openRoomId ?? query.get("room"),
      participant: query.get("participant"),
      token: accessToken(),
    }),
  );
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
    audio: (pcm) => {
      counters.receivedAudioBytes += pcm.byteLength;
      page.speaker?.play(pcm);
    },
    clear_audio: () => {
      counters.clears += 1;
      page.speaker?.clear();
      status.level("assistant", 0);
      update({ playing: false });
    },
    transcription: (message) => transcript.show(message),
    speaking: ({ who, speaking }) =>
      update(who === "user" ? { userSpeaking: speaking } : { assistantSpeaking: speaking }),
    tool_call: (message) => transcript.showTool(message),
    reconnecting: () => reconnecting(),
    reconnected: () => reconnected(call),
    error: ({ code, message }) => status.banner(message ?? code ?? "The server reported an error."),
    closed: (end) => callClosed(end),
  };
  for (const [type, handle] of Object.entries(handlers)) {
    call.addEventListener(type, ({ detail }) => handle(detail));
  }
  return call;
}

function sessionStarted(call, session) {
  page.session = session;
  if (page.context !== undefined) {
    page.speaker = new Speaker(page.context, session.output_sample_rate, showPlayed);
    reportPlayback(call, page.speaker);
  }
  page.microphone?.start(session.input_sample_rate, (pcm, level) => sendFrame(call, pcm, level));
  clock.start();
  byId("clock").hidden = false;
  update({ phase: "live" });
  roomPanel.enter(session.room_id, session.channel_id);
}

// ---- while it lasts -------------------------------------------------------------------------

function sendFrame(call, pcm, level) {
  status.level("user", page.muted ? 0 : level);
  if (page.muted) {
    return;
  }
  if (call.sendAudio(pcm)) {
    counters.sentAudioBytes += pcm.byteLength;
  } else {
    counters.droppedFrames += 1;
  }
}

/** Takes the loudspeaker's account of what it has just played. */
function showPlayed({ playing, frames, energy, peak }) {
  counters.playedFrames += frames;
  counters.playedEnergy += energy;
  counters.playedPeak = Math.max(counters.playedPeak, peak);
  counters.playedMs += (frames / page.context.sampleRate) * 1000;
  status.level("assistant", playing && frames > 0 ? Math.sqrt(energy / frames) : 0);
  if (playing !== page.playing) {
    update({ playing });
  }
}

/** The server has lost the assistant and looks for it. Until then it keeps what it is sent. */
function reconnecting() {
  transcript.forget("user");
  roomPanel.forgetHalfSaid();
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
    update({ phase: "idle" });
    await releaseAudio();
  }
}

function callClosed({ started, code, reason, error }) {
  if (started) {
    transcript.settle();
    transcript.showNote("Call ended");
    roomPanel.settle();
    if (reason === "room_closed") {
      roomPanel.close();
    }
  } else if (code !== 1000) {
    explainRefusal(error ?? reason);
  }
  clock.stop();
  const lost = code === 1000 ? undefined : "the connection was lost";
  releaseAudio();
  status.level("user", 0);
  status.level("assistant", 0);
  update({
    phase: started ? "ended" : "idle",
    reason: reason ?? lost,
    call: undefined,
    note: undefined,
    muted: false,
    userSpeaking: false,
    assistantSpeaking: false,
    playing: false,
  });
}

/** A refused WebSocket does not say why; a request does. */
async function explainRefusal(message) {
  const { status: answer, message: problem } = message ? {} : ((await obstacle(accessToken())) ?? {});
  if (answer === 401) {
    askForToken(() => startCall({ withMicrophone: true }));
  } else if (answer === 0) {
    status.banner(UNREACHABLE);
  } else {
    status.banner(message ?? problem ?? REFUSED);
  }
}

async function releaseAudio() {
  const { context, microphone, speaker } = page;
  Object.assign(page, { context: undefined, microphone: undefined, speaker: undefined });
  microphone?.stop();
  speaker?.stop();
  await context?.close();
}

// ---- a server with tokens --------------------------------------------------------------------

let afterToken;

/** Shows the token field, and goes on with `then` once it has been filled in. */
function askForToken(then) {
  afterToken = then;
  byId("token-problem").textContent =
    accessToken() === undefined ? "This server asks for an access token." : "The server did not take this token.";
  byId("token-form").hidden = false;
  byId("token").focus();
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepAccessToken(byId("token").value.trim());
  byId("token").value = "";
  byId("token-form").hidden = true;
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
  const typing = event.target.matches("input:not([type=checkbox]), textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) {
    return;
  }
  if (event.key.toLowerCase() === "m" && !byId("mute").disabled) {
    setMuted(!page.muted);
  } else if (event.key === "Escape" && !byId("interrupt").disabled) {
    interrupt();
  }
});

byId("text-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (text !== "") {
    page.call?.sendText(text);
    transcript.showTyped(text);
    byId("text").value = "";
  }
});

addEventListener("pagehide", () => page.call?.end());

update({});
if (!audioSupported()) {
  offerCallWithoutMicrophone(explainMicrophone());
}
if (query.get("room")) {
  roomPanel.watch(query.get("room"));
}
