/** The room beside the call: whispers, the timeline, and others who watch. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { call, eventsLine, launch, open, picture, said, until } from "../../support/browser.mjs";
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

/** The room of the page's call. */
const roomOf = (page) => page.evaluate(() => window.roomkit.roomId);

/** Types something as the caller, and waits for the answer. */
async function ask(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
  await said(page, "assistant", text);
}

/** The finished bubbles of the conversation. */
const bubbles = (page) => page.locator(".bubble:not(.partial) .words").allTextContents();

async function whisper(page, text, { silently = false } = {}) {
  await page.setChecked("#whisper-silent", silently);
  await page.fill("#whisper", text);
  await page.click("#whisper-form button[type=submit]");
  await page.locator("#timeline .event", { hasText: text }).first().waitFor();
}

test("r3 a whisper reaches the AI, which answers aloud", async () => {
  const page = await call(browser, server);
  await whisper(page, "Mention the spring sale");
  assert.match(await said(page, "assistant", "spring sale"), /Mention the spring sale/);
  await until(page, () => window.roomkit.totalPlayedMs > 300 && window.roomkit.playedRms > 0.01);
  await page.locator("#timeline .event .mark.whisper").waitFor();
  await picture(page, "whisper");
  await page.close();
});

test("r3 a silent whisper is stored and not answered", async () => {
  const page = await call(browser, server);
  await whisper(page, "The caller is a regular", { silently: true });
  await whisper(page, "Say goodbye");
  await said(page, "assistant", "goodbye");
  assert.equal(await page.locator(".bubble[data-role=assistant]").count(), 1);
  await page.close();
});

test("r1 the page's timeline is the room's, with no gap", async () => {
  const page = await call(browser, server);
  await whisper(page, "First");
  await said(page, "assistant", "First");
  await whisper(page, "Second");
  await said(page, "assistant", "Second");
  await page.locator("#timeline .event", { hasText: "Second" }).nth(1).waitFor();

  const roomId = await page.evaluate(() => window.roomkit.roomId);
  const { events } = await server.get(`/rooms/${roomId}/timeline`);
  assert.deepEqual(
    events.map(({ index }) => index),
    events.map((_, position) => position),
  );
  const stored = events.map(({ index, content }) => [index, content.body]);
  await until(page, (count) => document.querySelectorAll("#timeline .event").length === count, stored.length);
  const shown = await page.$$eval("#timeline .event", (rows) =>
    rows.map((row) => [Number(row.dataset.index), row.querySelector(".words").textContent]),
  );
  assert.deepEqual(shown, stored);
  await page.close();
});

test("r1 what is said while the page does not hear of it is not lost, whatever it says itself meanwhile", async () => {
  const page = await open(browser, server);
  const line = await eventsLine(page);
  await page.click("#toggle");
  await page.locator("#timeline .event").first().waitFor();
  await whisper(page, "Before it", { silently: true });
  const roomId = await roomOf(page);

  await line.cut();
  const body = JSON.stringify({ text: "Said in the outage", silent: true });
  const headers = { "content-type": "application/json" };
  await fetch(new URL(`/rooms/${roomId}/messages`, server.url), { method: "POST", headers, body });
  const posted = page.waitForResponse(/\/messages$/);
  await page.fill("#whisper", "Whispered in the outage");
  await page.press("#whisper", "Enter");
  await posted;
  line.mend();

  await page.locator("#timeline .event", { hasText: "Whispered in the outage" }).waitFor();
  const { events } = await server.get(`/rooms/${roomId}/timeline`);
  const shown = await page.$$eval("#timeline .event", (rows) => rows.map((row) => Number(row.dataset.index)));
  assert.deepEqual(shown, events.map(({ index }) => index));
  await page.close();
});

