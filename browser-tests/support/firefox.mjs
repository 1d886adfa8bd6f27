/** Headless Firefox, if it is installed, whose microphone hears a tone that never ends, or nothing, or is refused. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import puppeteer from "puppeteer-core";

import { temporaryFolder } from "./temporary.mjs";

const FIREFOX = process.env.FIREFOX ?? "/usr/bin/firefox-esr";
/** Long enough for the slowest machine; a passing test never waits it out. */
const TIMEOUT_MS = 30_000;

/** Why there is nothing to test with; undefined if there is. */
export const missing = existsSync(FIREFOX)
  ? undefined
  : `there is no Firefox at ${FIREFOX}: install Debian's firefox-esr, or name another by FIREFOX`;

/** Hz of the microphone's tone: whole periods at 44.1 and at 48 kHz, because Firefox makes only those. */
export const TONE = 300;

const PREFERENCES = {
  "media.navigator.streams.fake": true,
  "media.navigator.audio.fake_frequency": TONE,
  // Without a loudspeaker an audio graph never begins: this is one that hears nothing.
  "media.cubeb.force_mock_context": true,
  // What Puppeteer leaves on of what goes out by itself.
  "app.normandy.enabled": false,
  "browser.region.network.url": "",
  "dom.push.connection.enabled": false,
  "extensions.systemAddon.update.enabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "toolkit.telemetry.server": "",
};

const ALLOWED = {
  "media.navigator.permission.disabled": true,
  // Sound needs a gesture of the person, which Firefox forgets with every script of Puppeteer's.
  "media.autoplay.default": 0,
};

/** 2 is no. Sound needs a gesture, as it does for people. */
const REFUSED = { "permissions.default.microphone": 2 };

/** @param {"allowed" | "refused"} [microphone] what the person says when the page asks for it */
export async function launch(microphone = "allowed") {
  // As root, Firefox takes no home that is somebody else's, which it is in the containers of some CIs.
  const home = temporaryFolder("roomkit-firefox-");
  const allowed = microphone === "allowed";
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: FIREFOX,
    headless: true,
    env: { ...process.env, HOME: home },
    extraPrefsFirefox: {
      ...PREFERENCES,
      ...(allowed ? ALLOWED : REFUSED),
    },
  });
  return {
    newPage: () => browser.newPage(),
    version: () => browser.version(),
    close: () => browser.close(),
  };
}

/**
 * The server's page, which is closed with the test. Any script error on it fails the test.
 *
 * @param {Function[]} [scripts] run in it before its own, in this order
 */
export async function open(context, browser, server, { scripts = [] } = {}) {
  const page = await browser.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  const errors = [];
  page.on("pageerror", (error) => errors.push(error));
  context.after(async () => {
    if (!page.isClosed()) {
      await page.close();
    }
    assert.deepEqual(errors, []);
  });
  for (const script of scripts) {
    await page.evaluateOnNewDocument(script);
  }
  await page.goto(server.url);
  return page;
}

/** Opens the page and a call on it. */
export async function call(context, browser, server, options) {
  const page = await open(context, browser, server, options);
  await page.click("#toggle");
  await until(page, () => window.roomkit.state !== "connecting" && window.roomkit.sessionId !== undefined);
  return page;
}

/** Waits in the page until the function is true there. */
export async function until(page, condition, ...values) {
  return page.waitForFunction(condition, { polling: 50 }, ...values);
}

/** Waits for a finished bubble of the conversation and returns what it says. */
export async function said(page, role, text = "") {
  const find = (who, part) =>
    [...document.querySelectorAll(`.bubble[data-role=${who}]:not(.partial) .words`)]
      .map(({ textContent }) => textContent)
      .find((words) => words.includes(part));
  return (await until(page, find, role, text)).jsonValue();
}

/** The text of an element. */
export async function textOf(page, selector) {
  return page.$eval(selector, ({ textContent }) => textContent);
}
