"""Where the SDKs put the API key, the access token or the ephemeral token of a request."""

import re
from typing import Final

from aiohttp import web

_CREDENTIAL: Final = re.compile(r"(?:Bearer|Token)\s+(\S+)", re.IGNORECASE)


def key(request: web.Request) -> str:
    """The key or token of a request, from its headers or its query; empty if there is none."""
    credential = _CREDENTIAL.fullmatch(request.headers.get("Authorization", ""))
    named = (request.query.get(name) for name in ("key", "access_token"))
    found = (request.headers.get("x-goog-api-key"), *named, credential and credential[1])
    return next((key for key in found if key), "")
