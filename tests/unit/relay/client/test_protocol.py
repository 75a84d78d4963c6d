"""The client protocol: what docs/client-protocol.md shows is what the code reads and writes."""

import json
import re
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filo.handles.v1 import resources_pb2 as resources
from services.common.errors import Reason, ServiceError
from services.relay.client import protocol, told
from services.relay.client.outbox import Outbox
from services.relay.core import notices as tell
from services.relay.core.ledger import Breakdown, Ledger
from services.relay.core.model import Continuity, Role, RotationMode, RotationReason, ToolCall

DOC = (Path(__file__).parents[4] / "docs" / "client-protocol.md").read_text()

NOTICES: dict[type[Any], tell.Notice] = {
    type(notice): notice
    for notice in (
        tell.HandleRenewed("rh_1", "2026-11-21T12:30:00Z"),
        tell.Expiring(60.0, has_handle=True, reason="go_away"),
        tell.ReconnectNow(60.0),
        tell.Rotating(RotationReason.GO_AWAY, 6),
        tell.Rotated(RotationReason.GO_AWAY, Continuity.HANDLE, 0.0841, 6),
        tell.Transcript(Role.AGENT, "You told me", 7),
        tell.AnswerInterrupted(7),
        tell.TurnEnded(7, interrupted=False),
        tell.TurnRestarted(8, RotationReason.UPSTREAM_CLOSED),
        tell.InputCovered(850, 7),
        tell.TokensCounted(7, Ledger(Breakdown(310, 420, 480), uncached=5400)),
        tell.ToolsWanted(8, (ToolCall("c1", "lookup", {"sku": "A-7"}),)),
        tell.ToolsUnwanted(8, ("c1",)),
        tell.UpstreamTrouble("Gemini does not answer; trying again.", retryable=True),
        tell.ConversationOver("done"),
    )
}


def section(title: str) -> str:
    """The text under a heading."""
    return DOC.split(f"\n## {title}\n")[1].split("\n## ")[0]


def examples() -> dict[str, dict[str, Any]]:
    """The messages in the document's JSON block, by type."""
    block = section("What the relay sends").split("```json\n")[1].split("```")[0]
    shown = [json.loads(line) for line in block.splitlines()]
    return {message["type"]: message for message in shown}


def greeting(continuity: Continuity | None) -> dict[str, Any]:
    """The first message on a socket."""
    return told.greeting(
        conversation="conversations/7d",
        mode="sales_agent",
        turn=6,
        next_seq=871,
        covered=850,
        rotation=RotationMode.RELAY,
        continuity=continuity,
    )


def written() -> dict[str, dict[str, Any]]:
    """Every message that the relay can send, by type, as a client reads it."""
    outbox = Outbox(1, 100)
    for _ in range(3):
        outbox.play(bytes(100))
    dropped = outbox.after(0)
    assert dropped is not None
    handle = {**told.render(NOTICES[tell.HandleRenewed]), "sessionToken": "eyJ"}
    others = [told.render(notice) for kind, notice in NOTICES.items() if kind is not tell.HandleRenewed]
    missed = told.missed(resources.Turn(number=8, user_text="What?", agent_text="That.", interrupted=False))
    messages = [greeting(None), greeting(Continuity.HANDLE), handle, *others, missed, {"type": "pong"}]
    read = [json.loads(told.encode(message, 1, 9)) for message in messages]
    return {message["type"]: message for message in [*read, json.loads(dropped[1][0])]}


def test_every_notice_is_rendered() -> None:
    """No notice of the core is without a message, and no sample is missing here."""
    assert set(NOTICES) == set(get_args(tell.Notice))
    assert set(told._RENDER) == set(get_args(tell.Notice))
    assert all(told.render(notice)["type"] for notice in NOTICES.values())


