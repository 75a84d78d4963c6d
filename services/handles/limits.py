"""What a request must look like before anything is decided about it. Pure; every refusal names the field."""

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from types import MappingProxyType
from typing import Final, NamedTuple

from google.protobuf.duration_pb2 import Duration

from filo.handles.v1 import resources_pb2 as pb
from services.common.config import parse_address
from services.common.errors import invalid
from services.handles.policy import OWNER_KIND
from services.handles.records import FeedbackChange, OwnerKind

_NAME: Final = re.compile(r"conversations/([0-9a-f]{32})")
_DIGITS: Final = re.compile(r"[0-9]{1,10}")
_KIB: Final = 1024


class Limit(NamedTuple):
    """The most of a field, and what is counted: ``characters``, ``bytes`` (in UTF-8, or serialized) or ``items``."""

    most: int
    unit: str


LIMITS: Final[Mapping[str, Limit]] = MappingProxyType(
    {
        "owner.user_id": Limit(256, "characters"),
        "owner.share_token": Limit(512, "characters"),
        "agent.model": Limit(256, "characters"),
        "agent.system_instruction": Limit(1024 * _KIB, "bytes"),
        "agent.voice": Limit(64, "characters"),
        "agent.language_code": Limit(35, "characters"),
        "agent.tools": Limit(256 * _KIB, "bytes"),
        "agent.volatile_tools": Limit(16 * _KIB, "bytes"),
        "holder": Limit(255, "characters"),
        "reason": Limit(200, "characters"),
        "turns": Limit(256, "items"),
        "turns.user_text": Limit(256 * _KIB, "bytes"),
        "turns.agent_text": Limit(256 * _KIB, "bytes"),
        "turns.tool_calls": Limit(1024 * _KIB, "bytes"),
        "upstream_handle.secret": Limit(16 * _KIB, "bytes"),
        "ledger": Limit(4 * _KIB, "bytes"),
        "feedback.text": Limit(16 * _KIB, "bytes"),
        "feedback_changes": Limit(512, "items"),
        "feedback_changes.detail": Limit(200, "characters"),
        "page_size": Limit(200, "items"),
    }
)
"""The most of every field that a caller may fill without end."""

_LEDGER: Final = [field for field in pb.Ledger.DESCRIPTOR.fields if not field.name.startswith("saved_")]
"""What is counted; what was saved may be less than nothing."""

_COUNTS_BY_NAME: Final = tuple(field.name for field in _LEDGER if field.message_type is not None)
_COUNTS: Final = tuple(field.name for field in _LEDGER if field.message_type is None)
_counts_of: Final = attrgetter(*_COUNTS)
_CONTINUITIES: Final = frozenset(pb.Continuity.values())

SHORTEST_SHARE_TOKEN: Final = 8
SHORTEST_LIFE: Final = timedelta(seconds=1)
LONGEST_LIFE: Final = timedelta(days=7)
_PAGE: Final = 50
_HIGHEST: Final = 2**31 - 1
_HIGHEST_TEMPERATURE: Final = 2.0


def conversation_id(name: str) -> str:
    """The id in a conversation's name.

    Raises:
        ServiceError: INVALID_ARGUMENT, as in all functions here.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise invalid("name", "must be conversations/{id} with 32 hex digits")
    return match[1]


def request_id(text: str) -> str:
    """A request id in its one canonical spelling."""
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise invalid("request_id", "must be a UUID") from error


def mode(value: pb.Mode.ValueType) -> pb.Mode.ValueType:
    """A mode that the store knows."""
    if value not in OWNER_KIND:
        raise invalid("mode", "must be one of the named modes")
    return value


def owner_presented(owner: pb.Owner) -> pb.Owner:
    """The owner that a client came as. A token of any length will do: a wrong one matches nothing, that is all."""
    if owner.WhichOneof("owner") is None:
        raise invalid("owner", "must hold a user_id or a share_token")
    return owner


def owner_created(owner: pb.Owner, by_mode: pb.Mode.ValueType) -> pb.Owner:
    """The owner of a new conversation: of the kind that its mode demands."""
    kind = OwnerKind.USER if owner_presented(owner).WhichOneof("owner") == "user_id" else OwnerKind.SHARE_TOKEN
    if kind is not OWNER_KIND[by_mode]:
        raise invalid("owner", f"must be a {OWNER_KIND[by_mode].value.replace('_', ' ')} for {pb.Mode.Name(by_mode)}")
    if kind is OwnerKind.USER:
        _text("owner.user_id", owner.user_id, required=True)
    else:
        _text("owner.share_token", owner.share_token, required=True)
        if len(owner.share_token) < SHORTEST_SHARE_TOKEN:
            raise invalid("owner.share_token", f"must have at least {SHORTEST_SHARE_TOKEN} characters")
    return owner


def agent(config: pb.AgentConfig) -> pb.AgentConfig:
    """How an agent may be set up."""
    _text("agent.model", config.model, required=True)
    _text("agent.system_instruction", config.system_instruction)
    _text("agent.voice", config.voice)
    _text("agent.language_code", config.language_code)
    _size("agent.tools", sum(tool.ByteSize() for tool in config.tools))
    _size("agent.volatile_tools", sum(len(name.encode()) for name in config.volatile_tools))
    if config.HasField("temperature") and not 0 <= config.temperature <= _HIGHEST_TEMPERATURE:
        raise invalid("agent.temperature", f"must be between 0 and {_HIGHEST_TEMPERATURE:g}")
    return config


def holder(text: str) -> str:
    """The control address of a relay."""
    _text("holder", text, required=True)
    try:
        address = parse_address(text)
    except ValueError as error:
        raise invalid("holder", "must be host:port") from error
    if not address.port:
        raise invalid("holder", "must name a port")
    return text


def epoch(value: int, *, lowest: int = 1) -> int:
    """A holder's epoch; the first attach makes 1."""
    return _whole("epoch", value, lowest)


