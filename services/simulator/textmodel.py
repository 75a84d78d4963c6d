"""A Gemini text model, for prospects and judges: google-genai on any base URL, so that the emulator answers it too."""

import ssl
from pathlib import Path
from typing import Any, Final

TIMEOUT_MS: Final = 60_000
ATTEMPTS: Final = 3


class TextModelError(Exception):
    """The model gave no answer; the text says why."""


class TextModel:
    """A model that answers prompts. One for all runs: a client of google-genai costs 60 ms and 2.6 MiB.

    Args:
        api_key: The key.
        url: Where it answers; empty for Google's own address.
        authority: A PEM file with the certificate authority to trust; None for the system's.
    """

    def __init__(self, api_key: str, url: str = "", authority: Path | None = None) -> None:
        self._api_key = api_key
        self._url = url
        self._authority = authority
        self._client: Any = None

    async def answer(self, model: str, instruction: str, prompt: str, schema: dict[str, Any] | None = None) -> str:
        """What the model says. Safe to cancel.

        Args:
            model: Its name.
            instruction: The system instruction.
            prompt: The user's turn.
            schema: A JSON schema that the answer keeps to, where it is to be JSON.

        Raises:
            TextModelError: It cannot be reached, refuses, or says nothing, three times in a row.
        """
        from google.genai import types  # noqa: PLC0415 - only who wants a model pays for it

        config = types.GenerateContentConfig(system_instruction=instruction)
        if schema is not None:
            config.response_mime_type, config.response_json_schema = "application/json", schema
        problem = ""
        for _ in range(ATTEMPTS):
            try:
                reply = await self._models().generate_content(model=model, contents=prompt, config=config)
            except Exception as error:  # noqa: BLE001 - google-genai lets through what its HTTP libraries raise
                problem = f"{type(error).__name__}: {error}"
                continue
            if reply.text:
                return str(reply.text)
            problem = "it said nothing"
        raise TextModelError(f"{model} gave no answer: {problem}")

    def _models(self) -> Any:  # noqa: ANN401 - google-genai's own type is private
        if self._client is None:
            from google import genai  # noqa: PLC0415 - the same
            from google.genai import types  # noqa: PLC0415 - the same

            options: dict[str, Any] = {"timeout": TIMEOUT_MS}
            if self._url:
                options["base_url"] = self._url
            if self._authority is not None:
                trust = ssl.create_default_context(cafile=self._authority)
                options |= {"client_args": {"verify": trust}, "async_client_args": {"ssl": trust}}
            self._client = genai.Client(api_key=self._api_key, http_options=types.HttpOptions(**options))
        return self._client.aio.models
