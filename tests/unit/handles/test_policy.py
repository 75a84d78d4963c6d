"""The rules: owners, handles, epochs, turns."""

import functools
import itertools
from collections.abc import Callable
from datetime import timedelta

import pytest

from filo.handles.v1 import handles_pb2
from filo.handles.v1.resources_pb2 import MODE_ASSISTANT, MODE_SALES_AGENT, Mode
from services.common.errors import Reason, ServiceError
from services.handles import policy
from services.handles.policy import JUDGEMENT, OUTSIDE, OWNER_KIND, Facts, Redemption
from services.handles.records import Conversation, Owner, OwnerKind, ResumeHandle, Turn, View
from tests.support.conversations import NOW, OWNER, RULES, STRANGER, conversation

SECOND = timedelta(seconds=1)


def turns(*numbers: int) -> tuple[Turn, ...]:
    """Turns by number."""
    return tuple(Turn(number, b"body %d" % number) for number in numbers)


def refused(call: Callable[[], object]) -> Reason:
    """The reason of the refusal."""
    with pytest.raises(ServiceError) as caught:
        call()
    return caught.value.reason


def judged(seen: Conversation | None, handle: ResumeHandle | None, **asked: object) -> Redemption:
    """Judge a handle for the rightful owner, now, unless told otherwise."""
    given = {"mode": MODE_SALES_AGENT, "owner": OWNER, "now": NOW, **asked}
    return policy.judge(View(seen, None, handle), rules=RULES, **given)  # type: ignore[arg-type]  # by name


def of(seen: Conversation, number: int) -> ResumeHandle:
    """A resume handle of a conversation."""
    return ResumeHandle(seen.id, number)


def test_every_mode_demands_an_owner() -> None:
    """No mode of the contract, but the unspecified one, is without a row."""
    assert set(OWNER_KIND) == set(Mode.values()) - {0}


def test_every_redemption_is_told_outside() -> None:
    """Six results inside, three outside: unknown, expired, revoked and foreign cannot be told apart."""
    assert set(OUTSIDE) == set(Redemption)
    inside = {r for r, told in OUTSIDE.items() if told == handles_pb2.HANDLE_RESULT_INVALID}
    assert inside == {Redemption.UNKNOWN, Redemption.EXPIRED, Redemption.REVOKED, Redemption.FOREIGN}


def test_the_judgement_reads_every_fact_once() -> None:
    """Each fact decides in exactly one row, and each row has its own result; what is left over is valid."""
    assert tuple(rule.fact for rule in JUDGEMENT) == Facts._fields
    assert {rule.result for rule in JUDGEMENT} == set(Redemption) - {Redemption.VALID}


@pytest.mark.parametrize(
    ("marks", "number", "result"),
    [
        ({"handles_issued": 3}, 3, Redemption.VALID),
        ({"handles_issued": 3}, 2, Redemption.SUPERSEDED),
        ({"handles_issued": 3, "handles_expired": 2}, 2, Redemption.EXPIRED),
        ({"handles_issued": 3, "handles_expired": 2}, 3, Redemption.VALID),
        ({"handles_issued": 3, "handles_revoked": 1, "handles_expired": 2}, 1, Redemption.REVOKED),
        ({"handles_issued": 3, "handles_revoked": 3}, 3, Redemption.REVOKED),
    ],
)
def test_marks_decide_what_a_number_is_worth(marks: dict[str, int], number: int, result: Redemption) -> None:
    """A handle's number against the conversation's marks gives its state; revoked wins over expired."""
    seen = conversation(**marks)
    assert judged(seen, of(seen, number)) is result


def test_an_unknown_handle_is_unknown_wherever_it_is_presented() -> None:
    """With and without a conversation."""
    assert judged(conversation(handles_issued=1), None) is Redemption.UNKNOWN
    assert judged(None, None) is Redemption.UNKNOWN


def test_a_handle_that_is_too_old_is_unknown() -> None:
    """Whether it has been deleted or not; one of another conversation is foreign, whatever its number."""
    seen = conversation(handles_issued=policy.KEPT_RESUME_HANDLES + 1)
    assert judged(seen, of(seen, 2)) is Redemption.SUPERSEDED
    assert judged(seen, of(seen, 1)) is Redemption.UNKNOWN
    assert judged(seen, ResumeHandle("f" * 32, 1)) is Redemption.FOREIGN


def test_a_handle_is_foreign_to_all_but_its_own() -> None:
    """Another conversation, another mode, another owner, the same key of another kind, no conversation: all foreign."""
    seen = conversation(handles_issued=1)
    assert judged(seen, ResumeHandle("f" * 32, 1)) is Redemption.FOREIGN
    assert judged(seen, of(seen, 1), mode=MODE_ASSISTANT) is Redemption.FOREIGN
    assert judged(seen, of(seen, 1), owner=STRANGER) is Redemption.FOREIGN
    assert judged(seen, of(seen, 1), owner=Owner(OwnerKind.USER, OWNER.key)) is Redemption.FOREIGN
    assert judged(None, of(seen, 1)) is Redemption.FOREIGN


def test_a_foreign_handle_does_not_tell_its_state() -> None:
    """Whose it is comes before what it is worth: a stranger's revoked or expired handle is counted as foreign."""
    seen = conversation(handles_issued=1, handles_revoked=1, handles_expired=1)
    assert judged(seen, of(seen, 1), owner=STRANGER) is Redemption.FOREIGN


