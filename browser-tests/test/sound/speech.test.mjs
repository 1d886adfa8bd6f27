/** Real speech through the page, its WebSocket, the server and the echo provider, and back. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { call, launchFor, open, picture, said, until } from "../../support/browser.mjs";
import { envelope, likeness, loudPart, record, rms } from "../../support/recorder.mjs";
import { startServer } from "../../support/server.mjs";

/** Length of the sentence in question.wav. */
const QUESTION_MS = 3150;
const PATH = "/?transport=websocket";

let server;
before(async () => {
  server = await startServer();
});
after(async () => server.stop());

test("a spoken question comes back as sound and as words", async (context) => {
  const browser = await launchFor(context, "question.wav");
  const page = await call(browser, server, { path: PATH });

  await said(page, "user");
  await until(page, () => window.roomkit.speaking === "assistant");
  await until(page, () => window.roomkit.playedMs > 1000);
  await picture(page, "call");
  await said(page, "assistant");
  await until(page, () => window.roomkit.state === "listening");

  const { totalPlayedMs, playedRms, receivedAudioBytes, sentAudioBytes, clears } = await page.evaluate(() => {
    const { totalPlayedMs, playedRms, receivedAudioBytes, sentAudioBytes, clears } = window.roomkit;
    return { totalPlayedMs, playedRms, receivedAudioBytes, sentAudioBytes, clears };
  });
  assert.ok(
    totalPlayedMs > 0.8 * QUESTION_MS && totalPlayedMs < QUESTION_MS + 2500,
    `an answer as long as the question, not ${totalPlayedMs} ms`,
  );
  assert.ok(playedRms > 0.02, `an audible answer, not RMS ${playedRms}`);
  const receivedMs = receivedAudioBytes / 48;
  assert.ok(
    Math.abs(receivedMs - totalPlayedMs) < 100,
    `all of the ${receivedMs} ms that came were played, not ${totalPlayedMs} ms`,
  );
  assert.ok(sentAudioBytes > 48 * QUESTION_MS, "the question went out");
  assert.equal(clears, 0, "nothing was cut off");
});

test("the echo sounds as the question did, without a gap", async (context) => {
  const browser = await launchFor(context, "question.wav");
  const page = await open(browser, server, { path: PATH, bypassCSP: true });
  const recording = await record(page);
  await page.click("#toggle");
  await said(page, "assistant");
  await until(page, () => window.roomkit.totalPlayedMs > 0 && window.roomkit.state === "listening");

  // The echo provider hears and speaks at 24 kHz.
  const sent = loudPart(envelope(recording.sent(24_000)));
  const played = loudPart(envelope(await recording.played()));
  const lengths = `${10 * played.length} ms came back of ${10 * sent.length} ms`;
  assert.ok(Math.abs(played.length / sent.length - 1) < 0.1, lengths);
  const decibels = 20 * Math.log10(rms(played) / rms(sent));
  assert.ok(Math.abs(decibels) < 3, `${decibels} dB louder than the question`);
  const same = likeness(sent, played);
  assert.ok(same > 0.95, `the loudness of question and echo is alike by ${same}; ${lengths}`);
});

test("a3 speaking over the answer clears it", async (context) => {
  const browser = await launchFor(context, "barge-in.wav");
  const page = await call(browser, server, { path: PATH });

  await until(page, () => window.roomkit.speaking === "assistant" && window.roomkit.playedMs > 0);
  await until(page, () => window.roomkit.clears > 0);
  await page.locator(".bubble[data-role=assistant].interrupted").waitFor();
  await page.locator("#timeline .mark.interrupted").waitFor();
  await picture(page, "barge-in");

  const roomId = await page.evaluate(() => window.roomkit.roomId);
  const { events } = await server.get(`/rooms/${roomId}/timeline`);
  assert.ok(
    events.some(({ metadata }) => metadata?.role === "assistant" && metadata.interrupted === true),
    "the room keeps the interrupted answer as such",
  );
  // The objection is answered in turn.
  await page.locator(".bubble[data-role=assistant]:not(.interrupted, .partial)").waitFor();
});
