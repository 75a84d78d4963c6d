"""What the emulator really has: which frames of a voice reached it, on which connection, and what its context holds.

Other tests believe this account rather than the relay, so it is exact: everything in it is counted from the facts that
sessions tell, nothing is estimated. It is kept by voice stream, since that is what outlives every connection; the
voices heard least recently are forgotten first.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from services.emulator import runs
from services.emulator.closes import Close
from services.emulator.context import Context, Role, Turn
from services.emulator.effects import Answered, Began, ContextChanged, Continued, Fact, VoiceHeard
from services.emulator.runs import Runs

VOICES: Final = 1_000
"""How many voices are remembered."""
CONNECTIONS: Final = 4_096
"""How many connections of one voice are remembered."""


@dataclass(eq=False)
class Connection:
    """What is known of one connection."""

    id: str
    opened_at: float
    continued: Continued = Continued.NEW
    context: Context | None = None
    received: dict[int, Runs] = field(default_factory=dict)
    greetings: int = 0
    prompt_last: int = 0
    response_last: int = 0
    billed_prompt: int = 0
    billed_response: int = 0
    billed_cached: int = 0
    closed: Close | None = None


@dataclass
class Account:
    """The record of one emulator."""

    voices: "OrderedDict[int, list[Connection]]" = field(default_factory=OrderedDict)
    _open: dict[str, Connection] = field(default_factory=dict)

    def opened(self, connection: str, at: float) -> None:
        """A connection was opened, at a time in UNIX seconds."""
        self._open[connection] = Connection(connection, at)

    def closed(self, connection: str, close: Close) -> None:
        """A connection was closed, with the code and reason that ended it."""
        record = self._open.pop(connection)
        record.closed = close

    def note(self, connection: str, fact: Fact) -> None:
        """A session tells a fact."""
        record = self._open[connection]
        match fact:
            case VoiceHeard(heard):
                record.received[heard.stream] = runs.append(record.received.get(heard.stream, ()), heard.frame)
                self._link(heard.stream, record)
            case Began(continued, context):
                record.continued, record.context = continued, context
                for stream in context.voices:
                    self._link(stream, record)
            case ContextChanged(context):
                record.context = context
            case Answered(prompt, response, cached, greeting):
                record.greetings += greeting
                record.prompt_last, record.response_last = prompt.total, response.total
                record.billed_prompt += prompt.total
                record.billed_response += response.total
                record.billed_cached += cached.total

    def voice(self, stream: int) -> dict[str, Any] | None:
        """The account of one voice as JSON; None if it was never heard."""
        connections = self.voices.get(stream)
        return None if connections is None else _report(stream, connections)

    def _link(self, stream: int, record: Connection) -> None:
        """This connection carries that voice."""
        connections = self.voices.setdefault(stream, [])
        self.voices.move_to_end(stream)
        if connections and connections[-1] is record:
            return
        if record not in connections:
            for older in connections:
                older.context = None if record.context is not None else older.context
            connections.append(record)
            del connections[:-CONNECTIONS]
        while len(self.voices) > VOICES:
            self.voices.popitem(last=False)


def _report(stream: int, connections: list[Connection]) -> dict[str, Any]:
    context = next((record.context for record in reversed(connections) if record.context is not None), Context())
    answered = [record for record in connections if record.billed_prompt]
    return {
        "stream": stream,
        "connections": [_connection(stream, record) for record in connections],
        "context": [_turn(turn) for turn in context.turns],
        "frames": _frames(stream, connections, context),
        "greetings": sum(record.greetings for record in connections),
        "tokens": {
            "prompt_last": answered[-1].prompt_last if answered else 0,
            "response_last": answered[-1].response_last if answered else 0,
            "billed_prompt": sum(record.billed_prompt for record in connections),
            "billed_response": sum(record.billed_response for record in connections),
            "billed_cached": sum(record.billed_cached for record in connections),
        },
    }


def _connection(stream: int, record: Connection) -> dict[str, Any]:
    close = record.closed
    return {
        "id": record.id,
        "opened_at": record.opened_at,
        "continued": record.continued,
        "frames_received": runs.count(record.received.get(stream, ())),
        "closed": None if close is None else {"code": close.code, "reason": close.wire_reason.decode()},
    }


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "role": turn.role,
        "kind": turn.kind,
        "text": turn.text,
        "utterances": list(turn.utterances),
        "frames": [list(run) for run in turn.frames],
    }


def _frames(stream: int, connections: list[Connection], context: Context) -> dict[str, int]:
    """Count frames. Where the context's beginning was compressed or came as history, holes count from its first on."""
    turns = context.turns
    held = [turn for turn in turns if turn.stream == stream and turn.role is Role.USER]
    in_context = tuple(chain.from_iterable(turn.frames for turn in held))
    received = chain.from_iterable(record.received.get(stream, ()) for record in connections)
    begins_later = context.prefix or context.compressed
    start = min((first for first, _ in in_context), default=0) if begins_later else 0
    return {
        "distinct_received": runs.count(runs.merge(received)),
        "in_context": runs.count(runs.merge(in_context)),
        "missing_in_context": runs.missing(in_context, start),
        "repeated_in_context": runs.repeated(in_context),
    }