def test_the_document_shows_every_message() -> None:
    """What the relay sends is in the document's examples and in its table, and nothing else is."""
    table = section("What the relay sends").split("```json")[0]
    named = {
        name for row in re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE) for name in re.findall("`(.+?)`", row)
    }
    assert set(written()) == set(examples())
    assert set(written()) == named


@pytest.mark.parametrize("kind", sorted(examples()))
def test_a_message_has_the_keys_of_its_example(kind: str) -> None:
    """The same keys, and values of the same types; `type` is first, then `epoch` and `n`."""
    shown, real = examples()[kind], written()[kind]
    assert set(shown) == set(real)
    assert list(real)[:3] == ["type", "epoch", "n"]
    for key, value in shown.items():
        kinds = (int, float) if isinstance(value, int) and not isinstance(value, bool) else type(value)
        assert isinstance(real[key], kinds), key


def test_the_document_names_all_reasons_and_continuities() -> None:
    """Both lists are the core's own."""
    reasons = re.search(r"`reason` of a rotation is one of (.+?)\.", DOC)
    continuities = re.search(r"`continuity` is one of (.+?)\.", DOC)
    assert reasons is not None
    assert continuities is not None
    assert set(re.findall("`(.+?)`", reasons[1])) == set(RotationReason)
    assert set(re.findall("`(.+?)`", continuities[1])) == set(Continuity)


def test_values_are_as_the_document_says() -> None:
    """A gap in whole milliseconds, the ledger by category, an error by its code."""
    messages = written()
    assert messages["session:rotated"]["gapMs"] == 84
    assert messages["session_expiring"]["timeLeft"] == 60
    assert "60 s" in messages["session_expiring"]["message"]
    assert messages["usage"]["byCategory"] == {"instruction": 310, "user": 420, "model": 480}
    assert messages["tool_call"]["calls"] == [{"id": "c1", "name": "lookup", "args": {"sku": "A-7"}}]
    assert messages["error"]["code"] == "UPSTREAM_UNAVAILABLE"
    refused = told.render(tell.UpstreamTrouble("no", retryable=False))
    assert (refused["code"], refused["retryable"]) == ("UPSTREAM_REFUSED", False)


def test_started_has_no_continuity() -> None:
    """There was nothing before that could have survived."""
    assert "continuity" not in greeting(None)
    assert greeting(None)["type"] == "session:started"
    assert greeting(Continuity.NONE)["continuity"] == "none"


# What the client sends.


def documented() -> list[str]:
    """The JSON messages in the tables of what the client sends."""
    rows = [line.split("|")[1] for line in section("What the client sends").splitlines() if line.startswith("| `{")]
    return [text.replace("{…}", "{}") for row in rows for text in re.findall("`(.+?)`", row)]


@pytest.mark.parametrize("text", documented())
def test_a_documented_message_is_read(text: str) -> None:
    """Every message of the document's tables means something."""
    message, number = protocol.parse(text)
    meanings = {
        "text": protocol.Text("Hello"),
        "activity_start": protocol.Activity(start=True),
        "activity_end": protocol.Activity(start=False),
        "audio_stream_end": protocol.AudioStreamEnd(),
        "tool_result": protocol.ToolResult("c1", "lookup", {}),
        "auth": protocol.Auth("…", None),
        "seq": protocol.NextSeq(17),
        "end": protocol.End("done"),
        "ping": protocol.Ping(),
    }
    kind = json.loads(text)["type"]
    assert message == meanings[kind]
    assert number == (17 if kind == "seq" else None)


def test_the_document_has_every_message() -> None:
    """No message is read that the document does not show."""
    wire = {struct.__struct_config__.tag for struct in get_args(protocol._Wire)}
    assert {json.loads(text)["type"] for text in documented()} == wire
    assert set(protocol._MEANING) == set(get_args(protocol._Wire))


