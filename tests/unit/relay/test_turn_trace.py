"""A conversation as a trace a turn: what begins and ends a span, what is told in it, and what never is."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from services.common import tracing
from services.common.tracing import Point
from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.capabilities import Channel
from services.relay.core.ledger import Ledger
from services.relay.core.model import (
    START,
    Continuity,
    FeedbackChange,
    FeedbackState,
    RotationMode,
    RotationReason,
    ToolCall,
    UpstreamHandle,
    Usage,
)
from services.relay.turn_trace import EVENTS, TurnTrace
from tests.support.traces import Memory, told

SECRET: Final = "hunter2"
ATTACHED: Final = Point(1, 2)
ANSWER: Final = on.AnswerBegan(START)
DONE: Final = on.TurnCompleted(START)
OPEN: Final = do.OpenUpstream(SECRET, 0, (), 0.0)


class Scene:
    """A conversation's trace under a clock that stands until it is moved."""

    def __init__(self, last: int = 0) -> None:
        self.memory = Memory()
        self.time = datetime(2026, 5, 1, tzinfo=UTC)
        with tracing.within(lambda: ATTACHED):
            self.trace = TurnTrace(self.memory.tracer, self, {"filo.conversation": "conversations/c"}, last)  # type: ignore[arg-type]  # a clock that only tells
        self.last = last

    def now(self) -> datetime:
        """The clock's time."""
        return self.time

    def play(self, *steps: Any) -> None:  # noqa: ANN401 - events and effects, in order
        """Let things happen; a turn that is completed is the next one."""
        for step in steps:
            if isinstance(step, timedelta):
                self.time += step
                continue
            (self.trace.saw if isinstance(step, on.Event) else self.trace.did)(step)
            self.last += step is DONE
            self.trace.settled(self.last)

    def turns(self) -> list[ReadableSpan]:
        """Those that are over."""
        return self.memory.spans("turn")


