/** How long answers take, from what is heard and from what the server says; it needs no browser. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const source = await readFile(new URL("../../../roomkit-server/page/latency.js", import.meta.url));
const { Latency } = await import(`data:text/javascript;base64,${source.toString("base64")}`);

/** A call in which a second of the microphone is quiet before the user first speaks. */
function listening() {
  const shown = [];
  const latency = new Latency((milliseconds) => shown.push(Math.round(milliseconds)));
  const microphone = (from, to, rms) => {
    for (let at = from; at < to; at += 0.01) {
      latency.microphone({ at, rms });
    }
  };
  microphone(0, 1, 0.0001);
  return {
    latency,
    shown,
    /** Speech of half a second from this time on, of which the server knows the end after another half. */
    speak(from) {
      latency.userSpeaking(true, from + 0.1);
      microphone(from, from + 0.5, 0.1);
      microphone(from + 0.5, from + 1, 0.0001);
      latency.userSpeaking(false, from + 1);
    },
    answer: (at) => latency.assistant({ at, frames: 480, rms: 0.1 }, 0),
  };
}

test("an answer is counted from the end of the speech", () => {
  const { shown, speak, answer } = listening();
  speak(1);
  answer(2.5);
  assert.equal(shown.length, 1);
  assert.ok(Math.abs(shown[0] - 1000) < 20, `${shown[0]} ms`);
  answer(2.6);
  answer(4);
  assert.equal(shown.length, 1, "once each turn");
});

test("an answer to what was typed is not counted from a noise before it", () => {
  const { latency, shown, speak, answer } = listening();
  speak(1);
  latency.typed();
  answer(12);
  assert.deepEqual(shown, []);
  speak(20);
  answer(21.5);
  assert.equal(shown.length, 1);
});

test("what is heard long after a noise is no answer to it", () => {
  const { shown, speak, answer } = listening();
  speak(1);
  answer(42);
  answer(43);
  assert.deepEqual(shown, []);
  speak(50);
  answer(51.5);
  assert.equal(shown.length, 1);
});
