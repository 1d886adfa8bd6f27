"""The vendor: the fake OpenAI Realtime server as a process of its own."""

import os
import subprocess
import threading

from .server import REPOSITORY

BINARY = os.environ.get("ROOMKIT_FAKE_OPENAI") or str(
    REPOSITORY / "target/release/roomkit-fake-openai"
)


class Vendor:
    """With `relay`, each piece of the caller's audio comes straight back; otherwise it hears turns and
    echoes them."""

    def __init__(self, *flags: str, key: str = "sk-test"):
        self.key = key
        self.process = subprocess.Popen(
            [BINARY, "--listen", "127.0.0.1:0", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "FAKE_OPENAI_KEY": key},
        )
        late = threading.Timer(20, self.process.kill)
        late.start()
        self.url = self.process.stdout.readline().strip()
        late.cancel()
        if not self.url:
            raise RuntimeError(f"{BINARY} ended before it listened")

    def provider(self, **config) -> dict:
        """What a server's configuration says of it."""
        return {"name": "openai", "config": {"base_url": self.url, "api_key": self.key, **config}}

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
