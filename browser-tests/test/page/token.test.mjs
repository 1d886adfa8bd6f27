/** A server that asks for an access token. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventsLine, launch, open, picture, said, until } from "../../support/browser.mjs";
import { startServer } from "../../support/server.mjs";

/** The second one has characters that a WebSocket subprotocol must not have. */
const TOKENS = ["correct-horse.battery", "c2Vjc/V0+dG9rZW4=="];

let server;
let browser;
before(async () => {
  server = await startServer({ tokens: TOKENS.join() });
  browser = await launch("silent");
});
after(async () => {
  await browser.close();
  await server.stop();
});

async function give(page, token) {
  await page.fill("#token", token);
  await page.press("#token", "Enter");
}

async function whisper(page, text) {
  await page.fill("#whisper", text);
  await page.press("#whisper", "Enter");
}

/** Types something as the caller, and waits for the answer. */
async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
  await said(page, "assistant", text);
}

for (const token of TOKENS) {
  test(`x2 a call asks for the token and goes on with ${token}`, async () => {
    const page = await open(browser, server);
    assert.ok(await page.isHidden("#token-form"), "nothing is asked before it is needed");
    await page.click("#toggle");
    await page.locator("#token:focus").waitFor();
    assert.equal(await page.evaluate(() => window.roomkit.state), "idle");
    await picture(page, "token");

    await give(page, "a-wrong-one");
    await page.locator("#token-form", { hasText: "did not take this token" }).waitFor();
    await give(page, token);
    assert.equal(await page.evaluate(() => document.activeElement.id), "toggle");
    await until(page, () => window.roomkit.state === "listening");
    assert.ok(await page.isHidden("#token-form"));

    // The timeline, the room's socket and the whisper all need it too.
    await page.locator("#whisper:enabled").waitFor();
    await whisper(page, "Mention the spring sale");
    await said(page, "assistant", "spring sale");
    await page.locator("#timeline .event[data-type=message]", { hasText: "spring sale" }).nth(1).waitFor();
    assert.equal(await page.locator(".banner:visible").count(), 0, "nothing went wrong on the way");

    assert.equal(await page.evaluate(() => JSON.stringify(Object.values(localStorage))), "[]");
    await page.reload();
    await page.click("#toggle");
    await until(page, () => window.roomkit.state === "listening");
    await page.close();
  });
}

test("x2 watching a room asks for the token first", async () => {
  const caller = await open(browser, server);
  await caller.click("#toggle");
  await give(caller, TOKENS[0]);
  await until(caller, () => window.roomkit.state === "listening");
  const roomId = await caller.evaluate(() => window.roomkit.roomId);

  const watcher = await open(browser, server, { path: `/?room=${roomId}` });
  await give(watcher, TOKENS[1]);
  await watcher.locator("#whisper:enabled").waitFor();
  await whisper(watcher, "Ask for the order number");
  await said(caller, "assistant", "order number");
  await watcher.close();
  await caller.close();
});

test("x2 a token that expires while one watches is asked for once more, and the rest is as it was", async () => {
  const caller = await open(browser, server);
  await caller.click("#toggle");
  await give(caller, TOKENS[0]);
  await until(caller, () => window.roomkit.state === "listening");
  const roomId = await caller.evaluate(() => window.roomkit.roomId);
  await say(caller, "Good morning");

  const watcher = await open(browser, server);
  const line = await eventsLine(watcher);
  await watcher.goto(new URL(`/?room=${roomId}`, server.url).href);
  await give(watcher, TOKENS[0]);
  await said(watcher, "assistant", "Good morning");
  const bubbles = () => watcher.locator(".bubble .words").allTextContents();
  const before = await bubbles();
  const refuse = (route) => route.fulfill({ status: 401, json: { code: "token_expired", message: "expired" } });
  await watcher.route(new RegExp(`/rooms/${roomId}$`), refuse);
  await line.cut();
  await watcher.locator("#token:focus").waitFor();
  assert.equal(await watcher.isDisabled("#whisper"), true);

  await watcher.unroute(new RegExp(`/rooms/${roomId}$`), refuse);
  line.mend();
  await give(watcher, TOKENS[1]);
  await watcher.locator("#whisper:enabled").waitFor();
  await say(caller, "Good evening");
  await said(watcher, "assistant", "Good evening");
  assert.deepEqual((await bubbles()).slice(0, before.length), before);
  assert.equal((await bubbles()).length, before.length + 2);
  await watcher.close();
  await caller.close();
});

