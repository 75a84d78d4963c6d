"""Gemini's messages, as its server sends them and as it wants them."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.core import events as on
from services.relay.core.capabilities import Channel
from services.relay.core.model import START, Consumed, Mark, ToolCall, Turn, Usage
from services.relay.upstream import wire
from services.relay.upstream.wire import AgentAudio, Reader, SetupComplete

SENT = Mark(7, 107)
BEGAN = on.AnswerBegan(SENT)
PCM = bytes(range(256)) * 4
BLOB = {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(PCM).decode()}


def content(**fields: object) -> dict[str, Any]:
    """A serverContent message."""
    return {"serverContent": fields}


def parts(*of: dict[str, Any]) -> dict[str, Any]:
    """A modelTurn."""
    return {"role": "model", "parts": list(of)}


def read(*messages: dict[str, Any], reader: wire.Reader | None = None) -> list[wire.Received]:
    """What these say to a connection that has just begun."""
    reader = reader or wire.Reader()
    return [item for message in messages for item in reader.read(json.dumps(message).encode(), SENT)]


CALLS = {"functionCalls": [{"id": "c1", "name": "lookup", "args": {"sku": "A-7"}}, {"id": "c2", "name": "now"}]}

MESSAGES: dict[str, tuple[dict[str, Any], list[wire.Received]]] = {
    "setup complete": ({"setupComplete": {}}, [SetupComplete()]),
    "setup complete on Vertex": ({"setupComplete": {"sessionId": "s"}}, [SetupComplete()]),
    "audio": (content(modelTurn=parts({"inlineData": BLOB})), [BEGAN, AgentAudio(PCM)]),
    "two pieces of audio": (
        content(modelTurn=parts({"inlineData": BLOB}, {"inlineData": BLOB})),
        [BEGAN, AgentAudio(PCM), AgentAudio(PCM)],
    ),
    "text": (content(modelTurn=parts({"text": "Hi"})), [BEGAN, on.AgentSaid("Hi")]),
    "a thought": (content(modelTurn=parts({"text": "hm", "thought": True})), []),
    "an empty turn": (content(modelTurn={}), []),
    "empty audio": (content(modelTurn=parts({"inlineData": {"mimeType": "audio/pcm"}})), []),
    "input transcript": (content(inputTranscription={"text": "Hel"}), [on.UserHeard("Hel")]),
    "input transcript, empty": (content(inputTranscription={}), []),
    "output transcript": (content(outputTranscription={"text": "You"}), [BEGAN, on.AgentSaid("You")]),
    "output transcript, empty": (content(outputTranscription={"text": ""}), []),
    "generation complete": (content(generationComplete=True), [on.GenerationCompleted()]),
    "interrupted": (content(interrupted=True), [on.Interrupted()]),
    "turn complete": (content(turnComplete=True), [on.TurnCompleted(SENT)]),
    "all false": (content(generationComplete=False, interrupted=False, turnComplete=False), []),
    "interrupted and complete": (
        content(interrupted=True, turnComplete=True),
        [on.Interrupted(), on.TurnCompleted(SENT)],
    ),
    "everything of a turn at once": (
        content(
            turnComplete=True,
            generationComplete=True,
            outputTranscription={"text": "Hi"},
            modelTurn=parts({"inlineData": BLOB}),
            inputTranscription={"text": "Hello"},
        ),
        [
            on.UserHeard("Hello"),
            BEGAN,
            AgentAudio(PCM),
            on.AgentSaid("Hi"),
            on.GenerationCompleted(),
            on.TurnCompleted(SENT),
        ],
    ),
    "goAway": ({"goAway": {"timeLeft": "50s"}}, [on.GoAway(50.0)]),
    "goAway with a fraction": ({"goAway": {"timeLeft": "1.500s"}}, [on.GoAway(1.5)]),
    "goAway without a time": ({"goAway": {}}, [on.GoAway(None)]),
    "goAway with another time": ({"goAway": {"timeLeft": "soon"}}, [on.GoAway(None)]),
    "goAway with no number": ({"goAway": {"timeLeft": "infs"}}, [on.GoAway(None)]),
    "a handle": (
        {"sessionResumptionUpdate": {"newHandle": "h", "resumable": True}},
        [on.HandleUpdated("h")],
    ),
    "a handle with Vertex's index": (
        {"sessionResumptionUpdate": {"newHandle": "h", "resumable": True, "lastConsumedClientMessageIndex": "42"}},
        [on.HandleUpdated("h")],
    ),
    "no handle, explicitly": ({"sessionResumptionUpdate": {"resumable": False}}, [on.HandleUpdated(None)]),
    "no handle, as proto3 has it": ({"sessionResumptionUpdate": {}}, [on.HandleUpdated(None)]),
    "a handle that is not resumable": ({"sessionResumptionUpdate": {"newHandle": "h"}}, [on.HandleUpdated(None)]),
    "resumable without a handle": ({"sessionResumptionUpdate": {"resumable": True}}, [on.HandleUpdated(None)]),
    "tool calls": (
        {"toolCall": CALLS},
        [BEGAN, on.ToolsCalled((ToolCall("c1", "lookup", {"sku": "A-7"}), ToolCall("c2", "now", {})))],
    ),
    "a cancellation": ({"toolCallCancellation": {"ids": ["c1", "c2"]}}, [on.ToolCallsCancelled(("c1", "c2"))]),
    "an unknown message": ({"voiceActivity": {"type": "START"}}, []),
    "unknown fields": (
        content(turnComplete=True, waitingForInput=True, groundingMetadata={"a": [1]}),
        [on.TurnCompleted(SENT)],
    ),
    "nothing": ({}, []),
}


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "text"])
@pytest.mark.parametrize(("message", "says"), MESSAGES.values(), ids=MESSAGES)
def test_what_a_message_says(message: dict[str, Any], says: list[wire.Received], binary: bool) -> None:  # noqa: FBT001
    """Each of the server's messages, in binary frames as the real server sends them and in text frames."""
    text = json.dumps(message)
    assert wire.Reader().read(text.encode() if binary else text, SENT) == says


