"""One error type and one table, for gRPC and for the client's socket.

A service raises `ServiceError` with a `Reason`; the gRPC server's interceptor renders it as a status with a
``google.rpc.ErrorInfo`` (AIP-193), the gRPC client's interceptor restores it, and the relay's edge renders the close
code. What a reason means on each wire is decided here and nowhere else.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

import grpc

DOMAIN: Final = "filo"
"""``ErrorInfo.domain`` of every error."""


class Reason(StrEnum):
    """Why a call was refused: ``ErrorInfo.reason``, a part of the contract."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    CONVERSATION_NOT_FOUND = "CONVERSATION_NOT_FOUND"
    CONVERSATION_ENDED = "CONVERSATION_ENDED"
    RUN_NOT_FOUND = "RUN_NOT_FOUND"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    LIMIT_REACHED = "LIMIT_REACHED"
    TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105 - the name of a reason
    OWNER_MISMATCH = "OWNER_MISMATCH"
    MODE_MISMATCH = "MODE_MISMATCH"
    CALLER_NOT_ALLOWED = "CALLER_NOT_ALLOWED"
    API_KEY_INVALID = "API_KEY_INVALID"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    EPOCH_FENCED = "EPOCH_FENCED"
    SESSION_REPLACED = "SESSION_REPLACED"
    MALFORMED_MESSAGE = "MALFORMED_MESSAGE"
    UPSTREAM_REFUSED = "UPSTREAM_REFUSED"
    UPSTREAM_UNAVAILABLE = "UPSTREAM_UNAVAILABLE"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    RELAY_FULL = "RELAY_FULL"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    INTERNAL = "INTERNAL"


class Meaning(NamedTuple):
    """What a reason is on each wire."""

    code: grpc.StatusCode
    close: int
    retryable: bool


# A close code of 4400 + n mirrors HTTP's 400 + n where HTTP has a word for it; the rest are RFC 6455's own. What a
# client does with each code is the table in services/common/close_codes.py.
MEANING: Final[Mapping[Reason, Meaning]] = MappingProxyType(
    {
        Reason.INVALID_ARGUMENT: Meaning(grpc.StatusCode.INVALID_ARGUMENT, 1007, retryable=False),
        Reason.CONVERSATION_NOT_FOUND: Meaning(grpc.StatusCode.NOT_FOUND, 4404, retryable=False),
        Reason.CONVERSATION_ENDED: Meaning(grpc.StatusCode.FAILED_PRECONDITION, 4410, retryable=False),
        Reason.RUN_NOT_FOUND: Meaning(grpc.StatusCode.NOT_FOUND, 4404, retryable=False),
        Reason.REQUEST_ID_REUSED: Meaning(grpc.StatusCode.ALREADY_EXISTS, 1008, retryable=False),
        Reason.LIMIT_REACHED: Meaning(grpc.StatusCode.RESOURCE_EXHAUSTED, 1008, retryable=False),
        Reason.TOKEN_INVALID: Meaning(grpc.StatusCode.UNAUTHENTICATED, 4401, retryable=False),
        Reason.OWNER_MISMATCH: Meaning(grpc.StatusCode.PERMISSION_DENIED, 4403, retryable=False),
        Reason.MODE_MISMATCH: Meaning(grpc.StatusCode.PERMISSION_DENIED, 4403, retryable=False),
        Reason.CALLER_NOT_ALLOWED: Meaning(grpc.StatusCode.PERMISSION_DENIED, 1008, retryable=False),
        Reason.API_KEY_INVALID: Meaning(grpc.StatusCode.UNAUTHENTICATED, 1008, retryable=False),
        Reason.QUOTA_EXCEEDED: Meaning(grpc.StatusCode.RESOURCE_EXHAUSTED, 1013, retryable=True),
        Reason.EPOCH_FENCED: Meaning(grpc.StatusCode.ABORTED, 4409, retryable=False),
        Reason.SESSION_REPLACED: Meaning(grpc.StatusCode.ABORTED, 4409, retryable=False),
        Reason.MALFORMED_MESSAGE: Meaning(grpc.StatusCode.INVALID_ARGUMENT, 1007, retryable=False),
        Reason.UPSTREAM_REFUSED: Meaning(grpc.StatusCode.FAILED_PRECONDITION, 4502, retryable=False),
        Reason.UPSTREAM_UNAVAILABLE: Meaning(grpc.StatusCode.UNAVAILABLE, 1013, retryable=True),
        Reason.STORE_UNAVAILABLE: Meaning(grpc.StatusCode.UNAVAILABLE, 1013, retryable=True),
        Reason.RELAY_FULL: Meaning(grpc.StatusCode.RESOURCE_EXHAUSTED, 1013, retryable=True),
        Reason.SERVICE_UNAVAILABLE: Meaning(grpc.StatusCode.UNAVAILABLE, 1013, retryable=True),
        Reason.DEADLINE_EXCEEDED: Meaning(grpc.StatusCode.DEADLINE_EXCEEDED, 1013, retryable=True),
        Reason.INTERNAL: Meaning(grpc.StatusCode.INTERNAL, 1011, retryable=True),
    }
)

INTERNAL_DETAIL: Final = "An internal error occurred; the service's log has the details."


class ServiceError(Exception):
    """A refusal with a documented reason.

    Args:
        reason: Which row of `MEANING` it is.
        detail: A sentence for a person: what was wrong and what to do. Never a secret.
        metadata: ``ErrorInfo.metadata``: machine-readable facts, for example the field that was wrong.
        retry_after: Seconds to wait before trying again, if the service knows.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after

    @property
    def meaning(self) -> Meaning:
        """The row of the table."""
        return MEANING[self.reason]


def invalid(field: str, why: str) -> ServiceError:
    """An INVALID_ARGUMENT that names the field: ``invalid("turns", "must be at least 1")``."""
    return ServiceError(Reason.INVALID_ARGUMENT, f"{field}: {why}", {"field": field})
