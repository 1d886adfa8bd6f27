/** A call over WebRTC in Firefox, if it is installed: set up, heard both ways, mended, and ended. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { call, launch, missing, open, said, textOf, TONE, until } from "../../support/firefox.mjs";
import { pitch, purity, rms } from "../../support/recorder.mjs";
import { failAtWill, watchOffers } from "../../support/scripts.mjs";
import { startServer, untilCalls } from "../../support/server.mjs";

const options = { skip: missing, timeout: 60_000 };
const STORY = "Tell me a story that takes a while, because it will not be heard to its end: ".repeat(4);
/** Milliseconds of an answer that may still be heard once it is interrupted. */
const INTERRUPTED_MS = 700;

let server;
let firefox;
before(async () => {
  if (!missing) {
    [server, firefox] = await Promise.all([startServer(), launch()]);
  }
});
after(async () => {
  await firefox?.close();
  await server?.stop();
});

/** Says something in writing. */
async function write(page, text) {
  await page.type("#text", text);
  await page.keyboard.press("Enter");
}

/** The last 0.7 s of what `listenIn` hears. */
async function listen(page, name) {
  const { rate, samples } = await page.evaluate((ear) => {
    const { context, fftSize } = window.ears[ear];
    const heard = new Float32Array(fftSize);
    window.ears[ear].getFloatTimeDomainData(heard);
    return { rate: context.sampleRate, samples: [...heard] };
  }, name);
  return { rate, samples: Float32Array.from(samples) };
}

/** Waits until so many milliseconds of the assistant's voice have been heard. */
async function heard(page, milliseconds) {
  await until(page, (least) => window.roomkit.totalPlayedMs >= least && window.roomkit.playedRms > 0.01, milliseconds);
}

const playedMs = (page) => page.evaluate(() => window.roomkit.totalPlayedMs);

test("c3 Firefox: the page loads without script errors", options, async (context) => {
  context.diagnostic(await firefox.version());
  const page = await open(context, firefox, server);
  await page.waitForSelector("input[name=transport][value=webrtc]:checked:enabled");
  assert.equal(await textOf(page, "#connection"), "Not connected");
  assert.equal(await page.evaluate(() => window.roomkit.state), "idle");
  assert.equal(await page.$eval("#banners", ({ children }) => children.length), 0);
});

test("c3 Firefox: a call takes WebRTC by itself and shows how it comes and goes", options, async (context) => {
  const page = await open(context, firefox, server, { scripts: [noteSockets, silentMicrophone] });
  await page.evaluate(watchStates);
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "listening" && window.roomkit.connection === "connected");
  const { transport, sessionId } = await page.evaluate(() => {
    const { transport, sessionId } = window.roomkit;
    return { transport, sessionId };
  });
  assert.equal(transport, "webrtc");
  assert.match(sessionId, /^[0-9a-f]{32}$/);
  await untilCalls(server, 1);

  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "ended");
  await untilCalls(server, 0);
  assert.equal(await textOf(page, "#status"), "Call ended: you ended it");
  assert.deepEqual(await page.evaluate(() => window.shown), ["WebRTC, connecting", "WebRTC, connected", "Not connected"]);
  const sockets = await page.evaluate(() => window.sockets);
  assert.deepEqual(sockets.filter((path) => !path.endsWith("/events")), [], "messages go through the DataChannel");
});

test("c3 Firefox: words go both ways through the DataChannel, and the voice is heard on the track", options, async (context) => {
  const page = await call(context, firefox, server, { scripts: [keepPeer, keepPlayers, silentMicrophone] });
  await write(page, "What is the weather like?");
  assert.match(await said(page, "assistant", "weather"), /What is the weather like/);
  await heard(page, 300);
  assert.deepEqual(await page.evaluate(playersPlay), [true]);
  await until(page, () => window.roomkit.state === "listening" && window.roomkit.stats.bufferMs !== undefined);
  assert.match(await textOf(page, "#round-trip"), /^(< )?\d+ ms$/);
  context.diagnostic(JSON.stringify(await page.evaluate(receivedAudio)));
});