test("r1 who begins to watch while something is said sees what was said before as well", async () => {
  const caller = await call(browser, server);
  await ask(caller, "First");
  const roomId = await roomOf(caller);
  await until(caller, () => document.querySelectorAll("#timeline .event[data-type=message]").length === 2);

  const watcher = await open(browser, server);
  let read;
  let goOn;
  const hasRead = new Promise((resolve) => (read = resolve));
  const mayGoOn = new Promise((resolve) => (goOn = resolve));
  await watcher.route(/\/timeline\?/, async (route) => {
    const response = await route.fetch();
    read();
    await mayGoOn;
    await route.fulfill({ response });
  });
  await watcher.goto(new URL(`/?room=${roomId}`, server.url).href);
  await hasRead;
  await ask(caller, "Second");
  await until(caller, () => document.querySelectorAll("#timeline .event[data-type=message]").length === 4);
  goOn();

  await said(watcher, "assistant", "Second");
  assert.deepEqual(await bubbles(watcher), await bubbles(caller));
  await watcher.close();
  await caller.close();
});

for (const first of ["the caller", "the watcher"]) {
  test(`r1 who watches a room reads the one that a restarted server has in its place, also where ${first} comes back first`, async (context) => {
    const doomed = await startServer();
    const path = "/?room=lobby";
    const caller = await call(browser, doomed, { path });
    await ask(caller, "Before the restart");
    const watcher = await open(browser, doomed);
    // What it asks of the room waits until the room is there again, unless it is to find none.
    let goOn;
    let hold = Promise.resolve();
    await watcher.route(/\/rooms\/lobby$/, async (route) => {
      await hold;
      await route.continue();
    });
    await watcher.goto(new URL(path, doomed.url).href);
    await watcher.locator("#timeline .event", { hasText: "Before the restart" }).nth(1).waitFor();
    await caller.close();

    if (first === "the caller") {
      hold = new Promise((resolve) => (goOn = resolve));
    }
    await doomed.stop("SIGKILL");
    const restarted = await startServer({ at: doomed.url });
    context.after(() => restarted.stop());
    if (first === "the watcher") {
      await watcher.locator("#whisper-error", { hasText: "does not know this room any more" }).waitFor();
      assert.equal(await watcher.isDisabled("#whisper"), true);
    }
    const next = await call(browser, restarted, { path });
    await ask(next, "After the restart");
    goOn?.();

    await watcher.locator("#timeline .event", { hasText: "After the restart" }).nth(1).waitFor();
    const { events } = await restarted.get("/rooms/lobby/timeline");
    const shown = await watcher.$$eval("#timeline .event", (rows) =>
      rows.map((row) => [Number(row.dataset.index), row.querySelector(".words").textContent]),
    );
    assert.deepEqual(shown, events.map(({ index, content }) => [index, content.body]));
    assert.equal(await watcher.isVisible("#whisper-error"), false);
    await whisper(watcher, "Ask for the order number");
    await watcher.close();
    await next.close();
  });
}

test("r8 earlier events are loaded into the timeline alone", async () => {
  const caller = await call(browser, server);
  const roomId = await roomOf(caller);
  await ask(caller, "First");
  const { events } = await server.get(`/rooms/${roomId}/timeline`);
  const watcher = await open(browser, server);
  // As if the page were so short.
  await watcher.route(/\/timeline\?/, (route) => route.continue({ url: route.request().url().replace("limit=200", "limit=2") }));
  await watcher.goto(new URL(`/?room=${roomId}`, server.url).href);
  await watcher.locator("#earlier").waitFor();
  const conversation = await bubbles(watcher);
  while (await watcher.isVisible("#earlier")) {
    const rows = await watcher.locator("#timeline .event").count();
    await watcher.click("#earlier");
    await until(watcher, (before) => document.querySelectorAll("#timeline .event").length > before, rows);
  }
  assert.deepEqual(await bubbles(watcher), conversation);
  const shown = await watcher.$$eval("#timeline .event", (rows) => rows.map((row) => Number(row.dataset.index)));
  assert.deepEqual(shown, events.map(({ index }) => index));
  await watcher.close();
  await caller.close();
});

test("t2 another page watches the room live and whispers into it", async () => {
  const caller = await call(browser, server);
  const roomId = await caller.evaluate(() => window.roomkit.roomId);
  const watcher = await open(browser, server, { path: `/?room=${roomId}` });
  await watcher.locator("#whisper:enabled").waitFor();

  await whisper(watcher, "Ask for the order number");
  await watcher.locator("#timeline .live").first().waitFor();
  await said(watcher, "assistant", "order number");
  await said(caller, "assistant", "order number");
  assert.equal(await watcher.evaluate(() => window.roomkit.state), "idle", "watching is not calling");
  await watcher.close();
  await caller.close();
});

