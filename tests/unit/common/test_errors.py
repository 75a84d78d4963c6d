"""The error table and the close codes: total, consistent, and agreed with each other."""

import grpc
import pytest

from services.common import close_codes, errors
from services.common.close_codes import CLOSE_CODES, Action
from services.common.errors import MEANING, Reason, ServiceError


def test_every_reason_has_a_meaning() -> None:
    """The table is total: no reason without a row, no row without a reason."""
    assert set(MEANING) == set(Reason)


def test_a_reason_is_called_what_it_is() -> None:
    """On the wire a reason is its own name."""
    assert all(reason.value == reason.name for reason in Reason)


@pytest.mark.parametrize("reason", Reason)
def test_every_close_code_an_error_renders_tells_the_client_what_to_do(reason: Reason) -> None:
    """Each close code of the error table is a row of the clients' table, and both agree whether to try again."""
    meaning = MEANING[reason]
    assert meaning.close in CLOSE_CODES
    assert meaning.retryable is (close_codes.action(meaning.close) is not Action.STOP)


@pytest.mark.parametrize("reason", Reason)
def test_only_a_failure_is_worth_a_retry(reason: Reason) -> None:
    """What the caller did wrong stays wrong; what the service lacks may come back (gRPC's own advice, AIP-194)."""
    transient = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL}
    assert MEANING[reason].retryable is (MEANING[reason].code in transient)


def test_close_codes_are_codes_that_a_peer_may_send_or_see() -> None:
    """RFC 6455, section 7.4: 1000 to 1015 of its own, 4000 to 4999 private; 1006 is only seen."""
    assert all(1000 <= code <= 1015 or 4000 <= code <= 4999 for code in CLOSE_CODES)
    assert all(row.meaning.endswith(".") for row in CLOSE_CODES.values())


@pytest.mark.parametrize(("code", "action"), [(1000, Action.STOP), (1012, Action.RECONNECT), (1013, Action.WAIT)])
def test_action_reads_the_table(code: int, action: Action) -> None:
    """A known code is met as the table says."""
    assert close_codes.action(code) is action


@pytest.mark.parametrize("code", [0, 999, 3000, 4999])
def test_an_unknown_code_is_met_like_a_cut(code: int) -> None:
    """A newer relay may send what this client has no row for: it comes back rather than give up."""
    assert close_codes.action(code) is close_codes.action(1006) is Action.RECONNECT


def test_an_error_carries_what_it_was_given() -> None:
    """Detail is the text, metadata is a copy, the meaning is the row."""
    metadata = {"field": "turns"}
    error = ServiceError(Reason.STORE_UNAVAILABLE, "The store is away.", metadata, retry_after=2.5)
    metadata.clear()
    assert (str(error), error.metadata, error.retry_after) == ("The store is away.", {"field": "turns"}, 2.5)
    assert error.meaning is MEANING[Reason.STORE_UNAVAILABLE]


def test_invalid_names_the_field() -> None:
    """For a person in the sentence, for a program in the metadata."""
    error = errors.invalid("turns", "must be at least 1")
    assert (error.reason, error.detail) == (Reason.INVALID_ARGUMENT, "turns: must be at least 1")
    assert error.metadata == {"field": "turns"}