test("Firefox: tools are seen to run, and what answers cost", options, async (context) => {
  const page = await call(context, firefox, server, { scripts: [silentMicrophone] });
  await write(page, "use current_time {}");
  await said(page, "assistant", "current_time answered");
  assert.match(await textOf(page, ".tool[data-status=completed]"), /^current_time done in (< )?\d+ ms$/);
  await until(page, () => document.querySelector(".turn summary") !== null);
  assert.match(await textOf(page, ".turn summary"), /^\d+ tokens in, \d+ out$/);
  assert.equal(await textOf(page, "#total-tool-calls"), "1");
});

test("c3 Firefox: a tone comes back at its pitch, and clean", options, async (context) => {
  const page = await call(context, firefox, server, { scripts: [listenIn] });
  await until(page, () => window.roomkit.speaking === "user");
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const spoken = await listen(page, "spoken");
  // The tone never ends: this is what ends the utterance.
  await page.click("#mute");
  await until(page, () => window.roomkit.muted);
  const seconds = Number((await said(page, "user")).match(/you spoke for ([\d.]+) s/)[1]);
  assert.ok(seconds > 1.5 && seconds < 4, `the server heard ${seconds} s`);
  await heard(page, 1200);
  const played = await listen(page, "played");
  await until(page, () => window.roomkit.state === "listening");

  const [spokenHz, playedHz] = [spoken, played].map(({ samples, rate }) => pitch(samples, rate));
  assert.ok(Math.abs(spokenHz / TONE - 1) < 0.01, `the microphone hears ${spokenHz} Hz`);
  assert.ok(Math.abs(playedHz / spokenHz - 1) < 0.01, `${playedHz} Hz came back of ${spokenHz} Hz`);
  const share = purity(playedHz, played.samples, played.rate);
  assert.ok(share > 0.9, `${share} of the power is the tone's`);
  const decibels = 20 * Math.log10(rms(played.samples) / rms(spoken.samples));
  assert.ok(Math.abs(decibels) < 3, `${decibels} dB louder than the tone`);
  const length = (await playedMs(page)) / 1000;
  assert.ok(Math.abs(length / seconds - 1) < 0.25, `${length} s came back of ${seconds} s`);
  const cleanness = `${(100 * share).toFixed(1)} % of the power, ${decibels.toFixed(2)} dB`;
  context.diagnostic(`${spokenHz.toFixed(2)} Hz came back as ${playedHz.toFixed(2)} Hz, ${cleanness}, ${length.toFixed(2)} s of ${seconds} s`);
});

test("a3 Firefox: an interrupt stops the voice", options, async (context) => {
  const page = await call(context, firefox, server, { scripts: [silentMicrophone] });
  await write(page, STORY);
  await heard(page, 500);
  const before = await playedMs(page);
  await page.click("#interrupt");
  await page.waitForSelector(".bubble[data-role=assistant].interrupted");
  await until(page, () => window.roomkit.state === "listening");
  const restAfter = async (milliseconds) => {
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    return (await playedMs(page)) - before;
  };
  // What still waits in the browser's buffer may be heard.
  const rest = await restAfter(INTERRUPTED_MS);
  assert.ok(rest < INTERRUPTED_MS, `${rest} ms of the answer were heard after the interrupt`);
  assert.equal(await restAfter(500), rest, "it does not go on");
  assert.equal(await page.evaluate(() => window.roomkit.clears), 1);
  context.diagnostic(`${Math.round(rest)} ms of the answer were heard after the interrupt`);
});

test("Firefox: a connection that fails is mended without another call", options, async (context) => {
  const page = await call(context, firefox, server, { scripts: [silentMicrophone, keepPeer, failAtWill] });
  await page.evaluate(watchOffers);
  const look = () => page.evaluate(() => ({
    session: window.roomkit.sessionId,
    names: [window.peer.localDescription, window.peer.remoteDescription].map(({ sdp }) => sdp.match(/a=ice-ufrag:(\S+)/)[1]),
  }));
  const before = await look();
  await page.evaluate(() => window.failConnection());
  await until(page, () => window.notes.length > 0 && window.roomkit.connection === "connected");
  assert.match(await page.evaluate(() => window.notes[0]), /connection to the server is interrupted/);
  assert.deepEqual(await page.evaluate(() => window.offers.map(({ restart, status }) => [restart, status])), [[true, 200]]);
  const { session, names } = await look();
  assert.equal(session, before.session);
  assert.ok(names.every((name, n) => name !== before.names[n]), `ICE begins anew: ${before.names} became ${names}`);
  await until(page, () => ["connected", "completed"].includes(window.peer.iceConnectionState));
  await write(page, "Are you still there?");
  await said(page, "assistant", "still there");
  await heard(page, 300);
});

