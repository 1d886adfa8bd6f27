/** What an answer took and cost, with each answer and for the call, told by a fake OpenAI's tokens. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { call, launchFor, picture, said, until } from "../../support/browser.mjs";
import { startServer } from "../../support/server.mjs";
import { startVendor } from "../../support/vendor.mjs";

/** A browser that asks aloud, and a server whose AI calls a tool and answers. */
async function house(context) {
  const browser = await launchFor(context, "question.wav");
  const options = ["--tool-call", "current_time={}", "--reply", "It is noon.", "--reply", "You are welcome."];
  const vendor = await startVendor([...options, "--transcript-when", "before-response"], "openai");
  const server = await startServer({ settings: `${vendor.settings}[channel]\ndemo_tools = true\n` });
  context.after(async () => {
    await server.stop();
    await vendor.stop();
  });
  return { browser, server };
}

/** The numbers of a text such as "1,204 tokens in, 310 out". */
const numbers = (text) => text.replaceAll(",", "").match(/\d+/g).map(Number);

for (const transport of ["webrtc", "websocket"]) {
  test(`each answer says what it took and cost, over ${transport}`, async (context) => {
    const { browser, server } = await house(context);
    const page = await call(browser, server, { path: `/?transport=${transport}` });
    await said(page, "assistant", "It is noon.");
    await until(page, () => window.roomkit.latencies.length === 1 && window.roomkit.state === "listening");
    await page.fill("#text", "Thank you");
    await page.press("#text", "Enter");
    await said(page, "assistant", "You are welcome.");
    await page.locator(".turn", { hasText: "tokens" }).nth(1).waitFor();

    const rows = await page.$$eval("#transcript > li", (all) => all.map((row) => row.dataset.role ?? row.classList[0]));
    assert.deepEqual(rows, ["user", "tool", "assistant", "turn", "user", "assistant", "turn"]);
    const [spoken, typed] = await page.locator(".turn summary").allTextContents();
    const latency = await page.evaluate(() => Math.round(window.roomkit.latencies[0]));
    assert.match(spoken, new RegExp(`^Latency ${latency} ms · [\\d,]+ tokens in, [\\d,]+ out$`));
    assert.match(typed, /^[\d,]+ tokens in, [\d,]+ out$/);
    assert.equal(await page.textContent("#latency"), `${latency} ms`, "the readout says the same of the latest");

    // What the answers cost is what the call has cost.
    const [, read, written] = numbers(spoken);
    const [readMore, writtenMore] = numbers(typed);
    const [allRead, share, allWritten] = numbers(await page.textContent("#total-tokens"));
    assert.deepEqual([allRead, allWritten], [read + readMore, written + writtenMore]);
    // The fake finds 64 tokens of each of three responses in its cache.
    assert.equal(share, Math.round((100 * 3 * 64) / allRead));
    assert.equal(await page.textContent("#total-turns"), "1");
    assert.equal(await page.textContent("#total-tool-calls"), "1");
    assert.equal(await page.textContent("#total-interruptions"), "0");
    assert.equal(await page.textContent("#total-hand-overs"), "0");
    assert.match(await page.textContent("#total-ready"), /^(< )?\d+ ms$/);

    // The particulars open by the keyboard.
    const line = page.locator(".turn").first();
    await line.locator("summary").focus();
    await page.keyboard.press("Enter");
    const facts = await line.locator("dl > div").allInnerTexts();
    const value = (name) => facts.find((text) => text.startsWith(name)).slice(name.length).trim();
    const [first] = numbers(value("AI’s first audio"));
    const [sent] = numbers(value("Sent"));
    assert.ok(first <= sent && sent <= latency, `first audio ${first} ms, sent ${sent} ms, heard ${latency} ms`);
    const [tokens, audio, text, cached] = numbers(value("Tokens in"));
    assert.equal(tokens, audio + text);
    assert.deepEqual([tokens, cached], [read, 2 * 64]);
    assert.match(value("Tokens out"), /^[\d,]+: [\d,]+ audio, [\d,]+ text$/);
    await picture(page, `usage-${transport}`);
  });
}

test("a provider that tells no tokens has none, rather than zero", async (context) => {
  const browser = await launchFor(context, "question.wav");
  const server = await startServer();
  context.after(() => server.stop());
  const page = await browser.newPage();
  // The echo tells tokens; on the way to this page they are lost.
  await page.routeWebSocket(/\/ws\?/, (socket) => {
    const far = socket.connectToServer();
    far.onMessage((data) => {
      const message = typeof data === "string" ? JSON.parse(data) : {};
      if (message.type === "stats") {
        message.usage = Object.fromEntries(Object.keys(message.usage).map((kind) => [kind, 0]));
        socket.send(JSON.stringify(message));
      } else {
        socket.send(data);
      }
    });
  });
  await page.goto(new URL("/?transport=websocket", server.url).href);
  await page.click("#toggle");
  await said(page, "assistant");
  await until(page, () => window.roomkit.latencies.length === 1 && window.roomkit.state === "listening");
  assert.match(await page.locator(".turn summary").textContent(), /^Latency \d+ ms$/);
  await page.click(".turn summary");
  assert.deepEqual(await page.locator(".turn dt").allTextContents(), ["AI’s first audio", "Sent"]);
  assert.equal(await page.textContent("#total-turns"), "1");
  assert.equal(await page.isVisible("#total-tokens"), false);
});

test("a server that does not tell shows nothing", async (context) => {
  const browser = await launchFor(context, "question.wav");
  const server = await startServer({ settings: "[channel]\nclient_stats = false\n" });
  context.after(() => server.stop());
  const page = await call(browser, server);
  await said(page, "assistant");
  await until(page, () => window.roomkit.latencies.length === 1);
  assert.equal(await page.isVisible("#totals"), false);
  assert.equal(await page.locator(".turn").count(), 0);
});
