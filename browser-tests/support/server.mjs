/** The program under test: the release binary with the built-in `echo` provider. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const BINARY =
  process.env.ROOMKIT_SERVER ??
  fileURLToPath(new URL("../../target/release/roomkit-server", import.meta.url));

/**
 * Starts a server on a free port and waits until it says where it listens.
 *
 * @param {{ tokens?: string }} [options] access tokens with commas between them; nobody needs one without
 */
export async function startServer({ tokens } = {}) {
  const auth = tokens === undefined ? [] : ["--auth-token-env", "ROOMKIT_TEST_TOKENS"];
  const child = spawn(BINARY, ["--listen", "127.0.0.1:0", "--provider", "echo", ...auth], {
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
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      await exited;
    },
  };
}

async function firstAddress(output) {
  for await (const line of createInterface({ input: output })) {
    const found = line.match(/listening on (http:\/\/\S+)/);
    if (found) {
      // Left flowing, so that the server never waits for somebody to read its output.
      output.resume();
      return found[1];
    }
  }
  throw new Error("the server closed its output without saying where it listens");
}
