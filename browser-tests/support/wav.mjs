/** Sounds made for a test. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { temporaryFolder } from "./temporary.mjs";

const RATE = 48_000;

/** Writes samples at 48 kHz (-1 to 1) as a WAV file and returns its path. */
export function wav(samples) {
  const bytes = samples.length * 2;
  const file = Buffer.alloc(44 + bytes);
  file.write("RIFF", 0);
  file.writeUInt32LE(36 + bytes, 4);
  file.write("WAVEfmt ", 8);
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20);
  file.writeUInt16LE(1, 22);
  file.writeUInt32LE(RATE, 24);
  file.writeUInt32LE(RATE * 2, 28);
  file.writeUInt16LE(2, 32);
  file.writeUInt16LE(16, 34);
  file.write("data", 36);
  file.writeUInt32LE(bytes, 40);
  samples.forEach((sample, n) => file.writeInt16LE(Math.round(sample * 32767), 44 + 2 * n));
  const path = join(temporaryFolder(), "sound.wav");
  writeFileSync(path, file);
  return path;
}

/** A sine between silences, each in seconds. */
export function tone(frequency, { before = 1, seconds = 2, after = 4, level = 0.3 } = {}) {
  const samples = new Float32Array((before + seconds + after) * RATE);
  for (let n = 0; n < seconds * RATE; n += 1) {
    samples[before * RATE + n] = level * Math.sin((2 * Math.PI * frequency * n) / RATE);
  }
  return samples;
}
