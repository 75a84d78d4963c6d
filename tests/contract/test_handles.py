"""The handle store's tables against its contract."""

import re
from pathlib import Path

from filo.handles.v1 import handles_pb2
from services.common.errors import Reason
from services.handles.refusals import ALWAYS, REFUSALS

_PROTO = Path(__file__).parents[2] / "protos/filo/handles/v1/handles.proto"
_RPC = re.compile(r"(?P<comment>(?:^  //.*\n)+)^  rpc (?P<name>\w+)\(", re.MULTILINE)


def test_every_call_has_a_row() -> None:
    """The table of refusals knows each call of the contract, in its order, and no other."""
    calls = [method.name for method in handles_pb2.DESCRIPTOR.services_by_name["HandlesService"].methods]
    assert list(REFUSALS) == calls


def test_the_contract_names_every_refusal() -> None:
    """What a call's comment says that it may answer is what the table says."""
    text = _PROTO.read_text(encoding="utf-8")
    comments = {found["name"]: found["comment"] for found in _RPC.finditer(text)}
    named = {call: {reason for reason in Reason if reason in comments[call]} - set(ALWAYS) for call in REFUSALS}
    assert named == {call: set(reasons) for call, reasons in REFUSALS.items()}
