"""The program under test: the release binary, with the built-in `echo` provider unless told otherwise."""

import asyncio
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode

from . import rest

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("ROOMKIT_SERVER") or str(REPOSITORY / "target/release/roomkit-server")

#: Where the WebRTC transport is mounted; the WebSocket transport is at `/ws`.
MOUNT = "/rtc"


def toml(settings: dict) -> str:
    """The lines of one table."""
    return "".join(f"{name} = {toml_value(value)}\n" for name, value in settings.items())


def toml_value(value) -> str:
    """JSON's numbers, strings and booleans are TOML's too."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml_value(v)}" for name, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(value)


def configuration(transport: dict, limits: dict, provider: dict, top: dict, sections: dict) -> str:
    """`provider` is the echo's configuration, or has a `name` and a `config`; `sections` are further
    tables of the file."""
    if "name" not in provider:
        provider = {"name": "echo", "config": provider}
    # Rooms without a name are forgotten soon, so that they do not look like a leak.
    sections = {"rooms": {"close_empty_after_s": 1, "keep_closed_s": 0}, **sections}
    return (
        f"{toml(top)}"
        f"[provider]\n{toml(provider)}"
        f'[[transports]]\nname = "webrtc"\npath = "{MOUNT}"\n[transports.config]\n{toml(transport)}'
        f'[[transports]]\nname = "websocket"\npath = "/ws"\n'
        f"[limits]\n{toml(limits)}"
        + "".join(f"[{name}]\n{toml(table)}" for name, table in sections.items())
    )


class Server:
    """A running server."""

    def __init__(
        self, transport=None, limits=None, provider=None, top=None, sections=None, environment=None
    ):
        self.folder = tempfile.TemporaryDirectory(prefix="roomkit-peer-")
        file = Path(self.folder.name, "roomkit.toml")
        tables = (transport, limits, provider, top, sections)
        file.write_text(configuration(*(table or {} for table in tables)))
        self.log_file = Path(self.folder.name, "log")
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                [BINARY, "--config", str(file), "--listen", "127.0.0.1:0"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **(environment or {})},
            )
        self._reading = None
        try:
            self.url = self._address()
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def _address(self) -> str:
        # A server that hangs before it listens is killed, which ends the loop below.
        late = threading.Timer(20, self.process.kill)
        late.start()
        try:
            for line in self.process.stdout:
                if found := re.search(r"https?://[\w.:\[\]]+", line):
                    # Read on, so that the program never waits for somebody to read its output.
                    self._reading = threading.Thread(target=self.process.stdout.read, daemon=True)
                    self._reading.start()
                    return found[0]
        finally:
            late.cancel()
        raise RuntimeError(f"{BINARY} ended before it listened:\n{self.log()}")

    def log(self, characters: int = 3000) -> str:
        """The end of what it logged."""
        return self.log_file.read_text(errors="replace")[-characters:]

    def tell(self, which: signal.Signals):
        self.process.send_signal(which)

    def stop(self, how=signal.SIGTERM):
        """Ends it; gives its exit code."""
        code = self.end(how)
        self.folder.cleanup()
        return code

    def end(self, how=signal.SIGTERM) -> int:
        """Ends it and leaves its log; gives its exit code."""
        code = self._exit_code(how)
        if self._reading:
            self._reading.join()
        self.process.stdout.close()
        return code

    def _exit_code(self, how: signal.Signals) -> int:
        for _ in range(100):
            if self.process.poll() is None:
                # The second one waits for no call to end. At once, it would be one with the first.
                self.process.send_signal(how)
            try:
                return self.process.wait(0.1)
            except subprocess.TimeoutExpired:
                pass
        self.process.kill()
        return self.process.wait()

    def is_alive(self) -> bool:
        return self.process.poll() is None

    # ----- HTTP

    async def request(self, method, path, body=None, content_type=None) -> rest.Response:
        return await rest.request(self.url, method, path, body, content_type)

    async def get(self, path):
        return (await self.request("GET", path)).json

    async def offer(self, sdp, webrtc_id, room=None, participant=None) -> rest.Response:
        query = {"room": room, "participant": participant}
        query = urlencode({name: value for name, value in query.items() if value})
        body = {"sdp": sdp, "type": "offer", "webrtc_id": webrtc_id}
        return await self.request("POST", f"{MOUNT}/webrtc/offer?{query}", body)

    async def candidate(self, candidate, webrtc_id) -> rest.Response:
        body = candidate_message(candidate, webrtc_id)
        return await self.request("POST", f"{MOUNT}/webrtc/offer", body)

    async def hang_up(self, webrtc_id) -> rest.Response:
        return await self.request("DELETE", f"{MOUNT}/webrtc/offer/{webrtc_id}")

    async def counts(self, metric: str, label: str) -> Counter:
        """What a counter has come to, for each value of its label."""
        text = (await self.request("GET", "/metrics")).text
        lines = re.finditer(rf'^{metric}\{{.*?\b{label}="(.*?)".*?\}} (\d+)$', text, flags=re.M)
        counts = Counter()
        for _, value, count in (line.group(0, 1, 2) for line in lines):
            counts[value] += int(count)
        return counts

    # ----- what it holds

    async def sessions(self, room: str | None = None) -> int:
        """Calls there are, in one room or in all."""
        if room is None:
            return (await self.get("/readyz"))["sessions"]
        described = await self.get(f"/rooms/{room}")
        return len(described.get("sessions", []))

    async def until_sessions(self, count: int, room: str | None = None, within: float = 5) -> float:
        """How many seconds it took until there were so many calls."""
        began = time.monotonic()
        while (now := await self.sessions(room)) != count:
            waited = time.monotonic() - began
            if waited > within:
                raise AssertionError(f"{now} sessions instead of {count} after {waited:.1f} s")
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    def memory_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def peers(self) -> set[int]:
        """The far ports of the TCP connections it holds open."""
        folder = f"/proc/{self.process.pid}"
        held = set()
        for name in os.listdir(f"{folder}/fd"):
            try:
                held.add(os.readlink(f"{folder}/fd/{name}"))
            except FileNotFoundError:
                pass  # Closed since.
        lines = Path(f"{folder}/net/tcp").read_text().splitlines()[1:]
        fields = (line.split() for line in lines)
        return {int(it[2].split(":")[1], 16) for it in fields if f"socket:[{it[9]}]" in held}


def candidate_message(candidate, webrtc_id) -> dict:
    """A candidate as browsers serialise it."""
    if isinstance(candidate, str):
        candidate = {"candidate": candidate, "sdpMid": "0", "sdpMLineIndex": 0}
    return {"type": "ice-candidate", "candidate": candidate, "webrtc_id": webrtc_id}
