"""Client frames are read as leniently, and refused as strictly, as Google's JSON parser does."""

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.emulator import wire
from services.emulator.closes import RefusedError
from services.emulator.context import Role, text_turn
from services.emulator.messages import (
    ActivityEnd,
    ActivityStart,
    AudioInput,
    AudioStreamEnd,
    ClientContent,
    Compression,
    ContentTurn,
    ContextUpdate,
    Detection,
    FunctionResponse,
    RealtimeInput,
    Resumption,
    Setup,
    TextInput,
    ToolResponse,
    VideoInput,
)
from services.emulator.shapes import SHAPES
from tests.support.session import snake

NAMES = st.sampled_from(sorted({name for names in SHAPES.values() for name in names})) | st.text(max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(NAMES, children, max_size=3),
    max_leaves=20,
)


def decode(message: object) -> Any:  # noqa: ANN401 - one of many
    """Decode a message given as JSON."""
    return wire.decode(json.dumps(message))


def refusal(frame: object) -> str:
    """The reason with which a frame is refused; the code is 1007."""
    with pytest.raises(RefusedError) as caught:
        wire.decode(frame if isinstance(frame, str | bytes) else json.dumps(frame))
    assert caught.value.close.code == 1007
    return caught.value.close.reason


FULL_SETUP = {
    "model": "models/m",
    "generationConfig": {
        "responseModalities": ["AUDIO"],
        "temperature": 0.1,
        "speechConfig": {"languageCode": "it-IT"},
    },
    "systemInstruction": {"parts": [{"text": "Be "}, {"text": "kind."}], "role": "user"},
    "tools": [{"functionDeclarations": [{"name": "f"}]}],
    "sessionResumption": {"handle": "h"},
    "contextWindowCompression": {"triggerTokens": "10", "slidingWindow": {"targetTokens": 5}},
    "inputAudioTranscription": {},
    "outputAudioTranscription": {},
    "realtimeInputConfig": {
        "automaticActivityDetection": {"disabled": True, "silenceDurationMs": 300, "prefixPaddingMs": 20},
        "activityHandling": "NO_INTERRUPTION",
    },
    "historyConfig": {"initialHistoryInClientContent": True},
}


@pytest.mark.parametrize("message", [{"setup": FULL_SETUP}, snake({"setup": FULL_SETUP})], ids=["camel", "snake"])
def test_a_setup_with_everything(message: object) -> None:
    """Every field that the emulator knows is read, in both casings."""
    assert decode(message) == Setup(
        model="models/m",
        modalities=("AUDIO",),
        instruction="Be kind.",
        tools=({"functionDeclarations": [{"name": "f"}]},),
        resumption=Resumption("h"),
        compression=Compression(10, 5),
        detection=Detection(automatic=False, silence=0.3, prefix=0.02, interrupts=False),
        transcribes_input=True,
        transcribes_output=True,
        brings_history=True,
    )


def test_a_setup_with_nothing() -> None:
    """Absent and null fields mean the defaults; an empty handle is no handle."""
    assert decode({"setup": {"model": "m", "tools": None}}) == Setup(model="m")
    assert decode({"setup": {"model": "m", "sessionResumption": {"handle": ""}}}).resumption == Resumption(None)


@given(data=st.binary(max_size=50), url_safe=st.booleans(), padded=st.booleans(), snake_case=st.booleans())
def test_audio_in_every_spelling(data: bytes, url_safe: bool, padded: bool, snake_case: bool) -> None:  # noqa: FBT001
    """Both alphabets of base64, with and without padding, in both casings, give the same bytes."""
    encoded = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    blob = {"data": encoded if padded else encoded.rstrip("=")}
    blob |= {"mime_type" if snake_case else "mimeType": "audio/pcm;rate=24000"}
    message = {"realtime_input" if snake_case else "realtimeInput": {"audio": blob}}
    assert decode(message) == RealtimeInput((AudioInput(data, 24_000),))