test("t2 of two callers in one room, what each says and does grows and ends by itself", async () => {
  const caller = await call(browser, server);
  const roomId = await roomOf(caller);
  await caller.locator("#timeline .event").first().waitFor();
  const watcher = await open(browser, server);
  let follows;
  const followed = new Promise((resolve) => (follows = resolve));
  await watcher.routeWebSocket(/\/events/, (near) => {
    near.connectToServer();
    follows((message) => near.send(JSON.stringify(message)));
  });
  await watcher.goto(new URL(`/?room=${roomId}`, server.url).href);
  const tell = await followed;
  const live = (kind, data) => tell({ type: "ephemeral", event: { kind, channel_id: "voice", data } });
  const says = (session_id, text, item) => live("transcription", { session_id, role: "user", text, ...item });
  const uses = (session_id, status) => live("tool_call", { session_id, tool_call_id: "call_1", name: "wait", status });
  const final = (index, voice_session_id, body, item) =>
    tell({
      type: "event",
      event: {
        index,
        type: "message",
        created_at: new Date().toISOString(),
        source: { channel_id: "voice" },
        content: { type: "text", body },
        metadata: { role: "user", voice_session_id, ...item },
      },
    });
  const rows = () => watcher.locator("#timeline .live .words").allTextContents();
  const half = () => watcher.locator(".bubble.partial .words").allTextContents();

  // Gemini gives its items no ids, and the echo numbers its own and its calls in each session anew.
  for (const item of [{}, { item_id: "echo_item_1" }]) {
    says("ann", "I would", item);
    says("bob", "Yes", item);
    says("ann", " like", item);
    says("bob", ", please", item);
    await watcher.locator(".live", { hasText: "please" }).waitFor({ state: "attached" });
    assert.deepEqual(await rows(), ["I would like", "Yes, please"]);
    assert.deepEqual(await half(), ["I would like", "Yes, please"]);
    final(item.item_id ? 102 : 100, "ann", "I would like that.", item);
    says("bob", " do", item);
    await watcher.locator(".live", { hasText: "do" }).waitFor({ state: "attached" });
    assert.deepEqual(await rows(), ["Yes, please do"]);
    assert.deepEqual(await half(), ["Yes, please do"]);
    final(item.item_id ? 103 : 101, "bob", "Yes, please do.", item);
    await until(watcher, () => document.querySelectorAll("#timeline .live, .bubble.partial").length === 0);
  }
  assert.deepEqual(await bubbles(watcher), ["I would like that.", "Yes, please do.", "I would like that.", "Yes, please do."]);

  uses("ann", "started");
  uses("bob", "started");
  await watcher.locator(".tool[data-status=started]").nth(1).waitFor();
  uses("ann", "completed");
  uses("bob", "failed");
  await watcher.locator(".tool[data-status=failed]").waitFor();
  assert.equal(await watcher.locator(".tool[data-status=completed]").count(), 1);
  await watcher.close();
  await caller.close();
});

test("r6 closing the room ends the call with its reason", async () => {
  const page = await call(browser, server);
  const roomId = await page.evaluate(() => window.roomkit.roomId);
  await fetch(new URL(`/rooms/${roomId}`, server.url), { method: "DELETE" });
  await until(page, () => window.roomkit.state === "ended");
  assert.match(await page.textContent("#status"), /room was closed/);
  await page.close();
});

test("r8 a whisper whose answer was lost is whispered once", async () => {
  const page = await call(browser, server);
  const roomId = await roomOf(page);
  await page.route(/\/messages$/, async (route) => {
    await route.fetch();
    await route.abort();
  }, { times: 1 });
  await page.fill("#whisper", "Only once");
  await page.setChecked("#whisper-silent", true);
  await page.press("#whisper", "Enter");
  await page.locator("#whisper-error").waitFor();
  await page.press("#whisper", "Enter");
  await until(page, () => document.getElementById("whisper").value === "");
  await whisper(page, "And another", { silently: true });
  const { events } = await server.get(`/rooms/${roomId}/timeline`);
  assert.equal(events.filter(({ content }) => content.body === "Only once").length, 1);
  await page.close();
});

