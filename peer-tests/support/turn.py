"""A TURN server: coturn, on loopback."""

import random
import shutil
import socket
import subprocess
import tempfile
import time

BINARY = shutil.which("turnserver")
USER, PASSWORD = "roomkit", "relayed"


class TurnServer:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="roomkit-turn-")
        for _ in range(3):
            self.port = free_port()
            self.process = self._start()
            if self._listens():
                return
            self._end()
        self.folder.cleanup()
        raise RuntimeError("coturn does not listen")

    def _start(self) -> subprocess.Popen:
        return subprocess.Popen(
            [
                BINARY, "-n", "--listening-ip=127.0.0.1", f"--listening-port={self.port}",
                "--relay-ip=127.0.0.1", "--allow-loopback-peers", "--lt-cred-mech",
                f"--user={USER}:{PASSWORD}", "--realm=roomkit", "--no-tls", "--no-dtls", "--no-cli",
                "--log-file=stdout", f"--pidfile={self.folder.name}/pid",
                f"--userdb={self.folder.name}/db",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _listens(self) -> bool:
        # On TCP as well, where one can see it.
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            except OSError:
                time.sleep(0.05)
        return False

    def as_ice_server(self) -> dict:
        url = f"turn:127.0.0.1:{self.port}?transport=udp"
        return {"urls": [url], "username": USER, "credential": PASSWORD}

    def stop(self):
        self._end()
        self.folder.cleanup()

    def _end(self):
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    """One that is free for both protocols, and below those that the system gives to connections, of
    which other tests have left thousands behind."""
    while True:
        port = random.randrange(20_000, 30_000)
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                with socket.socket(socket.AF_INET, kind) as free:
                    free.bind(("127.0.0.1", port))
            return port
        except OSError:
            continue
