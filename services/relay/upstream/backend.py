"""Whose API the relay talks to: the path, the credentials, and what of resumption is different.

The Developer API takes a key. Vertex AI takes an access token, which lives for about an hour and is fetched anew from
the machine's Application Default Credentials; and it can resume transparently: each handle tells up to which of the
client's messages it holds what was sent, even in the middle of an utterance.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import google.auth
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request

DEVELOPER_PATH: Final = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
VERTEX_PATH: Final = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)


class CredentialsError(Exception):
    """No access token can be had; the text says why."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One of the two.

    Args:
        path: Of the WebSocket.
        headers: The credentials, asked for at each dial; raises `CredentialsError`.
        transparent: Handles tell what they hold of the client's messages.
        compression: Sessions let it compress their context.
    """

    path: str
    headers: Callable[[], Awaitable[Mapping[str, str]]]
    transparent: bool = False
    compression: bool = True


def developer(api_key: str) -> Backend:
    """The Gemini Developer API, or an emulator of it."""

    async def headers() -> Mapping[str, str]:
        return {"x-goog-api-key": api_key}

    return Backend(DEVELOPER_PATH, headers)


def vertex(access_token: str) -> Backend:
    """Vertex AI.

    Args:
        access_token: A token to use as it is; empty for the machine's own credentials.
    """
    fetch = _Fixed(access_token) if access_token else _ApplicationDefault()

    async def headers() -> Mapping[str, str]:
        return {"Authorization": f"Bearer {await fetch.token()}"}

    return Backend(VERTEX_PATH, headers, transparent=True)


class _Fixed:
    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self) -> str:
        return self._token


class _ApplicationDefault:
    """https://cloud.google.com/docs/authentication/application-default-credentials, refreshed when it has expired."""

    def __init__(self) -> None:
        self._credentials: google.auth.credentials.Credentials | None = None
        self._one_at_a_time = asyncio.Lock()

    async def token(self) -> str:
        async with self._one_at_a_time:
            try:
                return await asyncio.to_thread(self._fetch)
            except GoogleAuthError as error:
                raise CredentialsError(f"no access token for Vertex AI: {error}") from error

    def _fetch(self) -> str:
        if self._credentials is None:
            self._credentials, _ = google.auth.default(scopes=_SCOPES)
        if not self._credentials.valid:
            self._credentials.refresh(Request())  # type: ignore[no-untyped-call]  # the library is half typed
        return str(self._credentials.token)
