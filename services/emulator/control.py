"""The control API: plain HTTP and JSON on loopback, for tests and tools.

======================== ===================================================================
``GET /v1/health``       ``{"status": "ok"}``
``GET /v1/voices``       the streams that were heard: ``{"streams": [123]}``
``GET /v1/voices/{n}``   the account of one voice stream (see `account`), or 404
======================== ===================================================================

Errors are ``{"error": "a sentence"}``.
"""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from services.emulator.account import Account


def application(account: Account) -> web.Application:
    """The web application that tells what is in `account`."""
    control = _Control(account)
    app = web.Application()
    app.router.add_get("/v1/health", control.health)
    app.router.add_get("/v1/voices", control.voices)
    app.router.add_get("/v1/voices/{stream}", control.voice)
    return app


class _Control:
    def __init__(self, account: Account) -> None:
        self._account = account

    async def health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def voices(self, _: web.Request) -> web.Response:
        return web.json_response({"streams": list(self._account.voices)})

    async def voice(self, request: web.Request) -> web.Response:
        text = request.match_info["stream"]
        report = self._account.voice(int(text)) if text.isdecimal() and text.isascii() else None
        if report is None:
            return _error(404, f"No voice with the stream {text!r} was heard.")
        return web.json_response(report)


def _error(status: int, sentence: str) -> web.Response:
    body: Mapping[str, Any] = {"error": sentence}
    return web.json_response(body, status=status, dumps=json.dumps)
