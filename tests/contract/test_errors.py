"""The error table, and errors, health and reflection over a real gRPC server."""

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1 import handles_pb2_grpc
from services.common import close_codes, grpc_server
from services.common.config import Address
from services.common.errors import INTERNAL_DETAIL, MEANING, Reason, ServiceError
from services.common.grpc_client import channel

SERVICE = "filo.handles.v1.HandlesService"


class Failing:
    """Answers two calls of HandlesService by raising what it is told to."""

    def __init__(self) -> None:
        self.error: Exception = ServiceError(Reason.INTERNAL, "not set")

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the two calls."""
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    SERVICE,
                    {
                        "GetConversation": grpc.unary_unary_rpc_method_handler(
                            self._unary, pb.GetConversationRequest.FromString
                        ),
                        "StreamTurns": grpc.unary_stream_rpc_method_handler(
                            self._stream, pb.StreamTurnsRequest.FromString, pb.StreamTurnsResponse.SerializeToString
                        ),
                    },
                ),
            )
        )

    async def _unary(self, _request: object, _context: object) -> None:
        raise self.error

    async def _stream(self, _request: object, _context: object) -> AsyncIterator[pb.StreamTurnsResponse]:
        yield pb.StreamTurnsResponse()
        raise self.error


@pytest.fixture(name="failing")
def _failing() -> Failing:
    return Failing()


@pytest.fixture(name="server")
async def _server(failing: Failing) -> AsyncIterator[Address]:
    async with grpc_server.serving(Address("127.0.0.1", 0), [SERVICE], failing.add_to, grace=0) as address:
        yield address


async def _call_unary(to: grpc.aio.Channel) -> None:
    await handles_pb2_grpc.HandlesServiceStub(to).GetConversation(pb.GetConversationRequest())


async def _call_stream(to: grpc.aio.Channel) -> None:
    async for _ in handles_pb2_grpc.HandlesServiceStub(to).StreamTurns(pb.StreamTurnsRequest()):
        pass


Caller = Callable[[grpc.aio.Channel], Coroutine[Any, Any, None]]
both = pytest.mark.parametrize("call", [_call_unary, _call_stream])


def test_every_reason_has_a_row() -> None:
    """No reason can be raised that the table does not know, and the table knows no other."""
    assert set(MEANING) == set(Reason)


def test_every_close_code_of_the_table_has_an_action() -> None:
    """Whatever reason closes a client's socket, the client's table says what to do next."""
    assert {meaning.close for meaning in MEANING.values()} <= set(close_codes.CLOSE_CODES)


def test_what_may_be_repeated_does_not_stop_the_client() -> None:
    """A reason is retryable exactly when its close code sends the client back instead of stopping it."""
    for reason, meaning in MEANING.items():
        assert meaning.retryable == (close_codes.action(meaning.close) is not close_codes.Action.STOP), reason


@both
@pytest.mark.parametrize("reason", list(Reason))
async def test_an_error_arrives_as_it_was_raised(
    failing: Failing, server: Address, call: Caller, reason: Reason
) -> None:
    """Reason, sentence, metadata and the time to wait cross the wire, from unary and streaming calls alike."""
    failing.error = ServiceError(reason, "Täglich grüßt das Netz.", {"field": "name"}, retry_after=1.25)
    async with channel(server) as to:
        with pytest.raises(ServiceError) as caught:
            await call(to)
    raised = caught.value
    assert (raised.reason, raised.detail, raised.metadata) == (reason, "Täglich grüßt das Netz.", {"field": "name"})
    assert raised.retry_after == pytest.approx(1.25)


@both
async def test_no_time_to_wait_is_none(failing: Failing, server: Address, call: Caller) -> None:
    """An error that names no time to wait does not become one that says: at once."""
    failing.error = ServiceError(Reason.STORE_UNAVAILABLE, "Later.")
    async with channel(server) as to:
        with pytest.raises(ServiceError) as caught:
            await call(to)
    assert caught.value.retry_after is None


@both
async def test_a_plain_client_sees_the_code_of_the_table(failing: Failing, server: Address, call: Caller) -> None:
    """A caller without our interceptor gets the gRPC code that the table names."""
    failing.error = ServiceError(Reason.EPOCH_FENCED, "Stop.")
    async with grpc.aio.insecure_channel(str(server)) as to:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(to)
    assert caught.value.code() is grpc.StatusCode.ABORTED


@both
async def test_an_unforeseen_error_shows_nothing(failing: Failing, server: Address, call: Caller) -> None:
    """Nothing of an unknown exception reaches the caller but a fixed text; the log has the rest."""
    failing.error = RuntimeError("the secret is 12345")
    with structlog.testing.capture_logs() as logged:
        async with channel(server) as to:
            with pytest.raises(ServiceError) as caught:
                await call(to)
    assert (caught.value.reason, caught.value.detail) == (Reason.INTERNAL, INTERNAL_DETAIL)
    assert "12345" not in repr(caught.value.__cause__)
    assert [entry["exc_info"] for entry in logged if entry["log_level"] == "error"] == [failing.error]


async def test_an_unreachable_server_is_unavailable() -> None:
    """A status that gRPC made itself is restored by its code."""
    async with channel(Address("127.0.0.1", 1)) as to:
        with pytest.raises(ServiceError) as caught:
            await _call_unary(to)
    assert caught.value.reason is Reason.SERVICE_UNAVAILABLE


async def test_leaving_a_stream_early_is_no_error(failing: Failing, server: Address) -> None:
    """A caller may stop reading a stream, and the channel goes on working."""
    failing.error = ServiceError(Reason.CONVERSATION_ENDED, "Over.")
    async with channel(server) as to:
        stream = handles_pb2_grpc.HandlesServiceStub(to).StreamTurns(pb.StreamTurnsRequest())
        async for _ in stream:
            break
        with pytest.raises(ServiceError, match="Over"):
            await _call_unary(to)


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_health_is_answered(server: Address, service: str) -> None:
    """The server as a whole and each service say that they serve."""
    async with channel(server) as to:
        stub: Any = health_pb2_grpc.HealthStub(to)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_health_can_be_watched(server: Address) -> None:
    """Health's Watch, which writes to the context instead of yielding, works through the interceptor."""
    async with channel(server) as to:
        stub: Any = health_pb2_grpc.HealthStub(to)
        async with contextlib.aclosing(aiter(stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE)))) as answers:
            first = await anext(answers)
    assert first.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_names_the_services(server: Address) -> None:
    """A tool without the protos can ask what there is, and gets the contract itself."""
    ask: Any = reflection_pb2.ServerReflectionRequest
    async with grpc.aio.insecure_channel(str(server)) as to:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(to)  # type: ignore[arg-type]  # typed for sync channels
        questions = [ask(list_services=""), ask(file_containing_symbol=SERVICE)]
        names, file = [answer async for answer in stub.ServerReflectionInfo(iter(questions))]
    listed = {service.name for service in names.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= listed
    assert pb.DESCRIPTOR.serialized_pb in file.file_descriptor_response.file_descriptor_proto
