"""From a client's frame to a message: as lenient as Google's JSON parser, and as strict.

Lenient: both casings of every name, both alphabets of base64 with or without padding, numbers as strings, null for
absent (the proto3 JSON mapping). Strict: an unknown name, a value of the wrong kind or two fields at once ends the
connection with 1007 and Google's sentence (GEMINI-LIVE.md, Client to server; close reasons observed, see `closes`).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from services.emulator import closes
from services.emulator.closes import Close, RefusedError
from services.emulator.context import Role
from services.emulator.fields import FIELDS, VERTEX_FIELDS, Fields
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
    Coverage,
    Detection,
    FunctionResponse,
    RealtimeInput,
    RealtimeItem,
    Resumption,
    Scheduling,
    Setup,
    TextInput,
    ToolResponse,
    VideoInput,
)
from services.emulator.profiles import Backend

_DEFAULT_RATE: Final = 16_000
_RATE: Final = re.compile(r"rate\s*=\s*([1-9]\d{3,5})")


def decode(frame: str | bytes, backend: Backend = Backend.DEVELOPER) -> ClientMessage:
    """Read one frame, text or binary, that came to this backend.

    Raises:
        RefusedError: It is not a message; holds the close to answer with.
    """
    try:
        payload = msgspec.json.decode(frame)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise RefusedError(closes.invalid_json(f"{str(error).rstrip('.')}.")) from error
    message = Fields(payload, "", VERTEX_FIELDS if backend is Backend.VERTEX else FIELDS)
    if len(message.values) != 1:
        raise RefusedError(_ONE_FIELD if message.values else closes.INVALID_ARGUMENT)
    name = next(iter(message.values))
    return _READERS[name](message.message(name))


_ONE_FIELD: Final = Close(1007, "Invalid value at '' (oneof), oneof field 'message_type' is already set.")  # [?]


def _setup(fields: Fields) -> Setup:
    generation = fields.message("generationConfig")
    config = fields.message("realtimeInputConfig")
    return Setup(
        model=fields.text("model"),
        modalities=tuple(str(item).upper() for item in generation.items("responseModalities")),
        instruction=text_of(fields.message("systemInstruction")),
        tools=tools(fields),
        resumption=_resumption(fields),
        compression=_compression(fields),
        detection=_detection(config),
        coverage=config.choice("turnCoverage", Coverage.ACTIVITY_AND_VIDEO),
        transcribes_input=fields.has("inputAudioTranscription"),
        transcribes_output=fields.has("outputAudioTranscription"),
        brings_history=fields.message("historyConfig").flag("initialHistoryInClientContent"),
    )


def _resumption(fields: Fields) -> Resumption | None:
    if not fields.has("sessionResumption"):
        return None
    resumption = fields.message("sessionResumption")
    return Resumption(resumption.text("handle") or None, resumption.flag("transparent"))


def _compression(fields: Fields) -> Compression | None:
    if not fields.has("contextWindowCompression"):
        return None
    compression = fields.message("contextWindowCompression")
    return Compression(compression.number("triggerTokens"), compression.message("slidingWindow").number("targetTokens"))


def _detection(config: Fields) -> Detection:
    automatic = config.message("automaticActivityDetection")
    silence, prefix = (automatic.number(name) for name in ("silenceDurationMs", "prefixPaddingMs"))
    return Detection(
        automatic=not automatic.flag("disabled"),
        silence=None if silence is None else silence / 1000,
        prefix=None if prefix is None else prefix / 1000,
        interrupts=config.text("activityHandling").upper() != "NO_INTERRUPTION",
    )


def tools(fields: Fields) -> tuple[Mapping[str, Any], ...]:
    """The tools that a message declares, not looked into.

    Raises:
        RefusedError: They are no list of messages.
    """
    declared = fields.items("tools")
    for index, tool in enumerate(declared):
        if not isinstance(tool, dict):
            raise RefusedError(closes.invalid_value(f"{fields.at('tools')}[{index}]", "MESSAGE", tool))
    return tuple(declared)


def text_of(content: Fields) -> str:
    """The text of all parts of a content.

    Raises:
        RefusedError: They are no parts.
    """
    return "".join(part.text("text") for part in content.messages("parts"))


def _realtime_input(fields: Fields) -> RealtimeInput:
    items: list[RealtimeItem] = []
    for name in fields.values:
        if name == "mediaChunks":
            items += [_blob(chunk) for chunk in fields.messages(name)]
        else:
            items.append(_REALTIME[name](fields, name))
    return RealtimeInput(tuple(items))


def _blob(blob: Fields) -> AudioInput | VideoInput:
    data, mime_type = blob.data("data"), blob.text("mimeType")
    if not mime_type.startswith("audio/"):
        return VideoInput(mime_type)
    rate = _RATE.search(mime_type)
    return AudioInput(data, int(rate[1]) if rate else _DEFAULT_RATE)


def _activity(kind: Callable[[], RealtimeItem]) -> Callable[[Fields, str], RealtimeItem]:
    def read(fields: Fields, name: str) -> RealtimeItem:
        fields.message(name)
        return kind()

    return read


def _audio_stream_end(fields: Fields, name: str) -> RealtimeItem:
    fields.flag(name)
    return AudioStreamEnd()


_REALTIME: Final[Mapping[str, Callable[[Fields, str], RealtimeItem]]] = {
    "audio": lambda fields, name: _blob(fields.message(name)),
    "video": lambda fields, name: _blob(fields.message(name)),
    "text": lambda fields, name: TextInput(fields.text(name)),
    "activityStart": _activity(ActivityStart),
    "activityEnd": _activity(ActivityEnd),
    "audioStreamEnd": _audio_stream_end,
}


def _client_content(fields: Fields) -> ClientContent:
    turns = tuple(ContentTurn(role_of(turn), text_of(turn)) for turn in fields.messages("turns"))
    return ClientContent(turns, complete=fields.flag("turnComplete"))


def role_of(turn: Fields) -> Role | None:
    """Whose turn it is: the user's where nothing is said, None for ``system``.

    Raises:
        RefusedError: There is no such role.
    """
    name = turn.text("role") or "user"
    if name == "system":
        return None
    if name not in tuple(Role):
        raise RefusedError(Close(1007, "Please use a valid role: user, model."))  # [OBS], generateContent's sentence
    return Role(name)


def _tool_response(fields: Fields) -> ToolResponse:
    return ToolResponse(
        tuple(
            FunctionResponse(
                item.text("id"),
                item.text("name"),
                item.opaque("response"),
                item.choice("scheduling", Scheduling.WHEN_IDLE),
                item.flag("willContinue"),
            )
            for item in fields.messages("functionResponses")
        )
    )


def _context_update(fields: Fields) -> ContextUpdate:
    has_instruction, has_tools = fields.has("systemInstruction"), fields.has("tools")
    return ContextUpdate(
        instruction=text_of(fields.message("systemInstruction")) if has_instruction else None,
        tools=tools(fields.message("tools")) if has_tools else None,  # a list in a message, so that it can be empty
    )


_READERS: Final[Mapping[str, Callable[[Fields], ClientMessage]]] = {
    "setup": _setup,
    "realtimeInput": _realtime_input,
    "clientContent": _client_content,
    "toolResponse": _tool_response,
    "contextUpdate": _context_update,
}