@pytest.mark.parametrize("kind", ["text", "activity_start", "activity_end", "audio_stream_end", "tool_result"])
def test_any_input_may_carry_its_number(kind: str) -> None:
    """And only inputs do."""
    _, number = protocol.parse(json.dumps({"type": kind, "text": "a", "id": "c", "seq": 5}))
    assert number == 5


def test_what_is_not_known_is_ignored() -> None:
    """A newer client may say more."""
    assert protocol.parse('{"type": "ping", "mood": "good"}') == (protocol.Ping(), None)


def nested(levels: int) -> str:
    """A tool's result of so many levels."""
    return '{"type": "tool_result", "id": "c", "result": ' + '{"a": ' * (levels - 1) + "{}" + "}" * levels


MALFORMED = {
    "empty": "",
    "not JSON": "hello",
    "an array": "[]",
    "a number": "7",
    "no type": "{}",
    "an unknown type": '{"type": "shout"}',
    "text without text": '{"type": "text"}',
    "text that is empty": '{"type": "text", "text": " "}',
    "text that is a number": '{"type": "text", "text": 1}',
    "half a surrogate": '{"type": "text", "text": "\\ud800"}',
    "seq without next": '{"type": "seq"}',
    "seq of zero": '{"type": "seq", "next": 0}',
    "seq below zero": '{"type": "text", "text": "a", "seq": -1}',
    "seq that is a fraction": '{"type": "seq", "next": 1.5}',
    "seq beyond any count": '{"type": "seq", "next": 9007199254740992}',
    "seq beyond any integer": f'{{"type": "text", "text": "a", "seq": {"9" * 5000}}}',
    "a result without id": '{"type": "tool_result", "result": {}}',
    "a result that is a list": '{"type": "tool_result", "id": "c", "result": []}',
    "a result that is too deep": nested(17),
    "a result without a bottom": nested(100_000),
    "a number that no double holds": '{"type": "tool_result", "id": "c", "result": {"a": 1' + "0" * 400 + "}}",
    "an infinite number": '{"type": "tool_result", "id": "c", "result": {"a": 1e999}}',
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_is_refused_with_a_sentence(text: str) -> None:
    """1007 with a reason that says what is wrong, never an internal error."""
    with pytest.raises(ServiceError) as caught:
        protocol.parse(text)
    assert caught.value.reason is Reason.MALFORMED_MESSAGE
    assert caught.value.meaning.close == 1007
    assert len(caught.value.detail.split()) > 3


@pytest.mark.parametrize("levels", [1, 16])
def test_a_deep_result_is_read(levels: int) -> None:
    """As deep as can be stored."""
    message, _ = protocol.parse(nested(levels))
    assert isinstance(message, protocol.ToolResult)


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5).map(json.dumps))
def test_anything_else_is_malformed(text: str) -> None:
    """Whatever is sent is read or refused."""
    try:
        message, _ = protocol.parse(text)
    except ServiceError as error:
        assert error.reason is Reason.MALFORMED_MESSAGE  # noqa: PT017 - hypothesis goes both ways
    else:
        assert isinstance(message, get_args(protocol.Message))


@pytest.mark.parametrize("frame", [b"", b"\0\0", bytes(640), bytes(64 * 1024)])
def test_audio(frame: bytes) -> None:
    """Any length up to 64 KiB."""
    assert protocol.audio(frame) is frame


@pytest.mark.parametrize("frame", [b"\0", bytes(641), bytes(64 * 1024 + 2)])
def test_what_is_no_audio(frame: bytes) -> None:
    """Half a sample, or too much."""
    with pytest.raises(ServiceError) as caught:
        protocol.audio(frame)
    assert caught.value.reason is Reason.MALFORMED_MESSAGE


# Opening the socket.


