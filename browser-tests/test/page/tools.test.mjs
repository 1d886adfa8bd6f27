/** Calls of tools in the conversation: as they run, how they end, and who sees them. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { call, eventsLine, launch, open, said, until } from "../../support/browser.mjs";
import { startServer } from "../../support/server.mjs";
import { toolServer } from "../../support/tool-server.mjs";

let server;
let browser;
before(async () => {
  server = await startServer({ settings: toolServer });
  browser = await launch("silent");
});
after(async () => {
  await browser.close();
  await server.stop();
});

/** Has the echo call the tool. */
async function use(page, name, options = {}) {
  await page.fill("#text", `use ${name} ${JSON.stringify(options)}`);
  await page.press("#text", "Enter");
}

const entry = (page, status) => page.locator(`.tool[data-status=${status}]`);

for (const transport of ["webrtc", "websocket"]) {
  test(`a tool is seen to run, and how long it took, over ${transport}`, async () => {
    const page = await call(browser, server, { path: `/?transport=${transport}` });
    await use(page, "wait", { seconds: 2 });
    await entry(page, "started").waitFor();
    const running = await entry(page, "started").innerText();
    assert.match(running, /^wait\s+running \d\.\d s$/);
    assert.equal(await entry(page, "started").getByRole("timer").count(), 1);
    await until(page, (text) => document.querySelector(".tool").innerText !== text, running);

    await entry(page, "completed").waitFor();
    const [, took] = (await entry(page, "completed").innerText()).match(/^wait\s+done in (\d+(?:\.\d)?) s$/);
    // By the page's clock, from when it heard of it: on a busy machine that is late.
    assert.ok(Number(took) >= 1.5, `2 s of waiting took ${took} s`);
    await said(page, "assistant", "waited for 2 s");
    const rows = await page.$$eval("#transcript > :is(.bubble, .tool)", (all) => all.map((row) => row.dataset.role ?? "tool"));
    assert.deepEqual(rows, ["user", "tool", "assistant"], "it stands where it happened");
    await page.close();
  });
}

test("a quick tool says its milliseconds, and a screen reader is told of it where nobody hears the call", async () => {
  const caller = await call(browser, server);
  const watcher = await open(browser, server, { path: `/?room=${await caller.evaluate(() => window.roomkit.roomId)}` });
  await watcher.locator("#timeline .event").first().waitFor();
  for (const page of [caller, watcher]) {
    await page.evaluate(() => {
      const announcer = document.getElementById("announcer");
      window.announced = [];
      new MutationObserver(() => window.announced.push(announcer.textContent)).observe(announcer, { childList: true });
    });
  }
  await use(caller, "current_time");
  for (const page of [caller, watcher]) {
    await entry(page, "completed").waitFor();
    assert.match(await entry(page, "completed").innerText(), /^current_time\s+done in (< )?\d+ ms$/);
  }
  await until(watcher, () => window.announced.some((text) => text.startsWith("Tool current_time done in")));
  await said(caller, "assistant");
  assert.deepEqual(await caller.evaluate(() => window.announced), []);
  await watcher.close();
  await caller.close();
});

test("k3 several at once: one fails, two are cut off by the end of the call", async () => {
  const page = await call(browser, server);
  await use(page, "wait", { seconds: 3600 });
  await entry(page, "started").first().waitFor();
  await use(page, "wait", { seconds: 3600 });
  await entry(page, "started").nth(1).waitFor();
  await use(page, "wait", { fail: true });
  await entry(page, "failed").waitFor();
  assert.match(await entry(page, "failed").innerText(), /^wait\s+failed after /);
  assert.equal(await entry(page, "started").count(), 2, "the others run on");
  assert.equal(await page.textContent("#total-tool-calls"), "3");

  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "ended");
  await entry(page, "cancelled").nth(1).waitFor();
  assert.match(await entry(page, "cancelled").first().innerText(), /^wait\s+cancelled after /);
  assert.equal(await entry(page, "started").count(), 0);
  const shown = await entry(page, "cancelled").first().innerText();

  // The next call numbers its calls anew; those of the last one stay as they are.
  await page.click("#toggle");
  await until(page, () => window.roomkit.state === "listening");
  await use(page, "current_time");
  await entry(page, "completed").waitFor();
  assert.equal(await entry(page, "cancelled").first().innerText(), shown);
  assert.equal(await page.locator(".tool").count(), 4);
  await page.close();
});

