"""A server that has seen many callers is as small as one that has seen a few."""

import asyncio
import unittest

from support.case import ServerCase
from support.peer import Peer

WARM_UP, ALL, AT_ONCE = 20, 100, 5


class Leaks(ServerCase):
    async def test_callers_who_come_and_leave_leave_nothing(self):
        await self.come_and_leave(WARM_UP)
        before = await self.size()
        await self.come_and_leave(ALL - WARM_UP)
        after = await self.size()
        self.report(
            f"RSS and descriptors after {WARM_UP} calls: {before[0]:.1f} MiB, {before[1]};"
            f" after {ALL}: {after[0]:.1f} MiB, {after[1]}"
        )
        self.assertLess(after[0] - before[0], 8)
        self.assertLessEqual(after[1], before[1] + 2)

    async def come_and_leave(self, count: int):
        for _ in range(count // AT_ONCE):
            await asyncio.gather(*(self.one(number % 2 == 0) for number in range(AT_ONCE)))
        await self.server.until_sessions(0, within=10)

    async def one(self, hangs_up: bool):
        peer = Peer(self.server)
        # One room for all, so that what is kept of rooms does not count.
        peer.room = "leaks"
        try:
            await peer.connect()
            await peer.ready()
            if hangs_up:
                await peer.hang_up()
        finally:
            await peer.close()

    async def size(self) -> tuple[float, int]:
        # Sockets and buffers may outlive their session for a moment.
        await asyncio.sleep(2)
        return self.server.memory_mib(), self.server.descriptors()


if __name__ == "__main__":
    unittest.main()