def test_a_handle_expires_a_ttl_after_the_last_sign_of_life() -> None:
    """Valid until the very moment, expired from it on."""
    seen = conversation(handles_issued=1)
    moment = NOW + RULES.handle_ttl
    assert policy.expiry(seen, RULES) == moment
    assert judged(seen, of(seen, 1), now=moment - timedelta(microseconds=1)) is Redemption.VALID
    assert judged(seen, of(seen, 1), now=moment) is Redemption.EXPIRED


def test_user_ids_of_any_script_are_compared() -> None:
    """Comparing in constant time does not stumble over what is not ASCII."""
    seen = conversation(owner=Owner(OwnerKind.USER, "Jürgen"))
    assert policy.owns(seen, Owner(OwnerKind.USER, "Jürgen"))
    assert not policy.owns(seen, Owner(OwnerKind.USER, "Jurgen"))


def test_a_lease_holds_until_it_runs_out() -> None:
    """Nobody holds what was never attached, nor what has run out."""
    assert not policy.held(conversation(), NOW)
    leased = conversation(holder="relay:1", lease_until=NOW + SECOND)
    assert policy.held(leased, NOW)
    assert not policy.held(leased, NOW + SECOND)


def test_two_heartbeats_may_be_lost() -> None:
    """The interval is a third of the lease."""
    assert RULES.heartbeat * 3 == RULES.lease


def test_admission_tells_strangers_as_little_as_it_can() -> None:
    """Existence, mode, owner, end: looked at in this order."""
    ended = conversation(ended_at=NOW)
    assert refused(lambda: policy.admit(View(None), MODE_SALES_AGENT, OWNER)) is Reason.CONVERSATION_NOT_FOUND
    assert refused(lambda: policy.admit(View(ended), MODE_ASSISTANT, STRANGER)) is Reason.MODE_MISMATCH
    assert refused(lambda: policy.admit(View(ended), MODE_SALES_AGENT, STRANGER)) is Reason.OWNER_MISMATCH
    assert refused(lambda: policy.admit(View(ended), MODE_SALES_AGENT, OWNER)) is Reason.CONVERSATION_ENDED
    assert policy.admit(View(conversation()), MODE_SALES_AGENT, OWNER) == conversation()


@pytest.mark.parametrize("epoch", [0, 1, 2, 4, 5])
def test_only_the_present_epoch_writes(epoch: int) -> None:
    """An older epoch is fenced, and so is one that the store never gave."""
    view = View(conversation(epoch=3))
    assert refused(lambda: policy.fenced(view, epoch)) is Reason.EPOCH_FENCED
    assert policy.fenced(view, 3).epoch == 3


def test_a_write_to_nothing_is_not_found() -> None:
    """A conversation that does not exist has no epoch."""
    assert refused(lambda: policy.fenced(View(None), 1)) is Reason.CONVERSATION_NOT_FOUND


@pytest.mark.parametrize(
    ("stored", "sent", "new"),
    [
        (0, (), ()),
        (5, (), ()),
        (0, (1,), (1,)),
        (0, (1, 2, 3), (1, 2, 3)),
        (2, (3,), (3,)),
        (2, (1, 2), ()),
        (2, (2, 3, 4), (3, 4)),
        (2, (1, 2, 3), (3,)),
    ],
)
def test_turns_fit_behind_the_stored_ones(stored: int, sent: tuple[int, ...], new: tuple[int, ...]) -> None:
    """What is stored is passed over, the rest is new."""
    assert policy.fitting(stored, turns(*sent)) == turns(*new)


@pytest.mark.parametrize(
    ("stored", "sent"), [(0, (2,)), (2, (4, 5)), (0, (1, 3)), (3, (1, 2, 4)), (0, (2, 1)), (1, (2, 2))]
)
def test_turns_leave_no_hole(stored: int, sent: tuple[int, ...]) -> None:
    """Neither behind the stored ones nor among themselves, and not out of order."""
    assert refused(lambda: policy.fitting(stored, turns(*sent))) is Reason.INVALID_ARGUMENT


def test_fitting_is_exact_for_small_numbers() -> None:
    """Of all short sequences, those are taken whose result is a run without holes, and only those."""
    for stored in range(4):
        for sent in itertools.chain.from_iterable(itertools.product(range(1, 6), repeat=n) for n in range(4)):
            run = all(b == a + 1 for a, b in itertools.pairwise(sent))
            fits = run and (not sent or sent[0] <= stored + 1)
            if fits:
                new = policy.fitting(stored, turns(*sent))
                assert [turn.number for turn in new] == list(range(stored + 1, stored + 1 + len(new)))
            else:
                assert refused(functools.partial(policy.fitting, stored, turns(*sent))) is Reason.INVALID_ARGUMENT


def test_an_upstream_handle_covers_stored_turns_only() -> None:
    """A handle of the future would make a rebuilt conversation lose turns."""
    assert policy.covering(3, 3) == 3
    assert policy.covering(3, 0) == 0
    assert refused(lambda: policy.covering(3, 4)) is Reason.INVALID_ARGUMENT


def test_a_request_id_stands_for_one_request() -> None:
    """The same again passes, another is refused."""
    policy.same_request(b"a", b"a")
    assert refused(lambda: policy.same_request(b"a", b"b")) is Reason.REQUEST_ID_REUSED
