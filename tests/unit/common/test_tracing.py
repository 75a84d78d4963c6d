"""Where a task is in a trace, how it is written on the wire, and what a service exports."""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from filo.relay.v1 import relay_pb2 as pb
from filo.relay.v1 import relay_pb2_grpc as rpc
from services.common import grpc_client, grpc_server, logs, tracing, tracing_export, tracing_otel
from services.common.config import Address
from services.common.errors import Reason, ServiceError
from services.common.tracing import Point
from services.common.tracing_settings import Tracing
from tests.support.certificates import Authority
from tests.support.traces import Memory, collector

ANYWHERE = Address("127.0.0.1", 0)
HERE = Point(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7)


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def point(span: ReadableSpan) -> tuple[int, int]:
    """Trace and span."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def parent(span: ReadableSpan) -> tuple[int, int] | None:
    """The trace and span that it is a part of."""
    return (span.parent.trace_id, span.parent.span_id) if span.parent else None


def test_the_header_is_the_standard_s() -> None:
    """The example of W3C Trace Context, written and read; flags other than sampled are passed over."""
    header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert HERE.header == header
    assert tracing.parse(header) == HERE
    assert tracing.parse(header[:-2] + "02") == HERE._replace(sampled=False)
    assert tracing.parse("cc" + header[2:] + "-what-the-future-will-be-like") == HERE


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n",
    ],
)
def test_what_is_no_header_is_nowhere(header: str) -> None:
    """A caller's nonsense begins a trace of our own; it fails no call."""
    assert tracing.parse(header) is None


@given(st.builds(Point, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans()))
def test_a_point_survives_the_wire(place: Point) -> None:
    """Every place in every trace."""
    assert tracing.parse(place.header) == place


async def test_tasks_are_where_they_were_started() -> None:
    """A task inherits its place, sees it move, and does not move those beside it."""
    place = HERE
    seen: list[Point | None] = []

    async def look() -> None:
        seen.append(tracing.here())

    async def work() -> None:
        nonlocal place
        tracing.enter(lambda: place)
        first = asyncio.create_task(look())
        await first
        place = HERE._replace(span=7)
        await asyncio.create_task(look())

    await asyncio.create_task(work())
    await look()
    assert seen == [HERE, HERE._replace(span=7), None]


def test_what_is_quiet_is_in_no_trace_that_is_kept() -> None:
    """A sign of life; without a trace nothing is made up."""
    with tracing.quietly():
        assert tracing.here() is None
    with tracing.within(lambda: HERE), tracing.quietly():
        quiet = tracing.here()
        assert quiet is not None
        assert not quiet.sampled
        assert quiet.trace != HERE.trace


def test_a_span_around_a_block_tells_how_it_ended() -> None:
    """It is a part of where the task is, and the task is in it meanwhile; a refusal is told by its reason."""
    memory = Memory()
    with tracing.within(lambda: HERE), tracing.during(memory.tracer, "work", {"filo.turn": 3}):
        inner = tracing.here()
    with pytest.raises(ServiceError), tracing.during(memory.tracer, "refused"):
        raise ServiceError(Reason.RELAY_FULL, "who@example.com may not")
    work, refused = memory.one("work"), memory.one("refused")
    assert inner is not None
    assert (inner.trace, inner.span) == point(work)
    assert parent(work) == (HERE.trace, HERE.span)
    assert dict(work.attributes or {}) == {"filo.turn": 3}
    assert (refused.status.status_code, refused.status.description) == (StatusCode.ERROR, "RELAY_FULL")
    assert not refused.events, "the text of an exception is not told"
    with tracing.during(None, "nothing"):
        assert tracing.here() is None


def test_a_span_may_have_begun_before() -> None:
    """An utterance is a part of the turn that comes after the answer it was spoken into."""
    memory = Memory()
    memory.tracer.begin("turn", at=datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)).end()
    assert memory.one("turn").start_time == 1_777_636_800_250_000_000


@pytest.mark.parametrize(
    ("settings", "parent", "kept"),
    [
        (Tracing(), None, 1),
        (Tracing(), HERE._replace(sampled=False), 0),
        (Tracing(sampler="always_on"), HERE._replace(sampled=False), 1),
        (Tracing(sampler="always_off"), None, 0),
        (Tracing(sampler="parentbased_always_off"), HERE, 1),
        (Tracing(sampler="parentbased_traceidratio", ratio=0.0), None, 0),
        (Tracing(sampler="parentbased_traceidratio", ratio=0.0), HERE, 1),
        (Tracing(sampler="traceidratio", ratio=0.0), HERE, 0),
        (Tracing(sampler="traceidratio", ratio=1.0), None, 1),
    ],
)
def test_which_traces_are_kept(settings: Tracing, parent: Point | None, kept: int) -> None:
    """Each sampler does what the specification says."""
    memory = Memory(settings)
    memory.tracer.begin("work", parent).end()
    assert len(memory.spans()) == kept


