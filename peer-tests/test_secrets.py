"""Keys, tokens and words in a run that uses all of them: none shows where it does not belong."""

import asyncio
import base64
import json
import unittest

from support import routes
from support.case import ServerCase
from support.server import Server
from support.vendor import Vendor
from support.websocket import BINARY, CLOSE, Closed, WebSocket, frame, message
from support.wire import Wire, ask, request

API_KEY = "sk-SECRET-api-key-4711"
WRONG_KEY = "sk-SECRET-wrong-key-4712"
TOKEN = "SECRET-static-token-4713"
SIGNING_KEY = "SECRET-signing-key-4714-of-thirty-two-characters"
NOTED = "SECRET-metadata-4715"
PROMPT = "SECRET-prompt-4716"
CALLER_TYPED, CALLER_SAID = "SECRET-typed-4717", "SECRET-spoken-4718"
AI_SAID, TOOL_TOLD = "SECRET-answer-4719", "SECRET-argument-4720"
WHISPER = "SECRET-whisper-4721"
#: 20 ms that are loud, and that nobody else would send.
AUDIO = b"\x37\x13\x47\x11" * 240
KEYS = (API_KEY, WRONG_KEY, TOKEN, SIGNING_KEY)
WORDS = (CALLER_TYPED, CALLER_SAID, AI_SAID, TOOL_TOLD, WHISPER, PROMPT, NOTED)