test("the timeline can be read back while somebody speaks", async () => {
  const page = await call(browser, server);
  const roomId = await roomOf(page);
  for (let n = 1; n <= 40; n += 1) {
    const body = JSON.stringify({ text: `Note ${n}`, silent: true });
    await fetch(new URL(`/rooms/${roomId}/messages`, server.url), { method: "POST", headers: { "content-type": "application/json" }, body });
  }
  await page.locator("#timeline .event", { hasText: "Note 40" }).waitFor();
  await page.evaluate(() => (document.getElementById("timeline").scrollTop = 0));
  await page.fill("#text", "What is the weather like?");
  await page.press("#text", "Enter");
  await page.locator("#timeline .live").waitFor({ state: "attached" });
  assert.equal(await page.evaluate(() => document.getElementById("timeline").scrollTop), 0);
  await page.close();
});

test("t2 the words of one's own call are not heard once more when the room tells them late", async () => {
  const page = await open(browser, server);
  let isHeld = false;
  const held = [];
  await page.routeWebSocket(/\/events/, (near) => {
    near.connectToServer().onMessage((data) => (isHeld ? held.push(() => near.send(data)) : near.send(data)));
  });
  await page.click("#toggle");
  await page.locator("#timeline .event").first().waitFor();
  isHeld = true;
  await ask(page, "Late words");
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "ended");
  isHeld = false;
  held.forEach((send) => send());
  await page.locator("#timeline .event", { hasText: "Late words" }).nth(1).waitFor();
  assert.equal(await page.locator(".bubble").count(), 2);
  await page.close();
});

/** An event that only the page hears of. */
function made(index) {
  const content = { type: "text", body: `Made ${index}` };
  const source = { channel_id: "made" };
  return { index, type: "message", status: "delivered", created_at: "2026-01-01T00:00:00Z", source, content };
}

test("the timeline keeps its newest events, what was asked for, and what somebody reads", async () => {
  const caller = await call(browser, server);
  const page = await open(browser, server);
  let tell;
  await page.routeWebSocket(/\/events/, (near) => {
    near.connectToServer();
    tell = (first, last) => {
      for (let index = first; index <= last; index += 1) {
        near.send(JSON.stringify({ type: "event", event: made(index) }));
      }
    };
  });
  const asked = [];
  await page.route(/\/timeline\?.*before=/, (route) => {
    const before = Number(new URL(route.request().url()).searchParams.get("before"));
    asked.push(before);
    return route.fulfill({ json: { events: [3, 2, 1].map((back) => made(before - back)) } });
  });
  await page.goto(new URL(`/?room=${await roomOf(caller)}`, server.url).href);
  await page.locator("#timeline .event").first().waitFor();
  await until(page, () => document.getElementById("whisper").disabled === false);
  while (!tell) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const untilShown = (first, last) =>
    until(
      page,
      (wanted) => {
        const rows = [...document.querySelectorAll("#timeline .event")].map((row) => Number(row.dataset.index));
        return rows.length === wanted.count && rows[0] === wanted.first && rows.every((index, n) => index === rows[0] + n);
      },
      { first, count: last - first + 1 },
    );
  const scroll = (to) => page.evaluate((top) => (document.getElementById("timeline").scrollTop = top), to);

  tell(1001, 2005);
  await untilShown(1006, 2005);
  assert.equal(await page.textContent("#timeline-count"), "1000");
  await page.click("#earlier");
  await untilShown(1003, 2005);
  assert.deepEqual(asked, [1006]);
  await scroll(0);
  tell(2006, 2010);
  await untilShown(1003, 2010);
  await scroll(1e6);
  tell(2011, 2011);
  await untilShown(1009, 2011);
  await page.click("#earlier");
  await untilShown(1006, 2011);
  assert.deepEqual(asked, [1006, 1009]);
  await page.close();
  await caller.close();
});
