"""A server that ends TLS itself: a certificate for it, and clients that speak to it."""

import asyncio
import contextlib
import ssl
import subprocess
from pathlib import Path

from .wire import address_of

#: What `openssl` is told, for a certificate that is its own authority.
SELF_SIGNED = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"


class Identity:
    """A certificate for 127.0.0.1 with its key, in a folder."""

    def __init__(self, folder: str):
        self.cert, self.key = Path(folder, "cert.pem"), Path(folder, "key.pem")
        files = ["-keyout", self.key, "-out", self.cert]
        name = ["-addext", "subjectAltName=IP:127.0.0.1"]
        command = ["openssl", *SELF_SIGNED.split(), *name, *files]
        subprocess.run(command, check=True, capture_output=True)

    def section(self) -> dict:
        """What the server's configuration says of it."""
        return {"cert": str(self.cert), "key": str(self.key)}

    def trusted(self) -> ssl.SSLContext:
        """What a client knows that trusts this certificate alone."""
        return ssl.create_default_context(cafile=self.cert)

    def client_hello(self) -> bytes:
        """The first words of such a client."""
        said = ssl.MemoryBIO()
        client = self.trusted().wrap_bio(ssl.MemoryBIO(), said, server_hostname="127.0.0.1")
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        return said.read()


class Unwrapped:
    """An address at which a server of https is found in plain words, for clients that know no TLS."""

    @classmethod
    async def open(cls, server, context: ssl.SSLContext) -> "Unwrapped":
        self = cls()
        self._server, self._context = server, context
        self._listener = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.url = "http://127.0.0.1:%d" % self._listener.sockets[0].getsockname()[1]
        return self

    def close(self):
        self._listener.close()

    async def _connect(self, reader, writer):
        host, port = address_of(self._server)
        far_reader, far_writer = await asyncio.open_connection(host, port, ssl=self._context)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
    """Passes on all that comes, and its end."""
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()