class Secrets:
    """The log's formats are beneath."""

    format = "text"

    @classmethod
    def setUpClass(cls):
        tool = f'current_time={{"zone": "{TOOL_TOLD}"}}'
        flags = ("--transcript", CALLER_SAID, "--tool-call", tool)
        cls.vendor = Vendor(*flags, *["--reply", AI_SAID] * 9, key=API_KEY)
        cls.addClassCleanup(cls.vendor.stop)
        cls.provider = cls.vendor.provider()
        cls.environment = {"ROOMKIT_TEST_SIGNING_KEY": SIGNING_KEY}
        cls.top = {"log": "debug", "log_format": cls.format, "drain_s": 1}
        cls.sections = {
            "auth": {"tokens": [TOKEN], "signing_key_env": "ROOMKIT_TEST_SIGNING_KEY"},
            "channel": {"system_prompt": PROMPT, "demo_tools": True},
        }
        super().setUpClass()

    async def test_nothing_shows_what_it_must_not(self):
        self._ends_server = True
        self.answers: list[tuple[str, str]] = []
        minted = [(await self.minted())["token"] for _ in range(6)]
        secrets = [*KEYS, *minted, *(token.rsplit(".", 1)[1] for token in minted)]
        await self.calls(minted)
        await self.refusals(minted)
        await self.a_webrtc_call(secrets)
        wrong = await self.with_a_wrong_key()
        await self.pages()
        await asyncio.to_thread(self.server.end)
        logs = self.server.log_file.read_text() + wrong
        sound = [
            base64.b64encode(AUDIO)[:40].decode(),
            AUDIO[:8].hex(),
            repr(list(AUDIO[:8]))[1:-1],
        ]
        for secret in (*secrets, *WORDS, *sound):
            self.assertNotIn(secret, logs)
        for what, text in self.answers:
            for secret in secrets:
                # Who asks for a token gets it, and nobody else.
                self.assertNotIn(secret, text, what)
            if "timeline" not in what:
                for word in WORDS:
                    self.assertNotIn(word, text, what)
        self.report(
            f"{len(secrets) + len(WORDS)} secrets and words in none of {len(logs.splitlines())} lines"
            f" of log and {len(self.answers)} answers"
        )

    async def asked(self, method: str, path: str, headers=(), body: bytes | None = None):
        answer = await ask(self.server, request(method, path, headers, body))
        text = json.dumps(answer.headers) + answer.body.decode()
        self.answers.append((f"{method} {path.split('?')[0]}", text))
        return answer

    async def minted(self) -> dict:
        body = {"scopes": ["call", "watch"], "room": "lobby", "metadata": {"note": NOTED}}
        headers = [bearer(TOKEN), ("Content-Type", routes.JSON)]
        return (await ask(self.server, request("POST", "/tokens", headers, as_json(body)))).json

    async def calls(self, minted: list[str]):
        """By each way in which a token is shown."""
        ways = (
            (f"/ws?room=lobby&token={TOKEN}", []),
            ("/ws?room=lobby", [bearer(TOKEN)]),
            ("/ws?room=lobby", [("Sec-WebSocket-Protocol", f"roomkit, token.{minted[0]}")]),
            (f"/ws?room=lobby&token={minted[1]}", []),
        )
        await asyncio.gather(*(self.one_call(path, headers) for path, headers in ways))
        timeline = await self.asked("GET", "/rooms/lobby/timeline?limit=1000", [bearer(TOKEN)])
        for word in (CALLER_TYPED, CALLER_SAID, AI_SAID):
            self.assertIn(word, timeline.body.decode(), "nothing was said, so nothing was tested")

    async def one_call(self, path: str, headers: list):
        socket = await WebSocket.call(self.server, path, headers=headers)
        self.answers.append(("upgrade", json.dumps(socket.headers)))
        self.answers.append(("session_started", json.dumps(socket.started)))
        await socket.send(message("text", text=CALLER_TYPED))
        await socket.send(*[frame(BINARY, AUDIO)] * 25, *[frame(BINARY, bytes(960))] * 40)
        # Both sides are written down, so the words are there to be found.
        await socket.until("transcription", role="user", text=CALLER_SAID)
        await socket.until("transcription", role="assistant", is_final=True)
        body = as_json({"text": WHISPER, "visibility": ["voice"]})
        headers = [bearer(TOKEN), ("Content-Type", routes.JSON)]
        await ask(self.server, request("POST", "/rooms/lobby/messages", headers, body))
        await socket.hang_up()

    async def refusals(self, minted: list[str]):
        used, fresh = minted[0], minted[2]
        forged = used[:-4] + "AAAA"
        for token in (
            used,
            forged,
            f"{TOKEN}x",
            TOKEN[:-1],
            f"{TOKEN}, {TOKEN}",
            SIGNING_KEY,
            API_KEY,
        ):
            for path in ("/ws?room=lobby", "/ws?room=other", "/rooms", "/metrics"):
                await self.asked("GET", path, [bearer(token)])
                await self.asked("GET", f"{path}{'&' if '?' in path else '?'}token={token}")
        # Held to one room, and asks for another.
        await self.asked("GET", "/ws?room=other", [bearer(fresh)])
        await self.asked("GET", "/rooms/other", [bearer(fresh)])
        for token in (TOKEN, used):
            # Where tokens do not belong.
            await self.asked("GET", f"/rooms/{token}", [bearer(TOKEN)][:0])
            await self.asked("GET", f"/nothing/{'x' * 10}", [("Cookie", token), ("Referer", token)])
            broken = request("GET", f"/ws?token={token}", [bearer(token)])[:-4] + b"\x00\r\n\r\n"
            wire = await Wire.open(self.server)
            await wire.send(broken)
            try:
                self.answers.append(("broken", (await wire.answer()).body.decode()))
            except Closed:
                pass
            wire.close()

    async def a_webrtc_call(self, secrets: list[str]):
        """What ICE and DTLS agree on is a secret of two."""
        peer = await self.caller()
        offer = await peer.make_offer()
        body = {"sdp": offer, "type": "offer", "webrtc_id": peer.id}
        headers = [bearer(TOKEN), ("Content-Type", routes.JSON)]
        path = "/rtc/webrtc/offer?room=lobby"
        answer = (await ask(self.server, request("POST", path, headers, as_json(body)))).json
        await peer.take_answer(answer["sdp"])
        await peer.message("session_started")
        peer.send({"type": "text", "text": CALLER_TYPED})
        await peer.message("transcription", role="assistant", is_final=True)
        for sdp in (offer, answer["sdp"]):
            secrets += [
                it.split(":", 1)[1] for it in sdp.split("\r\n") if it.startswith("a=ice-pwd")
            ]

    async def with_a_wrong_key(self) -> str:
        """The log of a server that the vendor turns away, and of one that reaches nobody."""
        logs = ""
        nobody = {**self.vendor.provider(), "name": "openai"}
        nobody["config"] = {
            **nobody["config"],
            "base_url": "ws://127.0.0.1:9/v1",
            "api_key": WRONG_KEY,
        }
        for provider in (self.vendor.provider(api_key=WRONG_KEY), nobody):
            sections = {**self.sections, "channel": {"connect_timeout_s": 2}}
            server = Server(
                provider=provider, top=self.top, sections=sections, environment=self.environment
            )
            socket = await WebSocket.open(server, "/ws", headers=[bearer(TOKEN)])
            said = ""
            try:
                while (got := await socket.receive(5)).opcode != CLOSE:
                    said += got.payload.decode("utf-8", "replace")
                said += got.payload[2:].decode()
            except (Closed, TimeoutError):
                pass
            socket.shut()
            self.answers.append(("call without vendor", said))
            self.assertIn("error", said)
            await asyncio.to_thread(server.end)
            logs += server.log(1_000_000)
            server.folder.cleanup()
        return logs

    async def pages(self):
        metrics = (await self.asked("GET", "/metrics", [bearer(TOKEN)])).body.decode()
        self.assertIn("roomkit_tool_calls_total", metrics, "no tool was called")
        for method, path, kind in routes.ROUTES:
            body = None if kind is None else b'{"SECRET": "x"}'
            for headers in ([], [bearer(TOKEN)], [bearer("x")]):
                if method != "DELETE":
                    await self.asked(
                        method, path, [*headers, ("Content-Type", kind or "x/x")], body
                    )


def bearer(token: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {token}"


def as_json(body: dict) -> bytes:
    return json.dumps(body).encode()


class InTextLogs(Secrets, ServerCase):
    pass


class InJsonLogs(Secrets, ServerCase):
    format = "json"


if __name__ == "__main__":
    unittest.main()