def span_id(span: ReadableSpan) -> int:
    """Of a span."""
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def trace_id(span: ReadableSpan) -> int:
    """Of a span."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id


def test_each_turn_is_a_trace_of_its_own() -> None:
    """From the utterance to the end of the answer, with its number, what it cost, and what happened in it."""
    scene = Scene(last=4)
    usage = on.UsageCounted(Usage(1200, 80))
    scene.play(on.SpeechBegan(), on.UserHeard(SECRET), ANSWER, on.AgentSaid(SECRET), usage, DONE)
    scene.play(on.ClientWrote(SECRET), ANSWER, on.Interrupted(), DONE)
    first, second = scene.turns()
    assert first.parent is None
    assert second.parent is None
    assert trace_id(first) != trace_id(second)
    assert dict(first.attributes or {}) == {
        "filo.conversation": "conversations/c",
        "filo.turn": 5,
        "filo.interrupted": False,
        "filo.prompt_tokens": 1200,
        "filo.response_tokens": 80,
    }
    assert told(first) == ["speech", "answer.began"]
    assert (second.attributes or {})["filo.interrupted"] is True
    assert told(second) == ["text", "answer.began", "answer.interrupted"]


def test_an_agent_that_speaks_first_has_a_turn_too() -> None:
    """It begins with the answer."""
    scene = Scene()
    scene.play(ANSWER, DONE)
    assert told(scene.turns()[0]) == ["answer.began"]


def test_who_speaks_into_an_answer_begins_the_next_turn() -> None:
    """At the moment in which he began, not when the answer had ended."""
    scene = Scene()
    scene.play(on.SpeechBegan(), ANSWER, timedelta(seconds=2), on.SpeechBegan(), timedelta(seconds=1))
    scene.play(on.SpeechBegan(), on.Interrupted(), DONE, ANSWER, DONE)
    _, second = scene.turns()
    assert second.start_time == int(datetime(2026, 5, 1, 0, 0, 2, tzinfo=UTC).timestamp() * 1e9)


def test_a_pause_within_an_utterance_begins_no_turn() -> None:
    """Nor does a noise: the first of them did."""
    scene = Scene()
    scene.play(on.SpeechBegan(), on.SpeechBegan(), ANSWER, DONE)
    assert told(scene.turns()[0]) == ["speech", "speech", "answer.began"]


def test_a_rotation_in_the_middle_of_a_turn() -> None:
    """A span within it, with the setup of the connection within that; the turn goes on, and tells of it."""
    scene = Scene()
    cut = RotationReason.UPSTREAM_CLOSED
    scene.play(on.SpeechBegan(), ANSWER, on.UpstreamClosed(1006, SECRET), do.Tell(tell.Rotating(cut, 1)), OPEN)
    scene.play(do.Tell(tell.TurnRestarted(1, cut)), on.UpstreamReady())
    scene.play(do.Tell(tell.Rotated(cut, Continuity.HANDLE, 0.25, 1)), ANSWER, DONE)
    (turn,) = scene.turns()
    rotation, setup = scene.memory.one("rotation"), scene.memory.one("upstream.setup")
    assert rotation.parent
    assert setup.parent
    assert (rotation.parent.span_id, setup.parent.span_id) == (span_id(turn), span_id(rotation))
    assert (rotation.attributes or {})["filo.continuity"] == "handle"
    assert (rotation.attributes or {})["filo.gap_seconds"] == 0.25
    assert (setup.attributes or {})["filo.resumed"] is True
    assert told(turn) == [
        "speech",
        "answer.began",
        "upstream.closed",
        "rotating",
        "restarted",
        "upstream.ready",
        "rotated",
        "answer.began",
    ]


def test_after_a_restart_the_utterance_is_the_turn_s_own() -> None:
    """Who speaks before the new answer speaks in this turn, not in the next."""
    scene = Scene()
    scene.play(on.SpeechBegan(), ANSWER, do.Tell(tell.TurnRestarted(1, RotationReason.STALL)), on.SpeechBegan())
    scene.play(ANSWER, DONE)
    scene.trace.closed()
    assert len(scene.turns()) == 1


def test_what_happens_between_two_turns_belongs_to_the_one_before() -> None:
    """A rotation at the boundary; the store's calls, which ask where the conversation is."""
    scene = Scene()
    assert scene.trace.where() == ATTACHED
    scene.play(OPEN, on.UpstreamReady(), on.SpeechBegan())
    during = scene.trace.where()
    scene.play(ANSWER, DONE)
    assert scene.trace.where() == during
    aged = RotationReason.AGE
    scene.play(do.PrepareUpstream(), on.UpstreamPrepared(), do.Tell(tell.Rotating(aged, 1)), OPEN, on.SpeechBegan())
    scene.play(on.UpstreamReady(), do.Tell(tell.Rotated(aged, Continuity.REBASED, 0.1, 1)), ANSWER, DONE)
    first, second = scene.turns()
    rotation, prepared = scene.memory.one("rotation"), scene.memory.one("upstream.prepare")
    assert trace_id(rotation) == trace_id(prepared) == trace_id(first)
    assert "rotated" in told(second), "it was under way when the next one began"
    assert trace_id(scene.memory.spans("upstream.setup")[0]) == ATTACHED.trace


def test_a_dial_that_fails_is_told_by_its_code() -> None:
    """And each one after it is a span of its own."""
    scene = Scene()
    scene.play(OPEN, on.UpstreamClosed(1008, SECRET), OPEN, OPEN, on.UpstreamReady())
    refused, given_up, ready = scene.memory.spans("upstream.setup")
    assert (refused.attributes or {})["filo.close_code"] == 1008
    assert [each.status.status_code for each in (refused, given_up, ready)] == [
        StatusCode.ERROR,
        StatusCode.ERROR,
        StatusCode.UNSET,
    ]


def test_a_connection_in_readiness_that_cannot_be_had_is_told() -> None:
    """And asked for again."""
    scene = Scene()
    scene.play(on.SpeechBegan(), do.PrepareUpstream(), on.UpstreamPrepared(stands=False), do.PrepareUpstream())
    scene.play(on.UpstreamPrepared(), ANSWER, DONE)
    refused, made = scene.memory.spans("upstream.prepare")
    assert [each.status.status_code for each in (refused, made)] == [StatusCode.ERROR, StatusCode.UNSET]


