"""Who may call what, by the tables of all services."""

from typing import Any, cast

import pytest
from google.protobuf import descriptor_pool

from services.common import grpc_access
from services.common.errors import Reason, ServiceError
from services.common.grpc_access import Caller, Table, may
from services.common.grpc_server import Context
from services.handles import access as of_handles
from services.relay.control import access as of_relay
from services.simulator import access as of_simulator

TABLES = {"handles": of_handles.TABLE, "relay": of_relay.TABLE, "simulator": of_simulator.TABLE}
CHECKPOINT = "filo.handles.v1.HandlesService/Checkpoint"


class Called:
    """A call by somebody with a certificate.

    Args:
        names: The alternative names in it.
    """

    def __init__(self, *names: str) -> None:
        self._names = names

    def auth_context(self) -> dict[str, Any]:
        """What gRPC tells of a caller."""
        names = [name.encode() for name in self._names]
        return {"x509_subject_alternative_name": names, "peer_dns": names}

    def peer(self) -> str:
        """Where it came from."""
        return "ipv4:192.0.2.1:1"


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_every_call_has_a_row_and_every_row_a_call(table: Table) -> None:
    """A call that somebody adds to a contract is refused to all until it gets a row, and here it is missed."""
    pool = descriptor_pool.Default()
    services = {path.partition("/")[0] for path in table}
    contract = [f"{name}/{method.name}" for name in services for method in pool.FindServiceByName(name).methods]
    assert sorted(table) == sorted(contract)
    assert all(table.values())


def test_names_are_compared_whole() -> None:
    """Nobody is a relay by resembling one, and a call without a row is nobody's."""
    assert may(of_handles.TABLE, CHECKPOINT, frozenset({"somebody", "relay"}))
    for names in ({"Relay"}, {"relay.example"}, {"a-relay"}, {"*"}, {"simulator"}, {"operator"}, set()):
        assert not may(of_handles.TABLE, CHECKPOINT, frozenset(names))
    assert not may(of_handles.TABLE, "filo.handles.v1.HandlesService/NoSuchCall", frozenset(Caller))


def test_only_another_replica_takes_a_conversation_away() -> None:
    """Whoever else could would end other people's conversations."""
    assert of_relay.TABLE["filo.relay.v1.ReplicaService/ReleaseConversation"] == {Caller.RELAY}


def test_a_refusal_names_the_call_and_is_told() -> None:
    """What a caller may not call, in a service that has rows; health and reflection have none, and are for all."""
    told: list[tuple[str, Reason]] = []
    check = grpc_access.guard("relay", of_relay.TABLE, lambda call, error: told.append((call, error.reason)))
    check("/filo.relay.v1.RelayService/CreateSession", cast("Context", Called("platform")))
    check("/grpc.health.v1.Health/Check", cast("Context", Called("stranger")))
    with pytest.raises(ServiceError) as caught:
        check("/filo.relay.v1.RelayService/CreateSession", cast("Context", Called("operator")))
    assert caught.value.reason is Reason.CALLER_NOT_ALLOWED
    assert caught.value.metadata == {"call": "CreateSession", "allowed": "platform,simulator"}
    assert told == [("CreateSession", Reason.CALLER_NOT_ALLOWED)]
