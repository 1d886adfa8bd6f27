"""HTTP with the standard library, off the event loop, so that calls go on while a request waits."""

import asyncio
import http.client
import json
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def error(self) -> str | None:
        """The code of a refusal in signalling, or in the rest of the API."""
        try:
            body = self.json
            return body.get("meta", {}).get("error") or body.get("code")
        except (ValueError, AttributeError):
            return None


class Connection:
    """A connection that is kept between requests; for one thread at a time."""

    def __init__(self, url: str):
        parts = urlsplit(url)
        self.http = http.client.HTTPConnection(parts.hostname, parts.port, timeout=15)

    def request(self, method: str, path: str, body=None, content_type=None) -> Response:
        headers = {}
        if body is not None and not isinstance(body, (str, bytes)):
            body, content_type = json.dumps(body), content_type or "application/json"
        if content_type:
            headers["Content-Type"] = content_type
        if isinstance(body, str):
            body = body.encode()
        try:
            self.http.request(method, path, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            pass  # A server may answer and hang up before it has read all of a body it refuses.
        answer = self.http.getresponse()
        text = answer.read().decode()
        return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, text)

    def close(self):
        self.http.close()


def request_once(url: str, *arguments) -> Response:
    connection = Connection(url)
    try:
        return connection.request(*arguments)
    finally:
        connection.close()


async def request(url: str, *arguments) -> Response:
    """`await request(url, method, path, body, content_type)`."""
    return await asyncio.to_thread(request_once, url, *arguments)