test("Firefox: leaving the page ends the call at once", options, async (context) => {
  const page = await call(context, firefox, server, { scripts: [silentMicrophone] });
  await untilCalls(server, 1);
  await page.close();
  // By itself a peer that is silent would be noticed only much later.
  const took = await untilCalls(server, 0);
  assert.ok(took < 4000, `the server is told, and does not notice after ${took} ms`);
});

test("Firefox: without a microphone one can still type, and listen", options, async (context) => {
  const refusing = await launch("refused");
  context.after(() => refusing.close());
  const page = await open(context, refusing, server, { scripts: [keepPlayers] });
  await page.click("#toggle");
  await page.waitForSelector("::-p-text(was not allowed to use the microphone)");
  await page.click("::-p-text(Continue without a microphone)");
  // Until sound has begun nothing is asked of the page: Firefox would forget the click.
  await untilCalls(server, 1);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await until(page, () => window.roomkit.state === "listening" && window.roomkit.connection === "connected");
  assert.equal(await page.$eval("#mute", ({ disabled }) => disabled), true);
  await write(page, "Can you be heard?");
  await said(page, "assistant", "be heard");
  await heard(page, 300);
  assert.deepEqual(await page.evaluate(playersPlay), [true]);
});

// ---- scripts for the page -------------------------------------------------------------------

/** A microphone that hears nothing. */
function silentMicrophone() {
  const { getUserMedia } = MediaDevices.prototype;
  MediaDevices.prototype.getUserMedia = async function (constraints) {
    const stream = await getUserMedia.call(this, constraints);
    for (const track of stream.getTracks()) {
      track.enabled = false;
    }
    return stream;
  };
}

/** Notes which sockets the page opens. */
function noteSockets() {
  const { WebSocket } = window;
  window.sockets = [];
  window.WebSocket = class extends WebSocket {
    constructor(url, ...rest) {
      super(url, ...rest);
      window.sockets.push(new URL(url, location.href).pathname);
    }
  };
}

/** Notes what the page says of its connection. */
function watchStates() {
  window.shown = [];
  const connection = document.getElementById("connection");
  new MutationObserver(() => window.shown.push(connection.textContent)).observe(connection, { childList: true });
}

/** Keeps the peer connection. */
function keepPeer() {
  const { RTCPeerConnection } = window;
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(configuration) {
      super(configuration);
      window.peer = this;
    }
  };
}

/** Keeps what plays. */
function keepPlayers() {
  const { play } = HTMLMediaElement.prototype;
  window.players = [];
  HTMLMediaElement.prototype.play = function () {
    window.players.push(this);
    return play.call(this);
  };
}

/** For each element, whether sound comes out of it: the page's graph only listens. */
function playersPlay() {
  return window.players.map(({ paused, muted, currentTime }) => !paused && !muted && currentTime > 0);
}

/** Listens in on the page's audio graph, at the microphone and at the track that the server sends. */
function listenIn() {
  const { connect } = AudioNode.prototype;
  window.ears = {};
  AudioNode.prototype.connect = function (target, ...rest) {
    // The page listens to a track behind a gate.
    const name = this instanceof GainNode ? "played" : "spoken";
    if (target instanceof AudioWorkletNode && !window.ears[name]) {
      window.ears[name] = new AnalyserNode(this.context, { fftSize: 32_768 });
      connect.call(this, window.ears[name]);
    }
    return connect.call(this, target, ...rest);
  };
}

/** What the peer connection says of the audio that it received. */
async function receivedAudio() {
  const all = [...(await window.peer.getStats()).values()];
  const inbound = all.find(({ type, kind }) => type === "inbound-rtp" && kind === "audio");
  const { jitter, packetsReceived, packetsLost, totalSamplesReceived } = inbound;
  const { concealedSamples, silentConcealedSamples, concealmentEvents } = inbound;
  const bufferMs = Math.round((1000 * inbound.jitterBufferDelay) / inbound.jitterBufferEmittedCount);
  return { jitter, bufferMs, packetsReceived, packetsLost, totalSamplesReceived, concealedSamples, silentConcealedSamples, concealmentEvents };
}
