"""The error table: total, consistent, agreed with the close codes, and as it was published."""

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
    """What the caller did wrong stays wrong; what the service lacks may come back (gRPC's own advice, AIP-194).

    A quota comes back by itself, and a full relay empties; the answer says when.
    """
    bounded = {Reason.QUOTA_EXCEEDED, Reason.RELAY_FULL}
    transient = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL}
    assert MEANING[reason].retryable is (MEANING[reason].code in transient or reason in bounded)


# Callers decide by these: a row may be added, but one that is there stays as it is.
PUBLISHED = {
    "INVALID_ARGUMENT": ("INVALID_ARGUMENT", 1007),
    "CONVERSATION_NOT_FOUND": ("NOT_FOUND", 4404),
    "CONVERSATION_ENDED": ("FAILED_PRECONDITION", 4410),
    "RUN_NOT_FOUND": ("NOT_FOUND", 4404),
    "REQUEST_ID_REUSED": ("ALREADY_EXISTS", 1008),
    "LIMIT_REACHED": ("RESOURCE_EXHAUSTED", 1008),
    "TOKEN_INVALID": ("UNAUTHENTICATED", 4401),
    "OWNER_MISMATCH": ("PERMISSION_DENIED", 4403),
    "MODE_MISMATCH": ("PERMISSION_DENIED", 4403),
    "CALLER_NOT_ALLOWED": ("PERMISSION_DENIED", 1008),
    "API_KEY_INVALID": ("UNAUTHENTICATED", 1008),
    "QUOTA_EXCEEDED": ("RESOURCE_EXHAUSTED", 1013),
    "EPOCH_FENCED": ("ABORTED", 4409),
    "SESSION_REPLACED": ("ABORTED", 4409),
    "MALFORMED_MESSAGE": ("INVALID_ARGUMENT", 1007),
    "UPSTREAM_REFUSED": ("FAILED_PRECONDITION", 4502),
    "UPSTREAM_UNAVAILABLE": ("UNAVAILABLE", 1013),
    "STORE_UNAVAILABLE": ("UNAVAILABLE", 1013),
    "SERVICE_UNAVAILABLE": ("UNAVAILABLE", 1013),
    "DEADLINE_EXCEEDED": ("DEADLINE_EXCEEDED", 1013),
    "RELAY_FULL": ("RESOURCE_EXHAUSTED", 1013),
    "INTERNAL": ("INTERNAL", 1011),
}


@pytest.mark.parametrize(("reason", "published"), PUBLISHED.items())
def test_a_published_meaning_does_not_change(reason: str, published: tuple[str, int]) -> None:
    """Its gRPC code and its close code are part of the contract."""
    meaning = MEANING[Reason(reason)]
    assert (meaning.code.name, meaning.close) == published


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
