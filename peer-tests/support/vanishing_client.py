"""A caller who talks until the process is ended: `python3 -m support.vanishing_client URL ROOM`."""

import asyncio
import sys

from . import measure
from .peer import Peer


class FarServer:
    """As much of a server as a peer needs that did not start it."""

    def __init__(self, url: str):
        self.url = url

    from .server import Server

    request, offer = Server.request, Server.offer


async def talk(url: str, room: str):
    peer = Peer(FarServer(url))
    peer.room = room
    await peer.connect()
    await peer.ready()
    print("talking")
    while True:
        await peer.microphone.say(measure.tone(500, 2))


if __name__ == "__main__":
    asyncio.run(talk(sys.argv[1], sys.argv[2]))
