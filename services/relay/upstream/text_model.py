"""A Gemini text model, asked for summaries beside the conversations."""

import asyncio
import ssl
from pathlib import Path
from typing import Any, Final

import aiohttp
import httpx
from google import genai
from google.genai import errors, types

from services.relay.upstream.summaries import INSTRUCTION, SummaryError

_PATIENCE: Final = 20.0
_TROUBLE: Final = (errors.APIError, httpx.HTTPError, aiohttp.ClientError, OSError, TimeoutError, ValueError)


class TextModel:
    """A text model of the Developer API, or of the emulator. One for all conversations.

    Args:
        model: Its name.
        api_key: The key.
        url: The base URL of Gemini Live, ``wss://``; the text model answers at the same host.
        ca: A PEM file to trust besides the system's.
    """

    def __init__(self, model: str, api_key: str, url: str, ca: Path | None) -> None:
        trust = ssl.create_default_context()
        if ca is not None:
            trust.load_verify_locations(ca)
        options: dict[str, Any] = {"client_args": {"verify": trust}, "async_client_args": {"ssl": trust}}
        base = "https" + url.removeprefix("wss") if url.startswith("wss") else "http" + url.removeprefix("ws")
        self._model = model
        self._client = genai.Client(api_key=api_key, http_options=types.HttpOptions(base_url=base, **options))

    async def ask(self, words: str) -> str:
        """The model's answer. Safe to cancel.

        Raises:
            SummaryError: There was none.
        """
        config = types.GenerateContentConfig(system_instruction=INSTRUCTION)
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await self._client.aio.models.generate_content(
                    model=self._model, contents=words, config=config
                )
        except _TROUBLE as error:
            raise SummaryError(f"{type(error).__name__}: {str(error)[:200]}") from error
        if not answer.text:
            raise SummaryError("it said nothing")
        return answer.text.strip()
