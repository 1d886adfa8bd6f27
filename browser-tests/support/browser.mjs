/** Headless Chromium whose microphone hears a file of `testdata/speech`, or silence, or is refused. */

import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

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
 * @param {string} microphone a file of `testdata/speech`, heard once from the moment the page opens the
 *   microphone; "silent"; or "refused" (the person says no)
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

/** A new page of its own, at the server's page or at `path` of it, that fails the test on any script error. */
export async function open(browser, server, { path = "/", ...options } = {}) {
  const page = await browser.newPage({ viewport: { width: 1366, height: 820 }, ...options });
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
      const file = microphone === "silent" ? silence() : join(SPEECH, microphone);
      return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        `--use-file-for-fake-audio-capture=${file}%noloop`,
      ];
    }
  }
}

/** A tenth of a second of nothing, as a WAV file. */
function silence() {
  const rate = 48_000;
  const bytes = rate / 5;
  const wav = Buffer.alloc(44 + bytes);
  wav.write("RIFF", 0);
  wav.writeUInt32LE(36 + bytes, 4);
  wav.write("WAVEfmt ", 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(rate, 24);
  wav.writeUInt32LE(rate * 2, 28);
  wav.writeUInt16LE(2, 32);
  wav.writeUInt16LE(16, 34);
  wav.write("data", 36);
  wav.writeUInt32LE(bytes, 40);
  const file = join(mkdtempSync(join(tmpdir(), "roomkit-")), "silence.wav");
  writeFileSync(file, wav);
  return file;
}