test("x2 a token for calls and no more is told that it does not open the room", async (context) => {
  const token = "calls-only-and-nothing-else-at-all";
  const scoped = await startServer({ settings: `[auth]\ntokens = [{ token = "${token}", scopes = ["call"] }]\n` });
  context.after(() => scoped.stop());
  const page = await open(browser, scoped);
  await page.click("#toggle");
  await give(page, token);
  await until(page, () => window.roomkit.state === "listening");
  await page.locator("#whisper-error", { hasText: "does not open the room" }).waitFor();
  assert.equal(await page.isDisabled("#whisper"), true);
  assert.equal(await page.isVisible("#token-form"), false, "another one would do no more for the call");
  await say(page, "Good morning");
  await page.close();
});

test("x2 a caller whose token does not open the room calls again after the room was closed", async (context) => {
  const token = "calls-only-and-nothing-else-at-all";
  const settings = `[auth]\ntokens = [{ token = "${token}", scopes = ["call"] }, "everything"]\n[rooms]\nclose_empty_after_s = 1\n`;
  const scoped = await startServer({ settings });
  context.after(() => scoped.stop());
  const page = await open(browser, scoped);
  await page.click("#toggle");
  await give(page, token);
  await until(page, () => window.roomkit.state === "listening");
  const roomId = await page.evaluate(() => window.roomkit.roomId);
  await page.locator("#whisper-error", { hasText: "does not open the room" }).waitFor();
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "ended");

  const room = new URL(`/rooms/${roomId}`, scoped.url);
  const isOpen = async () => {
    const response = await fetch(room, { headers: { authorization: "Bearer everything" } });
    return (await response.json()).status !== "closed";
  };
  while (await isOpen()) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await page.click("#toggle");
  await until(page, () => window.roomkit.state !== "ended" && window.roomkit.state !== "connecting");
  assert.equal(await page.evaluate(() => window.roomkit.state), "listening");
  assert.notEqual(await page.evaluate(() => window.roomkit.roomId), roomId);
  await page.close();
});

test("r6 who cannot hear that the room was closed is told so once, and calls into another", async () => {
  for (const transport of ["websocket", "webrtc"]) {
    const page = await open(browser, server, { path: `/?transport=${transport}` });
    const line = await eventsLine(page);
    await page.click("#toggle");
    await give(page, TOKENS[0]);
    await until(page, () => window.roomkit.state === "listening");
    await page.locator("#timeline .event").first().waitFor();
    const roomId = await page.evaluate(() => window.roomkit.roomId);
    await page.click("#toggle");
    await until(page, () => window.roomkit.state === "ended");
    await line.cut();
    const headers = { authorization: `Bearer ${TOKENS[0]}` };
    await fetch(new URL(`/rooms/${roomId}`, server.url), { method: "DELETE", headers });
    await page.click("#toggle");
    await page.locator(".banner:visible", { hasText: "closed" }).waitFor();
    await page.click("#toggle");
    await until(page, () => window.roomkit.state === "listening");
    assert.notEqual(await page.evaluate(() => window.roomkit.roomId), roomId);
    await page.close();
  }
});

test("x7 who watches by a token that is taken away is asked for another, and goes on with it", async (context) => {
  const settings = (...tokens) => `[auth]\ntokens = ${JSON.stringify(tokens)}\n`;
  const changing = await startServer({ settings: settings("of-the-caller", "of-the-watcher") });
  context.after(() => changing.stop());
  const caller = await open(browser, changing);
  await caller.click("#toggle");
  await give(caller, "of-the-caller");
  await until(caller, () => window.roomkit.state === "listening");
  const roomId = await caller.evaluate(() => window.roomkit.roomId);
  const watcher = await open(browser, changing, { path: `/?room=${roomId}` });
  await give(watcher, "of-the-watcher");
  await watcher.locator("#whisper:enabled").waitFor();

  changing.reload(settings("of-the-caller", "of-the-watcher-from-now-on"));
  await watcher.locator("#token:focus").waitFor();
  assert.equal(await watcher.isDisabled("#whisper"), true);
  await say(caller, "Good morning");
  await give(watcher, "of-the-watcher-from-now-on");
  await watcher.locator("#whisper:enabled").waitFor();
  await said(watcher, "assistant", "Good morning");
  await watcher.close();
  await caller.close();
});

test("r6 who calls into a closed room reads that it is", async () => {
  for (const transport of ["websocket", "webrtc"]) {
    const caller = await open(browser, server, { path: `/?room=shut-${transport}&transport=${transport}` });
    await give(caller, TOKENS[0]);
    await caller.click("#toggle");
    await until(caller, () => window.roomkit.state === "listening");
    await caller.close();
    const headers = { authorization: `Bearer ${TOKENS[0]}` };
    const closed = await fetch(new URL(`/rooms/shut-${transport}`, server.url), { method: "DELETE", headers });
    assert.equal(closed.status, 200);
    const late = await open(browser, server, { path: `/?room=shut-${transport}&transport=${transport}` });
    await give(late, TOKENS[0]);
    await late.click("#toggle");
    await late.locator(".banner:visible", { hasText: "closed" }).waitFor();
    await late.close();
  }
});