class Relay(rpc.RelayServiceServicer):
    """Notes where it is; refuses, or fails, by the name that it is asked about."""

    def __init__(self) -> None:
        self.seen: list[Point | None] = []

    async def GetSession(self, request: pb.GetSessionRequest, context: object) -> pb.GetSessionResponse:  # noqa: N802
        """A unary call."""
        del context
        self.seen.append(tracing.here())
        if request.conversation == "refused":
            raise ServiceError(Reason.CONVERSATION_NOT_FOUND, "no")
        if request.conversation.endswith("broken"):
            raise RuntimeError
        if request.conversation == "slow":
            await asyncio.Event().wait()
        return pb.GetSessionResponse()

    async def WatchSession(  # noqa: N802
        self, request: pb.WatchSessionRequest, context: object
    ) -> AsyncIterator[pb.WatchSessionResponse]:
        """A stream."""
        del context
        self.seen.append(tracing.here())
        yield pb.WatchSessionResponse()
        self.seen.append(tracing.here())
        if request.conversation == "refused":
            raise ServiceError(Reason.CONVERSATION_NOT_FOUND, "no")


@asynccontextmanager
async def called(there: Memory | None, here: Memory | None) -> AsyncIterator[tuple[Relay, "rpc.RelayServiceAsyncStub"]]:
    """A server and a caller, each with a tracer or without."""
    relay = Relay()  # type: ignore[abstract]  # the other calls are not made
    serving = grpc_server.serving(
        ANYWHERE,
        ["filo.relay.v1.RelayService"],
        lambda server: rpc.add_RelayServiceServicer_to_server(relay, server),
        tracer=there.tracer if there else None,
    )
    async with serving as address, grpc_client.channel(address, tracer=here.tracer if here else None) as channel:
        yield relay, rpc.RelayServiceStub(channel)


async def test_a_trace_goes_through_a_call() -> None:
    """The server's span is a part of the caller's, which is a part of where the caller is; so is a stream's."""
    there, here = Memory(), Memory()
    async with called(there, here) as (relay, stub):
        with tracing.within(lambda: HERE):
            await stub.GetSession(pb.GetSessionRequest())
            assert [answer async for answer in stub.WatchSession(pb.WatchSessionRequest())]
    for name in ("GetSession", "WatchSession"):
        made, answered = (memory.one(f"filo.relay.v1.RelayService/{name}") for memory in (here, there))
        assert parent(made) == (HERE.trace, HERE.span)
        assert parent(answered) == point(made)
        assert (made.kind, answered.kind) == (SpanKind.CLIENT, SpanKind.SERVER)
        assert dict(made.attributes or {}) == {
            "rpc.system": "grpc",
            "rpc.service": "filo.relay.v1.RelayService",
            "rpc.method": name,
            "rpc.grpc.status_code": 0,
        }
    watched = there.one("filo.relay.v1.RelayService/WatchSession")
    assert [(seen.trace, seen.span) for seen in relay.seen[1:] if seen] == [point(watched)] * 2


@pytest.mark.parametrize(("name", "code", "ours"), [("refused", 5, False), ("broken", 13, True)])
async def test_how_a_call_ended_is_told(name: str, code: int, *, ours: bool) -> None:
    """By gRPC's code; a refusal is a failure for the caller, and none of the server's."""
    there, here = Memory(), Memory()
    async with called(there, here) as (_, stub):
        with pytest.raises(ServiceError):
            await stub.GetSession(pb.GetSessionRequest(conversation=name))
        if name == "refused":
            with pytest.raises(ServiceError):
                assert [each async for each in stub.WatchSession(pb.WatchSessionRequest(conversation=name))]
    for memory, failed in ((here, True), (there, ours)):
        for span in memory.spans():
            assert (span.attributes or {})["rpc.grpc.status_code"] == code
            assert (span.status.status_code is StatusCode.ERROR) is failed


@pytest.mark.usefixtures("_logging_as_before")
async def test_a_defect_is_logged_with_its_conversation_and_trace(caplog: pytest.LogCaptureFixture) -> None:
    """The server's line leads to the trace of the call that failed."""
    there = Memory()
    logs.configure()
    logging.getLogger().addHandler(caplog.handler)
    async with called(there, None) as (_, stub):
        with pytest.raises(ServiceError):
            await stub.GetSession(pb.GetSessionRequest(conversation="conversations/broken"))
    (line,) = [record.msg for record in caplog.records if "call failed" in str(record.msg)]
    assert isinstance(line, dict)
    assert line["conversation"] == "conversations/broken"
    assert (int(line["trace_id"], 16), int(line["span_id"], 16)) == point(there.spans()[0])


