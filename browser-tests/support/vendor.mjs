/** A fake Gemini Live or OpenAI Realtime server, and the line to it, which a test cuts and mends. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { firstAddress } from "./server.mjs";

const VENDORS = {
  gemini: {
    binary: process.env.ROOMKIT_FAKE_GEMINI ?? built("roomkit-fake-gemini"),
    config: (url) => `api_key = "AIza-test", base_url = "${url}"`,
  },
  openai: {
    binary: process.env.ROOMKIT_FAKE_OPENAI ?? built("roomkit-fake-openai"),
    config: (url) => `api_key = "sk-test", base_url = "${url}/v1/realtime"`,
  },
};

function built(name) {
  return fileURLToPath(new URL(`../../target/release/${name}`, import.meta.url));
}

/** @param {string[]} [options] more of the program's options @param {keyof VENDORS} [name] which vendor it plays */
export async function startVendor(options = [], name = "gemini") {
  const { binary, config } = VENDORS[name];
  const child = spawn(binary, ["--listen", "127.0.0.1:0", ...options], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const line = await openLine(new URL(await firstAddress(child.stdout)).port);
  return {
    /** The server's settings that make this its AI. */
    settings: `[provider]\nname = "${name}"\nconfig = { ${config(line.url)} }\n`,
    /** Ends every connection, and lets nobody through until `mend`. */
    cut: line.cut,
    mend: line.mend,
    async stop() {
      line.close();
      child.kill("SIGINT");
      await exited;
    },
  };
}

async function openLine(port) {
  const ends = new Set();
  let isCut = false;
  const server = createServer((near) => {
    if (isCut) {
      near.resetAndDestroy();
      return;
    }
    const far = connect(port, "127.0.0.1");
    for (const [from, to] of [[near, far], [far, near]]) {
      ends.add(from);
      from.pipe(to);
      // What goes wrong on one side ends the other.
      from.on("error", () => {});
      from.on("close", () => {
        ends.delete(from);
        to.destroy();
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    isCut = true;
    for (const end of ends) {
      end.resetAndDestroy();
    }
  };
  return {
    url: `ws://127.0.0.1:${server.address().port}`,
    cut,
    mend() {
      isCut = false;
    },
    close() {
      cut();
      server.close();
    },
  };
}
