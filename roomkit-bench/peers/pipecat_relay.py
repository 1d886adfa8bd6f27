"""Pipecat as a relay between callers and a vendor: `pipecat_relay.py PORT UPSTREAM`.

A pipeline for each caller: WebSocket in, OpenAI Realtime, WebSocket out, and no voice detector or context,
since the vendor here sends back what it hears. Audio is base64 in JSON at 24 kHz both ways, in pieces of
20 ms, so that nothing resamples; a serializer of a few lines speaks the callers' protocol.
"""

import base64
import json
import os
import sys

os.environ.setdefault("LOGURU_LEVEL", "ERROR")

import uvicorn
from fastapi import FastAPI, WebSocket
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.transports.websocket.fastapi import (
    FastAPIWebsocketParams,
    FastAPIWebsocketTransport,
)
from pipecat.workers.runner import WorkerRunner

RATE = 24_000
MODEL = "gpt-realtime-2.1"
STARTED = '{"type":"session_started","output_encoding":"base64"}'

app = FastAPI()


class AudioInJson(FrameSerializer):
    async def serialize(self, frame: Frame) -> str | None:
        if not isinstance(frame, OutputAudioRawFrame):
            return None
        return json.dumps({"type": "audio", "data": base64.b64encode(frame.audio).decode()})

    async def deserialize(self, data: str | bytes) -> Frame | None:
        message = json.loads(data)
        if message.get("type") != "audio":
            return None
        return InputAudioRawFrame(base64.b64decode(message["data"]), RATE, 1)


@app.websocket("/ws")
async def call(caller: WebSocket):
    await caller.accept()
    transport = FastAPIWebsocketTransport(
        caller,
        FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            audio_out_10ms_chunks=2,
            audio_out_auto_silence=False,
            serializer=AudioInJson(),
        ),
    )
    vendor = OpenAIRealtimeLLMService(
        api_key="sk-bench",
        base_url=app.state.upstream,
        settings=OpenAIRealtimeLLMService.Settings(model=MODEL),
    )
    worker = PipelineWorker(
        Pipeline([transport.input(), vendor, transport.output()]),
        params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
        idle_timeout_secs=None,
    )

    @worker.event_handler("on_pipeline_started")
    async def started(_worker, _frame):
        await caller.send_text(STARTED)

    @transport.event_handler("on_client_disconnected")
    async def gone(_transport, _caller):
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


if __name__ == "__main__":
    app.state.upstream = sys.argv[2]
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        log_level="error",
    )
