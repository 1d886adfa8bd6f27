"""A TURN server: coturn, on loopback."""

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
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
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
        self._until_it_listens()

    def _until_it_listens(self):
        # It listens on TCP as well, where one can see it.
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("coturn does not listen")

    def as_ice_server(self) -> dict:
        url = f"turn:127.0.0.1:{self.port}?transport=udp"
        return {"urls": [url], "username": USER, "credential": PASSWORD}

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()
