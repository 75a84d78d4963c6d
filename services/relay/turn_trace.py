"""A conversation as a trace a turn: it sees every event and every effect of the core, and decides nothing for it.

A turn's span begins with the client's utterance (or with the answer, where the agent speaks first) and ends when the
turn is over, before it is stored. What happens meanwhile is told in it as events; a rotation, and each setup of an
upstream connection, is a span of its own within. What happens between two turns belongs to the one before: its
checkpoint, a rotation at its end.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar, Final, NamedTuple

from services.common import tracing
from services.common.clock import Clock
from services.common.tracing import Attributes, Point, Span, Tracer
from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell


class TurnTrace:
    """Traces one conversation.

    Args:
        tracer: Takes what is told.
        clock: Says when an utterance began that belongs to the next turn.
        attributes: Told of every turn: which conversation it is.
        last: The newest turn that was completed before.
    """

    def __init__(self, tracer: Tracer, clock: Clock, attributes: Attributes, last: int) -> None:
        self._tracer = tracer
        self._clock = clock
        self._attributes = attributes
        self._before = tracing.here()
        self._last = last
        self._turn: Span | None = None
        self._rotation: Span | None = None
        self._setup: Span | None = None
        self._standby: Span | None = None
        self._answering = False
        self._interrupted = False
        self._next_began: datetime | None = None

    def where(self) -> Point | None:
        """The turn that the conversation is in, or was in last; who attached it, before the first one."""
        return self._before if self._turn is None else self._turn.point

    def saw(self, event: on.Event) -> None:
        """Something happened."""
        kind = type(event)
        begin, told, end = self._BEGIN.get(kind), EVENTS.get(kind), self._END.get(kind)
        if begin is not None:
            begin(self, event)
        if told is not None:
            self._tell(told.name, told.details(event))
        if end is not None:
            end(self, event)

    def did(self, effect: do.Effect) -> None:
        """The core wants something done."""
        subject: Any = effect.notice if isinstance(effect, (do.Tell, do.TellWatchers)) else effect
        self.saw(subject)

    def settled(self, last: int) -> None:
        """All that follows from an event is done; `last` is the newest turn that is completed."""
        if last > self._last:
            self._last = last
            self._turn_over()

    def closed(self) -> None:
        """The conversation is no longer here."""
        for span in (self._setup, self._standby, self._rotation, self._turn):
            if span is not None:
                span.end("unfinished")
        self._turn = self._rotation = self._setup = self._standby = None

    # Turns.

    def _utterance(self, _event: on.SpeechBegan | on.ClientWrote) -> None:
        if self._turn is not None and self._answering:
            self._next_began = self._next_began or self._clock.now()
        else:
            self._open_turn()

    def _answer(self, _event: on.AnswerBegan) -> None:
        self._open_turn()
        self._answering = True

    def _restarted(self, _notice: tell.TurnRestarted) -> None:
        self._answering = False

    def _interruption(self, _event: on.Interrupted) -> None:
        self._interrupted = True

    def _open_turn(self, at: datetime | None = None) -> None:
        if self._turn is None:
            self._turn = self._tracer.begin("turn", None, self._attributes, at=at)
            self._answering = self._interrupted = False

    def _counted(self, event: on.UsageCounted) -> None:
        if self._turn is not None:
            usage = event.usage
            self._turn.note({"filo.prompt_tokens": usage.prompt, "filo.response_tokens": usage.response})

    def _turn_over(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.note({"filo.turn": self._last, "filo.interrupted": self._interrupted})
            turn.end()
            self._before = turn.point
        next_began, self._next_began = self._next_began, None
        if next_began is not None:
            self._open_turn(next_began)

    # The connection to Gemini.

    def _rotating(self, notice: tell.Rotating) -> None:
        if self._rotation is None:
            self._rotation = self._part("rotation", {"filo.reason": notice.reason.value, "filo.turn": notice.turn})

    def _rotated(self, notice: tell.Rotated) -> None:
        rotation, self._rotation = self._rotation, None
        if rotation is not None:
            rotation.note({"filo.continuity": notice.continuity.value, "filo.gap_seconds": notice.gap})
            rotation.end()

    def _opening(self, effect: do.OpenUpstream) -> None:
        self._ready(effect, failed="given up")
        attributes = {"filo.resumed": effect.handle is not None, "filo.content_turns": len(effect.content)}
        self._setup = self._part("upstream.setup", attributes, self._rotation)

    def _ready(self, _event: object, *, failed: str = "") -> None:
        setup, self._setup = self._setup, None
        if setup is not None:
            setup.end(failed)

    def _lost(self, event: on.UpstreamClosed) -> None:
        if self._setup is not None:
            self._setup.note({"filo.close_code": event.code})
        self._ready(event, failed="closed")

    def _preparing(self, effect: do.PrepareUpstream) -> None:
        self._prepared(effect, failed="given up")
        self._standby = self._part("upstream.prepare", tracing.NONE)

    def _tried(self, event: on.UpstreamPrepared) -> None:
        self._prepared(event, failed="" if event.stands else "refused")

    def _prepared(self, _event: object, *, failed: str = "") -> None:
        standby, self._standby = self._standby, None
        if standby is not None:
            standby.end(failed)

    def _part(self, name: str, attributes: Attributes, whole: Span | None = None) -> Span:
        parent = self.where() if whole is None else whole.point
        return self._tracer.begin(name, parent, {**self._attributes, **attributes})

    def _tell(self, event: str, attributes: Attributes) -> None:
        for span in (self._turn, self._rotation):
            if span is not None:
                span.tell(event, attributes)

    _BEGIN: ClassVar[Mapping[type[Any], Callable[[Any, Any], None]]] = MappingProxyType(
        {
            on.SpeechBegan: _utterance,
            on.ClientWrote: _utterance,
            on.AnswerBegan: _answer,
            tell.Rotating: _rotating,
            do.OpenUpstream: _opening,
            do.PrepareUpstream: _preparing,
        }
    )
    """What begins a span, before it is told."""
    _END: ClassVar[Mapping[type[Any], Callable[[Any, Any], None]]] = MappingProxyType(
        {
            on.UpstreamReady: _ready,
            on.UpstreamClosed: _lost,
            on.UpstreamPrepared: _tried,
            tell.Rotated: _rotated,
            tell.TurnRestarted: _restarted,
            on.UsageCounted: _counted,
            on.Interrupted: _interruption,
        }
    )
    """What ends one, or says more of it, after it is told."""


class Row(NamedTuple):
    """What is told of something that happened.

    Args:
        name: The event's.
        meaning: Of it, for the documentation.
        details: What is told besides.
    """

    name: str
    meaning: str
    details: Callable[[Any], Attributes] = lambda _: tracing.NONE


EVENTS: Final[Mapping[type[Any], Row]] = MappingProxyType(
    {
        on.ClientJoined: Row("client.joined", "a socket of the client's has come"),
        do.Welcome: Row(
            "client.welcomed",
            "and is told how the context survived",
            lambda e: {"filo.continuity": e.continuity.value if e.continuity else "new"},
        ),
        on.ClientLeft: Row("client.left", "its socket is gone"),
        do.CloseClient: Row(
            "client.closed", "its socket is closed by the relay", lambda e: {"filo.reason": e.why.value}
        ),
        on.SpeechBegan: Row("speech", "the client begins to speak", lambda e: {"filo.waiting": e.waiting}),
        on.ClientWrote: Row("text", "the client writes"),
        on.AnswerBegan: Row("answer.began", "the first output of the answer"),
        on.GenerationCompleted: Row("answer.whole", "nothing more of it will come"),
        on.Interrupted: Row("answer.interrupted", "the client has spoken into it"),
        on.ToolsCalled: Row(
            "tools.called",
            "the model wants tools",
            lambda e: {"filo.tools": ",".join(call.name for call in e.calls), "filo.calls": len(e.calls)},
        ),
        on.ToolResultGiven: Row("tool.answered", "the client gives a result"),
        do.AnswerTool: Row(
            "tool.result", "the model is given it, or one that this turn had before", lambda e: {"filo.tools": e.name}
        ),
        on.ToolCallsCancelled: Row(
            "tools.cancelled", "the model wants some no longer", lambda e: {"filo.calls": len(e.ids)}
        ),
        do.Advise: Row(
            "advice",
            "advice is sent to the model, or taken out of its instruction",
            lambda e: {"filo.channel": e.channel.value, "filo.characters": len(e.text)},
        ),
        tell.FeedbackChanged: Row(
            "feedback",
            "what became of an item of feedback",
            lambda n: {
                "filo.feedback": n.change.id,
                "filo.state": n.change.state.value,
                "filo.tokens": n.change.tokens,
            },
        ),
        on.GoAway: Row(
            "go_away",
            "Gemini will end the connection",
            lambda e: tracing.NONE if e.time_left is None else {"filo.seconds_left": e.time_left},
        ),
        on.UpstreamClosed: Row(
            "upstream.closed", "the connection is gone, or was not made", lambda e: {"filo.close_code": e.code}
        ),
        do.CloseUpstream: Row("upstream.close", "the relay closes it"),
        on.UpstreamReady: Row("upstream.ready", "a connection has completed its setup"),
        tell.UpstreamTrouble: Row("upstream.trouble", "none can be had", lambda n: {"filo.retryable": n.retryable}),
        tell.Rotating: Row("rotating", "the connection is being replaced", lambda n: {"filo.reason": n.reason.value}),
        tell.Rotated: Row(
            "rotated",
            "it has been: how the context survived, and the gap",
            lambda n: {
                "filo.reason": n.reason.value,
                "filo.continuity": n.continuity.value,
                "filo.gap_seconds": n.gap,
            },
        ),
        tell.TurnRestarted: Row(
            "restarted", "the turn was cut, and is begun again", lambda n: {"filo.reason": n.reason.value}
        ),
        on.HandleUpdated: Row(
            "handle.updated",
            "Gemini gives a handle, or says that there is none",
            lambda e: {"filo.resumable": e.secret is not None},
        ),
        do.InvalidateHandle: Row("handle.invalidated", "the stored handle is deleted"),
        do.Checkpoint: Row(
            "checkpoint",
            "turns, or a handle, are to be stored",
            lambda e: {"filo.turns": len(e.turns), "filo.handle": e.handle is not None},
        ),
        on.CheckpointStored: Row("checkpoint.stored", "they are", lambda e: {"filo.turn": e.turn}),
        on.Fenced: Row("fenced", "another relay has the conversation"),
        on.TakenOver: Row("taken.over", "another relay is about to have it"),
        on.DrainAsked: Row("drain", "this relay stops"),
        on.EndAsked: Row("end.asked", "the conversation is to end"),
        on.EndedElsewhere: Row("ended.elsewhere", "the store says that it has ended"),
        on.StoreRefused: Row("store.refused", "the store will never take a write"),
    }
)
"""What is told of a turn, and in which words: never what was said, nor a handle, a tool's arguments or its result."""
