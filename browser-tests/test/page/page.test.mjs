/** The page as a person meets it: keyboard, phone, dark, and things that go wrong. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { call, launch, launchFor, open, picture, said, until } from "../../support/browser.mjs";
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

test("the keyboard alone runs a call", async () => {
  const page = await open(browser, server);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "toggle", "the skip link leads to the button");
  await page.keyboard.press("Space");
  await until(page, () => window.roomkit.state === "listening");

  await page.keyboard.press("m");
  assert.equal(await page.getAttribute("#mute", "aria-pressed"), "true");
  assert.equal(await page.textContent("#status"), "You are muted");
  await page.keyboard.press("m");
  assert.equal(await page.getAttribute("#mute", "aria-pressed"), "false");

  await page.focus("#text");
  await page.keyboard.type("Summarise my bill");
  assert.equal(await page.evaluate(() => window.roomkit.muted), false, "an m in a word does not mute");
  await page.keyboard.press("Enter");
  await until(page, () => window.roomkit.speaking === "assistant" && window.roomkit.playedMs > 0);
  await page.focus("#toggle");
  await page.keyboard.press("Escape");
  await until(page, () => window.roomkit.clears > 0);

  await page.keyboard.press("Enter");
  await until(page, () => window.roomkit.state === "ended");
  assert.match(await page.textContent("#status"), /^Call ended/);
  assert.equal(await page.textContent("#toggle-label"), "Start again");
  await page.close();
});

test("a second call joins the same room", async () => {
  const page = await call(browser, server);
  const first = await page.evaluate(() => ({ room: window.roomkit.roomId, session: window.roomkit.sessionId }));
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "ended");
  await page.click("#toggle");
  await until(page, (session) => window.roomkit.state === "listening" && window.roomkit.sessionId !== session, first.session);
  assert.equal(await page.evaluate(() => window.roomkit.roomId), first.room);
  await page.close();
});

for (const width of [320, 390]) {
  test(`nothing overflows a phone ${width} px wide`, async () => {
    const page = await call(browser, server, {
      viewport: { width, height: 780 },
      deviceScaleFactor: 2,
      isMobile: true,
      hasTouch: true,
    });
    await page.fill("#text", `A word of some length: ${"Donaudampfschifffahrt".repeat(6)}`);
    await page.press("#text", "Enter");
    await said(page, "assistant", "Donaudampf");
    await page.click(".turn summary");
    await page.fill("#text", "use current_time {}");
    await page.press("#text", "Enter");
    await page.locator(".tool[data-status=completed]").waitFor();
    await page.locator("#timeline .event").first().waitFor();
    const { content, window: inner } = await page.evaluate(() => ({
      content: document.documentElement.scrollWidth,
      window: window.innerWidth,
    }));
    assert.ok(content <= inner, `${content} px of content in a window of ${inner} px`);
    await picture(page, `phone-${width}`, { fullPage: true });
    await page.close();
  });
}

for (const transport of ["webrtc", "websocket"]) {
  test(`c5 a text that is too long stays where it was typed, and the page says how long one may be, over ${transport}`, async () => {
    const page = await call(browser, server, { path: `/?transport=${transport}` });
    const text = "a".repeat(70_000);
    await page.fill("#text", text);
    await page.press("#text", "Enter");
    await page.locator(".banner:visible", { hasText: "at most 65536 bytes" }).waitFor();
    assert.equal(await page.inputValue("#text"), text);
    assert.equal(await page.locator(".bubble").count(), 0);
    await page.fill("#text", text.slice(0, 65_500));
    await page.press("#text", "Enter");
    await page.locator(".bubble[data-role=user]").waitFor();
    assert.equal(await page.inputValue("#text"), "");
    await page.close();
  });
}

test("the dark page", async () => {
  const page = await call(browser, server, { colorScheme: "dark" });
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).map(Number));
  assert.ok(Math.max(...(await background())) < 80, "its background is dark");
  await page.emulateMedia({ colorScheme: "light" });
  assert.ok(Math.min(...(await background())) > 200, "and light where that is wanted");
  await page.emulateMedia({ colorScheme: "dark" });
  await page.fill("#text", "What is the weather like?");
  await page.press("#text", "Enter");
  await said(page, "assistant");
  await picture(page, "dark");
  await page.close();
});

test("a refused microphone is explained, and the call goes on without it", async (context) => {
  const refusing = await launchFor(context, "refused");
  const page = await open(refusing, server);
  await page.click("#toggle");
  const banner = page.locator(".banner", { hasText: "not allowed to use the microphone" });
  await banner.waitFor();
  assert.equal(await page.evaluate(() => window.roomkit.state), "idle");
  await picture(page, "microphone-refused");

  await banner.getByRole("button", { name: "Continue without a microphone" }).click();
  await until(page, () => window.roomkit.state === "listening");
  await page.fill("#text", "Can you read me?");
  await page.press("#text", "Enter");
  await said(page, "assistant", "Can you read me?");
  await until(page, () => window.roomkit.totalPlayedMs > 0);
});

test("a missing microphone is explained", async () => {
  const page = await open(browser, server);
  // A machine that runs this test may have a real microphone; this page does not see it.
  await page.evaluate(() => {
    navigator.mediaDevices.getUserMedia = () =>
      Promise.reject(new DOMException("Requested device not found", "NotFoundError"));
  });
  await page.click("#toggle");
  await page.locator(".banner", { hasText: "No microphone was found" }).waitFor();
  await page.close();
});

test("a server that dies in the middle ends the call and says so", async () => {
  const doomed = await startServer();
  const page = await call(browser, doomed);
  await doomed.stop("SIGKILL");
  await until(page, () => window.roomkit.state === "ended");
  assert.match(await page.textContent("#status"), /connection was lost/);

  await page.click("#toggle");
  await page.locator(".banner", { hasText: "not reachable" }).waitFor();
  assert.equal(await page.evaluate(() => window.roomkit.state), "idle");
  await page.close();
});

test("a call over a network that is gone ends when the person ends it", async () => {
  const page = await open(browser, server, { path: "/?transport=websocket" });
  let gone = false;
  await page.routeWebSocket(/\/ws\?/, (socket) => {
    const real = socket.connectToServer();
    socket.onMessage((message) => gone || real.send(message));
    real.onMessage((message) => gone || socket.send(message));
    // The page's close finds nobody who answers it.
    socket.onClose(() => {});
  });
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "listening");
  gone = true;
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "ended");
  assert.doesNotMatch(await page.textContent("#status"), /lost/);
  await page.close();
});

test("a call that is cancelled while it connects is no failure", async () => {
  const page = await open(browser, server, { path: "/?transport=websocket" });
  let connected;
  const opened = new Promise((resolve) => (connected = resolve));
  await page.routeWebSocket(/\/ws\?/, (socket) => {
    // An assistant that is not there yet. What the server answers to a goodbye then, and its code.
    socket.onMessage((message) => {
      if (typeof message === "string" && JSON.parse(message).type === "end") {
        socket.send(JSON.stringify({ type: "session_ended", reason: "client_ended" }));
        socket.close({ code: 1011, reason: "client_ended" });
      }
    });
    connected();
  });
  await page.click("#toggle");
  await opened;
  await until(page, () => window.roomkit.connection === "connected");
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "idle");
  assert.equal(await page.locator(".banner:visible").count(), 0);
  await page.close();
});

test("a call that is cancelled before it was one is not made in the place of the next", async () => {
  const page = await open(browser, server, {
    path: "/?transport=websocket",
    script: () => {
      // As on a page that is not secure: without an audio graph, by which one start could be told from another.
      Object.defineProperty(window, "isSecureContext", { value: false });
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("Not here", "NotAllowedError"));
      const { fetch } = window;
      const released = new Promise((resolve) => (window.releaseConfig = resolve));
      window.fetch = async (url, options) => {
        if (String(url).endsWith("config.json")) {
          await released;
        }
        return fetch(url, options);
      };
    },
  });
  const calls = [];
  page.on("websocket", (socket) => socket.url().includes("/ws?") && calls.push(socket));
  await page.getByRole("button", { name: "Continue without a microphone" }).click();
  await page.click("#toggle");
  assert.equal(await page.evaluate(() => window.roomkit.state), "idle");
  await page.click("#toggle");
  assert.equal(await page.evaluate(() => window.roomkit.state), "connecting");
  await page.evaluate(() => window.releaseConfig());
  await page.getByRole("button", { name: "Continue without a microphone" }).waitFor();
  assert.equal(calls.length, 0);
  assert.equal(await page.evaluate(() => window.roomkit.state), "idle");
  await page.close();
});

test("c1 a host's own message is not taken for the end of the call", async () => {
  const page = await open(browser, server, { path: "/?transport=websocket" });
  let say;
  await page.routeWebSocket(/\/ws\?/, (socket) => {
    socket.connectToServer();
    say = (message) => socket.send(JSON.stringify(message));
  });
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "listening");
  for (const type of ["closed", "connection", "remote_audio"]) {
    say({ type });
  }
  say({ type: "recording", state: "on" });
  await until(page, () => window.roomkit.recording === "on");
  assert.equal(await page.evaluate(() => window.roomkit.state), "listening");
  assert.equal(await page.textContent("#connection"), "WebSocket, connected");
  await page.close();
});

test("a keyboard is never left without a place", async () => {
  const page = await call(browser, server);
  const focused = () => page.evaluate(() => document.activeElement.id);
  const end = () => page.evaluate(() => document.getElementById("toggle").click());
  await page.focus("#text");
  await end();
  await until(page, () => window.roomkit.state === "ended");
  assert.equal(await focused(), "transcript", "not to a button, which the next key would press");

  await page.focus("#toggle");
  await page.keyboard.press("Enter");
  await until(page, () => window.roomkit.state === "listening");
  await page.focus("#mute");
  await end();
  await until(page, () => window.roomkit.state === "ended");
  assert.equal(await focused(), "toggle");

  await page.evaluate(() => (navigator.clipboard.writeText = () => Promise.reject(new Error("no"))));
  await page.focus("#copy-link");
  await page.keyboard.press("Enter");
  await page.locator(".dismiss").focus();
  await page.keyboard.press("Enter");
  await page.locator(".banner:visible").waitFor({ state: "detached" });
  assert.equal(await focused(), "toggle");
  await page.close();
});

test("lists without bullets say that they are lists, as Safari takes them for none", async () => {
  const page = await open(browser, server);
  assert.equal(await page.getAttribute("#transcript", "role"), "list");
  assert.equal(await page.getAttribute("#timeline", "role"), "list");
  await page.close();
});
