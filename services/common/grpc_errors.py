"""`ServiceError` on the wire: a ``google.rpc.Status`` with ``ErrorInfo`` and, where known, ``RetryInfo`` (AIP-193)."""

from typing import Final

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.common.errors import DOMAIN, INTERNAL_DETAIL, Reason, ServiceError

_OURS: Final = frozenset(Reason)
_BY_CODE: Final = {
    grpc.StatusCode.DEADLINE_EXCEEDED: Reason.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE: Reason.SERVICE_UNAVAILABLE,
    grpc.StatusCode.INVALID_ARGUMENT: Reason.INVALID_ARGUMENT,
}
"""What a status without our ErrorInfo means: it comes from gRPC itself."""


def to_status(error: ServiceError) -> status_pb2.Status:
    """Render an error for the wire."""
    details = [
        error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN, metadata=error.metadata),
    ]
    packed = [_pack(detail) for detail in details]
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        packed.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=error.meaning.code.value[0], message=error.detail, details=packed)


def internal() -> ServiceError:
    """What a caller is told of an exception nobody foresaw."""
    return ServiceError(Reason.INTERNAL, INTERNAL_DETAIL)


def from_rpc_error(error: grpc.aio.AioRpcError) -> ServiceError:
    """Restore what the server raised; a status that is not ours is named by its code."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # AioRpcError has what it reads
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    retry_after: float | None = None
    for detail in status.details if status else ():
        detail.Unpack(info)
        if detail.Unpack(retry):
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    detail_text = error.details() or "no details"
    if info.domain == DOMAIN and info.reason in _OURS:
        return ServiceError(Reason(info.reason), detail_text, dict(info.metadata), retry_after)
    return ServiceError(_BY_CODE.get(error.code(), Reason.INTERNAL), f"{error.code().name}: {detail_text}")


def _pack(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
