/** Which answer took and cost what, from totals as servers send them; it needs no browser. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const source = await readFile(new URL("../../../roomkit-server/page/ledger.js", import.meta.url));
const { Ledger } = await import(`data:text/javascript;base64,${source.toString("base64")}`);

/** A server whose totals grow. */
function growing() {
  const ledger = new Ledger();
  const totals = { responses: 0, turns: 0, tool_calls: 0, last_turn: null, usage: { input_tokens: 0, output_tokens: 0 } };
  const tell = () => ledger.take(structuredClone(totals));
  return {
    ledger,
    begins() {
      totals.responses += 1;
      return tell();
    },
    sends(first_audio_ms) {
      totals.turns += 1;
      totals.last_turn = { first_audio_ms, sent_ms: first_audio_ms + 1 };
      return tell();
    },
    calls() {
      totals.tool_calls += 1;
      return tell();
    },
    ends(read, written) {
      totals.usage.input_tokens += read;
      totals.usage.output_tokens += written;
      return tell();
    },
  };
}

test("an answer has its own latency and its own tokens", () => {
  const server = growing();
  server.begins();
  server.sends(450);
  const first = server.ends(100, 50);
  assert.deepEqual(first.latency, { first_audio_ms: 450, sent_ms: 451 });
  assert.deepEqual(first.usage, { input_tokens: 100, output_tokens: 50 });
  const second = server.begins();
  assert.notEqual(second, first);
  server.ends(120, 10);
  assert.deepEqual(second.usage, { input_tokens: 120, output_tokens: 10 });
  assert.equal(second.latency, undefined, "nobody had asked for it");
  assert.deepEqual(first.usage, { input_tokens: 100, output_tokens: 50 });
});

test("what a call of a tool costs belongs to the answer that needs it", () => {
  const server = growing();
  server.begins();
  server.calls();
  const turn = server.ends(100, 8);
  assert.equal(server.begins(), turn);
  server.sends(900);
  assert.equal(server.ends(130, 50), turn);
  assert.deepEqual(turn.usage, { input_tokens: 230, output_tokens: 58 });
  assert.notEqual(server.begins(), turn, "the next question is another's");
});

test("a question that is answered while a tool runs has an answer of its own", () => {
  const server = growing();
  server.begins();
  server.calls();
  const first = server.sends(300);
  assert.equal(server.begins(), first, "it may be the rest of the answer");
  const second = server.sends(400);
  assert.notEqual(second, first);
  assert.equal(first.latency.first_audio_ms, 300);
  assert.equal(second.latency.first_audio_ms, 400);
});

test("what the page heard goes to the answer it heard, whoever tells first", () => {
  const server = growing();
  server.begins();
  assert.equal(server.ledger.heard(620).heardMs, 620);
  const first = server.sends(450);
  assert.equal(first.heardMs, 620);
  assert.equal(server.ledger.heard(700), undefined, "the server has not told of this one");
  server.begins();
  const second = server.sends(500);
  assert.notEqual(second, first);
  assert.equal(second.heardMs, 700);
  assert.equal(first.heardMs, 620);
});

test("nothing happened, nothing is told", () => {
  const { ledger } = growing();
  assert.equal(ledger.take({ responses: 0, turns: 0, tool_calls: 0, ready_after_ms: 5, usage: {} }), undefined);
});
