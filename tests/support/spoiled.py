"""A server that passes everything on to a real one, and gets one thing wrong."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from services.common.config import Address
from services.contract.methods import FILES, METHODS, answer_class

Refusal = tuple[grpc.StatusCode, str, Any]
"""A status: its code, its sentence, its trailing metadata."""


class Spoiler:
    """What goes wrong; here nothing does."""

    def request(self, path: str, request: Message) -> None:
        """Look at a request; raise `RefusedError` to refuse it."""

    def answer(self, path: str, answer: Message) -> None:
        """Change an answer."""

    def refusal(self, path: str, refusal: Refusal) -> Refusal:
        """Change a refusal."""
        del path
        return refusal

    def file(self, file: FileDescriptorProto) -> None:
        """Change what reflection tells."""


class RefusedError(Exception):
    """A request is refused with INVALID_ARGUMENT."""


@asynccontextmanager
async def spoiled(real: Address, services: Iterable[str], spoiler: Spoiler) -> AsyncIterator[Address]:
    """Serve some services by passing calls on.

    Args:
        real: Who answers in truth.
        services: Their full names.
        spoiler: What goes wrong.
    """
    names = list(services)
    server = grpc.aio.server()
    async with grpc.aio.insecure_channel(str(real)) as channel:
        for name in names:
            calls = {
                path.rpartition("/")[2]: _passing(path, channel, spoiler)
                for path in METHODS
                if path.startswith(f"/{name}/")
            }
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, calls),))
        checker = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checker, server)
        for name in ("", *names):
            await checker.set(name, health_pb2.HealthCheckResponse.SERVING)
        reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server, _pool(spoiler))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield Address("127.0.0.1", port)
        finally:
            await server.stop(None)


def _passing(path: str, channel: grpc.aio.Channel, spoiler: Spoiler) -> Any:  # noqa: ANN401 - a handler
    method = METHODS[path]
    asks: Any = GetMessageClass(method.input_type)
    answers: Any = answer_class(path)

    async def unary(request: Message, context: Any) -> Message:  # noqa: ANN401 - any context
        try:
            spoiler.request(path, request)
            answer: Message = await channel.unary_unary(path, asks.SerializeToString, answers.FromString)(request)
        except (grpc.aio.AioRpcError, RefusedError) as error:
            await _refuse(error, context, path, spoiler)
        spoiler.answer(path, answer)
        return answer

    async def stream(request: Message, context: Any) -> AsyncIterator[Message]:  # noqa: ANN401 - any context
        try:
            spoiler.request(path, request)
            async for answer in channel.unary_stream(path, asks.SerializeToString, answers.FromString)(request):
                spoiler.answer(path, answer)
                yield answer
        except (grpc.aio.AioRpcError, RefusedError) as error:
            await _refuse(error, context, path, spoiler)

    made: Callable[..., Any] = grpc.unary_unary_rpc_method_handler
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(stream, asks.FromString, answers.SerializeToString)
    return made(unary, asks.FromString, answers.SerializeToString)


async def _refuse(error: Exception, context: Any, path: str, spoiler: Spoiler) -> None:  # noqa: ANN401 - any context
    if isinstance(error, grpc.aio.AioRpcError):
        told = (error.code(), error.details() or "", tuple(error.trailing_metadata()))
        code, sentence, trailing = spoiler.refusal(path, told)
    else:
        code, sentence, trailing = grpc.StatusCode.INVALID_ARGUMENT, str(error), ()
    await context.abort(code, sentence, trailing)


def _pool(spoiler: Spoiler) -> DescriptorPool:
    pool, done = DescriptorPool(), set()

    def add(file: Any) -> None:  # noqa: ANN401 - a FileDescriptor
        if file.name in done:
            return
        done.add(file.name)
        for needed in file.dependencies:
            add(needed)
        proto = FileDescriptorProto()
        file.CopyToProto(proto)
        spoiler.file(proto)
        pool.Add(proto)

    for file in (*FILES, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        add(file)
    return pool
