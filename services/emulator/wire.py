"""From a client's frame to a message, as Google's JSON parser reads it (see `fields`, and `shapes` for what there is).

What is not JSON, has an unknown name or a value of the wrong kind, or holds two messages at once ends the connection
with 1007 and Google's sentence (GEMINI-LIVE.md, Client to server; close reasons observed, see `closes`).
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from services.emulator import closes, fields, parts
from services.emulator.closes import Close, RefusedError
from services.emulator.context import Role
from services.emulator.fields import Message
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

_EMPTY: Final[Message] = {}


def decode(frame: str | bytes, backend: Backend = Backend.DEVELOPER) -> ClientMessage:
    """Read one frame, text or binary, that came to this backend.

    Raises:
        RefusedError: It is not a message; holds the close to answer with.
    """
    try:
        message = fields.read(msgspec.json.decode(frame), "LiveClientMessage", backend)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise RefusedError(closes.invalid_json(f"{str(error).rstrip('.')}.")) from error
    if not message:
        raise RefusedError(closes.INVALID_ARGUMENT)
    ((name, content),) = message.items()
    return _READERS[name](content)


def _setup(setup: Message) -> Setup:
    live = setup.get("realtimeInputConfig", _EMPTY)
    return Setup(
        model=setup.get("model", ""),
        modalities=tuple(filter(None, setup.get("generationConfig", _EMPTY).get("responseModalities", ()))),
        instruction=parts.text_of(setup.get("systemInstruction", _EMPTY)),
        tools=tuple(setup.get("tools", ())),
        resumption=_resumption(setup.get("sessionResumption")),
        compression=_compression(setup.get("contextWindowCompression")),
        detection=_detection(live),
        coverage=Coverage(live.get("turnCoverage") or Coverage.ACTIVITY_AND_VIDEO),
        transcribes_input="inputAudioTranscription" in setup,
        transcribes_output="outputAudioTranscription" in setup,
        brings_history=setup.get("historyConfig", _EMPTY).get("initialHistoryInClientContent", False),
    )


def _resumption(config: Message | None) -> Resumption | None:
    return None if config is None else Resumption(config.get("handle") or None, config.get("transparent", False))


def _compression(config: Message | None) -> Compression | None:
    if config is None:
        return None
    return Compression(config.get("triggerTokens"), config.get("slidingWindow", _EMPTY).get("targetTokens"))


def _detection(live: Message) -> Detection:
    automatic = live.get("automaticActivityDetection", _EMPTY)
    silence, prefix = (automatic.get(name) for name in ("silenceDurationMs", "prefixPaddingMs"))
    return Detection(
        automatic=not automatic.get("disabled", False),
        silence=None if silence is None else silence / 1000,
        prefix=None if prefix is None else prefix / 1000,
        interrupts=live.get("activityHandling") != "NO_INTERRUPTION",
    )


def _realtime_input(message: Message) -> RealtimeInput:
    return RealtimeInput(tuple(item for name, value in message.items() for item in _REALTIME[name](value)))


def _blob(blob: Message) -> AudioInput | VideoInput:
    mime_type = blob.get("mimeType", "")
    if not mime_type.startswith("audio/"):
        return VideoInput(mime_type)
    return AudioInput(blob.get("data", b""), parts.rate_of(mime_type))


_REALTIME: Final[Mapping[str, Callable[..., tuple[RealtimeItem, ...]]]] = {
    "audio": lambda blob: (_blob(blob),),
    "video": lambda blob: (_blob(blob),),
    "mediaChunks": lambda blobs: tuple(map(_blob, blobs)),
    "text": lambda text: (TextInput(text),),
    "activityStart": lambda _: (ActivityStart(),),
    "activityEnd": lambda _: (ActivityEnd(),),
    "audioStreamEnd": lambda _: (AudioStreamEnd(),),
}


def _client_content(content: Message) -> ClientContent:
    turns = tuple(_content_turn(turn) for turn in content.get("turns", ()))
    return ClientContent(turns, complete=content.get("turnComplete", False))


def _content_turn(turn: Message) -> ContentTurn:
    role = role_of(turn)
    if role is None:
        return ContentTurn(None, parts.text_of(turn))
    return ContentTurn(role, parts.text_of(turn), parts.turns(role, turn.get("parts", ())))


def role_of(turn: Message) -> Role | None:
    """Whose turn it is: the user's where nothing is said, None for ``system``.

    Raises:
        RefusedError: There is no such role.
    """
    name = turn.get("role") or "user"
    if name == "system":
        return None
    if name not in tuple(Role):
        raise RefusedError(Close(1007, "Please use a valid role: user, model."))  # [OBS], generateContent's sentence
    return Role(name)


def _tool_response(message: Message) -> ToolResponse:
    return ToolResponse(
        tuple(
            FunctionResponse(
                item.get("id", ""),
                item.get("name", ""),
                item.get("response", _EMPTY),
                Scheduling(item.get("scheduling") or Scheduling.WHEN_IDLE),
                item.get("willContinue", False),
            )
            for item in message.get("functionResponses", ())
        )
    )


def _context_update(update: Message) -> ContextUpdate:
    has_instruction, has_tools = "systemInstruction" in update, "tools" in update
    return ContextUpdate(
        instruction=parts.text_of(update["systemInstruction"]) if has_instruction else None,
        tools=tuple(update["tools"].get("tools", ())) if has_tools else None,  # a message, so that it can be empty
    )


_READERS: Final[Mapping[str, Callable[[Message], ClientMessage]]] = {
    "setup": _setup,
    "realtimeInput": _realtime_input,
    "clientContent": _client_content,
    "toolResponse": _tool_response,
    "contextUpdate": _context_update,
}
