/** A call over WebRTC: what is heard and how soon, what the page says of its connection, and how it ends. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { call, launch, launchFor, open, picture, said, until } from "../../support/browser.mjs";
import { envelope, likeness, loudPart, pitch, purity, record, rms } from "../../support/recorder.mjs";
import { failAtWill, holdRestart, loseOffers, watchOffers } from "../../support/scripts.mjs";
import { startServer, untilCalls } from "../../support/server.mjs";
import { hasTurn, startTurn } from "../../support/turn.mjs";
import { tone, wav } from "../../support/wav.mjs";

const LOUD = 0.01;
/** Milliseconds of the assistant's voice that may still be heard once the user speaks over it: it has to be noticed first. */
const BARGE_IN_MS = 700;

let server;
let silent;
before(async () => {
  server = await startServer();
  silent = await launch("silent");
});
after(async () => {
  await silent.close();
  await server.stop();
});

/** A server that no other test calls, so that its calls can be counted. */
async function ownServer(context) {
  const own = await startServer();
  context.after(() => own.stop());
  return own;
}

/** Waits for the answer and for its end. */
async function answered(page) {
  await said(page, "assistant");
  await until(page, () => window.roomkit.totalPlayedMs > 0 && window.roomkit.state === "listening");
}

test("c3 a call takes WebRTC by itself and shows how it comes and goes", async () => {
  const page = await open(silent, server);
  const sockets = [];
  page.on("websocket", (socket) => sockets.push(new URL(socket.url()).pathname));
  await page.locator("input[name=transport][value=webrtc]:checked").waitFor();
  assert.equal(await page.textContent("#connection"), "Not connected");
  await page.evaluate(() => {
    window.shown = [];
    const watch = () => window.shown.push(document.getElementById("connection").textContent);
    new MutationObserver(watch).observe(document.getElementById("connection"), { childList: true });
  });
  const place = () => page.locator("#mute").boundingBox();
  const before = await place();

  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "listening");
  assert.equal(await page.evaluate(() => window.roomkit.transport), "webrtc");
  assert.equal(await page.isDisabled("input[name=transport][value=websocket]"), true, "a call keeps its transport");
  assert.deepEqual(await place(), before, "nothing has moved");
  await picture(page, "webrtc");
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "ended");
  assert.equal(await page.textContent("#status"), "Call ended: you ended it");
  assert.deepEqual(await page.evaluate(() => window.shown), ["WebRTC, connecting", "WebRTC, connected", "Not connected"]);
  assert.deepEqual(sockets.filter((path) => !path.endsWith("/events")), [], "messages go through the DataChannel");
  await page.close();
});

test("c3 words go both ways through the DataChannel", async () => {
  const page = await call(silent, server);
  await page.fill("#text", `What is the weather like${", and the day after".repeat(12)}?`);
  await page.press("#text", "Enter");
  await until(page, () => window.roomkit.totalPlayedMs > 300 && window.roomkit.playedRms > 0.01);
  await page.click("#interrupt");
  await until(page, () => window.roomkit.clears > 0);
  await page.locator(".bubble[data-role=assistant].interrupted").waitFor();
  await page.close();
});

test("c3 speech comes back as it was spoken", async (context) => {
  const browser = await launchFor(context, "question.wav");
  const page = await open(browser, server, { bypassCSP: true });
  const recording = await record(page);
  await page.click("#toggle");
  await said(page, "user");
  await answered(page);

  const spoken = loudPart(envelope(await recording.spoken()));
  const played = loudPart(envelope(await recording.played()));
  const lengths = `${10 * played.length} ms came back of ${10 * spoken.length} ms`;
  assert.ok(Math.abs(played.length / spoken.length - 1) < 0.1, lengths);
  const decibels = 20 * Math.log10(rms(played) / rms(spoken));
  assert.ok(Math.abs(decibels) < 3, `${decibels} dB louder than the question`);
  const same = likeness(spoken, played);
  assert.ok(same > 0.9, `the loudness of question and echo is alike by ${same}; ${lengths}`);
  context.diagnostic(`${lengths}, ${decibels.toFixed(2)} dB, alike by ${same.toFixed(3)}`);
});

