"""From a client's frame to a message: as lenient as Google's JSON parser, and as strict.

Lenient: both casings of every name, both alphabets of base64 with or without padding, numbers as strings, null for
absent (the proto3 JSON mapping). Strict: an unknown name, a value of the wrong kind or two fields at once ends the
connection with 1007 and Google's sentence (GEMINI-LIVE.md, Client to server; close reasons observed, see `closes`).
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from services.emulator import closes
from services.emulator.closes import Close, RefusedError
from services.emulator.context import Role
from services.emulator.messages import (
    ActivityEnd,
    ActivityStart,
    AudioInput,
    AudioStreamEnd,
    ClientContent,
    ClientMessage,
    Compression,
    ContentTurn,
    ContextUpdate,
    Detection,
    FunctionResponse,
    RealtimeInput,
    RealtimeItem,
    Resumption,
    Setup,
    TextInput,
    ToolResponse,
    VideoInput,
)

# The fields of each message, by the last name of its path. A message that is not here is not looked into.
FIELDS: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(fields.split())
    for name, fields in {
        "": "setup clientContent realtimeInput toolResponse contextUpdate",
        "setup": "model generationConfig systemInstruction tools sessionResumption contextWindowCompression "
        "inputAudioTranscription outputAudioTranscription proactivity realtimeInputConfig historyConfig "
        "safetySettings labels avatarConfig explicitVadSignal",
        "session_resumption": "handle",  # transparent is Vertex only: "Unknown name" on the Developer API [OBS]
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
_DEFAULT_RATE: Final = 16_000
_RATE: Final = re.compile(r"rate\s*=\s*(\d{4,6})")
_STANDARD_ALPHABET: Final = bytes.maketrans(b"-_", b"+/")


def decode(frame: str | bytes) -> ClientMessage:
    """Read one frame, text or binary.

    Raises:
        RefusedError: It is not a message; holds the close to answer with.
    """
    try:
        payload = msgspec.json.decode(frame)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise RefusedError(closes.invalid_json(f"{str(error).rstrip('.')}.")) from error
    message = _Fields(payload, "")
    if len(message.values) != 1:
        raise RefusedError(_ONE_FIELD if message.values else closes.INVALID_ARGUMENT)
    name = next(iter(message.values))
    return _READERS[name](message.message(name))


_ONE_FIELD: Final = Close(1007, "Invalid value at '' (oneof), oneof field 'message_type' is already set.")  # [?]


@lru_cache(maxsize=1024)
def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


@lru_cache(maxsize=1024)
def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda match: f"_{match[1].lower()}", name)


class _Fields:
    """The fields of one message, by camelCase name, with the path for complaints."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise RefusedError(closes.invalid_value(path, "MESSAGE", value))
        self.path = path
        self.values: dict[str, Any] = {_camel(name): item for name, item in value.items() if item is not None}
        known = FIELDS.get(path.rpartition(".")[2].partition("[")[0])
        for name in self.values if known is not None else ():
            if name not in known:  # type: ignore[operator] # not None: the loop is empty then
                raise RefusedError(closes.unknown_name(name, path))

    def at(self, name: str) -> str:
        """The path of a field, as Google writes it."""
        return f"{self.path}.{_snake(name)}" if self.path else _snake(name)

    def has(self, name: str) -> bool:
        return name in self.values

    def message(self, name: str) -> "_Fields":
        """A field that is a message; an empty one if it is absent."""
        return _Fields(self.values.get(name, {}), self.at(name))

    def messages(self, name: str) -> "list[_Fields]":
        """A repeated field of messages."""
        return [_Fields(item, f"{self.at(name)}[{index}]") for index, item in enumerate(self.items(name))]

    def opaque(self, name: str) -> Mapping[str, Any]:
        """A field that is a message of the client's own: its names are left as they are."""
        self.message(name)
        return self.values.get(name, {})  # type: ignore[no-any-return] # `message` has proved it a mapping

    def items(self, name: str) -> list[Any]:
        value = self.values.get(name, [])
        if not isinstance(value, list):
            raise RefusedError(closes.invalid_value(self.at(name), "LIST", value))
        return value

    def text(self, name: str) -> str:
        value = self.values.get(name, "")
        if not isinstance(value, str):
            raise RefusedError(closes.invalid_value(self.at(name), "TYPE_STRING", value))
        return value

    def flag(self, name: str) -> bool:
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise RefusedError(closes.invalid_value(self.at(name), "TYPE_BOOL", value))
        return value

    def number(self, name: str) -> int | None:
        value = self.values.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value, re.ASCII):
            return int(value)
        raise RefusedError(closes.invalid_value(self.at(name), "TYPE_INT64", value))

    def data(self, name: str) -> bytes:
        text = self.text(name)
        try:
            encoded = text.encode("ascii").translate(_STANDARD_ALPHABET).rstrip(b"=")
            return base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
        except (UnicodeEncodeError, binascii.Error) as error:
            raise RefusedError(closes.invalid_value(self.at(name), "TYPE_BYTES", text[:20])) from error


