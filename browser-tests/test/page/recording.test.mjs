/** The caller's say in whether the call is recorded. */

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { call, launch, open, picture, until } from "../../support/browser.mjs";
import { startServer } from "../../support/server.mjs";
import { temporaryFolder } from "../../support/temporary.mjs";

let browser;
before(async () => {
  browser = await launch("silent");
});
after(() => browser.close());

const button = (page) => page.locator("#record");
const indicator = (page) => page.locator("#recording");

/** A page whose call is with a real server, and whose recordings are with this test. */
async function scripted(context) {
  const server = await startServer();
  context.after(() => server.stop());
  const page = await open(browser, server, { path: "/?transport=websocket" });
  context.after(() => page.close());
  const wire = {};
  wire.asked = new Promise((resolve) => (wire.ask = resolve));
  await page.routeWebSocket(/\/ws\?/, (socket) => {
    const far = socket.connectToServer();
    wire.say = (message) => socket.send(JSON.stringify(message));
    socket.onMessage((data) => {
      const message = typeof data === "string" ? JSON.parse(data) : {};
      if (message.type === "recording") {
        wire.ask(message);
      } else {
        far.send(data);
      }
    });
  });
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "listening");
  return { page, wire };
}

test("v1 nothing is offered before the server has said that it could", async (context) => {
  const { page, wire } = await scripted(context);
  assert.equal(await button(page).isVisible(), false);
  assert.equal(await indicator(page).isVisible(), false);

  wire.say({ type: "recording", state: "off" });
  await page.getByRole("button", { name: "Record this call" }).waitFor();
  assert.match(await page.textContent("#record-hint:visible"), /you consent/);
  assert.equal(await button(page).getAttribute("aria-describedby"), "record-hint");
  assert.equal(await indicator(page).isVisible(), false);
  await button(page).focus();
  await page.keyboard.press("Enter");
  assert.deepEqual(await wire.asked, { type: "recording", on: true });
  assert.equal(await indicator(page).isVisible(), false, "it is on when the server says so");
});

test("v1 a recording that fails says so and cannot be begun again", async (context) => {
  const { page, wire } = await scripted(context);
  wire.say({ type: "recording", state: "off" });
  wire.say({ type: "recording", state: "on" });
  await page.getByRole("button", { name: "Pause recording" }).waitFor();
  wire.say({ type: "recording", state: "off" });
  await page.getByRole("status").filter({ hasText: "Recording failed" }).waitFor();
  assert.equal(await button(page).isVisible(), false);
  wire.say({ type: "recording", state: "off" });
  wire.say({ type: "speaking", who: "assistant", speaking: true });
  await until(page, () => window.roomkit.speaking === "assistant");
  assert.equal(await button(page).isVisible(), false, "not even where that is said again");
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "ended");
  assert.equal(await indicator(page).isVisible(), false);
});

/** A server that records, and where to. */
async function recorder(context, consent) {
  const directory = temporaryFolder("roomkit-recordings-");
  const settings = `[recording]\nsink = "wav"\nconsent = "${consent}"\nconfig = { directory = ${JSON.stringify(directory)} }\n`;
  const server = await startServer({ settings });
  context.after(() => server.stop());
  return { server, files: () => readdirSync(directory).filter((name) => name.endsWith(".wav")) };
}

for (const transport of ["webrtc", "websocket"]) {
  test(`v1 a click consents, another pauses, over ${transport}`, async (context) => {
    const { server, files } = await recorder(context, "ask");
    const page = await call(browser, server, { path: `/?transport=${transport}` });
    const record = page.getByRole("button", { name: "Record this call" });
    await record.waitFor();
    assert.deepEqual(files(), []);
    await record.click();
    await page.getByRole("status").filter({ hasText: /^Recording$/ }).waitFor();
    assert.equal(await page.evaluate(() => window.roomkit.recording), "on");
    assert.equal(await page.isVisible("#record-hint"), false, "that has been said");
    await picture(page, `recording-${transport}`);

    await page.getByRole("button", { name: "Pause recording" }).click();
    await page.getByRole("status").filter({ hasText: "Recording is paused" }).waitFor();
    await page.getByRole("button", { name: "Resume recording" }).click();
    await page.getByRole("status").filter({ hasText: /^Recording$/ }).waitFor();
    await page.click("#toggle");
    await until(page, () => window.roomkit.state === "ended");
    assert.equal(await button(page).isVisible(), false);
    assert.equal(await indicator(page).isVisible(), false);
    assert.equal(files().length, 1);
    await page.close();
  });
}

test("v1 where it is not for the caller to say, the page says so and shows that it is on", async (context) => {
  const { server } = await recorder(context, "given");
  const page = await call(browser, server);
  await page.getByRole("button", { name: "Pause recording" }).click();
  await page.locator(".banner", { hasText: "for the host to decide" }).waitFor();
  assert.equal(await button(page).isVisible(), false);
  assert.equal(await indicator(page).textContent(), "Recording");
  await page.close();
});