test("c3 a tone comes back at its pitch, and clean", async (context) => {
  const browser = await launchFor(context, wav(tone(1000)));
  // What a browser does for speech it does against a tone: that is not what is tested.
  const page = await open(browser, server, { bypassCSP: true, script: plainMicrophone });
  const recording = await record(page);
  await page.click("#toggle");
  await answered(page);

  const { rate, samples } = await recording.played();
  const first = samples.findIndex((sample) => Math.abs(sample) > 0.05);
  const middle = samples.subarray(first + rate / 2, first + rate * 1.5);
  const frequency = pitch(middle, rate);
  assert.ok(Math.abs(frequency / 1000 - 1) < 0.01, `${frequency} Hz`);
  const share = purity(frequency, middle, rate);
  assert.ok(share > 0.9, `${share} of the power is the tone's`);
  context.diagnostic(`${frequency.toFixed(2)} Hz with ${(100 * share).toFixed(1)} % of the power`);
});

test("a3 speaking over the answer silences it", async (context) => {
  const browser = await launchFor(context, "barge-in.wav");
  const page = await open(browser, server, { bypassCSP: true });
  const recording = await record(page);
  await page.click("#toggle");
  await until(page, () => window.roomkit.clears > 0);
  await page.locator(".bubble[data-role=assistant].interrupted").waitFor();
  await page.locator(".bubble[data-role=assistant]:not(.interrupted, .partial)").waitFor();

  const spoken = stretches(await recording.spoken());
  const played = stretches(await recording.played());
  const objection = spoken.find(({ from }) => from > spoken[0].to + 1);
  const answer = played.find(({ from, to }) => from < objection.from && to > objection.from);
  assert.ok(answer, "the answer was being heard when the user spoke");
  const heard = Math.round((answer.to - objection.from) * 1000);
  context.diagnostic(`${heard} ms of the answer were heard after the user began to speak over it`);
  assert.ok(heard < BARGE_IN_MS, `${heard} ms of the answer were heard after the user began to speak`);
});

test("latency, round trip, loss and buffer are shown", async (context) => {
  const browser = await launchFor(context, "question.wav");
  const page = await call(browser, server);
  await until(page, () => window.roomkit.latencies.length === 1);
  await until(page, () => {
    const { roundTripMs, lossIn, lossOut, bufferMs } = window.roomkit.stats;
    return [roundTripMs, lossIn, lossOut, bufferMs].every((value) => value !== undefined);
  });
  const { latencies, stats } = await page.evaluate(() => ({
    latencies: window.roomkit.latencies,
    stats: window.roomkit.stats,
  }));
  context.diagnostic(JSON.stringify({ latencies, stats }));
  // The echo waits for half a second of silence before it answers.
  assert.ok(latencies[0] > 300 && latencies[0] < 3000, `an answer after ${latencies[0]} ms`);
  assert.ok(stats.roundTripMs < 100 && stats.lossIn < 0.05 && stats.lossOut < 0.05 && stats.bufferMs < 500);
  assert.match(await page.textContent("#latency"), /^\d+ ms$/);
  assert.match(await page.textContent("#round-trip"), /^(< )?\d+ ms$/);
  assert.match(await page.textContent("#loss"), /^\d.* % in, \d.* % out$/);
  assert.match(await page.textContent("#buffer"), /^(< )?\d+ ms$/);
});

test("the latency of a second call is its own", async (context) => {
  const browser = await launchFor(context, "question.wav");
  const page = await call(browser, server);
  await answered(page);
  const [first] = await page.evaluate(() => window.roomkit.latencies);
  // The assistant is heard later in this call than its answer comes in the next.
  await page.fill("#text", "One more thing");
  await page.press("#text", "Enter");
  await said(page, "assistant", "One more thing");
  await until(page, () => window.roomkit.state === "listening");
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "ended");

  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "listening" && window.roomkit.latencies.length === 0);
  await until(page, () => window.roomkit.latencies.length === 1);
  const [second] = await page.evaluate(() => window.roomkit.latencies);
  context.diagnostic(`${first} ms, then ${second} ms`);
  assert.ok(Math.abs(second - first) < 500, `the same question is answered after ${first} ms, then after ${second} ms`);
});

