"""Server messages are proto3 JSON, as documented."""

import json

import pytest

from services.emulator import replies
from services.emulator.closes import Close
from services.emulator.tokens import Tokens


@pytest.mark.parametrize(
    ("seconds", "text"), [(50.0, "50s"), (1.5, "1.500s"), (0.0, "0s"), (-1.0, "0s"), (0.0004, "0s")]
)
def test_durations(seconds: float, text: str) -> None:
    """A google.protobuf.Duration has no decimals or three, and is never negative here."""
    assert replies.duration(seconds) == text


def test_audio_is_base64() -> None:
    """Bytes become standard base64 in the frame."""
    frame = json.loads(replies.encode(replies.audio(b"\xff\xfe\xfd")))
    assert frame["serverContent"]["modelTurn"]["parts"] == [
        {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "//79"}}
    ]


def test_usage() -> None:
    """Totals, details of what is not zero, cached tokens where there are any, and the backend's own field name."""
    usage = replies.turn_complete(Tokens(5, 7), Tokens(audio=3), Tokens(text=4), "candidatesTokenCount")[
        "usageMetadata"
    ]
    assert usage == {
        "promptTokenCount": 12,
        "candidatesTokenCount": 3,
        "totalTokenCount": 15,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 5}, {"modality": "AUDIO", "tokenCount": 7}],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}],
        "cachedContentTokenCount": 4,
        "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 4}],
    }


@pytest.mark.parametrize(("explicit", "update"), [(True, {"resumable": False}), (False, {})])
def test_not_resumable_has_two_forms(explicit: bool, update: dict[str, bool]) -> None:  # noqa: FBT001 - a table
    """False may be written, or left out as proto3 JSON does."""
    assert replies.not_resumable(explicit=explicit) == {"sessionResumptionUpdate": update}


def test_a_reason_is_cut_at_a_whole_character() -> None:
    """At most 123 bytes, always valid UTF-8."""
    assert Close(1007, "x" * 200).wire_reason == b"x" * 123
    assert Close(1007, "xx" + "\N{EURO SIGN}" * 99).wire_reason.decode() == "xx" + "\N{EURO SIGN}" * 40