def test_nothing_is_left_open_at_the_end() -> None:
    """A turn whose conversation goes elsewhere ends here, unfinished."""
    scene = Scene()
    rotating = do.Tell(tell.Rotating(RotationReason.GO_AWAY, 1))
    scene.play(on.SpeechBegan(), do.PrepareUpstream(), rotating, OPEN, on.Fenced())
    scene.trace.closed()
    scene.trace.closed()
    ended = {span.name: span.status.description for span in scene.memory.spans()}
    assert ended == dict.fromkeys(("turn", "rotation", "upstream.setup", "upstream.prepare"), "unfinished")
    assert told(scene.turns()[0])[-1] == "fenced"


CALL: Final = ToolCall("id", "look_up", {"customer": SECRET}, {"found": SECRET})
EVERYTHING: Final = (
    on.ClientJoined(RotationMode.RELAY),
    on.ClientLeft(),
    on.SpeechBegan(),
    on.ClientWrote(SECRET),
    ANSWER,
    on.GenerationCompleted(),
    on.Interrupted(),
    on.ToolsCalled((CALL, CALL)),
    on.ToolResultGiven("id", {"found": SECRET}),
    on.ToolCallsCancelled(("id",)),
    do.AnswerTool("id", "look_up", {"found": SECRET}),
    on.GoAway(None),
    on.GoAway(9.5),
    on.UpstreamReady(),
    on.UpstreamClosed(1008, SECRET),
    on.HandleUpdated(SECRET),
    on.CheckpointStored(1, 1, SECRET),
    on.Fenced(),
    on.EndedElsewhere(),
    on.StoreRefused(),
    on.DrainAsked(),
    on.TakenOver(),
    on.EndAsked(SECRET),
    do.CloseUpstream(),
    do.Welcome(None),
    do.Welcome(Continuity.HANDLE),
    do.CloseClient(do.Farewell.OVER, SECRET),
    do.Advise(Channel.CONTENT, SECRET),
    do.Advise(Channel.CONTEXT_UPDATE, ""),
    do.Checkpoint((), UpstreamHandle(SECRET, 1), Ledger(), None),
    do.InvalidateHandle(SECRET),
    do.Tell(tell.Rotating(RotationReason.AGE, 1)),
    do.Tell(tell.Rotated(RotationReason.AGE, Continuity.HANDLE, 0.1, 1)),
    do.Tell(tell.TurnRestarted(1, RotationReason.AGE)),
    do.Tell(tell.UpstreamTrouble(SECRET, retryable=True)),
    do.TellWatchers(tell.FeedbackChanged(FeedbackChange("f1", FeedbackState.DELIVERED, 1, 40, SECRET))),
    do.Tell(tell.FeedbackChanged(FeedbackChange("f1", FeedbackState.REMOVED, 1, 40, SECRET))),  # type: ignore[arg-type]  # for the table's sake
    on.UsageCounted(Usage(1, 1)),
    on.UserHeard(SECRET),
    on.AgentSaid(SECRET),
    do.Tell(tell.Transcript("user", SECRET, 1)),  # type: ignore[arg-type]  # the same
    do.Tell(tell.HandleRenewed(SECRET, "")),
    OPEN,
)


def test_no_secret_and_no_word_is_told() -> None:
    """With one in every field that may hold one: of text, handles, arguments, results and reasons nothing is there."""
    scene = Scene()
    scene.play(on.SpeechBegan(), *EVERYTHING)
    scene.trace.closed()
    shown = "".join(span.to_json() for span in scene.memory.spans())
    assert SECRET not in shown
    assert "look_up,look_up" in shown


def test_every_row_is_told() -> None:
    """Each row of the table, in a name of its own."""
    played = {type(getattr(step, "notice", step)) for step in EVERYTHING}
    assert played >= set(EVENTS)
    scene = Scene()
    scene.play(on.SpeechBegan(), *EVERYTHING)
    scene.trace.closed()
    assert set(told(scene.turns()[0])) == {row.name for row in EVENTS.values()}
    assert len({row.name for row in EVENTS.values()}) == len(EVENTS)


@pytest.mark.parametrize("step", [on.Tick(), do.StopSending(), do.Forget(3), on.UserHeard("x")])
def test_what_is_not_told_begins_nothing(step: Any) -> None:  # noqa: ANN401 - an event or an effect
    """Time that passes, and the driver's housekeeping."""
    scene = Scene()
    scene.play(step)
    scene.trace.closed()
    assert not scene.memory.spans()