test("the WebSocket can be chosen, and the address keeps the choice", async (context) => {
  const browser = await launchFor(context, "question.wav");
  const page = await open(browser, server);
  await page.locator("input[name=transport][value=webrtc]:checked").waitFor();
  await page.keyboard.press("Tab");
  await page.focus("input[name=transport][value=webrtc]");
  await page.keyboard.press("ArrowRight");
  assert.equal(new URL(page.url()).searchParams.get("transport"), "websocket");
  await page.click("#toggle");
  await until(page, () => window.roomkit.transport === "websocket" && window.roomkit.connection === "connected");
  await until(page, () => window.roomkit.latencies.length === 1 && window.roomkit.stats.roundTripMs !== undefined);
  assert.match(await page.textContent("#latency"), /^\d+ ms$/);
  assert.match(await page.textContent("#round-trip"), /^(< )?\d+ ms$/);
  assert.equal(await page.textContent("#loss"), "0 % out");
  await page.reload();
  await page.locator("input[name=transport][value=websocket]:checked").waitFor();
});

test("another microphone can be taken in mid-call", async () => {
  const page = await call(silent, server);
  await page.click("summary");
  const list = page.getByLabel("Microphone", { exact: true });
  await list.locator("option", { hasText: "Fake Audio Input 2" }).waitFor({ state: "attached" });
  await page.evaluate(() => {
    const { replaceTrack } = RTCRtpSender.prototype;
    RTCRtpSender.prototype.replaceTrack = async function (track) {
      await replaceTrack.call(this, track);
      window.microphone = track.label;
    };
    const { setSinkId } = HTMLMediaElement.prototype;
    HTMLMediaElement.prototype.setSinkId = async function (id) {
      await setSinkId.call(this, id);
      window.speaker = id;
    };
  });
  await list.selectOption({ label: "Fake Audio Input 2" });
  await until(page, () => window.microphone === "Fake Audio Input 2");
  const [speaker] = await page.getByLabel("Speaker").selectOption({ label: "Fake Audio Output 1" });
  await until(page, (id) => window.speaker === id, speaker);
  assert.equal(await page.evaluate(() => window.roomkit.state), "listening");
  assert.equal(await page.locator(".banner:visible").count(), 0);
  await page.close();
});

test("leaving the page ends the call at once", async (context) => {
  const own = await ownServer(context);
  const page = await call(silent, own);
  await untilCalls(own, 1);
  await page.goto("about:blank");
  // By itself a peer that is silent would be noticed only much later.
  const took = await untilCalls(own, 0);
  assert.ok(took < 4000, `the server is told, and does not notice after ${took} ms`);
  await page.close();
});

test("r6 a call that the server ends says why", async () => {
  const page = await call(silent, server);
  const roomId = await page.evaluate(() => window.roomkit.roomId);
  await fetch(new URL(`/rooms/${roomId}`, server.url), { method: "DELETE" });
  await until(page, () => window.roomkit.state === "ended");
  assert.equal(await page.textContent("#status"), "Call ended: the room was closed");
  assert.equal(await page.textContent("#connection"), "Not connected");
  await page.close();
});

test("a network that lets no WebRTC through is named, and the WebSocket offered", async (context) => {
  const own = await ownServer(context);
  const page = await open(silent, own, { script: relayOnly });
  await page.click("#toggle");
  const banner = page.locator(".banner", { hasText: "could not be connected by WebRTC" });
  await banner.waitFor();
  assert.equal(await page.evaluate(() => window.roomkit.state), "idle");
  await picture(page, "webrtc-blocked");
  await untilCalls(own, 0);

  await banner.getByRole("button", { name: "Call over WebSocket" }).click();
  await until(page, () => window.roomkit.state === "listening" && window.roomkit.transport === "websocket");
  assert.equal(new URL(page.url()).searchParams.get("transport"), "websocket");
  assert.equal(await page.isChecked("input[name=transport][value=websocket]"), true);
  await page.close();
});

test("c3 a browser that may only send to a relay is told of one", { skip: !hasTurn && "needs coturn" }, async (context) => {
  const turn = await startTurn(33478);
  context.after(() => turn.stop());
  const relayed = await startServer({
    settings: `[[transports]]\nname = "webrtc"\npath = "/rtc"\nconfig = { interfaces = ["127.0.0.1"], client_ice_servers = [${turn.server}] }\n`,
  });
  context.after(() => relayed.stop());
  const page = await open(silent, relayed, { script: relayOnly });
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "listening");
  await page.fill("#text", "Is anybody there?");
  await page.press("#text", "Enter");
  await said(page, "assistant", "anybody");
  await until(page, () => window.roomkit.totalPlayedMs > 300 && window.roomkit.playedRms > 0.01);
  await page.close();
});

