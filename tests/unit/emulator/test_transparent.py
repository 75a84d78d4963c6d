"""Vertex's transparent mode: each handle tells up to which of the client's messages it holds what was sent."""

from typing import Any

import pytest

from services.common import voice
from tests.support.session import Call, House, audio, content, is_turn_complete, is_update, setup, text

MODEL = "models/gemini-3.8-live"


def open_call(house: House, now: float = 0.0, **fields: Any) -> Call:  # noqa: ANN401 - JSON
    """A transparent session on Vertex; its setup is message 0."""
    return house.call(now=now, vertex=True, model=MODEL, sessionResumption={"transparent": True, **fields})


def consumed(call: Call) -> list[int]:
    """The indices told, in order."""
    updates = [message["sessionResumptionUpdate"] for message in call.messages if is_update(message)]
    return [int(update["lastConsumedClientMessageIndex"]) for update in updates]


def test_every_message_counts_and_the_index_is_a_string() -> None:
    """The setup is 0; after a turn the handle holds everything up to the last message."""
    call = open_call(House()).wait(1.0)
    assert call.messages[-1]["sessionResumptionUpdate"]["lastConsumedClientMessageIndex"] == "0"
    call.send(text("My dog is Rex.")).wait_for(is_turn_complete)
    call.wait(0.1)
    assert consumed(call) == [0, 1]
    call.ask("What is my dog?")  # two messages: speech and silence
    assert consumed(call) == [0, 1, 3]


def test_speech_that_is_still_being_heard_is_not_consumed() -> None:
    """On barge-in the handle of the cut turn ends before the words that cut it, and a resume can send them again."""
    house = House()
    call = open_call(house).wait(1.0).speak("Tell me a story.").hush().wait(0.5)
    frames = voice.speak("My dog is Rex.", stream=7, first_frame=call.frame, utterance=1)
    for frame in frames:
        call.send(audio(frame))
    call.wait(0.1)
    assert consumed(call) == [0, 2]
    second = open_call(house, now=call.hang_up().now, handle=call.handle)
    for frame in frames:
        second.send(audio(frame))
    second.hush().wait_for(is_turn_complete)
    assert [turn.text for turn in second.context.turns][-2] == "My dog is Rex."


def test_what_waits_for_the_end_of_the_answer_is_not_consumed() -> None:
    """What is said during an answer that may not be interrupted enters the context after that answer's handle."""
    quiet: dict[str, Any] = {"realtimeInputConfig": {"activityHandling": "NO_INTERRUPTION"}}
    call = House().call(vertex=True, model=MODEL, sessionResumption={"transparent": True}, **quiet).wait(1.0)
    call.speak("Hello.").hush().wait(0.5).speak("My dog is Rex.").hush().wait(30.0)
    assert consumed(call) == [0, 2, 4]


def test_content_and_updates_count_too() -> None:
    """Every kind of message has its number."""
    call = open_call(House()).wait(1.0)
    call.send({"contextUpdate": {"systemInstruction": {"parts": [{"text": "Be kind."}]}}})
    call.send(content(("user", "Hi."), complete=False)).send(text("Hello.")).wait(30.0)
    assert consumed(call) == [0, 3]


@pytest.mark.parametrize("vertex", [False, True])
def test_only_vertex_knows_it(vertex: bool) -> None:  # noqa: FBT001 - a table
    """The Developer API calls the field unknown; without it no index is told on Vertex either."""
    transparent = House().call(vertex=vertex, greet=False).send(setup(MODEL, sessionResumption={"transparent": True}))
    assert (transparent.close is None) is vertex
    plain = House().call(vertex=vertex, model=MODEL).wait(1.0)
    assert "lastConsumedClientMessageIndex" not in plain.messages[-1]["sessionResumptionUpdate"]
