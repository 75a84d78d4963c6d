"""Nothing that is handed over as content vanishes: every part is in the context, with its modality and its tokens."""

import base64
import struct
from typing import Any

import pytest

from services.common import voice
from services.emulator import parts
from services.emulator.context import Kind, Role, Turn
from services.emulator.tokens import Tokens
from tests.support.session import TEXT_MODEL, House, is_turn_complete

SECOND = b"\0\0" * 16_000
WAV = b"RIFF" + bytes(20) + struct.pack("<II", 8_000, 16_000) + bytes(12) + b"\0\0" * 8_000


def one(part: dict[str, Any], role: Role = Role.USER) -> Turn:
    """The only piece that a part becomes."""
    (piece,) = parts.turns(role, [part])
    return piece


@pytest.mark.parametrize(
    ("part", "kind", "cost"),
    [
        ({"text": "My dog is Rex."}, Kind.TEXT, Tokens(text=4)),
        ({"inlineData": {"mimeType": "audio/pcm;rate=16000", "data": SECOND}}, Kind.AUDIO, Tokens(audio=25)),
        ({"inlineData": {"mimeType": "audio/pcm;rate=8000", "data": SECOND}}, Kind.AUDIO, Tokens(audio=50)),
        ({"inlineData": {"mimeType": "audio/wav", "data": WAV}}, Kind.AUDIO, Tokens(audio=25)),
        ({"inlineData": {"mimeType": "audio/mp3", "data": bytes(16_000)}}, Kind.AUDIO, Tokens(audio=50)),
        ({"inlineData": {"mimeType": "image/png", "data": b"png"}}, Kind.IMAGE, Tokens(image=258)),
        ({"inlineData": {"mimeType": "video/mp4", "data": b"mp4"}}, Kind.IMAGE, Tokens(video=258)),
        ({"inlineData": {"mimeType": "text/plain", "data": b"Hello"}}, Kind.TEXT, Tokens(text=2)),
        ({"inlineData": {"mimeType": "application/pdf", "data": b"pdf"}}, Kind.FILE, Tokens(document=258)),
        ({"inlineData": {}}, Kind.FILE, Tokens(document=258)),
        ({"fileData": {"mimeType": "image/png", "fileUri": "gs://a/b"}}, Kind.IMAGE, Tokens(image=258)),
        ({"fileData": {"fileUri": "gs://a/b"}}, Kind.FILE, Tokens(document=258)),
        ({"functionCall": {"name": "f", "args": {"a": 1}}}, Kind.TOOL, Tokens(text=3)),
        ({"functionResponse": {"name": "f", "response": {"b": 22}}}, Kind.TOOL, Tokens(text=3)),
        (
            {"functionResponse": {"name": "f", "parts": [{"inlineData": {"mimeType": "image/png"}}, {}]}},
            Kind.TOOL,
            Tokens(text=2, image=258),
        ),
        ({"executableCode": {"language": "PYTHON", "code": "1 + 1"}}, Kind.TOOL, Tokens(text=3)),
        ({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}, Kind.TOOL, Tokens(text=3)),
        ({"toolCall": {"id": "1"}}, Kind.TOOL, Tokens(text=3)),
    ],
)
@pytest.mark.parametrize("role", Role)
def test_what_each_part_costs(part: dict[str, Any], kind: Kind, cost: Tokens, role: Role) -> None:
    """Each kind of part is there, as its role's, in its own modality."""
    piece = one(part, role)
    assert (piece.role, piece.kind, piece.tokens) == (role, kind, cost)


def test_texts_in_a_row_are_one_piece() -> None:
    """A text in parts is one text; something between them parts it."""
    image = {"inlineData": {"mimeType": "image/png"}}
    pieces = parts.turns(Role.USER, [{"text": "a"}, {"text": "b"}, image, {"text": "c"}, {}])
    assert [(piece.kind, piece.text) for piece in pieces] == [
        (Kind.TEXT, "ab"),
        (Kind.IMAGE, "(image/png, 0 bytes)"),
        (Kind.TEXT, "c"),
    ]
    assert [piece.text for piece in parts.turns(Role.USER, [])] == [""]


def test_the_test_voice_is_heard_in_content_as_well() -> None:
    """Audio handed over in one piece is transcribed, and its frames are known."""
    frames = voice.speak("My dog is Rex.", stream=9, first_frame=5, utterance=2)
    data = b"".join([*frames, *[voice.silence(1)] * 5])
    piece = one({"inlineData": {"mimeType": "audio/pcm", "data": data}})
    assert (piece.text, piece.stream, piece.utterances) == ("My dog is Rex.", 9, (2,))
    assert piece.frames == ((5, 5 + len(frames) - 1),)
    assert piece.tokens == Tokens(audio=round((len(frames) + 5) * voice.FRAME_SECONDS * 25))


def test_every_part_of_client_content_is_prompted_and_billed_by_modality() -> None:
    """The usage of the next turn counts them all, and the agent knows what was said in them."""
    said = b"".join(voice.speak("My dog is Rex.", stream=9, first_frame=0, utterance=0))
    blobs = [
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"inlineData": {"mimeType": "audio/pcm;rate=16000", "data": base64.b64encode(said).decode()}},
    ]
    call = House().call()
    call.send({"clientContent": {"turns": [{"role": "user", "parts": [*blobs, {"text": "What is my dog?"}]}]}})
    call.send({"clientContent": {"turns": [], "turnComplete": True}})
    usage = call.wait_for(is_turn_complete)["usageMetadata"]
    counted = {detail["modality"]: detail["tokenCount"] for detail in usage["promptTokensDetails"]}
    assert counted == {"TEXT": 4, "AUDIO": round(len(said) / 32_000 * 25), "IMAGE": 258}
    assert sum(counted.values()) == usage["promptTokenCount"]
    assert call.context.turns[-1].text.endswith("You told me your dog is Rex.")


def test_every_part_of_initial_history_is_in_the_context() -> None:
    """A history with a tool call in it is what the agent goes on from, and compression keeps all of it."""
    history = [
        {"role": "user", "parts": [{"text": "What is the price?"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "get_price", "args": {"item": "chair"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "get_price", "response": {"price": 5}}}]},
        {"role": "model", "parts": [{"text": "Five."}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
    ]
    call = House().call(model=TEXT_MODEL, historyConfig={"initialHistoryInClientContent": True})
    call.send({"clientContent": {"turns": history, "turnComplete": True}})
    assert [(turn.role, turn.kind) for turn in call.context.turns] == [
        (Role.USER, Kind.TEXT),
        (Role.MODEL, Kind.TOOL),
        (Role.USER, Kind.TOOL),
        (Role.MODEL, Kind.TEXT),
        (Role.MODEL, Kind.IMAGE),
    ]
    assert call.context.prefix == 5
    assert call.context.tokens.image == 258
