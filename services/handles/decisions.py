"""What each call makes of a conversation: the view goes in, the change and the answer come out. No I/O, no clock.

The store runs a decision between its read and its write, in one transaction; whatever it raises leaves the store as it
was. Each decision below is a closure over what the caller asked for, made by the function of that name.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Generic, NamedTuple, TypeVar

from filo.handles.v1.resources_pb2 import CONTINUITY_UNSPECIFIED, Continuity, Mode
from services.handles import policy
from services.handles.policy import Redemption, Rules
from services.handles.records import Change, Conversation, FeedbackChange, Owner, Turn, UpstreamHandle, View

T_co = TypeVar("T_co", covariant=True)

ERASED: Final = datetime.fromtimestamp(0, tz=UTC)
"""When a conversation has ended that is being erased: so long ago that no retention keeps what is left of it."""


class Decision(NamedTuple, Generic[T_co]):
    """What shall be stored (None: nothing changes), and what the caller is told."""

    change: Change | None
    answer: T_co


Decide = Callable[[View], Decision[T_co]]
"""Raises `ServiceError` to refuse."""


class Attached(NamedTuple):
    """The answer to an attach.

    Args:
        conversation: With the new epoch.
        upstream: The newest upstream handle; None when there is none or it has expired.
        redemption: What the presented resume handle is; None when none was presented.
        previous_holder: Who held it until now; empty when its lease had run out.
    """

    conversation: Conversation
    upstream: UpstreamHandle | None
    redemption: Redemption | None
    previous_holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """What a relay asks for when it takes a conversation.

    Args:
        mode: What its client came with.
        owner: Who its client proved to be.
        holder: The relay's control address.
        presented: Whether the client presented a resume handle.
        test: Marks the conversation as a test; nothing unmarks it.
    """

    mode: Mode.ValueType
    owner: Owner
    holder: str
    presented: bool
    test: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a relay stores after a turn.

    Args:
        epoch: The holder's.
        turns: In order.
        covered_seq: The newest client sequence number in `turns`.
        upstream_secret: The newest upstream handle; None when there is no new one.
        covers_turn: What it covers.
        resume_digest: The keyed hash of the resume handle that comes with it.
        ledger: Serialized; None leaves the stored one.
        continuity: Unspecified leaves the stored one.
        feedback: What became of feedback.
        invalidate: The stored upstream handle is not wanted any more.
    """

    epoch: int
    turns: tuple[Turn, ...] = ()
    covered_seq: int = 0
    upstream_secret: str | None = field(default=None, repr=False)
    covers_turn: int = 0
    resume_digest: bytes | None = None
    ledger: bytes | None = None
    continuity: Continuity.ValueType = CONTINUITY_UNSPECIFIED
    feedback: tuple[FeedbackChange, ...] = ()
    invalidate: bool = False


class Stored(NamedTuple):
    """The answer to a checkpoint: the conversation after it, how many turns were new, when its handles expire."""

    conversation: Conversation
    new_turns: int
    expires_at: datetime


def attach(ask: Attach, now: datetime, rules: Rules) -> Decide[Attached]:
    """Take the conversation: raise the epoch, store the holder."""

    def decide(view: View) -> Decision[Attached]:
        before = policy.admit(view, ask.mode, ask.owner)
        redemption = policy.judge(view, ask.mode, ask.owner, now, rules) if ask.presented else None
        previous = before.holder if policy.held(before, now) else ""
        sign = _sign(before, view.upstream, now, rules)
        after = before._replace(
            seen_at=sign.seen_at,
            handles_expired=sign.handles_expired,
            epoch=before.epoch + 1,
            holder=ask.holder,
            lease_until=now + rules.lease,
            test=before.test or ask.test,
        )
        return Decision(Change(after, sign.upstream), Attached(after, sign.upstream, redemption, previous))

    return decide


def heartbeat(epoch: int, now: datetime, rules: Rules) -> Decide[None]:
    """Renew the lease, and with it the life of the handles; an ended conversation has neither."""

    def decide(view: View) -> Decision[None]:
        before = policy.active(policy.fenced(view, epoch))
        sign = _sign(before, view.upstream, now, rules)
        lease = _renewed(before, now, rules)
        after = before._replace(seen_at=sign.seen_at, handles_expired=sign.handles_expired, lease_until=lease)
        return Decision(Change(after, sign.upstream), None)

    return decide