test("a connection that fails is mended without another call", async () => {
  const page = await open(silent, server, { script: failAtWill });
  await page.evaluate(watchOffers);
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "listening");
  const session = await page.evaluate(() => window.roomkit.sessionId);
  await page.evaluate(() => window.failConnection());
  await until(page, () => window.notes.length > 0 && window.roomkit.connection === "connected");
  assert.match(await page.evaluate(() => window.notes[0]), /connection to the server is interrupted/);
  assert.equal(await page.isVisible("#call-note"), false);
  const offers = await page.evaluate(() => window.offers);
  assert.deepEqual(offers.map(({ restart, status }) => [restart ?? false, status]), [[false, 200], [true, 200]]);
  assert.equal(offers[0].id, offers[1].id);
  assert.equal(await page.evaluate(() => window.roomkit.sessionId), session);
  await page.fill("#text", "Are you still there?");
  await page.press("#text", "Enter");
  await said(page, "assistant", "still there");
  await page.close();
});

for (const [what, instead] of [["comes late", undefined], ["is lost", 0]]) {
  test(`c4 a connection that is back before the answer to its restart goes on where that ${what}`, async () => {
    const page = await callToMend(instead);
    await page.evaluate(() => window.failConnection());
    await until(page, () => window.restarts === 1);
    await page.evaluate(() => window.mendConnection());
    await until(page, () => window.roomkit.connection === "connected");
    await page.evaluate(() => window.releaseAnswer());
    await stillTalks(page);
    await page.close();
  });
}

test("c4 a server that refuses to mend a connection may do so at the next attempt", async () => {
  const page = await callToMend(401);
  await page.evaluate(() => window.failConnection());
  await page.evaluate(() => window.releaseAnswer());
  await until(page, () => window.restarts === 2 && window.roomkit.connection === "connected");
  await stillTalks(page);
  await page.close();
});

test("an offer whose answer is lost leaves no call behind", async (context) => {
  const own = await ownServer(context);
  const page = await open(silent, own);
  await page.evaluate(loseOffers);
  await page.click("#toggle");
  await page.locator(".banner:visible").waitFor();
  // By itself the server waits a minute for a client to connect.
  const took = await untilCalls(own, 0);
  assert.ok(took < 4000, `the server is told, and does not notice after ${took} ms`);
  await page.close();
});

test("a server that dies in the middle ends the call and says so", async () => {
  const doomed = await startServer();
  const page = await call(silent, doomed);
  await doomed.stop("SIGKILL");
  await until(page, () => window.roomkit.state === "ended");
  assert.match(await page.textContent("#status"), /connection was lost/);
  await page.close();
});

/** A call whose connection can be said to fail; for `instead` see `holdRestart`. */
async function callToMend(instead) {
  const page = await open(silent, server, { script: failAtWill });
  await page.evaluate(holdRestart, instead);
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "listening");
  return page;
}

/** The server hears the page, and the page the server, over the connection that it has now. */
async function stillTalks(page) {
  await page.fill("#text", "Are you still there?");
  await page.press("#text", "Enter");
  await said(page, "assistant", "still there");
}

// ---- scripts for the page -------------------------------------------------------------------

/** A microphone that leaves the sound as it is. */
function plainMicrophone() {
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = () =>
    open({ audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
}

/** As on a network that lets no UDP through but to a relay; without one no candidate is ever found. */
function relayOnly() {
  const { RTCPeerConnection } = window;
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(configuration) {
      super({ ...configuration, iceTransportPolicy: "relay" });
    }
  };
}

// ---- measuring ------------------------------------------------------------------------------

/** The loud stretches of a recording in seconds of its clock; pauses under 0.3 s are part of them. */
function stretches(recording) {
  const found = [];
  envelope(recording).forEach((level, n) => {
    const at = recording.start + n / 100;
    if (level > LOUD) {
      if (found.length === 0 || at - found.at(-1).to > 0.3) {
        found.push({ from: at, to: at });
      }
      found.at(-1).to = at + 0.01;
    }
  });
  return found;
}
