"""What the server can say, as proto3 JSON in lowerCamelCase (GEMINI-LIVE.md, Server to client).

Each function makes one message; `encode` makes the frame. Google sends JSON in binary frames [OBS].
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from services.emulator.tokens import Tokens

Message = dict[str, Any]

OUTPUT_RATE: Final = 24_000
_AUDIO: Final = f"audio/pcm;rate={OUTPUT_RATE}"
_MODALITIES: Final = tuple((field.name.upper(), field.name) for field in dataclasses.fields(Tokens))

encode = msgspec.json.Encoder().encode
"""From a message to the payload of a binary frame; ``bytes`` in it become standard base64."""


def setup_complete(session: str | None = None) -> Message:
    """The setup was accepted; Vertex names the session."""
    return {"setupComplete": {} if session is None else {"sessionId": session}}


def audio(data: bytes) -> Message:
    """A piece of the answer: PCM16 mono at 24 kHz."""
    return {"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": _AUDIO, "data": data}}]}}}


def text(piece: str) -> Message:
    """A piece of an answer in text."""
    return {"serverContent": {"modelTurn": {"parts": [{"text": piece}]}}}


def input_transcription(piece: str) -> Message:
    """A piece of what the user was heard to say."""
    return {"serverContent": {"inputTranscription": {"text": piece}}}


def output_transcription(piece: str) -> Message:
    """A piece of what the model says."""
    return {"serverContent": {"outputTranscription": {"text": piece}}}


def generation_complete() -> Message:
    """The whole answer was sent. An interrupted turn has none."""
    return {"serverContent": {"generationComplete": True}}


def interrupted() -> Message:
    """The user's activity cut the answer off: stop playing it."""
    return {"serverContent": {"interrupted": True}}


def turn_complete(prompt: Tokens, response: Tokens, cached: Tokens, response_field: str) -> Message:
    """The turn is over; `prompt` is the whole context it was made from, `cached` the part a prefix cache held."""
    usage: Message = {
        "promptTokenCount": prompt.total,
        response_field: response.total,
        "totalTokenCount": prompt.total + response.total,
        "promptTokensDetails": details(prompt),
        response_field.replace("TokenCount", "TokensDetails"): details(response),
    }
    if cached.total:
        usage |= {"cachedContentTokenCount": cached.total, "cacheTokensDetails": details(cached)}
    return {"serverContent": {"turnComplete": True}, "usageMetadata": usage}


def details(tokens: Tokens) -> list[Message]:
    """A number of tokens by modality; those that are not there are left out."""
    counts = ((modality, getattr(tokens, name)) for modality, name in _MODALITIES)
    return [{"modality": modality, "tokenCount": count} for modality, count in counts if count]


def tool_call(calls: Iterable[tuple[str, str, Mapping[str, Any]]]) -> Message:
    """The model wants these functions run: id, name and arguments of each."""
    listed = [{"id": id_, "name": name, "args": arguments} for id_, name, arguments in calls]
    return {"toolCall": {"functionCalls": listed}}


def tool_call_cancellation(ids: Iterable[str]) -> Message:
    """The results of these calls are not wanted any more."""
    return {"toolCallCancellation": {"ids": list(ids)}}


def resumable(handle: str, consumed: int | None = None) -> Message:
    """The session can be resumed from here; in transparent mode it holds the client's messages up to `consumed`."""
    index = {} if consumed is None else {"lastConsumedClientMessageIndex": str(consumed)}  # int64 in proto3 JSON
    return {"sessionResumptionUpdate": {"newHandle": handle, "resumable": True, **index}}


def not_resumable(*, explicit: bool) -> Message:
    """The session cannot be resumed from this moment. Proto3 JSON leaves false out, so it may be empty."""
    return {"sessionResumptionUpdate": {"resumable": False} if explicit else {}}


def go_away(seconds: float | None) -> Message:
    """The connection will end in `seconds`; the time may be absent."""
    return {"goAway": {} if seconds is None else {"timeLeft": duration(seconds)}}


def duration(seconds: float) -> str:
    """A ``google.protobuf.Duration`` in JSON, to the millisecond: ``50s``, ``1.500s``."""
    whole, millis = divmod(round(max(0.0, seconds) * 1000), 1000)
    return f"{whole}.{millis:03}s" if millis else f"{whole}s"