async def test_a_caller_without_traces_begins_none() -> None:
    """The server's is then the first of a trace; and a server without a tracer is nowhere."""
    there = Memory()
    async with called(there, None) as (_, stub):
        await stub.GetSession(pb.GetSessionRequest())
    assert there.one("filo.relay.v1.RelayService/GetSession").parent is None
    async with called(None, Memory()) as (relay, stub):
        await stub.GetSession(pb.GetSessionRequest())
    assert relay.seen == [None]


async def test_a_call_that_is_given_up_has_a_span_all_the_same() -> None:
    """Told as cancelled or out of time, on both sides, and nothing is left open."""
    there, here = Memory(), Memory()
    async with called(there, here) as (relay, stub):
        with pytest.raises(ServiceError) as caught:
            await stub.GetSession(pb.GetSessionRequest(conversation="slow"), timeout=0.1)
        assert caught.value.reason is Reason.DEADLINE_EXCEEDED
        giving_up: Any = asyncio.ensure_future(stub.GetSession(pb.GetSessionRequest(conversation="slow")))
        async with asyncio.timeout(10):
            while len(relay.seen) < 2:  # noqa: ASYNC110 - the handler wakes nobody
                await asyncio.sleep(0.005)
        giving_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await giving_up
    ended = [span.status.description for span in here.spans()]
    assert ended == ["DEADLINE_EXCEEDED", "CANCELLED"]
    assert len(there.spans()) == 2, "the server's have ended too"


async def test_off_nothing_is_there() -> None:
    """By default; and then the library is not even imported, which a process of its own shows."""
    async with tracing_export.opened(Tracing(), "relay") as tracer:
        assert tracer is None
    code = (
        "import sys, services.relay.service, services.handles.service, services.simulator.service; "
        "sys.exit(any(name.partition('.')[0] == 'opentelemetry' for name in sys.modules))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0


async def test_a_collector_gets_what_was_told() -> None:
    """Over a real socket, with the headers and the resource that were asked for, at the latest at the end."""
    async with collector() as taking:
        settings = Tracing(
            "otlp", endpoint=taking.url, headers=(("x-key", "k"),), resource=(("deployment.environment", "test"),)
        )
        async with tracing_export.opened(settings, "relay") as tracer:
            assert tracer is not None
            span = tracer.begin("turn", attributes={"filo.turn": 1})
            span.tell("rotated", {"filo.continuity": "handle"})
            span.end()
        (told,) = taking.spans
        assert (told.service, told.name, told.events) == ("filo-relay", "turn", ["rotated"])
        assert told.trace == f"{span.point.trace:032x}"
        assert taking.metadata["x-key"] == "k"


async def test_a_collector_with_a_certificate(tmp_path: Path) -> None:
    """It is trusted by the authority that was named, and by no other: then nothing is sent."""
    own, other = tmp_path / "own", tmp_path / "other"
    Authority().issue(own, "localhost")
    Authority().issue(other, "localhost")
    async with collector(own) as taking:
        for directory in (other, own):
            settings = Tracing("otlp", endpoint=taking.url, certificate=directory / "ca.crt", service=directory.name)
            async with tracing_otel.exporting(settings) as tracer:
                tracer.begin("turn").end()
        assert {told.service for told in taking.spans} == {"own"}


@asynccontextmanager
async def deaf() -> AsyncIterator[str]:
    """A collector that takes every call and answers none."""
    silent = asyncio.Event()

    class Deaf(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:  # noqa: ANN401 - has no public type
            del handler_call_details

            async def wait(_request: bytes, _context: object) -> bytes:
                await silent.wait()
                return b""

            return grpc.unary_unary_rpc_method_handler(wait)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Deaf(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        silent.set()
        await server.stop(None)


@pytest.mark.parametrize("there", [True, False])
async def test_no_end_waits_for_a_collector(*, there: bool) -> None:
    """One that does not answer, or is not there, costs the bound and no more."""
    async with deaf() as url:
        where = url if there else "http://127.0.0.1:9"
        began = time.monotonic()
        async with tracing_otel.exporting(Tracing("otlp", endpoint=where), flush=0.3) as tracer:
            tracer.begin("turn").end()
        assert time.monotonic() - began < 5.0
