/** The page of the example `webrtc`, which is there to be copied. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { launch, launchFor, open, until } from "../../support/browser.mjs";
import { startServer, untilCalls } from "../../support/server.mjs";

const PAGE = readFileSync(new URL("../../../examples/webrtc/page.html", import.meta.url), "utf8");

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

/** The example's page, whose signalling is that of the server under test. */
async function openExample(from) {
  const page = await open(from, server);
  await page.route(/\/example$/, (route) => route.fulfill({ body: PAGE, contentType: "text/html" }));
  await page.route(/\/rtc-realtime\//, (route) =>
    route.continue({ url: route.request().url().replace("/rtc-realtime/", "/rtc/") }),
  );
  await page.addInitScript(() => {
    window.opened = [];
    const getUserMedia = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      const stream = await getUserMedia(wanted);
      window.opened.push(...stream.getTracks());
      return stream;
    };
  });
  await page.goto(new URL("/example", server.url).href);
  return page;
}

const released = () => window.opened.every(({ readyState }) => readyState === "ended");

test("the example's page calls once, hangs up, and calls again", async () => {
  const page = await openExample(browser);
  for (const count of [1, 2]) {
    await page.click("#call");
    assert.equal(await page.isDisabled("#call"), true);
    await untilCalls(server, 1);
    await until(page, () => document.getElementById("voice").currentTime > 0);
    await page.click("#hang-up");
    await page.getByRole("log").getByText("Call ended: client_ended").nth(count - 1).waitFor();
    await untilCalls(server, 0);
    await until(page, released);
    assert.equal(await page.isDisabled("#hang-up"), true);
  }
  await page.close();
});

test("the example's page says why a call was refused, and lets the microphone go", async () => {
  const page = await openExample(browser);
  const refusal = { status: "failed", meta: { error: "too_many_sessions", message: "The server is full." } };
  await page.route(/\/webrtc\/offer/, (route) => route.fulfill({ status: 503, json: refusal }));
  await page.click("#call");
  await page.getByRole("log").getByText("could not be started: The server is full.").waitFor();
  await until(page, released);
  assert.equal(await page.isEnabled("#call"), true);
  await page.close();
});

test("the example's page says that the microphone was refused", async (context) => {
  const page = await openExample(await launchFor(context, "refused"));
  await page.click("#call");
  await page.getByRole("log").getByText("could not be started: ").waitFor();
  assert.equal(await page.isEnabled("#call"), true);
  await page.close();
});
