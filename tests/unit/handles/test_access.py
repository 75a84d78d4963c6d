"""Who may call what."""

from filo.handles.v1 import handles_pb2
from services.common.grpc_access import Caller
from services.handles.access import CALLERS

_METHODS = handles_pb2.DESCRIPTOR.services_by_name["HandlesService"].methods


def test_every_call_has_a_row() -> None:
    """The table knows each call of the contract, in its order, and no other."""
    assert list(CALLERS) == [method.name for method in _METHODS]


def test_only_relays_get_secrets_transcripts_and_the_right_to_write() -> None:
    """Whatever else is allowed to an operator, this is not."""
    theirs = {call for call, callers in CALLERS.items() if callers == {Caller.RELAY}}
    assert {"AttachConversation", "Checkpoint", "ValidateHandle", "StreamTurns"} <= theirs
    assert all(Caller.RELAY in callers for callers in CALLERS.values())