@pytest.mark.parametrize(
    ("fields", "item"),
    [
        ({"audio": {"data": "AAA=", "mimeType": "audio/pcm"}}, AudioInput(b"\0\0", 16_000)),
        ({"video": {"data": "AAA=", "mimeType": "image/jpeg"}}, VideoInput("image/jpeg")),
        ({"text": "Hi."}, TextInput("Hi.")),
        ({"activityStart": {}}, ActivityStart()),
        ({"activity_end": {}}, ActivityEnd()),
        ({"audioStreamEnd": True}, AudioStreamEnd()),
    ],
)
def test_realtime_input(fields: dict[str, Any], item: object) -> None:
    """Every kind of realtime input."""
    assert decode({"realtimeInput": fields}) == RealtimeInput((item,))  # type: ignore[arg-type] # any kind


def test_media_chunks_hold_several_items() -> None:
    """The deprecated form is still read."""
    chunk = {"data": "AAA=", "mimeType": "audio/pcm;rate=16000"}
    assert decode({"realtimeInput": {"mediaChunks": [chunk, chunk]}}) == RealtimeInput((AudioInput(b"\0\0"),) * 2)


def test_client_content() -> None:
    """Turns with their roles; the role is the user's where there is none, and None for system."""
    turns = [{"role": "model", "parts": [{"text": "a"}]}, {"parts": [{"text": "b"}]}, {"role": "system"}]
    said, heard = text_turn(Role.MODEL, "a"), text_turn(Role.USER, "b")
    expected = (ContentTurn(Role.MODEL, "a", (said,)), ContentTurn(Role.USER, "b", (heard,)), ContentTurn(None, ""))
    assert decode({"clientContent": {"turns": turns, "turnComplete": True}}) == ClientContent(expected, complete=True)
    assert decode({"client_content": {}}) == ClientContent((), complete=False)


def test_a_tool_response_keeps_the_names_in_it() -> None:
    """What a tool returned is the client's own: its names are not touched."""
    responses = [{"id": "1", "name": "f", "response": {"snake_case": 1, "camelCase": None}}]
    assert decode({"tool_response": {"function_responses": responses}}) == ToolResponse(
        (FunctionResponse("1", "f", {"snake_case": 1, "camelCase": None}),)
    )


def test_a_context_update() -> None:
    """What is not in it stays as it is; an empty list of tools clears them."""
    update = decode({"contextUpdate": {"systemInstruction": {"parts": [{"text": "New."}]}}})
    assert update == ContextUpdate("New.", None)
    assert decode({"contextUpdate": {"tools": {"tools": []}}}) == ContextUpdate(None, ())


@pytest.mark.parametrize("frame", ["", "{", b"\xff", "\ud800", "[" * 100_000, '{"setup": 1e999}'])
def test_what_is_not_json(frame: str | bytes) -> None:
    """Neither malformed nor monstrous JSON is more than a refusal."""
    assert refusal(frame).startswith("Invalid JSON payload received.")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"hello": {}}, 'Invalid JSON payload received. Unknown name "hello": Cannot find field.'),
        (
            {"setup": {"bogusField": 1}},
            "Invalid JSON payload received. Unknown name \"bogusField\" at 'setup': Cannot find field.",
        ),
        (
            {"setup": {"sessionResumption": {"transparent": True}}},
            (
                'Invalid JSON payload received. Unknown name "transparent" at '
                "'setup.session_resumption': Cannot find field."
            ),
        ),
        ({}, "Request contains an invalid argument."),
        ([], "Invalid value at '' (MESSAGE), '[]'"),
        ({"setup": {"model": 5}}, "Invalid value at 'setup.model' (TYPE_STRING), '5'"),
        ({"realtimeInput": {"audio": {"data": "?"}}}, "Invalid value at 'realtime_input.audio.data' (TYPE_BYTES), '?'"),
        ({"clientContent": {"turns": 5}}, "Invalid value at 'client_content.turns[0]' (MESSAGE), '5'"),
        ({"clientContent": {"turns": [5]}}, "Invalid value at 'client_content.turns[0]' (MESSAGE), '5'"),
        ({"clientContent": {"turnComplete": 1}}, "Invalid value at 'client_content.turn_complete' (TYPE_BOOL), '1'"),
        ({"clientContent": {"turns": [{"role": "cat"}]}}, "Please use a valid role: user, model."),
        (
            {"setup": {}, "clientContent": {}},
            "Invalid value at '' (oneof), oneof field 'message_type' is already set. Cannot set 'clientContent'",
        ),
        (
            {"realtimeInput": {"text": "Hi.", "audioStreamEnd": True}},
            (
                "Invalid value at 'realtime_input' (oneof), oneof field 'input' is already set. "
                "Cannot set 'audioStreamEnd'"
            ),
        ),
        (
            {"clientContent": {"turns": [{"parts": [{"text": "Hi.", "inlineData": {}}]}]}},
            (
                "Invalid value at 'client_content.turns[0].parts[0]' (oneof), oneof field 'data' is already set. "
                "Cannot set 'inlineData'"
            ),
        ),
        (
            {"setup": {"model": ["m"]}},
            (
                "Invalid JSON payload received. Unknown name \"model\" at 'setup': Proto field is not repeating, "
                "cannot start list."
            ),
        ),
        (
            {"setup": {"contextWindowCompression": {"triggerTokens": "many"}}},
            "Invalid value at 'setup.context_window_compression.trigger_tokens' (TYPE_INT64), 'many'",
        ),
    ],
)
def test_what_is_refused_and_how(message: object, reason: str) -> None:
    """Each mistake is named as Google names it."""
    assert refusal(message) == reason


