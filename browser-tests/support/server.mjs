/** The program under test: the release binary, with the built-in `echo` provider unless a test says otherwise. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { temporaryFolder } from "./temporary.mjs";

const BINARY =
  process.env.ROOMKIT_SERVER ??
  fileURLToPath(new URL("../../target/release/roomkit-server", import.meta.url));

/** A browser that starts beside a call keeps the machine busy, which is no reason to refuse the next call. */
const UNHURRIED = "[limits]\nmax_load = 1.0\nmax_timer_lateness_ms = 0\n";

/**
 * Starts a server, on a free port unless `at` names one, and waits until it says where it listens.
 *
 * @param {object} [options]
 * @param {string} [options.tokens] access tokens with commas between them; nobody needs one without
 * @param {string} [options.settings] a configuration file's text
 * @param {string} [options.limits] more of its `[limits]`
 * @param {string} [options.at] the address of one that has ended
 */
export async function startServer({ tokens, settings = "", limits = "", at = "http://127.0.0.1:0" } = {}) {
  const auth = tokens === undefined ? [] : ["--auth-token-env", "ROOMKIT_TEST_TOKENS"];
  const file = join(temporaryFolder(), "roomkit.toml");
  writeFileSync(file, `${settings}\n${UNHURRIED}${limits}`);
  // A test that has ended has left its call, which need not be waited for.
  const child = spawn(BINARY, ["--config", file, "--listen", at.match(/[^/]+:\d+/)[0], "--drain-s", "0", ...auth], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ROOMKIT_TEST_TOKENS: tokens },
  });
  const exited = once(child, "exit");
  const address = await Promise.race([
    firstAddress(child.stdout),
    exited.then(([code]) => {
      throw new Error(`${BINARY} ended with ${code} before it listened`);
    }),
  ]);
  return {
    url: address,
    /** GET as JSON. */
    async get(path) {
      const response = await fetch(new URL(path, address));
      return response.json();
    },
    /** Gives it other settings while it runs. */
    reload(settings) {
      writeFileSync(file, `${settings}\n${UNHURRIED}${limits}`);
      child.kill("SIGHUP");
    },
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      await exited;
    },
  };
}

/** Waits until a server has so many calls, and returns the milliseconds that took. */
export async function untilCalls(of, count) {
  const began = performance.now();
  while ((await of.get("/readyz")).sessions !== count) {
    assert.ok(performance.now() - began < 60_000, `the server does not get to ${count} calls`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return performance.now() - began;
}

/** The first URL that a program writes. */
export async function firstAddress(output) {
  for await (const line of createInterface({ input: output })) {
    const found = line.match(/(?:http|ws):\/\/\S+/);
    if (found) {
      // Left flowing, so that the program never waits for somebody to read its output.
      output.resume();
      return found[0];
    }
  }
  throw new Error("the program closed its output without saying where it listens");
}
