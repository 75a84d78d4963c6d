"""What is asked of an RPC, and what the contract says to that; deciding whether an answer keeps it does no I/O."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

from services.common.errors import DOMAIN, MEANING, Reason

_UNKNOWN: Final = bytes.fromhex("f8 ff ff ff 0f 01 fa ff ff ff 0f 04") + b"filo"
"""Two fields of the highest number there is, a number and a string: no contract of ours has one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Args:
        code: The status.
        messages: What came before it; of a stream the first only.
        info: The ``ErrorInfo`` in the status's details, if there was one.
        retry: The ``RetryInfo``, if there was one.
        text: The status's sentence.
    """

    code: grpc.StatusCode
    messages: tuple[Message, ...] = ()
    info: ErrorInfo | None = None
    retry: RetryInfo | None = None
    text: str = ""


Call = Callable[[str, Message], Awaitable[Answer]]
"""Calls an RPC by its path; never raises for what a server answers."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What a case may use to prepare its request.

    Args:
        call: Calls an RPC of the same server.
        join: Opens a client's socket, given ``websocket_path`` and the queries of the client protocol, until the case
            is over. None where it was not said where clients connect.
    """

    call: Call
    join: Callable[[str, Mapping[str, str]], Awaitable[None]] | None = None

    async def expect(self, path: str, request: Message) -> Any:  # noqa: ANN401 - the message that the RPC answers
        """Call an RPC that must answer, to prepare another.

        Raises:
            PreparationError: It did not.
        """
        answer = await self.call(path, request)
        if answer.code is not grpc.StatusCode.OK or not answer.messages:
            raise PreparationError(f"cannot be asked: {path} answered {shown(answer)}")
        return answer.messages[0]


class PreparationError(Exception):
    """A case could not be prepared, since another RPC did not answer."""


@dataclass(frozen=True, slots=True)
class Case:
    """One call, and what the contract says to it.

    Args:
        path: The RPC.
        title: What is asked, in a few words; unique for the RPC.
        ask: Prepares what the request needs, gives the request.
        refused: The reason of the refusal; None for a good call.
        has: Fields that a good answer must fill, by path: ``feedback.0.id``.
        equals: Fields and their values.
        echoes: Fields that must be what a field of the request is.
        client: Whether it needs a client's socket.
    """

    path: str
    title: str
    ask: Callable[[Asking], Awaitable[Message]] = field(repr=False)
    refused: Reason | None = None
    has: tuple[str, ...] = ()
    equals: Mapping[str, object] = field(default_factory=dict)
    echoes: Mapping[str, str] = field(default_factory=dict)
    client: bool = False

    @property
    def promised(self) -> frozenset[str]:
        """The fields of the answer, by path, that the case looks at."""
        return frozenset((*self.has, *self.equals, *self.echoes))


def broken(case: Case, request: Message, answer: Answer) -> Iterator[str]:
    """What an answer does against the contract: a sentence each."""
    yield from _refusal(case.refused, answer) if case.refused else _goods(case, request, answer)


def _refusal(reason: Reason, answer: Answer) -> Iterator[str]:
    code = MEANING[reason].code
    if answer.code is not code:
        yield f"the status is {shown(answer)}; {reason} is {code.name}"
        return
    if answer.info is None:
        yield f"the status {code.name} has no google.rpc.ErrorInfo in its details"
    elif (answer.info.domain, answer.info.reason) != (DOMAIN, reason):
        found = f"{answer.info.reason or 'empty'} of {answer.info.domain!r}"
        yield f"ErrorInfo is {found}; {reason} of {DOMAIN!r} is documented"
    elif reason is Reason.INVALID_ARGUMENT and not answer.info.metadata.get("field"):
        yield "ErrorInfo.metadata does not name the wrong field, as `field`"
    if not answer.text:
        yield "the status has no sentence for a person"


def _goods(case: Case, request: Message, answer: Answer) -> Iterator[str]:
    if answer.code is not grpc.StatusCode.OK:
        yield f"the status is {shown(answer)}; it should be answered"
        return
    if not answer.messages:
        yield "the stream ended without a message"
        return
    message = answer.messages[0]
    for path in case.has:
        if not filled(message, path):
            yield f"the answer has no {path}"
    for path, value in case.equals.items():
        if (found := value_of(message, path)) != value:
            yield f"{path} is {found!r}, not {value!r}"
    for path, asked in case.echoes.items():
        if (found := value_of(message, path)) != (expected := value_of(request, asked)):
            yield f"{path} is {found!r}; {asked} was {expected!r}"


def shown(answer: Answer) -> str:
    """A status in a few words."""
    reason = f" ({answer.info.reason})" if answer.info else ""
    return f"{answer.code.name}{reason}" + (f": {answer.text}" if answer.text else "")


def value_of(message: Message, path: str) -> object:
    """The value of a field by its path, ``feedback.0.id``; None where an item of a list, or a message, is not there."""
    found: Any = message
    for step in path.split("."):
        if step.isdecimal():
            if len(found) <= int(step):
                return None
            found = found[int(step)]
            continue
        known = found.DESCRIPTOR.fields_by_name[step]
        if known.has_presence and not found.HasField(step):
            return None
        found = getattr(found, step)
    return found


def filled(message: Message, path: str) -> bool:
    """Whether a field is there and not its type's nothing."""
    found = value_of(message, path)
    return found is not None and (isinstance(found, Message) or bool(found))


def with_unknown_fields(message: Message) -> Message:
    """The same, as a newer caller would send it: with fields, at every level, that this contract does not know."""
    copy = type(message)()
    copy.CopyFrom(message)
    for inner in _ours(copy):
        inner.MergeFromString(_UNKNOWN)
    return copy


def _ours(message: Message) -> Iterator[Message]:
    """A message and every message in it that is of our own making."""
    if not message.DESCRIPTOR.full_name.startswith("filo."):
        return
    yield message
    for known, value in list(message.ListFields()):
        if known.message_type is None or known.message_type.GetOptions().map_entry:
            continue
        for inner in value if known.is_repeated else (value,):
            yield from _ours(inner)
