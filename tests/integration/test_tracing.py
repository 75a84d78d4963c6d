"""Traces end to end: a collector on a real socket is told of conversations, by relay, handle store and simulator."""

import json
import logging
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
import structlog

from filo.relay.v1 import relay_pb2 as pb
from services.common import logs
from services.common.tracing_settings import Tracing
from tests.support.client import Client, Speaker
from tests.support.relay import SHARE_TOKEN, another_relay, running_relay
from tests.support.simulator import running_simulator
from tests.support.traces import Collector, Told, collector

STORE: Final = "filo.handles.v1.HandlesService/"
RELAY: Final = "filo.relay.v1.RelayService/"
FACT: Final = "My company is Brightwater."


def handles_environment(taking: Collector) -> dict[str, str]:
    """The store's settings, as its environment has them."""
    return {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": taking.url}


def tree(spans: list[Told], root: Told) -> dict[str, str]:
    """The spans of a trace: each with its service, and the name of what it is a part of."""
    names = {bytes(told.span.span_id): told.name for told in spans}
    return {
        f"{told.service} {told.name}": names.get(bytes(told.span.parent_span_id), "")
        for told in spans
        if told.trace == root.trace
    }


def turns(spans: list[Told]) -> dict[object, Told]:
    """The turns, by number."""
    return {told.attributes["filo.turn"]: told for told in spans if told.name == "turn"}


async def test_a_conversation_is_a_trace_a_turn(tmp_path: Path) -> None:
    """Across relay and store, with the rotation of its connection; and nothing in it that was said, nor a secret."""
    async with collector() as taking:
        tracing = Tracing("otlp", endpoint=taking.url)
        handles = handles_environment(taking)
        async with running_relay(tmp_path, handles=handles, tracing=tracing, emulator={"lifetime": 3.0}) as relay:
            session = await relay.create()
            speaker = Speaker(91)
            async with Client(relay.socket(session)) as client:
                await client.turn(speaker, FACT)
                rotated = await client.wait("session:rotated")
                assert "Brightwater" in await client.turn(speaker, "What is my company?")
                upstream_handles = relay.emulator.account.voice(speaker.stream)
                assert upstream_handles is not None
        await taking.until(lambda spans: len(turns(spans)) >= 2 and any(s.service == "filo-handles" for s in spans))
    spans = taking.spans
    first, second = turns(spans)[1], turns(spans)[2]
    assert first.trace != second.trace
    assert first.attributes["filo.conversation"] == session.conversation
    assert {"speech", "answer.began", "checkpoint"} <= set(first.events)
    checkpoint = tree(spans, first)
    assert checkpoint[f"filo-relay {STORE}Checkpoint"] == "turn"
    assert checkpoint[f"filo-handles {STORE}Checkpoint"] == f"{STORE}Checkpoint", "the store's is a part of the call"
    assert rotated["turn"] in {1, 2}
    rotation = next(told for told in spans if told.name == "rotation")
    assert rotation.trace in {first.trace, second.trace}
    assert tree(spans, rotation)["filo-relay upstream.setup"] == "rotation"
    join = next(told for told in spans if told.name == "client.join")
    assert tree(spans, join)[f"filo-handles {STORE}AttachConversation"] == f"{STORE}AttachConversation"
    assert tree(spans, join)["filo-relay upstream.setup"] == "client.join", "before the first turn"
    created = next(told for told in spans if told.name == f"{RELAY}CreateSession")
    assert tree(spans, created)[f"filo-relay {STORE}CreateConversation"] == f"{RELAY}CreateSession"
    assert not any("Heartbeat" in told.name or "grpc.health" in told.name for told in spans)
    for secret in (b"Brightwater", SHARE_TOKEN.encode(), session.session_token.encode(), b"Your name is Ada", b"rh_"):
        assert secret not in taking.raw, secret


async def test_advice_is_followed_from_the_platform_into_a_turn(tmp_path: Path) -> None:
    """Its call at one relay, passed on by another, is one trace; its delivery is told in the turn, by its id."""
    async with collector() as taking:
        tracing = Tracing("otlp", endpoint=taking.url)
        async with (
            running_relay(tmp_path, handles=handles_environment(taking), tracing=tracing) as first,
            another_relay(first) as second,
        ):
            session = await first.create()
            speaker = Speaker(92)
            async with Client(first.socket(session)) as client:
                await client.turn(speaker, FACT)
                given = await second.control.SendFeedback(
                    pb.SendFeedbackRequest(
                        conversation=session.conversation, text="Ask for the price.", request_id=str(uuid.uuid4())
                    )
                )
                await client.turn(speaker, "And now?")
            assert given.feedback.id
            asked = {"grpc_service": "filo.relay.v1.RelayService", "grpc_type": "unary", "grpc_method": "SendFeedback"}
            made = second.registry.get_sample_value("grpc_client_handled_total", {**asked, "grpc_code": "OK"})
            assert made == 1, "a call between relays is counted"
        await taking.until(lambda spans: len(turns(spans)) >= 2)
    told = turns(taking.spans)[2]
    became = [event for event in told.span.events if event.name == "feedback"]
    shown = [{each.key: each.value.string_value for each in event.attributes} for event in became]
    assert ("delivered", given.feedback.id) in {(each["filo.state"], each["filo.feedback"]) for each in shown}
    sent = [each for each in taking.spans if each.name == f"{RELAY}SendFeedback"]
    assert len(sent) == 3, "answered, made, and answered again by the holder"
    assert len({each.trace for each in sent}) == 1
    assert b"price" not in taking.raw


async def test_the_simulator_s_calls_are_traced_into_the_relay(tmp_path: Path) -> None:
    """All three services: a run's session is one trace from the simulator to the store."""
    async with collector() as taking:
        tracing = Tracing("otlp", endpoint=taking.url)
        async with (
            running_relay(tmp_path, handles=handles_environment(taking), tracing=tracing) as relay,
            running_simulator(
                tmp_path,
                control=relay.where.control_address,
                client_url=f"ws://{relay.where.client_address}",
                emulator_url=relay.emulator.control_url,
                tracing=tracing,
            ) as simulator,
        ):
            await simulator.run(turns=2)
        await taking.until(lambda spans: {told.service for told in spans} >= {"filo-relay", "filo-handles"})
    made = next(
        each for each in taking.spans if (each.service, each.name) == ("filo-simulator", f"{RELAY}CreateSession")
    )
    assert tree(taking.spans, made)[f"filo-handles {STORE}CreateConversation"] == f"{STORE}CreateConversation"


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[dict[str, object]]]]:
    """Gives the lines that were logged since `logs.configure`; logging is left as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


async def test_lines_of_the_log_name_conversation_and_trace(
    tmp_path: Path, logged: Callable[[], list[dict[str, object]]]
) -> None:
    """What is logged in a turn leads to its trace, and a trace to its lines."""
    logs.configure()
    async with collector() as taking:
        tracing = Tracing("otlp", endpoint=taking.url)
        async with running_relay(tmp_path, tracing=tracing, emulator={"lifetime": 2.5}) as relay:
            session = await relay.create()
            async with Client(relay.socket(session)) as client:
                await client.turn(Speaker(93), FACT)
                await client.wait("session:rotated")
    lines = logged()
    (rotated,) = (line for line in lines if line["event"] == "rotated")
    assert rotated["conversation"] == session.conversation
    assert rotated["trace_id"] in {told.trace for told in taking.spans if told.name == "rotation"}
    ours = [line for line in lines if line["room"] == "relay" and line["event"] != "draining"]
    assert {line["conversation"] for line in ours} == {session.conversation}
    assert {line["trace_id"] for line in ours} <= {told.trace for told in taking.spans}
