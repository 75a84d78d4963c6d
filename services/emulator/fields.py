"""The fields of one client message, read as Google's JSON parser reads them."""

import base64
import binascii
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypeVar

from services.emulator import closes
from services.emulator.closes import RefusedError

E = TypeVar("E", bound=StrEnum)

# The fields of each message, by the last name of its path. A message that is not here is not looked into.
FIELDS: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(fields.split())
    for name, fields in {
        "": "setup clientContent realtimeInput toolResponse contextUpdate",
        "setup": "model generationConfig systemInstruction tools sessionResumption contextWindowCompression "
        "inputAudioTranscription outputAudioTranscription proactivity realtimeInputConfig historyConfig "
        "safetySettings labels avatarConfig explicitVadSignal",
        "session_resumption": "handle",
        "context_window_compression": "triggerTokens slidingWindow",
        "sliding_window": "targetTokens",
        "realtime_input_config": "automaticActivityDetection activityHandling turnCoverage",
        "automatic_activity_detection": "disabled startOfSpeechSensitivity endOfSpeechSensitivity prefixPaddingMs "
        "silenceDurationMs",
        "history_config": "initialHistoryInClientContent",
        "realtime_input": "mediaChunks audio video text activityStart activityEnd audioStreamEnd",
        "audio": "data mimeType displayName",
        "video": "data mimeType displayName",
        "media_chunks": "data mimeType displayName",
        "client_content": "turns turnComplete",
        "turns": "role parts",
        "system_instruction": "role parts",
        "tool_response": "functionResponses",
        "function_responses": "id name response parts willContinue scheduling",
        "context_update": "systemInstruction tools",
    }.items()
}
# What only Vertex knows; on the Developer API it is an unknown name [OBS].
VERTEX_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    **FIELDS,
    "session_resumption": FIELDS["session_resumption"] | {"transparent"},
}
# A request of generateContent; what is in a part or in generationConfig is not looked for.
REST_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(fields.split())
    for name, fields in {
        "": "model contents systemInstruction tools toolConfig safetySettings generationConfig cachedContent labels",
        "contents": "role parts",
        "system_instruction": "role parts",
    }.items()
}
_STANDARD_ALPHABET: Final = bytes.maketrans(b"-_", b"+/")


@lru_cache(maxsize=1024)
def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


@lru_cache(maxsize=1024)
def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda match: f"_{match[1].lower()}", name)


class Fields:
    """The fields of one message, by camelCase name.

    Every reader raises `RefusedError` for a value of the wrong kind, with Google's sentence about it.

    Attributes:
        path: Where the message is, as Google writes it; empty at the top.
        values: Its fields, without those that are null.
    """

    def __init__(self, value: object, path: str, fields: Mapping[str, frozenset[str]]) -> None:
        """Take a message.

        Args:
            value: What stands where the message should be.
            path: Where that is.
            fields: The names that each message may have.

        Raises:
            RefusedError: It is no message, or has a field that it may not have.
        """
        if not isinstance(value, dict):
            raise RefusedError(closes.invalid_value(path, "MESSAGE", value))
        self.path = path
        self._known = fields
        self.values: dict[str, Any] = {_camel(name): item for name, item in value.items() if item is not None}
        known = fields.get(path.rpartition(".")[2].partition("[")[0], self.values.keys())
        for name in self.values:
            if name not in known:
                raise RefusedError(closes.unknown_name(name, path))

    def at(self, name: str) -> str:
        """The path of a field, as Google writes it."""
        return f"{self.path}.{_snake(name)}" if self.path else _snake(name)

    def has(self, name: str) -> bool:
        """Whether the field is there."""
        return name in self.values

    def message(self, name: str) -> "Fields":
        """A field that is a message; an empty one if it is absent."""
        return Fields(self.values.get(name, {}), self.at(name), self._known)

    def messages(self, name: str) -> "list[Fields]":
        """A repeated field of messages."""
        paths = ((f"{self.at(name)}[{index}]", item) for index, item in enumerate(self.items(name)))
        return [Fields(item, path, self._known) for path, item in paths]

    def opaque(self, name: str) -> Mapping[str, Any]:
        """A field that is a message of the client's own: its names are left as they are."""
        self.message(name)
        return self.values.get(name, {})  # type: ignore[no-any-return] # `message` has proved it a mapping

    def items(self, name: str) -> list[Any]:
        """A repeated field; empty if it is absent."""
        value = self.values.get(name, [])
        if not isinstance(value, list):
            raise RefusedError(closes.invalid_value(self.at(name), "LIST", value))
        return value

    def text(self, name: str) -> str:
        """A string; empty if it is absent."""
        value = self.values.get(name, "")
        if not isinstance(value, str):
            raise RefusedError(closes.invalid_value(self.at(name), "TYPE_STRING", value))
        return value

    def choice(self, name: str, default: E) -> E:
        """One of an enumeration's values, in either case; `default` if it is absent or left unspecified."""
        text = self.text(name)
        if not text or text.upper().endswith("_UNSPECIFIED"):
            return default
        try:
            return type(default)(text.upper())
        except ValueError as error:
            raise RefusedError(closes.invalid_value(self.at(name), "TYPE_ENUM", text)) from error

    def flag(self, name: str) -> bool:
        """A switch; off if it is absent."""
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise RefusedError(closes.invalid_value(self.at(name), "TYPE_BOOL", value))
        return value

    def number(self, name: str) -> int | None:
        """A whole number, as a number or in a string; None if it is absent."""
        value = self.values.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value, re.ASCII):
            return int(value)
        raise RefusedError(closes.invalid_value(self.at(name), "TYPE_INT64", value))

    def data(self, name: str) -> bytes:
        """Bytes in either alphabet of base64, padded or not; empty if they are absent."""
        text = self.text(name)
        try:
            encoded = text.encode("ascii").translate(_STANDARD_ALPHABET).rstrip(b"=")
            return base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
        except (UnicodeEncodeError, binascii.Error) as error:
            raise RefusedError(closes.invalid_value(self.at(name), "TYPE_BYTES", text[:20])) from error
