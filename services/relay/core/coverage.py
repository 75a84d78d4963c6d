"""What is stored, and what the context behind the newest handle contains.

*Keep what is not yet covered; after a reconnect send it again, in order, once.* A turn passes three marks: it is
completed, it is stored (then the client may forget its input), and a handle covers it (then Gemini knows it without
being told again).
"""

from dataclasses import replace
from typing import Final

from services.relay.core.effects import Checkpoint
from services.relay.core.events import CheckpointStored
from services.relay.core.ledger import Ledger
from services.relay.core.model import Continuity, FeedbackChange, Mark, Turn, UpstreamHandle, Usage
from services.relay.core.notices import HandleRenewed, InputCovered, Notice

MOST_TURNS: Final = 200
"""Turns in one checkpoint; the store takes a few more. What waits behind them goes with the next one."""
MOST_CHANGES: Final = 256
"""Changes of feedback in one checkpoint; likewise. A handle never gets there before the changes it depends on."""


class Coverage:
    """The marks of one conversation at this relay.

    Args:
        handle: The newest stored upstream handle.
        uncovered: The stored turns that it does not cover, in order.
        covered_seq: The newest client sequence number in the stored turns.
        ledger: The stored ledger.

    Attributes:
        ahead: The input of a turn not yet completed that the context behind the handle holds; None for none.
        advised: The context behind the handle holds the advice of the turn that is not completed.
        advice_is_live: The connection in use was told advice for that turn.
        advice_was_overtaken: And other advice before it.
        baseline: The usage of the newest turn in the context behind the handle, if it is known.
    """

    def __init__(
        self, handle: UpstreamHandle | None, uncovered: tuple[Turn, ...], covered_seq: int, ledger: Ledger
    ) -> None:
        self.handle = handle
        self.ledger = ledger
        self.baseline = ledger.unadvised if handle is not None and not uncovered else None
        self.covered_seq = covered_seq
        self.renewal: HandleRenewed | None = None
        self._uncovered = list(uncovered)
        self._begun_with: int | None = None
        self._began: dict[int, Mark | None] = {}
        self._trusted = True
        self._heard_out = True
        self._unsaved: list[Turn] = []
        self.ahead: Mark | None = None
        self.advised = self.advice_is_live = self.advice_was_overtaken = False
        self._feedback: list[FeedbackChange] = []
        self._stripped = ""
        self._to_store: UpstreamHandle | None = None
        self._continuity_unsaved: Continuity | None = None
        self._in_flight = False

    @property
    def uncovered(self) -> tuple[Turn, ...]:
        """Completed turns that the newest handle does not cover, in order."""
        return tuple(self._uncovered)

    @property
    def all_covered(self) -> bool:
        """Whether a connection that resumes from the newest handle knows every completed turn."""
        return self.handle is not None and not self._uncovered

    @property
    def waiting(self) -> int:
        """How many completed turns the store does not have yet."""
        return len(self._unsaved)

    @property
    def store_is_behind(self) -> bool:
        """Whether the store lacks more than the newest turn: it is away, and would not give the transcript either."""
        return self.waiting > 1

    def connection_opens(self, *, seeded: bool) -> None:
        """A connection is begun with what is known now.

        The first handle of a connection comes right after its setup, and may hold the context from before the content
        that is sent next. So until a turn is completed on the connection, its handles cover what the handle covered
        that it was begun with; without one they are worth nothing, unless there was nothing to be told. Nor does a
        handle cover a turn of which it holds no input: it was issued before that turn, and has come late.

        Args:
            seeded: Without a handle: turns are sent as history.
        """
        self._trusted = True
        self._began = {}
        if self.handle is not None:
            self._begun_with = self.handle.covers_turn
        else:
            self._begun_with = None if seeded else 0

    def turn_completed(self, turn: Turn, began: Mark | None = None) -> None:
        """A turn is to be stored, and is covered by nothing yet.

        Args:
            turn: The turn.
            began: The newest input before its own; None where that is not known.
        """
        self._uncovered.append(turn)
        self._unsaved.append(turn)
        self._began[turn.number], self._heard_out = began, not turn.interrupted

    def handle_updated(
        self, secret: str, ahead: Mark | None = None, *, advised: bool = False, consumed: Mark | None = None
    ) -> None:
        """Gemini issued a handle; it covers the turns completed before.

        Args:
            secret: The handle.
            ahead: It holds the client's input up to here too, of a turn that is not completed. Such a handle serves
                this relay, which knows what to send after it, and is not stored: another relay would not know.
            advised: It holds the advice of that turn.
            consumed: The newest input that it holds, where that is told.
        """
        covers = self._covers(consumed)
        if covers is None or not self._trusted or (self.handle is not None and covers < self.handle.covers_turn):
            return
        if self._began:  # otherwise the context is that of the handle before, whatever was counted and lost since
            self.baseline = self._sure(self.ledger.unadvised) if covers == max(self._began) else None
        self.handle = UpstreamHandle(secret, covers)
        self._began = {number: began for number, began in self._began.items() if number >= covers}
        self.ahead, self.advised = ahead, advised
        self._uncovered = [turn for turn in self._uncovered if turn.number > covers]
        if ahead is None:
            self._to_store = self.handle

    def _covers(self, consumed: Mark | None) -> int | None:
        """The newest turn in the context behind a handle that holds the input up to a mark; None where none is sure."""
        for number, began in sorted(self._began.items(), reverse=True):
            if consumed is None or began is None or consumed > began:
                return number
        return self._begun_with

    def _sure(self, usage: Usage | None) -> Usage | None:
        """What is sure to be in the context: of an answer that was interrupted, only what was heard is kept."""
        return usage if usage is None or self._heard_out else replace(usage, answer_by_modality={})

    def handle_lost(self) -> None:
        """The handle is dead or proved false: nothing is covered, and the history comes from the store.

        What the same connection issues from now on is worth as little.
        """
        self._trusted = False
        self.handle = None
        self.baseline = None
        self.renewal = None
        self.ahead, self.advised = None, False
        self._to_store = None
        self._uncovered = list(self._unsaved)

    def handle_given_up(self, why: str) -> None:
        """The context behind the handle is not wanted any more: it is deleted with the next checkpoint."""
        if self.handle is not None:
            self._stripped = why
        self.handle_lost()

    def feedback_changed(self, change: FeedbackChange) -> None:
        """Something became of an item of feedback, and is to be stored."""
        self._feedback.append(change)

    def context_survived(self, continuity: Continuity) -> None:
        """A change of connection is over."""
        self._continuity_unsaved = continuity

    def checkpoint(self, *, last: bool = False) -> Checkpoint | None:
        """What is to be stored now; None while a checkpoint is under way, or when nothing is new.

        Args:
            last: Nothing will be asked again: do not wait for the one under way. A turn stored twice is stored once.
        """
        news = self._unsaved or self._to_store or self._feedback or self._stripped
        if (self._in_flight and not last) or not news:
            return None
        turns = tuple(self._unsaved[:MOST_TURNS])
        whole = len(turns) == len(self._unsaved) and len(self._feedback) <= MOST_CHANGES
        effect = Checkpoint(
            turns=turns,
            handle=self._to_store if whole else None,
            ledger=self.ledger,
            continuity=self._continuity_unsaved,
            feedback=tuple(self._feedback[:MOST_CHANGES]),
            invalidate=self._stripped,
        )
        self._in_flight, self._continuity_unsaved, self._stripped = True, None, ""
        self._feedback = self._feedback[MOST_CHANGES:]
        self._to_store = None if whole else self._to_store
        return effect

    def stored(self, event: CheckpointStored) -> list[Notice]:
        """The store has it: what the client is told."""
        self._in_flight = False
        self._unsaved = [turn for turn in self._unsaved if turn.number > event.turn]
        notices: list[Notice] = []
        if event.resume_handle is not None and self.handle is not None:  # it may have died while it was being stored
            self.renewal = HandleRenewed(event.resume_handle, event.expires_at)
            notices.append(self.renewal)
        if event.covered_seq > self.covered_seq:
            self.covered_seq = event.covered_seq
            notices.append(InputCovered(event.covered_seq, event.turn))
        return notices
