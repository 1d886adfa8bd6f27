"""Whether this machine is too busy to judge what has to be done by the clock."""

import asyncio
import contextlib
import os
from pathlib import Path


class Load:
    """Watches how long any thread of this process and of another one is kept from a processor at a time.
    That is told by Linux as a sum, of which so little comes together in `EVERY` seconds of a machine
    that is free that more of it is a pause."""

    EVERY = 0.2
    #: From 0.06 s on the server takes late audio of its provider for the start of something new.
    BUSY = 0.05

    def __init__(self, process: int):
        self._processes = (os.getpid(), process)
        #: The longest pause, in seconds.
        self.worst = 0.0

    @property
    def is_busy(self) -> bool:
        return self.worst > self.BUSY

    async def __aenter__(self) -> "Load":
        self._before = self._waited()
        self._watching = asyncio.ensure_future(self._watch())
        return self

    async def __aexit__(self, *_):
        self._watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watching
        self._look()

    async def _watch(self):
        while True:
            await asyncio.sleep(self.EVERY)
            self._look()

    def _look(self):
        now = self._waited()
        pauses = (waited - self._before.get(thread, waited) for thread, waited in now.items())
        self.worst = max(self.worst, *pauses)
        self._before = now

    def _waited(self) -> dict[str, float]:
        """How many seconds each thread has been ready to run and did not; 0 where Linux does not say."""
        waited = {"": 0.0}
        for process in self._processes:
            for thread in Path(f"/proc/{process}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):  # Ended since.
                    waited[str(thread)] = int(thread.read_text().split()[1]) / 1e9
        return waited