def usage(received: list[wire.Received]) -> tuple[int, int]:
    """Prompt and response of the only usage among these."""
    (counted,) = (item for item in received if isinstance(item, on.UsageCounted))
    return counted.usage.prompt, counted.usage.response


@pytest.mark.parametrize("name", ["responseTokenCount", "candidatesTokenCount"])
def test_usage(name: str) -> None:
    """Gemini's name for the response, and Vertex's; details and totals may be there or not."""
    metadata = {"promptTokenCount": 120, name: 30, "totalTokenCount": 150}
    assert usage(read({"usageMetadata": metadata})) == (120, 30)


def test_usage_of_nothing() -> None:
    """Absent counts are 0 in proto3."""
    assert usage(read({"usageMetadata": {}})) == (0, 0)


def test_usage_with_details() -> None:
    """As the documents show it."""
    metadata = {
        "promptTokenCount": 120,
        "cachedContentTokenCount": 20,
        "responseTokenCount": 30,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 100}, {"modality": "TEXT", "tokenCount": 20}],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}],
    }
    assert usage(read({"usageMetadata": metadata})) == (120, 30)


def test_usage_of_thoughts() -> None:
    """Counted beside prompt and response (google-genai, `types.UsageMetadata`), and billed with them."""
    metadata = {
        "promptTokenCount": 120,
        "cachedContentTokenCount": 20,
        "responseTokenCount": 30,
        "thoughtsTokenCount": 300,
        "toolUsePromptTokenCount": 50,
        "totalTokenCount": 500,
    }
    (counted,) = read({"usageMetadata": metadata})
    assert isinstance(counted, on.UsageCounted)
    assert counted.usage.billed == (20, 150, 330)


def test_usage_comes_before_the_turn_that_it_rides_with() -> None:
    """It is that turn's: it must be counted before the turn is stored."""
    received = read({**content(turnComplete=True), "usageMetadata": {"promptTokenCount": 5}})
    assert isinstance(received[0], on.UsageCounted)
    assert received[1:] == [on.TurnCompleted(SENT)]


def test_an_answer_begins_once_a_turn() -> None:
    """With whatever output comes first, and again after the turn is complete."""
    audio = content(modelTurn=parts({"inlineData": BLOB}))
    words = content(outputTranscription={"text": "Hi"})
    received = read(words, audio, {"toolCall": CALLS}, content(turnComplete=True), audio)
    assert [index for index, item in enumerate(received) if isinstance(item, on.AnswerBegan)] == [0, 5]


def test_an_interrupted_answer_ends_with_its_turn() -> None:
    """What is transcribed in between is no new answer."""
    late = content(outputTranscription={"text": "late"})
    received = read(late, content(interrupted=True), late, content(turnComplete=True), late)
    assert sum(isinstance(item, on.AnswerBegan) for item in received) == 2