@example(message={"setup": {"sessionResumption": True}})
@example(message={"toolResponse": {"functionResponses": [{"response": []}]}})
@example(message={"contextUpdate": {"tools": {"tools": 5}}})
@example(message={"contextUpdate": {"tools": {"tools": [5]}}})
@given(message=JSON)
def test_any_json_is_a_message_or_a_refusal(message: object) -> None:
    """Nothing that is JSON makes the decoder raise anything but a refusal."""
    try:
        decode(message)
    except RefusedError as refused:
        assert refused.close.code == 1007  # noqa: PT017 - most are refused, some are not


EVERY_MESSAGE: dict[str, dict[str, Any]] = {
    "setup": {"setup": {name: value for name, value in FULL_SETUP.items() if name != "tools"}},
    "audio": {"realtimeInput": {"audio": {"data": "-_-_", "mimeType": "audio/pcm;rate=16000"}}},
    "video": {"realtimeInput": {"video": {"data": "-_-_", "mimeType": "image/jpeg"}}},
    "media": {"realtimeInput": {"mediaChunks": [{"data": "-_-_", "mimeType": "audio/pcm"}]}},
    "text": {"realtimeInput": {"text": "Hi."}},
    "start": {"realtimeInput": {"activityStart": {}}},
    "end": {"realtimeInput": {"activityEnd": {}}},
    "stream end": {"realtimeInput": {"audioStreamEnd": True}},
    "content": {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "Hi."}]}], "turnComplete": True}},
    "result": {
        "toolResponse": {
            "functionResponses": [
                {"id": "1", "name": "f", "response": {"a": 1}, "scheduling": "SILENT", "willContinue": True}
            ]
        }
    },
    "update": {"contextUpdate": {"systemInstruction": {"parts": [{"text": "New."}]}, "tools": {"tools": []}}},
}


@pytest.mark.parametrize("message", [pytest.param(message, id=name) for name, message in EVERY_MESSAGE.items()])
def test_every_message_in_both_casings_and_alphabets(message: dict[str, Any]) -> None:
    """Every message a client can send is the same in camelCase and snake_case, and in both alphabets of base64."""
    for spelled in (message, snake(message)):
        for text in (json.dumps(spelled), json.dumps(spelled).replace("-_-_", "+/+/")):
            assert wire.decode(text) == wire.decode(text.encode()) == decode(message)


def test_enumerations_are_checked() -> None:
    """An unknown value of an enumeration is refused with its place; the unspecified one is the default."""
    config = {"realtimeInputConfig": {"turnCoverage": "NEVER"}}
    assert refusal({"setup": config}) == (
        "Invalid value at 'setup.realtime_input_config.turn_coverage' (TYPE_ENUM), 'NEVER'"
    )
    config = {"realtimeInputConfig": {"turnCoverage": "TURN_COVERAGE_UNSPECIFIED"}}
    assert decode({"setup": config}) == Setup(model="")
