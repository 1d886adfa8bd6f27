"""A server on FastMCP, of the Python package `mcp`. `stdio`, or `http PORT`."""

import asyncio
import sys

from mcp.server.fastmcp import Context, FastMCP, Image
from pydantic import BaseModel

transport = sys.argv[1]
port = int(sys.argv[2]) if transport == "http" else 0
server = FastMCP("foreign", host="127.0.0.1", port=port, log_level="WARNING")


class Weather(BaseModel):
    sky: str
    celsius: int


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def weather(city: str) -> Weather:
    """The weather in a city."""
    return Weather(sky="snow", celsius=-3)


@server.tool(structured_output=False)
def greet(name: str) -> str:
    return f"Grüezi {name}"


@server.tool()
def boom() -> str:
    """Always fails."""
    raise ValueError("the boiler is cold")


@server.tool()
def picture() -> Image:
    """A picture."""
    return Image(data=b"\x89PNG" + bytes(100_000), format="png")


@server.tool()
async def count(to: int, context: Context) -> str:
    """Counts, and tells how far it is."""
    for number in range(1, to + 1):
        await context.report_progress(number, to, f"at {number}")
        await asyncio.sleep(0.02)
    return "counted"


cancelled = 0


@server.tool()
async def sleep() -> str:
    """Sleeps for a minute."""
    global cancelled
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        cancelled += 1
        raise
    return "slept"


@server.tool()
def cancellations() -> int:
    """How many sleeps were cut short."""
    return cancelled


@server.tool()
async def learn(context: Context) -> str:
    """Learns another tool."""
    server.add_tool(lambda: "used", name="learned")
    await context.session.send_tool_list_changed()
    return "learned"


server.run("stdio" if transport == "stdio" else "streamable-http")
