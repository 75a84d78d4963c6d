"""Dials the emulator directly, again and again, from a process of its own: what a rotation's dial is compared with."""

import asyncio
import json
import random
import ssl
import sys
import time
from typing import Final

import uvloop
from websockets.asyncio.client import connect

_PAUSE: Final = 0.2
_SETUP: Final = {"model": "models/gemini-2.5-flash-native-audio", "sessionResumption": {}}


async def probe(url: str, ca: str) -> None:
    """Print, for each dial, the seconds to connect and those from there until the setup was complete; until killed."""
    trust = ssl.create_default_context(cafile=ca)
    while True:
        began = time.monotonic()
        async with connect(url, ssl=trust, compression=None, proxy=None) as socket:
            connected = time.monotonic()
            await socket.send(json.dumps({"setup": _SETUP}))
            await socket.recv()
            print(json.dumps([connected - began, time.monotonic() - connected]), flush=True)
        await asyncio.sleep(_PAUSE * random.uniform(0.5, 1.5))  # noqa: S311 - no two alike


if __name__ == "__main__":
    uvloop.run(probe(*sys.argv[1:]))
