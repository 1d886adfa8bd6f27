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

/**
 * Devices that a test plugs in with `window.plug`, and which speaker is used, in `window.speakers`. A microphone opens
 * where a test has it, by `window.opening`, and each worklet that is made is in `window.worklets`.
 */
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
  const getUserMedia = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  window.opening = {};
  window.tracks = {};
  navigator.mediaDevices.getUserMedia = async ({ audio }) => {
    const device = audio.deviceId?.exact ?? "";
    const stream = await getUserMedia({ audio: true });
    if (device !== "" || window.isDefaultGone) {
      await new Promise((open, fail) => (window.opening[device] = { open, fail: () => fail(new Error("busy")) }));
    }
    window.tracks[device] = stream.getAudioTracks()[0];
    return stream;
  };
  window.worklets = [];
  window.AudioWorkletNode = class extends AudioWorkletNode {
    constructor(context, name, options) {
      super(context, name, options);
      window.worklets.push(name);
    }
  };
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

for (const transport of ["webrtc", "websocket"]) {
  test(`the microphone that was chosen last is used, however long each takes to open, over ${transport}`, async () => {
    const page = await call(browser, server, { path: `/?transport=${transport}`, script: pretendDevices });
    await page.evaluate(() => window.plug(["audioinput", "slow"], ["audioinput", "fast"], ["audioinput", "busy"]));
    await listed(page, "microphone", 3);
    // One of the microphone, one of the voice.
    const meters = (count) => until(page, (wanted) => window.worklets.filter((name) => name === "roomkit-level").length === wanted, count);
    await meters(2);
    const settle = (device, how) => page.evaluate(([id, end]) => window.opening[id][end](), [device, how]);
    const asked = (device) => until(page, (id) => window.opening[id] !== undefined, device);
    const states = () => page.evaluate(() => Object.fromEntries(Object.entries(window.tracks).map(([id, track]) => [id, track.readyState])));

    for (const device of ["slow", "fast"]) {
      await choose(page, "microphone", device);
      await asked(device);
    }
    await settle("fast", "open");
    await until(page, () => window.tracks[""].readyState === "ended");
    await settle("slow", "open");
    await until(page, () => ["slow", "fast"].some((device) => window.tracks[device]?.readyState === "ended"));
    assert.deepEqual(await states(), { "": "ended", fast: "live", slow: "ended" });

    await choose(page, "microphone", "busy");
    await asked("busy");
    await settle("busy", "fail");
    await page.locator(".banner:visible", { hasText: "could not be opened: busy" }).waitFor();
    await until(page, () => document.getElementById("microphone-device").value === "fast");
    assert.equal((await states()).fast, "live");
    await meters(2);
    await page.close();
  });
}

for (const transport of ["webrtc", "websocket"]) {
  test(`a microphone that goes away leaves the call to the system's own, over ${transport}`, async () => {
    const page = await call(browser, server, { path: `/?transport=${transport}`, script: pretendDevices });
    await page.evaluate(() => window.plug(["audioinput", "headset"]));
    await listed(page, "microphone", 1);
    const use = async (device) => {
      await choose(page, "microphone", device);
      await until(page, (id) => window.opening[id] !== undefined, device);
      await page.evaluate((id) => window.opening[id].open(), device);
    };
    // What a browser does to the track of a device that is gone.
    const unplug = (device) =>
      page.evaluate((id) => {
        const track = window.tracks[id];
        track.stop();
        window.opening = {};
        window.tracks = {};
        window.plug();
        track.dispatchEvent(new Event("ended"));
      }, device);
    await use("headset");
    await until(page, () => window.tracks[""].readyState === "ended");
    await unplug("headset");
    await until(page, () => window.tracks[""]?.readyState === "live");
    assert.equal(await page.evaluate(() => sessionStorage.getItem("roomkit.microphone")), "");
    if (transport === "websocket") {
      const sent = await page.evaluate(() => window.roomkit.sentAudioBytes);
      await until(page, (before) => window.roomkit.sentAudioBytes > before + 20_000, sent);
    }
    assert.equal(await page.locator(".banner:visible").count(), 0);

    await page.evaluate(() => (window.isDefaultGone = true));
    await unplug("");
    await until(page, () => window.opening[""] !== undefined);
    await page.evaluate(() => window.opening[""].fail());
    await page.locator(".banner:visible", { hasText: "The microphone was disconnected, and no other opened (busy)" }).waitFor();
    await page.close();
  });
}

test("a microphone that opens and cannot be used leaves the call the one it has", async () => {
  const page = await call(browser, server, { path: "/?transport=websocket", script: pretendDevices });
  await page.evaluate(() => {
    window.plug(["audioinput", "odd"]);
    const { prototype } = AudioContext;
    const { createMediaStreamSource } = prototype;
    prototype.createMediaStreamSource = function (stream) {
      if (stream.getAudioTracks()[0] === window.tracks.odd) {
        throw new DOMException("another sample rate", "NotSupportedError");
      }
      return createMediaStreamSource.call(this, stream);
    };
  });
  await listed(page, "microphone", 1);
  await choose(page, "microphone", "odd");
  await until(page, () => window.opening.odd !== undefined);
  await page.evaluate(() => window.opening.odd.open());
  await page.locator(".banner:visible", { hasText: "could not be opened: another sample rate" }).waitFor();
  assert.deepEqual(
    await page.evaluate(() => [window.tracks[""].readyState, window.tracks.odd.readyState]),
    ["live", "ended"],
  );
  await until(page, () => document.getElementById("microphone-device").value === "");
  await page.close();
});
