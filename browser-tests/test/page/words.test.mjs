/** What is shown of words that are typed, taken back or held back, and what a screen reader says of a call. */

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

/** A call whose words a test says in the server's place: with `tell`, and what is typed goes nowhere. */
async function scripted() {
  const page = await open(browser, server, { path: "/?transport=websocket" });
  let near;
  await page.routeWebSocket(/\/ws\?/, (socket) => {
    const real = socket.connectToServer();
    near = socket;
    socket.onMessage((message) => {
      if (typeof message !== "string" || JSON.parse(message).type !== "text") {
        real.send(message);
      }
    });
  });
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "listening");
  return {
    page,
    tell: (message) => near.send(JSON.stringify(message)),
    says: (text, is_final, more) => near.send(JSON.stringify({ type: "transcription", role: "user", text, is_final, ...more })),
    async type(text) {
      await page.fill("#text", text);
      await page.press("#text", "Enter");
      await page.locator(".bubble.pending", { hasText: text }).waitFor();
    },
  };
}

const words = (page) => page.locator(".bubble .words").allTextContents();

test("t5 words that are taken back are shown no more", async () => {
  const { page, says } = await scripted();
  for (const item of [{}, { item_id: "a" }]) {
    says("My pin is ", false, item);
    await page.locator(".bubble.partial", { hasText: "My pin" }).waitFor();
    says("", true, item);
    says("Hello ", false, { item_id: item.item_id && "b" });
    says("Hello there.", true, { item_id: item.item_id && "b" });
  }
  await until(page, () => document.querySelectorAll(".bubble").length === 2);
  assert.deepEqual(await words(page), ["Hello there.", "Hello there."]);

  says("My other pin ", false);
  await page.locator(".bubble.partial").waitFor();
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "ended");
  assert.deepEqual(await words(page), ["Hello there.", "Hello there."], "what is half said at the end is not said");
  await page.close();
});

test("what is typed is said once it comes back, as the server has it", async () => {
  const { page, says, type } = await scripted();
  await type("My pin is 1234");
  await picture(page, "typed-on-its-way");
  says("My pin is ****", true);
  await page.locator(".bubble:not(.pending)", { hasText: "****" }).waitFor();
  assert.deepEqual(await words(page), ["My pin is ****"]);

  await type("Held back by a hook");
  await type("Let through");
  says("Spoken ", false);
  says("Spoken meanwhile", true);
  says("Let through", true);
  await until(page, () => document.querySelectorAll(".bubble.pending").length === 0);
  says("Let through", true);
  await until(page, () => document.querySelectorAll(".bubble").length === 4);
  assert.deepEqual(await words(page), ["My pin is ****", "Let through", "Spoken meanwhile", "Let through"], "said aloud, it is said again");
  await page.close();
});

test("c5 a typed text that the server does not take is there to be sent again", async () => {
  const { page, tell, type } = await scripted();
  await type("Too fast");
  tell({ type: "error", code: "text_too_fast", message: "send it again in 3 s" });
  await page.locator(".banner:visible", { hasText: "again in 3 s" }).waitFor();
  assert.equal(await page.locator(".bubble").count(), 0);
  assert.equal(await page.inputValue("#text"), "Too fast");
  await page.close();
});

test("a screen reader hears of the call, and not of its turns", async () => {
  const page = await call(browser, server);
  await page.evaluate(() => {
    window.spoken = [];
    for (const region of document.querySelectorAll("[role=status], [aria-live], [role=alert]")) {
      new MutationObserver(() => window.spoken.push(region.textContent)).observe(region, { childList: true });
    }
  });
  await page.fill("#text", "Summarise my bill");
  await page.press("#text", "Enter");
  await said(page, "assistant");
  await until(page, () => window.roomkit.totalPlayedMs > 0 && window.roomkit.state === "listening");
  assert.deepEqual(await page.evaluate(() => window.spoken), []);
  await page.click("#mute");
  await page.click("#mute");
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "ended");
  assert.deepEqual(await page.evaluate(() => window.spoken.filter((text) => text !== "")), [
    "You are muted",
    "The call is on",
    "Call ended: you ended it",
  ]);
  await page.close();
});

test("the key that mutes can be switched off, and stays off", async () => {
  const page = await call(browser, server);
  await page.keyboard.press("m");
  assert.equal(await page.evaluate(() => window.roomkit.muted), true);
  await page.uncheck("#shortcut");
  await page.keyboard.press("m");
  assert.equal(await page.evaluate(() => window.roomkit.muted), true, "nothing happens");
  assert.equal(await page.getAttribute("#mute", "aria-keyshortcuts"), null);
  await picture(page, "shortcut-off");
  await page.reload();
  assert.equal(await page.isChecked("#shortcut"), false);
  await page.close();
});
