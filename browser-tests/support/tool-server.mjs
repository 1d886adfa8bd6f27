/**
 * An MCP server as a program: a tool `wait` that takes `seconds`, may `fail`, and tells of its progress if it is asked to.
 * `roomkit-server` starts it, by `toolServer`.
 */

import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The server's settings that make its tools those of the AI. */
export const toolServer = `[[mcp]]\ntell_progress = true\ncommand = ${JSON.stringify(process.execPath)}\nargs = [${JSON.stringify(fileURLToPath(import.meta.url))}]\n`;

const WAIT = {
  name: "wait",
  description: "Waits for some seconds.",
  inputSchema: {
    type: "object",
    properties: { seconds: { type: "number" }, fail: { type: "boolean" }, tell: { type: "string" } },
  },
};

const say = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);

function answer(id, method, params) {
  switch (method) {
    case "initialize":
      return say({
        id,
        result: {
          protocolVersion: params.protocolVersion,
          capabilities: { tools: {} },
          serverInfo: { name: "tools-for-tests", version: "1.0.0" },
        },
      });
    case "tools/list":
      return say({ id, result: { tools: [WAIT] } });
    case "tools/call":
      return wait(id, params);
    case "ping":
      return say({ id, result: {} });
    default:
      return say({ id, error: { code: -32601, message: `no ${method} here` } });
  }
}

function wait(id, { arguments: { seconds = 0, fail = false, tell }, _meta }) {
  if (tell) {
    const params = { progressToken: _meta?.progressToken, progress: 1, total: 2, message: tell };
    say({ method: "notifications/progress", params });
  }
  const text = fail ? "it went wrong" : `waited for ${seconds} s`;
  setTimeout(() => say({ id, result: { content: [{ type: "text", text }], isError: fail } }), 1000 * seconds);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  createInterface({ input: process.stdin }).on("line", (line) => {
    const { id, method, params } = JSON.parse(line);
    if (id !== undefined && method) {
      answer(id, method, params);
    }
  });
}