def checkpoint(ask: Checkpoint, now: datetime, rules: Rules) -> Decide[Stored]:
    """Store new turns, the newest upstream handle and the ledger."""

    def decide(view: View) -> Decision[Stored]:
        before = policy.active(policy.fenced(view, ask.epoch))
        turns = policy.fitting(before.turn_count, ask.turns)
        sign = _sign(before, view.upstream, now, rules)
        after = before._replace(
            seen_at=sign.seen_at,
            handles_expired=sign.handles_expired,
            lease_until=_renewed(before, now, rules),
            turn_count=before.turn_count + len(turns),
            covered_seq=max(before.covered_seq, ask.covered_seq),
            handles_issued=before.handles_issued + (ask.resume_digest is not None),
            ledger=before.ledger if ask.ledger is None else ask.ledger,
            continuity=before.continuity if ask.continuity == CONTINUITY_UNSPECIFIED else ask.continuity,
        )
        upstream = None if ask.invalidate else sign.upstream
        if ask.upstream_secret is not None:
            covers = policy.covering(after.turn_count, ask.covers_turn)
            upstream = UpstreamHandle(ask.upstream_secret, covers, now)
        change = Change(after, upstream, turns, ask.resume_digest, ask.feedback)
        return Decision(change, Stored(after, len(turns), policy.expiry(after, rules)))

    return decide


def invalidate(epoch: int) -> Decide[Conversation]:
    """Delete the upstream handle. Resume handles stay: they mean whatever the store has next."""

    def decide(view: View) -> Decision[Conversation]:
        before = policy.fenced(view, epoch)
        return Decision(Change(before, None) if view.upstream else None, before)

    return decide


def release(epoch: int, now: datetime, rules: Rules) -> Decide[Conversation]:
    """Give the conversation back: nobody holds it, and its handles live on for a TTL."""

    def decide(view: View) -> Decision[Conversation]:
        before = policy.fenced(view, epoch)
        if before.ended_at is not None:
            return Decision(None, before)
        sign = _sign(before, view.upstream, now, rules)
        after = before._replace(seen_at=sign.seen_at, handles_expired=sign.handles_expired, holder="", lease_until=None)
        return Decision(Change(after, sign.upstream), after)

    return decide


def end(epoch: int, reason: str, now: datetime) -> Decide[Conversation]:
    """End the conversation for good and revoke its handles; what has ended keeps its first reason."""

    def decide(view: View) -> Decision[Conversation]:
        before = policy.fenced(view, epoch)
        if before.ended_at is not None:
            return Decision(None, before)
        after = _ended(before, reason, now)
        return Decision(Change(after, None), after)

    return decide


def bury(due: datetime) -> Decide[Conversation | None]:
    """Make the expiry of handles final, where the last sign of life came before `due`; None where it did not."""

    def decide(view: View) -> Decision[Conversation | None]:
        before = view.conversation
        if before is None or before.seen_at > due:
            return Decision(_as_it_is(view), None)
        after = before._replace(handles_expired=before.handles_issued)
        return Decision(Change(after, None), after)

    return decide


def abandon(due: datetime, now: datetime) -> Decide[Conversation | None]:
    """End a conversation that gave no sign of life since `due`; None where it did."""

    def decide(view: View) -> Decision[Conversation | None]:
        before = view.conversation
        if before is None or before.seen_at > due or before.ended_at is not None:
            return Decision(_as_it_is(view), None)
        after = _ended(before, "abandoned", now)._replace(handles_expired=before.handles_issued)
        return Decision(Change(after, None), after)

    return decide


def seal_off() -> Decide[bool]:
    """End a conversation that is to be erased, whoever holds it, at `ERASED`; False when there is none."""

    def decide(view: View) -> Decision[bool]:
        before = view.conversation
        if before is None:
            return Decision(None, answer=False)
        return Decision(Change(_ended(before, "deleted", ERASED), None), answer=True)

    return decide


def _as_it_is(view: View) -> Change | None:
    """Write a record as it is, so that what follows from it is put right."""
    return None if view.conversation is None else Change(view.conversation, view.upstream)


def _ended(before: Conversation, reason: str, now: datetime) -> Conversation:
    return before._replace(
        ended_at=now, end_reason=reason, holder="", lease_until=None, handles_revoked=before.handles_issued
    )


class _Sign(NamedTuple):
    """What a sign of life does: when the last was, which handles were dead before it, what is left of the others."""

    seen_at: datetime
    handles_expired: int
    upstream: UpstreamHandle | None


def _sign(before: Conversation, upstream: UpstreamHandle | None, now: datetime, rules: Rules) -> _Sign:
    """Note a sign of life. Handles that expired before it came are buried, so that it does not wake them."""
    seen_at = max(before.seen_at, now)  # another replica's clock may be ahead of ours
    if policy.expired(before, now, rules):
        return _Sign(seen_at, before.handles_issued, None)
    return _Sign(seen_at, before.handles_expired, upstream)


def _renewed(before: Conversation, now: datetime, rules: Rules) -> datetime | None:
    """The lease after a sign of life of the holder. Who has released the conversation gets none by a late word."""
    return now + rules.lease if before.holder else None