def _setup(fields: _Fields) -> Setup:
    generation = fields.message("generationConfig")
    config = fields.message("realtimeInputConfig")
    return Setup(
        model=fields.text("model"),
        modalities=tuple(str(item).upper() for item in generation.items("responseModalities")),
        instruction=_text_of(fields.message("systemInstruction")),
        tools=_tools(fields),
        resumption=_resumption(fields),
        compression=_compression(fields),
        detection=_detection(config),
        transcribes_input=fields.has("inputAudioTranscription"),
        transcribes_output=fields.has("outputAudioTranscription"),
        brings_history=fields.message("historyConfig").flag("initialHistoryInClientContent"),
    )


def _resumption(fields: _Fields) -> Resumption | None:
    if not fields.has("sessionResumption"):
        return None
    return Resumption(fields.message("sessionResumption").text("handle") or None)


def _compression(fields: _Fields) -> Compression | None:
    if not fields.has("contextWindowCompression"):
        return None
    compression = fields.message("contextWindowCompression")
    return Compression(compression.number("triggerTokens"), compression.message("slidingWindow").number("targetTokens"))


def _detection(config: _Fields) -> Detection:
    automatic = config.message("automaticActivityDetection")
    silence, prefix = (automatic.number(name) for name in ("silenceDurationMs", "prefixPaddingMs"))
    return Detection(
        automatic=not automatic.flag("disabled"),
        silence=None if silence is None else silence / 1000,
        prefix=None if prefix is None else prefix / 1000,
        interrupts=config.text("activityHandling").upper() != "NO_INTERRUPTION",
    )


def _tools(fields: _Fields) -> tuple[Mapping[str, Any], ...]:
    tools = fields.items("tools")
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise RefusedError(closes.invalid_value(f"{fields.at('tools')}[{index}]", "MESSAGE", tool))
    return tuple(tools)


def _text_of(content: _Fields) -> str:
    return "".join(part.text("text") for part in content.messages("parts"))


def _realtime_input(fields: _Fields) -> RealtimeInput:
    items: list[RealtimeItem] = []
    for name in fields.values:
        if name == "mediaChunks":
            items += [_blob(chunk) for chunk in fields.messages(name)]
        else:
            items.append(_REALTIME[name](fields, name))
    return RealtimeInput(tuple(items))


def _blob(blob: _Fields) -> AudioInput | VideoInput:
    data, mime_type = blob.data("data"), blob.text("mimeType")
    if not mime_type.startswith("audio/"):
        return VideoInput(mime_type)
    rate = _RATE.search(mime_type)
    return AudioInput(data, int(rate[1]) if rate else _DEFAULT_RATE)


def _activity(kind: Callable[[], RealtimeItem]) -> Callable[[_Fields, str], RealtimeItem]:
    def read(fields: _Fields, name: str) -> RealtimeItem:
        fields.message(name)
        return kind()

    return read


def _audio_stream_end(fields: _Fields, name: str) -> RealtimeItem:
    fields.flag(name)
    return AudioStreamEnd()


_REALTIME: Final[Mapping[str, Callable[[_Fields, str], RealtimeItem]]] = {
    "audio": lambda fields, name: _blob(fields.message(name)),
    "video": lambda fields, name: _blob(fields.message(name)),
    "text": lambda fields, name: TextInput(fields.text(name)),
    "activityStart": _activity(ActivityStart),
    "activityEnd": _activity(ActivityEnd),
    "audioStreamEnd": _audio_stream_end,
}


def _client_content(fields: _Fields) -> ClientContent:
    turns = tuple(ContentTurn(_role(turn), _text_of(turn)) for turn in fields.messages("turns"))
    return ClientContent(turns, complete=fields.flag("turnComplete"))


def _role(turn: _Fields) -> Role | None:
    name = turn.text("role") or "user"
    if name == "system":
        return None
    if name not in tuple(Role):
        raise RefusedError(Close(1007, "Please use a valid role: user, model."))  # [OBS], generateContent's sentence
    return Role(name)


def _tool_response(fields: _Fields) -> ToolResponse:
    return ToolResponse(
        tuple(
            FunctionResponse(item.text("id"), item.text("name"), item.opaque("response"))
            for item in fields.messages("functionResponses")
        )
    )


def _context_update(fields: _Fields) -> ContextUpdate:
    has_instruction, has_tools = fields.has("systemInstruction"), fields.has("tools")
    return ContextUpdate(
        instruction=_text_of(fields.message("systemInstruction")) if has_instruction else None,
        tools=_tools(fields.message("tools")) if has_tools else None,  # a list in a message, so that it can be empty
    )


_READERS: Final[Mapping[str, Callable[[_Fields], ClientMessage]]] = {
    "setup": _setup,
    "realtimeInput": _realtime_input,
    "clientContent": _client_content,
    "toolResponse": _tool_response,
    "contextUpdate": _context_update,
}