def after_turn(value: int) -> int:
    """Where a stream of turns begins."""
    return _whole("after_turn", value)


def reason(text: str) -> str:
    """A sentence for people."""
    return _text("reason", text)


def turns(values: Sequence[pb.Turn], by_epoch: int) -> Sequence[pb.Turn]:
    """The turns of a checkpoint; whether they fit behind the stored ones is for `policy.fitting`."""
    _size("turns", len(values))
    for turn in values:
        _whole("turns.number", turn.number, 1)
        _whole("turns.covered_seq", turn.covered_seq)
        _whole("turns.message_number", turn.message_number)
        if not 0 <= turn.epoch <= by_epoch:
            raise invalid("turns.epoch", "must not be newer than the holder's")
        _size("turns.user_text", turn.user_text)
        _size("turns.agent_text", turn.agent_text)
        _size("turns.tool_calls", sum(call.ByteSize() for call in turn.tool_calls))
    return values


def upstream_handle(handle: pb.UpstreamHandle) -> pb.UpstreamHandle:
    """Gemini's handle and what it covers."""
    _text("upstream_handle.secret", handle.secret, required=True)
    _whole("upstream_handle.covers_turn", handle.covers_turn)
    return handle


def ledger(value: pb.Ledger) -> pb.Ledger:
    """Counts of tokens, single or by name."""
    _size("ledger", value.ByteSize())
    for name, number in zip(_COUNTS, _counts_of(value), strict=True):
        if number < 0:
            _whole(f"ledger.{name}", number)
    for name in _COUNTS_BY_NAME:
        for number in getattr(value, name).values():
            _whole(f"ledger.{name}", number)
    return value


def continuity(value: pb.Continuity.ValueType) -> pb.Continuity.ValueType:
    """A continuity that the store knows, or none."""
    if value not in _CONTINUITIES:
        raise invalid("continuity", "must be one of the named values")
    return value


def feedback_text(text: str) -> str:
    """Advice: some words at least."""
    if not text.strip():
        raise invalid("text", "must not be empty")
    return _text("feedback.text", text)


def time_to_live(value: Duration) -> timedelta:
    """How long feedback may wait."""
    seconds = value.seconds + value.nanos / 1e9  # a number before it is a span, which has fewer
    if not SHORTEST_LIFE.total_seconds() <= seconds <= LONGEST_LIFE.total_seconds():
        raise invalid("time_to_live", f"must be between {_seconds(SHORTEST_LIFE)} and {_seconds(LONGEST_LIFE)}")
    return timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def feedback_changes(values: Sequence[pb.FeedbackChange], at: datetime) -> tuple[FeedbackChange, ...]:
    """What became of items of feedback; only a state that an item can come to."""
    _size("feedback_changes", len(values))
    for change in values:
        if change.state not in pb.Feedback.State.values() or change.state <= pb.Feedback.STATE_ACCEPTED:
            raise invalid("feedback_changes.state", "must be one that an item comes to after it was accepted")
        _whole("feedback_changes.turn", change.turn)
        _whole("feedback_changes.tokens", change.tokens)
        _text("feedback_changes.detail", change.detail)
    return tuple(
        FeedbackChange(
            _number("feedback_changes.id", change.id), change.state, change.turn, change.tokens, change.detail, at
        )
        for change in values
    )


def page(size: int, token: str) -> tuple[int, int]:
    """How many items a page holds, and the number that its items come before."""
    _size("page_size", _whole("page_size", size))
    return size or _PAGE, _number("page_token", token) if token else _HIGHEST


def _number(field: str, text: str) -> int:
    """The number in an id or a token."""
    if _DIGITS.fullmatch(text) is None or not 0 < int(text) <= _HIGHEST:
        raise invalid(field, "must be one that was given out")
    return int(text)


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():g} s"


def _text(field: str, text: str, *, required: bool = False) -> str:
    if required and not text:
        raise invalid(field, "must not be empty")
    if "\0" in text:
        raise invalid(field, "must not hold a NUL character")  # PostgreSQL stores none
    _size(field, text)
    return text


def _size(field: str, value: str | int) -> None:
    """Check a text, or a number that was counted already."""
    limit = LIMITS[field]
    if isinstance(value, str):
        value = len(value) if limit.unit == "characters" else len(value.encode())
    if value > limit.most:
        raise invalid(field, f"has {value} {limit.unit}, at most {limit.most} are taken")


def _whole(field: str, value: int, lowest: int = 0) -> int:
    if value < lowest:
        raise invalid(field, f"must be at least {lowest}")
    return value
