"""Whether this machine is too busy to judge what has to be done by the clock."""

import os
from pathlib import Path


class Load:
    """How long some processes, and this one, have waited for a processor since it was made."""

    #: Beyond so many seconds, what came late may be the machine's fault: from 0.06 s on the server takes
    #: audio of its provider for the start of something new, from 0.2 s on a caller for silent.
    BUSY = 0.1

    def __init__(self, *processes: int):
        self._processes = (os.getpid(), *processes)
        self._before = self._sum()

    @property
    def waited(self) -> float:
        return self._sum() - self._before

    @property
    def is_busy(self) -> bool:
        return self.waited > self.BUSY

    def _sum(self) -> float:
        return sum(map(waited_by, self._processes))


def waited_by(process: int) -> float:
    """How many seconds its threads have been ready to run and did not; 0 where Linux does not say."""
    nanoseconds = 0
    for thread in Path(f"/proc/{process}/task").glob("*/schedstat"):
        try:
            nanoseconds += int(thread.read_text().split()[1])
        except OSError:
            pass  # Ended since.
    return nanoseconds / 1e9
