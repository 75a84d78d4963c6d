"""Gemini's messages: bytes up, `Received` down. Pure; see shared GEMINI-LIVE notes in ``docs/emulator.md``.

Audio never becomes a model object: up, it is put between two halves of a constant; down, msgspec decodes its base64
while it parses. Fields that are not known are ignored: Google adds some without notice.
"""

import binascii
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from services.relay.core import events as on
from services.relay.core.capabilities import Channel
from services.relay.core.model import Consumed, Mark, ToolCall, Turn, Usage

_AUDIO_HEAD: Final = b'{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"'
_AUDIO_TAIL: Final = b'"}}}'


@dataclass(frozen=True, slots=True)
class SetupComplete:
    """The first message of a connection."""


class AgentAudio(msgspec.Struct, frozen=True, gc=False):
    """PCM16 little-endian mono 24 kHz."""

    pcm: bytes


Received = on.Event | SetupComplete | AgentAudio


def audio(pcm: bytes) -> bytes:
    """A frame of the client's voice: PCM16 little-endian mono 16 kHz."""
    return _AUDIO_HEAD + binascii.b2a_base64(pcm, newline=False) + _AUDIO_TAIL


def text(words: str) -> bytes:
    """A typed turn; ``realtimeInput.text`` is what every model accepts in the middle of a session."""
    return _json({"realtimeInput": {"text": words}})


def activity(*, start: bool) -> bytes:
    """The client's own voice activity."""
    return _json({"realtimeInput": {"activityStart" if start else "activityEnd": {}}})


def audio_stream_end() -> bytes:
    """The microphone is off for a while."""
    return _json({"realtimeInput": {"audioStreamEnd": True}})


def tool_response(call_id: str, name: str, result: Mapping[str, Any]) -> bytes:
    """The answer to a tool call."""
    return _json({"toolResponse": {"functionResponses": [{"id": call_id, "name": name, "response": dict(result)}]}})


def advice(channel: Channel, words: str, instruction: str) -> bytes:
    """Private advice to the agent; it asks for no answer.

    Args:
        channel: How it is brought.
        words: The advice; empty takes back what is in the instruction.
        instruction: The conversation's own system instruction.
    """
    whole = "\n\n".join(part for part in (instruction, words) if part) or " "
    match channel:
        case Channel.TEXT:
            return text(words)
        case Channel.CONTEXT_UPDATE:
            return _json({"contextUpdate": {"systemInstruction": {"parts": [{"text": whole}]}}})
        case Channel.SYSTEM_ROLE:
            return _turns([("system", whole)])
        case Channel.CONTENT:
            return _turns([("user", words)])


def content(turns: Iterable[Turn], *, complete: bool) -> bytes:
    """Turns as content.

    Args:
        turns: In order.
        complete: For initial history (``historyConfig``): it is all there, and asks for no answer. Otherwise false,
            which asks for none either.
    """
    said = (pair for turn in turns for pair in (("user", turn.user_text), ("model", turn.agent_text)))
    return _turns(said, complete=complete)


def _turns(said: Iterable[tuple[str, str]], *, complete: bool = False) -> bytes:
    turns = [{"role": role, "parts": [{"text": words}]} for role, words in said if words]
    return _json({"clientContent": {"turns": turns, "turnComplete": complete}})


class _Camel(msgspec.Struct, rename="camel", gc=False):
    """A part of a server message; every field may be absent, as in proto3's JSON. What is parsed has no cycles."""


class _Blob(_Camel):
    data: bytes = b""


class _Part(_Camel):
    inline_data: _Blob | None = None
    text: str = ""
    thought: bool = False


class _Content(_Camel):
    parts: list[_Part] = []


class _Transcription(_Camel):
    text: str = ""


class _ServerContent(_Camel):
    model_turn: _Content | None = None
    input_transcription: _Transcription | None = None
    output_transcription: _Transcription | None = None
    generation_complete: bool = False
    interrupted: bool = False
    turn_complete: bool = False


class _FunctionCall(_Camel):
    id: str = ""
    name: str = ""
    args: dict[str, Any] = {}


class _ToolCalls(_Camel):
    function_calls: list[_FunctionCall] = []


class _Cancellation(_Camel):
    ids: list[str] = []


class _GoAway(_Camel):
    time_left: str = ""


class _Resumption(_Camel):
    new_handle: str = ""
    resumable: bool = False
    last_consumed_client_message_index: int | None = None  # Vertex's transparent mode; int64, in JSON a string


class _ModalityCount(_Camel):
    modality: str = ""
    token_count: int = 0


