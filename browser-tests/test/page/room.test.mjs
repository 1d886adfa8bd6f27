/** The room beside the call: whispers, the timeline, and others who watch. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { call, launch, open, picture, said, until } from "../../support/browser.mjs";
import { startServer } from "../../support/server.mjs";

let server;
let browser;
before(async () => {
  server = await startServer();
  browser = await launch("silent");
});
after(async () => {
  await browser.close();
  await server.stop();
});

async function whisper(page, text, { silently = false } = {}) {
  await page.setChecked("#whisper-silent", silently);
  await page.fill("#whisper", text);
  await page.click("#whisper-form button[type=submit]");
  await page.locator("#timeline .event", { hasText: text }).first().waitFor();
}

test("r3 a whisper reaches the AI, which answers aloud", async () => {
  const page = await call(browser, server);
  await whisper(page, "Mention the spring sale");
  assert.match(await said(page, "assistant", "spring sale"), /Mention the spring sale/);
  await until(page, () => window.roomkit.totalPlayedMs > 300 && window.roomkit.playedRms > 0.01);
  await page.locator("#timeline .event .mark.whisper").waitFor();
  await picture(page, "whisper");
  await page.close();
});

test("r3 a silent whisper is stored and not answered", async () => {
  const page = await call(browser, server);
  await whisper(page, "The caller is a regular", { silently: true });
  await whisper(page, "Say goodbye");
  await said(page, "assistant", "goodbye");
  assert.equal(await page.locator(".bubble[data-role=assistant]").count(), 1);
  await page.close();
});

test("r1 the page's timeline is the room's, with no gap", async () => {
  const page = await call(browser, server);
  await whisper(page, "First");
  await said(page, "assistant", "First");
  await whisper(page, "Second");
  await said(page, "assistant", "Second");
  await page.locator("#timeline .event", { hasText: "Second" }).nth(1).waitFor();

  const roomId = await page.evaluate(() => window.roomkit.roomId);
  const { events } = await server.get(`/rooms/${roomId}/timeline`);
  assert.deepEqual(
    events.map(({ index }) => index),
    events.map((_, position) => position),
  );
  const stored = events.map(({ index, content }) => [index, content.body]);
  await until(page, (count) => document.querySelectorAll("#timeline .event").length === count, stored.length);
  const shown = await page.$$eval("#timeline .event", (rows) =>
    rows.map((row) => [Number(row.dataset.index), row.querySelector(".words").textContent]),
  );
  assert.deepEqual(shown, stored);
  await page.close();
});

test("t2 another page watches the room live and whispers into it", async () => {
  const caller = await call(browser, server);
  const roomId = await caller.evaluate(() => window.roomkit.roomId);
  const watcher = await open(browser, server, { path: `/?room=${roomId}` });
  await watcher.locator("#whisper:enabled").waitFor();

  await whisper(watcher, "Ask for the order number");
  await watcher.locator("#timeline .live").first().waitFor();
  await said(watcher, "assistant", "order number");
  await said(caller, "assistant", "order number");
  assert.equal(await watcher.evaluate(() => window.roomkit.state), "idle", "watching is not calling");
  await watcher.close();
  await caller.close();
});

test("r6 closing the room ends the call with its reason", async () => {
  const page = await call(browser, server);
  const roomId = await page.evaluate(() => window.roomkit.roomId);
  await fetch(new URL(`/rooms/${roomId}`, server.url), { method: "DELETE" });
  await until(page, () => window.roomkit.state === "ended");
  assert.match(await page.textContent("#status"), /room was closed/);
  await page.close();
});
