/** Headless Chromium whose microphone hears a file of `testdata/speech`, or silence, or is refused. */

import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { wav } from "./wav.mjs";

const SPEECH = fileURLToPath(new URL("../../testdata/speech/", import.meta.url));
const OUT = fileURLToPath(new URL("../out/", import.meta.url));

/** Long enough for the slowest machine; a passing test never waits it out. */
const TIMEOUT_MS = 60_000;

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/**
 * @param {string} microphone a file of `testdata/speech`, or any other by its whole path, heard once from the moment the
 *   page opens the microphone; "silent"; or "refused" (the person says no)
 */
export async function launch(microphone) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [...FLAGS, ...microphoneFlags(microphone)],
  });
}

/** A browser that is closed with the test, however the test ends. */
export async function launchFor(context, microphone) {
  const browser = await launch(microphone);
  context.after(() => browser.close());
  return browser;
}

/**
 * A new page of its own, at the server's page or at `path` of it, that fails the test on any script error.
 * A function `script` runs in it before its own.
 */
export async function open(browser, server, { path = "/", script, ...options } = {}) {
  const page = await browser.newPage({ viewport: { width: 1366, height: 820 }, ...options });
  if (script) {
    await page.addInitScript(script);
  }
  page.setDefaultTimeout(TIMEOUT_MS);
  page.on("pageerror", (error) => {
    throw error;
  });
  await page.goto(new URL(path, server.url).href);
  return page;
}

/** Opens the page and a call on it. */
export async function call(browser, server, options) {
  const page = await open(browser, server, options);
  await page.click("#toggle");
  await until(page, () => window.roomkit.sessionId !== undefined);
  return page;
}

/** Waits in the page until the function is true there. */
export async function until(page, condition, argument) {
  await page.waitForFunction(condition, argument, { timeout: TIMEOUT_MS });
}

/** Waits for a finished bubble of the conversation and returns what it says. */
export async function said(page, role, text = "") {
  const bubble = page.locator(`.bubble[data-role=${role}]:not(.partial)`, { hasText: text }).first();
  await bubble.waitFor();
  return bubble.locator(".words").textContent();
}

/** The line on which the page hears of its room, which a test cuts and mends; to be laid before the page follows one. */
export async function eventsLine(page) {
  let isCut = false;
  let ends = [];
  await page.routeWebSocket(/\/events/, (near) => {
    if (isCut) {
      near.close();
    } else {
      ends = [near, near.connectToServer()];
    }
  });
  return {
    async cut() {
      isCut = true;
      await Promise.all(ends.map((end) => end.close()));
    },
    mend() {
      isCut = false;
    },
  };
}

/** Keeps a picture under `browser-tests/out`. */
export async function picture(page, name, options) {
  mkdirSync(OUT, { recursive: true });
  await page.screenshot({ path: join(OUT, `${name}.png`), ...options });
}

function microphoneFlags(microphone) {
  switch (microphone) {
    case "refused":
      return ["--use-fake-device-for-media-stream", "--deny-permission-prompts"];
    default: {
      const file = microphone === "silent" ? wav(new Float32Array(4800)) : resolve(SPEECH, microphone);
      return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        `--use-file-for-fake-audio-capture=${file}%noloop`,
      ];
    }
  }
}