test("k9 progress is seen, and who watches the room sees tools too", async () => {
  const page = await call(browser, server);
  const roomId = await page.evaluate(() => window.roomkit.roomId);
  const watcher = await open(browser, server, { path: `/?room=${roomId}` });
  await watcher.locator("#whisper:enabled").waitFor();
  // Its socket is open once it has shown something live.
  await page.fill("#text", "hello");
  await page.press("#text", "Enter");
  await watcher.locator(".bubble.partial").waitFor();
  await said(page, "assistant", "hello");

  await use(page, "wait", { seconds: 3, tell: "half of it" });
  for (const view of [page, watcher]) {
    await view.locator(".tool[data-status=started] .progress", { hasText: "half of it" }).waitFor();
  }
  for (const view of [page, watcher]) {
    await entry(view, "completed").waitFor();
    assert.equal(await view.locator(".tool .progress").textContent(), "", "what it was at is over");
  }
  await watcher.close();
  await page.close();
});

test("r7 who watches loses sight of what runs in an outage, and may see its end all the same", async () => {
  const page = await call(browser, server);
  const roomId = await page.evaluate(() => window.roomkit.roomId);
  const watcher = await open(browser, server);
  const line = await eventsLine(watcher);
  await watcher.goto(new URL(`/?room=${roomId}`, server.url).href);
  // The first may be in what the watcher reads as it comes; the second it can only hear of live.
  for (const words of ["hello", "once more"]) {
    await page.fill("#text", words);
    await page.press("#text", "Enter");
    await said(watcher, "assistant", words);
  }
  await use(page, "wait", { seconds: 5 });
  await entry(watcher, "started").waitFor();
  await line.cut();
  await entry(watcher, "unknown").waitFor();
  assert.match(await entry(watcher, "unknown").innerText(), /^wait\s+lost sight of after /);
  assert.equal(await entry(page, "started").count(), 1);
  line.mend();
  await entry(page, "completed").waitFor();
  await said(watcher, "assistant", "waited for 5 s");
  await watcher.close();
  await page.close();
});

test("the conversation keeps its newest rows, and nothing of tools whose rows are gone", async () => {
  const page = await open(browser, server);
  const seen = await page.evaluate(async () => {
    const { Transcript } = await import("/page/transcript.js");
    const { ToolCalls } = await import("/page/tool-calls.js");
    const list = document.getElementById("transcript");
    const empty = document.getElementById("transcript-empty");
    const transcript = new Transcript({ list, empty, announcer: document.createElement("p"), isHeard: () => false });
    const tools = new ToolCalls(transcript);
    const tool = (id, status) => tools.show({ session_id: "s", call_id: id, name: `tool ${id}`, status });
    const say = (text) => transcript.show({ session_id: "s", role: "assistant", text, is_final: true, item_id: text });
    tool("ended", "completed");
    tool("running", "started");
    for (let n = 1; n <= 1000; n += 1) {
      say(`Words ${n}`);
    }
    const kept = list.children.length;
    const first = list.firstElementChild.textContent;
    tool("other", "completed");
    // Of what is not remembered, this is news; of what still runs, it is the end.
    tool("ended", "completed");
    tool("running", "completed");
    const rows = [...list.querySelectorAll(".tool b")].map(({ textContent }) => textContent);
    list.scrollTop = 0;
    say("While somebody reads");
    return { kept, first, rows, whileRead: list.children.length };
  });
  assert.deepEqual(seen, {
    kept: 1000,
    first: "AssistantWords 1",
    rows: ["tool other", "tool ended"],
    whileRead: 1001,
  });
  await page.close();
});
