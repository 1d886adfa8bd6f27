/** A network, a sound or a server that is gone without a word, while a call lasts. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { call, launch, open, picture, until } from "../../support/browser.mjs";
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

/** A call over a WebSocket that a test leaves without a network, and on one again. */
async function cuttable() {
  const page = await open(browser, server, { path: "/?transport=websocket" });
  const network = { gone: false };
  await page.routeWebSocket(/\/ws\?/, (socket) => {
    const real = socket.connectToServer();
    socket.onMessage((message) => network.gone || real.send(message));
    real.onMessage((message) => network.gone || socket.send(message));
    socket.onClose(() => {});
  });
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "listening");
  await until(page, () => window.roomkit.stats.roundTripMs !== undefined);
  return { page, network };
}

test("a WebSocket that nothing comes from is interrupted, and works again when something does", async () => {
  const { page, network } = await cuttable();
  network.gone = true;
  await until(page, () => window.roomkit.connection === "interrupted");
  assert.equal(await page.textContent("#status"), "Connection interrupted");
  assert.match(await page.textContent("#call-note:visible"), /the call ends/);
  await picture(page, "websocket-interrupted");
  network.gone = false;
  await page.fill("#text", "Are you there?");
  await page.press("#text", "Enter");
  await until(page, () => window.roomkit.connection === "connected");
  assert.equal(await page.isVisible("#call-note"), false);
  await page.close();
});

test("a WebSocket that nothing comes from any more ends the call, and what was typed last is not shown as said", async () => {
  const { page, network } = await cuttable();
  network.gone = true;
  await page.fill("#text", "Is anybody there?");
  await page.press("#text", "Enter");
  await page.locator(".bubble.pending", { hasText: "Is anybody there?" }).waitFor();
  await until(page, () => window.roomkit.state === "ended");
  assert.match(await page.textContent("#status"), /the connection was lost/);
  assert.match(await page.locator(".bubble").innerText(), /not delivered/);
  await picture(page, "not-delivered");
  await page.close();
});

/** Each audio graph of the page is in `window.graphs`, and none goes on while `window.isRefused`. */
function noteGraphs() {
  window.graphs = [];
  window.AudioContext = class extends AudioContext {
    constructor(options) {
      super(options);
      window.graphs.push(this);
    }

    async resume() {
      if (window.isRefused) {
        throw new DOMException("interrupted", "InvalidStateError");
      }
      return super.resume();
    }
  };
}

test("sound that the system stops goes on by itself", async () => {
  const page = await call(browser, server, { path: "/?transport=websocket", script: noteGraphs });
  await until(page, () => window.graphs[0].state === "running");
  await page.evaluate(() => {
    window.stops = 0;
    window.graphs[0].addEventListener("statechange", () => (window.stops += window.graphs[0].state === "suspended"));
    return window.graphs[0].suspend();
  });
  await until(page, () => window.stops === 1 && window.graphs[0].state === "running");
  await page.close();
});

test("sound that stays stopped goes on when the person wants it, and the page says so", async () => {
  const page = await call(browser, server, { path: "/?transport=websocket", script: noteGraphs });
  await until(page, () => window.graphs[0].state === "running");
  await page.evaluate(() => {
    window.isRefused = true;
    return window.graphs[0].suspend();
  });
  const banner = page.locator(".banner", { hasText: "stopped the sound" });
  await banner.waitFor();
  await picture(page, "sound-stopped");
  await page.evaluate(() => (window.isRefused = false));
  await banner.getByRole("button", { name: "Resume sound" }).click();
  await until(page, () => window.graphs[0].state === "running");
  await banner.waitFor({ state: "detached" });
  await page.close();
});

test("a voice that the system pauses plays on", async () => {
  const page = await call(browser, server, {
    path: "/?transport=webrtc",
    script: () => {
      window.Audio = class extends Audio {
        constructor() {
          super();
          window.voice = this;
        }
      };
    },
  });
  await until(page, () => window.voice && !window.voice.paused);
  await page.evaluate(() => {
    window.voice.addEventListener("pause", () => (window.wasPaused = true));
    window.voice.pause();
  });
  await until(page, () => window.wasPaused && !window.voice.paused);
  await page.close();
});