def test_a_full_query() -> None:
    """Every parameter of the document, and no other, makes a request."""
    values = {
        "mode": "sales_agent",
        "sessionToken": "eyJ",
        "shareToken": "s h&re",
        "resumeHandle": "rh_1",
        "testMode": "true",
        "rotation": "client",
        "lastSeen": "3.17",
        "lastTurn": "4",
    }
    named = re.findall(r"^\| `(\w+)` \|", section("Opening the socket"), re.MULTILINE)
    assert set(named) == set(values)
    assert protocol.parse_query(urlencode(values)) == protocol.Request(
        "sales_agent", "eyJ", "s h&re", "rh_1", RotationMode.CLIENT, protocol.Seen(3, 17), test=True, last_turn=4
    )


def test_a_short_query() -> None:
    """Only the mode is required."""
    assert protocol.parse_query("mode=assistant") == protocol.Request(
        "assistant", None, None, None, RotationMode.RELAY, None, test=False
    )


def test_the_token_as_a_subprotocol() -> None:
    """It stands in for the parameter, which goes first."""
    offered = ("filo.v1", "filo.token.eyJ.a.b")
    assert protocol.parse_query("mode=assistant", offered).session_token == "eyJ.a.b"
    assert protocol.parse_query("mode=assistant&sessionToken=x", offered).session_token == "x"


@pytest.mark.parametrize("query", ["", "mode=", "mode=admin", "mode=SALES_AGENT"])
def test_a_mode_that_is_none(query: str) -> None:
    """4403 with the modes that there are."""
    with pytest.raises(ServiceError) as caught:
        protocol.parse_query(query)
    assert caught.value.meaning.close == 4403
    assert "assistant" in caught.value.detail


@pytest.mark.parametrize(
    "query",
    [
        "rotation=never",
        "lastSeen=3",
        "lastSeen=3.",
        "lastSeen=.4",
        "lastSeen=-1.4",
        "lastSeen=3.4.5",
        "lastTurn=x",
        "lastTurn=-1",
        "lastSeen=a.b",
        f"lastSeen=1.{'9' * 5000}",
        "shareToken=\udcff",
        "shareToken=é",
    ],
)
def test_a_value_that_is_none(query: str) -> None:
    """1007, and no internal error whatever the bytes."""
    with pytest.raises(ServiceError) as caught:
        protocol.parse_query(f"mode=assistant&{query}")
    assert caught.value.reason is Reason.MALFORMED_MESSAGE


@given(st.text())
def test_any_value_survives_the_query(text: str) -> None:
    """Whatever a client encodes is read back, and is text that can be sent on."""
    share = protocol.parse_query(f"mode=assistant&shareToken={quote(text.encode(errors='replace'))}").share_token
    assert (share or "") == text.encode(errors="replace").decode()


@pytest.mark.parametrize(
    ("text", "test"), [("true", True), ("1", True), ("TRUE", True), ("false", False), ("0", False)]
)
def test_test_mode(text: str, test: bool) -> None:  # noqa: FBT001
    """Yes or no, and nothing else: see `test_a_parameter_that_means_nothing`."""
    assert protocol.parse_query(f"mode=assistant&testMode={text}").test is test


@pytest.mark.parametrize("parameter", ["testMode=no", "testMode=", "rotation=both", "lastSeen=newest"])
def test_a_parameter_that_means_nothing(parameter: str) -> None:
    """A typing error is told, not taken for something else."""
    if parameter.endswith("="):  # as good as absent
        assert not protocol.parse_query(f"mode=assistant&{parameter}").test
        return
    with pytest.raises(ServiceError) as refused:
        protocol.parse_query(f"mode=assistant&{parameter}")
    assert refused.value.reason is Reason.MALFORMED_MESSAGE


def test_modes() -> None:
    """Every mode of the contract but the unnamed one, both ways."""
    named = {value.number for value in resources.Mode.DESCRIPTOR.values if value.number}
    assert set(protocol.MODES.values()) == named
    assert {protocol.MODE_NAMES[mode]: mode for mode in protocol.MODE_NAMES} == dict(protocol.MODES)
    assert set(protocol.MODES) - protocol.SHARED_MODES == {"assistant"}
