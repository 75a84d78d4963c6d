"""The floor of Filo's transport: websockets, msgspec and uvloop, with no conversation logic at all.

When Gemini says goAway it closes the connection and makes another one, which is the least that a rotation can be.
"""

import argparse
import asyncio
import base64
import ssl
from typing import Final

import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

SETUP: Final = '{"setup":{"model":"models/any","generationConfig":{"responseModalities":["AUDIO"]}}}'
PATH: Final = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=any"
RESTLESS_SETUP: Final = '{"setup":{"model":"models/any","systemInstruction":{"parts":[{"text":"restlessly"}]}}}'
RESTLESS_PATH: Final = "/restlessly"
"""Where a client asks for a conversation whose connections Gemini's stand-in ends when it is told to."""
HEAD: Final = b'{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"'
TAIL: Final = b'"}}}'


class _Blob(msgspec.Struct):
    data: bytes = b""


class _Part(msgspec.Struct, rename="camel"):
    inline_data: _Blob | None = None


class _Turn(msgspec.Struct):
    parts: list[_Part] = []


class _Content(msgspec.Struct, rename="camel"):
    model_turn: _Turn | None = None


class _GoAway(msgspec.Struct):
    pass


class _Message(msgspec.Struct, rename="camel"):
    server_content: _Content | None = None
    go_away: _GoAway | None = None


_TLS: Final = ssl.create_default_context()
DECODER: Final = msgspec.json.Decoder(_Message)


async def _up(client: ServerConnection, upstream: ClientConnection) -> None:
    async for pcm in client:
        if isinstance(pcm, bytes):
            await upstream.send(HEAD + base64.b64encode(pcm) + TAIL, text=True)


async def _down(client: ServerConnection, upstream: ClientConnection) -> None:
    """Pass on what Gemini says, until it says goAway."""
    while True:
        message = DECODER.decode(await upstream.recv(decode=False))
        content = message.server_content
        for part in content.model_turn.parts if content and content.model_turn else ():
            if part.inline_data is not None:
                await client.send(part.inline_data.data)
        if message.go_away is not None:
            return


async def relay(client: ServerConnection, url: str) -> None:
    """Pass on what comes, both ways, until either side goes."""
    restless = client.request is not None and client.request.path == RESTLESS_PATH
    while await _connected(client, url, RESTLESS_SETUP if restless else SETUP):
        pass


async def _connected(client: ServerConnection, url: str, setup: str) -> bool:
    """Carry the conversation over one connection; tells whether it wants another one."""
    async with connect(
        url + PATH, ssl=_TLS, compression=None, ping_interval=None, max_size=2**24, proxy=None
    ) as upstream:
        await upstream.send(setup)
        up, down = asyncio.create_task(_up(client, upstream)), asyncio.create_task(_down(client, upstream))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            return down.done() and not up.done() and down.exception() is None
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)


async def _main(upstream: str) -> None:
    async def handle(client: ServerConnection) -> None:
        try:
            await relay(client, upstream)
        except ConnectionClosed:
            return

    async with serve(handle, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(f"floor ready: {server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream")
    uvloop.run(_main(parser.parse_args().upstream))
