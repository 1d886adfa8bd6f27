/** An AI whose connection is cut in mid-call: what the person sees, and that nothing is lost. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { call, launchFor, picture, said, until } from "../../support/browser.mjs";
import { startServer } from "../../support/server.mjs";
import { startVendor } from "../../support/vendor.mjs";

/** Length of the sentence in question.wav. */
const QUESTION_MS = 3150;
const WORDS = "Hello, could you tell me when my order will arrive?";

/** A server whose AI is a fake vendor, and a browser; all end with the test, in the order of a call. */
async function house(context, microphone, channel = "") {
  const browser = await launchFor(context, microphone);
  const vendor = await startVendor(["--transcript-when", "during-speech", "--transcript", WORDS]);
  const server = await startServer({ settings: `${vendor.settings}[channel]\n${channel}\n` });
  context.after(async () => {
    await server.stop();
    await vendor.stop();
  });
  return { browser, vendor, server };
}

test("h2 a connection that is cut in mid-sentence loses nothing, and the page says so", async (context) => {
  const { browser, vendor, server } = await house(context, "question.wav");
  // Over the WebSocket, because its audio can be counted on the way out.
  const page = await call(browser, server, { path: "/?transport=websocket" });
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));

  const halfSaid = page.locator(".bubble.partial[data-role=user]");
  await halfSaid.waitFor();
  await page.locator("#timeline .live").waitFor();
  vendor.cut();
  await until(page, () => window.roomkit.state === "reconnecting");
  assert.match(await page.textContent("#status"), /^Reconnecting/);
  assert.match(await page.textContent("#call-note:visible"), /nothing you say or type is lost/);
  assert.equal(await halfSaid.count(), 0, "what was half said will be heard again");
  assert.equal(await page.locator("#timeline .live").count(), 0);
  assert.equal(await page.locator("#banners .banner").count(), 0, "no alarm");
  assert.equal(await page.isEnabled("#text"), true);
  const { sent, time } = await page.evaluate(() => ({
    sent: window.roomkit.sentAudioBytes,
    time: document.getElementById("clock").textContent,
  }));
  await until(page, (bytes) => window.roomkit.sentAudioBytes > bytes, sent);
  await until(page, (before) => document.getElementById("clock").textContent !== before, time);
  await picture(page, "reconnecting");

  vendor.mend();
  await until(page, () => window.roomkit.reconnects === 1);
  assert.match(await page.textContent("#call-note:visible"), /^Connected again/);
  await picture(page, "reconnected");

  assert.equal(await said(page, "user"), WORDS);
  await until(page, () => window.roomkit.speaking === "assistant");
  await said(page, "assistant");
  await until(page, () => window.roomkit.playedMs > 0 && window.roomkit.state === "listening");
  const { totalPlayedMs, playedRms, clears } = await page.evaluate(() => {
    const { totalPlayedMs, playedRms, clears } = window.roomkit;
    return { totalPlayedMs, playedRms, clears };
  });
  assert.ok(totalPlayedMs > 0.8 * QUESTION_MS, `the whole question comes back, not ${totalPlayedMs} ms of it`);
  assert.ok(playedRms > 0.02, `an audible answer, not RMS ${playedRms}`);
  assert.equal(clears, 0, "nothing was cut off");
  await page.locator("#call-note").waitFor({ state: "hidden" });

  const bubbles = await page.$$eval(".bubble", (all) => all.map(({ dataset }) => dataset.role));
  assert.deepEqual(bubbles, ["user", "assistant"], "each is said once");
  const roomId = await page.evaluate(() => window.roomkit.roomId);
  const { events } = await server.get(`/rooms/${roomId}/timeline`);
  const roles = events.filter(({ type }) => type === "message").map(({ metadata }) => metadata.role);
  assert.deepEqual(roles, ["user", "assistant"]);
  assert.deepEqual(problems, []);
});

test("h2 a connection that cannot be had again ends the call and says why", async (context) => {
  const { browser, vendor, server } = await house(context, "silent", "reconnect_attempts = 1");
  const page = await call(browser, server);
  vendor.cut();
  await until(page, () => window.roomkit.state === "ended");
  assert.equal(await page.textContent("#status"), "Call ended: the assistant's provider failed");
  assert.equal(await page.isVisible("#call-note"), false);
  await page.locator(".banner", { hasText: "try again" }).waitFor();

  vendor.mend();
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "listening");
  assert.equal(await page.locator("#banners .banner").count(), 0);
});
