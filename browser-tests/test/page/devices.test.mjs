/** Microphones and speakers that are chosen, plugged in and pulled out while a call lasts. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { call, launch, until } from "../../support/browser.mjs";
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

/** Devices that a test plugs in with `window.plug`, and which speaker is used, in `window.speakers`. */
function pretendDevices() {
  let plugged = [];
  window.plug = (...devices) => {
    plugged = devices.map(([kind, deviceId]) => ({ kind, deviceId, label: deviceId }));
    navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
  };
  navigator.mediaDevices.enumerateDevices = async () => plugged;
  window.speakers = [];
  for (const { prototype } of [HTMLMediaElement, AudioContext]) {
    prototype.setSinkId = async (id) => window.speakers.push(id);
  }
}

/** The devices that the page lets one choose from. */
const listed = (page, kind, count) =>
  until(page, ([id, wanted]) => document.querySelectorAll(`#${id}-device option`).length === wanted, [kind, count + 1]);

const choose = (page, kind, device) =>
  page.evaluate(([id, value]) => {
    const list = document.getElementById(`${id}-device`);
    list.value = value;
    list.dispatchEvent(new Event("change"));
  }, [kind, device]);

for (const transport of ["webrtc", "websocket"]) {
  test(`a chosen speaker that is unplugged leaves the call to the system's own, over ${transport}`, async () => {
    const page = await call(browser, server, { path: `/?transport=${transport}`, script: pretendDevices });
    await page.evaluate(() => window.plug(["audiooutput", "headset"]));
    await listed(page, "speaker", 1);
    await choose(page, "speaker", "headset");
    await until(page, () => window.speakers.at(-1) === "headset");
    await page.evaluate(() => window.plug());
    await listed(page, "speaker", 0);
    await until(page, () => window.speakers.at(-1) === "");

    await page.evaluate(() => window.plug(["audiooutput", "headset"]));
    await until(page, () => window.speakers.at(-1) === "headset");
    assert.equal(await page.inputValue("#speaker-device"), "headset", "the list says what is used");
    await page.close();
  });
}
