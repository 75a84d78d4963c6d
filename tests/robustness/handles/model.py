"""What a history of calls must look like, whatever was killed meanwhile: the promises of the store as pure checks.

A history holds every call that any client made, with the moments between which it ran and what came of it. A call whose
outcome is not known (the server died, nobody answered) may have happened or not. Moments are seconds of one clock.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple


class Call(StrEnum):
    """What was called."""

    ATTACH = "attach"
    CHECKPOINT = "checkpoint"
    HEARTBEAT = "heartbeat"
    VALIDATE = "validate"
    END = "end"


class Outcome(StrEnum):
    """What came of it."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One call.

    Args:
        call: Which.
        conversation: Whose.
        start: When it was sent.
        end: When it was answered, or given up.
        outcome: What came of it.
        epoch: Of the attach's answer, or of the writer.
        turn: The turn that a checkpoint stores; how many were stored, of an attach.
        text: What the turn says, unique in the history.
        secret: The upstream handle that was stored, or that an attach was given.
        handle: The resume handle that a checkpoint gave or that was validated.
        accepted: Whether a validated handle was let in.
        own: Whether a validated handle was made for this conversation.
    """

    call: Call
    conversation: str
    start: float
    end: float
    outcome: Outcome
    epoch: int = 0
    turn: int = 0
    text: str = ""
    secret: str = ""
    handle: str = ""
    accepted: bool = False
    own: bool = True


class Stored(NamedTuple):
    """A turn as the store gave it back at the end."""

    number: int
    text: str
    epoch: int


@dataclass
class History:
    """All that happened.

    Args:
        ttl: How long a handle outlives the last sign of life, in seconds.
        kept: How many of the newest resume handles stay known.
        events: In no particular order.
        transcripts: What each conversation held at the end.
    """

    ttl: float
    kept: int
    events: list[Event] = field(default_factory=list)
    transcripts: Mapping[str, Sequence[Stored]] = field(default_factory=dict)


_LATE = 6.0
"""Seconds that a call may go on at a server after its caller gave up: longer than any server waits for its database."""


def violations(history: History) -> list[str]:
    """Every broken promise, in words; none in a good history."""
    by_conversation: dict[str, list[Event]] = defaultdict(list)
    for event in history.events:
        by_conversation[event.conversation].append(event)
    return [
        f"{conversation}: {problem}"
        for conversation, events in sorted(by_conversation.items())
        for problem in _problems(history, conversation, sorted(events, key=lambda event: event.start))
    ]


def _problems(history: History, conversation: str, events: Sequence[Event]) -> Iterator[str]:
    yield from _epochs(events)
    yield from _fencing(events)
    yield from _transcript(events, history.transcripts.get(conversation, ()))
    yield from _upstream(events)
    yield from _redeemed(events, history)
    yield from _refused(events, history)


def _of(events: Iterable[Event], call: Call, *outcomes: Outcome) -> list[Event]:
    return [event for event in events if event.call is call and event.outcome in (outcomes or (Outcome.DONE,))]


def _epochs(events: Sequence[Event]) -> Iterator[str]:
    """No two holders of one epoch; a later attach has a higher one."""
    attaches = sorted(_of(events, Call.ATTACH), key=lambda event: event.epoch)
    for one, two in pairwise(attaches):
        if one.epoch == two.epoch:
            yield f"two attaches got epoch {one.epoch}"
        elif two.end < one.start:
            yield f"epoch {two.epoch} was given before epoch {one.epoch}"


def _fencing(events: Sequence[Event]) -> Iterator[str]:
    """What an older epoch wrote after a newer one was given is refused."""
    for attach in _of(events, Call.ATTACH):
        for write in (*_of(events, Call.CHECKPOINT), *_of(events, Call.HEARTBEAT)):
            if write.epoch < attach.epoch and write.start > attach.end:
                yield f"a {write.call} of epoch {write.epoch} was taken after epoch {attach.epoch} was given"


def _transcript(events: Sequence[Event], stored: Sequence[Stored]) -> Iterator[str]:
    """Every acknowledged turn is there as it was sent; there are no holes, and epochs only rise."""
    if [turn.number for turn in stored] != list(range(1, len(stored) + 1)):
        yield f"the transcript has holes: {[turn.number for turn in stored]}"
        return
    for one, two in pairwise(stored):
        if one.epoch > two.epoch:
            yield f"turn {two.number} was written by the older epoch {two.epoch}"
    sent = {(event.turn, event.text) for event in events if event.call is Call.CHECKPOINT}
    yield from (f"turn {turn.number} was never sent" for turn in stored if (turn.number, turn.text) not in sent)
    for event in _of(events, Call.CHECKPOINT):
        if event.turn > len(stored) or stored[event.turn - 1].text != event.text:
            yield f"the acknowledged turn {event.turn} of epoch {event.epoch} is lost"
    for event in _of(events, Call.ATTACH):
        known = max((done.turn for done in _of(events, Call.CHECKPOINT) if done.end < event.start), default=0)
        if event.turn < known:
            yield f"epoch {event.epoch} was told of {event.turn} turns when {known} were acknowledged"


def _upstream(events: Sequence[Event]) -> Iterator[str]:
    """An attach is given no older upstream handle than the newest that was acknowledged before it."""
    order = {event.secret: (event.epoch, event.turn) for event in events if event.call is Call.CHECKPOINT}
    acknowledged = _of(events, Call.CHECKPOINT)
    for attach in _of(events, Call.ATTACH):
        if not attach.secret:
            continue
        if attach.secret not in order:
            yield f"epoch {attach.epoch} was given an upstream handle that nobody stored here"
            continue
        before = [order[done.secret] for done in acknowledged if done.end < attach.start]
        if order[attach.secret] < max(before, default=(0, 0)):
            yield f"epoch {attach.epoch} was given an upstream handle older than an acknowledged one"


def _redeemed(events: Sequence[Event], history: History) -> Iterator[str]:
    """No foreign handle is let in, none after the end, none that must have expired."""
    ended = min((event.end for event in _of(events, Call.END)), default=float("inf"))
    signs = [event for event in events if event.call in {Call.ATTACH, Call.CHECKPOINT, Call.HEARTBEAT}]
    for event in _of(events, Call.VALIDATE):
        if not event.accepted:
            continue
        if not event.own:
            yield "a foreign handle was let in"
        if event.start > ended:
            yield "a revoked handle was let in"
        last = max((_latest(sign) for sign in signs if sign.start < event.end), default=0.0)
        if event.start >= last + history.ttl:
            yield f"an expired handle was let in, {event.start - last:.2f} s after the last sign of life"


def _latest(sign: Event) -> float:
    """The latest moment at which a call may have been a sign of life."""
    return sign.end + (_LATE if sign.outcome is Outcome.UNKNOWN else 0.0)


def _refused(events: Sequence[Event], history: History) -> Iterator[str]:
    """A good handle is let in: one of the newest, of a conversation that never ended and gave signs of life."""
    if _of(events, Call.END, Outcome.DONE, Outcome.UNKNOWN):
        return
    issued = [event for event in events if event.call is Call.CHECKPOINT and event.outcome is not Outcome.REFUSED]
    alive = [event for event in events if event.call in {Call.ATTACH, Call.CHECKPOINT, Call.HEARTBEAT}]
    alive = [event for event in alive if event.outcome is Outcome.DONE]
    made = {event.handle: event for event in issued if event.handle}
    for event in _of(events, Call.VALIDATE):
        since = made.get(event.handle)
        if event.accepted or not event.own or since is None:
            continue
        if sum(other.start < event.end and other.end > since.start for other in issued) > history.kept:
            continue
        signs = [sign for sign in alive if sign.end >= since.start and sign.end < event.start]
        gaps = [two.end - one.start for one, two in pairwise(sorted(signs, key=lambda sign: sign.start))]
        if signs and max([*gaps, event.end - max(sign.start for sign in signs)]) < history.ttl:
            yield "a good handle was refused"