class _UsageMetadata(_Camel):
    prompt_tokens_details: list[_ModalityCount] = []
    response_tokens_details: list[_ModalityCount] = []
    candidates_tokens_details: list[_ModalityCount] = []
    prompt_token_count: int = 0
    cached_content_token_count: int = 0
    response_token_count: int = 0
    candidates_token_count: int = 0  # Vertex's name for the response
    thoughts_token_count: int = 0  # beside the response and the prompt: google-genai, `types.UsageMetadata`
    tool_use_prompt_token_count: int = 0


class _ServerMessage(_Camel):
    setup_complete: dict[str, Any] | None = None
    server_content: _ServerContent | None = None
    tool_call: _ToolCalls | None = None
    tool_call_cancellation: _Cancellation | None = None
    go_away: _GoAway | None = None
    session_resumption_update: _Resumption | None = None
    usage_metadata: _UsageMetadata | None = None


_DECODER: Final = msgspec.json.Decoder(_ServerMessage, strict=False)


class Reader:
    """Reads one connection's messages; it knows whether an answer is under way."""

    def __init__(self) -> None:
        self._answering = False

    def read(self, frame: bytes | str, sent: Mark, consumed: Callable[[int], Consumed] | None = None) -> list[Received]:
        """What a message says, in the order in which it is to be acted upon.

        Args:
            frame: One WebSocket message, text or binary.
            sent: The newest input that has been sent to this connection.
            consumed: What is among this connection's messages up to an index, counted from the setup, which is 0; for
                handles that tell it.

        Raises:
            ValueError: It is not a JSON object of the known shape.
        """
        message = _DECODER.decode(frame)
        found: list[Received] = []
        if message.setup_complete is not None:
            found.append(SetupComplete())
        if message.server_content is not None:
            self._read_content(message.server_content, sent, found)
        if message.tool_call is not None:
            self._answer(sent, found)
            calls = message.tool_call.function_calls
            found.append(on.ToolsCalled(tuple(ToolCall(call.id, call.name, call.args) for call in calls)))
        if message.tool_call_cancellation is not None:
            found.append(on.ToolCallsCancelled(tuple(message.tool_call_cancellation.ids)))
        if message.session_resumption_update is not None:
            found.append(_handle(message.session_resumption_update, consumed))
        if message.go_away is not None:
            found.append(on.GoAway(_seconds(message.go_away.time_left)))
        if message.usage_metadata is not None:
            found.append(_usage(message.usage_metadata))
        if message.server_content is not None and message.server_content.turn_complete:
            self._answering = False
            found.append(on.TurnCompleted(sent))  # after the usage that rides along, which is this turn's
        return found

    def _read_content(self, content: _ServerContent, sent: Mark, found: list[Received]) -> None:
        if content.input_transcription is not None and content.input_transcription.text:
            found.append(on.UserHeard(content.input_transcription.text))
        for part in content.model_turn.parts if content.model_turn else ():
            if part.inline_data is not None and part.inline_data.data:
                self._answer(sent, found)
                found.append(AgentAudio(part.inline_data.data))
            elif part.text and not part.thought:
                self._answer(sent, found)
                found.append(on.AgentSaid(part.text))
        if content.output_transcription is not None and content.output_transcription.text:
            self._answer(sent, found)
            found.append(on.AgentSaid(content.output_transcription.text))
        if content.generation_complete:
            found.append(on.GenerationCompleted())
        if content.interrupted:
            found.append(on.Interrupted())

    def _answer(self, sent: Mark, found: list[Received]) -> None:
        if not self._answering:
            self._answering = True
            found.append(on.AnswerBegan(sent))


def _handle(update: _Resumption, consumed: Callable[[int], Consumed] | None) -> on.HandleUpdated:
    if not (update.resumable and update.new_handle):
        return on.HandleUpdated(None)
    index = update.last_consumed_client_message_index
    if index is None or consumed is None:
        return on.HandleUpdated(update.new_handle)
    return on.HandleUpdated(update.new_handle, *consumed(index))


def _usage(usage: _UsageMetadata) -> on.UsageCounted:
    response = usage.response_token_count or usage.candidates_token_count
    details = usage.response_tokens_details or usage.candidates_tokens_details
    return on.UsageCounted(
        Usage(
            usage.prompt_token_count,
            response,
            _by_modality(usage.prompt_tokens_details),
            usage.cached_content_token_count,
            _by_modality(details),
            usage.thoughts_token_count,
            usage.tool_use_prompt_token_count,
        )
    )


def _by_modality(details: Iterable[_ModalityCount]) -> dict[str, int]:
    return {part.modality: part.token_count for part in details}


def _seconds(duration: str) -> float | None:
    """A protobuf duration in JSON, ``"50s"`` or ``"1.5s"``; None where it is absent or unreadable."""
    try:
        seconds = float(duration.removesuffix("s"))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def _json(message: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(message)