@pytest.mark.parametrize(
    "frame", [b"", b"[]", b"7", b"\xff", b'{"goAway": 5}', b'{"serverContent": {"modelTurn": []}}', "{"]
)
def test_what_is_no_message(frame: bytes | str) -> None:
    """ValueError, which the link logs and survives."""
    with pytest.raises(ValueError, match=r".+"):
        wire.Reader().read(frame, SENT)


@given(st.binary(max_size=2000))
def test_audio_up(pcm: bytes) -> None:
    """A frame is the message that the SDK would send, byte for byte as JSON."""
    message = json.loads(wire.audio(pcm))
    assert message == {
        "realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": base64.b64encode(pcm).decode()}}
    }


def test_the_other_messages_up() -> None:
    """One field a message, camelCase."""
    sent = {
        wire.text('say "hi"\n'): {"realtimeInput": {"text": 'say "hi"\n'}},
        wire.activity(start=True): {"realtimeInput": {"activityStart": {}}},
        wire.activity(start=False): {"realtimeInput": {"activityEnd": {}}},
        wire.audio_stream_end(): {"realtimeInput": {"audioStreamEnd": True}},
        wire.tool_response("c1", "lookup", {"price": 1}): {
            "toolResponse": {"functionResponses": [{"id": "c1", "name": "lookup", "response": {"price": 1}}]}
        },
    }
    assert [json.loads(message) for message in sent] == list(sent.values())


@pytest.mark.parametrize("complete", [True, False])
def test_turns_as_content(complete: bool) -> None:  # noqa: FBT001
    """Both sides of each turn, in order; a side that said nothing is left out."""
    turns = [Turn(1, "Hello", "Hi."), Turn(2, "", "Still there?"), Turn(3, "Yes.", "")]
    assert json.loads(wire.content(turns, complete=complete)) == {
        "clientContent": {
            "turns": [
                {"role": "user", "parts": [{"text": "Hello"}]},
                {"role": "model", "parts": [{"text": "Hi."}]},
                {"role": "model", "parts": [{"text": "Still there?"}]},
                {"role": "user", "parts": [{"text": "Yes."}]},
            ],
            "turnComplete": complete,
        }
    }


def test_what_a_handle_holds_is_asked_by_its_index() -> None:
    """Vertex's transparent mode: the newest input, and whether the advice is in it."""
    update = {"newHandle": "h", "resumable": True, "lastConsumedClientMessageIndex": "42"}
    frame = json.dumps({"sessionResumptionUpdate": update}).encode()
    (event,) = Reader().read(frame, START, lambda index: Consumed(Mark(index, index), advised=True))
    assert event == on.HandleUpdated("h", Mark(42, 42), advised=True)


@pytest.mark.parametrize(
    ("channel", "words", "message"),
    [
        (
            Channel.CONTENT,
            "be brief",
            {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "be brief"}]}], "turnComplete": False}},
        ),
        (Channel.TEXT, "be brief", {"realtimeInput": {"text": "be brief"}}),
        (
            Channel.CONTEXT_UPDATE,
            "be brief",
            {"contextUpdate": {"systemInstruction": {"parts": [{"text": "Sell.\n\nbe brief"}]}}},
        ),
        (Channel.CONTEXT_UPDATE, "", {"contextUpdate": {"systemInstruction": {"parts": [{"text": "Sell."}]}}}),
        (
            Channel.SYSTEM_ROLE,
            "be brief",
            {
                "clientContent": {
                    "turns": [{"role": "system", "parts": [{"text": "Sell.\n\nbe brief"}]}],
                    "turnComplete": False,
                }
            },
        ),
    ],
)
def test_advice(channel: Channel, words: str, message: dict[str, Any]) -> None:
    """In the talk it asks for no answer; in the instruction it stands after the conversation's own."""
    assert json.loads(wire.advice(channel, words, "Sell.")) == message


def test_an_instruction_without_a_word_is_still_one() -> None:
    """Content must not be empty."""
    assert b'" "' in wire.advice(Channel.CONTEXT_UPDATE, "", "")


def test_what_a_turn_cost() -> None:
    """Prompt and answer by modality, and what came from the cache; Vertex calls the answer candidates."""
    for name in ("response", "candidates"):
        usage = {
            "promptTokenCount": 120,
            f"{name}TokenCount": 30,
            "cachedContentTokenCount": 90,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}, {"modality": "AUDIO", "tokenCount": 20}],
            f"{name}TokensDetails": [{"modality": "AUDIO", "tokenCount": 30}],
        }
        (event,) = Reader().read(json.dumps({"usageMetadata": usage}).encode(), START)
        assert event == on.UsageCounted(Usage(120, 30, {"TEXT": 100, "AUDIO": 20}, 90, {"AUDIO": 30}))
