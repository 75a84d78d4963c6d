"""What a call was and how it ended, for those that count and trace calls."""

import asyncio
from typing import Any, Final

import grpc

from services.common.errors import ServiceError

_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}


def code_name(code: grpc.StatusCode) -> str:
    """A status code as Go spells it: ``NotFound``; ``OK`` stays."""
    return code.name if code is grpc.StatusCode.OK else code.name.title().replace("_", "")


def path_of(details: grpc.aio.ClientCallDetails) -> str:
    """The method of a call that is made, ``/package.Service/Call``."""
    method: str | bytes = details.method  # text by its type, bytes in fact
    return method.decode() if isinstance(method, bytes) else method


def outcome(error: BaseException | None, context: Any = None) -> grpc.StatusCode:  # noqa: ANN401 - gRPC's has no public type
    """How a call ended.

    Args:
        error: What was raised; None after a clean end.
        context: Of a call that is answered; None for one that is made.
    """
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code()
    if isinstance(error, ServiceError):
        return error.meaning.code
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        return _cancelled(context)
    told = None if context is None else _status(context.code())
    if told is not None:
        return told
    return grpc.StatusCode.OK if error is None else grpc.StatusCode.UNKNOWN


def _cancelled(context: Any) -> grpc.StatusCode:  # noqa: ANN401 - the same
    """Whether the caller gave up, or its deadline passed: gRPC cancels the handler in both cases."""
    left = context.time_remaining() if context is not None else None
    late = left is not None and left <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED


def _status(told: object) -> grpc.StatusCode | None:
    """What gRPC says a call ended with: a code, its number, or nothing."""
    return _BY_NUMBER.get(told) if isinstance(told, int) else told if isinstance(told, grpc.StatusCode) else None
