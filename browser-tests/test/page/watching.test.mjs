/** Who watches a room, and a network to it that is gone, with a word or without one. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { call, eventsLine, launch, open, picture, said } from "../../support/browser.mjs";
import { startServer } from "../../support/server.mjs";

let server;
let browser;
let caller;
let path;
before(async () => {
  server = await startServer();
  browser = await launch("silent");
  caller = await call(browser, server);
  path = `/?room=${await caller.evaluate(() => window.roomkit.roomId)}`;
});
after(async () => {
  await browser.close();
  await server.stop();
});

async function say(text) {
  await caller.fill("#text", text);
  await caller.press("#text", "Enter");
  await said(caller, "assistant", text);
}

async function whisper(page, text) {
  await page.fill("#whisper", text);
  await page.press("#whisper", "Enter");
}

/** One who watches, on whose line the server says that it is alive only when a test wants it to, and then nothing more. */
async function silenceable() {
  const page = await open(browser, server);
  const line = { opened: 0, isSilent: false, alive: undefined };
  const isThere = new Promise((resolve) => (line.isThere = resolve));
  await page.routeWebSocket(/\/events/, (near) => {
    line.isThere();
    line.opened += 1;
    line.alive = () => near.send(JSON.stringify({ type: "alive" }));
    const isFirst = line.opened === 1;
    const isKept = (data) => (isFirst && line.isSilent) || JSON.parse(data).type === "alive";
    near.connectToServer().onMessage((data) => isKept(data) || near.send(data));
    // On a network that is gone, nobody answers a goodbye.
    near.onClose(() => {});
  });
  await page.clock.install();
  await page.goto(new URL(path, server.url).href);
  await page.locator("#whisper:enabled").waitFor();
  await isThere;
  return { page, line };
}

test("who watches is told that the connection to the room is lost, until it is there again", async () => {
  const page = await open(browser, server);
  const line = await eventsLine(page);
  await page.goto(new URL(path, server.url).href);
  await page.locator("#timeline .event").first().waitFor();
  assert.equal(await page.isVisible("#room-connection"), false);
  // The socket ends and every request with it.
  await page.route(/\/rooms\//, (route) => route.abort());
  await line.cut();
  const note = page.locator("#room-connection:visible", { hasText: "Connection to the room lost, trying again" });
  await note.waitFor();
  await picture(page, "room-lost");

  await whisper(page, "Offer a refund");
  await page.locator("#whisper-error:visible", { hasText: "cannot be reached" }).waitFor();
  assert.equal(await page.inputValue("#whisper"), "Offer a refund");
  await page.unroute(/\/rooms\//);
  line.mend();
  await page.locator("#room-connection").waitFor({ state: "hidden" });
  await page.press("#whisper", "Enter");
  await said(caller, "assistant", "Offer a refund");
  assert.equal(await page.isVisible("#whisper-error"), false);
  await page.close();
});

test("a request that nobody answers is given up, and the room is looked for again", async () => {
  const page = await open(browser, server);
  const line = await eventsLine(page);
  await page.goto(new URL(path, server.url).href);
  await page.locator("#timeline .event").first().waitFor();
  let held = 0;
  await page.route(/\/rooms\/[^/]+$/, (route) => {
    held += 1;
    if (held > 1) {
      route.continue();
    }
  });
  await line.cut();
  await page.locator("#room-connection:visible").waitFor();
  line.mend();
  await page.locator("#room-connection").waitFor({ state: "hidden" });
  assert.ok(held > 1);
  await page.close();
});

test("a server that said it was alive and says nothing more is taken for lost, and nothing is missed", async () => {
  const { page, line } = await silenceable();
  await page.clock.fastForward(60_000);
  await say("Before any word of life");
  await page.locator("#timeline .event", { hasText: "Before any word of life" }).nth(1).waitFor();
  assert.equal(line.opened, 1, "a server that does not say it is alive may be silent");

  line.alive();
  await say("Alive");
  await page.locator("#timeline .event", { hasText: "Alive" }).nth(1).waitFor();
  line.isSilent = true;
  await say("Said in the silence");
  await page.clock.fastForward(46_000);
  await page.locator("#timeline .event", { hasText: "Said in the silence" }).nth(1).waitFor();
  assert.equal(line.opened, 2);
  await page.locator("#room-connection").waitFor({ state: "hidden" });
  await page.close();
});

for (const [name, wake] of [
  ["is back on a network", () => dispatchEvent(new Event("online"))],
  ["is looked at again", () => document.dispatchEvent(new Event("visibilitychange"))],
]) {
  test(`a page that ${name} after a long silence looks for the room at once`, async () => {
    const { page, line } = await silenceable();
    line.alive();
    await say(`Alive before it ${name}`);
    await page.locator("#timeline .event", { hasText: `Alive before it ${name}` }).nth(1).waitFor();
    line.isSilent = true;
    await page.evaluate(wake);
    assert.equal(line.opened, 1, "it is not silent for long");
    // No timer goes on while a computer sleeps.
    await page.clock.setSystemTime((await page.evaluate(() => Date.now())) + 60_000);
    await page.evaluate(wake);
    await say(`Said once it ${name}`);
    await page.locator("#timeline .event", { hasText: `Said once it ${name}` }).nth(1).waitFor();
    assert.equal(line.opened, 2);
    await page.close();
  });
}
