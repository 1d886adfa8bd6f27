"""The Python library as a relay between callers and a vendor: `roomkit_relay.py PORT UPSTREAM`.

As its own documentation has a host do it: a room for each caller, one channel, the WebSocket transport.
Audio is base64 in JSON at 24 kHz both ways, so that neither side resamples.
"""

import asyncio
import logging
import sys
import uuid

from roomkit import RoomKit
from roomkit.channels import RealtimeVoiceChannel
from roomkit.providers.openai.realtime import OpenAIRealtimeProvider
from roomkit.voice.realtime.ws_transport import WebSocketRealtimeTransport
from websockets.asyncio.server import serve

RATE = 24_000


async def main(port: int, upstream: str):
    logging.disable(logging.WARNING)
    kit = RoomKit()
    voice = RealtimeVoiceChannel(
        "voice",
        provider=OpenAIRealtimeProvider(api_key="sk-bench", base_url=upstream),
        transport=WebSocketRealtimeTransport(audio_format="base64_json"),
        input_sample_rate=RATE,
        output_sample_rate=RATE,
    )
    kit.register_channel(voice)

    async def call(caller):
        room = uuid.uuid4().hex
        await kit.create_room(room_id=room)
        await kit.attach_channel(room, "voice")
        session = await voice.start_session(room, "caller", caller)
        try:
            await caller.wait_closed()
        finally:
            await voice.end_session(session)
            await kit.close_room(room)

    async with serve(call, "127.0.0.1", port, compression=None):
        await asyncio.Future()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
