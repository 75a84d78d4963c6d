"""The client protocol, ``docs/client-protocol.md``: what a client asks for and says, read and checked; pure.

What it is told is in `told`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from filo.handles.v1 import resources_pb2 as resources
from services.common.errors import Reason, ServiceError
from services.relay.core.model import RotationMode

PATH: Final = "/ws/ai-voice"
SUBPROTOCOL: Final = "filo.v1"
TOKEN_SUBPROTOCOL: Final = "filo.token."  # noqa: S105 - a prefix
LARGEST_MESSAGE: Final = 256 * 1024
"""Bytes of one message of a client; audio is further bounded by `LARGEST_AUDIO`."""
LARGEST_AUDIO: Final = 64 * 1024
LARGEST_SEQ: Final = 2**53 - 1
"""What JavaScript counts exactly, and every store holds."""
DEEPEST_RESULT: Final = 16
"""Levels of a tool's result; protobuf reads about thirty."""
_LARGEST_NUMBER: Final = 10**308
_LONGEST_NUMBER: Final = 18
"""Digits of a number in the query string."""

MODES: Final[Mapping[str, resources.Mode.ValueType]] = MappingProxyType(
    {
        "sales_agent": resources.MODE_SALES_AGENT,
        "consultation_invite": resources.MODE_CONSULTATION_INVITE,
        "assistant": resources.MODE_ASSISTANT,
    }
)
MODE_NAMES: Final = MappingProxyType({mode: name for name, mode in MODES.items()})
SHARED_MODES: Final = frozenset({"sales_agent", "consultation_invite"})
"""Owned by a share token; the others by a user id (R2.2)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest message a client has got."""

    epoch: int
    n: int


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for when it opens its socket."""

    mode: str
    session_token: str | None = field(repr=False)
    share_token: str | None = field(repr=False)
    resume_handle: str | None = field(repr=False)
    rotation: RotationMode
    last_seen: Seen | None
    test: bool
    last_turn: int | None = None


@dataclass(frozen=True, slots=True)
class Auth:
    """The credentials in the first message."""

    session_token: str = field(repr=False)
    share_token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class NextSeq:
    """The next input carries this number."""

    next: int


@dataclass(frozen=True, slots=True)
class Text:
    """A typed turn."""

    text: str


@dataclass(frozen=True, slots=True)
class Activity:
    """The client's own voice activity."""

    start: bool


@dataclass(frozen=True, slots=True)
class AudioStreamEnd:
    """The microphone is off for a while."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The answer to a tool call."""

    id: str
    name: str
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class End:
    """The conversation is over."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Wants a pong."""


Input = Text | Activity | AudioStreamEnd | ToolResult
"""What is numbered, besides audio."""
Message = Auth | NextSeq | End | Ping | Input


def malformed(why: str) -> ServiceError:
    """The client sent what is not this protocol."""
    return ServiceError(Reason.MALFORMED_MESSAGE, why)


def parse_query(query: str, subprotocols: tuple[str, ...] = ()) -> Request:
    """Read the socket's query string and offered subprotocols.

    Raises:
        ServiceError: MODE_MISMATCH where the mode is missing or unknown, MALFORMED_MESSAGE for another bad value.
    """
    if not query.isascii():
        raise malformed("the query string is not ASCII; percent-encode it")
    values = {name: found[-1] for name, found in parse_qs(query).items()}
    mode = values.get("mode", "")
    if mode not in MODES:
        raise ServiceError(Reason.MODE_MISMATCH, f"mode must be one of {', '.join(MODES)}")
    rotation = values.get("rotation", RotationMode.RELAY.value)
    if rotation not in set(RotationMode):
        raise malformed(f"rotation must be one of {', '.join(RotationMode)}")
    offered = (name.removeprefix(TOKEN_SUBPROTOCOL) for name in subprotocols if name.startswith(TOKEN_SUBPROTOCOL))
    return Request(
        mode=mode,
        session_token=values.get("sessionToken") or next(offered, None),
        share_token=values.get("shareToken"),
        resume_handle=values.get("resumeHandle"),
        rotation=RotationMode(rotation),
        last_seen=_seen(values.get("lastSeen")),
        test=_flag(values.get("testMode")),
        last_turn=_last_turn(values.get("lastTurn")),
    )


