"""The REST side: ``generateContent`` and ``streamGenerateContent`` on the same host and port as the socket.

google-genai sends both to its base URL, so whoever points it at the emulator gets answers for text models as well.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

import msgspec
from aiohttp import web

from services.emulator import closes, credentials, generate
from services.emulator.brain import Brain
from services.emulator.config import Settings
from services.emulator.generate import Reply
from services.emulator.profiles import Backend

_METHOD: Final = r":{method:generateContent|streamGenerateContent}"
PATHS: Final[Mapping[str, Backend]] = {
    r"/{_:/*}{version:v1|v1beta|v1alpha}/{model:models/[^/:]+}" + _METHOD: Backend.DEVELOPER,
    r"/{_:/*}{version:v1|v1beta1}/{model:(?:projects/[^/]+/locations/[^/]+/)?publishers/google/models/[^/:]+}"
    + _METHOD: Backend.VERTEX,
}
"""Where requests come; Vertex in express mode names no project."""
MAX_BODY: Final = 20 * 2**20
"""Bytes of a request that are read; the real service takes 20 MB."""


def add_routes(application: web.Application, settings: Settings, brain: Brain) -> None:
    """Answer on `PATHS`."""
    for path, backend in PATHS.items():
        application.router.add_post(path, partial(_generate, backend, settings, brain))


async def _generate(backend: Backend, settings: Settings, brain: Brain, request: web.Request) -> web.Response:
    status, message = _refusal(credentials.key(request), settings) or generate.respond(
        await request.read(), request.match_info["model"], request.match_info["version"], backend, brain
    )
    body = msgspec.json.encode(message)
    if request.match_info["method"] == "streamGenerateContent" and status == web.HTTPOk.status_code:
        if request.query.get("alt") == "sse":
            return web.Response(body=b"data: " + body + b"\r\n\r\n", content_type="text/event-stream")
        body = b"[" + body + b"]"
    return web.Response(body=body, status=status, content_type="application/json")


def _refusal(key: str, settings: Settings) -> Reply | None:
    if not key:
        return generate.failure(403, closes.KEY_MISSING.reason)
    if key == settings.bad_key:
        return generate.failure(400, closes.KEY_INVALID.reason)
    return None
