"""Tool calls: asked for, answered, cancelled; and what each leaves in the context."""

from typing import Any

import pytest

from services.emulator.context import Kind, Role
from services.emulator.toolbox import declared
from tests.support.session import Call, House, heard, is_audio, is_turn_complete, is_update, kind, text

TOOLS: dict[str, Any] = {"tools": [{"functionDeclarations": [{"name": "get_price"}, {"name": "get_stock"}]}]}
QUESTION = "Use the tool get_price with item is chair and size is large."


def calls(call: Call) -> list[dict[str, Any]]:
    """The function calls that were sent."""
    return [one for message in call.messages if "toolCall" in message for one in message["toolCall"]["functionCalls"]]


def result(of: dict[str, Any], **response: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A tool response to one function call."""
    return {"toolResponse": {"functionResponses": [{"id": of["id"], "name": of["name"], "response": response}]}}


def test_a_tool_call() -> None:
    """Asked for by name, called with its arguments, answered from its result; one turn, one greeting, one handle."""
    call = House().call(**TOOLS).wait(1.0)
    start = len(call.messages)
    call.send(text(QUESTION)).wait(5.0)
    (asked,) = calls(call)
    assert (asked["name"], asked["args"]) == ("get_price", {"item": "chair", "size": "large"})
    assert [kind(message) for message in call.messages[start:]] == ["sessionResumptionUpdate", "toolCall"]
    assert not any(is_update(message) for message in call.messages[start:])
    call.send(result(asked, price=5)).wait_for(is_turn_complete)
    call.wait(0.1)
    assert heard(call.messages).endswith('The tool has answered. get_price: {"price":5}')
    assert heard(call.messages).startswith("Hello, this is Filo")
    assert [(turn.role, turn.kind) for turn in call.context.turns] == [
        (Role.USER, Kind.TEXT),
        (Role.MODEL, Kind.TOOL),
        (Role.USER, Kind.TOOL),
        (Role.MODEL, Kind.AUDIO),
    ]
    assert call.ask("My dog is Rex.")
    assert "Hello, this is" not in call.ask("What is my dog?")


def test_every_result_is_awaited() -> None:
    """Two calls in one message; the answer comes when both results are there, unknown ones aside."""
    call = House().call(**TOOLS).send(text("Use the tool get_price. Use the tool get_stock.")).wait(1.0)
    price, stock = calls(call)
    call.send(result(stock, left=0)).send(result(price | {"id": "unknown"}, price=1)).wait(5.0)
    assert not any(is_audio(message) for message in call.messages)
    call.send(result(price, price=5)).wait_for(is_turn_complete)
    assert heard(call.messages).endswith('get_price: {"price":5} get_stock: {"left":0}')


@pytest.mark.parametrize("how", ["speech", "text", "content"])
def test_an_interruption_cancels_the_calls(how: str) -> None:
    """ToolCallCancellation names them, interrupted and turnComplete follow, a late result changes nothing."""
    call = House().call(**TOOLS).send(text(QUESTION)).wait(1.0)
    (asked,) = calls(call)
    start = len(call.messages)
    if how == "speech":
        call.speak("Never mind.").hush()
    elif how == "text":
        call.send(text("Never mind."))
    else:
        call.send({"clientContent": {"turns": [{"parts": [{"text": "Never mind."}]}], "turnComplete": True}})
    assert call.messages[start] == {"toolCallCancellation": {"ids": [asked["id"]]}}
    assert [kind(message) for message in call.messages[start + 1 : start + 3]] == ["interrupted", "turnComplete"]
    call.send(result(asked, price=5)).wait_for(is_turn_complete)
    assert [turn.role for turn in call.context.turns if turn.kind is Kind.TOOL] == [Role.MODEL]


def test_a_resumed_model_asks_again() -> None:
    """A call without its result is behind no handle: whoever sends the question again is asked again."""
    house = House()
    first = house.call(**TOOLS)
    first.ask("Hello.")
    first.send(text(QUESTION)).wait(1.0)
    again = house.call(sessionResumption={"handle": first.hang_up().handle}, now=first.now, **TOOLS)
    again.send(text(QUESTION)).wait(1.0)
    assert [one["args"] for one in calls(again)] == [one["args"] for one in calls(first)]
    assert calls(again)[0]["id"] != calls(first)[0]["id"]


def test_an_unknown_tool_is_not_called() -> None:
    """What the setup does not declare cannot be called."""
    call = House().call().send(text(QUESTION))
    call.wait_for(is_turn_complete)
    assert calls(call) == []


@pytest.mark.parametrize(
    ("tools", "names"),
    [
        ([{"functionDeclarations": [{"name": "a"}]}, {"function_declarations": [{"name": "b"}]}], ("a", "b")),
        ([{"googleSearch": {}}, {"functionDeclarations": [{"name": 5}, 5, {}]}, {"functionDeclarations": 5}], ()),
    ],
)
def test_declarations(tools: list[dict[str, Any]], names: tuple[str, ...]) -> None:
    """Names are found in both casings, and whatever is malformed declares nothing."""
    assert tuple(declared(tools)) == names


BACKGROUND: dict[str, Any] = {
    "tools": [{"functionDeclarations": [{"name": "get_price", "behavior": "NON_BLOCKING"}, {"name": "get_stock"}]}]
}


def late(of: dict[str, Any], scheduling: str | None = None, *, more: bool = False) -> dict[str, Any]:
    """The result of a call that does not block."""
    answer = {"id": of["id"], "name": of["name"], "response": {"price": 5}, "willContinue": more}
    return {"toolResponse": {"functionResponses": [answer | ({"scheduling": scheduling} if scheduling else {})]}}


def test_a_call_that_does_not_block() -> None:
    """The model talks on at once; when the result comes and it is idle, it tells it; only once."""
    call = House().call(**BACKGROUND).send(text(QUESTION))
    call.wait_for(is_turn_complete)
    (asked,) = calls(call)
    assert heard(call.messages).startswith("Hello, this is Filo")
    start = len(call.messages)
    call.send(late(asked)).wait(30.0)
    assert heard(call.messages[start:]) == 'The tool has answered. get_price: {"price":5}'
    start = len(call.messages)
    call.send(late(asked)).wait(30.0)
    assert call.messages[start:] == []


def test_a_result_during_the_answer_waits_or_interrupts() -> None:
    """WHEN_IDLE, the default, waits for the end of the answer; INTERRUPT cuts it off."""
    for scheduling, cut in ((None, False), ("WHEN_IDLE", False), ("INTERRUPT", True)):
        call = House().call(**BACKGROUND).send(text(QUESTION)).wait(0.5)
        (asked,) = calls(call)
        call.send(late(asked, scheduling)).wait(60.0)
        assert ("interrupted" in [kind(message) for message in call.messages]) is cut
        assert call.context.turns[-1].text == 'The tool has answered. get_price: {"price":5}'


def test_a_silent_result_is_only_known() -> None:
    """SILENT enters the context and is not answered; the next answer is to the user's words."""
    call = House().call(**BACKGROUND).send(text(QUESTION))
    call.wait_for(is_turn_complete)
    call.send(late(calls(call)[0], "SILENT")).wait(30.0)
    assert sum(is_turn_complete(message) for message in call.messages) == 1
    assert call.context.turns[-1].kind is Kind.TOOL
    call.ask("My dog is Rex.")
    assert "tool has answered" not in call.ask("What is my dog?")


def test_results_in_pieces() -> None:
    """As long as willContinue says so, more may come from the same call."""
    call = House().call(**BACKGROUND).send(text(QUESTION))
    call.wait_for(is_turn_complete)
    (asked,) = calls(call)
    for more in (True, True, False, False):
        call.send(late(asked, more=more)).wait(30.0)
    assert sum("The tool has answered" in turn.text for turn in call.context.turns) == 3


def test_speaking_does_not_cancel_what_does_not_block() -> None:
    """The answer is cut off, the call goes on; one that blocks, beside it, is cancelled."""
    call = House().call(**BACKGROUND).send(text("Use the tool get_price. Use the tool get_stock.")).wait(1.0)
    price, stock = calls(call)
    call.speak("Never mind.").hush().wait(30.0)
    assert {"toolCallCancellation": {"ids": [stock["id"]]}} in call.messages
    call.send(late(price)).wait(30.0)
    assert call.context.turns[-1].text == 'The tool has answered. get_price: {"price":5}'