def _flag(text: str | None) -> bool:
    if text is not None and text.lower() not in {"true", "1", "false", "0"}:
        raise malformed("testMode must be true or false")
    return text is not None and text.lower() in {"true", "1"}


def _seen(text: str | None) -> Seen | None:
    if not text:
        return None
    epoch, _, n = text.partition(".")
    if not (_is_number(epoch) and _is_number(n)):
        raise malformed("lastSeen must be EPOCH.N, two whole numbers")
    return Seen(int(epoch), int(n))


def _last_turn(text: str | None) -> int | None:
    if not text:
        return None
    if not _is_number(text):
        raise malformed("lastTurn must be the number of a turn")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= _LONGEST_NUMBER


class _Auth(msgspec.Struct, tag="auth"):
    sessionToken: str = ""  # noqa: N815 - the wire's name; none is refused like a wrong one
    shareToken: str | None = None  # noqa: N815 - the wire's name


class _Seq(msgspec.Struct, tag="seq"):
    next: int


class _Text(msgspec.Struct, tag="text"):
    text: str
    seq: int | None = None


class _ActivityStart(msgspec.Struct, tag="activity_start"):
    seq: int | None = None


class _ActivityEnd(msgspec.Struct, tag="activity_end"):
    seq: int | None = None


class _AudioStreamEnd(msgspec.Struct, tag="audio_stream_end"):
    seq: int | None = None


class _ToolResult(msgspec.Struct, tag="tool_result"):
    id: str
    name: str = ""
    result: dict[str, Any] = {}
    seq: int | None = None


class _End(msgspec.Struct, tag="end"):
    reason: str = ""


class _Ping(msgspec.Struct, tag="ping"):
    pass


_Wire = _Auth | _Seq | _Text | _ActivityStart | _ActivityEnd | _AudioStreamEnd | _ToolResult | _End | _Ping
_DECODER: Final = msgspec.json.Decoder(_Wire)

_MEANING: Final[Mapping[type[Any], Callable[[Any], Message]]] = MappingProxyType(
    {
        _Auth: lambda m: Auth(m.sessionToken, m.shareToken),
        _Seq: lambda m: NextSeq(m.next),
        _Text: lambda m: Text(m.text),
        _ActivityStart: lambda _: Activity(start=True),
        _ActivityEnd: lambda _: Activity(start=False),
        _AudioStreamEnd: lambda _: AudioStreamEnd(),
        _ToolResult: lambda m: ToolResult(m.id, m.name, m.result),
        _End: lambda m: End(m.reason),
        _Ping: lambda _: Ping(),
    }
)


def parse(text: str | bytes) -> tuple[Message, int | None]:
    """Read one JSON message.

    Returns:
        What it means, and the sequence number it carries, if any.

    Raises:
        ServiceError: MALFORMED_MESSAGE: it is not JSON, has no known type, or lacks a field.
    """
    try:
        message = _DECODER.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise malformed(f"not a message of this protocol: {error}") from error
    number = message.next if isinstance(message, _Seq) else getattr(message, "seq", None)
    if number is not None and not 1 <= number <= LARGEST_SEQ:
        raise malformed(f"a sequence number is from 1 to {LARGEST_SEQ}")
    if isinstance(message, _ToolResult) and not _storable(message.result, DEEPEST_RESULT):
        raise malformed(f"a tool's result has at most {DEEPEST_RESULT} levels, and numbers that a double can hold")
    if isinstance(message, _Text) and not message.text.strip():
        raise malformed("text must not be empty")
    return _MEANING[type(message)](message), number


def _storable(value: object, levels: int) -> bool:
    """Whether a part of a tool's result can be stored with the turn."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return levels > 0 and all(_storable(item, levels - 1) for item in inner)
    return not isinstance(value, int) or abs(value) <= _LARGEST_NUMBER


def audio(frame: bytes) -> bytes:
    """Check one binary message.

    Raises:
        ServiceError: MALFORMED_MESSAGE: it is not PCM16, or too long.
    """
    if len(frame) % 2:
        raise malformed("audio is PCM16: a binary message has an even number of bytes")
    if len(frame) > LARGEST_AUDIO:
        raise malformed(f"a binary message has at most {LARGEST_AUDIO} bytes")
    return frame
