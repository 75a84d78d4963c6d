"""The floor of another transport: picows, msgspec and uvloop, with no conversation logic at all."""

import argparse
import asyncio
import base64
import os
import ssl
from typing import Final

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect, ws_create_server

from bench.relay.floor import DECODER, HEAD, PATH, SETUP, TAIL

_EARLY: Final = 64
"""Frames of a client that may come before its connection to Gemini is there."""


class _Gemini(WSListener):
    """Gemini's side: what comes goes to the client."""

    def __init__(self, client: WSTransport) -> None:
        self._client = client

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self._client.disconnect()
            return
        content = DECODER.decode(frame.get_payload_as_memoryview()).server_content
        for part in content.model_turn.parts if content and content.model_turn else ():
            if part.inline_data is not None:
                self._client.send(WSMsgType.BINARY, part.inline_data.data)


class _Client(WSListener):
    """A client's side: audio goes to Gemini."""

    def __init__(self, url: str, trusting: ssl.SSLContext) -> None:
        self._url = url
        self._trusting = trusting
        self._upstream: WSTransport | None = None
        self._early: list[bytes] = []
        self._dial: asyncio.Task[None] | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._dial = asyncio.create_task(self._connect(transport))

    async def _connect(self, client: WSTransport) -> None:
        upstream, _ = await ws_connect(lambda: _Gemini(client), self._url + PATH, ssl_context=self._trusting)
        upstream.send(WSMsgType.TEXT, SETUP.encode())
        for message in self._early:
            upstream.send(WSMsgType.TEXT, message)
        self._early.clear()
        self._upstream = upstream

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type == WSMsgType.BINARY:
            message = HEAD + base64.b64encode(frame.get_payload_as_memoryview()) + TAIL
            if self._upstream is not None:
                self._upstream.send(WSMsgType.TEXT, message)
            elif len(self._early) < _EARLY:
                self._early.append(message)

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        if self._upstream is not None:
            self._upstream.disconnect()


async def _main(upstream: str) -> None:
    trusting = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    server = await ws_create_server(lambda _request: _Client(upstream, trusting), "127.0.0.1", 0)
    print(f"floor ready: {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream")
    uvloop.run(_main(parser.parse_args().upstream))