test("c5 who has a token and finds the server full is told that, and asked for no other token", async (context) => {
  const full = await startServer({ settings: `[auth]\ntokens = ["of-both"]\n`, limits: "max_sessions = 1\n" });
  context.after(() => full.stop());
  const callers = [];
  for (const path of ["/?transport=websocket", "/?transport=websocket&room=another"]) {
    callers.push(await open(browser, full, { path }));
  }
  const [caller, late] = callers;
  await caller.click("#toggle");
  await give(caller, "of-both");
  await until(caller, () => window.roomkit.state === "listening");
  await give(late, "of-both");
  await late.click("#toggle");
  await late.locator(".banner:visible", { hasText: "takes no more calls right now." }).waitFor();
  assert.equal(await late.isVisible("#token-form"), false);
  await Promise.all(callers.map((page) => page.close()));
});

test("x2 a token that is given while a call is being started begins no second one", async () => {
  const page = await open(browser, server);
  await page.evaluate(() => {
    window.opened = [];
    const getUserMedia = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      const stream = await getUserMedia(wanted);
      window.opened.push(...stream.getTracks());
      return stream;
    };
  });
  let asked;
  const offers = [];
  await page.route(/\/webrtc\/config$/, (route) => {
    offers.push(route);
    asked?.();
  });
  const next = async () => {
    await new Promise((resolve) => {
      asked = resolve;
      page.click("#toggle");
    });
    return offers.at(-1);
  };
  await (await next()).continue();
  await page.locator("#token:focus").waitFor();
  const slow = await next();
  assert.equal(await page.isVisible("#token-form"), false, "it is this call that goes on with the token");
  // As if it had been sent in the moment before.
  await page.evaluate((token) => {
    document.getElementById("token").value = token;
    document.getElementById("token-form").requestSubmit();
  }, TOKENS[0]);
  await slow.continue();
  await page.locator("#token:focus").waitFor();
  assert.equal(offers.length, 2);
  await until(page, () => window.opened.length === 2 && window.opened.every(({ readyState }) => readyState === "ended"));

  await page.unroute(/\/webrtc\/config$/);
  await give(page, TOKENS[0]);
  await until(page, () => window.roomkit.state === "listening");
  await page.close();
});

test("x2 a caller without a microphone is not asked for it again after the token", async () => {
  const page = await open(browser, server);
  await page.evaluate(() => {
    window.asked = 0;
    navigator.mediaDevices.getUserMedia = () => {
      window.asked += 1;
      return Promise.reject(new DOMException("Requested device not found", "NotFoundError"));
    };
  });
  await page.click("#toggle");
  await page.getByRole("button", { name: "Continue without a microphone" }).click();
  await give(page, TOKENS[0]);
  await until(page, () => window.roomkit.state === "listening");
  assert.equal(await page.evaluate(() => window.asked), 1);
  await page.close();
});

for (const scopes of [["call"], ["call", "watch"]]) {
  test(`x2 a token of one call that was used is asked for another, where it opens ${scopes.join(" and ")}`, async () => {
    const mint = async () => {
      const headers = { authorization: `Bearer ${TOKENS[0]}`, "content-type": "application/json" };
      const body = JSON.stringify({ scopes });
      const response = await fetch(new URL("/tokens", server.url), { method: "POST", headers, body });
      assert.equal(response.status, 201);
      return (await response.json()).token;
    };
    const page = await open(browser, server, { path: "/?transport=websocket" });
    await page.click("#toggle");
    await give(page, await mint());
    await until(page, () => window.roomkit.state === "listening");
    await page.click("#toggle");
    await until(page, () => window.roomkit.state === "ended");

    await page.click("#toggle");
    await page.locator("#token:focus").waitFor();
    await page.locator(".banner:visible", { hasText: "does not take this token again" }).waitFor();
    await page.locator("#token-form", { hasText: "another token" }).waitFor();
    await give(page, await mint());
    await until(page, () => window.roomkit.state === "listening");
    assert.equal(await page.locator(".banner:visible").count(), 0);
    await page.close();
  });
}

test("x2 a browser that blocks site data keeps the token until the page is left", async () => {
  const script = () => {
    for (const name of ["localStorage", "sessionStorage"]) {
      const get = () => {
        throw new DOMException("Access is denied for this document.", "SecurityError");
      };
      Object.defineProperty(window, name, { get });
    }
  };
  const page = await open(browser, server, { script });
  await page.click("#toggle");
  await give(page, TOKENS[0]);
  await until(page, () => window.roomkit.state === "listening");
  await page.locator("#whisper:enabled").waitFor();
  assert.equal(await page.isChecked("#shortcut"), true);
  await page.uncheck("#shortcut");
  await page.keyboard.press("m");
  assert.equal(await page.evaluate(() => window.roomkit.muted), false);
  await page.close();
});
