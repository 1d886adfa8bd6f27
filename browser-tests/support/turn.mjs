/** A TURN server for browsers that may send to nobody else: coturn, on loopback. */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";

import { temporaryFolder } from "./temporary.mjs";

export const hasTurn = spawnSync("turnserver", ["--version"]).error === undefined;

/** Starts one on this port, and waits until it listens. */
export async function startTurn(port) {
  const folder = temporaryFolder("roomkit-turn-");
  const child = spawn(
    "turnserver",
    [
      ...["-n", "--listening-ip=127.0.0.1", `--listening-port=${port}`, "--relay-ip=127.0.0.1", "--allow-loopback-peers"],
      ...["--lt-cred-mech", "--user=roomkit:relayed", "--realm=roomkit", "--no-tls", "--no-dtls", "--no-cli"],
      ...["--log-file=stdout", `--pidfile=${folder}/pid`, `--userdb=${folder}/db`],
    ],
    { stdio: "ignore" },
  );
  const exited = once(child, "exit");
  while (!(await listens(port))) {
    if (child.exitCode !== null) {
      throw new Error(`turnserver ended with ${child.exitCode}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    /** As the server's settings have it. */
    server: `{ urls = ["turn:127.0.0.1:${port}?transport=udp"], username = "roomkit", credential = "relayed" }`,
    async stop() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** It listens on TCP as well, where one can see it. */
function listens(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true));
    socket.on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}
