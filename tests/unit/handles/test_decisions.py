"""What each call makes of a conversation, without a database."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from filo.handles.v1.resources_pb2 import (
    CONTINUITY_HANDLE,
    CONTINUITY_TRANSCRIPT,
    CONTINUITY_UNSPECIFIED,
    MODE_SALES_AGENT,
)
from services.common.errors import Reason, ServiceError
from services.handles import decisions, policy
from services.handles.decisions import Attach, Checkpoint, Decide
from services.handles.policy import Redemption
from services.handles.records import Change, Conversation, ResumeHandle, Turn, UpstreamHandle, View
from tests.support.conversations import NOW, OWNER, RULES, conversation

ASK = Attach(mode=MODE_SALES_AGENT, owner=OWNER, holder="relay-2:7401", presented=False)
HELD = conversation(epoch=3, holder="relay-1:7401", lease_until=NOW + RULES.lease, handles_issued=2, turn_count=2)
UPSTREAM = UpstreamHandle("gemini", 2, NOW)
LATE = NOW + RULES.handle_ttl


def changed(decide: Decide[object], view: View) -> Change:
    """What a decision stores; it must store something."""
    change = decide(view).change
    assert change is not None
    return change


def test_an_attach_takes_the_conversation() -> None:
    """Epoch, holder, lease and sign of life are new; who held it is told, and the upstream handle is given."""
    now = NOW + timedelta(seconds=10)
    decision = decisions.attach(ASK, now, RULES)(View(HELD, UPSTREAM))
    after = HELD._replace(epoch=4, holder="relay-2:7401", lease_until=now + RULES.lease, seen_at=now)
    assert decision.change == Change(after, UPSTREAM)
    assert decision.answer == (after, UPSTREAM, None, "relay-1:7401")


def test_a_holder_whose_lease_ran_out_is_not_named() -> None:
    """Nobody waits for a relay that is presumably dead."""
    assert decisions.attach(ASK, NOW + RULES.lease, RULES)(View(HELD)).answer.previous_holder == ""


def test_the_presented_handle_is_judged_before_the_attach_counts_as_life() -> None:
    """An attach does not wake the handle it presents."""
    view = View(HELD, UPSTREAM, ResumeHandle(HELD.id, 2))
    ask = replace(ASK, presented=True)
    assert decisions.attach(ask, NOW, RULES)(view).answer.redemption is Redemption.VALID
    assert decisions.attach(ask, LATE, RULES)(view).answer.redemption is Redemption.EXPIRED


@pytest.mark.parametrize(
    "life",
    [
        decisions.attach(ASK, LATE, RULES),
        decisions.heartbeat(3, LATE, RULES),
        decisions.checkpoint(Checkpoint(epoch=3), LATE, RULES),
        decisions.release(3, LATE, RULES),
    ],
)
def test_no_sign_of_life_wakes_what_has_expired(life: Decide[object]) -> None:
    """The sign of life that comes too late buries the handles, both kinds, for good."""
    change = changed(life, View(HELD, UPSTREAM))
    assert change.upstream is None
    assert change.conversation.handles_expired == HELD.handles_issued
    assert change.conversation.seen_at == LATE


@pytest.mark.parametrize(
    "life",
    [
        decisions.attach(ASK, NOW + timedelta(minutes=29), RULES),
        decisions.heartbeat(3, NOW + timedelta(minutes=29), RULES),
        decisions.checkpoint(Checkpoint(epoch=3), NOW + timedelta(minutes=29), RULES),
        decisions.release(3, NOW + timedelta(minutes=29), RULES),
    ],
)
def test_every_sign_of_life_counts(life: Decide[object]) -> None:
    """Attach, heartbeat, checkpoint and release all let the handles live for another TTL."""
    change = changed(life, View(HELD, UPSTREAM))
    assert (change.upstream, change.conversation.handles_expired) == (UPSTREAM, 0)
    assert policy.expiry(change.conversation, RULES) == NOW + timedelta(minutes=29) + RULES.handle_ttl


def test_life_never_goes_back() -> None:
    """A replica whose clock is behind does not shorten what another has granted."""
    change = changed(decisions.heartbeat(3, NOW - timedelta(minutes=5), RULES), View(HELD, UPSTREAM))
    assert change.conversation.seen_at == NOW


def test_a_checkpoint_stores_all_it_brings() -> None:
    """Turns, coverage, handle, ledger and continuity, in one change."""
    ask = Checkpoint(
        epoch=3,
        turns=(Turn(2, b"again"), Turn(3, b"new")),
        covered_seq=30,
        upstream_secret="newer",
        covers_turn=3,
        resume_digest=b"digest",
        ledger=b"",
        continuity=CONTINUITY_HANDLE,
    )
    decision = decisions.checkpoint(ask, NOW, RULES)(View(HELD, UPSTREAM))
    after = HELD._replace(turn_count=3, covered_seq=30, handles_issued=3, ledger=b"", continuity=CONTINUITY_HANDLE)
    assert decision.change == Change(after, UpstreamHandle("newer", 3, NOW), (Turn(3, b"new"),), b"digest")
    assert decision.answer == (after, 1, NOW + RULES.handle_ttl)


def test_a_checkpoint_leaves_what_it_does_not_bring() -> None:
    """Without a handle, a ledger or a continuity the stored ones stay."""
    before = HELD._replace(ledger=b"ledger", continuity=CONTINUITY_TRANSCRIPT, covered_seq=50)
    ask = Checkpoint(epoch=3, covered_seq=30, continuity=CONTINUITY_UNSPECIFIED)
    change = changed(decisions.checkpoint(ask, NOW, RULES), View(before, UPSTREAM))
    assert change == Change(before, UPSTREAM)


def test_a_handle_may_not_cover_what_its_checkpoint_does_not_store() -> None:
    """Nothing of such a checkpoint is stored."""
    ask = Checkpoint(epoch=3, turns=(Turn(3, b""),), upstream_secret="s", covers_turn=4)
    with pytest.raises(ServiceError) as caught:
        decisions.checkpoint(ask, NOW, RULES)(View(HELD))
    assert caught.value.metadata == {"field": "upstream_handle.covers_turn"}


def test_a_late_word_after_the_release_gives_no_lease() -> None:
    """A heartbeat that was under way does not make a holder of nobody."""
    released = changed(decisions.release(3, NOW, RULES), View(HELD, UPSTREAM)).conversation
    assert (released.holder, released.lease_until) == ("", None)
    after = changed(decisions.heartbeat(3, NOW, RULES), View(released, UPSTREAM)).conversation
    assert not policy.held(after, NOW)


def test_a_rejected_upstream_handle_is_deleted_and_nothing_else() -> None:
    """Resume handles stay what they are; deleting what is not there changes nothing."""
    assert decisions.invalidate(3)(View(HELD, UPSTREAM)).change == Change(HELD, None)
    assert decisions.invalidate(3)(View(HELD, None)).change is None


def test_the_end_revokes() -> None:
    """No handle, no holder, no lease; the reason and the time are kept."""
    after = changed(decisions.end(3, "done", NOW), View(HELD, UPSTREAM))
    assert after.upstream is None
    assert after.conversation.handles_revoked == HELD.handles_issued
    assert (after.conversation.ended_at, after.conversation.end_reason) == (NOW, "done")
    assert not policy.held(after.conversation, NOW)


def test_what_has_ended_stays_as_it_is() -> None:
    """Ending again, a release: nothing changes. A heartbeat, a checkpoint and an attach are refused."""
    ended = changed(decisions.end(3, "done", NOW), View(HELD)).conversation
    view = View(ended)
    for decide in (
        decisions.end(3, "again", LATE),
        decisions.release(3, LATE, RULES),
    ):
        assert decide(view).change is None
    for refused in (
        decisions.heartbeat(3, LATE, RULES),
        decisions.checkpoint(Checkpoint(epoch=3), NOW, RULES),
        decisions.attach(ASK, NOW, RULES),
    ):
        with pytest.raises(ServiceError) as caught:
            refused(view)
        assert caught.value.reason is Reason.CONVERSATION_ENDED


@pytest.mark.parametrize("epoch", [2, 4])
def test_every_write_is_fenced(epoch: int) -> None:
    """Another epoch than the present one writes nothing, whatever it wants, even to an ended conversation."""
    writes: list[Decide[object]] = [
        decisions.heartbeat(epoch, NOW, RULES),
        decisions.checkpoint(Checkpoint(epoch=epoch), NOW, RULES),
        decisions.invalidate(epoch),
        decisions.release(epoch, NOW, RULES),
        decisions.end(epoch, "", NOW),
    ]
    for decide in writes:
        for seen in (HELD, HELD._replace(ended_at=NOW)):
            with pytest.raises(ServiceError) as caught:
                decide(View(seen, UPSTREAM))
            assert caught.value.reason is Reason.EPOCH_FENCED


def test_secrets_are_not_shown() -> None:
    """What a debugger or a traceback prints of a record or a request holds no upstream handle."""
    assert "gemini" not in repr(View(HELD, UPSTREAM))
    assert "gemini" not in repr(Checkpoint(epoch=1, upstream_secret="gemini"))


class Lives(RuleBasedStateMachine):
    """Any sequence of calls by holders old and new, with time passing between them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.record: Conversation = conversation()
        self.upstream: UpstreamHandle | None = None
        self.turns: list[int] = []
        self.dead: set[int] = set()

    def run_decision(self, decide: Decide[object], epoch: int | None) -> None:
        """Apply a decision: an older epoch is always fenced, anything else refused only after the end."""
        before = self.record
        refused: Reason | None = None
        change: Change | None = None
        try:
            change = decide(View(before, self.upstream)).change
        except ServiceError as error:
            refused = error.reason
        if epoch not in (None, before.epoch):
            assert refused is Reason.EPOCH_FENCED
        else:
            assert refused is None or before.ended_at is not None
        if change is not None:
            self.record, self.upstream = change.conversation, change.upstream
            self.turns += [turn.number for turn in change.turns]

    @rule(seconds=st.sampled_from([0, 1, 29, 30, 60, 1799, 1800, 4000]))
    def time_passes(self, seconds: int) -> None:
        """Any time, longer than every limit too."""
        self.now += timedelta(seconds=seconds)

    @rule()
    def attach(self) -> None:
        """By whoever may."""
        self.run_decision(decisions.attach(ASK, self.now, RULES), None)

    @rule(back=st.integers(0, 2))
    def heartbeat(self, back: int) -> None:
        """By the holder or an older one."""
        epoch = self.record.epoch - back
        self.run_decision(decisions.heartbeat(epoch, self.now, RULES), epoch)

    @rule(back=st.integers(0, 2), first=st.integers(0, 2), count=st.integers(0, 3), handle=st.booleans())
    def checkpoint(self, back: int, first: int, count: int, *, handle: bool) -> None:
        """With turns that repeat or follow the stored ones."""
        epoch, start = self.record.epoch - back, max(1, self.record.turn_count + 1 - first)
        ask = Checkpoint(
            epoch=epoch,
            turns=tuple(Turn(number, b"") for number in range(start, start + count)),
            upstream_secret="s" if handle else None,
            resume_digest=b"d" if handle else None,
        )
        self.run_decision(decisions.checkpoint(ask, self.now, RULES), epoch)

    @rule(back=st.integers(0, 1))
    def release(self, back: int) -> None:
        """Give it back."""
        epoch = self.record.epoch - back
        self.run_decision(decisions.release(epoch, self.now, RULES), epoch)

    @precondition(lambda self: self.record.turn_count > 3)
    @rule(back=st.integers(0, 1))
    def end(self, back: int) -> None:
        """For good."""
        epoch = self.record.epoch - back
        self.run_decision(decisions.end(epoch, "", self.now), epoch)

    @invariant()
    def turns_have_no_holes(self) -> None:
        """Stored once, in order, counted."""
        assert self.turns == list(range(1, self.record.turn_count + 1))

    @invariant()
    def dead_handles_stay_dead(self) -> None:
        """At most one handle is valid, and none ever comes back from expired or revoked."""
        results = {
            number: policy.judge(
                View(self.record, None, ResumeHandle(self.record.id, number)), MODE_SALES_AGENT, OWNER, self.now, RULES
            )
            for number in range(1, self.record.handles_issued + 1)
        }
        alive = {n for n, result in results.items() if result in (Redemption.VALID, Redemption.SUPERSEDED)}
        assert list(results.values()).count(Redemption.VALID) <= 1
        assert not alive & self.dead
        self.dead |= results.keys() - alive

    @invariant()
    def nobody_holds_without_a_holder(self) -> None:
        """A lease has a holder, and an ended conversation has neither."""
        assert bool(self.record.holder) == (self.record.lease_until is not None)
        assert self.record.ended_at is None or not self.record.holder


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
