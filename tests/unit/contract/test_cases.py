"""The tables of cases are total: every RPC, every documented refusal, every field of an answer."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from filo.handles.v1.resources_pb2 import Conversation, Feedback, ToolCall, Turn
from filo.relay.v1.relay_pb2 import Session
from filo.simulator.v1.simulator_pb2 import Run
from services.common.errors import Reason
from services.contract.cases import Case
from services.contract.checks import CASES, checks
from services.contract.methods import METHODS, SERVICES, service_of

_PROTOS = Path(__file__).parents[3] / "protos"
_RPC = re.compile(r"(?P<comment>(?:^  //.*\n)+)^  rpc (?P<name>\w+)\(", re.MULTILINE)
_SERVICE = re.compile(
    r"(?P<comment>(?:^//.*\n)+)^service (?P<name>\w+) \{\n(?P<body>(?:^(?: .*)?\n)*)^\}", re.MULTILINE
)

OUTAGES = {
    Reason.STORE_UNAVAILABLE,
    Reason.SERVICE_UNAVAILABLE,
}
"""Nobody outside can cause these."""
ELSEWHERE = {
    Reason.CALLER_NOT_ALLOWED,
    Reason.LIMIT_REACHED,
    Reason.QUOTA_EXCEEDED,
}
"""These need another certificate or key, or ten thousand calls; the services' own tests prove them."""


def documented() -> dict[str, set[Reason]]:
    """The refusals that each RPC's comment names."""
    found = {}
    for file in _PROTOS.rglob("*.proto"):
        text = file.read_text(encoding="utf-8")
        package = re.search(r"^package (.+);$", text, re.MULTILINE)
        assert package is not None
        for service in _SERVICE.finditer(text):
            for rpc in _RPC.finditer(service["body"]):
                path = f"/{package[1]}.{service['name']}/{rpc['name']}"
                found[path] = {reason for reason in Reason if reason in rpc["comment"]}
    return found


DOCUMENTED = documented()


def of(path: str, *, good: bool) -> list[Case]:
    """The cases of an RPC."""
    return [case for case in CASES if case.path == path and (case.refused is None) is good]


def test_the_comments_were_found() -> None:
    """What the other tests compare with is all of the contract."""
    assert DOCUMENTED.keys() == METHODS.keys()


@pytest.mark.parametrize("path", METHODS)
def test_every_rpc_is_called(path: str) -> None:
    """Each has a good call that needs nothing but the server, and a bad one."""
    assert any(not case.client for case in of(path, good=True))
    assert of(path, good=False)


@pytest.mark.parametrize("path", METHODS)
def test_every_documented_refusal_is_asked_for(path: str) -> None:
    """Each RPC is given cause for every refusal that its comment names, and else for what every RPC may say."""
    causes = {case.refused for case in of(path, good=False)}
    assert causes - {Reason.INVALID_ARGUMENT} == DOCUMENTED[path] - {Reason.INVALID_ARGUMENT} - OUTAGES - ELSEWHERE


@pytest.mark.parametrize("path", [path for path in METHODS if "Replica" not in path])
def test_invalid_arguments(path: str) -> None:
    """Every RPC that takes more than a run's name is asked for something that is no argument."""
    causes = {case.refused for case in of(path, good=False)}
    assert Reason.INVALID_ARGUMENT in causes or set(METHODS[path].input_type.fields_by_name) == {"name"}


# What a server may leave empty in every good answer to calls alone: it needs a conversation that goes on.
_LATER = {
    "filo.relay.v1.WatchSessionResponse": {
        "client_joined",
        "client_left",
        "rotation_started",
        "rotation_completed",
        "turn_completed",
        "turn_restarted",
        "ledger",
        "upstream_trouble",
        "feedback_changed",
    },
    "filo.relay.v1.Session": {"rotation_count", "reconnect_count", "continuity", "ledger"},
    "filo.handles.v1.Feedback": {"turn", "tokens", "detail"},
    "filo.simulator.v1.Run": {"reason", "conversation", "turns_completed", "end_time", "transcript"},
}
_LATER_EVENTS = {"filo.simulator.v1.WatchRunResponse"}
"""Whose fields, but these, are events of a run: what comes first is not fixed."""


def looked_at(path: str, field: str) -> Iterator[tuple[str, str]]:
    """Each message, and the field of it, that a promised path goes through."""
    message: Descriptor | None = METHODS[path].output_type
    for step in field.split("."):
        if not step.isdecimal():
            assert message is not None
            yield message.full_name, step
            message = message.fields_by_name[step].message_type


@pytest.mark.parametrize("path", METHODS)
def test_every_field_of_an_answer_is_looked_at(path: str) -> None:
    """Some good call looks at each field that the answer of an RPC has, if it can be had by calls alone."""
    answer = METHODS[path].output_type
    promised = {field.partition(".")[0] for case in of(path, good=True) for field in case.promised}
    found = {field.name for field in answer.fields} - promised - _LATER.get(answer.full_name, set())
    if answer.full_name in _LATER_EVENTS:
        found -= {field.name for field in answer.oneofs[0].fields} | {"turn"}
    assert found == set()


@pytest.mark.parametrize("kind", [Conversation, Feedback, Turn, ToolCall, Session, Run])
def test_every_field_of_a_resource_is_looked_at(kind: type[Message]) -> None:
    """The same for what many answers hold: some good call of some RPC looks at each field of it."""
    name = kind.DESCRIPTOR.full_name
    seen = {found for case in CASES for field in case.promised for found in looked_at(case.path, field)}
    fields = {field.name for field in kind.DESCRIPTOR.fields}
    assert fields - _LATER.get(name, set()) - {field for message, field in seen if message == name} == set()


def test_titles_are_unique() -> None:
    """A check's title says which one it is."""
    titles = [check.title for check in checks(SERVICES)]
    assert len(titles) == len(set(titles))


def test_what_needs_a_client_can_be_left_out() -> None:
    """A server whose client port cannot be reached is still held to everything else."""
    without = checks(SERVICES, clients=False)
    assert 0 < len(checks(SERVICES)) - len(without) == sum(check.client for check in checks(SERVICES))


def test_every_service_is_in_the_tables() -> None:
    """Each service of the contract has cases, and no case is of another."""
    assert {service_of(case.path) for case in CASES} == SERVICES.keys()
