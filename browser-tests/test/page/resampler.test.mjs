/** The page's sample-rate converter by itself; it needs no browser. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const source = await readFile(new URL("../../../roomkit-server/page/resampler.js", import.meta.url));
const { Resampler } = await import(`data:text/javascript;base64,${source.toString("base64")}`);

const RATES = [
  [48_000, 24_000],
  [44_100, 24_000],
  [48_000, 16_000],
  [44_100, 16_000],
  [48_000, 8_000],
  [24_000, 48_000],
  [24_000, 44_100],
  [16_000, 48_000],
];

function tone(frequency, rate, seconds = 1) {
  return Float32Array.from({ length: rate * seconds }, (_, n) => Math.sin((2 * Math.PI * frequency * n) / rate));
}

function convert(from, to, input, block = 128) {
  const resampler = new Resampler(from, to);
  const output = [];
  for (let start = 0; start < input.length; start += block) {
    output.push(...resampler.process(input.subarray(start, start + block)));
  }
  return output;
}

/** RMS without the ends, where the filter fills and empties. */
function rms(samples) {
  const inner = samples.slice(samples.length / 10, (samples.length * 9) / 10);
  return Math.sqrt(inner.reduce((sum, sample) => sum + sample * sample, 0) / inner.length);
}

for (const [from, to] of RATES) {
  test(`${from} Hz to ${to} Hz keeps speech and its length`, () => {
    const output = convert(from, to, tone(1000, from));
    assert.ok(Math.abs(output.length - to) <= 1, `${output.length} samples of one second at ${to} Hz`);
    assert.ok(Math.abs(rms(output) - Math.SQRT1_2) < 0.005, `RMS ${rms(output)}`);
  });

  test(`${from} Hz to ${to} Hz gives the same in blocks of any size`, () => {
    const input = tone(700, from, 0.1);
    assert.deepEqual(convert(from, to, input, 37), convert(from, to, input, 4096));
  });
}

for (const [from, to] of RATES.filter(([from, to]) => to < from)) {
  test(`${from} Hz to ${to} Hz lets nothing fold back`, () => {
    const above = tone(to * 0.55, from);
    const level = rms(convert(from, to, above));
    assert.ok(20 * Math.log10(level / Math.SQRT1_2) < -60, `RMS ${level} of a tone at ${to * 0.55} Hz`);
  });
}

test("equal rates pass through", () => {
  const input = tone(440, 24_000, 0.02);
  assert.deepEqual(new Resampler(24_000, 24_000).process(input), input);
});
