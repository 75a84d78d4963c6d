"""Conversations as the handle store's decisions see them, and a store in memory to run decisions on."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from filo.handles.v1.resources_pb2 import MODE_SALES_AGENT
from filo.handles.v1.resources_pb2 import Feedback as Message
from services.handles import decisions
from services.handles.decisions import Decide, Decision
from services.handles.feedback.programs import MOST_AT_HAND, TEXTS_AT_HAND
from services.handles.feedback.records import AtHand, Feedback, Given, Shown
from services.handles.feedback.rules import AT_HAND, Added
from services.handles.feedback.rules import Decide as DecideFeedback
from services.handles.policy import KEPT_RESUME_HANDLES, Rules
from services.handles.programs import slot
from services.handles.records import (
    Change,
    Conversation,
    Created,
    FeedbackChange,
    Glance,
    NewConversation,
    Owner,
    OwnerKind,
    ResumeHandle,
    Standing,
    Turn,
    UpstreamHandle,
    View,
)
from services.handles.resealing import Resealed
from services.handles.statements import SealedColumn
from services.handles.sweeps import Kind, Swept

T = TypeVar("T")

NOW: Final = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
OWNER: Final = Owner(OwnerKind.SHARE_TOKEN, "ab" * 32)
STRANGER: Final = Owner(OwnerKind.SHARE_TOKEN, "cd" * 32)
RULES: Final = Rules(handle_ttl=timedelta(minutes=30), lease=timedelta(seconds=30))


def conversation(**fields: Any) -> Conversation:  # noqa: ANN401 - any field
    """A conversation that nobody has attached yet, unless `fields` say otherwise."""
    made = Conversation(id="0" * 31 + "1", mode=MODE_SALES_AGENT, owner=OWNER, test=False, created_at=NOW, seen_at=NOW)
    return made._replace(**fields)


def becomes(change: Change) -> Decide[str]:
    """A decision that stores `change` whatever it sees."""
    return lambda _: Decision(change, "done")


class MemoryStore:
    """`services.handles.store.Store` in a few dictionaries: the model that real stores are compared with."""

    def __init__(self) -> None:
        self._conversations: dict[str, Conversation] = {}
        self._requests: dict[str, NewConversation] = {}
        self._agents: dict[str, bytes] = {}
        self._upstream: dict[str, UpstreamHandle | None] = {}
        self._resume: dict[bytes, ResumeHandle] = {}
        self._turns: dict[str, list[Turn]] = {}
        self._feedback: dict[str, dict[int, Feedback]] = {}
        self._given: dict[tuple[str, str], tuple[int, bytes]] = {}

    async def create(self, new: NewConversation) -> Created:
        """Store a conversation, unless its request id is taken."""
        first = self._requests.setdefault(new.request_id, new)
        if first is new:
            self._conversations[new.conversation.id] = new.conversation
            self._agents[new.conversation.id] = new.agent
        return Created(self._conversations[first.conversation.id], first.request_digest)

    async def look(self, conversation_id: str, resume_digest: bytes | None = None) -> View:
        """Read a conversation and a presented resume handle."""
        presented = self._resume.get(resume_digest) if resume_digest is not None else None
        found = self._conversations.get(conversation_id)
        return View(found, self._upstream.get(conversation_id), presented)

    async def glance(self, conversation_id: str, resume_digest: bytes | None) -> Glance:
        """As `look`, for whoever only wants to know what the resume handle is worth."""
        view = await self.look(conversation_id, resume_digest)
        record = view.conversation
        standing = None if record is None else Standing(*(getattr(record, name) for name in Standing._fields))
        return Glance(standing, view.presented)

    async def change(self, conversation_id: str, decide: Decide[T], resume_digest: bytes | None = None) -> T:
        """Look, decide and write."""
        decision = decide(await self.look(conversation_id, resume_digest))
        if decision.change is not None:
            after = decision.change.conversation
            self._conversations[conversation_id] = after
            self._upstream[conversation_id] = decision.change.upstream
            self._turns.setdefault(conversation_id, []).extend(decision.change.turns)
            for change in decision.change.feedback:
                self._change_feedback(conversation_id, change)
            if decision.change.resume_digest is not None:
                self._resume[decision.change.resume_digest] = ResumeHandle(conversation_id, after.handles_issued)
                oldest = after.handles_issued - KEPT_RESUME_HANDLES
                gone = [d for d, h in self._resume.items() if h.conversation_id == after.id and h.number <= oldest]
                for digest in gone:
                    del self._resume[digest]
        return decision.answer

    def _change_feedback(self, conversation_id: str, change: FeedbackChange) -> None:
        items = self._feedback.get(conversation_id, {})
        item = items.get(change.number)
        if item is None or item.state > change.state:
            return
        items[change.number] = replace(
            item,
            state=change.state,
            turn=change.turn or item.turn,
            tokens=change.tokens or item.tokens,
            detail=change.detail or item.detail,
            updated_at=change.at,
        )

    async def agent(self, conversation_id: str) -> bytes:
        """The agent configuration."""
        return self._agents[conversation_id]

    async def turns(self, conversation_id: str, after: int, limit: int) -> Sequence[Turn]:
        """The turns after a number."""
        return [turn for turn in self._turns.get(conversation_id, []) if turn.number > after][:limit]

    async def add_feedback(self, conversation_id: str, request_id: str, decide: DecideFeedback) -> Added:
        """Look, decide and write."""
        items = self._feedback.setdefault(conversation_id, {})
        same = self._given.get((conversation_id, request_id))
        waiting = tuple(replace(item, text="") for item in items.values() if item.state == Message.STATE_ACCEPTED)
        given = Given(items[same[0]], same[1]) if same else None
        decision = decide(Shown(self._conversations.get(conversation_id), given, waiting, len(items)))
        for number, state in decision.moved:
            items[number] = replace(items[number], state=state, updated_at=decision.answer.feedback.created_at)
        if decision.new is not None:
            items[decision.new.feedback.number] = decision.new.feedback
            self._given[conversation_id, request_id] = (decision.new.feedback.number, decision.new.request_digest)
        return decision.answer

    async def feedback_at_hand(self, conversation_id: str) -> AtHand:
        """What waits or is in the context, and the newest number."""
        items = self._feedback.get(conversation_id, {})
        at_hand = [items[number] for number in sorted(items) if items[number].state in AT_HAND][-MOST_AT_HAND:]
        silent = len(at_hand) - TEXTS_AT_HAND
        told = tuple(replace(item, text="") if at < silent else item for at, item in enumerate(at_hand))
        return AtHand(told, max(items, default=0))

    async def feedback(self, conversation_id: str, before: int, limit: int) -> Sequence[Feedback]:
        """The items before a number."""
        items = self._feedback.get(conversation_id, {})
        return [items[number] for number in sorted(items, reverse=True) if number < before][:limit]

    async def newest(self, before: tuple[datetime, str], limit: int) -> Sequence[Conversation]:
        """Conversations before a moment and an id, the newest first."""
        older = [kept for kept in self._conversations.values() if (kept.created_at, kept.id) < before]
        return sorted(older, key=lambda kept: (kept.created_at, kept.id), reverse=True)[:limit]

    async def erase(self, conversation_id: str) -> bool:
        """Delete a conversation and all that belongs to it."""
        if self._conversations.pop(conversation_id, None) is None:
            return False
        self._requests = {key: new for key, new in self._requests.items() if new.conversation.id != conversation_id}
        self._resume = {key: kept for key, kept in self._resume.items() if kept.conversation_id != conversation_id}
        self._given = {key: given for key, given in self._given.items() if key[0] != conversation_id}
        for kept in (self._agents, self._upstream, self._turns, self._feedback):
            kept.pop(conversation_id, None)
        return True

    async def sweep(self, kind: Kind, due: datetime, now: datetime, limit: int) -> Swept:
        """Do one batch of what is due."""
        found = sorted(self._due(kind, due), key=lambda kept: kept.ended_at or kept.seen_at)[:limit]
        for kept in found:
            if kind is Kind.ENDED:
                await self.erase(kept.id)
                continue
            decide = decisions.bury(due) if kind is Kind.EXPIRED else decisions.abandon(due, now)
            await self.change(kept.id, decide)
            self._resume = {key: handle for key, handle in self._resume.items() if handle.conversation_id != kept.id}
        return Swept(len(found), len(found) == limit, (found[0].ended_at or found[0].seen_at) if found else None)

    def _due(self, kind: Kind, due: datetime) -> list[Conversation]:
        kept = self._conversations.values()
        match kind:
            case Kind.EXPIRED:
                live = [one for one in kept if one.handles_issued > max(one.handles_expired, one.handles_revoked)]
                return [one for one in live if slot(one.seen_at) < slot(due)]
            case Kind.ABANDONED:
                return [one for one in kept if one.ended_at is None and slot(one.seen_at) < slot(due)]
            case Kind.ENDED:
                return [one for one in kept if one.ended_at is not None and one.ended_at <= due]

    async def reseal(self, column: SealedColumn, after: tuple[str | int, ...] | None, limit: int) -> Resealed:  # noqa: ARG002 - nothing is sealed
        """Nothing is sealed in memory."""
        return Resealed(0, 0, None)

    async def scrub(self) -> bool:
        """Nothing is left of what was deleted."""
        return True
